"""Chroma: the relative energy of each pitch class."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled
from featurizer.filters import N_CHROMA, chroma_filters

_TINY = np.float32(np.finfo(np.float32).tiny)


def chroma(P: npt.NDArray[np.float32], *, tuning: float) -> npt.NDArray[np.float32]:
    """Compute the chroma of spectra.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32]
        Power.
    tuning : float, -0.5 … 0.5
        Deviation from concert pitch in semitones.

    Returns
    -------
    C : np.ndarray [shape=(n_frames, 12), float32, 0 … 1]
        Energy of each pitch class, from C to B, divided by that of the frame's strongest one; 0 in
        a silent frame.

    Examples
    --------
    >>> P = np.zeros((1, 1025), dtype=np.float32)
    >>> P[0, 41] = 1.0  # 441 Hz
    >>> "C C# D D# E F F# G G# A A# B".split()[chroma(P, tuning=0.0).argmax()]
    'A'
    """
    C: npt.NDArray[np.float32] = P @ chroma_filters(tuning)
    _normalise(C)
    return C


@compiled
def _normalise(C: npt.NDArray[np.float32]) -> None:
    for t in range(len(C)):
        strongest = np.float32(0)
        for c in range(N_CHROMA):
            strongest = max(strongest, C[t, c])
        if strongest >= _TINY:
            for c in range(N_CHROMA):
                C[t, c] /= strongest
