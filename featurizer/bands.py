"""Frequency bands and groups of the rich feature set."""

CONTRAST_EDGES_HZ = (0, 200, 400, 800, 1600, 3200, 6400, 10_000)
"""Edges of the seven bands of spectral contrast.

They end at 10 kHz, because encoders and resamplers cut above.
"""

MODULATION_EDGES_HZ = tuple(0.5 * 2 ** (i / 2) for i in range(11))
"""Edges of the ten bands of modulation frequencies: half octaves from 0.5 to 16 Hz."""

N_COARSE_MELS = 40
"""Mel bands of the harmonic and the percussive part."""

COARSE_MELS = 38
"""Mel bands of 40 that end below 10 kHz."""

MELS = 124
"""Mel bands of 128 that end below 10 kHz."""

GROUP_EDGES = tuple(COARSE_MELS * i // 6 for i in range(7))
"""First bands of six groups of the 38 mel bands, and their end."""

SCALARS = (
    "centroid",
    "bandwidth",
    "rolloff25",
    "rolloff50",
    "rolloff85",
    "rolloff95",
    "flux",
    "zcr",
    "rms",
    "percussive",
)
"""Streams with one value per frame, in order."""

N_CEPSTRA = 13
"""Cepstral coefficients."""
