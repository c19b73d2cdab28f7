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
  decoded length and the length of the whole. So is a stream that ends within a frame or page, and
  any damage to a stream without a length, which does not show how much is missing.
"""

import contextlib
import os
from dataclasses import dataclass, replace
from typing import BinaryIO

from featurizer.columns import SAMPLE_RATE
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.ffmpeg import BOUNDED, decode_with_ffmpeg, packets_seconds
from featurizer.file_access import DecoderFile, FilePart, open_regular_file
from featurizer.formats import (
    USUAL_FORMATS,
    Container,
    Found,
    next_recording,
    next_signature,
    sniff,
    unexplained_bytes,
)
from featurizer.libsndfile import decode_with_libsndfile
from featurizer.mono_signal import MAX_HOURS, resampled_length, too_long
from featurizer.ogg import lost_share
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
from featurizer.truncation import find_end

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
            recording = _decode_all(_Encoded(file, descriptor, size, deadline), found)
    # The start alone usually shows it, in less time.
    if recording.y[:SAMPLE_RATE].any() or recording.y.any():
        return recording
    return replace(recording, note=" ".join(filter(None, [recording.note, SILENT])))


@dataclass(frozen=True)
class _Encoded:
    """A file that holds recordings."""

    file: DecoderFile
    descriptor: int | None
    size: int
    deadline: Deadline | None


def _decode_all(encoded: _Encoded, found: Found) -> Recording:
    """Decode the recordings in a file, one after the other."""
    begin = found.start
    joined: Recording | None = None
    failure: RecordingError | None = None
    notes: list[str | None] = []
    decoded_bytes = 0
    following = _next_by_header(encoded, found)
    while True:
        outcome, following = _decode_up_to_next(encoded, found, following)
        if isinstance(outcome, RecordingError):
            failure = failure or outcome
            notes.append(outcome.message)
        else:
            joined = _join(joined, outcome)
            notes.append(outcome.note)
            stop = encoded.size if following is None else following.start
            decoded_bytes += stop - found.start
        if following is None:
            break
        found = following
        following = _next_of_same_format(encoded, found) or _next_by_header(encoded, found)
    if failure is not None and decoded_bytes < MIN_SHARE * (encoded.size - begin):
        raise failure
    assert joined is not None
    incomplete = [note for note in notes if note is not None]
    if len(notes) == 1 or not incomplete:
        return joined
    note = (
        f"{len(incomplete)} of the {len(notes)} recordings in the file are incomplete:"
        f" {incomplete[0]}"
    )
    return replace(joined, note=note)


def _decode_up_to_next(
    encoded: _Encoded, found: Found, following: Found | None
) -> tuple[Recording | RecordingError, Found | None]:
    """Decode a recording, and find the one that follows it if that is not known.

    Each recording is decoded on its own: its header may not describe what follows.
    """
    while True:
        outcome: Recording | RecordingError | Found
        try:
            stop = encoded.size if following is None else following.start
            outcome = _decode_part(encoded, found, stop)
        except RecordingError as error:
            if error.kind not in _DAMAGED:
                raise
            outcome = error
            if following is None:
                outcome = _next_of_same_format(encoded, found) or error
        if not isinstance(outcome, Found):
            return outcome, following
        following = outcome


def _join(joined: Recording | None, part: Recording) -> Recording:
    """Append a part to the recordings before it, without a note."""
    if joined is None:
        return part
    seconds = joined.duration_s + part.duration_s
    if seconds > MAX_HOURS * 3600:
        raise too_long(None)
    n = len(joined.y)
    joined.y.resize(n + len(part.y), refcheck=False)
    joined.y[n:] = part.y
    return replace(joined, duration_s=seconds, note=None)


def _next_of_same_format(encoded: _Encoded, found: Found) -> Found | None:
    return next_signature(encoded.file, found.start + 1, found.container)


def _next_by_header(encoded: _Encoded, found: Found) -> Found | None:
    """Find what follows a recording that its decoders would read together with it."""
    file, container = encoded.file, found.container
    chunk = data_chunk(FilePart(file, found.start, encoded.size), container)
    if chunk is not None and chunk.size is not None:
        end = found.start + chunk.begin + chunk.size
        return next_recording(file, end, end, encoded.size, container)
    if chunk is not None or container.demuxer == "amr":
        return next_signature(file, found.start + 1)
    if container.demuxer == "matroska":
        return _next_of_same_format(encoded, found)
    return None


def _next_by_end(file: FilePart, container: Container, decoded: Decoded) -> Found | None:
    """Find what follows the samples that a decoder found."""
    return next_recording(file, max(1, decoded.intact), decoded.unread, file.size, container)


def _decode_part(encoded: _Encoded, found: Found, stop: int) -> Recording | Found:
    """Decode a part of a file, unless another recording follows in it: then return that."""
    container = found.container
    file = FilePart(encoded.file, found.start, stop)
    end, is_cut = find_end(file, container)
    samples = file.up_to(end)
    descriptor = encoded.descriptor if samples.size == encoded.size else None
    failure = corrected = None
    stated_s = 0.0
    try:
        decoded = _decode_with_either(encoded, samples, container, descriptor)
    except RecordingError as error:
        if error.kind in _DAMAGED:
            corrected = with_corrected_length(file, container)
        if corrected is None:
            raise
        failure = error
    else:
        following = _next_by_end(file, container, decoded)
        if following is not None:
            return replace(following, start=found.start + following.start)
        if _unsearched_seconds(file, container, decoded) > MIN_MISSING_S:
            corrected = with_corrected_length(file, container)
        if corrected is None:
            return _finish(file, container, decoded, is_cut)
        stated_s = decoded.seconds
        del decoded  # the signals of two decoders would take too much memory
    recording = _decode_corrected(encoded, corrected, container, stated_s)
    if recording is not None:
        return recording
    if failure is not None:
        raise failure
    decoded = _decode_with_either(encoded, samples, container, descriptor)
    return _finish(file, container, decoded, is_cut)


def _decode_corrected(
    encoded: _Encoded, file: FilePart, container: Container, stated_s: float
) -> Recording | None:
    """Decode a part beyond the length in its header; return None if what follows is no audio.

    Parameters
    ----------
    encoded : _Encoded
    file : FilePart
        The part, with a corrected length.
    container : Container
    stated_s : float >= 0
        Duration by the original header, in seconds; 0 if unknown.
    """
    try:
        decoded = _decode_with_either(encoded, file, container, None)
    except RecordingError as error:
        if error.kind == "not-finite" or error.kind in _DAMAGED:
            return None
        raise
    recording = _finish(file, container, decoded, is_cut=False)
    stated_n = int(resampled_length(stated_s, 1))
    if stated_s and not is_same_audio(recording.y, stated_n, recording.sample_rate):
        return None
    if stated_s and recording.note is None:
        note = (
            f"The header counts {stated_s:.1f} s of audio, but the file holds"
            f" {recording.duration_s:.1f} s. All of it was decoded."
        )
        recording = replace(recording, note=note)
    return recording


def _decode_with_either(
    encoded: _Encoded, file: FilePart, container: Container, descriptor: int | None
) -> Decoded:
    """Decode a part with the decoder that reads more of it."""
    deadline = encoded.deadline
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


def _finish(file: FilePart, container: Container, decoded: Decoded, is_cut: bool) -> Recording:
    if decoded.missing_s <= MIN_MISSING_S:
        missing = missing_bytes(file, container)
        if missing:
            promised_s = decoded.seconds + missing / _bytes_per_second(decoded)
            decoded = replace(decoded, promised_s=promised_s)
    lost_s = _unreported_seconds(file, container, decoded)
    if lost_s > decoded.missing_s:
        failure = "damaged frame or page"
        decoded = replace(decoded, promised_s=None, damaged_s=lost_s, failure=failure)
    return finish_recording(
        decoded,
        container,
        undecoded_s=_unsearched_seconds(file, container, decoded),
        is_cut=is_cut,
    )


def _unreported_seconds(file: FilePart, container: Container, decoded: Decoded) -> float:
    """Return about how long the audio would be that is lost to damage no decoder reports."""
    if container.name == "Ogg":
        return lost_share(file, is_whole=decoded.promised_s is None) * decoded.seconds
    if container.name == "AMR":
        return _undecoded_seconds(file, container, decoded)
    return 0.0


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
    following = _next_by_end(file, container, decoded)
    if following is not None:
        rest = max(0, following.start - decoded.unread)
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
