"""The scores of a model as its ``model.json`` and its tables hold them."""

from typing import Any

import pyarrow as pa

from jobs.learning.promotion import Verdict
from jobs.store.schemas import CONFUSION, METRICS
from training.evaluate import Scores

_OVERALL = ("accuracy", "macro_f1", "log_loss", "chance")


def overall_scores(scores: Scores) -> dict[str, float]:
    """Return the scores of all classes, as in ``model.json``."""
    found = {name: getattr(scores, name) for name in (*_OVERALL, "count")}
    for name, ends in scores.intervals.items():
        found |= {f"{name}_lower": ends.lower, f"{name}_upper": ends.upper}
    return found


def metrics_table(
    scores: dict[str, Scores], classes: tuple[str, ...], verdict: Verdict
) -> pa.Table:
    """Return ``metrics.parquet``: the scores by level, and the comparisons with earlier models."""
    rows: list[tuple[Any, ...]] = []
    for level, found in scores.items():
        for metric in _OVERALL:
            ends = _ends(found.intervals.get(metric))
            rows.append((level, None, metric, getattr(found, metric), found.count, *ends))
        for name, of_class in zip(classes, found.classes, strict=True):
            for metric in ("precision", "recall", "f1"):
                ends = _ends(of_class if metric == "f1" else None)
                value = getattr(of_class, metric)
                rows.append((level, name, metric, value, of_class.support, *ends))
    for metric, one in (("since_champion", verdict.champion), ("since_best", verdict.best)):
        if one:
            rows.append(("track", None, metric, one.difference, one.tracks, *_ends(one)))
    since = verdict.since_best
    if since:
        rows.append(("track", None, "trend_since_best", since.change, since.nights, *_ends(since)))
    return pa.table(list(zip(*rows, strict=True)), schema=METRICS)


def _ends(found: Any) -> tuple[float | None, float | None]:
    """Return the ends of an interval; None without one."""
    return (found.lower, found.upper) if found else (None, None)


def confusion_table(scores: dict[str, Scores], classes: tuple[str, ...]) -> pa.Table:
    """Return ``confusion.parquet``: the counts of each pair of classes, by level."""
    rows = [
        {
            "level": level,
            "label": label,
            "predicted": predicted,
            "count": int(found.confusion[i, j]),
        }
        for level, found in scores.items()
        for i, label in enumerate(classes)
        for j, predicted in enumerate(classes)
    ]
    return pa.Table.from_pylist(rows, schema=CONFUSION)
