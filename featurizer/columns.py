"""Constants of the analysis and of the published GTZAN tables."""

SAMPLE_RATE = 22050
"""Sample rate of every analysed signal, in Hz."""

SEGMENT_SECONDS = 3.0
"""Length of a segment in the published table, in seconds."""

N_MFCC = 20
"""Mel-frequency cepstral coefficients."""
