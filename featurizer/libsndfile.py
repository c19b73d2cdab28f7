"""Decode with libsndfile, through SoundFile."""

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator

import numpy as np
import soundfile

from featurizer.deadline import Deadline
from featurizer.file_access import FilePart
from featurizer.mono_signal import BLOCK_FRAMES, MonoSignal, expected_seconds
from featurizer.recording import NO_SAMPLES, Decoded, RejectedByDecoderError
from featurizer.stated_length import is_unknown

# libsndfile's log of a chunk that is longer in the header than in the file.
_TRUNCATED_CHUNK = re.compile(
    r"^\s*(?:data|SSND|BODY|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE
)

# libsndfile's log of the number of samples in the header of a compressed WAV.
_FACT_CHUNK = re.compile(r"^\s*fact\s*:.*\n\s*frames\s*:\s*(\d+)", re.MULTILINE)

_CONSTANT_RATE_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Start of the names of encodings with a fixed number of bytes per sample."""

_READ_AHEAD = 1 << 14
"""Bytes that libsndfile may have read beyond the last sample, at most."""

_UNKNOWN_FRAMES = 1 << 62
"""Smallest frame count by which libsndfile means a stream of unknown length."""


def decode_with_libsndfile(
    file: FilePart, descriptor: int | None, deadline: Deadline | None
) -> Decoded:
    """Decode a recording with libsndfile.

    Parameters
    ----------
    file : FilePart
    descriptor : int or None
        The file's descriptor, for libsndfile to read directly instead of through Python.
    deadline : Deadline or None
        Checked once per block.

    Raises
    ------
    RejectedByDecoderError
        libsndfile does not accept the file or finds no samples.
    RecordingError
        Of kind unreadable, not-finite, too-long or timeout.
    """
    file.seek(0)
    with _c_stderr_silenced():
        try:
            sound = _SequentialFile(file if descriptor is None else descriptor, closefd=False)
        except soundfile.LibsndfileError as error:
            raise RejectedByDecoderError(error.error_string.rstrip(".")) from error
        with sound:
            rate, channels = sound.samplerate, sound.channels
            begin = _position(file, descriptor)
            promised_s = _promised_seconds(sound)
            signal = MonoSignal(rate, expected_seconds(promised_s, file.size), deadline)
            failure = None
            interleaved = None
            if channels > 1:
                interleaved = np.empty((2 * BLOCK_FRAMES // channels, channels), dtype=np.float32)
            while True:
                try:
                    block = signal.buffer() if interleaved is None else interleaved
                    remaining = sound.frames - signal.frames
                    frames = sound.buffer_read_into(block[:remaining], "float32")
                except soundfile.LibsndfileError as error:
                    failure = error.error_string.rstrip(".")
                    break
                if frames == 0:
                    break
                if interleaved is None:
                    signal.commit(block[:frames])
                else:
                    signal.append_mean(block[:frames].T)
    if signal.frames == 0:
        raise RejectedByDecoderError(failure or NO_SAMPLES)
    end = _position(file, descriptor)
    size = end - begin if end > begin else end  # all was read with the header
    damaged_s = 0.0
    if failure is not None:
        damaged_s = max(0.0, (promised_s or 0.0) - signal.seconds)
    is_buffered = sound.format == "FLAC" or not sound.subtype.startswith(_CONSTANT_RATE_SUBTYPES)
    intact = max(0, end - _READ_AHEAD) if is_buffered else end
    return Decoded(signal, rate, channels, promised_s, size, intact, end, damaged_s, failure)


def _position(file: FilePart, descriptor: int | None) -> int:
    return file.tell() if descriptor is None else os.lseek(descriptor, 0, os.SEEK_CUR)


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is read from start to end.

    SoundFile seeks to the current position after every block. That fails on a FLAC stream without a
    length in its header, and damages the samples that follow in an MP3.
    """

    def seekable(self) -> bool:
        """Return False, so that SoundFile does not seek."""
        return False


def _promised_seconds(sound: soundfile.SoundFile) -> float | None:
    frames: int = sound.frames
    if frames >= _UNKNOWN_FRAMES:
        return None
    if not sound.subtype.startswith(_CONSTANT_RATE_SUBTYPES):
        fact = _FACT_CHUNK.search(sound.extra_info)
        return max(frames, int(fact[1]) if fact else 0) / int(sound.samplerate)
    truncated = _TRUNCATED_CHUNK.search(sound.extra_info)
    if truncated is not None:
        promised, found = int(truncated[1]), int(truncated[2])
        if 0 < found < promised and not is_unknown(promised):
            frames = frames * promised // found
    return frames / int(sound.samplerate)


@contextlib.contextmanager
def _c_stderr_silenced() -> Iterator[None]:
    """Keep libmpg123, inside libsndfile, from printing warnings on the terminal.

    It writes to C's ``stderr``. Python's ``sys.stderr`` is another object on the same descriptor
    and keeps working, in every thread.
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
    except (OSError, TypeError, ValueError, AttributeError):  # a C library without these symbols
        return None
    return (variable, variable.value, null) if null else None


_C_STDERR = _c_stderr()
"""The variable ``stderr`` of the C library, its value, and a stream to ``/dev/null``."""
