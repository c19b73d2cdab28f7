"""The nearest neighbours of every row of a store, and the duplicates among the rows.

A metric (:mod:`jobs.neighbours.metrics`) turns the rows into vectors. Duplicates are found by the
cosine of the published features, whichever the metric, in a second comparison if need be.

The vectors are cut into tiles in the store's working folder. Workers of the cluster
compare every pair of tiles (:mod:`recommend.neighbours`); the job merges the results.
"""

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from featurizer.feature_set import Level
from jobs import defaults
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError, UsageError
from jobs.interruption import raise_if_interrupted
from jobs.neighbours import metrics
from jobs.neighbours.metrics import FEATURES, choose_metric
from jobs.neighbours.updating import compared_rows, update_lists
from jobs.neighbours.vectors import Space, duplicates_metric, fit_space, updated_space
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit, schemas
from jobs.store.address import storage_of
from jobs.store.schemas import COMPARED, COMPARED_ROW, DUPLICATES, MATRIX, SIMILARITY
from recommend import neighbours
from recommend.arrangement import arrange
from recommend.metric import Name
from recommend.neighbours import MAX_DUPLICATES, Candidates, Neighbours, Tile
from recommend.topk import cosines_of
from recommend.update import Lists
from training.arrays import from_npz, to_npz

MAX_MATRIX_TRACKS = 20_000
"""Tracks up to which ``full`` writes the whole matrix."""

_PART_ROWS = 1_000_000
_PART_BYTES = 2**28

_SHOWN_DUPLICATES = 10


@dataclass(frozen=True)
class Duplicate:
    """A pair of rows that are the same recording, with their labels."""

    track_id: str
    duplicate_id: str
    label: str | None
    duplicate_label: str | None
    cosine: float


@dataclass(frozen=True)
class Outcome:
    """Summary of the tables that were written.

    Parameters
    ----------
    level : {"segment", "track"}
        Level of the rows.
    metric : {"cosine", "rich", "learned"}
        Metric by which neighbours were ranked.
    labels : list of str
        Labels that the metric was fitted to.
    rows : int
        Rows that were compared.
    k : int
        Neighbours of each row; at most ``rows - 1``.
    duplicates : int
        Pairs that are the same recording.
    across_labels : int
        Duplicates with different labels.
    shown : list of Duplicate
        The first duplicates; those with different labels come first.
    full : bool
        Whether the whole matrix was written.
    workers : int
        Workers used; 0 if there was only one tile.
    """

    level: Level
    metric: Name
    labels: list[str]
    rows: int
    k: int
    duplicates: int
    across_labels: int
    shown: list[Duplicate]
    full: bool
    workers: int
    seconds: float


def similarity(
    *,
    store: str | Session,
    k: int = defaults.NEIGHBOURS,
    level: Level = "track",
    metric: Name | None = None,
    duplicate_from: float = defaults.DUPLICATE_COSINE,
    full: bool = False,
    update: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Write the nearest neighbours of every row (``similarity``), and ``duplicates``.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    k : int
        Neighbours of each row.
    level : {"track", "segment"}
        Rows to compare.
    metric : {"cosine", "rich", "learned"}, optional
        Metric to rank by: the cosine of the published features; ``rich`` features; or rich features
        and what tells their labels apart. By default ``rich`` for tracks, if they have rich
        features.
    duplicate_from : float [range=(0.5, 1)]
        Cosine from which two rows count as the same recording.
    full : bool
        Whether to write the whole matrix of cosines too, for up to 20,000 tracks.
    update : bool
        Whether to keep the metric while the features of tracks have hardly drifted, and to search
        only for tracks that have changed (:mod:`jobs.neighbours.updating`).
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Raises
    ------
    UsageError
        There are no rows of the level, no rich features or labels for the metric, or too many
        tracks for the whole matrix.
    SongmillError
        The store or the cluster fails; the tables stay as they were.

    Examples
    --------
    >>> found = similarity(store="tables", k=2)
    >>> found.rows, found.k, found.duplicates
    (6, 2, 0)
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    progress = session.progress
    if full and level == "segment":
        raise UsageError("--full writes the matrix of tracks only: leave out --level segment")
    with session.stage("similarity") as run:
        metric = choose_metric(run.store, metric, level)
        update = update and level == "track" and not full
        space = _space(run, metric, level, update=update)
        n = len(space.vectors)
        if full and n > MAX_MATRIX_TRACKS:
            raise UsageError(
                f"the whole matrix of {n:,} tracks would take {n * n * 4 / 1e9:,.0f} GB; --full is "
                f"for at most {MAX_MATRIX_TRACKS:,} tracks. Leave out --full: the {k} nearest of "
                "each track are far smaller"
            )
        k = min(k, n - 1)
        sought = duplicate_from if space.offsets is None else None
        found, used = _find(run, space, k, sought, update=update)
        copies, (pairs, cosines) = space, found.duplicates()
        if sought is None:
            copies = _space(run, duplicates_metric(run.store), "track", update=update)
            copies = replace(copies, offsets=None)
            missing = int((space.index_of(copies) < 0).sum())
            if missing:
                text = f"tracks without {FEATURES[metric]} features, which --metric {metric} leaves"
                progress.write("info", f"{text} out: {missing}")
            lists, used_again = _find(run, copies, 0, duplicate_from, update=update)
            used, (pairs, cosines) = max(used, used_again), lists.duplicates()
        if np.bincount(pairs[:, 1]).max(initial=0) >= MAX_DUPLICATES:
            progress.warn(
                f"a recording occurs more than {MAX_DUPLICATES} times (silence?): {DUPLICATES} "
                f"lists only {MAX_DUPLICATES} pairs of each copy"
            )
        progress.step("writing the tables")
        change = commit.Change()
        neighbour_rows = _neighbour_rows(space, found, k, copies, duplicate_from)
        duplicate_rows = [_duplicate_rows(copies, pairs, cosines)]
        for table, rows, schema in (
            (SIMILARITY, neighbour_rows, schemas.similarity(level)),
            (DUPLICATES, duplicate_rows, schemas.duplicates(level)),
        ):
            commit.stage_replacement(run.store, change, table, rows, schema, part_rows=_PART_ROWS)
        spaces = [(space, sought), (copies, duplicate_from)] if level == "track" else []
        rows = compared_rows(spaces)
        commit.stage_replacement(run.store, change, COMPARED, rows, COMPARED_ROW)
        if full or run.store.parts(MATRIX):
            tracks = space.names["track_id"].to_pylist() if full else []
            columns = [("track_id", pa.string()), *((track, pa.float32()) for track in tracks)]
            schema, part_rows = pa.schema(columns), max(1, _PART_BYTES // (4 * n))
            rows = _matrix_rows(space, schema, part_rows) if full else iter(())
            commit.stage_replacement(run.store, change, MATRIX, rows, schema, part_rows=part_rows)
        if level == "track":
            kept = {one.fitted.metric.name: one.fitted for one in (copies, space)}
            metrics.stage(run.store, change, list(kept.values()), run.run_id)
        across, shown = _compare_labels(copies, pairs, cosines)
        labels = space.fitted.metric.classes
        by_labels = f", labels: {', '.join(labels)}" if labels else ""
        message = f"{k} nearest of {n} {level}s, metric {metric}{by_labels}"
        run.commit(change, workers=used, message=message)
        return Outcome(
            level=level,
            metric=metric,
            labels=list(labels),
            rows=n,
            k=k,
            duplicates=len(pairs),
            across_labels=across,
            shown=shown,
            full=full,
            workers=used,
            seconds=time.time() - run.started,
        )


def _space(run: Stage, metric: Name, level: Level, *, update: bool) -> Space:
    if update:
        return updated_space(run.store, metric, run.session.progress)
    return fit_space(run.store, metric, level, run.session.progress)


def _find(
    run: Stage, space: Space, k: int, duplicate_from: float | None, *, update: bool
) -> tuple[Neighbours | Lists, int]:
    """Return the lists of all vectors of a space, and the number of workers used.

    Parameters
    ----------
    k : int
        Neighbours of each; 0 if only duplicates are needed.
    duplicate_from : float or None
        Minimum cosine of duplicates; None if they are not sought.
    update : bool
        Whether to search only for changed vectors.
    """
    if update:
        known = update_lists(run.store, space, k, duplicate_from, run.session.progress)
        if known:
            return known, 0
    size = k or min(1, len(space.vectors) - 1)
    found = Neighbours(space.vectors, size, space.offsets)
    # With offsets, no duplicates are sought.
    least = defaults.DUPLICATE_COSINE if duplicate_from is None else duplicate_from
    return found, find_neighbours(found, space, run, least) if size else 0


# On the cluster


def find_neighbours(found: Neighbours, space: Space, run: Stage, duplicate_from: float) -> int:
    """Compare every pair of tiles of a space's vectors; return the number of workers used.

    The candidates are added to ``found``. ClusterError if the cluster is lost, or fails.
    """
    n, progress = len(space.vectors), run.session.progress
    progress.step(f"comparing {n:,} {space.level}s")
    rows = neighbours.tile_rows(n)
    starts = range(0, n, rows)
    order, rotation = arrange(space.vectors)
    parts = [order[start : start + rows] for start in starts]

    def arrays_of(part: np.ndarray) -> dict[str, np.ndarray]:
        arrays = {"indices": part, "vectors": space.vectors[part], "rotation": rotation}
        return arrays if space.offsets is None else {**arrays, "offsets": space.offsets[part]}

    if len(parts) == 1:
        # Starting a cluster would take far longer.
        tile, floors = Tile.of(0, **arrays_of(order)), found.floors(order)
        both = (floors, floors)
        found.add(neighbours.compare_tiles(tile, tile, both, found.size, duplicate_from))
        return 0
    storage = run.store.storage
    # Workers that outlive this run cache tiles by name, so the name includes the run.
    stem = f"{run.work}/{run.run_id}-{'cosines' if space.offsets is None else 'scores'}"
    names: list[str] = []
    for start, part in zip(starts, parts, strict=True):
        raise_if_interrupted()
        names.append(f"{stem}-{start}.npz")
        storage.write(names[-1], to_npz(arrays_of(part)))
    pairs = list(neighbours.tile_pairs(len(starts)))

    def tasks() -> Iterator[tuple[Any, ...]]:
        for i, j in pairs:
            # Computed as late as possible: higher floors exclude more candidates.
            floors = tuple(found.floors(parts[tile]) for tile in (i, j))
            tiles = (names[i], starts[i]), (names[j], starts[j])
            yield storage.root, tiles, floors, found.size, duplicate_from

    pool = run.pools[0] if run.pools else run.pool()
    results = map_unordered(pool, _compare_tiles, tasks(), tick=progress.workers, prefetch=1)
    for done, (index, result) in enumerate(results, 1):
        if not isinstance(result, Candidates):
            one, other = pairs[index]
            raise ClusterError(f"the workers could not compare tiles {one}, {other}: {result!r}")
        found.add(result)
        progress.update(f"{done} of {len(pairs)} pairs of tiles")
    return pool.most_workers


def _compare_tiles(
    root: str,
    tiles: tuple[tuple[str, int], tuple[str, int]],
    floors: tuple[np.ndarray, np.ndarray],
    size: int,
    duplicate_from: float,
) -> Candidates:
    """Compare two tiles, given by their file and their first row."""
    _limit_to_one_thread()
    one, other = (_read_tile(root, name, start) for name, start in tiles)
    return neighbours.compare_tiles(one, other, floors, size, duplicate_from)


@functools.cache
def _limit_to_one_thread() -> None:
    """Limit this process's matrix products to one thread: a worker runs a task on each core."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)


@functools.lru_cache(maxsize=6)
def _read_tile(root: str, name: str, start: int) -> Tile:
    return Tile.of(start, **from_npz(storage_of(root).read(name)))


# Rows of the tables


def _key_columns(space: Space, indices: np.ndarray) -> list[pa.ChunkedArray]:
    """Return the columns that identify the rows at ``indices``."""
    columns = ["track_id"] + (["segment"] if space.level == "segment" else [])
    return [space.names[name].take(pa.array(indices)) for name in columns]


def _neighbour_rows(
    space: Space, found: Neighbours | Lists, k: int, copies: Space, duplicate_from: float
) -> Iterator[pa.Table]:
    """Yield the rows of ``similarity`` in batches. ``copies`` tells the duplicates among them."""
    n = len(space.vectors)
    of_copies = copies.vectors_of(space)
    step = max(1, _PART_ROWS // max(k, 1))
    for start in range(0, n if k else 0, step):
        raise_if_interrupted()
        stop = min(start + step, n)
        indices, cosines = found.lists(start, stop)
        is_duplicate = cosines_of(of_copies, start, indices) >= duplicate_from
        columns = [
            *_key_columns(space, np.repeat(np.arange(start, stop), k)),
            pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), stop - start)),
            *_key_columns(space, indices.ravel()),
            pa.array(space.scores(cosines, indices).ravel()),
            pa.array(cosines.ravel()),
            pa.array(is_duplicate.ravel()),
            pa.repeat(space.fitted.metric.name, indices.size),
        ]
        yield pa.table(columns, schema=schemas.similarity(space.level))


def _duplicate_rows(space: Space, pairs: np.ndarray, cosines: np.ndarray) -> pa.Table:
    first, second = (_key_columns(space, indices) for indices in pairs.T)
    return pa.table([*first, *second, pa.array(cosines)], schema=schemas.duplicates(space.level))


def _matrix_rows(space: Space, schema: pa.Schema, part_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of ``similarity-matrix``, one part at a time."""
    for start in range(0, len(space.vectors), part_rows):
        raise_if_interrupted()
        rows = space.vectors[start : start + part_rows]
        cosines = np.clip(rows @ space.vectors.T, -1, 1).astype(np.float32)
        names = space.names["track_id"].slice(start, len(rows))
        columns = [names, *(pa.array(column) for column in cosines.T)]
        yield pa.table(columns, schema=schema)


def _compare_labels(
    space: Space, pairs: np.ndarray, cosines: np.ndarray
) -> tuple[int, list[Duplicate]]:
    """Count the pairs with different labels; return some pairs, those with two labels first."""
    labels = np.array(space.names["label"].to_pylist(), object)
    differ = (labels[pairs[:, 0]] != labels[pairs[:, 1]]).astype(bool)
    order = np.argsort(~differ, kind="stable")[:_SHOWN_DUPLICATES]
    tracks = space.names["track_id"]
    shown = [
        Duplicate(
            track_id=tracks[int(pairs[i, 0])].as_py(),
            duplicate_id=tracks[int(pairs[i, 1])].as_py(),
            label=labels[pairs[i, 0]],
            duplicate_label=labels[pairs[i, 1]],
            cosine=float(cosines[i]),
        )
        for i in order
    ]
    return int(differ.sum()), shown
