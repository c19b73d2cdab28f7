"""Mel-frequency cepstral coefficients (MFCC)."""

from functools import cache

import numpy as np
import numpy.typing as npt

from featurizer.columns import N_MFCC


@cache
def _dct(n_mels: int, count: int) -> npt.NDArray[np.float64]:
    # The orthonormal DCT-II: column k is sqrt(2 / N) cos(pi k (n + 1/2) / N), the first one
    # divided by sqrt(2).
    n, k = np.arange(n_mels)[:, np.newaxis], np.arange(count)
    basis: npt.NDArray[np.float64] = np.sqrt(2 / n_mels) * np.cos(np.pi * k * (n + 0.5) / n_mels)
    basis[:, 0] /= np.sqrt(2)
    return basis


def mfcc(db: npt.NDArray[np.float32], count: int = N_MFCC) -> npt.NDArray[np.float64]:
    """Compute the MFCC of each frame.

    Parameters
    ----------
    db : np.ndarray [shape=(n_frames, n_mels), float32]
        Mel spectrogram in dB.
    count : int > 0
        Coefficients.

    Returns
    -------
    M : np.ndarray [shape=(n_frames, count), float64]
        The first coefficients of the orthonormal DCT-II of each frame.

    Examples
    --------
    >>> M = mfcc(np.full((1, 128), -40.0, dtype=np.float32))
    >>> print(M[0, 0].round(3), np.abs(M[0, 1:]).max() < 1e-9)  # -40 dB * sqrt(128)
    -452.548 True
    """
    # In double precision: a level common to all bands cancels in all sums but the first.
    M: npt.NDArray[np.float64] = db.astype(np.float64) @ _dct(db.shape[1], count)
    return M
