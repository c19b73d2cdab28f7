"""The 57 features of the published GTZAN tables.

Names and order follow ``features_30_sec.csv`` and ``features_3_sec.csv``, between their columns
``length`` and ``label``.
"""

from typing import TYPE_CHECKING

from featurizer.columns import N_MFCC
from featurizer.feature_set import Column, FeatureSet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from featurizer.curves import Curves
    from featurizer.gtzan_accumulator import GtzanAccumulator

_TZANETAKIS = (
    "Tzanetakis, G., and P. Cook. Musical genre classification of audio signals. IEEE Transactions"
    " on Speech and Audio Processing 10(5), 2002."
)
_KLAPURI = (
    "Klapuri, A., and M. Davy (eds.). Signal Processing Methods for Music Transcription. Springer,"
    " 2006, chapter 5."
)
_ELLIS = (
    "Ellis, D. P. W. Chroma feature analysis and synthesis. Columbia University, LabROSA, 2007."
)
_DRIEDGER = (
    "Driedger, J., M. Müller, and S. Disch. Extending harmonic-percussive separation of audio"
    " signals. ISMIR 2014."
)
_GROSCHE = (
    "Grosche, P., M. Müller, and F. Kurth. Cyclic tempogram - A mid-level tempo representation for"
    " music signals. ICASSP 2010."
)
_DAVIS = (
    "Davis, S. B., and P. Mermelstein. Comparison of parametric representations for monosyllabic"
    " word recognition in continuously spoken sentences. IEEE Transactions on Acoustics, Speech,"
    " and Signal Processing 28(4), 1980."
)

# Name, block, unit, what its mean and variance are of, source.
_MEAN_AND_VARIANCE = (
    ("chroma_stft", "chroma", "1", "strength of each pitch class of a frame, at most 1", _ELLIS),
    ("rms", "level", "1", "root mean square of a frame, relative to full scale", _TZANETAKIS),
    ("spectral_centroid", "spectrum", "Hz", "mean frequency of a frame's magnitudes", _TZANETAKIS),
    (
        "spectral_bandwidth",
        "spectrum",
        "Hz",
        "standard deviation of a frame's magnitudes around the centroid",
        _KLAPURI,
    ),
    (
        "rolloff",
        "spectrum",
        "Hz",
        "frequency at or below which 85 % of a frame's magnitudes lie",
        _TZANETAKIS,
    ),
    (
        "zero_crossing_rate",
        "level",
        "1",
        "sign changes per sample of a frame",
        _TZANETAKIS,
    ),
    ("harmony", "parts", "1", "samples of the harmonic part", _DRIEDGER),
    ("perceptr", "parts", "1", "samples of the percussive part", _DRIEDGER),
)


def _mean_and_variance(
    name: str, block: str, unit: str, meaning: str, source: str
) -> tuple[Column, Column]:
    square = unit if unit == "1" else f"{unit}^2"
    return (
        Column(f"{name}_mean", block, unit, f"mean of the {meaning}", source),
        Column(f"{name}_var", block, square, f"variance of the {meaning}", source),
    )


def _columns() -> tuple[Column, ...]:
    columns: list[Column] = []
    for described in _MEAN_AND_VARIANCE:
        columns += _mean_and_variance(*described)
    columns.append(
        Column("tempo", "tempo", "BPM", "strongest repetition of the onset strength", _GROSCHE)
    )
    for i in range(1, N_MFCC + 1):
        meaning = f"mel-frequency cepstral coefficient {i} of a frame"
        columns += _mean_and_variance(f"mfcc{i}", "mfcc", "dB", meaning, _DAVIS)
    return tuple(columns)


def _accumulator(y: "npt.NDArray[np.float32]", curves: "Curves | None") -> "GtzanAccumulator":
    from featurizer.gtzan_accumulator import GtzanAccumulator

    return GtzanAccumulator(y, curves)


FEATURE_SET = FeatureSet(
    name="gtzan",
    version="gtzan-57.1",
    columns=_columns(),
    levels=("track", "segment"),
    min_samples=1025,
    dtype="float64",
    accumulator=_accumulator,
)
