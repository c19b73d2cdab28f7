"""Pictures of a collection: correlations, tempo by label, and principal components."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pages.picture import Picture, draw
from pages.statistics import Components, Distribution
from pages.style import LIGHT, NARROW_VARIANT, OTHER_LABELS, LabelStyles, Variant, shorten

_MANY_POINTS = 2000
"""Points above which a scatter plot uses smaller markers."""

_STRONG = 0.55
"""Correlation above which its number is drawn in the background colour."""

_LEGEND_LINE = 22
"""Height of a line of a legend in CSS pixels."""


def correlation_heatmap(
    feature_set: str, names: Sequence[str], correlations: np.ndarray, sample: str
) -> Picture:
    """Draw the correlations of columns as a heatmap.

    Parameters
    ----------
    feature_set : str
        Name of the columns' feature set.
    names : sequence of str
        Names of the columns.
    correlations : np.ndarray [shape=(n_columns, n_columns), -1 … 1]
        Pearson's r; NaN for constant columns.
    sample : str
        Description of the tracks, such as ``all 100 tracks``.
    """
    triangle = np.where(np.tri(len(names), k=-1, dtype=bool), correlations, np.nan)

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        axes.set_facecolor(variant.scheme.background)
        mesh = axes.pcolormesh(
            np.ma.masked_invalid(triangle[1:, :-1]),
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            edgecolors=variant.scheme.background,
            linewidth=0.5,
        )
        axes.invert_yaxis()
        size = variant.width.font_size * (0.85 if variant.narrow else 0.92)
        ticks = np.arange(len(names) - 1) + 0.5
        labels = [name.removesuffix("_mean") if variant.narrow else name for name in names]
        axes.set_yticks(ticks, labels[1:], fontsize=size)
        axes.set_xticks(ticks, labels[:-1], fontsize=size, rotation=90)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        # The colour bar is in the empty half, so that the cells can be larger.
        inner = axes.inset_axes(
            (0.5, 0.9, 0.45, 0.03) if variant.narrow else (0.6, 0.9, 0.33, 0.025)
        )
        values = [-1, 0, 1] if variant.narrow else [-1, -0.5, 0, 0.5, 1]
        bar = figure.colorbar(mesh, cax=inner, orientation="horizontal", ticks=values)
        bar.outline.set_visible(False)
        bar.set_label("correlation (Pearson's r)")

    pairs = strongest_correlations(names, correlations, 3)
    strongest = "; ".join(f"{one} and {other} {r:+.2f}" for one, other, r in pairs)
    return draw(
        paint,
        name=f"correlations-{feature_set}",
        title=f"Correlations of columns: {feature_set}",
        alt=f"Heatmap of the correlations of {len(names)} columns, the lower triangle only. "
        f"The strongest: {strongest or 'none'}.",
        caption=f"Over {sample}. Red: the two columns rise together. Blue: one rises as the other "
        "falls.",
        heights=(820, 560),
    )


def block_heatmap(
    feature_set: str, blocks: Sequence[str], strengths: np.ndarray, sample: str
) -> Picture:
    """Draw how strongly the columns of blocks correlate, as a heatmap with numbers.

    Parameters
    ----------
    feature_set : str
        Name of the blocks' feature set.
    blocks : sequence of str
        Names of the blocks.
    strengths : np.ndarray [shape=(n_blocks, n_blocks), 0 … 1]
        From :func:`pages.statistics.block_correlations`; NaN without a pair of columns.
    sample : str
        Description of the tracks, such as ``all 100 tracks``.

    Examples
    --------
    >>> strengths = np.array([[0.5, 0.1], [0.1, np.nan]])
    >>> block_heatmap("rich", ["chroma", "contrast"], strengths, "all 9 tracks").alt
    'Heatmap of the correlations of 2 blocks of columns. The strongest: chroma and chroma 0.50.'
    """
    shown = np.where(np.tri(len(blocks), dtype=bool), strengths, np.nan)

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list(
            "", [variant.scheme.background, variant.scheme.second]
        )
        mesh = axes.pcolormesh(
            np.ma.masked_invalid(shown),
            cmap=colours,
            vmin=0,
            vmax=1,
            edgecolors=variant.scheme.background,
            linewidth=0.5,
        )
        axes.invert_yaxis()
        ticks = np.arange(len(blocks)) + 0.5
        axes.set_yticks(ticks, blocks)
        axes.set_xticks(ticks, blocks, rotation=90 if variant.narrow else 0)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for (row, column), strength in np.ndenumerate(shown):
            if not np.isnan(strength):
                colour = variant.scheme.background if strength > _STRONG else variant.scheme.text
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    f"{strength:.2f}",
                    ha="center",
                    va="center",
                    color=colour,
                )
        location = "bottom" if variant.narrow else "right"
        bar = figure.colorbar(mesh, ax=axes, location=location, pad=0.02, aspect=30)
        bar.set_label("mean absolute correlation")
        bar.outline.set_visible(False)

    row, column = divmod(int(np.nan_to_num(shown).argmax()), len(blocks))
    strongest = "none"
    if not np.isnan(shown[row, column]):
        strongest = f"{blocks[column]} and {blocks[row]} {shown[row, column]:.2f}"
    return draw(
        paint,
        name=f"correlations-{feature_set}",
        title=f"Correlations of blocks of columns: {feature_set}",
        alt=f"Heatmap of the correlations of {len(blocks)} blocks of columns. The strongest: "
        f"{strongest}.",
        caption=f"Over {sample}. Mean of the absolute correlation (Pearson's r) over all pairs of "
        "a column of one block and another column of the other: 0, they say different things; 1, "
        "they say the same.",
        heights=(max(260, 60 + 48 * len(blocks)), 180 + 40 * len(blocks)),
    )


def strongest_correlations(
    names: Sequence[str], correlations: np.ndarray, count: int
) -> list[tuple[str, str, float]]:
    """Return the pairs of columns with the largest absolute correlation.

    Parameters
    ----------
    names : sequence of str
        Names of the columns.
    correlations : np.ndarray [shape=(n_columns, n_columns), -1 … 1]
        Pearson's r; NaN for constant columns.
    count : int
        Maximum number of pairs.

    Returns
    -------
    list of (str, str, float)
        Both names and r, the strongest first; without constant columns.

    Examples
    --------
    >>> r = np.array([[1.0, 0.2, -0.9], [0.2, 1.0, np.nan], [-0.9, np.nan, 1.0]])
    >>> strongest_correlations(["rms", "tempo", "rolloff"], r, 3)
    [('rms', 'rolloff', -0.9), ('rms', 'tempo', 0.2)]
    """
    rows, columns = np.tril_indices(len(names), k=-1)
    values = correlations[rows, columns]
    order = np.argsort(-np.nan_to_num(np.abs(values)), kind="stable")[:count]
    pairs = [(names[columns[i]], names[rows[i]], float(values[i])) for i in order]
    return [(one, other, r) for one, other, r in pairs if not np.isnan(r)]


def tempo_box_plot(tempos: Sequence[Distribution], styles: LabelStyles, sample: str) -> Picture:
    """Draw the distribution of the tempo within each label.

    Parameters
    ----------
    tempos : sequence of Distribution
        Tempos of each label in BPM, from top to bottom.
    styles : LabelStyles
        Styles of the page.
    sample : str
        Description of the tracks, such as ``all 100 tracks``.

    Examples
    --------
    >>> tempos = [Distribution("jazz", np.array([90.0, 99.4, 110.0]))]
    >>> tempo_box_plot(tempos, LabelStyles(["jazz"]), "all 3 tracks").alt
    'Box plot of the tempo of the label jazz. The median is 99.4 BPM.'
    """

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        line = {"color": variant.scheme.text, "linewidth": 1.0}
        boxes = axes.boxplot(
            [one.values for one in tempos],
            orientation="horizontal",
            patch_artist=True,
            widths=0.62,
            # The label colours are bright, so the median is dark in both schemes.
            medianprops={"color": LIGHT.text, "linewidth": 1.8},
            whiskerprops=dict(line),
            capprops=dict(line),
            boxprops={"edgecolor": variant.scheme.text, "linewidth": 1.0},
            flierprops={
                "markersize": 3.5,
                "markeredgecolor": variant.scheme.muted,
                "markerfacecolor": "none",
            },
        )
        for box, one in zip(boxes["boxes"], tempos, strict=True):
            box.set_facecolor(styles.colour(one.label))
        axes.set_yticklabels([shorten(one.label) for one in tempos])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("tempo (BPM)")

    medians = sorted(((one.quartiles[1], one.label) for one in tempos), reverse=True)
    if len(medians) == 1:
        summary = f"the label {medians[0][1]}. The median is {medians[0][0]:.1f} BPM."
    else:
        ends = " and ".join(
            f"{which} in {label}, {median:.1f} BPM"
            for which, (median, label) in (("highest", medians[0]), ("lowest", medians[-1]))
        )
        summary = f"{len(tempos)} labels. The median is {ends}."
    return draw(
        paint,
        name="tempo",
        title="Tempo by label",
        alt=f"Box plot of the tempo of {summary}",
        caption=f"Over {sample}. A box spans the first to third quartile; its line is the median. "
        "Whiskers reach up to 1.5 times the box's length; circles are tracks beyond them.",
        heights=(90 + 34 * len(tempos), 90 + 28 * len(tempos)),
    )


def component_scatter(
    components: Components,
    labels: Sequence[str],
    styles: LabelStyles,
    *,
    feature_set: str,
    columns: str,
    sample: str,
) -> Picture:
    """Draw a scatter plot of tracks by their first two principal components.

    Parameters
    ----------
    components : Components
        Principal components of the tracks.
    labels : sequence of str
        Label of each track.
    styles : LabelStyles
        Styles of the page.
    feature_set : str
        Name of the feature set.
    columns : str
        What the components are of, such as ``the gtzan features and the length``.
    sample : str
        Description of the tracks, such as ``all 100 tracks``.
    """
    label_of = np.array(labels, object)
    # The other labels are drawn first, so that they do not cover the named ones.
    names = sorted(set(labels), key=lambda label: (label != OTHER_LABELS, label))

    first, second = components.explained

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        small = len(labels) > _MANY_POINTS
        marks = []
        for name in names:
            points = components.points[label_of == name]
            mark = axes.scatter(
                points[:, 0],
                points[:, 1],
                s=(10 if variant.narrow else 18) if small else (16 if variant.narrow else 36),
                marker=styles.marker(name),
                color=styles.colour(name),
                edgecolors=variant.scheme.muted,
                linewidths=0.4,
                alpha=0.85,
            )
            marks.append(mark)
        axes.set_xlabel(f"component 1 ({first:.1%} of the variance)")
        axes.set_ylabel(f"component 2 ({second:.1%})")
        axes.grid()
        axes.set_axisbelow(True)
        shown = [shorten(name) for name in names]
        position = variant.legend_position(shown)
        options: dict[str, Any] = {
            "loc": position.loc,
            "ncols": position.columns,
            "handletextpad": 0.2,
        }
        # Explicit handles: matplotlib would leave out names that begin with an underscore.
        figure.legend(marks, shown, **options)

    centres = {name: components.points[label_of == name, 0].mean() for name in names}
    low, high = min(names, key=lambda name: centres[name]), max(names, key=lambda n: centres[n])
    ends = f" {shorten(low)} and {shorten(high)} are farthest apart along the first component."
    of_labels = f"{len(names)} labels" if len(names) > 1 else f"the label {shorten(names[0])}"
    rows = -(-len(names) // NARROW_VARIANT.legend_position(map(shorten, names)).columns)
    return draw(
        paint,
        name=f"components-{feature_set}",
        title=f"Principal components: {feature_set}",
        alt=f"Scatter plot of {len(labels):,} tracks of {of_labels} by two principal "
        f"components, which explain {first:.1%} and {second:.1%} of the "
        f"variance.{ends if len(names) > 1 else ''}",
        caption=f"Over {sample}: {columns}, each scaled to 0 … 1. "
        f"The components explain {first:.5f} and {second:.5f} of the variance.",
        heights=(max(560, 60 + _LEGEND_LINE * len(names)), 400 + 20 * rows),
    )
