"""Decode a recording with the first decoder that accepts it.

libsndfile reads the formats it supports (WAV, FLAC, Ogg, Opus, MP3, AIFF, AU …). FFmpeg reads the
others (AAC, M4A, WMA, WebM …). :func:`featurizer.formats.sniff` decides which decoders may try.
"""

import contextlib
import os
from typing import BinaryIO

from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.ffmpeg import decode_with_ffmpeg
from featurizer.file_access import DecoderFile, open_regular_file
from featurizer.formats import USUAL_FORMATS, sniff
from featurizer.libsndfile import decode_with_libsndfile
from featurizer.recording import NO_SAMPLES, Recording, RejectedByDecoderError


def decode(
    source: str | os.PathLike[str] | BinaryIO, *, deadline: Deadline | None = None
) -> Recording:
    """Decode a recording to a mono signal at 22,050 Hz.

    An error that a decoder reports makes the recording fail. A recording that merely ends before
    its header says is decoded and gets a note. Signals too short for analysis are not rejected
    here.

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
            container = sniff(file)
            if container is None:
                raise RecordingError("unreadable", _unknown_format(file, size))
            reasons = []
            if container.sndfile:
                try:
                    return decode_with_libsndfile(file, descriptor, container, size, deadline)
                except RejectedByDecoderError as reason:
                    reasons.append(f"libsndfile: {reason}")
            if container.demuxer is not None:
                try:
                    return decode_with_ffmpeg(file, container, size, deadline)
                except RejectedByDecoderError as reason:
                    reasons.append(f"FFmpeg: {reason}")
        if any(reason.endswith(NO_SAMPLES) for reason in reasons):
            raise RecordingError(
                "empty", f"The {container.name} file contains no samples. Copy it again."
            )
        raise RecordingError(
            "unreadable",
            f"The file starts like {container.name}, but no decoder can read it"
            f" ({'; '.join(reasons)}). Copy it again.",
        )


def _unknown_format(file: DecoderFile, size: int) -> str:
    file.seek(0)
    head = file.read(8)
    return (
        f"The file is not audio in a known format (its {size:,} bytes begin with {head.hex(' ')})."
        f" Use {USUAL_FORMATS}."
    )
