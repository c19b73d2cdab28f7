"""Decode with FFmpeg, through PyAV."""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from featurizer.deadline import Deadline
from featurizer.errors import RecordingError
from featurizer.file_access import FilePart
from featurizer.formats import USUAL_FORMATS, Container, tag_length, unexplained_bytes
from featurizer.mono_signal import MonoSignal, expected_seconds
from featurizer.recording import NO_SAMPLES, Decoded, RejectedByDecoderError

_ROUNDING_S = 1e-4
"""Rounding of durations, in seconds: FFmpeg's are whole microseconds, some headers' coarser."""

_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""NumPy type by FFmpeg's sample format, without the mark of planar samples."""

_FULL_SCALE = {"u1": 1 << 7, "i2": 1 << 15, "i4": 1 << 31, "i8": 1 << 63}
"""Value that stands for 1.0, by NumPy type; floating-point types need no scaling."""

BOUNDED = frozenset(
    ("aiff", "ape", "au", "caf", "mov", "mpc8", "nistsphere", "tta", "voc", "w64", "wav")
)
"""Demuxers that stop where the header says; the others read everything."""

_CHECKED = frozenset(("flac", "tta", "wavpack"))
"""Lossless codecs with a checksum in every packet; FFmpeg ignores it unless told to check it."""

_TAG = re.compile(rb"ID3[\x02-\x04]\0|APETAGEX")


class _Damage:
    """Bytes of the packets that cannot be decoded.

    Attributes
    ----------
    total : int >= 0
        All but those of tags.
    padding : int >= 0
        Those since the last decoded packet that are chunks or padding: no damage at the end.
    """

    def __init__(self) -> None:
        self.total = self.padding = self._tag = 0

    def add(self, packet: Any, before: Any) -> None:
        """Add a packet that cannot be decoded, with the one before it."""
        self._tag = max(self._tag, _tag_bytes(before, packet))
        if self._tag > 0:  # at most one frame is lost
            self._tag -= packet.size
            return
        self.total += packet.size
        content = io.BytesIO(bytes(packet))
        self.padding += packet.size - unexplained_bytes(content, 0, packet.size)


def decode_with_ffmpeg(file: FilePart, container: Container, deadline: Deadline | None) -> Decoded:
    """Decode the first audio stream of a file with FFmpeg.

    Packets that cannot be decoded are left out. Channels are averaged frame by frame, and each
    piece of one sample rate is resampled on its own.

    Parameters
    ----------
    file : FilePart
    container : Container
        With a demuxer.
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

    with _opened(file, container) as (media, stream):
        is_alone = len(media.streams) == 1  # the file holds no pictures or other streams
        promised_s = None
        # That of MPEG audio may be an estimate from the first bit rate.
        if container.has_duration and container.demuxer != "mp3":
            if stream.duration and not is_alone:
                promised_s = float(stream.duration * stream.time_base)
            elif media.duration:
                promised_s = media.duration / av.time_base
        expected_s = expected_seconds(promised_s, file.size)
        signal: MonoSignal | None = None
        sample_rate = channels = 0
        failure = None
        size = end = 0
        intact = None
        damage = _Damage()
        try:
            for packet, before in _with_previous(media.demux(stream)):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    failure = error.strerror
                    intact = end if intact is None else intact
                    damage.add(packet, before)
                    continue
                for frame in frames:
                    if signal is None:
                        sample_rate, channels = frame.sample_rate, frame.layout.nb_channels
                        signal = MonoSignal(sample_rate, expected_s, deadline)
                    elif frame.sample_rate != signal.sample_rate:
                        signal.change_rate(frame.sample_rate)
                    signal.append_mean(_channels(frame))
                if packet.size:
                    size += packet.size
                    end = max(end, (packet.pos or 0) + packet.size)
                    damage.padding = 0
        except av.error.FFmpegError as error:
            failure = error.strerror
            damage.total += file.size - end if is_alone else 0
        if signal is None:
            raise RejectedByDecoderError(failure or NO_SAMPLES)
    seconds = signal.seconds
    damaged_s = (damage.total - damage.padding) / max(size, 1) * seconds
    intact = end if intact is None else intact
    is_promise_kept = promised_s is not None and seconds >= promised_s - _ROUNDING_S
    if is_promise_kept or not unexplained_bytes(file, intact, file.size):
        damaged_s = 0.0  # Errors after the end come from appended tags or padding.
    unread = end if is_alone else file.size
    return Decoded(
        signal,
        sample_rate,
        channels,
        promised_s,
        max(size, 1),
        intact,
        unread,
        damaged_s,
        failure,
    )


def packets_seconds(file: FilePart, container: Container) -> float:
    """Return the duration of all packets of a file, in seconds, without decoding them."""
    import av

    seconds = 0.0
    errors = (RejectedByDecoderError, RecordingError, av.error.FFmpegError)
    with contextlib.suppress(*errors), _opened(file, container) as (media, stream):
        for packet in media.demux(stream):
            if packet.duration is not None:
                seconds += float(packet.duration * packet.time_base)
    return seconds


@contextlib.contextmanager
def _opened(file: FilePart, container: Container) -> Iterator[tuple[Any, Any]]:
    """Open a file with FFmpeg, and yield it and its first audio stream."""
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
        if stream.codec_context.name in _CHECKED:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        yield media, stream


def _with_previous(packets: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    before = None
    for packet in packets:
        yield packet, before
        before = packet


def _tag_bytes(before: Any, packet: Any) -> int:
    """Return the bytes from the start of a packet to the end of its last tag, in later packets.

    Parameters
    ----------
    before : av.Packet or None
        The previous packet, where a tag may start.
    packet : av.Packet

    Returns
    -------
    n : int
        Not positive if no tag reaches into the packet.
    """
    content = b"" if before is None else bytes(before)
    begin = len(content)
    content += bytes(packet)
    ends = (
        tag.start() + tag_length(content[tag.start() :][:32])[0] for tag in _TAG.finditer(content)
    )
    return max(ends, default=0) - begin


def _channels(frame: Any) -> np.ndarray:
    """Return the samples of a decoded frame [shape=(n_channels, n), float32].

    PyAV's own conversion knows no 64-bit integers, and reads a ninth plane of eight channels, from
    an invalid address.
    """
    n_channels = frame.layout.nb_channels
    dtype = _DTYPES[frame.format.name.removesuffix("p")]
    if frame.format.is_planar:
        planes = frame.planes[:n_channels]
        samples = np.array([np.frombuffer(plane, dtype, frame.samples) for plane in planes])
    else:
        samples = np.frombuffer(frame.planes[0], dtype, frame.samples * n_channels)
        samples = samples.reshape(frame.samples, n_channels).T
    with np.errstate(over="ignore"):  # MonoSignal.commit reports non-finite samples
        channels = samples.astype(np.float32)
    full_scale = _FULL_SCALE.get(dtype)
    if full_scale is not None:
        if dtype == "u1":
            channels -= full_scale
        channels /= full_scale
    return channels
