"""The pictures of a collection: how its columns, its labels and its tracks lie to one another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pages.picture import Picture, draw
from pages.statistics import Components, Spread
from pages.style import LIGHT, NARROW_LOOK, OTHERS, LabelStyles, Look, short

_CROWDED = 2000
_LINE = 22


def correlation_heatmap(names: Sequence[str], found: np.ndarray, of: str) -> Picture:
    """Draw how columns correlate.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    found : np.ndarray [shape=(n_columns, n_columns), -1 … 1]
        Pearson's coefficients; NaN where a column never changes.
    of : str
        What the rows are, for a person.
    """
    shown = np.where(np.tri(len(names), k=-1, dtype=bool), found, np.nan)

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        axes.set_facecolor(look.scheme.paper)
        mesh = axes.pcolormesh(
            np.ma.masked_invalid(shown[1:, :-1]),
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            edgecolors=look.scheme.paper,
            linewidth=0.5,
        )
        axes.invert_yaxis()
        size = look.width.text * (0.85 if look.narrow else 0.92)
        places = np.arange(len(names) - 1) + 0.5
        shorter = [name.removesuffix("_mean") if look.narrow else name for name in names]
        axes.set_yticks(places, shorter[1:], fontsize=size)
        axes.set_xticks(places, shorter[:-1], fontsize=size, rotation=90)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        # In the half that is empty, so that the cells are as large as can be.
        inner = axes.inset_axes((0.5, 0.9, 0.45, 0.03) if look.narrow else (0.6, 0.9, 0.33, 0.025))
        ticks = [-1, 0, 1] if look.narrow else [-1, -0.5, 0, 0.5, 1]
        bar = figure.colorbar(mesh, cax=inner, orientation="horizontal", ticks=ticks)
        bar.outline.set_visible(False)
        bar.set_label("correlation (Pearson's r)")

    pairs = strongest(names, found, 3)
    said = "; ".join(f"{one} and {other} {r:+.2f}" for one, other, r in pairs)
    return draw(
        paint,
        name="correlations",
        title="Correlations of the mean columns",
        alt=f"Heatmap of the correlations of {len(names)} columns, the lower triangle only. "
        f"The strongest: {said or 'none'}.",
        caption=f"Over {of}. Red columns rise together, blue ones against each other.",
        heights=(820, 560),
    )


def strongest(names: Sequence[str], found: np.ndarray, count: int) -> list[tuple[str, str, float]]:
    """Return the pairs of columns that correlate most, by absolute value, and their r."""
    rows, columns = np.tril_indices(len(names), k=-1)
    values = found[rows, columns]
    order = np.argsort(-np.nan_to_num(np.abs(values)), kind="stable")[:count]
    pairs = [(names[columns[i]], names[rows[i]], float(values[i])) for i in order]
    return [(one, other, r) for one, other, r in pairs if not np.isnan(r)]


def tempo_box_plot(spreads: Sequence[Spread], styles: LabelStyles, of: str) -> Picture:
    """Draw how the tempo is spread within each label.

    Parameters
    ----------
    spreads : sequence of Spread
        Tempos in beats a minute, from the top down.
    styles : LabelStyles
        Of the page.
    of : str
        What the rows are, for a person.
    """

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        line = {"color": look.scheme.ink, "linewidth": 1.0}
        boxes = axes.boxplot(
            [spread.values for spread in spreads],
            orientation="horizontal",
            patch_artist=True,
            widths=0.62,
            # On the colours of labels, which are bright, it is dark in both schemes.
            medianprops={"color": LIGHT.ink, "linewidth": 1.8},
            whiskerprops=dict(line),
            capprops=dict(line),
            boxprops={"edgecolor": look.scheme.ink, "linewidth": 1.0},
            flierprops={
                "markersize": 3.5,
                "markeredgecolor": look.scheme.quiet,
                "markerfacecolor": "none",
            },
        )
        for box, spread in zip(boxes["boxes"], spreads, strict=True):
            box.set_facecolor(styles.colour(spread.label))
        axes.set_yticklabels([short(spread.label) for spread in spreads])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("tempo (BPM)")

    medians = sorted(((spread.quartiles[1], spread.label) for spread in spreads), reverse=True)
    if len(medians) == 1:
        said = f"the label {medians[0][1]}. The median is {medians[0][0]:.1f} BPM."
    else:
        ends = " and ".join(
            f"{which} in {label}, {median:.1f} BPM"
            for which, (median, label) in (("highest", medians[0]), ("lowest", medians[-1]))
        )
        said = f"{len(spreads)} labels. The median is {ends}."
    return draw(
        paint,
        name="tempo",
        title="Tempo by label",
        alt=f"Box plot of the tempo of {said}",
        caption=f"Over {of}. The box goes from the first quartile to the third, the line in it is "
        "the median; whiskers reach 1.5 times the box, circles are tracks beyond.",
        heights=(90 + 34 * len(spreads), 90 + 28 * len(spreads)),
    )


def component_scatter(
    found: Components, labels: Sequence[str], styles: LabelStyles, of: str
) -> Picture:
    """Draw tracks by their first two principal components.

    Parameters
    ----------
    found : Components
        Of the tracks.
    labels : sequence of str
        Of each track.
    styles : LabelStyles
        Of the page.
    of : str
        What the rows are, for a person.
    """
    each = np.array(labels, object)
    # Others first: they lie below.
    names = sorted(set(labels), key=lambda label: (label != OTHERS, label))

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        crowded = len(labels) > _CROWDED
        marks = []
        for name in names:
            points = found.points[each == name]
            mark = axes.scatter(
                points[:, 0],
                points[:, 1],
                s=(10 if look.narrow else 18) if crowded else (16 if look.narrow else 36),
                marker=styles.shape(name),
                color=styles.colour(name),
                edgecolors=look.scheme.quiet,
                linewidths=0.4,
                alpha=0.85,
            )
            marks.append(mark)
        axes.set_xlabel(f"component 1 ({found.explained[0]:.1%} of the variance)")
        axes.set_ylabel(f"component 2 ({found.explained[1]:.1%})")
        axes.grid()
        axes.set_axisbelow(True)
        shown = [short(name) for name in names]
        beside = look.legend_beside(shown)
        how: dict[str, Any] = {"loc": beside.place, "ncols": beside.columns, "handletextpad": 0.2}
        # Given by hand, since matplotlib leaves out names that begin with a line below.
        figure.legend(marks, shown, **how)

    centres = {name: found.points[each == name, 0].mean() for name in names}
    low, high = min(names, key=lambda name: centres[name]), max(names, key=lambda n: centres[n])
    apart = f" Along the first, {short(low)} lies at one end and {short(high)} at the other."
    of_labels = f"{len(names)} labels" if len(names) > 1 else f"the label {short(names[0])}"
    rows = -(-len(names) // NARROW_LOOK.legend_beside(map(short, names)).columns)
    return draw(
        paint,
        name="components",
        title="Principal components",
        alt=f"Scatter plot of {len(labels):,} tracks of {of_labels} by two principal "
        f"components, which explain {found.explained[0]:.1%} and {found.explained[1]:.1%} of the "
        f"variance.{apart if len(names) > 1 else ''}",
        caption=f"Over {of}: the 57 features and the length, each scaled to 0 … 1. The "
        f"components explain {found.explained[0]:.5f} and {found.explained[1]:.5f} of the "
        "variance.",
        heights=(max(560, 60 + _LINE * len(names)), 400 + 20 * rows),
    )
