"""The names, the order and the version of the features: facts, no code that computes.

The names and their order are those of the published GTZAN tables ``features_30_sec.csv`` and
``features_3_sec.csv``, between their columns ``length`` and ``label``.
"""

FEATURE_SET = "gtzan-57.1"
"""What the numbers mean. It changes whenever the same recording would give other numbers."""

SAMPLE_RATE = 22050
"""Samples a second of every signal that is analysed."""

SEGMENT_SECONDS = 3.0
"""Length of a segment in the published table, in seconds."""

N_MFCC = 20

_PAIRED = (
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
    *(f"{name}_{statistic}" for name in _PAIRED for statistic in ("mean", "var")),
    "tempo",
    *(f"mfcc{i}_{statistic}" for i in range(1, N_MFCC + 1) for statistic in ("mean", "var")),
)
"""The 57 features, in the published order."""
