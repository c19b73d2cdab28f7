"""`songmill inspect`, `report` and `status`: the commands and their output."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli import options
from jobs.cli.tables import MAX_LABELS, print_json, run_job, show, show_facts, show_table
from jobs.errors import command_for
from jobs.extras import require
from jobs.progress import clock, counted, printable

if TYPE_CHECKING:
    from jobs.reporting.inspection import Outcome as Inspection
    from jobs.reporting.report import Outcome as Report
    from jobs.reporting.status import Status
    from jobs.reporting.verify import Outcome as Verification


def print_status(status: "Status") -> None:
    """Show the content of a store."""
    facts = {
        "store": status.store,
        "features": f"{status.feature_set}, segments of {status.segment_seconds:g} s",
        "files": f"{status.files:,}",
        "tracks": f"{status.tracks:,}",
    }
    if len(status.tracks_of) > 1:
        facts |= {f"  {name}": f"{count:,}" for name, count in status.tracks_of.items()}
    facts |= {"segments": f"{status.segments:,}", "hours": f"{status.hours:,.2f}"}
    if status.silent:
        facts["silent"] = f"{status.silent:,}"
    facts["failed"] = f"{len(status.failed_files):,}"
    facts["warnings"] = f"{len(status.warned_files):,}"
    facts["model"] = status.model or f"none yet. Run: {command_for(status.store, 'train')}"
    if status.waiting:
        batches = counted(status.waiting, "batch", "batches")
        facts["waiting"] = f"{batches} of an unfinished run. Run the same command again"
    show_facts(facts.items())
    if status.labels:
        labels = list(status.labels.items())
        shown, rest = labels[:MAX_LABELS], labels[MAX_LABELS:]
        rows = [("(none)" if label is None else label, f"{count:,}") for label, count in shown]
        if rest:
            rows.append((f"{len(rest)} more labels", f"{sum(count for _, count in rest):,}"))
        show_table(("label", "tracks"), rows)
    if status.failures:
        rows = [(kind, f"{count:,}") for kind, count in status.failures.items()]
        show_table(("failure", "files"), rows)
    if status.last_runs:
        runs = []
        for run in status.last_runs:
            did = ", ".join(run.stages) or "nothing new"
            cells = [f"{run.started_at:%Y-%m-%d %H:%M}", did, run.outcome, clock(run.seconds)]
            counts = ", ".join(f"{count:,} {name}" for name, count in run.counts.items() if count)
            runs.append([*cells, counts])
        show_table(("last runs", "stages", "outcome", "took", "counts"), runs)


def print_failed(status: "Status") -> None:
    """List the failed files of a store."""
    rows = status.failed_files
    if not rows:
        show("No file failed.")
        return
    show(f"{counted(len(rows), 'file')} failed:")
    cells = [(row["track_id"], row["error"], _sentence(row["message"])) for row in rows]
    show_table(("track", "failure", "why"), cells)


def print_warnings(status: "Status") -> None:
    """List the files with a remark."""
    rows = status.warned_files
    if not rows:
        show("No file has a remark.")
        return
    show(f"{counted(len(rows), 'file')} with a remark:")
    show_table(("track", "remark"), [(row["track_id"], _sentence(row["message"])) for row in rows])


def _sentence(text: str | None) -> str:
    """Return a message as a sentence.

    Examples
    --------
    >>> _sentence("the file no longer exists"), _sentence("The recording is silent.")
    ('The file no longer exists.', 'The recording is silent.')
    """
    text = text or ""
    return text[:1].upper() + text[1:] + "." * bool(text and text[-1] not in ".!?…")


def print_inspection(outcome: "Inspection") -> None:
    """Show the facts of a recording, and where its pictures are."""
    facts = outcome.facts
    rate = f"{facts.sample_rate:,} Hz, {counted(facts.channels, 'channel')}"
    shown = {
        "file": facts.file,
        "sound": f"{rate}, {facts.seconds:,.3f} s",
        "analysed": f"{facts.samples:,} samples at {facts.analysed_rate:,} Hz",
        "without silence": facts.trimmed_in_words,
        "zero crossings": f"{facts.zero_crossings:,}",
        "tempo": facts.tempo_in_words,
    }
    if facts.note:
        shown["remark"] = facts.note
    if outcome.prediction and outcome.prediction.predicted:
        first = next(iter(outcome.prediction.probabilities.values()))
        learnt = ", which has learnt it" if outcome.prediction.learnt else ""
        by_model = f"by {outcome.model}{learnt}"
        shown["sounds like"] = f"{outcome.prediction.predicted} ({first:.2f}), {by_model}"
    elif outcome.prediction:
        shown["sounds like"] = f"unknown: {outcome.prediction.message or ''}"
    show_facts(shown.items())
    show(
        f"{counted(len(outcome.pictures), 'picture')} in {printable(outcome.folder)}; a page with "
        f"all features: {printable(outcome.page)}"
    )


def print_report(outcome: "Report") -> None:
    """Print which sections of the report are empty, and its path."""
    if outcome.missing:
        show(f"Nothing to show yet: {', '.join(outcome.missing)}; the page has the reasons.")
    if outcome.sampled < outcome.tracks:
        show(f"The pictures show {outcome.sampled:,} random tracks of {outcome.tracks:,}.")
    if outcome.previews:
        show(f"{counted(outcome.previews, 'excerpt')} to listen to, in a folder beside the page.")
    print_page(outcome.page)


def print_page(path: str) -> None:
    """Print the path of the report."""
    show(f"Open the report in a browser: {printable(path)}")


def print_verification(outcome: "Verification") -> None:
    """Print what is wrong in a store, a line each, and what was checked."""
    for found in outcome.findings:
        # After a repair the remedy, which begins with it, would mislead.
        remedy = "" if outcome.outcome == "repaired" else f" {printable(found.remedy)}"
        show(f"{printable(found.file)} {printable(found.problem)}.{remedy}")
    what = "The rest is sound" if outcome.findings else "Sound"
    checked = f"{counted(outcome.parts, 'part')}, {counted(outcome.rows, 'row')}"
    show(f"{what}: {checked}, {counted(outcome.models, 'model')}")
    if outcome.unchecked:
        show(
            f"The tables were not compared: {outcome.unchecked}. Verify again when no run is at "
            "work."
        )
    if not outcome.manifest:
        show(
            "The store has no manifest yet, so a missing part may go unnoticed; the next run "
            "writes it."
        )
    if outcome.outcome == "repaired":
        show(
            f"Repaired: the damaged files were emptied or removed, and "
            f"{counted(outcome.forgotten, 'track')} forgotten. Make them anew: "
            f"{command_for(printable(outcome.store), 'run SOURCE')}"
        )


def inspect(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A recording; with --store also a track of the store, by the end of its name.",
        ),
    ],
    *,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the pictures and the page; by default inspect-NAME in this folder.",
        ),
    ] = None,
    store: options.OptionalStore = None,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Write one page about a recording: pictures, facts and features.

    With --store, each feature has its percentile among the tracks, and the champion predicts the
    label.
    """
    arguments = dict(locals())
    require("report")
    from jobs.reporting.inspection import inspect as run

    run_job(run, print_inspection, **arguments)


def report(
    *,
    store: options.Store,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of index.html; by default STORE/report."),
    ] = None,
    previews: Annotated[
        bool,
        typer.Option(
            "--previews",
            help="Write excerpts of the named tracks beside the page, to hear on other machines.",
        ),
    ] = False,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Write one page about STORE: its content and the scores of its models."""
    arguments = dict(locals())
    require("report")
    from jobs.reporting.report import report as run

    run_job(run, print_report, **arguments)


def status(
    store: options.Store,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the files that failed, and why.")
    ] = False,
    warnings: Annotated[
        bool,
        typer.Option(
            "--warnings", help="List the files with a remark, such as that they are incomplete."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show the content of STORE: tracks, segments, hours, labels, failures, the last runs."""
    from jobs.reporting.status import read_status

    found = read_status(store)
    if as_json:
        labels = [{"label": label, "tracks": count} for label, count in found.labels.items()]
        counts = {"failed": len(found.failed_files), "warnings": len(found.warned_files)}
        content = {**asdict(found), "labels": labels, **counts}
        if not failed:
            del content["failed_files"]
        if not warnings:
            del content["warned_files"]
        print_json(content)
    elif failed or warnings:
        if failed:
            print_failed(found)
        if warnings:
            print_warnings(found)
    else:
        print_status(found)


def verify(
    *,
    store: options.Store,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Forget what is damaged, so that the next runs make it anew."
        ),
    ] = False,
    log_format: options.LogFormat = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Check everything in STORE: checksums, manifest, tables, models. Exit with 1 if it is damaged.

    Without --repair nothing is written, and other runs may be at work.
    """
    arguments = dict(locals())
    from jobs.reporting.verify import verify as run

    outcome = run_job(run, print_verification, **arguments)
    if outcome.outcome == "damaged":
        raise typer.Exit(1)
