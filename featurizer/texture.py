"""Texture: how streams differ within and between windows of a second."""

import numpy as np
import numpy.typing as npt

_WINDOW = 43
"""Frames per window: 1.0 s."""


def texture_statistics(
    X: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Compute how streams differ within and between windows of a second [1]_.

    Parameters
    ----------
    X : np.ndarray [shape=(n_frames, n_streams), float64]
        Streams of 43 frames or more. They are cut into windows of 43 frames; frames left over at
        the end are dropped.
    offsets : np.ndarray [shape=(n_streams,), float64, > 0]
        Spread e that is added before a logarithm, in the unit of the stream.

    Returns
    -------
    columns : np.ndarray [shape=(3 * n_streams,), float64]
        With m the mean of a window and s = ln(standard deviation within it + e): ln(standard
        deviation of m over the windows + e), mean of s, standard deviation of s; each for all
        streams.

    Examples
    --------
    >>> X = np.repeat([0.0, 2.0], 43)[:, np.newaxis]
    >>> print(texture_statistics(X, np.array([0.1])).round(3))  # ln 1.1, ln 0.1 and 0
    [ 0.095 -2.303  0.   ]

    .. [1] Tzanetakis, G., and P. Cook. "Musical genre classification of audio signals." IEEE
       Transactions on Speech and Audio Processing 10(5), 2002.
    """
    n = len(X) // _WINDOW
    windows = X[: n * _WINDOW].reshape(n, _WINDOW, -1)
    m = windows.mean(axis=1)
    s = np.log(windows.std(axis=1) + offsets)
    columns: npt.NDArray[np.float64] = np.concatenate(
        [np.log(m.std(axis=0) + offsets), s.mean(axis=0), s.std(axis=0)]
    )
    return columns
