"""The 57 features of the published GTZAN tables.

Names and order follow ``features_30_sec.csv`` and ``features_3_sec.csv``, between their columns
``length`` and ``label``.
"""

from typing import TYPE_CHECKING

from featurizer.columns import N_MFCC
from featurizer.feature_set import Column, FeatureSet
from featurizer.sources import (
    DAVIS_1980,
    DRIEDGER_2014,
    ELLIS_2007,
    GROSCHE_2010,
    KLAPURI_2006,
    TZANETAKIS_2002,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from featurizer.curves import Curves
    from featurizer.gtzan_accumulator import GtzanAccumulator

# Name, block, unit, what its mean and variance are of, source.
_MEAN_AND_VARIANCE = (
    (
        "chroma_stft",
        "chroma",
        "1",
        "strength of each pitch class of a frame, at most 1",
        ELLIS_2007,
    ),
    ("rms", "level", "1", "root mean square of a frame, relative to full scale", TZANETAKIS_2002),
    (
        "spectral_centroid",
        "spectrum",
        "Hz",
        "mean frequency of a frame's magnitudes",
        TZANETAKIS_2002,
    ),
    (
        "spectral_bandwidth",
        "spectrum",
        "Hz",
        "standard deviation of a frame's magnitudes around the centroid",
        KLAPURI_2006,
    ),
    (
        "rolloff",
        "spectrum",
        "Hz",
        "frequency at or below which 85 % of a frame's magnitudes lie",
        TZANETAKIS_2002,
    ),
    (
        "zero_crossing_rate",
        "level",
        "1",
        "sign changes per sample of a frame",
        TZANETAKIS_2002,
    ),
    ("harmony", "parts", "1", "samples of the harmonic part", DRIEDGER_2014),
    ("perceptr", "parts", "1", "samples of the percussive part", DRIEDGER_2014),
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
        Column("tempo", "tempo", "BPM", "strongest repetition of the onset strength", GROSCHE_2010)
    )
    for i in range(1, N_MFCC + 1):
        meaning = f"mel-frequency cepstral coefficient {i} of a frame"
        columns += _mean_and_variance(f"mfcc{i}", "mfcc", "dB", meaning, DAVIS_1980)
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
