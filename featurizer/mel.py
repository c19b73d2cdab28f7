"""Mel spectrogram, in decibels."""

from functools import cache

import numpy as np
import numpy.typing as npt

from featurizer.filters import N_MELS, mel_filters

TOP_DB = 80.0
"""Range of levels in dB: lower levels are raised to this far below the signal's loudest band."""

A_MIN = 1e-10
"""Lowest power: lower values are raised to it."""

_DB_PER_NEPER = np.float32(10 / np.log(10))

# Bands per matrix product: few enough that most weights in their shared bins are not zero.
_BANDS_PER_GROUP = 16


@cache
def _band_groups(n_mels: int, stop: int) -> list[tuple[slice, slice, npt.NDArray[np.float32]]]:
    bank = mel_filters(n_mels)[:, :stop]
    groups = []
    for first in range(0, stop, _BANDS_PER_GROUP):
        bands = slice(first, min(first + _BANDS_PER_GROUP, stop))
        bins = np.flatnonzero(bank[:, bands].any(axis=1))
        bins_in_use = slice(int(bins[0]), int(bins[-1]) + 1)
        groups.append((bins_in_use, bands, np.ascontiguousarray(bank[bins_in_use, bands])))
    return groups


def mel_power(
    P: npt.NDArray[np.float32], mel: npt.NDArray[np.float32], n_mels: int = N_MELS
) -> None:
    """Compute the power in mel bands.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32]
        Power.
    mel : np.ndarray [shape=(n_frames, bands), float32]
        Output: the power in the lowest bands of :func:`featurizer.filters.mel_filters`.
    n_mels : int >= bands
        Bands of the whole bank.

    Examples
    --------
    >>> mel = np.empty((1, 128), dtype=np.float32)
    >>> mel_power(np.eye(1, 1025, 41, dtype=np.float32), mel)  # 441 Hz
    >>> int(mel.argmax())
    16
    """
    for bins, bands, weights in _band_groups(n_mels, mel.shape[1]):
        np.matmul(P[:, bins], weights, out=mel[:, bands])


def decibels(power: npt.NDArray[np.float32], loudest: np.float32) -> npt.NDArray[np.float32]:
    """Convert power to levels in dB, as ``librosa.power_to_db`` does.

    Parameters
    ----------
    power : np.ndarray [float32, >= 0]
        Power.
    loudest : np.float32
        Largest power of the whole signal.

    Returns
    -------
    db : np.ndarray [shape=power.shape, float32, >= -100]
        Levels in dB relative to 1, at most 80 dB below the loudest.

    Examples
    --------
    >>> decibels(np.array([0.0, 0.1, 10.0], dtype=np.float32), np.float32(10.0)).round(3)
    array([-70., -10.,  10.], dtype=float32)
    """
    db: npt.NDArray[np.float32] = np.log(np.maximum(power, np.float32(lowest_power(loudest))))
    db *= _DB_PER_NEPER
    return db


def lowest_power(loudest: np.float32) -> float:
    """Return the power that lower ones are raised to.

    Parameters
    ----------
    loudest : np.float32
        Largest power of the whole signal.

    Returns
    -------
    lowest : float, >= 1e-10
        80 dB below the loudest.

    Examples
    --------
    >>> lowest_power(np.float32(0.0)), round(lowest_power(np.float32(10.0)), 9)
    (1e-10, 1e-07)
    """
    lowest: float = max(A_MIN, float(loudest) * 10.0 ** (-TOP_DB / 10))
    return lowest
