"""What commands say at their end, as tables on a terminal."""

import shlex
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.progress import clock, printable

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.compare import Outcome as Comparison
    from jobs.export import Outcome as Export
    from jobs.extract import Outcome
    from jobs.import_features import ImportOutcome
    from jobs.inspection import Outcome as Inspection
    from jobs.predict import FilesOutcome, StoreOutcome
    from jobs.registry import Version
    from jobs.report import Outcome as Report
    from jobs.run import Outcome as Run
    from jobs.similar import Outcome as Similar
    from jobs.similarity import Outcome as Similarity
    from jobs.status import Status
    from jobs.train import Outcome as Training

MOST_LABELS = 20


def print_outcome(outcome: "Outcome", store: str) -> None:
    """Say what an extraction did."""
    console = _console()
    worked = outcome.extracted + outcome.failed
    speed = f", {outcome.audio_s / outcome.seconds:.0f} x realtime" if outcome.seconds else ""
    if worked:
        console.print(
            f"{worked} files worked on in {clock(outcome.seconds)}{speed}: "
            f"{outcome.extracted} extracted, {outcome.segments} segments, {outcome.failed} failed."
        )
    else:
        console.print("No file is new or changed: there was nothing to extract.")
    if outcome.failures or outcome.failed_in_all:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.failures.items()))
        command = f"songmill status --store {shlex.quote(printable(store))} --failed"
        found = kinds or f"{outcome.failed_in_all} in earlier runs"
        console.print(f"Failed: {found}. `{command}` lists them.")
    console.print(f"The tables are in {printable(store)}.")


def print_status(status: "Status") -> None:
    """Show what is in a store."""
    console = _console()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("store", printable(status.store))
    facts.add_row("features", f"{status.feature_set}, segments of {status.segment_seconds:g} s")
    facts.add_row("files", f"{status.files:,}")
    facts.add_row("tracks", f"{status.tracks:,}")
    facts.add_row("segments", f"{status.segments:,}")
    facts.add_row("hours", f"{status.hours:,.2f}")
    facts.add_row("failed", f"{len(status.failed_files):,}")
    facts.add_row("model", status.model or "none yet: `songmill train` makes one")
    if status.waiting:
        facts.add_row("waiting", f"{status.waiting} batches of an unfinished run: run it again")
    console.print(facts)
    if status.labels:
        table = _table("label", "tracks")
        for label, count in list(status.labels.items())[:MOST_LABELS]:
            table.add_row(_cell("(none)" if label is None else label), f"{count:,}")
        if len(status.labels) > MOST_LABELS:
            rest = sum(list(status.labels.values())[MOST_LABELS:])
            table.add_row(f"{len(status.labels) - MOST_LABELS} more labels", f"{rest:,}")
        console.print(table)
    if status.failures:
        table = _table("failure", "files")
        for kind, count in status.failures.items():
            table.add_row(kind, f"{count:,}")
        console.print(table)
    if status.runs:
        table = _table(
            *("last runs", "stage", "outcome", "took", "extracted", "failed", "unchanged", "gone")
        )
        for run in status.runs:
            table.add_row(*(_cell(value) for value in _run_cells(run)))
        console.print(table)


def print_failed(status: "Status") -> None:
    """List the failed files of a store, a line each that other programs can cut at the tabs."""
    console = _console()
    if not status.failed_files:
        console.print("No file failed.")
    for row in status.failed_files:
        line = "\t".join(printable(row[name]) for name in ("error", "track_id", "message"))
        typer.echo(line)  # Rich would put spaces for the tabs


SHOWN_FEATURES = ("tempo", "rms_mean", "spectral_centroid_mean", "zero_crossing_rate_mean")


def print_features(tracks: "pa.Table") -> None:
    """Show what a few features of the track table say of each label."""
    means = tracks.group_by("label").aggregate([(name, "mean") for name in SHOWN_FEATURES])
    table = _table("mean of", *SHOWN_FEATURES)
    for row in means.sort_by("label").to_pylist():
        cells = [f"{row[f'{name}_mean']:.4g}" for name in SHOWN_FEATURES]
        table.add_row(_cell(row["label"] or "(none)"), *cells)
    _console().print(table)


def print_comparison(outcome: "Comparison") -> None:
    """Show how good each model is: the splits beside each other."""
    console = _console()
    splits = list(dict.fromkeys((row["split"], row["leaky"]) for row in outcome.rows))
    voted = any(row["vote_accuracy"] is not None for row in outcome.rows)
    table = _table(f"{outcome.level}s")
    for split, leaky in splits:
        first = f"{printable(split)}{' (leaky)' if leaky else ''}"
        table.add_column(f"{first}\naccuracy", justify="right")
        table.add_column("\nmacro F1", justify="right")
        if voted:
            table.add_column("\ntracks by vote", justify="right")
        table.add_column("\nto fit", justify="right")
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in outcome.rows:
        by_model.setdefault(row["model"], []).append(row)
    for model, rows in by_model.items():
        cells: list[str] = []
        for row in rows:
            cells += [_mean(row, "accuracy"), _mean(row, "macro_f1")]
            cells += [_mean(row, "vote_accuracy")] if voted else []
            cells += ["" if row["seconds"] is None else f"{row['seconds']:.1f} s"]
        table.add_row(model, *cells)
    console.print(table)
    for row in outcome.rows:
        if row["accuracy"] is None:
            console.print(f"{row['model']}, {printable(row['split'])}: {printable(row['message'])}")
    if any(leaky for _, leaky in splits):
        console.print(
            "leaky: segments of one track fall on both sides, so that the score says little of new "
            "tracks."
        )
    if any(row["folds"] > 1 for row in outcome.rows):
        console.print("Where there are several folds: their mean, ± their standard deviation.")


MOST_FEATURES = 10


def print_training(outcome: "Training") -> None:
    """Show how good the new model is, and whether it predicts."""
    console = _console()
    described = outcome.description
    parts = described.split["tracks"]
    console.print(
        f"Judged by {parts['test']:,} tracks ({printable(described.split['name'])}) after learning "
        f"from {parts['train']:,}, stopped by {parts['valid']:,}; {described.rounds} rounds."
    )
    table = _table("", "accuracy", "macro F1", "by chance", "log loss, nats", "count")
    for level, scores in described.scores.items():
        names = ("accuracy", "macro_f1", "chance", "log_loss")
        shown = [f"{scores[name]:.3f}" for name in names]
        table.add_row(f"{level}s", *shown, f"{scores['count']:,}")
    console.print(table)
    table = _table("label", "precision", "recall", "F1", "tracks")
    for label, of_class in list(outcome.per_class.items())[:MOST_LABELS]:
        shown = [f"{of_class[name]:.2f}" for name in ("precision", "recall", "f1")]
        table.add_row(_cell(label), *shown, f"{of_class['support']:,}")
    console.print(table)
    if len(outcome.per_class) > MOST_LABELS:
        console.print(f"and {len(outcome.per_class) - MOST_LABELS} more labels")
    table = _table("feature", "accuracy lost when shuffled", "±")
    for row in outcome.importance[:MOST_FEATURES]:
        table.add_row(row["feature"], f"{row['mean']:.3f}", f"{row['std']:.3f}")
    console.print(table)
    track = described.scores["track"]
    if track["macro_f1"] <= track["chance"]:
        console.print("Its macro F1 by track is no better than chance would reach, now and then.")
    verdict = outcome.verdict
    said = "predicts from now on" if verdict.promoted else "is kept, and does not predict"
    console.print(f"The model {described.version} {said}: {printable(verdict.reason)}.")


SHOWN_CLASSES = 3


def print_predicted_files(outcome: "FilesOutcome", *, segments: bool) -> None:
    """Show what recordings are taken for; ``segments``: and when they sound like what."""
    console = _console()
    table = _table("file", "predicted", "probability", "then")
    for one in outcome.files:
        if one.predicted is None:
            table.add_row(_cell(one.file), "-", "", _cell(f"{one.error}: {one.message}"))
            continue
        first, *others = list(one.probabilities.items())[:SHOWN_CLASSES]
        then = ", ".join(f"{name} {share:.2f}" for name, share in others)
        table.add_row(_cell(one.file), _cell(first[0]), f"{first[1]:.2f}", _cell(then))
        for stretch in one.segments if segments else []:
            where = f"  {stretch.start_s:.1f} to {stretch.end_s:.1f} s"
            share = stretch.probabilities[stretch.predicted]
            table.add_row(where, _cell(stretch.predicted), f"{share:.2f}", "")
    console.print(table)
    console.print(f"By the model {outcome.model}.")


def print_predicted_store(outcome: "StoreOutcome", store: str) -> None:
    """Say what the tracks of a store are taken for."""
    console = _console()
    table = _table("predicted", "tracks")
    found = sorted(outcome.labels.items(), key=lambda item: (-item[1], item[0]))
    for label, count in found[:MOST_LABELS]:
        table.add_row(_cell(label), f"{count:,}")
    if len(found) > MOST_LABELS:
        table.add_row(f"{len(found) - MOST_LABELS} more labels", "")
    console.print(table)
    segments = f" and {_counted(outcome.segments, 'segment')}" if outcome.segments else ""
    console.print(
        f"Predicted {_counted(outcome.tracks, 'track')}{segments} by the model {outcome.model}, "
        f"into {printable(store)}/predictions."
    )


def print_similarity(outcome: "Similarity", store: str) -> None:
    """Say what was found to be near to what."""
    console = _console()
    what = "track" if outcome.level == "track" else "segment"
    console.print(
        f"The {outcome.k} nearest of {_counted(outcome.rows, what)}, in {clock(outcome.seconds)}."
    )
    if outcome.duplicates:
        across = f", {outcome.across_labels} of them under two labels"
        console.print(
            f"The same recording twice: {_counted(outcome.duplicates, 'pair')}"
            f"{across if outcome.across_labels else ''}."
        )
        table = _table("track", "is also", "label", "label", "cosine")
        for pair in outcome.shown:
            names = (pair.track_id, pair.duplicate_id, pair.label or "", pair.duplicate_label or "")
            table.add_row(*map(_cell, names), f"{pair.cosine:.6f}")
        console.print(table)
        if outcome.duplicates > len(outcome.shown):
            console.print(f"… and {outcome.duplicates - len(outcome.shown)} more.")
    else:
        console.print("No recording is there twice.")
    folders = "similarity, duplicates" + (", similarity-matrix" if outcome.full else "")
    console.print(f"The tables are in {printable(store)}: {folders}.")


def print_similar(outcome: "Similar") -> None:
    """Show what a recording is like."""
    console = _console()
    if outcome.track_id:
        label = f" ({printable(outcome.label)})" if outcome.label else ""
        console.print(f"Most like {printable(outcome.track_id)}{label}:")
    else:
        console.print(f"Most like {printable(outcome.file or '')}:")
    table = _table("", "track", "label", "cosine", "same recording")
    for one in outcome.neighbours:
        names = (one.track_id, one.label or "")
        same = "yes" if one.duplicate else ""
        table.add_row(str(one.rank), *map(_cell, names), f"{one.cosine:.6f}", same)
    console.print(table)


def print_inspection(outcome: "Inspection") -> None:
    """Say what a recording is, and where its pictures are."""
    console = _console()
    facts = outcome.facts
    table = Table.grid(padding=(0, 2))
    rate = f"{facts.sample_rate:,} Hz, {_counted(facts.channels, 'channel')}"
    table.add_row("file", printable(facts.file))
    table.add_row("sound", f"{rate}, {facts.seconds:,.3f} s")
    table.add_row("analysed", f"{facts.samples:,} samples at {facts.analysed_rate:,} Hz")
    table.add_row("without silence", facts.trimmed_in_words)
    table.add_row("zero crossings", f"{facts.zero_crossings:,}")
    table.add_row("tempo", facts.tempo_in_words)
    if facts.note:
        table.add_row("remark", printable(facts.note))
    if outcome.prediction and outcome.prediction.predicted:
        first = next(iter(outcome.prediction.probabilities.values()))
        predicted = printable(outcome.prediction.predicted)
        table.add_row("sounds like", f"{predicted} ({first:.2f}), says {outcome.model}")
    console.print(table)
    console.print(
        f"{len(outcome.pictures)} pictures are in {printable(outcome.folder)}; all of them, and "
        f"the 57 features: {printable(outcome.page)}"
    )


def print_report(outcome: "Report") -> None:
    """Say where the report is."""
    console = _console()
    if outcome.missing:
        console.print(f"Nothing to show yet: {', '.join(outcome.missing)}; the page says why.")
    if outcome.sampled < outcome.tracks:
        console.print(
            f"The pictures are of {outcome.sampled:,} of the {outcome.tracks:,} tracks, drawn at "
            "random."
        )
    print_page(outcome.page)


def print_run(outcome: "Run") -> None:
    """Say how each stage of a night's run ended."""
    console = _console()
    table = _table("stage", "outcome", "took", "what")
    for one in outcome.stages:
        took = clock(one.seconds) if one.seconds else ""
        table.add_row(_cell(one.stage), one.outcome, took, _cell(one.message))
    console.print(table)
    console.print(f"Run {outcome.run_id}: {outcome.outcome}, in {clock(outcome.seconds)}.")


def print_page(path: str) -> None:
    """Say where the report is."""
    _console().print(f"The report, to be opened in a browser: {printable(path)}")


def print_export(outcome: "Export") -> None:
    """Say what was exported."""
    where = outcome.to if outcome.table == outcome.to else f"{outcome.table} of {outcome.to}"
    _console().print(
        f"{_counted(outcome.rows, 'row')} of {outcome.name} are in {printable(where)}, "
        f"after {clock(outcome.seconds)}."
    )


def print_models(found: "list[Version]", wrong: list[str]) -> None:
    """List the models of a store, and what is wrong with some of them."""
    console = _console()
    if not found:
        console.print("There is no model yet: `songmill train` makes one.")
        return
    names = ("predicts", "made", "rows of", "split", "tracks", "accuracy", "macro F1")
    table = _table("model", *names)
    for one in found:
        described = one.description
        predicts = "yes" if one.champion else ""
        if described is None:
            table.add_row(_cell(one.version), predicts, "damaged")
            continue
        scores = described.scores["track"]
        table.add_row(
            _cell(one.version),
            predicts,
            described.created_at[:16].replace("T", " "),
            f"{described.level}s",
            _cell(described.split["name"]),
            f"{described.data['tracks']:,}",
            f"{scores['accuracy']:.3f}",
            f"{scores['macro_f1']:.3f}",
        )
    console.print(table)
    for text in wrong:
        console.print(f"warning: {printable(text)}")


def _mean(row: dict[str, Any], name: str) -> str:
    """Return a score with its spread over folds, if there are several."""
    if row[name] is None:
        return "-"
    spread = f" ± {row[f'{name}_std']:.3f}" if row["folds"] > 1 else ""
    return f"{row[name]:.3f}{spread}"


def _run_cells(run: dict[str, Any]) -> list[str]:
    # Only an extraction counts files.
    names = ("extracted", "failed", "unchanged", "gone")
    counts = ["" if run[name] is None else f"{run[name]:,}" for name in names]
    started = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [started, run["stage"] or "", run["outcome"], clock(run["seconds"]), *counts]


def _console() -> Console:
    # Names and paths are shown as they are, also if they look like Rich's markup, and whole: a
    # narrow terminal folds a table's line where Rich would cut its cells.
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=1000)


def _table(first: str, *others: str) -> Table:
    texts = (
        "stage",
        "outcome",
        "what",
        "label",
        "predicted",
        "then",
        "rows of",
        "split",
        "track",
        "is also",
    )
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in texts else "right")
    return table


def _cell(text: str) -> Text:
    return Text(printable(text))


def print_import(outcome: "ImportOutcome", store: str) -> None:
    """Say what an import did."""
    counts = (_counted(outcome.tracks, "track"), _counted(outcome.segments, "segment"))
    if outcome.tracks:
        text = " and ".join(counts) if outcome.segments else counts[0]
    else:
        text = f"{counts[1]} of {_counted(outcome.listed, 'track')}"
    console = _console()
    if outcome.unlabelled:
        console.print(f"Without a label: {_counted(outcome.unlabelled, 'track')}.")
    console.print(f"Imported {text}; the tables are in {printable(store)}.")


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
