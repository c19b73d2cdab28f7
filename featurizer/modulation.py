"""Modulation: how fast streams fluctuate."""

import numpy as np
import numpy.typing as npt
import scipy.fft

from featurizer.bands import MODULATION_EDGES_HZ
from featurizer.columns import SAMPLE_RATE
from featurizer.stft import HOP_LENGTH

_WINDOW = 256
"""Frames per window: 5.9 s."""

_STEP = 128
"""Frames from the start of one window to that of the next."""

_OFFSET = 1e-2
"""Power that is added before the logarithm, in dB^2."""

_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)

# First bin of each band, and the end of the last.
_HZ_PER_BIN = SAMPLE_RATE / HOP_LENGTH / _WINDOW
_EDGES = np.ceil(np.array(MODULATION_EDGES_HZ) / _HZ_PER_BIN).astype(int)


def modulation_statistics(X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute how fast streams fluctuate, in ten bands from 0.5 to 16 Hz.

    A windowed form of fluctuation patterns [1]_; of cepstra: [2]_.

    Parameters
    ----------
    X : np.ndarray [shape=(n_frames, n_streams), float64]
        Streams of 256 frames or more. They are cut into windows of 256 frames, 128 apart; what is
        left over at the end is dropped.

    Returns
    -------
    columns : np.ndarray [shape=(10 * n_streams,), float64]
        Ten bands of each stream: ln(power + 0.01). The power is the squared Fourier transform of a
        window less its mean, times a periodic Hann window, averaged over the bins of the band and
        over the windows.

    Examples
    --------
    >>> t = np.arange(600)[:, np.newaxis] / (22050 / 512)  # seconds
    >>> int(modulation_statistics(np.sin(2 * np.pi * 3 * t)).argmax())  # band 5: 2.83 to 4 Hz
    5

    .. [1] Pampalk, E., A. Rauber, and D. Merkl. "Content-based organization and visualization of
       music archives." ACM Multimedia 2002.
    .. [2] Lee, C.-H., J.-L. Shih, K.-M. Yu, and H.-S. Lin. "Automatic music genre classification
       based on modulation spectral analysis of spectral and cepstral features." IEEE Transactions
       on Multimedia 11(4), 2009.
    """
    # [window, stream, frame]
    windows = np.lib.stride_tricks.sliding_window_view(X, _WINDOW, axis=0)[::_STEP]
    fluctuations = (windows - windows.mean(axis=2, keepdims=True)) * _HANN
    F = scipy.fft.rfft(fluctuations, axis=2)
    power = (F.real**2 + F.imag**2).mean(axis=0)
    sums = np.add.reduceat(power[:, : _EDGES[-1]], _EDGES[:-1], axis=1)
    columns: npt.NDArray[np.float64] = np.log(sums / np.diff(_EDGES) + _OFFSET).ravel()
    return columns
