"""What commands say at their end, as tables on a terminal."""

import shlex
from typing import Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.extract import Outcome
from jobs.progress import clock, printable
from jobs.status import Status

MOST_LABELS = 20


def print_outcome(outcome: Outcome, store: str) -> None:
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


def print_status(status: Status) -> None:
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
        table = _table("last runs", "outcome", "took", "extracted", "failed", "unchanged", "gone")
        for run in status.runs:
            table.add_row(*(_cell(value) for value in _run_cells(run)))
        console.print(table)


def print_failed(status: Status) -> None:
    """List the failed files of a store, a line each that other programs can cut at the tabs."""
    console = _console()
    if not status.failed_files:
        console.print("No file failed.")
    for row in status.failed_files:
        line = "\t".join(printable(row[name]) for name in ("error", "track_id", "message"))
        typer.echo(line)  # Rich would put spaces for the tabs


SHOWN_FEATURES = ("tempo", "rms_mean", "spectral_centroid_mean", "zero_crossing_rate_mean")


def print_features(tracks: pa.Table) -> None:
    """Show what a few features of the track table say of each label."""
    means = tracks.group_by("label").aggregate([(name, "mean") for name in SHOWN_FEATURES])
    table = _table("mean of", *SHOWN_FEATURES)
    for row in means.sort_by("label").to_pylist():
        cells = [f"{row[f'{name}_mean']:.4g}" for name in SHOWN_FEATURES]
        table.add_row(_cell(row["label"] or "(none)"), *cells)
    _console().print(table)


def _run_cells(run: dict[str, Any]) -> list[str]:
    counts = [f"{run[name]:,}" for name in ("extracted", "failed", "unchanged", "gone")]
    started = f"{run['started_at']:%Y-%m-%d %H:%M}"
    return [started, run["outcome"], clock(run["seconds"]), *counts]


def _console() -> Console:
    # Names and paths are shown as they are, also if they look like Rich's markup.
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name == "outcome" else "right")
    return table


def _cell(text: str) -> Text:
    return Text(printable(text))
