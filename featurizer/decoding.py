"""Decode a recording, completely or with a note on what is missing.

libsndfile reads the formats it supports (WAV, FLAC, Ogg, Opus, MP3, AIFF, AU …). FFmpeg reads the
others (AAC, M4A, WMA, WebM …), and those that libsndfile gives up or ends before the file does.
:func:`featurizer.formats.sniff` decides which decoders may try.

A file is decoded to its end, whatever its header says:

- Recordings joined in a file are decoded one after the other, with a decoder each.
- Where the sample rate or the number of channels changes, each piece is averaged and resampled on
  its own. This holds within a stream and between joined recordings.
- Damaged packets are left out. At least 60 % of a damaged recording must be decoded
  (:data:`featurizer.recording.MIN_SHARE`); otherwise it fails.
- More than 0.1 s that is missing (:data:`featurizer.recording.MIN_MISSING_S`) is noted, with the
  decoded length and the length of the whole. So is a stream that ends within a frame or page.
"""

import contextlib
import os
from dataclasses import dataclass, replace
from typing import BinaryIO

from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.ffmpeg import BOUNDED, decode_with_ffmpeg, packets_seconds
from featurizer.file_access import DecoderFile, FilePart, open_regular_file
from featurizer.formats import (
    USUAL_FORMATS,
    Container,
    next_recording,
    sniff,
    unexplained_bytes,
)
from featurizer.libsndfile import decode_with_libsndfile
from featurizer.mono_signal import MAX_HOURS, resampled_length, too_long
from featurizer.recording import (
    MIN_MISSING_S,
    MIN_SHARE,
    NO_SAMPLES,
    SILENT,
    Decoded,
    Recording,
    RejectedByDecoderError,
    finish_recording,
)
from featurizer.stated_length import (
    data_chunk,
    is_same_audio,
    missing_bytes,
    with_corrected_length,
)
from featurizer.truncation import ends_midway

_READ_AHEAD = 1 << 14
"""Bytes that libsndfile may have read beyond the last sample, at most."""

_UNBOUNDED = ("au", "matroska", "voc", "w64")
"""Demuxers of formats that the decoders read to the end of the file, whatever the header says."""

_DAMAGED = ("unreadable", "empty")
"""Failures of a part of a file that leave the other parts readable."""


def decode(
    source: str | os.PathLike[str] | BinaryIO, *, deadline: Deadline | None = None
) -> Recording:
    """Decode a recording to a mono signal at 22,050 Hz.

    Signals too short for analysis are not rejected here.

    Parameters
    ----------
    source : path or seekable binary file
        The content alone decides the format; the file's name is ignored.
    deadline : Deadline, optional
        Checked once per block.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        Of kind vanished, forbidden, unreadable, empty, not-finite, too-long or timeout.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros((44100, 2)), 44100, format="WAV")
    >>> recording = decode(file)
    >>> recording.duration_s, recording.sample_rate, recording.channels
    (1.0, 44100, 2)
    >>> recording.y.shape, recording.y.dtype
    ((22050,), dtype('float32'))
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            raw = stack.enter_context(open_regular_file(source))
            descriptor = raw.fileno()
        else:
            raw = source
            descriptor = None
        file = DecoderFile(raw, deadline)
        with file.read_errors_raised():
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                raise RecordingError("empty", "The file is empty. Copy it again.")
            found = sniff(file)
            if found is None:
                raise RecordingError("unreadable", _unknown_format(file, size))
            encoded = _Encoded(file, descriptor, size, found.container, deadline)
            recording = _decode_all(encoded, found.start)
    if recording.y.any():
        return recording
    return replace(recording, note=" ".join(filter(None, [recording.note, SILENT])))


@dataclass(frozen=True)
class _Encoded:
    """A file of a known format."""

    file: DecoderFile
    descriptor: int | None
    size: int
    container: Container
    deadline: Deadline | None


def _decode_all(encoded: _Encoded, start: int) -> Recording:
    """Decode the recording that starts at an offset, and those of its format that follow it."""
    if _is_unbounded(encoded, start):
        following = _next(encoded, start)
        if following is not None:
            return _decode_joined(encoded, start, following)
    try:
        recording, end = _decode_part(encoded, start, encoded.size)
    except RecordingError as error:
        following = _next(encoded, start) if error.kind in _DAMAGED else None
        if following is None:
            raise
    else:
        following = _next(encoded, max(start, end - _READ_AHEAD))
        if following is None:
            return recording
        del recording  # its memory
    # Each part is decoded on its own: the headers of one may not describe the next one.
    return _decode_joined(encoded, start, following)


def _is_unbounded(encoded: _Encoded, start: int) -> bool:
    """Check whether decoders would read an appended recording by the header of the first one."""
    if encoded.container.demuxer in _UNBOUNDED:
        return True
    chunk = data_chunk(FilePart(encoded.file, start, encoded.size), encoded.container)
    return chunk is not None and chunk.size is None


def _next(encoded: _Encoded, start: int) -> int | None:
    return next_recording(encoded.file, encoded.container, start + 1)


def _decode_joined(encoded: _Encoded, start: int, following: int | None) -> Recording:
    """Decode the recordings from an offset on, of which the second starts at another offset."""
    first: Recording | None = None
    failure: RecordingError | None = None
    notes: list[str] = []
    seconds = 0.0
    decoded_bytes = parts = 0
    begin = start
    while True:
        stop = encoded.size if following is None else following
        parts += 1
        try:
            part, _ = _decode_part(encoded, start, stop)
        except RecordingError as error:
            if error.kind not in _DAMAGED:
                raise
            failure = failure or error
            notes.append(error.message)
        else:
            decoded_bytes += stop - start
            seconds += part.duration_s
            if seconds > MAX_HOURS * 3600:
                raise too_long(None)
            if part.note is not None:
                notes.append(part.note)
            if first is None:
                first = part
            else:
                n = len(first.y)
                first.y.resize(n + len(part.y), refcheck=False)
                first.y[n:] = part.y
        if following is None:
            break
        start, following = following, _next(encoded, following)
    if first is None or decoded_bytes < MIN_SHARE * (encoded.size - begin):
        assert failure is not None
        raise failure
    note = None
    if notes:
        note = f"{len(notes)} of the {parts} recordings in the file are incomplete: {notes[0]}"
    return replace(first, duration_s=seconds, note=note)


def _decode_part(encoded: _Encoded, start: int, stop: int) -> tuple[Recording, int]:
    """Decode a part of a file; return the recording and the offset of the end of its samples."""
    file = FilePart(encoded.file, start, stop)
    descriptor = encoded.descriptor if file.size == encoded.size else None
    failure = corrected = None
    stated_s = 0.0
    try:
        decoded = _decode_with_either(encoded, file, descriptor)
    except RecordingError as error:
        if error.kind in _DAMAGED:
            corrected = with_corrected_length(file, encoded.container)
        if corrected is None:
            raise
        failure = error
    else:
        if _unsearched_seconds(file, encoded.container, decoded) > MIN_MISSING_S:
            corrected = with_corrected_length(file, encoded.container)
        if corrected is None:
            return _finish(file, encoded.container, decoded), start + decoded.end
        stated_s = decoded.seconds
        del decoded  # the signals of two decoders would take too much memory
    found = _decode_corrected(encoded, corrected, stated_s)
    if found is not None:
        recording, end = found
        return recording, start + end
    if failure is not None:
        raise failure
    decoded = _decode_with_either(encoded, file, descriptor)
    return _finish(file, encoded.container, decoded), start + decoded.end


def _decode_corrected(
    encoded: _Encoded, file: FilePart, stated_s: float
) -> tuple[Recording, int] | None:
    """Decode a part beyond the length in its header; return None if what follows is no audio.

    Parameters
    ----------
    encoded : _Encoded
    file : FilePart
        The part, with a corrected length.
    stated_s : float >= 0
        Duration by the original header, in seconds; 0 if unknown.
    """
    try:
        decoded = _decode_with_either(encoded, file, None)
    except RecordingError as error:
        if error.kind == "not-finite" or error.kind in _DAMAGED:
            return None
        raise
    recording = _finish(file, encoded.container, decoded)
    stated_n = int(resampled_length(stated_s, 1))
    if stated_s and not is_same_audio(recording.y, stated_n, recording.sample_rate):
        return None
    if stated_s and recording.note is None:
        note = (
            f"The header counts {stated_s:.1f} s of audio, but the file holds"
            f" {recording.duration_s:.1f} s. All of it was decoded."
        )
        recording = replace(recording, note=note)
    return recording, decoded.end


def _decode_with_either(encoded: _Encoded, file: FilePart, descriptor: int | None) -> Decoded:
    """Decode a part with the decoder that reads more of it."""
    container, deadline = encoded.container, encoded.deadline
    enough_s, promised_s = 0.0, None
    reasons = []
    if container.sndfile:
        try:
            first = decode_with_libsndfile(file, descriptor, deadline)
        except RejectedByDecoderError as reason:
            reasons.append(f"libsndfile: {reason}")
        else:
            if container.demuxer is None or _is_complete(file, container, first):
                return first
            # A decoder that did not give up is right if the other one finds about as much.
            enough_s = first.seconds + (0.0 if first.failure else MIN_MISSING_S)
            promised_s = first.promised_s
            del first  # the signals of two decoders would take too much memory
    if container.demuxer is not None:
        try:
            second = decode_with_ffmpeg(file, container, deadline)
        except RejectedByDecoderError as reason:
            reasons.append(f"FFmpeg: {reason}")
        else:
            if second.seconds >= enough_s:
                return replace(second, promised_s=second.promised_s or promised_s)
            del second
    if enough_s:
        return decode_with_libsndfile(file, descriptor, deadline)
    if any(reason.endswith(NO_SAMPLES) for reason in reasons):
        raise RecordingError(
            "empty", f"The {container.name} file contains no samples. Copy it again."
        )
    raise RecordingError(
        "unreadable",
        f"The file starts like {container.name}, but no decoder can read it"
        f" ({'; '.join(reasons)}). Copy it again.",
    )


def _is_complete(file: FilePart, container: Container, decoded: Decoded) -> bool:
    """Check that FFmpeg would not read more than libsndfile did."""
    if decoded.failure is not None:
        return False
    if max(decoded.missing_s, _undecoded_seconds(file, container, decoded)) <= MIN_MISSING_S:
        return True
    return packets_seconds(file, container) <= decoded.seconds + MIN_MISSING_S


def _finish(file: FilePart, container: Container, decoded: Decoded) -> Recording:
    if decoded.missing_s <= MIN_MISSING_S:
        missing = missing_bytes(file, container)
        if missing:
            promised_s = decoded.seconds + missing / _bytes_per_second(decoded)
            decoded = replace(decoded, promised_s=promised_s)
    return finish_recording(
        decoded,
        container,
        undecoded_s=_unsearched_seconds(file, container, decoded),
        is_cut=ends_midway(file, container),
    )


def _unsearched_seconds(file: FilePart, container: Container, decoded: Decoded) -> float:
    """Return about how long the audio would be that no decoder searched for packets."""
    if container.demuxer is None or container.demuxer in BOUNDED:
        return _undecoded_seconds(file, container, decoded)
    return 0.0


def _undecoded_seconds(file: FilePart, container: Container, decoded: Decoded) -> float:
    """Return about how long the audio would be that the rest of the file can hold."""
    rest = unexplained_bytes(file, decoded.unread, file.size)
    if not rest:
        return 0.0
    following = next_recording(file, container, max(1, decoded.end - _READ_AHEAD))
    if following is not None:
        rest = max(0, following - decoded.unread)
    return rest / _bytes_per_second(decoded)


def _bytes_per_second(decoded: Decoded) -> float:
    # The rate is too high where all samples were read together with the header.
    return min(decoded.size / decoded.seconds, 8 * decoded.sample_rate * decoded.channels)


def _unknown_format(file: DecoderFile, size: int) -> str:
    file.seek(0)
    head = file.read(8)
    return (
        f"The file is not audio in a known format (its {size:,} bytes begin with {head.hex(' ')})."
        f" Use {USUAL_FORMATS}."
    )
