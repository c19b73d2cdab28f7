"""The integrity of a store: everything that can be checked without the recordings.

Each part of each table is read whole, against the checksums of its pages and against the manifest.
The tables are compared with one another, and models with their digests. Only the names of tracks
are kept in memory. Nothing is written, and no lock is needed.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurizer.columns import SAMPLE_RATE
from featurizer.extract import segment_step
from featurizer.feature_set import Level, feature_set, feature_sets
from jobs.errors import DamageError, StoreError
from jobs.extraction.remarks import is_long_enough
from jobs.learning import registry
from jobs.learning.folds import model_stems
from jobs.neighbours import metrics
from jobs.progress import Progress
from jobs.store import manifest, schemas
from jobs.store.commit import check_journal
from jobs.store.damage import damage_error, remedy
from jobs.store.lock import JOURNAL, is_committing
from jobs.store.schemas import (
    COMPARED,
    DUPLICATES,
    MATRIX,
    NEIGHBOUR_METRICS,
    PREDICTED_LONG,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    PROBABILITY,
    SIMILARITY,
    SUSPECTS,
    TAGS,
    features_folder,
    table_folders,
    table_schemas,
)
from jobs.store.storage import Entry, Part
from jobs.store.tables import STORE_JSON, Store, is_part, open_store

MAX_NAMED = 3
"""Tracks that a finding names."""

_MAX_SEGMENTS = 200_000
"""Upper bound of a segment's number: four hours have 144,000 segments of 0.1 s."""

_MAX_OPEN = 500
"""Columns of a part that are read at once."""

_FOREIGN = "is foreign: no commit wrote it"
_REPEATED = "has rows that are repeated or not valid"
_LACKING = "lacks rows of tracks in `files`"

_KEYS = {
    "files": ["track_id", "status", "uri", "source", "duration_s", "sample_rate"],
    TAGS: ["track_id"],
    PREDICTED_TRACKS: ["track_id", "model"],
    PREDICTED_SEGMENTS: ["track_id", "model"],
    PREDICTED_LONG: ["track_id"],
    SUSPECTS: ["track_id"],
    SIMILARITY: ["track_id", "neighbour_id"],
    DUPLICATES: ["track_id", "duplicate_id"],
    MATRIX: ["track_id"],
    COMPARED: ["track_id"],
}
"""Columns of each table that are compared with other tables, except the features."""

_FEATURE_KEYS: dict[Level, list[str]] = {
    "track": ["track_id", "length"],
    "segment": ["track_id", "segment", "length"],
}
"""The same of features."""

_Keys = dict[str, list[Any] | set[Any]]
"""Values of a part's key columns: those of every row of features and files, else distinct ones."""

_REPORT_TABLES = {
    "metrics.parquet": schemas.METRICS,
    "confusion.parquet": schemas.CONFUSION,
    "importance.parquet": schemas.IMPORTANCE,
}
"""Tables of a model that only reports show."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong in a store.

    Parameters
    ----------
    file : str
        Name of the file, or of the table's folder, in the store.
    problem : str
        What is wrong.
    remedy : str
        What to do.
    """

    file: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class _File:
    """A row of ``files``, with the feature sets that the recording is long enough for."""

    is_ok: bool
    source: str
    sets: tuple[str, ...]


@dataclass
class Check:
    """A check of a store, and what a repair has to forget.

    Parameters
    ----------
    store : Store
        The store.
    progress : Progress
        Shows the progress.

    Attributes
    ----------
    findings : list of Finding
        Everything that is wrong.
    unchecked : str
        Why the tables were not compared with the manifest and one another; "" if they were.
    unsound : dict of str to list of str
        Parts that are damaged, missing or foreign, by table.
    stale : set of str
        Tables that have to be made anew as a whole, if they are computed from the features.
    forget : set of str
        Tracks with missing or wrong rows.
    models : list of str
        Damaged models.
    classes : dict of str to list of str
        Classes of each sound model.
    model_tables : dict of str to pa.Schema
        Damaged tables of sound models, which only reports show.
    champion : bool
        Whether ``champion.json`` is missing or names a sound model.
    parts, rows, bytes : int
        What was read.
    """

    store: Store
    progress: Progress
    findings: list[Finding] = field(default_factory=list)
    unchecked: str = ""
    unsound: dict[str, list[str]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    forget: set[str] = field(default_factory=set)
    models: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    model_tables: dict[str, pa.Schema] = field(default_factory=dict)
    champion: bool = True
    parts: int = 0
    rows: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        self._manifest: Mapping[str, Part] | None = None
        self._schemas: dict[str, pa.Schema] = {}
        self._imported = False
        levels = [(one.name, level) for one in feature_sets().values() for level in one.levels]
        self._features = {features_folder(*one): one for one in levels}
        self._files: dict[str, _File] = {}  # tracks in `files`
        # By feature set: samples of each track; bit i is set if the track has a segment i.
        self._lengths: dict[str, dict[str, int]] = {name: {} for name in feature_sets()}
        self._segments: dict[str, dict[str, int]] = {name: {} for name in feature_sets()}
        self._segment_lengths: set[int] = set()  # samples
        self._wrong: dict[tuple[str, str], set[str]] = {}  # tracks by table and problem

    def run(self) -> None:
        """Check everything."""
        before = self._state()
        # A commit may have changed the settings since the store was opened.
        self.store = open_store(self.store.storage)
        try:
            self._manifest = manifest.read(self.store.storage)
        except DamageError as error:
            self._add(manifest.MANIFEST, error.problem)
        self.progress.step("checking the models")
        self._check_models()
        listed = {table: self._list(table) for table in table_folders()}
        total = sum(map(len, listed.values()))
        self.progress.step("checking the tables")
        for table, entries in listed.items():
            self._check_missing(table, entries)
            for entry in entries:
                self.progress.update(f"{self.parts} of {total} parts, {self.rows:,} rows")
                self._check_part(table, entry)
            if table == "files":
                self._compare_features()
            if table == NEIGHBOUR_METRICS:
                self._check_metrics()
        for (table, problem), tracks in self._wrong.items():
            named = ", ".join(repr(track) for track in sorted(map(str, tracks))[:MAX_NAMED])
            self._add(table, f"{problem}: {len(tracks):,} tracks, such as {named}")
        self._drop_uncertain(before)

    def _add(self, name: str, problem: str) -> None:
        self.findings.append(Finding(name, problem, remedy(self.store.storage.root, name)))

    def _add_part(self, table: str, name: str, problem: str) -> None:
        self._add(name, problem)
        self.unsound.setdefault(table, []).append(name)
        if problem != _FOREIGN:
            self.stale.add(table)

    def _add_track(self, table: str, problem: str, track: str) -> None:
        self._wrong.setdefault((table, problem), set()).add(track)

    # Changes by other runs

    def _state(self) -> tuple[Any, ...]:
        """Return what differs if another run changes the store."""
        storage = self.store.storage
        content = b""
        with suppress(FileNotFoundError, DamageError):
            content = storage.read(manifest.MANIFEST)
        sizes = [
            (entry.name, entry.size) for table in table_folders() for entry in self._list(table)
        ]
        return is_committing(storage), content, sizes, registry.versions(self.store)

    def _drop_uncertain(self, before: tuple[Any, ...]) -> None:
        """Drop the findings that a commit may explain, if there was one meanwhile."""
        after = self._state()
        if before == after and not after[0]:
            return
        self.unchecked = (
            "a commit is under way or unfinished; the next run completes it"
            if after[0]
            else "another run changed the store meanwhile"
        )
        parts = [name for names in self.unsound.values() for name in names]
        self.findings = [
            found for found in self.findings if found.file in parts and self._is_unreadable(found)
        ]

        if after[0]:
            try:
                check_journal(self.store.storage)
            except FileNotFoundError:
                pass  # completed by now
            except StoreError as error:
                self.findings.append(Finding(JOURNAL, "cannot be completed", str(error)))

    def _is_unreadable(self, found: Finding) -> bool:
        try:
            for _ in self.store.storage.read_batches(found.file):
                pass
        except DamageError:
            return True
        except FileNotFoundError:
            pass
        return False

    # Parts

    def _list(self, table: str) -> list[Entry]:
        return [entry for entry in self.store.storage.list(table) if is_part(entry.name)]

    def _check_missing(self, table: str, entries: list[Entry]) -> None:
        names = {entry.name for entry in entries}
        for name, part in (self._manifest or {}).items():
            if name.rpartition("/")[0] == table and name not in names:
                self._add_part(table, name, f"does not exist (it had {part.rows:,} rows)")

    def _check_part(self, table: str, entry: Entry) -> None:
        """Read every page of a part, and keep the names in it."""
        name = entry.name
        try:
            rows, keys = self._read(table, name)
        except DamageError as error:
            self._add_part(table, name, error.problem)
        except FileNotFoundError:
            pass  # removed by another run since it was listed
        else:
            self.parts += 1
            self.rows += rows
            self.bytes += entry.size
            self._collect(table, keys)

    def _read(self, table: str, name: str) -> tuple[int, _Keys]:
        """Return the number of rows and the keys of a part; DamageError if it is unsound."""
        storage = self.store.storage
        found = storage.describe_part(name)
        expected = (self._manifest or {}).get(name)
        schema = storage.read_schema(name).remove_metadata()
        problem = ""
        if expected and found.bytes != expected.bytes:
            problem = f"is damaged ({found.bytes:,} bytes instead of {expected.bytes:,})"
        elif expected and found != expected:
            problem = "is damaged (its footer is not the one that was written)"
        elif found.rows and not expected and self._manifest is not None:
            problem = _FOREIGN
        elif not self._is_valid(table, schema):
            problem = "has other columns than its table"
        if problem:
            raise damage_error(storage.root, name, problem)
        columns = schema.names
        first = columns[:_MAX_OPEN] if len(columns) > _MAX_OPEN else None
        wanted = _KEYS.get(table, [])
        if table in self._features:
            wanted = _FEATURE_KEYS[self._features[table][1]]
        by_row = table == "files" or table in self._features
        keys: _Keys = {key: [] if by_row else set() for key in wanted}
        for batch in storage.read_batches(name, first):
            for key, values in keys.items():
                if isinstance(values, list):
                    values.extend(batch[key].to_pylist())
                else:
                    values.update(pc.unique(batch[key]).to_pylist())
        # Each column that is open at once has a buffer, and the matrix has thousands.
        for start in range(_MAX_OPEN, len(columns), _MAX_OPEN):
            for _ in storage.read_batches(name, columns[start : start + _MAX_OPEN]):
                pass
        return found.rows, keys

    def _is_valid(self, table: str, schema: pa.Schema) -> bool:
        """Return whether a part has the columns of its table, and those of its other parts."""
        if table in table_schemas():
            own = table_schemas()[table]
            return schema in (own, schemas.of_older_songmill(own))
        known = "track_id" in schema.names
        if table in (SIMILARITY, DUPLICATES):
            make = schemas.similarity if table == SIMILARITY else schemas.duplicates
            expected = [make(level) for level in ("track", "segment")]
            known = any(schema in (one, _without_metric(one)) for one in expected)
        elif table in (PREDICTED_TRACKS, PREDICTED_SEGMENTS):
            segments = table == PREDICTED_SEGMENTS
            made = schemas.predictions(_classes(schema), segments=segments)
            known = schema in (made, _without_learnt(made))
        return known and bool(schema == self._schemas.setdefault(table, schema))

    # Rows

    def _collect(self, table: str, columns: _Keys) -> None:
        """Keep the names in a part's rows, or compare them with those of the features."""
        if table == "files":
            self._collect_files(columns)
        elif table in self._features:
            self._collect_features(table, columns)
        else:
            self._compare_names(table, columns)

    def _collect_files(self, columns: _Keys) -> None:
        numbers = (columns["duration_s"], columns["sample_rate"])
        seconds, rates = (np.array(list(column), float) for column in numbers)
        sets = self._lengths.keys() & self.store.settings.feature_sets.keys()
        long_enough = {name: is_long_enough(name, seconds, rates) for name in sorted(sets)}
        texts = (columns[name] for name in ("track_id", "status", "uri", "source"))
        shared: dict[_File, _File] = {}
        for i, (track, status, uri, source) in enumerate(zip(*texts, strict=True)):
            self._imported |= str(uri).startswith(f"{source}#")
            if track in self._files:
                self._add_track("files", _REPEATED, track)
            found = tuple(name for name, enough in long_enough.items() if enough[i])
            file = _File(status == "ok", source, found)
            self._files[track] = shared.setdefault(file, file)

    def _collect_features(self, table: str, columns: _Keys) -> None:
        name, level = self._features[table]
        if level == "track":
            lengths = self._lengths[name]
            for track, length in zip(columns["track_id"], columns["length"], strict=True):
                if track in lengths:
                    self._add_track(table, _REPEATED, track)
                lengths[track] = length
            return
        segments = self._segments[name]
        for track, segment in zip(columns["track_id"], columns["segment"], strict=True):
            bit = 1 << segment if segment in range(_MAX_SEGMENTS) else 0
            if not bit or segments.get(track, 0) & bit:
                self._add_track(table, _REPEATED, track)
            segments[track] = segments.get(track, 0) | bit
        self._segment_lengths.update(filter(None, columns["length"]))

    def _compare_features(self) -> None:
        """Compare the tracks of `files`, the features of tracks and those of segments."""
        # The tracks of a source get a further feature set by the next extraction of the source.
        extracted = {
            (file.source, name)
            for name, lengths in self._lengths.items()
            for track, file in self._files.items()
            if track in lengths
        }
        first = min(self.store.settings.feature_sets)
        for track, file in self._files.items():
            has_rows = self._has_features(track)
            if not file.is_ok:
                if has_rows:
                    self._add_track("files", "lists tracks as failed that have features", track)
            elif not has_rows:
                self._add_track(features_folder(first, "track"), _LACKING, track)
            elif not self._imported:
                for name in file.sets:
                    if (file.source, name) in extracted and track not in self._lengths[name]:
                        self._add_track(features_folder(name, "track"), _LACKING, track)
        for found in (*self._lengths.values(), *self._segments.values()):
            for track in found.keys() - self._files.keys():
                self._add_track("files", "lacks rows of tracks with features", track)
        # An import may have tracks without segments, and the reverse.
        if not self._imported and self._check_settings():
            for table, (name, level) in self._features.items():
                if level == "segment":
                    self._check_segments(table, name)
        self.forget = set().union(*self._wrong.values())

    def _has_features(self, track: str) -> bool:
        return any(track in one for one in (*self._lengths.values(), *self._segments.values()))

    def _check_segments(self, table: str, name: str) -> None:
        """Check that each track with features of a set has all its segments."""
        step = segment_step(self.store.settings.segment_seconds)
        is_too_short = feature_set(name).min_samples > step - 1
        for track in self._segments[name].keys() - self._lengths[name].keys():
            self._add_track(features_folder(name, "track"), _LACKING, track)
        for track, length in self._lengths[name].items():
            count = min(max(0, (length or 0) + 1) // step, _MAX_SEGMENTS)
            expected = 0 if is_too_short else (1 << count) - 1
            if self._segments[name].get(track, 0) != expected:
                self._add_track(table, "lacks segments, or has too many", track)

    def _check_settings(self) -> bool:
        """Return whether there are segments of the length in the settings, or none at all."""
        seconds = self.store.settings.segment_seconds
        lengths = self._segment_lengths
        if not self._files or not lengths or segment_step(seconds) - 1 in lengths:
            return True
        found = (min(lengths) + 1) / SAMPLE_RATE
        problem = f"is damaged (segment_seconds is {seconds:g}, but segments are {found:g} s long)"
        self._add(STORE_JSON, problem)
        return False

    def _compare_names(self, table: str, columns: _Keys) -> None:
        """Compare the names in a table computed from the features with those of the features."""
        names = {name for key in columns.keys() - {"model"} for name in columns[key]}
        if table == MATRIX and names:
            names.update(self._schemas[table].names[1:])
        for track in names - self.forget:
            if not self._has_features(track):
                self._add_track(table, "names tracks without features", track)
                self.stale.add(table)
        for version in set(columns.get("model", ())):
            if self.classes.get(version) != _classes(self._schemas[table]):
                problem = f"has predictions by {version}, which is no sound model of these classes"
                self._add(table, problem)
                self.stale.add(table)

    # Metrics and models

    def _check_metrics(self) -> None:
        for entry in self._list(NEIGHBOUR_METRICS):
            if entry.name in self.unsound.get(NEIGHBOUR_METRICS, ()):
                continue
            rows: list[dict[str, Any]] = []
            with suppress(FileNotFoundError):  # removed by another run since it was listed
                rows = self.store.storage.read_table(entry.name).to_pylist()
            for row in rows:
                try:
                    metrics.from_row(row)
                except ValueError as error:
                    self._add(
                        NEIGHBOUR_METRICS, f"has a damaged metric {row['metric']!r} ({error})"
                    )
                    self.stale.add(NEIGHBOUR_METRICS)

    def _check_models(self) -> None:
        for version in registry.versions(self.store):
            problems = dict(self._problems_of(version))
            for name, problem in problems.items():
                self._add(registry.file_of(version, name), problem)
            if problems.keys() - _REPORT_TABLES.keys():
                self.models.append(version)
            else:
                for name in problems:
                    self.model_tables[registry.file_of(version, name)] = _REPORT_TABLES[name]
                self.classes[version] = registry.describe(self.store, version).classes
        try:
            self.champion = registry.champion(self.store) not in self.models
        except DamageError as error:
            self._add(registry.CHAMPION, error.problem)
            self.champion = False

    def _problems_of(self, version: str) -> Iterator[tuple[str, str]]:
        """Yield the name of each damaged file of a model, and what is wrong with it."""
        try:
            described = registry.describe(self.store, version)
        except DamageError as error:
            yield registry.MODEL_JSON, error.problem
            return
        for stem in (*model_stems(described.folds or 0), registry.JUDGED):
            try:
                registry.load(self.store, version, stem)
            except DamageError as error:
                yield described.file_name(stem), error.problem
        tables = {registry.SPLIT: schemas.SPLIT, **_REPORT_TABLES}
        if described.folds is not None:
            tables[registry.FOLDS] = schemas.FOLDS
        older = {registry.FOLDS: schemas.FOLDS_ALONE}
        for name, schema in tables.items():
            try:
                rows = registry.read_table(self.store, version, name)
            except DamageError as error:
                yield name, error.problem
            else:
                known = schema, older.get(name, schemas.of_older_songmill(schema))
                if rows.schema not in known:
                    yield name, "has other columns than its table"


def _without_metric(schema: pa.Schema) -> pa.Schema:
    """Return the schema that an older songmill gave to a table of neighbours."""
    return pa.schema([field for field in schema if field.name not in ("score", "metric")])


def _without_learnt(schema: pa.Schema) -> pa.Schema:
    """Return the schema that an older songmill gave to a table of predictions."""
    names = ("probability", "learnt")
    return pa.schema([field for field in schema if field.name not in names])


def _classes(schema: pa.Schema) -> list[str]:
    """Return the classes of the columns of a table of predictions."""
    names = [name for name in schema.names if name.startswith(PROBABILITY)]
    return [name.removeprefix(PROBABILITY) for name in names]
