"""Encoded recordings for the tests of decoding, and comparisons of signals."""

import io
import os
import struct
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile as sf

from featurizer.deadline import Deadline
from featurizer.decoding import decode
from featurizer.errors import RecordingError
from featurizer.recording import Recording

SR = 22050


def chord(rate: int = SR, seconds: float = 3.0, channels: int = 1) -> np.ndarray:
    """Return tones with a little noise, different in each channel [shape=(n, channels), int16]."""
    t = np.arange(round(rate * seconds)) / rate
    f = 220.0 * 1.25 ** np.arange(channels)
    y = 0.3 * np.sin(2 * np.pi * f * t[:, np.newaxis])
    y += 0.02 * np.random.default_rng(channels).standard_normal(y.shape)
    return np.round(y * 2**15).astype(np.int16)


def sndfile_bytes(
    samples: np.ndarray, rate: int = SR, format: str = "WAV", subtype: str = ""
) -> bytes:
    """Encode a file with libsndfile."""
    file = io.BytesIO()
    sf.write(file, samples, rate, format=format, subtype=subtype or None)
    return file.getvalue()


def ffmpeg_bytes(
    samples: np.ndarray,
    rate: int,
    muxer: str,
    codec: str,
    *,
    sample_format: str | None = None,
    file: str | None = None,
    muxer_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> bytes:
    """Encode samples [shape=(n, channels), int16] with FFmpeg."""
    target = io.BytesIO() if file is None else file
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal"}[samples.shape[1]]
    with av.open(target, "w", format=muxer, options=muxer_options or {}) as media:
        stream = media.add_stream(codec, rate=rate, layout=layout, options=codec_options or {})
        if codec == "wmav2":
            stream.bit_rate = 128_000
        if sample_format is not None:
            stream.format = sample_format
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(
            stream.format, layout, rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            media.mux(stream.encode(part))
        media.mux(stream.encode(None))
    return target.getvalue() if isinstance(target, io.BytesIO) else Path(target).read_bytes()


def decode_bytes(content: bytes) -> Recording:
    return decode(io.BytesIO(content))


def decode_error(source: bytes | str | os.PathLike[str], **options: Deadline) -> RecordingError:
    with pytest.raises(RecordingError) as raised:
        decode(io.BytesIO(source) if isinstance(source, bytes) else source, **options)
    message = raised.value.message
    assert "\n" not in message
    assert 20 < len(message) < 300
    return raised.value


def loaded_as_librosa(path: Path) -> np.ndarray:
    """Return what ``librosa.load`` returns, without its imports of deprecated modules."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    return librosa.resample(librosa.to_mono(samples.T), orig_sr=rate, target_sr=SR)


def lag(y: np.ndarray, reference: np.ndarray) -> int:
    """Return the delay of y relative to the reference, in samples."""
    n = len(y) + len(reference)
    correlation = np.fft.irfft(np.fft.rfft(y, n) * np.conj(np.fft.rfft(reference, n)), n)
    found = int(np.argmax(correlation))
    return found - n if found > n // 2 else found


def snr_db(y: np.ndarray, reference: np.ndarray) -> float:
    n = min(len(y), len(reference))
    y, reference = y[:n].astype(float), reference[:n].astype(float)
    return float(10 * np.log10(np.sum(reference**2) / (np.sum((y - reference) ** 2) + 1e-30)))


def flac_with_length(flac: bytes, frames: int) -> bytes:
    """Replace the total samples in STREAMINFO: 36 bits that end at byte 26 of the file."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + struct.pack(">I", frames) + flac[26:]


def picture(codec: str) -> bytes:
    context = av.CodecContext.create(codec, "w")
    context.width = context.height = 64
    context.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}[codec]
    context.time_base = 1
    frame = av.VideoFrame.from_ndarray(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    )
    frame.pts = 0
    packets = context.encode(frame.reformat(format=context.pix_fmt)) + context.encode(None)
    return b"".join(bytes(packet) for packet in packets)
