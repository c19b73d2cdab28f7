"""The nearest neighbours of every row of a store, and the duplicates among the rows.

The vectors are cut into tiles in the store's working folder. Workers of the cluster
compare every pair of tiles (:mod:`recommend.neighbours`); the job merges the results.
"""

import functools
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jobs import defaults
from jobs.cluster.window import map_unordered
from jobs.errors import ClusterError, UsageError
from jobs.interruption import raise_if_interrupted
from jobs.neighbours.vectors import Vectors, read_vectors
from jobs.progress import Progress
from jobs.stage import Session, Stage, open_session
from jobs.store import commit, schemas
from jobs.store.address import storage_of
from jobs.store.levels import Level
from jobs.store.schemas import DUPLICATES, MATRIX, SIMILARITY
from recommend import neighbours
from recommend.neighbours import MAX_DUPLICATES, Candidates, Neighbours, Tile

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
    duplicate_from: float = defaults.DUPLICATE_COSINE,
    full: bool = False,
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
    duplicate_from : float [range=(0.5, 1)]
        Cosine from which two rows count as the same recording.
    full : bool
        Whether to write the whole matrix of cosines too, for up to 20,000 tracks.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Raises
    ------
    UsageError
        There are no rows of the level, or too many for the whole matrix.
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
        progress.step("reading the features")
        vectors = read_vectors(run.store, level)
        n = len(vectors.unit)
        if full and n > MAX_MATRIX_TRACKS:
            raise UsageError(
                f"the whole matrix of {n:,} tracks would take {n * n * 4 / 1e9:,.0f} GB; --full is "
                f"for at most {MAX_MATRIX_TRACKS:,} tracks. Leave out --full: the {k} nearest of "
                "each track are far smaller"
            )
        k = min(k, n - 1)
        found, used = Neighbours(vectors.unit, k), 0
        if k:
            used = find_neighbours(found, vectors.unit, run, duplicate_from)
        pairs, cosines = found.duplicates()
        if np.bincount(pairs[:, 1]).max(initial=0) >= MAX_DUPLICATES:
            progress.warn(
                f"a recording occurs more than {MAX_DUPLICATES} times (silence?): {DUPLICATES} "
                f"lists only {MAX_DUPLICATES} pairs of each copy"
            )
        change = commit.Change()
        neighbour_rows = _neighbour_rows(vectors, found, k, duplicate_from)
        duplicate_rows = [_duplicate_rows(vectors, pairs, cosines)]
        for table, rows, schema in (
            (SIMILARITY, neighbour_rows, schemas.similarity(level)),
            (DUPLICATES, duplicate_rows, schemas.duplicates(level)),
        ):
            commit.stage_replacement(run.store, change, table, rows, schema, part_rows=_PART_ROWS)
        if full or run.store.parts(MATRIX):
            tracks = vectors.names["track_id"].to_pylist() if full else []
            columns = [("track_id", pa.string()), *((track, pa.float32()) for track in tracks)]
            schema, part_rows = pa.schema(columns), max(1, _PART_BYTES // (4 * n))
            rows = _matrix_rows(vectors, schema, part_rows) if full else iter(())
            commit.stage_replacement(run.store, change, MATRIX, rows, schema, part_rows=part_rows)
        across, shown = _compare_labels(vectors, pairs, cosines)
        run.commit(change, workers=used, message=f"{k} nearest of {n} {vectors.level}s")
        return Outcome(
            level=vectors.level,
            rows=n,
            k=k,
            duplicates=len(pairs),
            across_labels=across,
            shown=shown,
            full=full,
            workers=used,
            seconds=time.time() - run.started,
        )


# On the cluster


def find_neighbours(found: Neighbours, unit: np.ndarray, run: Stage, duplicate_from: float) -> int:
    """Compare every pair of tiles of the vectors ``unit``; return the number of workers used.

    The candidates are added to ``found``. ClusterError if the cluster is lost, or fails.
    """
    n = len(unit)
    rows = neighbours.tile_rows(n)
    starts = range(0, n, rows)
    if len(starts) == 1:
        # Starting a cluster would take far longer.
        tile, floors = Tile.of(0, unit), found.floors(0, n)
        both = (floors, floors)
        found.add(neighbours.compare_tiles(tile, tile, both, found.size, duplicate_from))
        return 0
    storage = run.store.storage
    names: list[str] = []
    for start in starts:
        raise_if_interrupted()
        file = io.BytesIO()
        np.save(file, unit[start : start + rows], allow_pickle=False)
        # Workers that outlive this run cache tiles by name, so the name includes the run.
        names.append(f"{run.work}/{run.run_id}-{start}.npy")
        storage.write(names[-1], file.getvalue())
    pairs = list(neighbours.tile_pairs(len(starts)))

    def tasks() -> Iterator[tuple[Any, ...]]:
        for i, j in pairs:
            # Computed as late as possible: higher floors exclude more candidates.
            floors = tuple(found.floors(starts[tile], starts[tile] + rows) for tile in (i, j))
            tiles = (names[i], starts[i]), (names[j], starts[j])
            yield storage.root, tiles, floors, found.size, duplicate_from

    progress = run.session.progress
    pool = run.pool()
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
    data = io.BytesIO(storage_of(root).read(name))
    return Tile.of(start, np.load(data, allow_pickle=False))


# Rows of the tables


def _key_columns(vectors: Vectors, indices: np.ndarray) -> list[pa.ChunkedArray]:
    """Return the columns that identify the rows at ``indices``."""
    columns = ["track_id"] + (["segment"] if vectors.level == "segment" else [])
    return [vectors.names[name].take(pa.array(indices)) for name in columns]


def _neighbour_rows(
    vectors: Vectors, found: Neighbours, k: int, duplicate_from: float
) -> Iterator[pa.Table]:
    """Yield the rows of ``similarity`` in batches."""
    n = len(vectors.unit)
    step = max(1, _PART_ROWS // max(k, 1))
    for start in range(0, n if k else 0, step):
        raise_if_interrupted()
        stop = min(start + step, n)
        indices, cosines = found.lists(start, stop)
        columns = [
            *_key_columns(vectors, np.repeat(np.arange(start, stop), k)),
            pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), stop - start)),
            *_key_columns(vectors, indices.ravel()),
            pa.array(cosines.ravel()),
            pa.array(cosines.ravel() >= duplicate_from),
        ]
        yield pa.table(columns, schema=schemas.similarity(vectors.level))


def _duplicate_rows(vectors: Vectors, pairs: np.ndarray, cosines: np.ndarray) -> pa.Table:
    first, second = (_key_columns(vectors, indices) for indices in pairs.T)
    return pa.table([*first, *second, pa.array(cosines)], schema=schemas.duplicates(vectors.level))


def _matrix_rows(vectors: Vectors, schema: pa.Schema, part_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of ``similarity-matrix``, one part at a time."""
    for start in range(0, len(vectors.unit), part_rows):
        raise_if_interrupted()
        rows = vectors.unit[start : start + part_rows]
        cosines = np.clip(rows @ vectors.unit.T, -1, 1).astype(np.float32)
        names = vectors.names["track_id"].slice(start, len(rows))
        columns = [names, *(pa.array(column) for column in cosines.T)]
        yield pa.table(columns, schema=schema)


def _compare_labels(
    vectors: Vectors, pairs: np.ndarray, cosines: np.ndarray
) -> tuple[int, list[Duplicate]]:
    """Count the pairs with different labels; return some pairs, those with two labels first."""
    labels = np.array(vectors.names["label"].to_pylist(), object)
    differ = (labels[pairs[:, 0]] != labels[pairs[:, 1]]).astype(bool)
    order = np.argsort(~differ, kind="stable")[:_SHOWN_DUPLICATES]
    tracks = vectors.names["track_id"]
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
