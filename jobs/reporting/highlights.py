"""First screen of a report: how good the model is, what changed last, and what needs a look."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import StoreError
from jobs.learning import registry
from jobs.learning.promotion import in_words
from jobs.progress import counted, printable
from jobs.reporting.overview import MAX_PAIRS_READ, Duplicates
from jobs.store.tables import Store
from pages.page import Card, Line
from training.bootstrap import Interval

_COUNTS = ("new", "changed", "gone", "relabelled", "failed")
"""Columns of ``runs``: files of an extraction."""


def model_card(store: Store, command: Callable[[str], str]) -> Card:
    """Return the accuracy of the champion, and how the newest model compares.

    ``command`` completes a command of songmill with the option ``--store``.
    """
    title = "How good is the model?"
    try:
        champion = registry.champion(store)
        if champion is None:
            return Card(title, "No model yet", [Line(f"Run: {command('train')}")])
        score = registry.describe(store, champion).scores["track"]
        answer, lines = f"{score['accuracy']:.3f} accuracy", [Line(_certainty(score), "model")]
    except (StoreError, KeyError, TypeError):
        return Card(title, "Unknown", [Line("The model's files are damaged", "model")])
    # A damaged model that does not predict is marked in the table of models.
    with suppress(StoreError):
        newest = registry.versions(store)[-1]
        metrics = registry.read_table(store, newest, "metrics.parquet").to_pylist()
        lines += _comparison(champion, newest, metrics)
    return Card(title, answer, lines)


def _certainty(score: dict[str, Any]) -> str:
    """Describe the interval of an accuracy.

    Examples
    --------
    >>> _certainty({"accuracy_lower": 0.84, "accuracy_upper": 0.93, "count": 200})
    '0.840 to 0.930 with 95 % confidence, measured on 200 held-out tracks'
    >>> _certainty({"count": 200})
    'Measured on 200 held-out tracks'
    """
    measured = f"easured on {counted(score['count'], 'held-out track')}"
    if "accuracy_lower" not in score:
        return f"M{measured}"
    ends = f"{score['accuracy_lower']:.3f} to {score['accuracy_upper']:.3f}"
    return f"{ends} with 95 % confidence, m{measured}"


def _comparison(champion: str, newest: str, metrics: list[dict[str, Any]]) -> list[Line]:
    """Compare the newest model with the champion of its time.

    Examples
    --------
    >>> change = {"metric": "since_champion", "value": -0.05, "lower": -0.08, "upper": -0.02}
    >>> _comparison("v1", "v2", [change])[0].text
    'The newest model, v2, was not promoted: macro F1 -0.050 (99 % interval -0.080 to -0.020)'
    >>> _comparison("v2", "v2", [change])[0].text
    'Since the champion before: macro F1 -0.050 (99 % interval -0.080 to -0.020)'
    """
    subject = f"The newest model, {newest}, was not promoted"
    if newest == champion:
        subject = "Since the champion before"
    for row in metrics:
        if row["metric"] == "since_champion" and row.get("lower") is not None:
            change = in_words(row["value"], Interval(row["lower"], row["upper"]))
            return [Line(f"{subject}: macro F1 {change}", "runs")]
    return [] if newest == champion else [Line(subject, "runs")]


def last_extraction(runs: pa.Table) -> dict[str, Any] | None:
    """Return the newest row of ``runs`` that describes an extraction or import, if there is one."""
    is_extraction = pc.is_in(runs["stage"], pa.array(["extract", "import"]))
    found = runs.filter(is_extraction).sort_by([("started_at", "descending")])
    return found.slice(0, 1).to_pylist()[0] if found.num_rows else None


def changes_card(runs: pa.Table, last: dict[str, Any] | None) -> Card:
    """Return the changes of the last extraction or import, and the stages that failed since.

    ``runs`` is the table of that name, and ``last`` its row of the extraction or import.
    """
    title = "What changed last?"
    if last is None:
        return Card(title, "Nothing yet", [])
    if last["stage"] == "import":
        text = counted(last["extracted"] or 0, "imported track")
    else:
        counts = [f"{last[name]:,} {name}" for name in _COUNTS if last[name]]
        text = f"Files: {', '.join(counts) or 'nothing new'}"
    lines = [Line(text, "runs")]
    since = runs.filter(pc.greater_equal(runs["started_at"], last["started_at"]))
    for row in since.sort_by("started_at").to_pylist():
        if row["outcome"] not in ("done", "skipped"):
            message = f": {row['message']}" if row["message"] else ""
            lines.append(Line(printable(f"{row['stage']} {row['outcome']}{message}"), "runs"))
    return Card(title, f"{last['started_at']:%Y-%m-%d %H:%M} UTC", lines)


def attention_card(*, contradicted: int | None, duplicates: Duplicates | None, failed: int) -> Card:
    r"""Return the findings that somebody should look at.

    Parameters
    ----------
    contradicted : int or None
        Labels that a model contradicts; None if they are unknown.
    duplicates : Duplicates or None
        Pairs of duplicates; None if they are unknown.
    failed : int
        Files that the last extraction failed to read.

    Examples
    --------
    >>> card = attention_card(contradicted=2, duplicates=None, failed=1)
    >>> print(card.answer, *(line.text for line in card.lines), sep="\n")
    3 findings
    2 labels that a model contradicts
    Not known yet: pairs of duplicates with different labels
    1 file that the last extraction failed to read
    """
    pairs = "of duplicates with different labels"
    if duplicates and duplicates.total > MAX_PAIRS_READ:
        pairs += ", or more"
    findings = (
        (contradicted, "label", "that a model contradicts", "suspects"),
        (duplicates and duplicates.with_two_labels, "pair", pairs, "duplicates"),
        (failed, "file", "that the last extraction failed to read", "collection"),
    )
    lines, total = [], 0
    for count, thing, which, anchor in findings:
        if count is None:
            lines.append(Line(f"Not known yet: {thing}s {which}", anchor))
        elif count:
            lines.append(Line(f"{counted(count, thing)} {which}", anchor))
            total += count
    return Card("What needs a look?", counted(total, "finding") if total else "Nothing", lines)
