"""The report: what a store holds and how its models fare, as one page for people.

What it shows is read by :mod:`jobs.reporting.overview`, drawn and written down by
:mod:`pages`. It holds no lock: tables can be read at any moment.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from featurizer.columns import FEATURE_COLUMNS
from jobs.errors import StoreError
from jobs.learning import registry
from jobs.progress import Progress, clock, printable
from jobs.reporting import overview
from jobs.reporting.overview import Sample
from jobs.store.atomic import check_writable, write_file
from jobs.store.counts import count_labels
from jobs.store.schemas import SEGMENTS, SIMILARITY
from jobs.store.tables import Store, open_store
from pages import collection, models
from pages.page import Cell, Content, Page, Section, Table, number, render
from pages.statistics import Distribution, correlations, principal_components
from pages.style import MAX_LABELS, NO_LABEL, OTHER_LABELS, display_name

PAGE = "index.html"

_MEANS = [name for name in FEATURE_COLUMNS if name.endswith("_mean")]
_STRONGEST = 10
_MOST_IMPORTANT = 20
_SHOWN_TRACKS = 8
_SHOWN_NEIGHBOURS = 5
_SHOWN_RUNS = 30
_SHOWN_KINDS = 12
_MOST_CLASSES = 40


@dataclass(frozen=True)
class Outcome:
    """What was made.

    Parameters
    ----------
    page : str
        Path of the page.
    tracks : int
        Tracks of the store.
    sampled : int
        Tracks that the pictures are of.
    missing : list of str
        The sections that there are no data for.
    """

    page: str
    tracks: int
    sampled: int
    missing: list[str]


def report(
    *, store: str | Store, out: str | None = None, progress: Progress | None = None
) -> Outcome:
    """Write the report of a store.

    Parameters
    ----------
    store : str or Store
        The store, or its address.
    out : str, optional
        Folder that gets ``index.html``; by default the store's ``report``.
    progress : Progress, optional
        Shows the progress; by default lines on stderr.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        There is no store, or ``out`` cannot be written to.
    StoreError
        The store is damaged.
    """
    store = open_store(store)
    progress = progress or Progress()
    if out:
        check_writable(out)
    progress.say("reading the tables")
    sample = overview.sample_tracks(store)
    report = _Report(store, sample)
    sections = []
    for anchor, title, make in (
        ("collection", "The collection", report.collection),
        ("correlations", "Correlations", report.correlations),
        ("tempo", "Tempo", report.tempo),
        ("components", "Principal components", report.components),
        ("comparison", "Ten models", report.comparison),
        ("model", "The model that predicts", report.champion),
        ("neighbours", "Neighbours", report.neighbours),
        ("duplicates", "Duplicates", report.duplicates),
        ("runs", "Runs", report.runs),
    ):
        progress.say(f"drawing: {title}")
        try:
            sections.append(Section(anchor, title, make()))
        except StoreError as error:
            # What is damaged costs its own section.
            sections.append(Section(anchor, title, Content(text=printable(str(error)))))
    settings = store.settings
    name = os.path.basename(store.storage.root) or store.storage.root
    page = Page(
        title=f"songmill: {printable(name)}",
        text=f"What the store {printable(store.storage.root)} holds, as of "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Features {settings.feature_set}, segments of "
        f"{settings.segment_seconds:g} s.",
        sections=sections,
    )
    if out:
        path = os.path.join(os.path.abspath(out), PAGE)
        write_file(path, render(page))
    else:
        path = store.storage.path(f"report/{PAGE}")
        store.storage.write(f"report/{PAGE}", render(page))
    return Outcome(
        page=path,
        tracks=sample.total,
        sampled=len(sample.rows),
        missing=[section.title for section in sections if section.content.command],
    )


class _Report:
    """The sections of a store's report.

    Parameters
    ----------
    store : Store
        The store.
    sample : Sample
        The tracks that the pictures show.
    """

    def __init__(self, store: Store, sample: Sample) -> None:
        self._store = store
        self._option = f"--store {shlex.quote(printable(store.storage.root))}"
        self._sample = sample
        extract, imported = self._command("extract SOURCE…"), self._command("import-features CSV…")
        self._tracks_command = f"{extract} or {imported}"
        self._counts = count_labels(store)
        self._styles = overview.label_styles(self._counts)
        self._labels = [
            NO_LABEL if label is None else label if label in self._styles else OTHER_LABELS
            for label in sample.names["label"].to_pylist()
        ]
        drawn = len(sample.rows)
        self._of = (
            f"all {drawn:,} tracks"
            if drawn + sample.beyond == sample.total
            else f"a sample of {drawn:,} of the {sample.total:,} tracks, drawn at random"
        )
        if sample.beyond:
            self._of += f" ({sample.beyond:,} are left out: no recording has such numbers)"

    def _command(self, command: str) -> str:
        return f"songmill {command} {self._option}"

    def _needs_tracks(self) -> Content:
        """Say what makes rows of tracks."""
        return Content(command=self._tracks_command)

    def _label(self, label: str | None) -> Cell:
        if label is None:
            return Cell(NO_LABEL)
        return Cell(display_name(printable(label)), colour=self._styles.colour(label))

    def _track(self, name: str, label: str | None) -> Cell:
        if label is None:
            return Cell(name, subtext=NO_LABEL)
        return Cell(name, colour=self._styles.colour(label), subtext=display_name(printable(label)))

    def collection(self) -> Content:
        """Show what there is."""
        files = overview.count_files(self._store)
        total = max(self._sample.total, 1)
        tables = []
        if self._counts:
            rest = sum(count for _, count in self._counts[MAX_LABELS:])
            rows = [
                [self._label(label), number(count), number(count / total, ".1%")]
                for label, count in self._counts[:MAX_LABELS]
            ]
            if rest:
                rows.append([Cell(OTHER_LABELS), number(rest), number(rest / total, ".1%")])
            tables.append(Table("Tracks by label", ("label", "tracks", "share"), rows))
        tables += _counted("Files by format", "suffix", files.suffixes)
        tables += _counted("Files by sample rate", "rate (Hz)", files.rates, ",d")
        tables += _counted("Files by channels", "channels", files.channels, "d")
        if files.failures:
            rows = []
            for kind, count in files.failures:
                track, message = files.examples[kind]
                text = f"{printable(track)}: {printable(message)}"
                rows.append([Cell(kind or "unknown"), number(count), Cell(text)])
            tables.append(
                Table(
                    "Failed files by kind",
                    ("kind", "files", "one of them"),
                    rows,
                    note=f"All of them: {self._command('status --failed')}",
                )
            )
        labels = sum(label is not None for label, _ in self._counts)
        return Content(
            facts=(
                ("tracks", f"{self._sample.total:,}"),
                ("segments", f"{self._store.count_rows(SEGMENTS):,}"),
                ("hours", f"{files.hours:,.2f}"),
                ("labels", f"{labels:,}"),
                ("files", f"{files.count:,}"),
                ("failed files", f"{files.failed:,}"),
            ),
            tables=tables,
            command="" if files.count or self._sample.total else self._tracks_command,
        )

    def correlations(self) -> Content:
        """Show which columns rise and fall together."""
        if not len(self._sample.rows):
            return self._needs_tracks()
        if len(self._sample.rows) == 1:
            return Content(text="One track correlates with nothing: two or more are needed.")
        chosen = [FEATURE_COLUMNS.index(name) for name in _MEANS]
        found = correlations(self._sample.features[:, chosen])
        rows = [
            [Cell(one), Cell(other), number(r, "+.3f")]
            for one, other, r in collection.strongest_correlations(_MEANS, found, _STRONGEST)
        ]
        return Content(
            pictures=(collection.correlation_heatmap(_MEANS, found, self._of),),
            tables=(Table("The strongest correlations", ("column", "with", "r"), rows),),
        )

    def tempo(self) -> Content:
        """Show how fast the labels are."""
        if not len(self._sample.rows):
            return self._needs_tracks()
        tempos = self._sample.features[:, FEATURE_COLUMNS.index("tempo")]
        each = np.array(self._labels, object)
        spreads = [Distribution(name, np.sort(tempos[each == name])) for name in sorted(set(each))]
        rows = []
        for spread in spreads:
            label = None if spread.label == NO_LABEL else spread.label
            rows.append(
                [
                    self._label(label),
                    number(len(spread.values)),
                    *(number(value, ".2f") for value in spread.quartiles),
                ]
            )
        columns = ("label", "tracks", "25 %", "median", "75 %")
        return Content(
            pictures=(collection.tempo_box_plot(spreads, self._styles, self._of),),
            tables=(Table("Tempo by label: quartiles, in BPM", columns, rows),),
        )

    def components(self) -> Content:
        """Show which tracks lie near one another."""
        if not len(self._sample.rows):
            return self._needs_tracks()
        found = principal_components(self._sample.rows)
        if found is None:
            return Content(text="Three tracks or more, not all alike, are needed.")
        return Content(
            pictures=(collection.component_scatter(found, self._labels, self._styles, self._of),),
        )

    def comparison(self) -> Content:
        """Show the ten models side by side."""
        found = self._store.read("comparison").to_pylist()
        if not found:
            command = self._command("compare --split by-track --split random")
            return Content(command=command)
        by_split: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in found:
            by_split.setdefault((row["level"], row["split"]), []).append(row)
        tables = []
        for (level, split), rows in sorted(by_split.items(), key=lambda item: item[1][0]["leaky"]):
            tables.append(_compared(level, split, rows))
        return Content(
            text="A split marked LEAKY has segments of one track on both sides: its scores "
            "flatter, and say little of new tracks.",
            tables=tables,
        )

    def champion(self) -> Content:
        """Show the model that predicts."""
        version = registry.champion(self._store)
        if version is None:
            return Content(command=self._command("train"))
        try:
            return self._described(version)
        except (KeyError, TypeError) as error:
            folder = self._store.storage.path(f"{registry.MODELS}/{version}")
            text = f"the files in {folder} do not fit together ({error!r}): put undamaged copies "
            return Content(text=f"{printable(text)}in their place, or train another model.")

    def _described(self, version: str) -> Content:
        described = registry.describe(self._store, version)
        parts = described.split["tracks"]
        score = described.scores["track"]
        facts = (
            ("version", version),
            ("trained", described.created_at[:16].replace("T", " ")),
            ("learns from", f"{described.level}s"),
            ("split", printable(described.split["name"])),
            (
                "tracks learnt from, stopped by, judged by",
                " · ".join(f"{parts[name]:,}" for name in ("train", "valid", "test")),
            ),
            ("accuracy by track", f"{score['accuracy']:.3f}"),
            ("macro F1 by track", f"{score['macro_f1']:.3f}"),
            ("macro F1 by chance", f"{score['chance']:.3f}"),
        )
        pictures, tables = [], []
        matrix = registry.read_table(self._store, version, "confusion.parquet")
        classes = described.classes
        place = {name: i for i, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), np.int64)
        for row in matrix.to_pylist():
            if row["level"] == "track":
                counts[place[row["label"]], place[row["predicted"]]] = row["count"]
        text = ""
        if len(classes) <= _MOST_CLASSES:
            pictures.append(
                models.confusion_matrix(classes, counts, f"the {score['count']:,} test tracks")
            )
        else:
            text = f"The confusion matrix of {len(classes)} labels is too large for a picture: "
            text += f"models/{version}/confusion.parquet has it."
        tables.append(self._by_class(version, classes))
        matters = registry.read_table(self._store, version, "importance.parquet")
        rows = sorted(matters.to_pylist(), key=lambda row: (-row["mean"], row["feature"]))
        if rows:
            first = rows[:_MOST_IMPORTANT]
            pictures.append(
                models.importance_bars(
                    [row["feature"] for row in first],
                    [row["mean"] for row in first],
                    [row["std"] for row in first],
                    f"Accuracy of the test part's {described.level}s that is lost when a column is "
                    f"shuffled: the mean of {rows[0]['repeats']} times, and its spread.",
                )
            )
            tables.append(
                Table(
                    f"Permutation importance of all {len(rows)} columns",
                    ("column", "accuracy lost", "±"),
                    [
                        [
                            Cell(row["feature"]),
                            number(row["mean"], ".4f"),
                            number(row["std"], ".4f"),
                        ]
                        for row in rows
                    ],
                    collapsed=True,
                )
            )
        return Content(text=text, facts=facts, pictures=pictures, tables=tables)

    def _by_class(self, version: str, classes: Sequence[str]) -> Table:
        found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in classes}
        metrics = registry.read_table(self._store, version, "metrics.parquet")
        for row in metrics.to_pylist():
            if row["level"] == "track" and row["label"] in found:
                found[row["label"]][row["metric"]] = row
        names = ("precision", "recall", "f1")
        rows = []
        for label, of_class in found.items():
            values = [of_class[name]["value"] if name in of_class else None for name in names]
            tested = of_class["f1"]["count"] if "f1" in of_class else None
            cells = [number(value, ".3f") for value in values]
            rows.append([self._label(label), *cells, number(tested)])
        return Table(
            "Test tracks, by label", ("label", "precision", "recall", "F1", "tracks"), rows
        )

    def neighbours(self) -> Content:
        """Show what some tracks sound like."""
        if not self._store.parts(SIMILARITY):
            return Content(command=self._command("similarity"))
        if not len(self._sample.rows):
            return self._needs_tracks()
        # One track of each label, from all over the collection.
        first: dict[str, str] = {}
        tracks = self._sample.names["track_id"].to_pylist()
        for place in np.random.default_rng(0).permutation(len(tracks)):
            first.setdefault(self._labels[place], tracks[place])
        shown = [first[label] for label in sorted(first)][:_SHOWN_TRACKS]
        found = overview.neighbours_of(self._store, shown, _SHOWN_NEIGHBOURS)
        near = [row["neighbour_id"] for rows in found.values() for row in rows]
        labels = overview.labels_of(self._store, [*shown, *near])
        tables = []
        for track, rows in found.items():
            cells = [
                [
                    number(row["rank"]),
                    self._track(
                        _place(row, "neighbour_id", "neighbour_segment"),
                        labels.get(row["neighbour_id"]),
                    ),
                    number(row["cosine"], ".4f"),
                ]
                for row in rows[:_SHOWN_NEIGHBOURS]
            ]
            label = labels.get(track)
            named = f" ({printable(label)})" if label else ""
            name = _place(rows[0], "track_id", "segment")
            columns = ("rank", "track", "cosine")
            tables.append(Table(f"Nearest to {name}{named}", columns, cells))
        return Content(
            text="The nearest by cosine of the z-scored features, of a track of each label "
            f"(of {_SHOWN_TRACKS} labels at most).",
            tables=tables,
        )

    def duplicates(self) -> Content:
        """Show what is there twice."""
        if not self._store.parts(SIMILARITY):
            return Content(command=self._command("similarity"))
        total, pairs = overview.duplicate_pairs(self._store)
        if not total:
            return Content(text="No recording is there twice.")
        across = any(row["label"] != row["duplicate_label"] for row in pairs)
        rows = [
            [
                self._track(_place(row, "track_id", "segment"), row["label"]),
                self._track(
                    _place(row, "duplicate_id", "duplicate_segment"), row["duplicate_label"]
                ),
                number(row["cosine"], ".6f"),
            ]
            for row in pairs
        ]
        more = "" if len(pairs) == total else f"{len(pairs):,} of {total:,} pairs."
        return Content(
            text=f"{_pairs(total)} so near each other that they are taken for the same recording."
            + (" Those under two labels come first: one of them is wrong." if across else ""),
            tables=(
                Table(
                    "Pairs to look at",
                    ("track", "is also", "cosine"),
                    rows,
                    note=more,
                ),
            ),
        )

    def runs(self) -> Content:
        """Show what was done, and how the models have fared."""
        runs = self._store.read("runs").sort_by([("started_at", "descending")])
        judged, table = self._models()
        tables = [table] if table.rows else []
        if not runs.num_rows and not tables:
            return self._needs_tracks()
        rows = []
        for run in runs.slice(0, _SHOWN_RUNS).to_pylist():
            worked = None
            if run["extracted"] is not None:
                worked = run["extracted"] + (run["failed"] or 0)
            speed = worked / run["seconds"] if worked and run["seconds"] else None
            rows.append(
                [
                    Cell(
                        f"{run['stage'] or 'extract'}",
                        subtext=f"{run['started_at']:%Y-%m-%d %H:%M:%S}, {run['outcome']}",
                    ),
                    Cell(clock(run["seconds"]), run["seconds"]),
                    number(worked),
                    number(run["failed"]),
                    number(speed, ".1f"),
                ]
            )
        columns = ("stage", "took", "files", "failed", "files/s")
        of = f"The last {len(rows)} of {runs.num_rows:,}" if len(rows) < runs.num_rows else "All"
        if rows:
            tables.insert(0, Table(f"{of} runs, the newest first (UTC)", columns, rows))
        pictures = [models.scores_over_time(judged)] if len(judged) > 1 else []
        return Content(pictures=pictures, tables=tables)

    def _models(self) -> tuple[list[models.Score], Table]:
        try:
            best = registry.champion(self._store)
        except StoreError:
            best = None
        scores, rows = [], []
        for version in registry.versions(self._store):
            try:
                described = registry.describe(self._store, version)
            except StoreError:
                rows.append(
                    [Cell(version, subtext="damaged"), number(None), number(None), Cell("")]
                )
                continue
            score = described.scores["track"]
            made = np.datetime64(datetime.fromisoformat(described.created_at).replace(tzinfo=None))
            scores.append(models.Score(made, score["macro_f1"], score["accuracy"], version == best))
            rows.append(
                [
                    Cell(version, subtext=described.created_at[:16].replace("T", " ")),
                    number(score["accuracy"], ".3f"),
                    number(score["macro_f1"], ".3f"),
                    Cell("yes" if version == best else ""),
                ]
            )
        columns = ("model", "accuracy", "macro F1", "predicts")
        return scores, Table("Models, judged by track (UTC)", columns, rows[::-1])


def _pairs(count: int) -> str:
    return "One pair is" if count == 1 else f"{count:,} pairs are"


def _place(row: dict[str, Any], track: str, segment: str) -> str:
    """Name a row of a table of neighbours: a track, or a segment of one."""
    name = printable(row[track])
    return f"{name}, segment {row[segment]}" if segment in row else name


def _counted(
    caption: str, name: str, found: list[tuple[Any, int]], form: str | None = None
) -> list[Table]:
    """Return a table of counts; none where nothing is known."""
    if not any(value is not None for value, _ in found):
        return []
    rows = []
    for value, count in found[:_SHOWN_KINDS]:
        if form is None:
            first = Cell("(none)" if value is None else printable(value))
        else:
            first = Cell("unknown") if value is None else Cell(format(value, form))
        rows.append([first, number(count)])
    rest = sum(count for _, count in found[_SHOWN_KINDS:])
    if rest:
        rows.append([Cell(f"{len(found) - _SHOWN_KINDS} more"), number(rest)])
    return [Table(caption, (name, "files"), rows)]


def _compared(level: str, split: str, rows: list[dict[str, Any]]) -> Table:
    """Return the table of the models of one split."""
    leaky = " (LEAKY)" if rows[0]["leaky"] else ""
    voted = any(row["vote_accuracy"] is not None for row in rows)
    cells = []
    for row in sorted(rows, key=lambda row: -(row["accuracy"] or 0.0)):
        scores = [_score(row, name) for name in ("accuracy", "macro_f1")]
        scores += [_score(row, "vote_accuracy")] if voted else []
        cells.append([Cell(row["model"]), *scores, number(row["seconds"], ",.1f")])
    names = ("model", "accuracy", "macro F1", *(("by vote",) if voted else ()), "fit (s)")
    first = rows[0]
    folds = f"{first['folds']} folds, " if first["folds"] > 1 else ""
    failed = "; ".join(
        f"{row['model']}: {printable(row['message'] or '')}"
        for row in rows
        if row["accuracy"] is None
    )
    return Table(
        f"Split {printable(split)}{leaky}: {level}s",
        names,
        cells,
        note=f"{folds}{first['rows']:,} rows of {first['tracks']:,} tracks."
        + (" By vote: the accuracy of tracks, each by its segments." if voted else "")
        + (f" Failed: {failed}" if failed else ""),
    )


def _score(row: dict[str, Any], name: str) -> Cell:
    if row[name] is None:
        return number(None)
    spread = f"± {row[f'{name}_std']:.3f}" if row["folds"] > 1 else ""
    return Cell(f"{row[name]:.3f}", row[name], subtext=spread)
