"""The mel spectrogram, in decibels."""

from functools import cache

import numpy as np
import numpy.typing as npt

from featurizer.filters import N_MELS, mel_filters

TOP_DB = 80.0
"""What is further below a signal's loudest band than this is raised to it."""

A_MIN = 1e-10
"""What is fainter than this is raised to it."""

_DB_PER_NEPER = np.float32(10 / np.log(10))

# Bands whose product with a spectrum is one of matrices: few of the weights in it are zero.
_BANDS = 16


@cache
def _groups() -> list[tuple[slice, slice, npt.NDArray[np.float32]]]:
    bank = mel_filters()
    groups = []
    for first in range(0, N_MELS, _BANDS):
        bands = slice(first, first + _BANDS)
        bins = np.flatnonzero(bank[:, bands].any(axis=1))
        inside = slice(int(bins[0]), int(bins[-1]) + 1)
        groups.append((inside, bands, np.ascontiguousarray(bank[inside, bands])))
    return groups


def mel_power(P: npt.NDArray[np.float32], mel: npt.NDArray[np.float32]) -> None:
    """Sum spectra in mel bands.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32]
        Power.
    mel : np.ndarray [shape=(n_frames, 128), float32]
        Written: the power in Slaney's mel bands of equal area.
    """
    for bins, bands, weights in _groups():
        np.matmul(P[:, bins], weights, out=mel[:, bands])


def decibels(power: npt.NDArray[np.float32], loudest: np.float32) -> npt.NDArray[np.float32]:
    """Put power on the scale of levels.

    Parameters
    ----------
    power : np.ndarray [float32, >= 0]
        Power.
    loudest : np.float32
        The largest power of the whole signal.

    Returns
    -------
    db : np.ndarray [shape=power.shape, float32, >= -100]
        The level in dB relative to 1, raised to 80 dB below that of the loudest.
    """
    lowest = max(A_MIN, float(loudest) * 10.0 ** (-TOP_DB / 10))
    db: npt.NDArray[np.float32] = np.log(np.maximum(power, np.float32(lowest)))
    db *= _DB_PER_NEPER
    return db
