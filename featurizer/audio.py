"""One recording in, one signal out: decoding, mixing to mono, resampling to 22,050 Hz.

libsndfile reads what it knows (wav, flac, ogg, opus, mp3, aiff, au ...); FFmpeg, through PyAV,
reads the rest (aac, m4a, wma, webm ...). Which of them may try is decided by
:func:`featurizer.formats.sniff`. What a decoder reports as an error is a failure; what it plays
without complaint is a recording, with a note if it is shorter than its header promised.

Everything happens in blocks, and the signal grows where it stands: a recording of two hours costs
the memory of its result and little more. A signal too short to be analysed is not judged here.
"""

import contextlib
import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import soundfile
import soxr

from featurizer.columns import SAMPLE_RATE
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.formats import Container, sniff

MAX_HOURS = 4
"""Longer recordings are refused: their signal alone would take more than 1.3 GB."""

LOWEST_RATE = 1000
"""Samples a second below which a header is taken for broken: resampling would make hours of it."""

_BLOCK = 1 << 16
"""Frames that are decoded at a time."""

_FEWEST_BYTES_A_SECOND = 100
"""Fewer than silence takes in any format: a header that promises more seconds is not believed."""

_NOTED_S = 0.1
"""A recording that lacks less than so many seconds is not worth a note."""

_ROUNDING_S = 1e-4
"""FFmpeg's durations are whole microseconds, and some headers' whole milliseconds or less."""

_NO_SAMPLES = "not a single sample"

_KNOWN = "WAV, FLAC, Ogg, MP3, M4A or AAC would do"


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono, at 22,050 Hz; full scale is 1.
    duration_s : float > 0
        Decoded samples at the file's own rate, in seconds.
    sample_rate : int > 0
        The file's own, in Hz.
    channels : int > 0
        The file's own.
    note : str or None
        What a person should know about it, though it works.
    """

    y: np.ndarray
    duration_s: float
    sample_rate: int
    channels: int
    note: str | None


def decode(
    source: str | os.PathLike[str] | BinaryIO, *, deadline: Deadline | None = None
) -> Recording:
    """Decode a recording to a mono signal at 22,050 Hz.

    Parameters
    ----------
    source : path or seekable binary file
        The name plays no part: what counts is the content.
    deadline : Deadline, optional
        Checked once a block.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        Of kind vanished, forbidden, unreadable, empty, not-finite, too-long or timeout.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            file = stack.enter_context(_open(source))
            descriptor = file.fileno()
        else:
            file = source
            descriptor = None
        reader = _Reader(file, deadline)
        with reader.errors_told():
            size = reader.seek(0, os.SEEK_END)
            if size == 0:
                raise RecordingError("empty", "holds no bytes: a whole copy would do")
            container = sniff(reader)
            if container is None:
                raise RecordingError("unreadable", _unknown(reader, size))
            reasons = []
            if container.sndfile:
                try:
                    return _from_sndfile(reader, descriptor, container, size, deadline)
                except _NotTakenError as reason:
                    reasons.append(f"libsndfile: {reason}")
            if container.demuxer is not None:
                try:
                    return _from_ffmpeg(reader, container, size, deadline)
                except _NotTakenError as reason:
                    reasons.append(f"FFmpeg: {reason}")
        if any(reason.endswith(_NO_SAMPLES) for reason in reasons):
            raise RecordingError(
                "empty", f"holds not a single sample ({container.name}): a whole copy would do"
            )
        raise RecordingError(
            "unreadable",
            f"begins as {container.name} does, but no decoder can read it"
            f" ({'; '.join(reasons)}): a whole copy would do",
        )


class _NotTakenError(Exception):
    """A decoder does not take the file; another one may."""


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, and nothing that could block or answer without end."""
    try:
        _refuse_special(os.stat(path).st_mode)
        # What was a file a moment ago may be a pipe now: opening must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb", buffering=0)
        try:
            _refuse_special(os.fstat(descriptor).st_mode)
        except RecordingError:
            file.close()
            raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.islink(path):
            raise RecordingError(
                "vanished", "is a link whose target is not there: the target, or no link, would do"
            ) from error
        raise _failure(error) from error
    return cast("BinaryIO", file)


def _refuse_special(mode: int) -> None:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    for is_kind, kind in kinds:
        if is_kind(mode):
            raise RecordingError("unreadable", f"is {kind}, not a file: a file would do")


def _failure(error: OSError) -> RecordingError:
    reason = error.strerror or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RecordingError("vanished", "was not there any more when it was opened")
    if isinstance(error, PermissionError):
        return RecordingError(
            "forbidden", "may not be read by this user: leave to read it would do"
        )
    return RecordingError(
        "unreadable", f"could not be read ({reason}): storage that answers would do"
    )


class _Reader:
    """A binary file for a decoder, which cannot carry a Python exception through its own C code.

    An error is kept, and looks like the end of the file until :meth:`errors_told` raises it.

    Parameters
    ----------
    file : binary file, seekable
    deadline : Deadline, optional
        Checked at every read, so that looking for a recording's start cannot take for ever either.
    """

    def __init__(self, file: BinaryIO, deadline: Deadline | None) -> None:
        self._file = file
        self._deadline = deadline
        self._error: Exception | None = None

    @contextlib.contextmanager
    def errors_told(self) -> Iterator[None]:
        """Raise what went wrong while reading instead of what a decoder made of it."""
        try:
            yield
        finally:
            if isinstance(self._error, OSError):
                raise _failure(self._error) from self._error
            if self._error is not None:
                raise self._error

    def read(self, size: int = -1) -> bytes:
        if self._error is None:
            try:
                if self._deadline is not None:
                    self._deadline.check()
                return self._file.read(size)
            except Exception as error:  # kept for errors_told
                self._error = error
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if self._error is None:
            try:
                return self._file.seek(offset, whence)
            except Exception as error:
                # A broken header sends its decoder to places before the start: no fault of the
                # file's storage, and an answer that the decoder understands.
                if isinstance(error, ValueError) or getattr(error, "errno", None) == errno.EINVAL:
                    return -1
                self._error = error
        return 0

    def tell(self) -> int:
        return self.seek(0, os.SEEK_CUR)


def _unknown(reader: _Reader, size: int) -> str:
    reader.seek(0)
    head = reader.read(8)
    return (
        f"is no recording that a decoder knows (its {size:,} bytes begin with {head.hex(' ')}):"
        f" {_KNOWN}"
    )


class _Signal:
    """A mono signal at 22,050 Hz that grows by blocks at a recording's own rate.

    Parameters
    ----------
    sample_rate : int > 0
        The blocks', in Hz.
    expected_s : float >= 0
        How much to reserve for it, in seconds; it may be less or more.
    deadline : Deadline, optional
        Checked at every block.
    """

    def __init__(self, sample_rate: int, expected_s: float, deadline: Deadline | None) -> None:
        if sample_rate < LOWEST_RATE:
            raise RecordingError(
                "unreadable",
                f"has a header of {sample_rate} samples a second, which is no sound:"
                f" {LOWEST_RATE} or more would do",
            )
        self.sample_rate = sample_rate
        self._taken = 0
        self._mixed = 0
        self._ratio = SAMPLE_RATE / sample_rate
        self._deadline = deadline
        self._n = 0
        # Where upsampling makes much of little, a block is smaller.
        self._block_frames = max(1, min(_BLOCK, int(_BLOCK / self._ratio)))
        self._y = np.empty(_BLOCK + int(expected_s * SAMPLE_RATE), dtype=np.float32)
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(
                sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ"
            )
            self._block = np.empty(self._block_frames, dtype=np.float32)

    @property
    def frames(self) -> int:
        """Length so far, at the recording's own rate."""
        return self._taken + self._mixed

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self.frames / self.sample_rate

    def room(self) -> np.ndarray:
        """Where the next mono block goes: valid until :meth:`took` is called."""
        if self._resampler is not None:
            return self._block
        self._make_room(self._block_frames)
        return self._y[self._n : self._n + self._block_frames]

    def took(self, block: np.ndarray) -> None:
        """Append a block, which is the start of :meth:`room`."""
        if self._deadline is not None:
            self._deadline.check()
        finite = np.isfinite(block)
        if not finite.all():
            first = int(np.argmin(finite))
            raise RecordingError(
                "not-finite",
                f"holds a sample that is {block[first]}"
                f" after {(self._taken + first) / self.sample_rate:.3f} s:"
                " samples that are finite numbers would do",
            )
        self._taken += len(block)
        if self._taken > MAX_HOURS * 3600 * self.sample_rate:
            raise _too_long(None)
        if self._resampler is None:
            self._n += len(block)
        else:
            self._append(self._resampler.resample_chunk(block))

    def mix(self, channels: np.ndarray) -> None:
        """Append the mean over channels [shape=(channels, n), float32], as librosa.to_mono."""
        while channels.shape[1]:
            room = self.room()[self._mixed :]
            part, channels = channels[:, : len(room)], channels[:, len(room) :]
            out = room[: part.shape[1]]
            with np.errstate(over="ignore", invalid="ignore"):  # took tells what is not finite
                out[:] = part[0]
                for channel in part[1:]:
                    out += channel
                out /= np.float32(len(part))
            self._mixed += len(out)
            if self._mixed == self._block_frames:
                self._take_mixed()

    def _take_mixed(self) -> None:
        mixed, self._mixed = self._mixed, 0
        self.took(self.room()[:mixed])

    def finish(self) -> np.ndarray:
        """Give the whole signal; nothing can follow.

        Returns
        -------
        y : np.ndarray [shape=(n,), float32]
            n = ceil(frames * 22050 / sample_rate), as librosa.resample has it.
        """
        self._take_mixed()
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
            n = int(np.ceil(self._taken * self._ratio))
            self._make_room(max(0, n - self._n))
            self._y[self._n : n] = 0
            self._n = n
        self._y.resize(self._n, refcheck=False)
        return self._y

    def _append(self, samples: np.ndarray) -> None:
        self._make_room(len(samples))
        self._y[self._n : self._n + len(samples)] = samples
        self._n += len(samples)

    def _make_room(self, samples: int) -> None:
        if self._n + samples > len(self._y):
            # In place: the system moves pages, not samples. By an eighth, because growing fills
            # what is new with zeros, which costs memory that may never be needed.
            self._y.resize(self._n + samples + self._n // 8 + _BLOCK, refcheck=False)


def _too_long(hours: float | None) -> RecordingError:
    found = "lasts longer than" if hours is None else f"lasts {hours:.2f} hours, longer than"
    return RecordingError(
        "too-long", f"{found} the {MAX_HOURS} hours that a recording may: parts of it would do"
    )


def _expected_s(promised_s: float | None, size: int) -> float:
    """How much a file of so many bytes may hold of what its header promises, in seconds."""
    if promised_s is None:
        return 0.0
    most_s = size / _FEWEST_BYTES_A_SECOND
    if MAX_HOURS * 3600 < promised_s <= most_s:
        raise _too_long(promised_s / 3600)
    return min(promised_s, most_s, MAX_HOURS * 3600)


def _recording(signal: _Signal, channels: int, promised_s: float | None) -> Recording:
    if signal.frames == 0:
        raise _NotTakenError(_NO_SAMPLES)
    seconds = signal.seconds
    note = None
    if promised_s is not None and promised_s - seconds > _NOTED_S:
        note = f"ends after {seconds:.1f} s of the {promised_s:.1f} s that its header promises"
    return Recording(signal.finish(), seconds, signal.sample_rate, channels, note)


def _gave_up(container: Container, seconds: float, reason: object) -> RecordingError:
    return RecordingError(
        "unreadable",
        f"its {container.name} decoder gave up after {seconds:.1f} s ({reason}):"
        " an undamaged copy would do",
    )


# --- libsndfile --------------------------------------------------------------------------------


class _InOrder(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is read from start to end.

    SoundFile seeks after every block to where it already is: that fails on a FLAC stream whose
    header does not say how long it is, and in an MP3 it damages the samples that follow.
    """

    def seekable(self) -> bool:
        """Say no, so that nothing is sought."""
        return False


def _from_sndfile(
    reader: _Reader,
    descriptor: int | None,
    container: Container,
    size: int,
    deadline: Deadline | None,
) -> Recording:
    reader.seek(0)
    with _silent_c_library():
        try:
            # A file of the system's own is read without a detour through Python.
            file = _InOrder(reader if descriptor is None else descriptor, closefd=False)
        except soundfile.LibsndfileError as error:
            raise _NotTakenError(error.error_string.rstrip(".")) from error
        with file:
            rate, channels = file.samplerate, file.channels
            promised_s = _promised_seconds(file) if container.promises else None
            signal = _Signal(rate, _expected_s(promised_s, size), deadline)
            block = None
            if channels > 1:
                block = np.empty((2 * _BLOCK // channels, channels), dtype=np.float32)
            while True:
                try:
                    into = signal.room() if block is None else block
                    frames = file.buffer_read_into(into[: file.frames - signal.frames], "float32")
                except soundfile.LibsndfileError as error:
                    seconds = max(file.tell(), signal.frames) / rate
                    raise _gave_up(container, seconds, error.error_string.rstrip(".")) from error
                if frames == 0:
                    break
                if block is None:
                    signal.took(into[:frames])
                else:
                    signal.mix(block[:frames].T)
    if container.name == "MP3" and not container.promises and signal.frames >= file.frames:
        # It stops at a length that it guessed from the file's size and the first frame's bitrate.
        raise _NotTakenError("no header says how long it is")
    return _recording(signal, channels, promised_s)


# libsndfile's own account of a chunk that is longer in the header than in the file.
_CUT_SHORT = re.compile(
    r"^\s*(?:data|SSND|BODY|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE
)

# Where half the bytes are half the samples.
_EVEN_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")

_UNKNOWN_SIZE = 0x7FFFF000
"""Writers that cannot go back to the header leave the largest number there, or nearly.

In 31 bits or in 32, and with or without the bytes of their own header.
"""


def _promised_seconds(file: soundfile.SoundFile) -> float | None:
    frames: int = file.frames
    if frames >= 1 << 62:  # libsndfile's word for a stream of unknown length
        return None
    cut = _CUT_SHORT.search(file.extra_info)
    if cut is not None and file.subtype.startswith(_EVEN_SUBTYPES):
        promised, found = int(cut[1]), int(cut[2])
        if 0 < found < promised and 0 < promised & 0x7FFFFFFF < _UNKNOWN_SIZE:
            frames = frames * promised // found
    return frames / int(file.samplerate)


@contextlib.contextmanager
def _silent_c_library() -> Iterator[None]:
    """Keep libmpg123, inside libsndfile, from writing its warnings to the terminal.

    It writes to C's ``stderr``; Python's ``sys.stderr`` is another object on the same descriptor
    and goes on working, in every thread.
    """
    if _C_STDERR is None:
        yield
        return
    variable, original, null = _C_STDERR
    variable.value = null
    try:
        yield
    finally:
        variable.value = original


def _c_stderr() -> tuple[ctypes.c_void_p, int | None, int] | None:
    try:
        library = ctypes.CDLL(None)
        variable = ctypes.c_void_p.in_dll(library, "stderr")
        library.fopen.restype = ctypes.c_void_p
        null = library.fopen(os.devnull.encode(), b"w")
    except (OSError, TypeError, ValueError, AttributeError):  # not a C library of this kind
        return None
    return (variable, variable.value, null) if null else None


_C_STDERR = _c_stderr()
"""C's ``stderr``, what it was, and a stream to nowhere."""


# --- FFmpeg ------------------------------------------------------------------------------------

_FULL_SCALE = {"u1": 1 << 7, "i2": 1 << 15, "i4": 1 << 31}
"""What 1.0 is in samples of a NumPy type, where it is not 1.0."""


def _from_ffmpeg(
    reader: _Reader, container: Container, size: int, deadline: Deadline | None
) -> Recording:
    import av

    reader.seek(0)
    try:
        media = av.open(reader, "r", format=container.demuxer, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise _NotTakenError(error.strerror) from error
    with media:
        if not media.streams.audio:
            raise RecordingError("unreadable", f"holds no sound ({container.name}): {_KNOWN}")
        stream = media.streams.audio[0]
        if stream.codec_context is None:
            raise RecordingError(
                "unreadable",
                f"holds sound in a code that no decoder knows ({container.name}): {_KNOWN}",
            )
        promised_s = None
        if container.promises and media.duration:
            promised_s = media.duration / av.time_base
        expected_s = _expected_s(promised_s, size)
        signal: _Signal | None = None
        channels = 0
        try:
            for frame in media.decode(stream):
                if signal is None:
                    signal = _Signal(frame.sample_rate, expected_s, deadline)
                    channels = frame.layout.nb_channels
                elif frame.sample_rate != signal.sample_rate:
                    raise RecordingError(
                        "unreadable",
                        f"changes from {signal.sample_rate} to {frame.sample_rate} Hz after"
                        f" {signal.seconds:.1f} s: one rate throughout would do",
                    )
                signal.mix(_planes(frame))
        except av.error.FFmpegError as error:
            if signal is None:
                raise _NotTakenError(error.strerror) from error
            # What follows a whole recording is no part of it (tags of other players, padding).
            if promised_s is None or signal.seconds < promised_s - _ROUNDING_S:
                raise _gave_up(container, signal.seconds, error.strerror) from error
        if signal is None:
            raise _NotTakenError(_NO_SAMPLES)
    return _recording(signal, channels, promised_s)


def _planes(frame: Any) -> np.ndarray:
    """Take the samples out of a decoded frame [shape=(channels, n), float32]."""
    samples: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, frame.layout.nb_channels).T
    with np.errstate(over="ignore"):  # what is not finite is reported later
        planes = samples.astype(np.float32)
    full_scale = _FULL_SCALE.get(samples.dtype.str[1:])
    if full_scale is not None:
        if samples.dtype.kind == "u":
            planes -= full_scale
        planes /= full_scale
    return planes
