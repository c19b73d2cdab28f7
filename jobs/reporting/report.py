"""Report of a store: its collection, models, neighbours and runs on one page.

:mod:`jobs.reporting.overview` reads the data and :mod:`pages` draws them. No lock is needed, since
tables can be read at any time.
"""

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from featurizer.feature_set import feature_sets
from jobs import defaults
from jobs.errors import StoreError
from jobs.learning import registry
from jobs.neighbours import metrics
from jobs.neighbours.metrics import DESCRIPTIONS
from jobs.progress import Progress, clock, printable
from jobs.reporting import exploration, highlights, listening, overview
from jobs.reporting.overview import Sample
from jobs.store.address import absolute_path
from jobs.store.atomic import check_writable, write_file
from jobs.store.counts import count_labels, most_first
from jobs.store.schemas import MODELS, REPORT, SEGMENTS, SIMILARITY, SUSPECTS, comparison_table
from jobs.store.tables import Store, open_store
from pages import collection, explorer, models
from pages.page import Cell, Content, Page, Recording, Section, Table, number, render
from pages.picture import Picture
from pages.statistics import (
    Components,
    Distribution,
    block_correlations,
    correlations,
    principal_components,
)
from pages.style import MAX_LABELS, NO_LABEL, OTHER_LABELS, display_name
from recommend.metric import Name

_FOLDER, _PAGE = REPORT.split("/")

_MAX_CORRELATIONS = 10
_MAX_HEATMAP_COLUMNS = 60
_PERCENTILES = (5, 50, 95)
_MAX_IMPORTANCE_BARS = 20
_MAX_TRACKS = 8
_MAX_NEIGHBOURS = 5
_MAX_SUSPECTS = 50
_MAX_RUNS = 30
_MAX_COMPARED = 12
_MAX_COUNTS = 12
_MAX_CLASSES = 40
_TEMPO = "tempo"
_SEGMENT_COLUMNS = {
    "track_id": "segment",
    "neighbour_id": "neighbour_segment",
    "duplicate_id": "duplicate_segment",
}
"""Columns that name a track, and the columns of its segment in tables of segments."""
_KINDS = {"lda": "linear discriminant analysis", "xgboost": "boosted trees"}


@dataclass(frozen=True)
class Outcome:
    """Summary of a report.

    Parameters
    ----------
    page : str
        Path of the page.
    tracks : int
        Tracks of the feature set that has most of them.
    sampled : int
        Those of them in the pictures.
    missing : list of str
        Sections without data.
    previews : int
        Excerpts of recordings beside the page.
    """

    page: str
    tracks: int
    sampled: int
    missing: list[str]
    previews: int


def report(
    *,
    store: str | Store,
    out: str | None = None,
    previews: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write the report of a store.

    Parameters
    ----------
    store : str or Store
        The store, or its address.
    out : str, optional
        Folder for ``index.html``; by default ``report`` in the store.
    previews : bool
        Whether to write excerpts of the recordings into the folder ``previews`` beside the page,
        for a report that is read on another machine.
    progress : Progress, optional
        By default lines on stderr.

    Raises
    ------
    UsageError
        There is no store, or ``out`` is not writable.
    StoreError
        The store is damaged.
    """
    store = open_store(store)
    progress = progress or Progress()
    if out:
        check_writable(out)
    progress.step("reading the tables")
    contents = _Report(store, overview.sample_sets(store))
    folder = absolute_path(out) if out else store.storage.path(_FOLDER)

    def write(name: str, data: bytes) -> None:
        if out:
            write_file(os.path.join(folder, name), data)
        else:
            store.storage.write(f"{_FOLDER}/{name}", data)

    with_preview = listening.write_previews(contents.paths, write, progress) if previews else []
    for track in with_preview:
        contents.addresses.setdefault(track, []).append(listening.preview_path(track))
    sections = []
    for anchor, title, make in (
        ("overview", "At a glance", contents.overview),
        ("explore", "Explore the tracks", contents.explore),
        ("collection", "The collection", contents.collection),
        ("correlations", "Correlations", contents.correlations),
        ("tempo", "Tempo", contents.tempo),
        ("components", "Principal components", contents.components),
        ("features", "Features", contents.features),
        ("comparison", "Compared models", contents.comparison),
        ("model", "The model that predicts", contents.champion),
        ("neighbours", "Neighbours", contents.neighbours),
        ("duplicates", "Duplicates", contents.duplicates),
        ("suspects", "Suspected mislabels", contents.suspects),
        ("runs", "Runs", contents.runs),
    ):
        progress.step(f"drawing: {title}")
        try:
            content = make()
        except StoreError as error:
            content = Content(text=printable(str(error)))
        sections.append(Section(anchor, title, content))
    settings = store.settings
    name = os.path.basename(store.storage.root) or store.storage.root
    page = Page(
        title=f"songmill: {printable(name)}",
        text=f"Contents of the store {printable(store.storage.root)}, as of "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Features {settings.versions}, segments of "
        f"{settings.segment_seconds:g} s.",
        sections=sections,
    )
    write(_PAGE, render(page))
    if previews:
        listening.remove_other_previews(folder, with_preview)
    return Outcome(
        page=os.path.join(folder, _PAGE),
        tracks=contents.total,
        sampled=len(contents.largest) if contents.largest else 0,
        missing=[section.title for section in sections if section.content.command],
        previews=len(with_preview),
    )


class _Report:
    """The sections of a store's report; ``samples`` have the tracks in the pictures."""

    def __init__(self, store: Store, samples: list[Sample]) -> None:
        self._store = store
        self._option = f"--store {shlex.quote(printable(store.storage.root))}"
        self.total = max((sample.total for sample in samples), default=0)
        self._samples = [sample for sample in samples if len(sample)]
        self.largest = max(self._samples, key=lambda one: one.total, default=None)
        extract, imported = self._command("extract SOURCE…"), self._command("import-features CSV…")
        self._tracks_command = f"{extract} or {imported}"
        self._counts = count_labels(store)
        self._styles = overview.label_styles(self._counts)

    def _labels(self, sample: Sample) -> list[str]:
        """Return the label of each track of a sample, as it is shown."""
        return [
            NO_LABEL if label is None else label if label in self._styles else OTHER_LABELS
            for label in sample.names["label"].to_pylist()
        ]

    def _command(self, command: str) -> str:
        return f"songmill {command} {self._option}"

    def _no_tracks(self) -> Content:
        if self.total:
            return Content(text="All tracks are left out: no recording has such numbers.")
        return Content(command=self._tracks_command)

    def _label(self, label: str | None) -> Cell:
        if label is None:
            return Cell(NO_LABEL)
        return Cell(display_name(printable(label)), colour=self._styles.colour(label))

    def _track(self, row: dict[str, Any], column: str, label: str | None) -> Cell:
        """Return the cell of a track or segment: its name, its label and its recording."""
        cell = self._label(label)
        return Cell(
            _row_name(row, column),
            colour=cell.colour,
            subtext=cell.text,
            recording=self._recording(row, column),
            track=row[column],
        )

    def _recording(self, row: dict[str, Any], column: str) -> Recording | None:
        """Return the recording of a track or segment; None if it cannot be reached."""
        addresses = self.addresses.get(row[column])
        if addresses is None:
            return None
        start_s = row.get(_SEGMENT_COLUMNS[column], 0) * self._store.settings.segment_seconds
        return Recording(_row_name(row, column), addresses, start_s)

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path or address of the recording of each track that the page names, lists first."""
        rows = list(self._named())
        named = [row[column] for row in rows for column in _SEGMENT_COLUMNS if row.get(column)]
        if self.largest:
            named += self.largest.names["track_id"].to_pylist()
        with suppress(StoreError):  # the section of the collection reports damaged files
            return overview.read_paths(self._store, list(dict.fromkeys(named)))
        return {}

    @cached_property
    def addresses(self) -> dict[str, list[str]]:
        """Addresses from which the page plays the recordings of tracks."""
        return listening.file_addresses(self.paths)

    def _named(self) -> Iterator[dict[str, Any]]:
        """Yield the rows that name tracks in lists. A damaged table costs its own section only."""
        with suppress(StoreError):
            for rows in self._suspects:
                yield from rows[:_MAX_SUSPECTS]
        with suppress(StoreError):
            yield from self._duplicates.rows
        with suppress(StoreError):
            yield from chain.from_iterable(self._neighbours.values())

    @cached_property
    def _suspects(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Tracks whose recording occurs twice, and labels that a model contradicts."""
        found = self._store.read(SUSPECTS).sort_by("rank").to_pylist()
        repeated = [row for row in found if row["duplicate_id"]]
        return repeated, [row for row in found if not row["duplicate_id"]]

    @cached_property
    def _duplicates(self) -> overview.Duplicates:
        return overview.read_duplicates(self._store)

    @cached_property
    def _neighbours(self) -> dict[str, list[dict[str, Any]]]:
        """Neighbours of one track of each label."""
        if self.largest is None:
            return {}
        first: dict[str, str] = {}
        tracks, labels_of = self.largest.names["track_id"].to_pylist(), self._labels(self.largest)
        for i in np.random.default_rng(0).permutation(len(tracks)):
            first.setdefault(labels_of[i], tracks[i])
        shown = [first[label] for label in sorted(first)][:_MAX_TRACKS]
        return overview.read_neighbours(self._store, shown, _MAX_NEIGHBOURS)

    def overview(self) -> Content:
        """Show how good the model is, what changed, and what needs a look."""
        contradicted = duplicates = None
        # A damaged table is reported in its own section.
        with suppress(StoreError):
            if self._store.parts(SUSPECTS):
                contradicted = len(self._suspects[1])
        with suppress(StoreError):
            if self._store.parts(SIMILARITY):
                duplicates = self._duplicates
        runs = self._store.read("runs")
        last = highlights.last_extraction(runs)
        return Content(
            cards=(
                highlights.model_card(self._store, self._command),
                highlights.changes_card(runs, last),
                highlights.attention_card(
                    contradicted=contradicted,
                    duplicates=duplicates,
                    failed=(last["failed"] or 0) if last else 0,
                ),
            )
        )

    def collection(self) -> Content:
        """Show counts of tracks and files."""
        files = overview.count_files(self._store)
        tables = []
        if self._counts:
            rest = sum(count for _, count in self._counts[MAX_LABELS:])
            rows = [
                [self._label(label), number(count), number(count / self.total, ".1%")]
                for label, count in self._counts[:MAX_LABELS]
            ]
            if rest:
                rows.append([Cell(OTHER_LABELS), number(rest), number(rest / self.total, ".1%")])
            tables.append(Table("Tracks by label", ("label", "tracks", "share"), rows))
        tables += _count_table("Files by format", "suffix", files.suffixes)
        tables += _count_table("Files by sample rate", "rate (Hz)", files.rates, ",d")
        tables += _count_table("Files by channels", "channels", files.channels, "d")
        if files.failures:
            rows = []
            for kind, count in most_first(files.failures):
                track, message = files.examples[kind]
                text = f"{printable(track)}: {printable(message)}"
                rows.append([Cell(kind or "unknown"), number(count), Cell(text)])
            note = f"All of them: {self._command('status --failed')}"
            columns = ("kind", "files", "one of them")
            tables.append(Table("Failed files by kind", columns, rows, note=note))
        labels = sum(label is not None for label, _ in self._counts)
        of_sets = [(f"tracks with {one.feature_set.name} features", one) for one in self._samples]
        return Content(
            facts=(
                ("tracks", f"{self.total:,}"),
                *((name, f"{one.total:,}") for name, one in of_sets if len(of_sets) > 1),
                ("segments", f"{self._store.count_rows(SEGMENTS):,}"),
                ("hours", f"{files.seconds / 3600:,.2f}"),
                ("labels", f"{labels:,}"),
                ("files", f"{files.count:,}"),
                ("failed files", f"{files.failed:,}"),
            ),
            tables=tables,
            command="" if files.count or self.total else self._tracks_command,
        )

    @cached_property
    def _components(self) -> list[Components | None]:
        """Principal components of each sample, with the lengths as in the tutorial."""
        return [
            principal_components(
                np.column_stack([one.lengths, one.features]) if one.has_lengths else one.features
            )
            for one in self._samples
        ]

    def explore(self) -> Content:
        """Show the tracks of the largest sample on a map, with a search and a panel for each."""
        if self.largest is None:
            return self._no_tracks()
        tracks = exploration.read_tracks(
            self._store,
            self._samples,
            components=self._components,
            addresses=self.addresses,
            styles=self._styles,
        )
        return Content(
            text=f"A map, a search and a panel of each track, for {_sample_text(self.largest)}. "
            "This part needs JavaScript; the pictures and tables below do not.",
            explorer=explorer.pack(tracks),
        )

    def correlations(self) -> Content:
        """Show the correlations of the columns of each set, or of its blocks."""
        if not self._samples:
            return self._no_tracks()
        pictures, tables = [], []
        for sample in self._samples:
            if len(sample) > 1:
                picture, table = _correlations(sample)
                pictures.append(picture)
                tables.append(table)
        if not pictures:
            return Content(text="Correlations need two or more tracks.")
        return Content(pictures=pictures, tables=tables)

    def tempo(self) -> Content:
        """Show tempo by label, of the tracks that have one."""
        if not self._samples:
            return self._no_tracks()
        sample = next((one for one in self._samples if _TEMPO in one.feature_set.names), None)
        if sample is None:
            return Content(text=f"None of the store's feature sets has a column {_TEMPO}.")
        tempos = sample.features[:, sample.feature_set.names.index(_TEMPO)]
        has_tempo = tempos != 0  # a silent recording has none
        if not has_tempo.any():
            return Content(text="No track has a tempo.")
        text, silent = _sample_text(sample), int((~has_tempo).sum())
        if silent:
            text += f", without {silent:,} that {'has' if silent == 1 else 'have'} no tempo"
        tempos, labels = tempos[has_tempo], np.array(self._labels(sample), object)[has_tempo]
        found, rows = [], []
        for name in sorted(set(labels)):
            one = Distribution(name, np.sort(tempos[labels == name]))
            cell = self._label(None if name == NO_LABEL else name)
            quartiles = (number(value, ".2f") for value in one.quartiles)
            found.append(one)
            rows.append([cell, number(len(one.values)), *quartiles])
        columns = ("label", "tracks", "25 %", "median", "75 %")
        return Content(
            pictures=(collection.tempo_box_plot(found, self._styles, text),),
            tables=(Table("Tempo by label: quartiles, in BPM", columns, rows),),
        )

    def components(self) -> Content:
        """Show a scatter plot of the first two principal components of each set."""
        if not self._samples:
            return self._no_tracks()
        pictures = [
            collection.component_scatter(
                found,
                self._labels(sample),
                self._styles,
                feature_set=sample.feature_set.name,
                columns=f"the {sample.feature_set.name} features"
                + (" and the length" if sample.has_lengths else ""),
                sample=_sample_text(sample),
            )
            for sample, found in zip(self._samples, self._components, strict=True)
            if found
        ]
        text = "Principal components need three or more tracks that are not all alike."
        return Content(text="" if pictures else text, pictures=pictures)

    def features(self) -> Content:
        """Show percentiles and meanings of all columns of each set."""
        if not self._samples:
            return self._no_tracks()
        return Content(
            text="What each feature is, and the values that 5 %, 50 % and 95 % of the tracks do "
            "not exceed.",
            tables=[_percentile_table(sample) for sample in self._samples],
        )

    def comparison(self) -> Content:
        """Show scores of the compared models."""
        by_split: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for name in self._store.settings.feature_sets:
            for row in self._store.read(comparison_table(name)).to_pylist():
                rows_of = f"{name} {row['level']}s"
                by_split.setdefault((rows_of, row["split"]), []).append(row)
        if not by_split:
            return Content(command=self._command("compare --split by-track --split random"))
        splits = sorted(by_split.items(), key=lambda item: item[1][0]["leaky"])
        return Content(
            text="A split marked LEAKY has segments of the same track on both sides. Its scores "
            "overestimate those on new tracks.",
            tables=[_comparison_table(of, split, rows) for (of, split), rows in splits],
        )

    def champion(self) -> Content:
        """Show scores and importance of the champion."""
        version = registry.champion(self._store)
        if version is None:
            return Content(command=self._command("train"))
        try:
            return self._describe_model(version)
        except (KeyError, TypeError) as error:
            folder = self._store.storage.path(f"{MODELS}/{version}")
            text = f"The files in {folder} do not fit together ({error!r}). Restore undamaged "
            return Content(text=f"{printable(text)}copies, or train another model.")

    def _describe_model(self, version: str) -> Content:
        described = registry.describe(self._store, version)
        parts, score = described.split["tracks"], described.scores["track"]
        sizes = " · ".join(f"{parts[name]:,}" for name in ("train", "valid", "test"))
        facts = (
            ("version", version),
            ("trained", described.created_at[:16].replace("T", " ")),
            ("kind", _KINDS[described.kind]),
            ("trained on", f"{described.level}s, {described.feature_set}"),
            ("split", printable(described.split["name"])),
            ("tracks for training, validation, testing", sizes),
            ("accuracy by track", _with_interval(score, "accuracy")),
            ("macro F1 by track", _with_interval(score, "macro_f1")),
            ("99th percentile of random predictions", f"{score['chance']:.3f}"),
        )
        classes = described.classes
        index = {name: i for i, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), np.int64)
        for row in registry.read_table(self._store, version, "confusion.parquet").to_pylist():
            if row["level"] == "track":
                counts[index[row["label"]], index[row["predicted"]]] = row["count"]
        text, pictures = "", []
        if not counts.any():
            text = "The confusion matrix has no rows. A repair of the store empties a damaged one."
        elif len(classes) <= _MAX_CLASSES:
            tested = f"the {score['count']:,} test tracks"
            pictures.append(models.confusion_matrix(classes, counts, tested))
        else:
            text = f"The confusion matrix of {len(classes)} labels is too large for a picture. It "
            text += f"is in models/{version}/confusion.parquet."
        tables = [self._class_table(version, classes)]
        importance = registry.read_table(self._store, version, "importance.parquet").to_pylist()
        importance.sort(key=lambda row: (-row["mean"], row["feature"]))
        if importance:
            # Blocks say more than columns, whose correlated ones stand in for one another.
            blocks = [row for row in importance if row["feature"].endswith("_*")]
            first = (blocks or importance)[:_MAX_IMPORTANCE_BARS]
            what = "all columns of a block are" if blocks else "a column is"
            names, means, stds = ([row[x] for row in first] for x in ("feature", "mean", "std"))
            caption = (
                f"Loss of accuracy on the {described.level}s of the test part when {what} "
                f"shuffled: mean and spread of {first[0]['repeats']} repeats."
            )
            pictures.append(models.importance_bars(names, means, stds, caption))
            cells = {
                column.name: overview.feature_cell(column)
                for one in feature_sets().values()
                if one.version == described.feature_set
                for column in one.columns
            }
            rows = [
                [
                    cells.get(row["feature"], Cell(row["feature"])),
                    *(number(row[x], ".4f") for x in ("mean", "std")),
                ]
                for row in importance
            ]
            caption = f"Permutation importance of all {len(rows) - len(blocks)} columns"
            caption += ", and of blocks of them" if blocks else ""
            columns = ("column", "accuracy lost", "±")
            tables.append(Table(caption, columns, rows, collapsed=True))
        return Content(text=text, facts=facts, pictures=pictures, tables=tables)

    def _class_table(self, version: str, classes: Sequence[str]) -> Table:
        found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in classes}
        for row in registry.read_table(self._store, version, "metrics.parquet").to_pylist():
            if row["level"] == "track" and row["label"] in found:
                found[row["label"]][row["metric"]] = row
        names = ("precision", "recall", "f1")
        rows = []
        for label, of_class in found.items():
            values = [of_class[name]["value"] if name in of_class else None for name in names]
            cells = [number(value, ".3f") for value in values]
            tested = number(None)
            if "f1" in of_class:
                f1 = of_class["f1"]
                few = "few tracks" if f1["count"] < defaults.FEW_TRACKS else ""
                tested = Cell(f"{f1['count']:,}", f1["count"], subtext=few)
                cells[-1] = Cell(f"{f1['value']:.3f}", f1["value"], subtext=_ends(f1))
            rows.append([self._label(label), *cells, tested])
        return Table(
            "Test tracks, by label",
            ("label", "precision", "recall", "F1", "tracks"),
            rows,
            note="Under F1: its 95 % confidence interval. Few tracks: fewer than "
            f"{defaults.FEW_TRACKS}.",
        )

    def neighbours(self) -> Content:
        """Show the neighbours of one track of each label."""
        if not self._store.parts(SIMILARITY):
            return Content(command=self._command("similarity"))
        if self.largest is None:
            return self._no_tracks()
        found = self._neighbours
        neighbours = [row["neighbour_id"] for rows in found.values() for row in rows]
        labels = overview.read_labels(self._store, [*found, *neighbours])
        # The table of an older songmill has the cosine only, which is the score.
        metric: Name = next((rows[0].get("metric", "cosine") for rows in found.values()), "cosine")
        numbers = ("cosine",) if metric == "cosine" else ("score", "cosine")
        tables = []
        for track, rows in found.items():
            cells = []
            for row in rows[:_MAX_NEIGHBOURS]:
                cell = self._track(row, "neighbour_id", labels.get(row["neighbour_id"]))
                values = [number(row[name], ".4f") for name in numbers]
                cells.append([number(row["rank"]), cell, *values])
            label = f" ({printable(labels[track] or '')})" if labels.get(track) else ""
            table = Table(
                f"Nearest to {_row_name(rows[0], 'track_id')}{label}",
                ("rank", "track", *numbers),
                cells,
                recording=self._recording(rows[0], "track_id"),
            )
            tables.append(table)
        text = (
            f"The nearest neighbours of one track of each label ({_MAX_TRACKS} labels at most), by "
            f"the metric {metric}: {DESCRIPTIONS[metric]}."
        )
        kept = metrics.read(self._store).get(metric)
        if kept and kept.metric.classes:
            text += f" It has learned the labels {printable(', '.join(kept.metric.classes))}."
        return Content(text=text, tables=tables)

    def duplicates(self) -> Content:
        """Show pairs of duplicates."""
        if not self._store.parts(SIMILARITY):
            return Content(command=self._command("similarity"))
        found = self._duplicates
        if not found.total:
            return Content(text="There are no duplicates.")
        rows = []
        for row in found.rows:
            one = self._track(row, "track_id", row["label"])
            other = self._track(row, "duplicate_id", row["duplicate_label"])
            rows.append([one, other, number(row["cosine"], ".6f")])
        note = "" if len(rows) == found.total else f"{len(rows):,} of {found.total:,} pairs."
        text = f"Pairs that are probably the same recording: {found.total:,}."
        if found.with_two_labels:
            text += " Those with two different labels come first: one of the labels is wrong."
        table = Table("Pairs to look at", ("track", "is also", "cosine"), rows, note=note)
        return Content(text=text, tables=(table,))

    def suspects(self) -> Content:
        """Show recordings that occur twice, and labels that a model contradicts."""
        if not self._store.parts(SUSPECTS):
            return Content(command=self._command("predict --all"))
        repeated, contradicted = self._suspects
        if not repeated and not contradicted:
            return Content(text="No label is suspected to be wrong.")
        tables = []
        if contradicted:
            rows = [
                [
                    number(row["rank"]),
                    self._track(row, "track_id", row["label"]),
                    self._label(row["suggested"]),
                    number(row["probability"], ".2f"),
                    number(row["self_confidence"], ".2f"),
                ]
                for row in contradicted[:_MAX_SUSPECTS]
            ]
            caption = _shown(len(rows), len(contradicted), "labels that a model contradicts")
            columns = ("rank", "track, label", "suggested", "probability", "of its label")
            tables.append(Table(caption, columns, rows))
        if repeated:
            rows = [
                [
                    number(row["rank"]),
                    self._track(row, "track_id", row["label"]),
                    self._track(row, "duplicate_id", row["suggested"] or row["label"]),
                ]
                for row in repeated[:_MAX_SUSPECTS]
            ]
            caption = _shown(len(rows), len(repeated), "tracks whose recording occurs twice")
            tables.append(Table(caption, ("rank", "track, label", "same recording as"), rows))
        return Content(
            text="Labels that a model contradicts confidently that has not learnt the track; and "
            "recordings that occur twice, those with two different labels first. Listen to them, "
            "correct the labels that are wrong, and remove the copies. The ranks are those of "
            "`songmill suspects`, which lists recordings that occur twice first.",
            tables=tables,
        )

    def runs(self) -> Content:
        """Show the last runs, and all models."""
        runs = self._store.read("runs").sort_by([("started_at", "descending")])
        scores, table = self._models()
        tables = [table] if table.rows else []
        if not runs.num_rows and not tables:
            return self._no_tracks()
        rows = []
        for run in runs.slice(0, _MAX_RUNS).to_pylist():
            files = None
            if run["extracted"] is not None:
                files = run["extracted"] + (run["failed"] or 0)
            speed = files / run["seconds"] if files and run["seconds"] else None
            when = f"{run['started_at']:%Y-%m-%d %H:%M:%S}, {run['outcome']}"
            stage = Cell(f"{run['stage'] or 'extract'}", subtext=when)
            took = Cell(clock(run["seconds"]), run["seconds"])
            rows.append([stage, took, number(files), number(run["failed"]), number(speed, ".1f")])
        columns = ("stage", "took", "files", "failed", "files/s")
        shown = f"The last {len(rows)} of {runs.num_rows:,}" if len(rows) < runs.num_rows else "All"
        if rows:
            tables.insert(0, Table(f"{shown} runs, the newest first (UTC)", columns, rows))
        pictures = [models.scores_over_time(scores)] if len(scores) > 1 else []
        compared = self._changes()
        pictures += [models.changes(compared)] if compared else []
        return Content(pictures=pictures, tables=tables)

    def _changes(self) -> list[models.ModelChanges]:
        """Return the changes since earlier models of the newest models that were compared."""
        found = []
        for version in reversed(registry.versions(self._store)):
            try:
                created = registry.describe(self._store, version).created_at
                table = registry.read_table(self._store, version, "metrics.parquet")
            except StoreError:
                continue
            since = {
                row["metric"]: models.Change(row["value"], row["lower"], row["upper"])
                for row in table.to_pylist()
                if row.get("lower") is not None and "since" in row["metric"]
            }
            if since:
                pair = since.get("since_champion"), since.get("trend_since_best")
                found.append(models.ModelChanges(created[:16].replace("T", " "), *pair))
        return found[:_MAX_COMPARED]

    def _models(self) -> tuple[list[models.Score], Table]:
        try:
            champion = registry.champion(self._store)
        except StoreError:
            champion = None
        scores, rows = [], []
        for version in registry.versions(self._store):
            try:
                described = registry.describe(self._store, version)
            except StoreError:
                cell = Cell(version, subtext="damaged")
                rows.append([cell, number(None), number(None), Cell("")])
                continue
            score, best = described.scores["track"], version == champion
            time = np.datetime64(datetime.fromisoformat(described.created_at).replace(tzinfo=None))
            intervals = [
                (score[f"{name}_lower"], score[f"{name}_upper"])
                if f"{name}_lower" in score
                else None
                for name in ("macro_f1", "accuracy")
            ]
            scores.append(
                models.Score(time, score["macro_f1"], score["accuracy"], best, *intervals)
            )
            cell = Cell(version, subtext=described.created_at[:16].replace("T", " "))
            numbers = (
                Cell(f"{score[name]:.3f}", score[name], subtext=_ends(score, f"{name}_"))
                for name in ("accuracy", "macro_f1")
            )
            rows.append([cell, *numbers, Cell("yes" if best else "")])
        columns = ("model", "accuracy", "macro F1", "predicts")
        return scores, Table("Models, judged by track (UTC)", columns, rows[::-1])


def _shown(shown: int, total: int, what: str) -> str:
    """Return the caption of a table with the first of some rows."""
    return f"The first {shown} of {total:,} {what}" if shown < total else f"All {total:,} {what}"


def _sample_text(sample: Sample) -> str:
    """Describe the tracks of a sample."""
    size = len(sample)
    text = (
        f"all {size:,} tracks"
        if size + sample.excluded == sample.total
        else f"a sample of {size:,} of the {sample.total:,} tracks, drawn at random"
    )
    if sample.excluded:
        text += f" ({sample.excluded:,} are left out: no recording has such numbers)"
    return text


def _correlations(sample: Sample) -> tuple[Picture, Table]:
    """Return the picture and the table of a feature set's correlations."""
    of, text = sample.feature_set, _sample_text(sample)
    names: Sequence[str] = of.names
    if len(names) > _MAX_HEATMAP_COLUMNS:
        found = correlations(sample.features)
        blocks = [column.block for column in of.columns]
        strengths = block_correlations(found, blocks)
        picture = collection.block_heatmap(of.name, list(dict.fromkeys(blocks)), strengths, text)
    else:
        names = [name for name in names if name.endswith("_mean")] or names
        found = correlations(sample.features[:, [of.names.index(name) for name in names]])
        picture = collection.correlation_heatmap(of.name, names, found, text)
    cells = {column.name: overview.feature_cell(column) for column in of.columns}
    rows = [
        [cells[one], cells[other], number(r, "+.3f")]
        for one, other, r in collection.strongest_correlations(names, found, _MAX_CORRELATIONS)
    ]
    return picture, Table(f"The strongest correlations: {of.name}", ("column", "with", "r"), rows)


def _percentile_table(sample: Sample) -> Table:
    """Return percentiles of the columns of a feature set, with their units and meanings."""
    of = sample.feature_set
    values = np.percentile(sample.features, _PERCENTILES, axis=0).T.tolist()
    rows = [
        [overview.feature_cell(column), *(number(value, ".4g") for value in of_column)]
        for column, of_column in zip(of.columns, values, strict=True)
    ]
    return Table(
        f"The {len(rows)} {of.name} features, over {_sample_text(sample)}",
        ("feature", *(f"{percent} %" for percent in _PERCENTILES)),
        rows,
        collapsed=True,
    )


def _row_name(row: dict[str, Any], column: str) -> str:
    """Return the name of the track or segment in a column of a table."""
    name, segment = printable(row[column]), _SEGMENT_COLUMNS[column]
    return f"{name}, segment {row[segment]}" if segment in row else name


def _count_table(
    caption: str, name: str, counts: Counter[Any], form: str | None = None
) -> list[Table]:
    """Return a table of counts, as a list; empty if no value is known."""
    found = most_first(counts)
    if not any(value is not None for value, _ in found):
        return []
    rows = []
    for value, count in found[:_MAX_COUNTS]:
        if value is None:
            text = "unknown" if form else "(none)"
        else:
            text = format(value, form) if form else printable(value)
        rows.append([Cell(text), number(count)])
    rest = sum(count for _, count in found[_MAX_COUNTS:])
    if rest:
        rows.append([Cell(f"{len(found) - _MAX_COUNTS} more"), number(rest)])
    return [Table(caption, (name, "files"), rows)]


def _comparison_table(rows_of: str, split: str, rows: list[dict[str, Any]]) -> Table:
    first = rows[0]
    leaky = " (LEAKY)" if first["leaky"] else ""
    voted = any(row["vote_accuracy"] is not None for row in rows)
    cells, failed = [], []
    for row in sorted(rows, key=lambda row: -(row["accuracy"] or 0.0)):
        scores = [_score_cell(row, name) for name in ("accuracy", "macro_f1")]
        scores += [_score_cell(row, "vote_accuracy")] if voted else []
        cells.append([Cell(row["model"]), *scores, number(row["seconds"], ",.1f")])
        if row["accuracy"] is None:
            failed.append(f"{row['model']}: {printable(row['message'] or '')}")
    names = ("model", "accuracy", "macro F1", *(("by vote",) if voted else ()), "fit (s)")
    note = f"{first['folds']} folds, " if first["folds"] > 1 else ""
    note += f"{first['rows']:,} rows of {first['tracks']:,} tracks."
    if voted:
        note += " By vote: accuracy of tracks by majority vote of their segments."
    if failed:
        note += f" Failed: {'; '.join(failed)}"
    return Table(f"Split {printable(split)}{leaky}: {rows_of}", names, cells, note=note)


def _score_cell(row: dict[str, Any], name: str) -> Cell:
    if row[name] is None:
        return number(None)
    return Cell(f"{row[name]:.3f}", row[name], subtext=_ends(row, f"{name}_"))


def _ends(found: dict[str, Any], prefix: str = "") -> str:
    """Return an interval in words; an empty text for scores of an older songmill, without one."""
    lower, upper = found.get(f"{prefix}lower"), found.get(f"{prefix}upper")
    return "" if lower is None else f"{lower:.3f} to {upper:.3f}"


def _with_interval(scores: dict[str, Any], name: str) -> str:
    ends = _ends(scores, f"{name}_")
    return f"{scores[name]:.3f}" + (f" ({ends})" if ends else "")
