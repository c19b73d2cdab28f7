"""The cepstral coefficients of a mel spectrogram."""

from functools import cache

import numpy as np
import numpy.typing as npt

from featurizer.columns import N_MFCC
from featurizer.filters import N_MELS


@cache
def _dct() -> npt.NDArray[np.float64]:
    # The orthonormal DCT-II: column k is sqrt(2 / N) cos(pi k (n + 1/2) / N), the first one
    # divided by sqrt(2).
    n, k = np.arange(N_MELS)[:, np.newaxis], np.arange(N_MFCC)
    basis: npt.NDArray[np.float64] = np.sqrt(2 / N_MELS) * np.cos(np.pi * k * (n + 0.5) / N_MELS)
    basis[:, 0] /= np.sqrt(2)
    return basis


def mfcc(db: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Take the cepstral coefficients of each frame.

    Parameters
    ----------
    db : np.ndarray [shape=(n_frames, 128), float32]
        Mel spectrogram in dB.

    Returns
    -------
    M : np.ndarray [shape=(n_frames, 20), float64]
        The first coefficients of its orthonormal DCT-II.
    """
    # In double precision, since a level that all bands share cancels in all but one of the sums.
    M: npt.NDArray[np.float64] = db.astype(np.float64) @ _dct()
    return M
