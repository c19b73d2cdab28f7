"""The pictures of models: what they confuse, what they go by, how they have fared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pages.picture import Picture, draw
from pages.style import Look, short

_MOST_COUNTED = 16
_HALF = 0.55


def confusion_matrix(classes: Sequence[str], counts: np.ndarray, of: str) -> Picture:
    """Draw what is taken for what.

    Parameters
    ----------
    classes : sequence of str
        In the order of the rows and of the columns.
    counts : np.ndarray [shape=(n_classes, n_classes), int]
        Of each true class (row), how many were predicted as each (column).
    of : str
        What is counted, for a person.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    names = [short(name) for name in classes]
    n = len(names)

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list("", [look.scheme.paper, look.scheme.first])
        mesh = axes.pcolormesh(
            shares, cmap=colours, vmin=0, vmax=1, edgecolors=look.scheme.lines, linewidth=0.5
        )
        axes.invert_yaxis()
        places = np.arange(n) + 0.5
        size = look.width.text * min(1.0, (13 if look.narrow else 24) / n)
        axes.set_xticks(places, names, rotation=90, fontsize=size)
        axes.set_yticks(places, names, fontsize=size)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        if n <= _MOST_COUNTED:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    on = shares[row, column] > _HALF
                    axes.text(
                        column + 0.5,
                        row + 0.5,
                        f"{count:,}",
                        ha="center",
                        va="center",
                        fontsize=size,
                        color=look.scheme.paper if on else look.scheme.ink,
                    )
        below = look.narrow
        bar = figure.colorbar(
            mesh, ax=axes, location="bottom" if below else "right", pad=0.02, aspect=30
        )
        bar.set_label("share of the label")
        bar.outline.set_visible(False)

    right = int(np.trace(counts))
    wrong = counts - np.diag(np.diag(counts))
    row, column = divmod(int(wrong.argmax()), n)
    most = (
        f" The most frequent mistake: {classes[row]} taken for {classes[column]}, "
        f"{wrong[row, column]:,} times."
        if wrong.any()
        else ""
    )
    return draw(
        paint,
        name="confusion",
        title="Confusion matrix",
        alt=f"Confusion matrix of {n} labels: {right:,} of {int(counts.sum()):,} are on the "
        f"diagonal.{most}",
        caption=f"Counts of {of}; a row is a label, a column what it was taken for.",
        heights=(200 + min(44, 1100 // n) * n, 210 + min(24, 700 // n) * n),
    )


def importance_bars(
    features: Sequence[str], means: Sequence[float], spreads: Sequence[float], of: str
) -> Picture:
    """Draw which features a model goes by.

    Parameters
    ----------
    features : sequence of str
        From the top down.
    means, spreads : sequence of float
        Accuracy that is lost when a column is shuffled, and its standard deviation.
    of : str
        How it was measured, for a person.
    """

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        places = np.arange(len(features))
        axes.barh(
            places,
            means,
            xerr=spreads,
            height=0.66,
            color=look.scheme.first,
            error_kw={"ecolor": look.scheme.second, "capsize": 2.5, "elinewidth": 1.0},
        )
        axes.set_yticks(places, features)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        lost = "accuracy lost (± std)" if look.narrow else "accuracy lost when shuffled (± std)"
        axes.set_xlabel(lost)
        axes.locator_params(axis="x", nbins=4 if look.narrow else 8)

    first = ", ".join(
        f"{name} {mean:.3f}" for name, mean in list(zip(features, means, strict=True))[:3]
    )
    return draw(
        paint,
        name="importance",
        title="Permutation importance",
        alt=f"Bars of the accuracy that is lost when one of the {len(features)} most important "
        f"columns is shuffled, with its spread. The most important: {first}.",
        caption=of,
        heights=(90 + 26 * len(features), 90 + 22 * len(features)),
    )


@dataclass(frozen=True)
class Score:
    """How a model was judged.

    Parameters
    ----------
    made : np.datetime64
        When it was trained.
    macro_f1, accuracy : float
        By track.
    champion : bool
        Whether it predicts.
    """

    made: np.datetime64
    macro_f1: float
    accuracy: float
    champion: bool


def scores_over_time(scores: Sequence[Score]) -> Picture:
    """Draw how good each model was, the oldest first."""
    made: NDArray[np.float64] = date2num([one.made for one in scores])

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        for name, values, shape in (
            ("accuracy", [one.accuracy for one in scores], "s"),
            ("macro F1", [one.macro_f1 for one in scores], "o"),
        ):
            axes.plot(made, values, marker=shape, markersize=5, linewidth=1.2, label=name)
        best = [i for i, one in enumerate(scores) if one.champion]
        axes.plot(
            made[best],
            [scores[i].macro_f1 for i in best],
            linestyle="none",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=look.scheme.ink,
            label="predicts now",
        )
        axes.set_ylim(0, 1)
        axes.set_ylabel("score by track (0 … 1)")
        locator = AutoDateLocator(maxticks=5 if look.narrow else 9)
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
        alt=f"Accuracy and macro F1 by track of {len(scores)} models, in the order in which they "
        f"were trained: macro F1 was {first.macro_f1:.3f} at first and is {last.macro_f1:.3f} of "
        "the last.",
        caption="Each model by the tracks that it was judged with when it was trained.",
        heights=(330, 280),
    )
