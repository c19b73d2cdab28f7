"""Harmonic chroma: the distribution over pitch classes of the harmonic part, and its statistics."""

import numpy as np
import numpy.typing as npt
import scipy.fft

from featurizer.filters import N_CHROMA, chroma_filters
from featurizer.mel import A_MIN

# Share of the strongest frame that is added to each frame.
_FLOOR = 1e-8

# Row r lists the pitch classes from r upwards.
_AROUND = (np.arange(N_CHROMA)[:, np.newaxis] + np.arange(N_CHROMA)) % N_CHROMA


def harmonic_chroma(harmonic: npt.NDArray[np.float32], *, tuning: float) -> npt.NDArray[np.float64]:
    """Compute the distribution over pitch classes of each frame of the harmonic part.

    With E the harmonic power in each pitch class [1]_ and f = 1e-8 times the largest sum of a
    frame, C = (E + f / 12) / (sum of E + f). A silent frame has 1/12 in each class.

    Parameters
    ----------
    harmonic : np.ndarray [shape=(n_frames, 1025), float32]
        Power of the harmonic part.
    tuning : float, -0.5 … 0.5
        Deviation from concert pitch in semitones.

    Returns
    -------
    C : np.ndarray [shape=(n_frames, 12), float64, 0 … 1]
        From C to B; each frame adds up to 1.

    Examples
    --------
    >>> harmonic = np.zeros((2, 1025), dtype=np.float32)
    >>> harmonic[1, 41] = 1.0  # 441 Hz
    >>> C = harmonic_chroma(harmonic, tuning=0.0)
    >>> print(C[0, 0].round(4), C[1].argmax())
    0.0833 9

    .. [1] Ellis, D. P. W. "Chroma feature analysis and synthesis." Columbia University, LabROSA,
       2007.
    """
    E = (harmonic @ chroma_filters(tuning)).astype(np.float64)
    total = E.sum(axis=1, keepdims=True)
    floor = max(_FLOOR * total.max(), A_MIN)
    C: npt.NDArray[np.float64] = (E + floor / N_CHROMA) / (total + floor)
    return C


def chroma_statistics(C: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute what of chroma does not depend on the key.

    Parameters
    ----------
    C : np.ndarray [shape=(n_frames, 12), float64]
        From :func:`harmonic_chroma`.

    Returns
    -------
    columns : np.ndarray [shape=(47,), float64]
        With m the mean and d the standard deviation of each pitch class over the frames:

        - 12 + 12: m and d, from the strongest class upwards. "Strongest" is graded, because the
          columns would jump where two classes are equally strong: with the weights
          w[r] = m[r]^4 / sum m^4, the sums over r of w[r] m[(r + i) mod 12] and of
          w[r] d[(r + i) mod 12].
        - 6: absolute value of the Fourier transform of m at 1 … 6 cycles per octave.
        - 6 + 6: mean and standard deviation over frames of that of a frame.
        - 2: mean and standard deviation of the frames' entropy, -sum C ln(C + 1e-9), in nepers.
        - 2: mean and standard deviation of the change, sum |C[t] - C[t - 1]|.
        - 1: entropy of m.

    Examples
    --------
    >>> columns = chroma_statistics(np.full((3, 12), 1 / 12))
    >>> print(columns[0].round(4), columns[-1].round(4))  # 1/12 and ln 12
    0.0833 2.4849
    """
    m, d = C.mean(axis=0), C.std(axis=0)
    w = (m / m.max()) ** 4
    w /= w.sum()
    dft = np.abs(scipy.fft.rfft(C, axis=1))[:, 1:]
    entropy = _entropy(C)
    change = np.abs(np.diff(C, axis=0)).sum(axis=1)
    columns: npt.NDArray[np.float64] = np.concatenate(
        [
            w @ m[_AROUND],
            w @ d[_AROUND],
            np.abs(scipy.fft.rfft(m))[1:],
            dft.mean(axis=0),
            dft.std(axis=0),
            [entropy.mean(), entropy.std(), change.mean(), change.std()],
            [_entropy(m)],
        ]
    )
    return columns


def _entropy(C: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    entropy: npt.NDArray[np.float64] = -(C * np.log(C + 1e-9)).sum(axis=-1)
    return entropy
