"""Decode with FFmpeg, through PyAV."""

from typing import Any

import numpy as np

from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.file_access import DecoderFile
from featurizer.formats import USUAL_FORMATS, Container
from featurizer.mono_signal import MonoSignal, expected_seconds
from featurizer.recording import (
    NO_SAMPLES,
    Recording,
    RejectedByDecoderError,
    decoder_failure,
    finish_recording,
)

_ROUNDING_S = 1e-4
"""Rounding of durations, in seconds: FFmpeg's are whole microseconds, some headers' coarser."""

_FULL_SCALE = {"u1": 1 << 7, "i2": 1 << 15, "i4": 1 << 31}
"""Value that stands for 1.0, by NumPy type; floating-point types need no scaling."""


def decode_with_ffmpeg(
    file: DecoderFile, container: Container, size: int, deadline: Deadline | None
) -> Recording:
    """Decode the first audio stream of a file with FFmpeg.

    Parameters
    ----------
    file : DecoderFile
    container : Container
        With a demuxer.
    size : int > 0
        Size of the file in bytes.
    deadline : Deadline or None
        Checked once per block.

    Raises
    ------
    RejectedByDecoderError
        FFmpeg does not accept the file or finds no samples.
    RecordingError
        Of kind unreadable, not-finite, too-long or timeout.
    """
    import av

    file.seek(0)
    try:
        media = av.open(file, "r", format=container.demuxer, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise RejectedByDecoderError(error.strerror) from error
    with media:
        if not media.streams.audio:
            raise RecordingError(
                "unreadable",
                f"The {container.name} file contains no audio stream. Use {USUAL_FORMATS}.",
            )
        stream = media.streams.audio[0]
        if stream.codec_context is None:
            raise RecordingError(
                "unreadable",
                f"The {container.name} file uses an unknown audio codec. Use {USUAL_FORMATS}.",
            )
        promised_s = None
        if container.has_duration and media.duration:
            promised_s = media.duration / av.time_base
        expected_s = expected_seconds(promised_s, size)
        signal: MonoSignal | None = None
        channels = 0
        try:
            for frame in media.decode(stream):
                if signal is None:
                    signal = MonoSignal(frame.sample_rate, expected_s, deadline)
                    channels = frame.layout.nb_channels
                elif frame.sample_rate != signal.sample_rate:
                    raise RecordingError(
                        "unreadable",
                        f"The sample rate changes from {signal.sample_rate} to"
                        f" {frame.sample_rate} Hz after {signal.seconds:.1f} s."
                        " Convert the file to one sample rate.",
                    )
                signal.append_mean(_channels(frame))
        except av.error.FFmpegError as error:
            if signal is None:
                raise RejectedByDecoderError(error.strerror) from error
            # Errors after the promised end come from appended tags or padding.
            if promised_s is None or signal.seconds < promised_s - _ROUNDING_S:
                raise decoder_failure(container, signal.seconds, error.strerror) from error
        if signal is None:
            raise RejectedByDecoderError(NO_SAMPLES)
    return finish_recording(signal, channels, promised_s)


def _channels(frame: Any) -> np.ndarray:
    """Return the samples of a decoded frame [shape=(n_channels, n), float32]."""
    samples: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, frame.layout.nb_channels).T
    with np.errstate(over="ignore"):  # MonoSignal.commit reports non-finite samples
        channels = samples.astype(np.float32)
    full_scale = _FULL_SCALE.get(samples.dtype.str[1:])
    if full_scale is not None:
        if samples.dtype.kind == "u":
            channels -= full_scale
        channels /= full_scale
    return channels
