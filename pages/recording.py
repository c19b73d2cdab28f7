"""Pictures of one recording, as in the tutorial, and its predictions over time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import librosa.display
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from featurizer.bands import CONTRAST_EDGES_HZ
from featurizer.columns import N_MFCC, SAMPLE_RATE
from featurizer.curves import FRAME_CURVES, Curves, bin_frequencies
from featurizer.mel import A_MIN
from pages.picture import Picture, draw
from pages.style import NARROW_VARIANT, LabelStyles, Variant, shorten

_MINUTE = 60
_HOUR = 3600

_FLOOR_DB = -80.0
"""Lowest level that is drawn, relative to the loudest."""

_LEVEL_LABEL = "level (dB, the loudest: 0)"
_LEVEL_SCALE: dict[str, Any] = {"cmap": "magma", "vmin": _FLOOR_DB, "vmax": 0.0}

_SILENCE_DB = 10 * np.log10(A_MIN) + 0.01
"""Mel band level below which a recording counts as silent."""

_SILENT = "The recording is silent."

_MIN_STD_DB = 1e-6
"""Standard deviation below which a coefficient differs only by rounding errors."""

_HEIGHTS = (330, 250)
_TALL = (420, 300)

_PITCH_CLASSES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")

_MAX_POINTS = 1500
"""Points above which a curve is thinned out."""

_MAX_BARS = 120
"""Bars above which segments are averaged."""

_MAX_CLASSES = 10
"""Classes shown in the picture of the predictions."""


def pictures(curves: Curves, tempo: float) -> Iterator[Picture]:
    """Draw the pictures of a recording.

    Parameters
    ----------
    curves : Curves
        Curves of the recording, filled in by :func:`featurizer.analysis.signal_rows`.
    tempo : float
        Tempo in BPM; 0 if there is no onset.

    Yields
    ------
    Picture
        ``waveform``, ``spectrogram``, ``mel-spectrogram``, ``harmonic-percussive``, ``centroid``,
        ``rolloff``, ``mfcc``, ``mfcc-scaled``, ``chromagram`` and ``onset-strength``.
    """
    yield _waveform(curves)
    yield _spectrogram(curves)
    yield _mel_spectrogram(curves)
    yield _harmonic_percussive(curves)
    yield _curve_over_waveform(
        curves,
        name="centroid",
        column="spectral_centroid",
        title="Spectral centroid over the waveform",
        caption="The mean frequency of each frame's spectrum, weighted by magnitude. Bright sounds "
        "have a high centroid.",
    )
    yield _curve_over_waveform(
        curves,
        name="rolloff",
        column="rolloff",
        title="Spectral roll-off over the waveform",
        caption="The frequency below which 85% of each frame's magnitude lies.",
    )
    yield _mfcc(curves, scaled=False)
    yield _mfcc(curves, scaled=True)
    yield _pitch_classes(
        curves,
        curves.chroma,
        name="chromagram",
        title="Chromagram",
        unit="strength (1: the frame's strongest)",
        largest=1,
        alt="Chromagram: the strength of each of the twelve pitch classes over time.",
        caption="Octaves are folded together, and the tuning is corrected.",
    )
    yield _onset_strength(curves, tempo)


def rich_pictures(curves: Curves) -> Iterator[Picture]:
    """Draw the streams of the rich features.

    Parameters
    ----------
    curves : Curves
        Curves of the recording, filled in with the set ``rich``.

    Yields
    ------
    Picture
        ``contrast``, ``flux``, ``percussive-share`` and ``harmonic-chroma``.
    """
    yield _contrast(curves)
    at = float(curves.times_s[int(curves.flux.argmax())])
    yield _share(
        curves,
        curves.flux,
        name="flux",
        title="Spectral flux",
        label="flux (0 … 1)",
        alt="Spectral flux over time: how much of each frame's spectrum is new, "
        f"{curves.flux.mean():.2f} on average. "
        + (f"The largest change is at {_format_time(at)}." if curves.flux.any() else _SILENT),
        caption="The increase of the spectrum since the frame before, both divided by their "
        "lengths. 0: nothing new; 1: all of it is.",
    )
    yield _share(
        curves,
        curves.percussive_share,
        name="percussive-share",
        title="Percussive share",
        label="share of the power (0 … 1)",
        alt="Percussive share of the power over time: "
        f"{curves.percussive_share.mean():.0%} on average. "
        + ("" if _is_audible(curves) else _SILENT),
        caption="0: tones only; 1: attacks and noise only. A silent frame has 0.5.",
    )
    yield _pitch_classes(
        curves,
        curves.harmonic_chroma,
        name="harmonic-chroma",
        title="Chroma of the harmonic part",
        unit="share of the frame's energy",
        largest=max(float(curves.harmonic_chroma.max()), 2 / len(_PITCH_CLASSES)),
        alt="Chroma of the harmonic part: the share of each of the twelve pitch classes over time.",
        caption="Without attacks; the shares of a frame add up to 1. A silent frame has the same "
        "share everywhere.",
    )


def _format_time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _duration_s(curves: Curves) -> float:
    return len(curves.y) / SAMPLE_RATE


def _time_axis(axes: Axes, seconds: float, variant: Variant) -> None:
    axes.set_xlim(0, seconds)
    unit = "s" if seconds < _MINUTE else "min:s" if seconds < _HOUR else "h:min:s"
    axes.set_xlabel(f"time ({unit})")
    # librosa removes the ticks of an axis that it does not label itself.
    axes.xaxis.set_major_locator(MaxNLocator(5 if variant.narrow else 12, steps=[1, 2, 3, 5, 6]))
    in_seconds = seconds < _MINUTE
    formatter = ScalarFormatter() if in_seconds else librosa.display.TimeFormatter()
    axes.xaxis.set_major_formatter(formatter)


def _draw_waveform(axes: Axes, y: np.ndarray, **options: Any) -> None:
    """Draw a waveform; a long one is reduced to the peaks of equal intervals."""
    librosa.display.waveshow(
        y, sr=SAMPLE_RATE, max_points=_MAX_POINTS, ax=axes, axis=None, **options
    )


def _peak(y: np.ndarray) -> tuple[float, float]:
    """Return the largest absolute amplitude and its time in seconds."""
    index = int(np.abs(y).argmax())
    return float(abs(y[index])), index / SAMPLE_RATE


def _waveform(curves: Curves) -> Picture:
    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        _draw_waveform(axes, curves.y, color=variant.scheme.first)
        axes.set_ylabel("amplitude (1: full scale)")
        _time_axis(axes, _duration_s(curves), variant)

    peak, at = _peak(curves.y)
    return draw(
        paint,
        name="waveform",
        title="Waveform",
        alt=f"Waveform of {_format_time(_duration_s(curves))}: the amplitude over time. The peak "
        f"is {peak:.2f} of full scale, at {_format_time(at)}.",
        caption="The samples in mono at 22,050 Hz.",
        heights=_HEIGHTS,
        seconds=_duration_s(curves),
    )


def _is_audible(curves: Curves) -> bool:
    """Return whether any mel band exceeds the lowest level that features can have."""
    return bool(curves.mel_db.max() > _SILENCE_DB)


def _levels_db(curves: Curves) -> np.ndarray:
    """Return levels of -80 … 0 dB relative to the loudest [shape=(1025, n_columns)]."""
    power = curves.power
    loudest = power.max()
    if not _is_audible(curves):
        return np.full(power.T.shape, _FLOOR_DB)
    least = loudest * 10 ** (_FLOOR_DB / 10)
    levels: np.ndarray = 10 * np.log10(np.maximum(power.T, least) / loudest)
    return levels


def _draw_heatmap(
    axes: Axes,
    variant: Variant,
    curves: Curves,
    values: np.ndarray,
    unit: str,
    *,
    extend: str = "neither",
    **options: Any,
) -> None:
    """Draw columns of values over time, with a colour bar beside or below the axes.

    ``extend`` names the ends of the colour bar that values exceed, as in matplotlib.
    """
    narrow = variant.narrow
    centres = curves.columns_s
    if len(centres) == 1:  # librosa derives the width of a column from its neighbours
        centres, values = np.array([0.0, _duration_s(curves)]), np.repeat(values, 2, axis=1)
    mesh = librosa.display.specshow(values, ax=axes, x_coords=centres, sr=SAMPLE_RATE, **options)
    bar = axes.figure.colorbar(
        mesh,
        ax=axes,
        location="bottom" if narrow else "right",
        extend=extend,
        aspect=30 if narrow else 20,
        pad=0.03 if narrow else 0.015,
    )
    bar.set_label(unit)
    bar.outline.set_visible(False)
    _time_axis(axes, _duration_s(curves), variant)


def _spectrogram(curves: Curves) -> Picture:
    levels = _levels_db(curves)

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        _draw_heatmap(axes, variant, curves, levels, _LEVEL_LABEL, y_axis="log", **_LEVEL_SCALE)
        axes.set_ylabel("frequency (Hz), log")

    mean = curves.power.mean(axis=0)
    at = float(bin_frequencies()[int(mean.argmax())])
    summary = f"On average the strongest frequency is about {at:,.0f} Hz."
    if not _is_audible(curves):
        summary = _SILENT
    return draw(
        paint,
        name="spectrogram",
        title="Spectrogram",
        alt="Spectrogram: the level of each frequency, on a logarithmic axis from 0 to 11,025 Hz, "
        f"over {_format_time(_duration_s(curves))}. {summary}",
        caption=f"Level in decibels. {_frame_note(curves)}",
        heights=_TALL,
        seconds=_duration_s(curves),
    )


def _frame_note(curves: Curves) -> str:
    frames, columns = len(curves.times_s), len(curves.columns_s)
    if frames == columns:
        return f"{frames:,} frames of 2,048 samples, 512 samples apart."
    return f"{frames:,} frames, averaged to {columns:,} columns."


def _mel_spectrogram(curves: Curves) -> Picture:
    loudest = curves.mel_db.max()
    levels = curves.mel_db.T - (loudest if _is_audible(curves) else loudest - _FLOOR_DB)

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        options: dict[str, Any] = {"y_axis": "mel", "fmax": SAMPLE_RATE / 2, **_LEVEL_SCALE}
        _draw_heatmap(axes, variant, curves, levels, _LEVEL_LABEL, **options)
        axes.set_ylabel("frequency (Hz), mel")

    centres = librosa.mel_frequencies(n_mels=levels.shape[0], fmax=SAMPLE_RATE / 2)
    at = float(centres[int(levels.mean(axis=1).argmax())])
    summary = f"On average the strongest band is about {at:,.0f} Hz."
    if not _is_audible(curves):
        summary = _SILENT
    return draw(
        paint,
        name="mel-spectrogram",
        title="Mel spectrogram",
        alt="Mel spectrogram: the level of 128 bands, evenly spaced in perceived pitch, over "
        f"{_format_time(_duration_s(curves))}. {summary}",
        caption=f"Level of Slaney's mel bands in decibels. {_frame_note(curves)}",
        heights=_TALL,
        seconds=_duration_s(curves),
    )


def _harmonic_percussive(curves: Curves) -> Picture:
    harmonic = curves.harmonic()
    # In single precision, the sum of squares of a long recording would ignore its last samples.
    powers = [float(np.mean(part**2, dtype=np.float64)) for part in (harmonic, curves.percussive)]

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        _draw_waveform(axes, harmonic, color=variant.scheme.first, label="harmonic", alpha=0.85)
        _draw_waveform(
            axes, curves.percussive, color=variant.scheme.second, label="percussive", alpha=0.85
        )
        axes.set_ylabel("amplitude (1: full scale)")
        _time_axis(axes, _duration_s(curves), variant)
        _legend_above(figure, axes)

    summary = _SILENT
    if sum(powers):
        summary = f"The harmonic part has {powers[0] / sum(powers):.0%} of the power."
    return draw(
        paint,
        name="harmonic-percussive",
        title="Harmonic and percussive waveforms",
        alt="Two waveforms on top of one another: the harmonic part (sustained tones) and the "
        f"percussive part (short attacks). {summary}",
        caption="Separated by median filters along time and along frequency.",
        heights=_HEIGHTS,
        seconds=_duration_s(curves),
    )


def _legend_above(figure: Figure, *axes: Axes) -> None:
    entries = [one.get_legend_handles_labels() for one in axes]
    handles = [handle for some, _ in entries for handle in some]
    names = [name for _, some in entries for name in some]
    figure.legend(handles, names, loc="outside upper left", ncols=2, handlelength=1.2)


def _curve_over_waveform(
    curves: Curves, *, name: str, column: str, title: str, caption: str
) -> Picture:
    values = curves.frames[:, FRAME_CURVES.index(column)]
    curve = title.removesuffix(" over the waveform").lower()
    step = max(1, len(values) // _MAX_POINTS)

    def paint(figure: Figure, variant: Variant) -> None:
        waveform = figure.subplots()
        _draw_waveform(waveform, curves.y, color=variant.scheme.first, alpha=0.45, label="waveform")
        waveform.set_ylabel("amplitude (1: full scale)")
        axes = waveform.twinx()
        axes.spines.right.set_visible(True)
        axes.plot(
            curves.times_s[::step],
            values[::step],
            color=variant.scheme.second,
            linewidth=1.0,
            label=curve,
        )
        axes.set_ylim(0, max(float(values.max()) * 1.05, 1.0))
        axes.set_ylabel(f"{curve.removeprefix('spectral ')} (Hz)")
        _time_axis(waveform, _duration_s(curves), variant)
        _legend_above(figure, waveform, axes)

    first = ", ".join(f"{value:,.3f}" for value in values[:3])
    return draw(
        paint,
        name=name,
        title=title,
        alt=f"The waveform, and over it the {curve} of each frame: from {values.min():,.0f} to "
        f"{values.max():,.0f} Hz, {values.mean():,.0f} Hz on average.",
        caption=f"{caption} The first frames: {first} Hz.",
        heights=_HEIGHTS,
        seconds=_duration_s(curves),
    )


def _mfcc(curves: Curves, *, scaled: bool) -> Picture:
    values = curves.mfcc.T
    if scaled:
        std = values.std(axis=1, keepdims=True)
        # Constant coefficients become 0.
        std = np.where(std > _MIN_STD_DB, std, np.inf)
        values = (values - values.mean(axis=1, keepdims=True)) / std
    # The first coefficient, the level, is far larger than all others.
    limit = float(np.percentile(np.abs(values if scaled else values[1:]), 99.5))
    if limit <= _MIN_STD_DB:
        limit = 1.0

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        unit = "standard deviations" if scaled else "coefficient (dB)"
        options: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        _draw_heatmap(axes, variant, curves, values, unit, extend="both", **options)
        axes.set_yticks(range(0, N_MFCC, 3 if variant.narrow else 2))
        axes.set_yticklabels([str(int(tick) + 1) for tick in axes.get_yticks()])
        axes.set_ylabel("MFCC")

    largest = int(np.abs(curves.mfcc.mean(axis=0)).argmax()) + 1
    if scaled:
        alt = (
            "The 20 mel-frequency cepstral coefficients over time, each scaled to mean 0 and "
            "standard deviation 1. Coefficients that never change are 0."
        )
    else:
        alt = (
            "The 20 mel-frequency cepstral coefficients over time. The largest on average is "
            f"coefficient {largest}, at {curves.mfcc.mean(axis=0)[largest - 1]:,.1f}."
        )
    return draw(
        paint,
        name="mfcc-scaled" if scaled else "mfcc",
        title="MFCCs, scaled" if scaled else "MFCCs",
        alt=alt,
        caption="Each coefficient minus its mean, divided by its standard deviation."
        if scaled
        else "The shape of the mel spectrum in 20 numbers. The first is the overall level.",
        heights=_TALL,
        seconds=_duration_s(curves),
    )


def _pitch_classes(
    curves: Curves,
    values: np.ndarray,
    *,
    name: str,
    title: str,
    unit: str,
    largest: float,
    alt: str,
    caption: str,
) -> Picture:
    """Draw values of pitch classes [shape=(n_columns, 12), 0 … ``largest``] over time."""

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        options: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": largest}
        _draw_heatmap(axes, variant, curves, values.T, unit, **options)
        axes.set_yticks(range(len(_PITCH_CLASSES)))
        axes.set_yticklabels(_PITCH_CLASSES)
        axes.set_ylabel("pitch class")

    mean = values.mean(axis=0)
    strongest = [_PITCH_CLASSES[i] for i in np.argsort(-mean, kind="stable")[:3]]
    summary = f"On average the strongest are {strongest[0]}, {strongest[1]} and {strongest[2]}."
    if not _is_audible(curves):
        summary = _SILENT
    return draw(
        paint,
        name=name,
        title=title,
        alt=f"{alt} {summary}",
        caption=f"{caption} {_frame_note(curves)}",
        heights=_TALL,
        seconds=_duration_s(curves),
    )


def _contrast(curves: Curves) -> Picture:
    bands = [
        f"{low:,} – {high:,}"
        for low, high in zip(CONTRAST_EDGES_HZ[:-1], CONTRAST_EDGES_HZ[1:], strict=True)
    ]

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        options: dict[str, Any] = {"cmap": "viridis", "vmin": 0}
        _draw_heatmap(axes, variant, curves, curves.contrast.T, "contrast (dB)", **options)
        axes.set_yticks(range(len(bands)), bands)
        axes.set_ylabel("band (Hz)")

    mean = curves.contrast.mean(axis=0)
    at = int(mean.argmax())
    summary = f"On average it is largest from {bands[at]} Hz, {mean[at]:.0f} dB."
    if not _is_audible(curves):
        summary = _SILENT
    return draw(
        paint,
        name="contrast",
        title="Spectral contrast",
        alt=f"Spectral contrast of seven frequency bands over time. {summary}",
        caption="How far the loudest fifth of a band is above its quietest fifth: tones have a "
        f"high contrast, noise has a low one. {_frame_note(curves)}",
        heights=_TALL,
        seconds=_duration_s(curves),
    )


def _share(
    curves: Curves,
    values: np.ndarray,
    *,
    name: str,
    title: str,
    label: str,
    alt: str,
    caption: str,
) -> Picture:
    """Draw one value per frame [shape=(n_frames,), 0 … 1] over time."""
    step = max(1, len(values) // _MAX_POINTS)

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        axes.plot(curves.times_s[::step], values[::step], linewidth=0.9)
        axes.set_ylim(0, 1)
        axes.set_ylabel(label)
        _time_axis(axes, _duration_s(curves), variant)

    return draw(
        paint,
        name=name,
        title=title,
        alt=alt.rstrip(),
        caption=caption,
        heights=_HEIGHTS,
        seconds=_duration_s(curves),
    )


def _onset_strength(curves: Curves, tempo: float) -> Picture:
    strength = curves.onset_strength
    step = max(1, len(strength) // _MAX_POINTS)
    tempo_text = f"{tempo:,.3f} BPM" if tempo else "none (no onset)"

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        axes.plot(curves.times_s[::step], strength[::step], linewidth=0.9)
        axes.set_ylim(0, max(float(strength.max()) * 1.05, 1.0))
        axes.set_ylabel("onset strength (dB)")
        _time_axis(axes, _duration_s(curves), variant)
        axes.set_title(f"tempo: {tempo_text}", loc="left", fontsize=variant.width.font_size)

    at = float(curves.times_s[int(strength.argmax())])
    strongest = f"The strongest onset is at {_format_time(at)}."
    if not strength.any():
        strongest = "It is 0 throughout."
    return draw(
        paint,
        name="onset-strength",
        title="Onset strength and tempo",
        alt=f"Onset strength over time. {strongest} Tempo: {tempo_text}.",
        caption="The rise of the mel spectrum from frame to frame, as the median over bands. "
        "The tempo is that of its strongest repetition; tempos near 120 BPM are preferred.",
        heights=_HEIGHTS,
        seconds=_duration_s(curves),
    )


@dataclass(frozen=True)
class SegmentProbabilities:
    """Class probabilities of each segment of a recording.

    Parameters
    ----------
    segment_s : float
        Length of a segment in seconds.
    classes : sequence of str
        Classes of the model.
    probabilities : np.ndarray [shape=(n_segments, n_classes), 0 … 1]
        Probability of each class, for each segment.
    """

    segment_s: float
    classes: Sequence[str]
    probabilities: np.ndarray


def predicted_over_time(segments: SegmentProbabilities, styles: LabelStyles) -> Picture:
    """Draw the class probabilities of a recording over time, as stacked bars.

    Parameters
    ----------
    segments : SegmentProbabilities
        Probabilities of each segment.
    styles : LabelStyles
        Styles of the page.

    Examples
    --------
    >>> segments = SegmentProbabilities(3.0, ["jazz", "rock"], np.array([[0.9, 0.1], [0.6, 0.4]]))
    >>> predicted_over_time(segments, LabelStyles(["jazz", "rock"])).alt.partition("3 s. ")[2]
    'Segments by most probable class: jazz 2.'
    """
    probabilities = segments.probabilities
    # In a long recording, each bar is the mean of several segments.
    bars = min(len(probabilities), _MAX_BARS)
    bar_of = np.arange(len(probabilities)) * bars // len(probabilities)
    counts = np.bincount(bar_of)
    heights = np.stack([np.bincount(bar_of, column) / counts for column in probabilities.T], axis=1)
    edges = np.concatenate([[0], np.cumsum(counts)]) * segments.segment_s
    order = np.argsort(-probabilities.mean(axis=0), kind="stable")
    shown = sorted(order[:_MAX_CLASSES].tolist(), key=lambda i: segments.classes[i])
    names = [shorten(segments.classes[i]) for i in shown]

    def paint(figure: Figure, variant: Variant) -> None:
        axes = figure.subplots()
        below = np.zeros(bars)
        stacks = []
        for i in shown:
            stack = axes.bar(
                edges[:-1],
                heights[:, i],
                np.diff(edges),
                bottom=below,
                align="edge",
                color=styles.colour(segments.classes[i]),
                edgecolor=variant.scheme.background,
                linewidth=0.4 if bars < _MAX_BARS else 0,
            )
            stacks.append(stack[0])
            below += heights[:, i]
        axes.set_ylim(0, 1)
        axes.set_ylabel("probability")
        _time_axis(axes, float(edges[-1]), variant)
        # Beside the bars, the legend follows the order of the stack from top to bottom.
        order = slice(None) if variant.narrow else slice(None, None, -1)
        position = variant.legend_position(names)
        options: dict[str, Any] = {
            "loc": position.loc,
            "ncols": position.columns,
            "handlelength": 1.2,
        }
        figure.legend(stacks[order], names[order], **options)

    predicted = probabilities.argmax(axis=1)
    counts_of = np.bincount(predicted, minlength=probabilities.shape[1])
    most = [int(i) for i in np.argsort(-counts_of, kind="stable")[:3] if counts_of[i]]
    summary = ", ".join(f"{segments.classes[i]} {counts_of[i]}" for i in most)
    duration = f"{segments.segment_s:g} s"
    which = f"the {_MAX_CLASSES} most probable classes"
    if len(segments.classes) <= _MAX_CLASSES:
        which = "each class"
    return draw(
        paint,
        name="predicted",
        title="Predicted label over time",
        alt=f"Stacked bars: the probability of {which} for {len(probabilities)} segments of "
        f"{duration}. Segments by most probable class: {summary}.",
        caption=f"Each bar is a segment of {duration}."
        if bars == len(probabilities)
        else f"{len(probabilities):,} segments of {duration}, averaged to {bars} bars.",
        heights=(330, 310 + 20 * -(-len(shown) // NARROW_VARIANT.legend_position(names).columns)),
        seconds=float(edges[-1]),
    )
