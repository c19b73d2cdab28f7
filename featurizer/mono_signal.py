"""A mono signal at 22,050 Hz that grows block by block while a recording is decoded.

Mixing and resampling work on blocks, and the signal grows in place: decoding two hours takes little
more memory than the resulting signal.
"""

import numpy as np
import numpy.typing as npt
import soxr

from featurizer.columns import SAMPLE_RATE
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError

MAX_HOURS = 4
"""Longest duration: the signal alone of a longer recording takes more than 1.3 GB."""

MIN_SAMPLE_RATE = 1000
"""Lowest credible sample rate, in Hz: a file with a lower one would be resampled to hours."""

BLOCK_FRAMES = 1 << 16
"""Samples of each channel decoded at a time."""

_MIN_BYTES_PER_SECOND = 100
"""Bytes per second below what any format needs, even for silence; caps a header's duration."""


class MonoSignal:
    """A mono signal at 22,050 Hz, built from blocks at the recording's own sample rate.

    Parameters
    ----------
    sample_rate : int > 0
        Sample rate of the blocks, in Hz.
    expected_s : float >= 0
        Seconds to reserve memory for. The signal may become shorter or longer.
    deadline : Deadline, optional
        Checked at every block.

    Raises
    ------
    RecordingError
        Of kind unreadable, if the sample rate is below :data:`MIN_SAMPLE_RATE`.

    Examples
    --------
    >>> signal = MonoSignal(22050, expected_s=0.0, deadline=None)
    >>> signal.append_mean(np.array([[0.5, 1.0], [0.0, 0.5]], dtype=np.float32))
    >>> signal.frames
    2
    >>> signal.finish()
    array([0.25, 0.75], dtype=float32)
    """

    def __init__(self, sample_rate: int, expected_s: float, deadline: Deadline | None) -> None:
        self._deadline = deadline
        self._y = np.empty(BLOCK_FRAMES + int(expected_s * SAMPLE_RATE), dtype=np.float32)
        self._n = 0
        self._earlier_s = 0.0
        self._start_piece(sample_rate)

    def _start_piece(self, sample_rate: int) -> None:
        if sample_rate < MIN_SAMPLE_RATE:
            raise RecordingError(
                "unreadable",
                f"The header gives a sample rate of {sample_rate} Hz; at least {MIN_SAMPLE_RATE} Hz"
                " are needed. Use a file with a correct header.",
            )
        self.sample_rate = sample_rate
        self._piece = self._n
        self._committed = 0
        self._pending = 0
        ratio = SAMPLE_RATE / sample_rate
        # Smaller blocks where upsampling multiplies the samples.
        self._block_frames = max(1, min(BLOCK_FRAMES, int(BLOCK_FRAMES / ratio)))
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(
                sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ"
            )
            self._block = np.empty(self._block_frames, dtype=np.float32)

    @property
    def frames(self) -> int:
        """Length since the last change of the sample rate, in samples at that rate."""
        return self._committed + self._pending

    @property
    def seconds(self) -> float:
        """Length so far, in seconds."""
        return self._earlier_s + self.frames / self.sample_rate

    def change_rate(self, sample_rate: int) -> None:
        """Continue at another sample rate.

        Each piece between two changes is resampled on its own, as a recording of that rate.

        Parameters
        ----------
        sample_rate : int > 0
            Sample rate of the blocks that follow, in Hz.

        Raises
        ------
        RecordingError
            As the constructor and :meth:`commit`.

        Examples
        --------
        >>> signal = MonoSignal(22050, expected_s=0.0, deadline=None)
        >>> signal.append_mean(np.ones((1, 3), dtype=np.float32))
        >>> signal.change_rate(44100)
        >>> signal.append_mean(np.zeros((1, 6), dtype=np.float32))
        >>> print(signal.finish().round(1))
        [1. 1. 1. 0. 0. 0.]
        """
        self._end_piece()
        self._earlier_s = self.seconds
        self._start_piece(sample_rate)

    def buffer(self) -> np.ndarray:
        """Return the buffer for the next mono block; it is valid until :meth:`commit`."""
        if self._resampler is not None:
            return self._block
        self._ensure_capacity(self._block_frames)
        return self._y[self._n : self._n + self._block_frames]

    def commit(self, block: np.ndarray) -> None:
        """Append a block that was written to the start of :meth:`buffer`.

        Parameters
        ----------
        block : np.ndarray [shape=(n,), float32]
            The start of the buffer.

        Raises
        ------
        RecordingError
            Of kind not-finite, too-long or timeout.
        """
        if self._deadline is not None:
            self._deadline.check()
        finite = np.isfinite(block)
        if not finite.all():
            first = int(np.argmin(finite))
            raise RecordingError(
                "not-finite",
                f"The sample at {self.seconds + first / self.sample_rate:.3f} s is"
                f" {block[first]}, not a finite number. Export the recording again.",
            )
        self._committed += len(block)
        if self.seconds > MAX_HOURS * 3600:
            raise too_long(None)
        if self._resampler is None:
            self._n += len(block)
        else:
            self._append(self._resampler.resample_chunk(block))

    def append_mean(self, channels: np.ndarray) -> None:
        """Append the mean over the channels, as ``librosa.to_mono`` computes it.

        Parameters
        ----------
        channels : np.ndarray [shape=(n_channels, n), float32]

        Raises
        ------
        RecordingError
            As :meth:`commit`.
        """
        while channels.shape[1]:
            free = self.buffer()[self._pending :]
            part, channels = channels[:, : len(free)], channels[:, len(free) :]
            out = free[: part.shape[1]]
            with np.errstate(over="ignore", invalid="ignore"):  # commit reports non-finite samples
                out[:] = part[0]
                for channel in part[1:]:
                    out += channel
                out /= np.float32(len(part))
            self._pending += len(out)
            if self._pending == self._block_frames:
                self._commit_pending()

    def _commit_pending(self) -> None:
        pending, self._pending = self._pending, 0
        self.commit(self.buffer()[:pending])

    def finish(self) -> np.ndarray:
        """Return the whole signal; nothing can be appended afterwards.

        Returns
        -------
        y : np.ndarray [shape=(n,), float32]
            As many samples as :func:`resampled_length` returns for each piece of one rate.
        """
        self._end_piece()
        self._y.resize(self._n, refcheck=False)
        return self._y

    def _end_piece(self) -> None:
        self._commit_pending()
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
            n = self._piece + int(resampled_length(self._committed, self.sample_rate))
            self._ensure_capacity(max(0, n - self._n))
            self._y[self._n : n] = 0
            self._n = n

    def _append(self, samples: np.ndarray) -> None:
        self._ensure_capacity(len(samples))
        self._y[self._n : self._n + len(samples)] = samples
        self._n += len(samples)

    def _ensure_capacity(self, samples: int) -> None:
        if self._n + samples > len(self._y):
            # Growing in place remaps pages and copies no samples. It zeroes the new part, which
            # takes memory that may never be needed, so the signal grows by only an eighth.
            self._y.resize(self._n + samples + self._n // 8 + BLOCK_FRAMES, refcheck=False)


def resampled_length(
    frames: npt.NDArray[np.float64] | float, sample_rate: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64]:
    """Return the number of samples of a recording at 22,050 Hz, as ``librosa.resample`` returns.

    Parameters
    ----------
    frames : number or np.ndarray [shape=(n,)]
        Samples at the recording's own rate.
    sample_rate : number or np.ndarray [shape=(n,)]
        That rate, in Hz.

    Returns
    -------
    n : np.ndarray [shape=() or (n,), float64]
        ceil(frames * 22050 / sample_rate).

    Examples
    --------
    >>> print(resampled_length(441_001, 44_100))
    220501.0
    """
    n: npt.NDArray[np.float64] = np.ceil(frames * (SAMPLE_RATE / sample_rate))
    return n


def expected_seconds(promised_s: float | None, size: int) -> float:
    """Limit the duration in a file's header to one that the file's size allows.

    Parameters
    ----------
    promised_s : float or None
        Duration in the header, in seconds.
    size : int > 0
        Size of the file in bytes.

    Returns
    -------
    seconds : float, 0 … 14,400
        0 if the header gives no duration.

    Raises
    ------
    RecordingError
        Of kind too-long, if the file is large enough to be longer than 4 hours.

    Examples
    --------
    >>> expected_seconds(30.0, size=1_000_000)
    30.0
    >>> expected_seconds(1e9, size=1_000_000)
    10000.0
    """
    if promised_s is None:
        return 0.0
    max_s = size / _MIN_BYTES_PER_SECOND
    if MAX_HOURS * 3600 < promised_s <= max_s:
        raise too_long(promised_s / 3600)
    return min(promised_s, max_s, MAX_HOURS * 3600)


def too_long(hours: float | None) -> RecordingError:
    """Return the error for a recording above the limit, of known or unknown length in hours.

    Examples
    --------
    >>> print(too_long(5))
    The recording lasts 5.00 hours; the limit is 4 hours. Split it.
    """
    if hours is None:
        return RecordingError(
            "too-long", f"The recording is longer than the limit of {MAX_HOURS} hours. Split it."
        )
    return RecordingError(
        "too-long",
        f"The recording lasts {hours:.2f} hours; the limit is {MAX_HOURS} hours. Split it.",
    )
