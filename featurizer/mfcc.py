"""The mel spectrogram in decibels and its cepstral coefficients."""

import numpy as np
import numpy.typing as npt
import scipy.fft

from featurizer.columns import N_MFCC
from featurizer.filters import mel_filters

TOP_DB = 80.0
"""What is further below a signal's loudest band than this is raised to it."""

_A_MIN = np.float32(1e-10)


def mel_db(P: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sum spectra in mel bands, in decibels.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32]
        Power.

    Returns
    -------
    db : np.ndarray [shape=(n_frames, 128), float32, >= -100]
        Level in Slaney's mel bands of equal area, in dB relative to 1.
    """
    db: npt.NDArray[np.float32] = np.log10(np.maximum(P @ mel_filters(), _A_MIN))
    db *= np.float32(10)
    return db


def mfcc(db: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take the cepstral coefficients of each frame.

    Parameters
    ----------
    db : np.ndarray [shape=(n_frames, 128), float32]
        Mel spectrogram in dB.

    Returns
    -------
    M : np.ndarray [shape=(n_frames, 20), float32]
        The first coefficients of its orthonormal DCT-II.
    """
    M: npt.NDArray[np.float32] = scipy.fft.dct(db, axis=1, type=2, norm="ortho")[:, :N_MFCC]
    return M
