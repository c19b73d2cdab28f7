"""Similarity: the nearest neighbours of every row of a store, and the recordings it has twice.

The vectors lie as tiles in the store's working folder; the cluster's workers have every two of them
meet, and the job keeps the lists. What is computed there: :mod:`recommend.neighbours`.
"""

import functools
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jobs import defaults
from jobs.cluster.failures import count_workers
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

MOST_FULL = 20_000
"""Of so many tracks the whole matrix is written, and no more."""

_PART_ROWS = 1_000_000
_PART_BYTES = 2**28

_SHOWN = 10


@dataclass(frozen=True)
class Duplicate:
    """Two rows that are the same recording, and what they are labelled."""

    track_id: str
    duplicate_id: str
    label: str | None
    duplicate_label: str | None
    cosine: float


@dataclass(frozen=True)
class Outcome:
    """What was found.

    Parameters
    ----------
    level : {"segment", "track"}
        Of the rows.
    rows : int
        Rows that were compared.
    k : int
        Neighbours of each; fewer than asked for where there are fewer rows.
    duplicates : int
        Pairs that are the same recording.
    across_labels : int
        Those of them whose labels differ.
    shown : list of Duplicate
        The first of these, those across labels before the others.
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
    """Find the nearest neighbours of every row; write ``similarity`` and ``duplicates``.

    Parameters
    ----------
    store : str or Session
        Address of the store; or the session of a run.
    k : int
        Neighbours of each row.
    level : {"track", "segment"}
        Rows that are compared.
    duplicate_from : float [range=(0.5, 1)]
        Cosine from which two rows are taken for the same recording.
    full : bool
        Whether the whole matrix of cosines is written too, for up to 20,000 tracks.
    scheduler, workers, progress
        As for :func:`jobs.extraction.extract.extract`.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        There are no rows of the level, or too many for the whole matrix.
    SongmillError
        The store or the cluster fails; the tables stay as they were.
    """
    session = open_session(store, scheduler=scheduler, workers=workers, progress=progress)
    progress = session.progress
    if full and level == "segment":
        raise UsageError("--full writes the matrix of tracks: leave out --level segment")
    with session.stage("similarity") as run:
        progress.say("reading the features")
        vectors = read_vectors(run.store, level)
        n = len(vectors.unit)
        if full and n > MOST_FULL:
            raise UsageError(
                f"the whole matrix of {n:,} tracks would take {n * n * 4 / 1e9:,.0f} GB; --full is "
                f"for at most {MOST_FULL:,} tracks. Leave it out: the {k} nearest of each "
                "take a millionth of that"
            )
        k = min(k, n - 1)
        known, used = Neighbours(vectors.unit, k), 0
        if k:
            used = fill(known, vectors.unit, run, duplicate_from)
        pairs, cosines = known.duplicates()
        _warn_of_many(pairs, progress)
        change = commit.Change()
        commit.stage_replacement(
            run.store,
            change,
            SIMILARITY,
            _neighbour_rows(vectors, known, k, duplicate_from),
            schemas.similarity(vectors.level),
            part_rows=_PART_ROWS,
        )
        commit.stage_replacement(
            run.store,
            change,
            DUPLICATES,
            [_pair_rows(vectors, pairs, cosines)],
            schemas.duplicates(vectors.level),
            part_rows=_PART_ROWS,
        )
        if full or run.store.parts(MATRIX):
            commit.stage_replacement(
                run.store,
                change,
                MATRIX,
                _matrix_rows(vectors) if full else [],
                _matrix_schema(vectors) if full else pa.schema([("track_id", pa.string())]),
                part_rows=_matrix_part_rows(n),
            )
        across, shown = _shown(vectors, pairs, cosines)
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


@dataclass(frozen=True)
class _Meeting:
    """Two tiles that are to meet: their files, the index of the first row of each, their floors."""

    root: str
    names: tuple[str, str]
    starts: tuple[int, int]
    floors: tuple[np.ndarray, np.ndarray]
    size: int
    duplicate_from: float


def fill(
    known: Neighbours,
    unit: np.ndarray,
    run: Stage,
    duplicate_from: float,
) -> int:
    """Have every two tiles meet, and return the number of workers that did it.

    Parameters
    ----------
    known : Neighbours
        Gets what they find.
    unit : np.ndarray [shape=(n, 57), float64]
        The vectors.
    run : Stage
        The stage, in whose folder the tiles lie meanwhile.
    duplicate_from : float
        Cosine from which a pair is kept as duplicates.

    Raises
    ------
    ClusterError
        The cluster is lost, or fails.
    """
    n = len(unit)
    rows = neighbours.tile_rows(n)
    starts = range(0, n, rows)
    if len(starts) == 1:
        # A cluster would take far longer to start.
        tile = Tile.of(0, unit)
        floors = known.floors(0, n)
        known.add(
            neighbours.compare_tiles(tile, tile, (floors, floors), known.size, duplicate_from)
        )
        return 0
    storage = run.store.storage
    names: list[str] = []
    for start in starts:
        raise_if_interrupted()
        file = io.BytesIO()
        np.save(file, unit[start : start + rows], allow_pickle=False)
        # Workers that outlive this run keep what they have read, by its name.
        names.append(f"{run.work}/{run.run_id}-{start}.npy")
        storage.write(names[-1], file.getvalue())
    plan = list(neighbours.tile_pairs(len(starts)))

    def meetings() -> Iterator[tuple[_Meeting]]:
        for i, j in plan:
            # As late as can be: the fuller the lists, the less there is to look at.
            floors = [known.floors(starts[at], starts[at] + rows) for at in (i, j)]
            yield (
                _Meeting(
                    root=storage.root,
                    names=(names[i], names[j]),
                    starts=(starts[i], starts[j]),
                    floors=(floors[0], floors[1]),
                    size=known.size,
                    duplicate_from=duplicate_from,
                ),
            )

    progress = run.session.progress
    client = run.client()
    workers = count_workers(client)
    results = map_unordered(client, _meet, meetings(), tick=progress.workers, prefetch=1)
    for done, (place, found) in enumerate(results, 1):
        if not isinstance(found, Candidates):
            one, other = plan[place]
            raise ClusterError(f"the workers could not compare blocks {one}, {other}: {found!r}")
        known.add(found)
        progress.now(f"{done} of {len(plan)} pairs of blocks")
    return workers


def _meet(meeting: _Meeting) -> Candidates:
    _one_thread()
    one, other = (
        _tile(meeting.root, name, start)
        for name, start in zip(meeting.names, meeting.starts, strict=True)
    )
    return neighbours.compare_tiles(
        one, other, meeting.floors, meeting.size, meeting.duplicate_from
    )


@functools.cache
def _one_thread() -> None:
    """Keep matrix products of this process to one thread: a worker has as many as it has cores."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)


@functools.lru_cache(maxsize=6)
def _tile(root: str, name: str, start: int) -> Tile:
    data = io.BytesIO(storage_of(root).read(name))
    return Tile.of(start, np.load(data, allow_pickle=False))


# Rows of the tables


def _named(vectors: Vectors, places: np.ndarray) -> list[pa.ChunkedArray]:
    """Return the columns that name the rows at ``places``."""
    columns = ["track_id"] + (["segment"] if vectors.level == "segment" else [])
    return [vectors.names[name].take(pa.array(places)) for name in columns]


def _neighbour_rows(
    vectors: Vectors, known: Neighbours, k: int, duplicate_from: float
) -> Iterator[pa.Table]:
    """Yield the rows of ``similarity``, some at a time."""
    n = len(vectors.unit)
    step = max(1, _PART_ROWS // max(k, 1))
    for start in range(0, n if k else 0, step):
        raise_if_interrupted()
        stop = min(start + step, n)
        indices, cosines = known.lists(start, stop)
        columns = [
            *_named(vectors, np.repeat(np.arange(start, stop), k)),
            pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), stop - start)),
            *_named(vectors, indices.ravel()),
            pa.array(cosines.ravel()),
            pa.array(cosines.ravel() >= duplicate_from),
        ]
        yield pa.table(columns, schema=schemas.similarity(vectors.level))


def _pair_rows(vectors: Vectors, pairs: np.ndarray, cosines: np.ndarray) -> pa.Table:
    columns = [*_named(vectors, pairs[:, 0]), *_named(vectors, pairs[:, 1]), pa.array(cosines)]
    return pa.table(columns, schema=schemas.duplicates(vectors.level))


def _matrix_schema(vectors: Vectors) -> pa.Schema:
    tracks = vectors.names["track_id"].to_pylist()
    return pa.schema([("track_id", pa.string()), *((track, pa.float32()) for track in tracks)])


def _matrix_part_rows(n: int) -> int:
    return max(1, _PART_BYTES // (4 * n))


def _matrix_rows(vectors: Vectors) -> Iterator[pa.Table]:
    """Yield the rows of ``similarity-matrix``, as many at a time as a part has."""
    n = len(vectors.unit)
    step, schema = _matrix_part_rows(n), _matrix_schema(vectors)
    for start in range(0, n, step):
        raise_if_interrupted()
        rows = vectors.unit[start : start + step]
        cosines = np.clip(rows @ vectors.unit.T, -1, 1).astype(np.float32)
        names = vectors.names["track_id"].slice(start, len(rows))
        columns = [names, *(pa.array(column) for column in cosines.T)]
        yield pa.table(columns, schema=schema)


def _warn_of_many(pairs: np.ndarray, progress: Progress) -> None:
    most = np.bincount(pairs[:, 1]).max(initial=0) if len(pairs) else 0
    if most >= MAX_DUPLICATES:
        progress.warn(
            f"some recording is there more than {MAX_DUPLICATES} times (silence?): of each copy "
            f"only its pairs with {MAX_DUPLICATES} others are in {DUPLICATES}"
        )


def _shown(vectors: Vectors, pairs: np.ndarray, cosines: np.ndarray) -> tuple[int, list[Duplicate]]:
    """Return how many pairs have two labels, and the first pairs, those before the others."""
    labels = np.array(vectors.names["label"].to_pylist(), object)
    differ = (labels[pairs[:, 0]] != labels[pairs[:, 1]]).astype(bool)
    order = np.argsort(~differ, kind="stable")[:_SHOWN]
    tracks = vectors.names["track_id"]
    shown = [
        Duplicate(
            track_id=tracks[int(pairs[place, 0])].as_py(),
            duplicate_id=tracks[int(pairs[place, 1])].as_py(),
            label=labels[pairs[place, 0]],
            duplicate_label=labels[pairs[place, 1]],
            cosine=float(cosines[place]),
        )
        for place in order
    ]
    return int(differ.sum()), shown
