"""Pictures of models: confusion matrix, permutation importance, and scores over time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pages.picture import Picture, draw
from pages.style import Variant, shorten

_MAX_ANNOTATED_CLASSES = 16
"""Classes up to which the cells of a confusion matrix are large enough for numbers."""

_STRONG_SHARE = 0.55
"""Share above which a number is drawn in the background colour."""


def confusion_matrix(classes: Sequence[str], counts: np.ndarray, sample: str) -> Picture:
    """Draw a confusion matrix.

    Parameters
    ----------
    classes : sequence of str
        Classes in the order of the rows and columns.
    counts : np.ndarray [shape=(n_classes, n_classes), int]
        Tracks of each true class (row) that were predicted as each class (column).
    sample : str
        Description of the tracks, such as ``the 100 test tracks``.

    Examples
    --------
    >>> picture = confusion_matrix(["jazz", "rock"], np.array([[8, 2], [1, 9]]), "20 test tracks")
    >>> picture.alt.partition(" The most")[0]
    'Confusion matrix of 2 labels: 17 of 20 are predicted correctly.'
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    names = [shorten(name) for name in classes]
    n = len(names)

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list(
            "", [variant.scheme.background, variant.scheme.first]
        )
        mesh = axes.pcolormesh(
            shares, cmap=colours, vmin=0, vmax=1, edgecolors=variant.scheme.grid, linewidth=0.5
        )
        axes.invert_yaxis()
        ticks = np.arange(n) + 0.5
        size = variant.width.font_size * min(1.0, (13 if variant.narrow else 24) / n)
        axes.set_xticks(ticks, names, rotation=90, fontsize=size)
        axes.set_yticks(ticks, names, fontsize=size)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        if n <= _MAX_ANNOTATED_CLASSES:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    strong = shares[row, column] > _STRONG_SHARE
                    axes.text(
                        column + 0.5,
                        row + 0.5,
                        f"{count:,}",
                        ha="center",
                        va="center",
                        fontsize=size,
                        color=variant.scheme.background if strong else variant.scheme.text,
                    )
        location = "bottom" if variant.narrow else "right"
        bar = figure.colorbar(mesh, ax=axes, location=location, pad=0.02, aspect=30)
        bar.set_label("share of the row")
        bar.outline.set_visible(False)

    correct = int(np.trace(counts))
    wrong = counts - np.diag(np.diag(counts))
    row, column = divmod(int(wrong.argmax()), n)
    mistake = (
        f" The most common mistake: {classes[row]} taken for {classes[column]}, "
        f"{wrong[row, column]:,} times."
        if wrong.any()
        else ""
    )
    return draw(
        paint,
        name="confusion",
        title="Confusion matrix",
        alt=f"Confusion matrix of {n} labels: {correct:,} of {int(counts.sum()):,} are "
        f"predicted correctly.{mistake}",
        caption=f"Counts of {sample}. Rows are labels, columns are predictions.",
        heights=(200 + min(44, 1100 // n) * n, 210 + min(24, 700 // n) * n),
    )


def importance_bars(
    features: Sequence[str], means: Sequence[float], stds: Sequence[float], caption: str
) -> Picture:
    """Draw the permutation importance of a model's features as bars.

    Parameters
    ----------
    features : sequence of str
        Columns, the most important first.
    means, stds : sequence of float
        Accuracy lost when the column is shuffled: mean and standard deviation.
    caption : str
        How the importance was measured.

    Examples
    --------
    >>> picture = importance_bars(["rolloff_mean", "tempo"], [0.12, 0.03], [0.01, 0.01], "")
    >>> picture.alt.partition("The most important: ")[2]
    'rolloff_mean 0.120, tempo 0.030.'
    """

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        ticks = np.arange(len(features))
        axes.barh(
            ticks,
            means,
            xerr=stds,
            height=0.66,
            color=variant.scheme.first,
            error_kw={"ecolor": variant.scheme.second, "capsize": 2.5, "elinewidth": 1.0},
        )
        axes.set_yticks(ticks, features)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        label = "accuracy lost (± std)" if variant.narrow else "accuracy lost when shuffled (± std)"
        axes.set_xlabel(label)
        axes.locator_params(axis="x", nbins=4 if variant.narrow else 8)

    first = ", ".join(
        f"{name} {mean:.3f}" for name, mean in list(zip(features, means, strict=True))[:3]
    )
    return draw(
        paint,
        name="importance",
        title="Permutation importance",
        alt=f"Bar chart of the accuracy lost when one of the {len(features)} most important "
        f"columns is shuffled. The most important: {first}.",
        caption=caption,
        heights=(90 + 26 * len(features), 90 + 22 * len(features)),
    )


@dataclass(frozen=True)
class Score:
    """Test score of a model.

    Parameters
    ----------
    trained_at : np.datetime64
        Time of training, in UTC.
    macro_f1, accuracy : float
        Scores by track, 0 … 1.
    champion : bool
        Whether this model makes the predictions.
    macro_f1_interval, accuracy_interval : tuple of float or None
        Ends of the confidence intervals; None if unknown.
    """

    trained_at: np.datetime64
    macro_f1: float
    accuracy: float
    champion: bool
    macro_f1_interval: tuple[float, float] | None = None
    accuracy_interval: tuple[float, float] | None = None


def scores_over_time(scores: Sequence[Score]) -> Picture:
    """Draw the scores of all models over time.

    Parameters
    ----------
    scores : sequence of Score
        The oldest first.

    Examples
    --------
    >>> days = np.array(["2026-01-01", "2026-01-02"], "datetime64[s]")
    >>> scores = [Score(days[0], 0.5, 0.55, False), Score(days[1], 0.75, 0.7, True)]
    >>> scores_over_time(scores).alt.partition("training. ")[2]
    'Macro F1 is 0.500 for the first and 0.750 for the last.'
    """
    dates: NDArray[np.float64] = date2num([one.trained_at for one in scores])

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        for name, values, marker in (
            ("accuracy", [one.accuracy for one in scores], "s"),
            ("macro F1", [one.macro_f1 for one in scores], "o"),
        ):
            (line,) = axes.plot(
                dates, values, marker=marker, markersize=5, linewidth=1.2, label=name
            )
            attribute = f"{name.lower().replace(' ', '_')}_interval"
            known = [i for i, one in enumerate(scores) if getattr(one, attribute)]
            ends = [getattr(scores[i], attribute) for i in known]
            axes.vlines(dates[known], *_columns(ends), colors=line.get_color(), linewidth=1.2)
        champions = [i for i, one in enumerate(scores) if one.champion]
        axes.plot(
            dates[champions],
            [scores[i].macro_f1 for i in champions],
            linestyle="none",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=variant.scheme.text,
            label="in use",
        )
        axes.set_ylim(0, 1)
        axes.set_ylabel("score by track (0 … 1)")
        locator = _date_locator(variant)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel("trained (UTC)")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.4)

    first, last = scores[0], scores[-1]
    return draw(
        paint,
        name="scores",
        title="Scores over time",
        alt=f"Accuracy and macro F1 by track of {len(scores)} models, in order of training. "
        f"Macro F1 is {first.macro_f1:.3f} for the first and {last.macro_f1:.3f} for the last.",
        caption="Each model is scored on its own test tracks. Bars are 95 % confidence intervals.",
        heights=(330, 280),
    )


def _date_locator(variant: Variant) -> AutoDateLocator:
    """Return the positions of dates on the axis, of any range from seconds to decades."""
    # With more ticks at least, Matplotlib has no interval for ranges of two to five units.
    return AutoDateLocator(minticks=2, maxticks=5 if variant.narrow else 9)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the first and the second values of pairs."""
    return [one for one, _ in pairs], [other for _, other in pairs]


@dataclass(frozen=True)
class Change:
    """A change of macro F1 with its confidence interval.

    Parameters
    ----------
    value, lower, upper : float [range=[-1, 1]]
        The change, and the ends of the interval.
    """

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class ModelChanges:
    """Changes of macro F1 from earlier models to a new one.

    Parameters
    ----------
    name : str
        Name of the new model.
    since_champion, since_best : Change or None
        Changes since the champion of the time, and over the nights since the best one; None if
        they were not compared.
    """

    name: str
    since_champion: Change | None
    since_best: Change | None


def changes(models: Sequence[ModelChanges]) -> Picture:
    """Draw changes of macro F1 as points with intervals, a row for each model.

    Parameters
    ----------
    models : sequence of ModelChanges
        The newest first.

    Examples
    --------
    >>> worse = Change(-0.05, -0.08, -0.02)
    >>> found = changes([ModelChanges("the second", worse, worse)])
    >>> found.alt.partition("champion: ")[2]
    'the second -0.050 (-0.080 to -0.020).'
    """
    rows = np.arange(len(models))

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        for name, attribute, marker, offset in (
            ("since the champion", "since_champion", "o", -0.14),
            ("since the best", "since_best", "s", 0.14),
        ):
            known = [i for i, one in enumerate(models) if getattr(one, attribute)]
            found = [getattr(models[i], attribute) for i in known]
            (line,) = axes.plot(
                [one.value for one in found],
                rows[known] + offset,
                linestyle="none",
                marker=marker,
                markersize=5,
                label=name,
            )
            ends = _columns([(one.lower, one.upper) for one in found])
            axes.hlines(rows[known] + offset, *ends, colors=line.get_color(), linewidth=1.4)
        axes.axvline(0.0, color=variant.scheme.text, linewidth=0.8)
        axes.set_yticks(rows, [one.name for one in models])
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4 if variant.narrow else 8)
        axes.set_xlabel("change of macro F1")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.4)

    said = [(one.name, one.since_champion) for one in models if one.since_champion]
    listed = ", ".join(
        f"{name} {one.value:+.3f} ({one.lower:+.3f} to {one.upper:+.3f})" for name, one in said[:3]
    )
    return draw(
        paint,
        name="changes",
        title="New models against earlier ones",
        alt=f"Changes of macro F1 of {len(models)} models, the newest first. Since the champion: "
        f"{listed or 'unknown'}.",
        caption="Change of macro F1 since the champion of the time, and over all nights since the "
        "best champion, with 99 % confidence intervals. A model is refused if one of them lies "
        "below 0.",
        heights=(130 + 34 * len(models), 120 + 30 * len(models)),
    )
