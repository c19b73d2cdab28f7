"""The pictures of one recording, as the tutorial draws them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import librosa.display
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from featurizer.columns import N_MFCC, SAMPLE_RATE
from featurizer.curves import FRAME_CURVES, Curves, bin_frequencies
from featurizer.mel import A_MIN
from pages.picture import Picture, draw
from pages.style import NARROW_LOOK, LabelStyles, Look, short

_MINUTE = 60
_HOUR = 3600
_FLOOR_DB = -80.0
_FAINTEST_DB = 10 * np.log10(A_MIN) + 0.01
_STEADY = 1e-6
"""What spreads by less, in dB, does not change but for rounding."""
_SILENT = "It is silent."
_HEIGHTS = (330, 250)
_TALL = (420, 300)

_PITCHES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")

_MOST_BARS = 120


def pictures(curves: Curves, tempo: float) -> Iterator[Picture]:
    """Draw the pictures of a recording.

    Parameters
    ----------
    curves : Curves
        Its curves, filled in.
    tempo : float
        In beats a minute; 0 where there is no onset.

    Yields
    ------
    Picture
        ``waveform``, ``spectrogram``, ``mel-spectrogram``, ``harmonic-percussive``, ``centroid``,
        ``rolloff``, ``mfcc``, ``mfcc-scaled``, ``chromagram`` and ``onset-strength``.
    """
    yield _waveform(curves)
    yield _spectrogram(curves)
    yield _mel_spectrogram(curves)
    yield _parts(curves)
    yield _over_the_wave(
        curves,
        name="centroid",
        column="spectral_centroid",
        title="Spectral centroid over the wave",
        caption="The mean frequency of each frame's spectrum, weighted by magnitude: where the "
        "sound is bright, it is high.",
    )
    yield _over_the_wave(
        curves,
        name="rolloff",
        column="rolloff",
        title="Spectral roll-off over the wave",
        caption="The frequency below which 85 % of each frame's magnitude lies.",
    )
    yield _mfcc(curves, scaled=False)
    yield _mfcc(curves, scaled=True)
    yield _chromagram(curves)
    yield _onsets(curves, tempo)


def _clock(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _duration(curves: Curves) -> float:
    return len(curves.y) / SAMPLE_RATE


def _time_axis(axes: Axes, seconds: float, look: Look) -> None:
    axes.set_xlim(0, seconds)
    unit = "s" if seconds < _MINUTE else "min:s" if seconds < _HOUR else "h:min:s"
    axes.set_xlabel(f"time ({unit})")
    # librosa takes the marks away where an axis is not one of its own.
    axes.xaxis.set_major_locator(MaxNLocator(5 if look.narrow else 12, steps=[1, 2, 3, 5, 6]))
    short = seconds < _MINUTE
    axes.xaxis.set_major_formatter(ScalarFormatter() if short else librosa.display.TimeFormatter())


def _wave(axes: Axes, y: np.ndarray, **how: Any) -> None:
    """Draw a wave: of many samples, the loudest of each stretch."""
    librosa.display.waveshow(y, sr=SAMPLE_RATE, max_points=_MOST_POINTS, ax=axes, axis=None, **how)


def _loudest(y: np.ndarray) -> tuple[float, float]:
    place = int(np.abs(y).argmax())
    return float(abs(y[place])), place / SAMPLE_RATE


def _waveform(curves: Curves) -> Picture:
    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        _wave(axes, curves.y, color=look.scheme.first)
        axes.set_ylabel("amplitude (1: full scale)")
        _time_axis(axes, _duration(curves), look)

    peak, at = _loudest(curves.y)
    return draw(
        paint,
        name="waveform",
        title="Waveform",
        alt=f"Waveform of {_clock(_duration(curves))}: the amplitude over time. The loudest sample "
        f"has {peak:.2f} of full scale, at {_clock(at)}.",
        caption="The samples, mixed to one channel at 22,050 Hz.",
        heights=_HEIGHTS,
    )


_LEVEL = "level (dB, the loudest: 0)"
_LEVELS: dict[str, Any] = {"cmap": "magma", "vmin": _FLOOR_DB, "vmax": 0.0}


def _sounds(curves: Curves) -> bool:
    """Tell whether any mel band is louder than the faintest level that there is."""
    return bool(curves.mel_db.max() > _FAINTEST_DB)


def _db(curves: Curves) -> np.ndarray:
    """Return levels in dB below the loudest, none below -80 [shape=(1025, n_columns)]."""
    power = curves.power
    loudest = power.max()
    if not _sounds(curves):
        return np.full(power.T.shape, _FLOOR_DB)
    least = loudest * 10 ** (_FLOOR_DB / 10)
    levels: np.ndarray = 10 * np.log10(np.maximum(power.T, least) / loudest)
    return levels


def _map(
    axes: Axes,
    look: Look,
    curves: Curves,
    values: np.ndarray,
    unit: str,
    *,
    beyond: str = "neither",
    **how: Any,
) -> None:
    """Draw columns of numbers over time, with their scale beside or below.

    ``beyond`` says at which ends of the scale there are values beyond it.
    """
    narrow = look.narrow
    centres = curves.columns_s
    if len(centres) == 1:  # one column has no neighbour to tell how wide it is
        centres, values = np.array([0.0, _duration(curves)]), np.repeat(values, 2, axis=1)
    mesh = librosa.display.specshow(values, ax=axes, x_coords=centres, sr=SAMPLE_RATE, **how)
    bar = axes.figure.colorbar(
        mesh,
        ax=axes,
        location="bottom" if narrow else "right",
        extend=beyond,
        aspect=30 if narrow else 20,
        pad=0.03 if narrow else 0.015,
    )
    bar.set_label(unit)
    bar.outline.set_visible(False)
    _time_axis(axes, _duration(curves), look)


def _spectrogram(curves: Curves) -> Picture:
    levels = _db(curves)

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        _map(axes, look, curves, levels, _LEVEL, y_axis="log", **_LEVELS)
        axes.set_ylabel("frequency (Hz), log")

    mean = curves.power.mean(axis=0)
    at = float(bin_frequencies()[int(mean.argmax())])
    strongest = f"On average the strongest frequency is about {at:,.0f} Hz."
    return draw(
        paint,
        name="spectrogram",
        title="Spectrogram",
        alt="Spectrogram: the level of each frequency, on a logarithmic axis from 0 to 11,025 Hz, "
        f"over {_clock(_duration(curves))}. {strongest if _sounds(curves) else _SILENT}",
        caption=f"Level in decibels. {_averaged(curves)}",
        heights=_TALL,
    )


def _averaged(curves: Curves) -> str:
    frames, columns = len(curves.times_s), len(curves.columns_s)
    if frames == columns:
        return f"{frames:,} frames of 2,048 samples, 512 samples apart."
    return f"{frames:,} frames, averaged to {columns:,} columns."


def _mel_spectrogram(curves: Curves) -> Picture:
    loudest = curves.mel_db.max()
    levels = curves.mel_db.T - (loudest if _sounds(curves) else loudest - _FLOOR_DB)

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        how: dict[str, Any] = {"y_axis": "mel", "fmax": SAMPLE_RATE / 2, **_LEVELS}
        _map(axes, look, curves, levels, _LEVEL, **how)
        axes.set_ylabel("frequency (Hz), mel")

    centres = librosa.mel_frequencies(n_mels=levels.shape[0], fmax=SAMPLE_RATE / 2)
    at = float(centres[int(levels.mean(axis=1).argmax())])
    strongest = f"On average the strongest band is about {at:,.0f} Hz."
    return draw(
        paint,
        name="mel-spectrogram",
        title="Mel spectrogram",
        alt="Mel spectrogram: the level of 128 bands, spaced as the ear hears pitch, over "
        f"{_clock(_duration(curves))}. {strongest if _sounds(curves) else _SILENT}",
        caption=f"Level in decibels of Slaney's mel bands. {_averaged(curves)}",
        heights=_TALL,
    )


def _parts(curves: Curves) -> Picture:
    harmonic = curves.harmonic()
    # The sum of squares in single precision would lose the long recordings' ends.
    powers = [float(np.mean(part**2, dtype=np.float64)) for part in (harmonic, curves.percussive)]

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        _wave(axes, harmonic, color=look.scheme.first, label="harmonic", alpha=0.85)
        _wave(axes, curves.percussive, color=look.scheme.second, label="percussive", alpha=0.85)
        axes.set_ylabel("amplitude (1: full scale)")
        _time_axis(axes, _duration(curves), look)
        _legend_above(figure, axes)

    said = _SILENT
    if sum(powers):
        said = f"The harmonic part has {powers[0] / sum(powers):.0%} of the power of both."
    return draw(
        paint,
        name="harmonic-percussive",
        title="Harmonic and percussive waves",
        alt="Two waveforms over one another: the harmonic part, of what sounds, and the percussive "
        f"part, of what strikes. {said}",
        caption="Separated by medians along time and along frequency.",
        heights=_HEIGHTS,
    )


def _legend_above(figure: Figure, *axes: Axes) -> None:
    found = [one.get_legend_handles_labels() for one in axes]
    handles = [handle for some, _ in found for handle in some]
    names = [name for _, some in found for name in some]
    figure.legend(handles, names, loc="outside upper left", ncols=2, handlelength=1.2)


def _over_the_wave(curves: Curves, *, name: str, column: str, title: str, caption: str) -> Picture:
    values = curves.frames[:, FRAME_CURVES.index(column)]
    what = title.removesuffix(" over the wave").lower()
    step = max(1, len(values) // _MOST_POINTS)

    def paint(figure: Figure, look: Look) -> None:
        wave = figure.subplots()
        _wave(wave, curves.y, color=look.scheme.first, alpha=0.45, label="wave")
        wave.set_ylabel("amplitude (1: full scale)")
        axes = wave.twinx()
        axes.spines.right.set_visible(True)
        axes.plot(
            curves.times_s[::step],
            values[::step],
            color=look.scheme.second,
            linewidth=1.0,
            label=what,
        )
        axes.set_ylim(0, max(float(values.max()) * 1.05, 1.0))
        axes.set_ylabel(f"{what.removeprefix('spectral ')} (Hz)")
        _time_axis(wave, _duration(curves), look)
        _legend_above(figure, wave, axes)

    first = ", ".join(f"{value:,.3f}" for value in values[:3])
    return draw(
        paint,
        name=name,
        title=title,
        alt=f"The waveform, and over it the {what} of each frame: from {values.min():,.0f} to "
        f"{values.max():,.0f} Hz, {values.mean():,.0f} Hz on average.",
        caption=f"{caption} It begins with {first} Hz.",
        heights=_HEIGHTS,
    )


_MOST_POINTS = 1500


def _mfcc(curves: Curves, *, scaled: bool) -> Picture:
    values = curves.mfcc.T
    if scaled:
        spread = values.std(axis=1, keepdims=True)
        # What never changes has nothing to be scaled by, and stays at its mean.
        changes = spread > _STEADY
        values = (values - values.mean(axis=1, keepdims=True)) / np.where(changes, spread, np.inf)
    # The first coefficient, the level, is many times as large as all others.
    most = float(np.percentile(np.abs(values if scaled else values[1:]), 99.5))
    if most <= _STEADY:
        most = 1.0

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        unit = "standard deviations" if scaled else "coefficient (dB)"
        how: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
        _map(axes, look, curves, values, unit, beyond="both", **how)
        axes.set_yticks(range(0, N_MFCC, 3 if look.narrow else 2))
        axes.set_yticklabels([str(int(tick) + 1) for tick in axes.get_yticks()])
        axes.set_ylabel("MFCC")

    largest = int(np.abs(curves.mfcc.mean(axis=0)).argmax()) + 1
    if scaled:
        alt = (
            "The 20 mel-frequency cepstral coefficients over time, each with mean 0 and standard "
            "deviation 1, so that all can be seen to change; what never changes is 0."
        )
    else:
        alt = (
            "The 20 mel-frequency cepstral coefficients over time. The largest on average is "
            f"coefficient {largest}, with {curves.mfcc.mean(axis=0)[largest - 1]:,.1f}."
        )
    return draw(
        paint,
        name="mfcc-scaled" if scaled else "mfcc",
        title="MFCCs, scaled" if scaled else "MFCCs",
        alt=alt,
        caption="Each coefficient less its mean, over its standard deviation."
        if scaled
        else "The shape of the mel spectrum in 20 numbers; the first is the level.",
        heights=_TALL,
    )


def _chromagram(curves: Curves) -> Picture:
    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        how: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1}
        _map(axes, look, curves, curves.chroma.T, "strength (1: the frame's strongest)", **how)
        axes.set_yticks(range(len(_PITCHES)))
        axes.set_yticklabels(_PITCHES)
        axes.set_ylabel("pitch class")

    mean = curves.chroma.mean(axis=0)
    strongest = [_PITCHES[i] for i in np.argsort(-mean, kind="stable")[:3]]
    said = f"On average the strongest are {strongest[0]}, {strongest[1]} and {strongest[2]}."
    if not _sounds(curves):
        said = _SILENT
    return draw(
        paint,
        name="chromagram",
        title="Chromagram",
        alt=f"Chromagram: how strong each of the twelve pitch classes is over time. {said}",
        caption=f"Octaves are folded together, and tuning is corrected. {_averaged(curves)}",
        heights=_TALL,
    )


def _onsets(curves: Curves, tempo: float) -> Picture:
    strength = curves.onset_strength
    step = max(1, len(strength) // _MOST_POINTS)
    found = f"{tempo:,.3f} BPM" if tempo else "none, as there is no onset"

    def paint(figure: Figure, look: Look) -> None:
        axes = figure.subplots()
        axes.plot(curves.times_s[::step], strength[::step], linewidth=0.9)
        axes.set_ylim(0, max(float(strength.max()) * 1.05, 1.0))
        axes.set_ylabel("onset strength (dB)")
        _time_axis(axes, _duration(curves), look)
        axes.set_title(f"tempo: {found}", loc="left", fontsize=look.width.text)

    at = float(curves.times_s[int(strength.argmax())])
    strongest = f"the strongest onset being at {_clock(at)}"
    if not strength.any():
        strongest = "which is 0 throughout"
    return draw(
        paint,
        name="onset-strength",
        title="Onset strength and tempo",
        alt=f"Onset strength over time, {strongest}. Tempo: {found}.",
        caption="By how much the mel spectrum rises from one frame to the next, median over bands. "
        "The tempo is the lag at which it repeats itself best, 120 BPM being the likeliest.",
        heights=_HEIGHTS,
    )


@dataclass(frozen=True)
class Stretches:
    """What a model takes the stretches of a recording for.

    Parameters
    ----------
    step_s : float
        Length of a stretch in seconds.
    classes : sequence of str
        Of the model.
    probabilities : np.ndarray [shape=(n, n_classes), 0 … 1]
        Of each class, for each stretch.
    """

    step_s: float
    classes: Sequence[str]
    probabilities: np.ndarray


_SHOWN_CLASSES = 10


def predicted_over_time(found: Stretches, styles: LabelStyles) -> Picture:
    """Draw what a model takes a recording for, from stretch to stretch.

    Parameters
    ----------
    found : Stretches
        What it takes it for.
    styles : LabelStyles
        Of the page.
    """
    given = found.probabilities
    # Of a long recording, several stretches are one bar.
    bars = min(len(given), _MOST_BARS)
    bar = np.arange(len(given)) * bars // len(given)
    counts = np.bincount(bar)
    heights = np.stack([np.bincount(bar, column) / counts for column in given.T], axis=1)
    edges = np.concatenate([[0], np.cumsum(counts)]) * found.step_s
    order = np.argsort(-given.mean(axis=0), kind="stable")
    shown = sorted(order[:_SHOWN_CLASSES].tolist(), key=lambda i: found.classes[i])
    names = [short(found.classes[i]) for i in shown]

    def paint(figure: Figure, look: Look) -> None:
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
                color=styles.colour(found.classes[i]),
                edgecolor=look.scheme.paper,
                linewidth=0.4 if bars < _MOST_BARS else 0,
            )
            stacks.append(stack[0])
            below += heights[:, i]
        axes.set_ylim(0, 1)
        axes.set_ylabel("probability")
        _time_axis(axes, float(edges[-1]), look)
        # Beside the bars, in the order in which they are stacked.
        order = slice(None) if look.narrow else slice(None, None, -1)
        beside = look.legend_beside(names)
        how: dict[str, Any] = {"loc": beside.place, "ncols": beside.columns, "handlelength": 1.2}
        figure.legend(stacks[order], names[order], **how)

    best = given.argmax(axis=1)
    share = np.bincount(best, minlength=given.shape[1])
    most = [int(i) for i in np.argsort(-share, kind="stable")[:3] if share[i]]
    said = ", ".join(f"{found.classes[i]} {share[i]} times" for i in most)
    rest = ", the most probable classes" if len(found.classes) > _SHOWN_CLASSES else ""
    return draw(
        paint,
        name="predicted",
        title="Predicted label over time",
        alt=f"Stacked bars: the probability of each class for {len(given)} stretches of "
        f"{found.step_s:g} s{rest}. The most probable class is {said}.",
        caption=f"A bar is a segment of {found.step_s:g} s."
        if bars == len(given)
        else f"{len(given):,} segments of {found.step_s:g} s, averaged to {bars} bars.",
        heights=(330, 310 + 20 * -(-len(shown) // NARROW_LOOK.legend_beside(names).columns)),
    )
