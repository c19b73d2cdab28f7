"""The neighbours of tracks that have changed since the neighbours of all were computed.

The table ``compared`` has a digest of every track's vector from which the present neighbours and
duplicates were computed. It says which tracks are new, changed or gone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.interruption import raise_if_interrupted
from jobs.neighbours.vectors import Space
from jobs.progress import Progress
from jobs.store.levels import hash_rows
from jobs.store.schemas import COMPARED, COMPARED_ROW, DUPLICATES, SIMILARITY
from jobs.store.tables import Store
from recommend.neighbours import MAX_DUPLICATES
from recommend.update import Lists, update

MAX_STALE = 0.02
"""Share of lists to search again above which all tracks are compared, with all workers."""


def compared_rows(spaces: Iterable[tuple[Space, float | None]]) -> Iterator[pa.Table]:
    """Yield the rows of ``compared`` for spaces and the minimum cosine of duplicates in each.

    A space without duplicates, None, precedes the one in which they were sought.
    """
    written = set()
    for space, duplicate_from in spaces:
        fitted, n = space.fitted, len(space.vectors)
        name = fitted.metric.name
        if (name, duplicate_from) in written:
            continue
        written.add((name, duplicate_from))
        columns = [
            pa.repeat(name, n),
            pa.repeat(fitted.fingerprint, n),
            pa.repeat(pa.scalar(duplicate_from, pa.float64()), n),
            space.names["track_id"],
            pa.array(hash_rows(space.vectors)),
        ]
        yield pa.table(columns, schema=COMPARED_ROW)


def update_lists(
    store: Store, space: Space, k: int, duplicate_from: float | None, progress: Progress
) -> Lists | None:
    """Return the neighbours and duplicates of all tracks from those that the store has.

    Parameters
    ----------
    store : Store
        The store.
    space : Space
        All present tracks.
    k : int
        Neighbours of each track; 0 for duplicates alone.
    duplicate_from : float or None
        Minimum cosine of duplicates; None if they are not sought in this space.
    progress : Progress
        Shows a line with the number of changed tracks and searched lists.

    Returns
    -------
    Lists or None
        None if the store's were computed by another metric or minimum cosine, too many tracks have
        changed, or a recording occurs too often.
    """
    is_changed = _find_changed(store, space, duplicate_from)
    if is_changed is None:
        return None
    tracks = space.names["track_id"].combine_chunks()
    gone_at = len(tracks)  # index of a changed track, or of one that is gone
    position = np.append(np.where(is_changed, -1, np.arange(gone_at)), -1)

    def find(names: pa.ChunkedArray) -> np.ndarray:
        index = pc.index_in(names, value_set=tracks).fill_null(gone_at).to_numpy()
        return np.asarray(position[index])

    indices, cosines = np.full((len(tracks), k), -1), np.zeros((len(tracks), k))
    for part in store.parts(SIMILARITY) if k else []:
        raise_if_interrupted()
        rows = store.read_part(part, ["track_id", "rank", "neighbour_id", "cosine", "metric"])
        ranks = rows["rank"].to_numpy()
        is_of_metric = pc.equal(rows["metric"], space.fitted.metric.name).to_numpy()
        row = find(rows["track_id"])
        used = (row >= 0) & (ranks <= k) & is_of_metric
        place = row[used], ranks[used] - 1
        indices[place] = find(rows["neighbour_id"])[used]
        cosines[place] = rows["cosine"].to_numpy()[used]
    known = Lists(indices, cosines, np.empty((0, 2), np.int64), np.empty(0))
    n_stale = int(known.is_stale(is_changed).sum())
    if n_stale > MAX_STALE * len(tracks):
        return None
    if duplicate_from is not None:
        columns = ["track_id", "duplicate_id", "cosine"]
        rows = pa.concat_tables(store.read_part(x, columns) for x in store.parts(DUPLICATES))
        copies = pc.value_counts(rows["duplicate_id"]).field("counts")
        if (pc.max(copies).as_py() or 0) >= MAX_DUPLICATES:
            return None  # the table may have only the first pairs of each copy
        pairs = np.stack([find(rows["track_id"]), find(rows["duplicate_id"])], axis=1)
        is_kept = (pairs >= 0).all(axis=1)
        known = replace(
            known, pairs=pairs[is_kept], pair_cosines=rows["cosine"].to_numpy()[is_kept]
        )
    found = update(space.vectors, space.offsets, known, is_changed, duplicate_from=duplicate_from)
    if found:
        progress.write(
            "info",
            f"the metric {space.fitted.metric.name} is kept: {is_changed.sum():,} of "
            f"{len(tracks):,} tracks are new or changed, {n_stale:,} are compared with all",
        )
    return found


def _find_changed(store: Store, space: Space, duplicate_from: float | None) -> np.ndarray | None:
    """Return whether each track is new or has another vector; None if the metric is another."""
    fitted = space.fitted
    wanted = (
        (pc.field("metric") == fitted.metric.name)
        & (pc.field("fingerprint") == fitted.fingerprint)
        & (
            pc.is_null(pc.field("duplicate_from"))
            if duplicate_from is None
            else pc.field("duplicate_from") == duplicate_from
        )
    )
    compared = store.read(COMPARED).filter(wanted)
    if not compared.num_rows:
        return None
    tracks = compared["track_id"].combine_chunks()
    index = pc.index_in(space.names["track_id"], value_set=tracks).fill_null(-1).to_numpy()
    before = compared["digest"].to_numpy()[index]
    return np.asarray((index < 0) | (before != hash_rows(space.vectors)))
