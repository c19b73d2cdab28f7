"""Names, order and version of the features.

Names and order follow the published GTZAN tables ``features_30_sec.csv`` and
``features_3_sec.csv``, between their columns ``length`` and ``label``.
"""

FEATURE_SET = "gtzan-57.1"
"""Version of the features; it changes whenever the same recording would yield other values."""

SAMPLE_RATE = 22050
"""Sample rate of every analysed signal, in Hz."""

SEGMENT_SECONDS = 3.0
"""Length of a segment in the published table, in seconds."""

N_MFCC = 20
"""Mel-frequency cepstral coefficients."""

_MEAN_AND_VARIANCE = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)

FEATURE_COLUMNS: tuple[str, ...] = (
    *(f"{name}_{statistic}" for name in _MEAN_AND_VARIANCE for statistic in ("mean", "var")),
    "tempo",
    *(f"mfcc{i}_{statistic}" for i in range(1, N_MFCC + 1) for statistic in ("mean", "var")),
)
"""Names of the 57 features, in the published order."""
