"""Decoding with libsndfile: every format, and headers with a wrong or unknown length."""

import ctypes
import io
import struct
import tracemalloc

import librosa
import numpy as np
import pytest
import soundfile as sf
from support.audio_files import (
    SR,
    chord,
    decode_bytes,
    ffmpeg_bytes,
    flac_with_length,
    sndfile_bytes,
)

from featurizer.errors import RecordingError


def test_16_bit_mono_at_22050_hz_is_exactly_its_integers():
    samples = chord(seconds=7)  # more than one block
    recording = decode_bytes(sndfile_bytes(samples))
    assert recording.y.dtype == np.float32
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))
    assert (recording.sample_rate, recording.channels, recording.note) == (SR, 1, None)
    assert recording.duration_s == 7.0


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        *[("WAV", sub) for sub in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
        *[("WAV", sub) for sub in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")],
        *[("WAVEX", sub) for sub in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
        *[("FLAC", sub) for sub in ("PCM_S8", "PCM_16", "PCM_24")],
        *[("AIFF", sub) for sub in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW")],
        *[("AU", sub) for sub in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW")],
        *[("CAF", sub) for sub in ("PCM_16", "ALAC_16", "ALAC_24")],
        *[("W64", "PCM_16"), ("RF64", "PCM_16"), ("VOC", "PCM_16"), ("NIST", "PCM_16")],
        *[("IRCAM", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_of_libsndfile_decodes_as_soundfile_does(format, subtype, channels):
    content = sndfile_bytes(chord(channels=channels), SR, format, subtype)
    expected, _ = sf.read(io.BytesIO(content), dtype="float32", always_2d=True)
    recording = decode_bytes(content)
    # The last bit of libmpg123 depends on the size of its blocks.
    atol = 1e-6 if format == "MP3" else 0
    np.testing.assert_allclose(recording.y, librosa.to_mono(expected.T), rtol=0, atol=atol)
    assert recording.channels == channels
    assert recording.note is None


def with_data_size(wav: bytes, size: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:at] + struct.pack("<I", size) + wav[at + 4 :]


@pytest.mark.parametrize(
    ("format", "with_size", "size"),
    [
        *[("WAV", with_data_size, size) for size in (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)],
        *[("WAV", with_data_size, size) for size in (0xFFFFFFDB, 0xFFFFFFFF)],
        ("FLAC", flac_with_length, 0),
    ],
)
def test_a_recording_of_unknown_length_is_read_to_its_end(format, with_size, size):
    samples = chord(seconds=7)
    recording = decode_bytes(with_size(sndfile_bytes(samples, SR, format), size))
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))
    assert recording.note is None


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "AIFF", "AU", "W64", "RF64"])
@pytest.mark.parametrize("share", [0.1, 0.35, 0.5001, 0.77])
def test_the_remaining_part_of_a_truncated_recording_is_kept_with_a_note(format, share):
    samples = chord(channels=2)
    content = sndfile_bytes(samples, SR, format)
    recording = decode_bytes(content[: int(len(content) * share)])
    n = len(recording.y)
    np.testing.assert_array_equal(recording.y, librosa.to_mono((samples[:n] / np.float32(32768)).T))
    assert abs(n - share * len(samples)) < 100
    assert recording.note == (
        f"The recording ends after {n / SR:.1f} s, but its header promises 3.0 s."
    )


def test_a_few_missing_samples_give_no_note():
    assert decode_bytes(sndfile_bytes(chord())[:-1000]).note is None


def test_the_samples_that_a_compressed_wav_promises_are_in_its_header():
    content = sndfile_bytes(chord(), SR, "WAV", "IMA_ADPCM")
    recording = decode_bytes(content[: len(content) // 50])
    assert recording.note == "The recording ends after 0.1 s, but its header promises 3.0 s."


def test_a_flac_header_that_promises_a_day_reserves_no_memory():
    samples = chord()
    content = flac_with_length(sndfile_bytes(samples, SR, "FLAC"), 0x7FFFFFFF)
    tracemalloc.start()
    recording = decode_bytes(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))
    assert recording.note == "The recording ends after 3.0 s, but its header promises 97391.5 s."
    assert peak < 4 * SR * len(content) / 100 + 2e6


def test_an_mp3_of_variable_rate_without_a_count_is_read_to_its_end():
    # Loud start, then silence: the bit rate of the first frames suggests a much shorter file.
    samples = chord(44100, 20, channels=2)
    samples[44100 * 3 :] = 0
    muxing, coding = {"write_xing": "0"}, {"flags": "+qscale", "global_quality": str(2 * 118)}
    content = ffmpeg_bytes(
        samples, 44100, "mp3", "libmp3lame", muxer_options=muxing, codec_options=coding
    )
    with sf.SoundFile(io.BytesIO(content)) as file:
        assert file.frames < 10 * 44100
    recording = decode_bytes(content)
    assert 20 <= recording.duration_s < 20.2
    assert recording.note is None


def test_a_damaged_flac_is_decoded_without_the_damaged_frames():
    content = bytearray(sndfile_bytes(chord(44100, 20, channels=2), 44100, "FLAC"))
    for share in (0.25, 0.5, 0.75):
        content[int(share * len(content))] ^= 0xFF
    recording = decode_bytes(bytes(content))
    frame_s = 4096 / 44100
    assert recording.duration_s == pytest.approx(20 - 3 * frame_s, abs=0.01)
    assert recording.note == "The recording ends after 19.7 s, but its header promises 20.0 s."


def test_decoders_print_nothing_on_the_terminal(capfd):
    content = sndfile_bytes(chord(44100, channels=2), 44100, "MP3")
    damaged = bytearray(content)
    for at in np.random.default_rng(0).integers(2000, len(content), 50):
        damaged[at] ^= 0x55
    hole = content[:9000] + bytes(5000) + content[9000:]
    for bad in (content[: len(content) // 2], bytes(damaged), hole):
        try:
            decode_bytes(bad)
        except RecordingError as error:
            assert error.kind == "unreadable"  # noqa: PT017 - either outcome is valid
    assert capfd.readouterr() == ("", "")
    ctypes.CDLL(None).perror(b"C's stderr")
    assert "C's stderr" in capfd.readouterr().err
