"""Tuning: the deviation from concert pitch."""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled
from featurizer.columns import SAMPLE_RATE
from featurizer.filters import CONCERT_PITCH, N_CHROMA, N_TUNINGS
from featurizer.stft import N_BINS, N_FFT
from featurizer.workspace import workspace

_TUNINGS = np.linspace(-0.5, 0.5, N_TUNINGS + 1)
_HZ_PER_BIN = SAMPLE_RATE / N_FFT

# Peaks count between 150 Hz and 4 kHz, and above a tenth of the maximum power of their frame.
_FIRST_BIN = int(np.ceil(150.0 / _HZ_PER_BIN))
_STOP_BIN = int(np.ceil(4000.0 / _HZ_PER_BIN))
_THRESHOLD = np.float32(0.1)
_WORD_BINS = 8
_HALF = np.float32(0.5)

# Octaves are counted from A0, four octaves below concert pitch.
_A0 = CONCERT_PITCH / 16

Peaks = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Frequencies in Hz and powers of spectral peaks, each [shape=(n_peaks,), float32]."""


class TuningEstimate:
    """Tuning estimate of a signal, from spectral peaks that arrive in blocks.

    The result equals ``librosa.estimate_tuning(S=P, bins_per_octave=12)`` of the whole power
    spectrogram: the most frequent deviation from equal temperament among the spectral peaks [1]_
    that are at least as strong as the median peak.

    Examples
    --------
    >>> estimate = TuningEstimate()
    >>> P = np.zeros((1, N_BINS), dtype=np.float32)
    >>> P[0, 41] = 1.0  # 441.43 Hz, 0.056 semitones above concert pitch
    >>> estimate.add(spectral_peaks(P))
    >>> print(round(estimate.tuning(), 2))
    0.05

    .. [1] Smith, J. O. "Quadratic Interpolation of Spectral Peaks." Spectral Audio Signal
       Processing, W3K Publishing, 2011.
    """

    def __init__(self) -> None:
        self._pitches: list[npt.NDArray[np.float32]] = []
        self._powers: list[npt.NDArray[np.float32]] = []

    def add(self, peaks: Peaks) -> None:
        """Add the peaks of a block, from :func:`spectral_peaks`."""
        pitches, powers = peaks
        self._pitches.append(pitches)
        self._powers.append(powers)

    def tuning(self) -> float:
        """Estimate the tuning from the blocks so far.

        Returns
        -------
        tuning : float, -0.5 … 0.49
            In semitones, a multiple of 0.01; 0 if there are no peaks.
        """
        powers = np.concatenate(self._powers)
        if not len(powers):
            return 0.0
        pitches = np.concatenate(self._pitches)[powers >= np.median(powers)]
        residuals = np.mod(np.float32(N_CHROMA) * np.log2(pitches / np.float32(_A0)), 1)
        counts = np.zeros(N_TUNINGS, dtype=np.int64)
        _count(residuals, counts)
        return float(_TUNINGS[counts.argmax()])


def spectral_peaks(P: npt.NDArray[np.float32]) -> Peaks:
    """Find the peaks of spectra, as ``librosa.piptrack`` does.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32, C-contiguous]
        Power.

    Returns
    -------
    pitches, powers : np.ndarray [shape=(n_peaks,), float32]
        Frequency in Hz and power of each peak between 150 Hz and 4 kHz, by quadratic interpolation.

    Examples
    --------
    >>> P = np.zeros((1, N_BINS), dtype=np.float32)
    >>> P[0, 100] = 1.0
    >>> spectral_peaks(P)
    (array([1076.6602], dtype=float32), array([1.], dtype=float32))
    """
    size = len(P) * (_STOP_BIN - _FIRST_BIN)
    pitches, powers = workspace("tuning.pitches", (size,)), workspace("tuning.powers", (size,))
    count = _peaks(P, P.view(np.int32), pitches, powers)
    return pitches[:count].copy(), powers[:count].copy()


@compiled
def _count(residuals: npt.NDArray[np.float32], counts: npt.NDArray[np.int64]) -> None:
    for i in range(len(residuals)):
        # Double precision separates all single-precision values from the edges of the histogram.
        residual = np.float64(residuals[i])
        if residual >= _HALF:
            residual -= 1.0
        counts[int((residual + 0.5) * N_TUNINGS)] += 1


@compiled
def _peaks(
    P: npt.NDArray[np.float32],
    bits: npt.NDArray[np.int32],
    pitches: npt.NDArray[np.float32],
    powers: npt.NDArray[np.float32],
) -> int:
    # Mixed precision as in librosa.piptrack, because rounding decides peaks between two tunings:
    # sums of neighbours in single precision, the parabola in double.
    size = 0
    bins = np.empty(_STOP_BIN - _FIRST_BIN, dtype=np.int64)
    is_peak = np.zeros(_WORD_BINS * -(-(_STOP_BIN - _FIRST_BIN) // _WORD_BINS), dtype=np.uint8)
    words = is_peak.view(np.uint64)
    loudest = np.empty(1, dtype=np.int32)
    for t in range(len(P)):
        # Powers have the same order as their bits, and LLVM vectorises the maximum of integers.
        loudest[0] = 0
        for k in range(N_BINS):
            loudest[0] = max(loudest[0], bits[t, k])
        reference = _THRESHOLD * loudest.view(np.float32)[0]
        for k in range(_FIRST_BIN, _STOP_BIN):
            is_peak[k - _FIRST_BIN] = (
                (P[t, k] > reference) & (P[t, k] > P[t, k - 1]) & (P[t, k] >= P[t, k + 1])
            )
        # Peaks are rare: skip eight bins at a time.
        count = 0
        for word in range(len(words)):
            if words[word]:
                for i in range(word * _WORD_BINS, (word + 1) * _WORD_BINS):
                    if is_peak[i]:
                        bins[count] = _FIRST_BIN + i
                        count += 1
        for i in range(count):
            k = bins[i]
            here, before, after = P[t, k], P[t, k - 1], P[t, k + 1]
            curvature = np.float64(after + before) - 2.0 * np.float64(here)
            slope = np.float64(after - before) / 2.0
            shift = np.float32(0)
            if not abs(slope) >= abs(curvature):
                shift = np.float32(-slope / curvature)
            pitches[size] = np.float32((k + np.float64(shift)) * _HZ_PER_BIN)
            powers[size] = here + _HALF * (_HALF * (after - before)) * shift
            size += 1
    return size
