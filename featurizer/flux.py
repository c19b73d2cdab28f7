"""Spectral flux: how much of a spectrum's shape is new."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, summing
from featurizer.stft import N_BINS

_ZERO = np.float32(0)
_ONE = np.float32(1)


@compiled
def spectral_flux(
    S: npt.NDArray[np.float32], previous: npt.NDArray[np.float32], flux: npt.NDArray[np.float32]
) -> None:
    """Compute the flux of a block of frames: |max(0, u[t] - u[t - 1])| with u = S / |S|.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 1025), float32]
        Magnitudes.
    previous : np.ndarray [shape=(1025,), float32]
        Magnitudes of the frame before the first. Overwritten with those of the last frame.
    flux : np.ndarray [shape=(n_frames,), float32, 0 … 1]
        Output. A frame of zeros counts as u = 0.

    Examples
    --------
    >>> S = np.ones((2, 1025), dtype=np.float32)
    >>> S[1] = np.arange(1025) < 512
    >>> flux = np.empty(2, dtype=np.float32)
    >>> spectral_flux(S, S[0].copy(), flux)
    >>> flux.round(3)
    array([0.   , 0.293], dtype=float32)
    """
    scale = _inverse_norm(previous)
    for t in range(len(S)):
        before, scale_before = S[t - 1] if t else previous, scale
        scale = _inverse_norm(S[t])
        flux[t] = np.sqrt(_squared_rise(S[t], scale, before, scale_before))
    for k in range(N_BINS):
        previous[k] = S[len(S) - 1, k]


@summing
def _inverse_norm(x: npt.NDArray[np.float32]) -> np.float32:
    total = 0.0
    for k in range(N_BINS):
        total += np.float64(x[k]) * np.float64(x[k])
    return np.float32(1.0 / np.sqrt(total)) if total > 0.0 else _ZERO


@summing
def _squared_rise(
    x: npt.NDArray[np.float32],
    scale: np.float32,
    before: npt.NDArray[np.float32],
    scale_before: np.float32,
) -> np.float32:
    total = _ZERO
    for k in range(N_BINS):
        rise = x[k] * scale - before[k] * scale_before
        rise = rise if rise > _ZERO else _ZERO
        total += rise * rise
    return total
