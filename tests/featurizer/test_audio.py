"""Decoding, against soundfile and librosa; and what is no recording, whatever decoders guess."""

import ctypes
import errno
import io
import os
import socket
import struct
import tracemalloc
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile as sf

from featurizer import audio
from featurizer.audio import Recording, decode
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError

SR = 22050


def chord(rate: int = SR, seconds: float = 3.0, channels: int = 1) -> np.ndarray:
    """Tones with a little noise [shape=(n, channels), int16], other ones in each channel."""
    t = np.arange(round(rate * seconds)) / rate
    f = 220.0 * 1.25 ** np.arange(channels)
    y = 0.3 * np.sin(2 * np.pi * f * t[:, np.newaxis])
    y += 0.02 * np.random.default_rng(channels).standard_normal(y.shape)
    return np.round(y * 2**15).astype(np.int16)


def written(samples: np.ndarray, rate: int = SR, format: str = "WAV", subtype: str = "") -> bytes:
    """A file of libsndfile's."""
    file = io.BytesIO()
    sf.write(file, samples, rate, format=format, subtype=subtype or None)
    return file.getvalue()


def encoded(
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
    """A file of FFmpeg's [samples: shape=(n, channels), int16]."""
    target = io.BytesIO() if file is None else file
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
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


def decoded(content: bytes) -> Recording:
    return decode(io.BytesIO(content))


def failure(source: bytes | str | os.PathLike[str], **options: Deadline) -> RecordingError:
    with pytest.raises(RecordingError) as raised:
        decode(io.BytesIO(source) if isinstance(source, bytes) else source, **options)
    message = raised.value.message
    assert "\n" not in message
    assert 20 < len(message) < 300
    return raised.value


def as_librosa(path: Path) -> np.ndarray:
    """What librosa.load gives, without its imports of what Python deprecates."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    return librosa.resample(librosa.to_mono(samples.T), orig_sr=rate, target_sr=SR)


def lag(y: np.ndarray, reference: np.ndarray) -> int:
    """Samples by which y comes later than the reference."""
    n = len(y) + len(reference)
    correlation = np.fft.irfft(np.fft.rfft(y, n) * np.conj(np.fft.rfft(reference, n)), n)
    found = int(np.argmax(correlation))
    return found - n if found > n // 2 else found


def snr_db(y: np.ndarray, reference: np.ndarray) -> float:
    n = min(len(y), len(reference))
    y, reference = y[:n].astype(float), reference[:n].astype(float)
    return float(10 * np.log10(np.sum(reference**2) / (np.sum((y - reference) ** 2) + 1e-30)))


# --- what comes out ----------------------------------------------------------------------------


def test_16_bit_mono_at_22050_hz_is_exactly_its_integers():
    samples = chord(seconds=7)  # more than one block
    recording = decoded(written(samples))
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
def test_what_libsndfile_knows_is_what_it_says(format, subtype, channels):
    content = written(chord(channels=channels), SR, format, subtype)
    expected, _ = sf.read(io.BytesIO(content), dtype="float32", always_2d=True)
    recording = decoded(content)
    # libmpg123's last bit depends on how much it is asked for at a time.
    atol = 1e-6 if format == "MP3" else 0
    np.testing.assert_allclose(recording.y, librosa.to_mono(expected.T), rtol=0, atol=atol)
    assert recording.channels == channels
    assert recording.note is None


@pytest.mark.parametrize(
    ("muxer", "codec", "sample_format"),
    [
        *[("ipod", "alac", f) for f in ("s16p", "s32p")],
        *[("wv", "wavpack", f) for f in ("s16p", "s32p", "fltp")],
        *[("tta", "tta", f) for f in ("s16", "s32")],
        *[("ogg", "flac", "s16"), ("matroska", "flac", "s16"), ("matroska", "flac", "s32")],
        *[("matroska", f"pcm_{f}", None) for f in ("s16le", "s24le", "s32le", "f32le", "f64le")],
        *[("mov", f"pcm_{f}", None) for f in ("s16be", "s16le")],
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_ffmpeg_keeps_without_loss_comes_back_whole(muxer, codec, sample_format, channels):
    samples = chord(seconds=7, channels=channels)
    recording = decoded(encoded(samples, SR, muxer, codec, sample_format=sample_format))
    expected = librosa.to_mono((samples / np.float32(32768)).T)
    np.testing.assert_array_equal(recording.y, expected)
    assert (recording.sample_rate, recording.channels) == (SR, channels)
    assert recording.duration_s == 7.0
    assert recording.note is None


def test_8_bits_of_ffmpegs_are_centred_on_128():
    samples = np.repeat(np.array([[-32768], [-16384], [0], [16384]], np.int16), 3000, axis=0)
    recording = decoded(encoded(samples, SR, "mov", "pcm_u8"))
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))


@pytest.mark.parametrize(
    ("muxer", "codec", "rate"),
    [
        *[("adts", "aac", SR), ("ipod", "aac", 44100), ("matroska", "aac", 48000)],
        *[("webm", "libopus", 48000), ("ogg", "libopus", 48000), ("ac3", "ac3", 44100)],
        *[("eac3", "eac3", 48000), ("mp2", "mp2", 44100), ("mp3", "libmp3lame", 44100)],
        *[("asf", "wmav2", 44100), ("wav", "adpcm_ima_wav", SR), ("wav", "libmp3lame", 44100)],
    ],
)
def test_what_is_coded_with_loss_is_near(tmp_path, muxer, codec, rate):
    samples = chord(rate, channels=2)
    file = str(tmp_path / "asf") if muxer == "asf" else None  # the muxer goes back by name
    recording = decoded(encoded(samples, rate, muxer, codec, file=file))
    expected = decoded(written(samples, rate)).y
    assert (recording.sample_rate, recording.channels) == (rate, 2)
    assert abs(len(recording.y) - len(expected)) < 2500  # a frame or two of padding
    delay = lag(recording.y, expected)
    assert abs(delay) <= 1300  # what no header tells to leave out; WMA leaves out too much
    if muxer in ("ipod", "webm", "ogg", "mp3"):
        assert delay == 0
    assert snr_db(recording.y[max(delay, 0) :], expected[max(-delay, 0) :]) > 12


@pytest.mark.parametrize(
    "rate", [8000, 11025, 16000, 22049, 22051, 32000, 44100, 48000, 88200, 96000, 192000, 384000]
)
@pytest.mark.parametrize("seconds", [0.1, 3.3337])
def test_resampled_as_librosa_does(tmp_path, rate, seconds):
    path = tmp_path / "a.wav"
    sf.write(path, chord(rate, seconds, channels=2), rate)
    expected = as_librosa(path)
    y = decode(path).y
    assert len(y) == len(expected)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [3, 4, 6, 8, 9, 64])
def test_many_channels_are_averaged(channels):
    samples = chord(seconds=4, channels=channels)
    y = decoded(written(samples)).y
    np.testing.assert_allclose(y, samples.mean(axis=1) / 32768, rtol=0, atol=1e-6)


def test_one_channel_of_eight_is_an_eighth():
    samples = np.zeros((SR, 8), np.int16)
    samples[:, 5] = chord(seconds=1)[:, 0]
    recording = decoded(written(samples, SR, "FLAC"))
    np.testing.assert_array_equal(recording.y, samples[:, 5] / np.float32(32768) / 8)
    assert recording.channels == 8


@pytest.mark.parametrize("rate", [8000, SR, 44100])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_samples_are_a_recording(rate, frames):
    recording = decoded(written(np.full((frames, 2), 1000, np.int16), rate))
    assert len(recording.y) == int(np.ceil(frames * SR / rate))
    assert recording.duration_s == frames / rate


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_file_object_gives_what_its_path_gives(tmp_path, format):
    path = tmp_path / "recording.of.any.name"
    path.write_bytes(written(chord(44100, 5, channels=2), 44100, format))
    by_path, by_text = decode(path), decode(str(path))
    with path.open("rb") as file:
        file.seek(100)  # wherever it stands
        by_file = decode(file)
        assert not file.closed
    for other in (by_text, by_file, decoded(path.read_bytes())):
        np.testing.assert_array_equal(other.y, by_path.y)
        assert other.duration_s == by_path.duration_s


def test_ffmpegs_file_object_gives_what_its_path_gives(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(encoded(chord(channels=2), SR, "adts", "aac"))
    np.testing.assert_array_equal(decode(path).y, decoded(path.read_bytes()).y)


def test_no_descriptor_stays_open(tmp_path):
    (tmp_path / "good").write_bytes(written(chord()))
    (tmp_path / "aac").write_bytes(encoded(chord(), SR, "adts", "aac"))
    (tmp_path / "bad").write_bytes(b"RIFF    WAVE" * 10)
    before = len(os.listdir("/proc/self/fd"))
    decode(tmp_path / "good")
    decode(tmp_path / "aac")
    for name in ("bad", "."):
        failure(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_first_audio_stream_of_a_film_is_its_sound():
    samples = chord(channels=2)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as media:
        picture = media.add_stream("mpeg4", rate=25)
        picture.width = picture.height = 64
        sound = media.add_stream("pcm_s16le", rate=SR, layout="stereo")
        for _ in range(5):
            media.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        media.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "stereo")
        frame.sample_rate = SR
        media.mux(sound.encode(frame))
    y = decoded(file.getvalue()).y
    np.testing.assert_array_equal(y, librosa.to_mono((samples / np.float32(32768)).T))


# --- one recording in many formats ---------------------------------------------------------------


def test_wav_and_flac_of_one_recording_are_equal(shared_data):
    wav, flac = (decode(shared_data / "formats" / f"dubstep.{kind}") for kind in ("wav", "flac"))
    np.testing.assert_array_equal(wav.y, flac.y)
    assert wav.duration_s == flac.duration_s == 6.85


@pytest.mark.parametrize(
    ("kind", "delay", "db"),
    # Vorbis says where it starts; these MP3 and AAC do not, and begin with their encoder's delay.
    [("ogg", 0, 10), ("mp3", 288, 10), ("aac", 512, 10)],
)
def test_coded_forms_of_one_recording_are_near(shared_data, kind, delay, db):
    reference = decode(shared_data / "formats" / "dubstep.wav").y
    y = decode(shared_data / "formats" / f"dubstep.{kind}").y
    assert abs(len(y) - len(reference)) < 1000
    assert abs(lag(y, reference) - delay) <= 1
    assert snr_db(y[delay:], reference) > db


@pytest.mark.parametrize("name", ["cat_purrrr24bit.wav", "hungarian_dance_44k_stereo.ogg"])
def test_24_bits_and_44_khz_as_librosa_has_them(shared_data, name):
    path = shared_data / "formats" / name
    expected = as_librosa(path)
    recording = decode(path)
    np.testing.assert_allclose(recording.y, expected, rtol=0, atol=1e-6)
    assert (recording.sample_rate, recording.channels) == (44100, 2)


# --- lengths that headers promise, and do not ----------------------------------------------------


def with_data_size(wav: bytes, size: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:at] + struct.pack("<I", size) + wav[at + 4 :]


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF])
def test_a_wav_of_unknown_length_is_read_to_its_end(size):
    samples = chord()
    recording = decoded(with_data_size(written(samples), size))
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))
    assert recording.note is None


def test_a_wav_that_promises_more_says_so():
    samples = chord()
    recording = decoded(with_data_size(written(samples), 10 * 2 * len(samples)))
    assert len(recording.y) == len(samples)
    assert recording.note == "ends after 3.0 s of the 30.0 s that its header promises"


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "AIFF", "AU", "W64", "RF64"])
@pytest.mark.parametrize("share", [0.1, 0.35, 0.5001, 0.77])
def test_what_is_left_of_a_cut_recording_is_kept_with_a_note(format, share):
    samples = chord(channels=2)
    content = written(samples, SR, format)
    recording = decoded(content[: int(len(content) * share)])
    n = len(recording.y)
    np.testing.assert_array_equal(recording.y, librosa.to_mono((samples[:n] / np.float32(32768)).T))
    assert abs(n - share * len(samples)) < 100
    assert recording.note == f"ends after {n / SR:.1f} s of the 3.0 s that its header promises"


def test_a_moment_that_is_missing_is_not_worth_a_note():
    assert decoded(written(chord())[:-1000]).note is None


def test_no_length_is_made_up_for_what_is_cut_in_the_middle_of_a_coded_block():
    content = written(chord(), SR, "WAV", "IMA_ADPCM")
    recording = decoded(content[: len(content) // 50])
    assert 0 < recording.duration_s < 0.2
    assert recording.note is None


@pytest.fixture(scope="module")
def whole_recordings(tmp_path_factory):
    """One recording by kind."""
    samples = chord(48000, channels=2)
    return {
        "flac": written(samples, 48000, "FLAC"),
        "mp3": written(samples, 48000, "MP3"),
        "ogg": written(samples, 48000, "OGG"),
        "aac": encoded(samples, 48000, "adts", "aac"),
        "m4a": encoded(
            samples,
            48000,
            "ipod",
            "aac",
            file=str(tmp_path_factory.mktemp("m4a") / "a"),  # the muxer reads again what it wrote
            muxer_options={"movflags": "faststart"},
        ),
        "webm": encoded(samples, 48000, "webm", "libopus"),
    }


@pytest.mark.parametrize("share", np.linspace(0.1, 0.95, 18))
@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "aac", "m4a", "webm"])
def test_a_cut_recording_is_a_failure_or_a_shorter_recording(whole_recordings, kind, share):
    whole = whole_recordings[kind]
    reference = decoded(whole).y
    cut = whole[: int(len(whole) * share)]
    try:
        recording = decoded(cut)
    except RecordingError as error:
        assert error.kind in ("unreadable", "empty")  # noqa: PT017 - most cuts are no failure
        assert kind in ("flac", "aac", "m4a") or share < 0.4  # noqa: PT017
        if "gave up" in error.message:
            said = float(error.message.split("gave up after ")[1].split(" s")[0])
            assert abs(said - 3 * share) < 0.5
    else:
        assert kind in ("mp3", "ogg", "webm", "aac", "m4a")
        assert len(recording.y) < len(reference)
        n = min(len(recording.y), len(reference)) - 4000  # the last frames overlap with nothing
        if n > 0:
            np.testing.assert_allclose(recording.y[:n], reference[:n], rtol=0, atol=1e-4)
        if kind in ("mp3", "webm") and share < 0.9:
            assert recording.note is not None
            assert recording.note.endswith("of the 3.0 s that its header promises")


def flac_with_length(flac: bytes, frames: int) -> bytes:
    # STREAMINFO's 36 bits of total samples end at byte 26 of the file.
    return flac[:21] + bytes([flac[21] & 0xF0]) + struct.pack(">I", frames) + flac[26:]


def test_a_flac_stream_of_unknown_length_is_read_to_its_end():
    samples = chord(seconds=7)
    recording = decoded(flac_with_length(written(samples, SR, "FLAC"), 0))
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))
    assert recording.note is None


def test_a_flac_that_promises_a_day_is_not_believed_and_reserves_no_memory():
    samples = chord()
    content = flac_with_length(written(samples, SR, "FLAC"), 0x7FFFFFFF)
    tracemalloc.start()
    recording = decoded(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(recording.y, samples[:, 0] / np.float32(32768))
    assert recording.note == "ends after 3.0 s of the 97391.5 s that its header promises"
    assert peak < 4 * SR * len(content) / 100 + 2e6


@pytest.mark.parametrize(("rate", "channels"), [(SR, 1), (SR, 2), (44100, 2), (8000, 256)])
def test_the_result_and_a_few_blocks_is_all_that_is_held(tmp_path, rate, channels):
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros((rate * 240 // channels, channels), np.int16), rate)
    decode(path)
    tracemalloc.start()
    recording = decode(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < recording.y.nbytes + 4e6


def test_an_mp3_of_variable_rate_without_a_count_is_read_to_its_end():
    # A loud start and a silent rest: by its first frames' bitrate it would be much shorter.
    samples = chord(44100, 20, channels=2)
    samples[44100 * 3 :] = 0
    content = encoded(
        samples,
        44100,
        "mp3",
        "libmp3lame",
        muxer_options={"write_xing": "0"},
        codec_options={"flags": "+qscale", "global_quality": str(2 * 118)},
    )
    with sf.SoundFile(io.BytesIO(content)) as file:
        assert file.frames < 10 * 44100
    recording = decoded(content)
    assert 20 <= recording.duration_s < 20.2
    assert recording.note is None


@pytest.mark.parametrize(
    "tail", [b"TAG" + bytes(125), b"LIST\x10\0\0\0" + bytes(16), bytes(3000), b"\x55" * 777]
)
@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "OGG", "MP3", "wv", "adts", "ipod"])
def test_what_follows_a_whole_recording_does_no_harm(format, tail):
    samples = chord(channels=2)
    if format.isupper():
        content = written(samples, SR, format)
    else:
        content = encoded(samples, SR, format, {"wv": "wavpack"}.get(format, "aac"))
    recording = decoded(content + tail)
    np.testing.assert_array_equal(recording.y, decoded(content).y)
    assert recording.note is None


def test_a_large_tag_or_a_cut_frame_before_an_mp3_does_no_harm():
    content = written(chord(channels=2), SR, "MP3")
    tag = b"ID3\x03\0\0" + bytes(300_000 >> s & 127 for s in (21, 14, 7, 0)) + bytes(300_000)
    whole = decoded(content)
    np.testing.assert_array_equal(decoded(tag + content).y, whole.y)
    for before in (b"\x55" * 300, tag + tag, content[-301:]):
        recording = decoded(before + content)
        assert abs(recording.duration_s - whole.duration_s) < 0.1
        assert recording.note is None


# --- what is no recording ------------------------------------------------------------------------


def test_a_vanished_file(tmp_path):
    assert failure(tmp_path / "nowhere.wav").kind == "vanished"
    (tmp_path / "file").touch()
    assert failure(tmp_path / "file" / "below.wav").kind == "vanished"


def test_a_dangling_link(tmp_path):
    (tmp_path / "link.wav").symlink_to(tmp_path / "target.wav")
    error = failure(tmp_path / "link.wav")
    assert error.kind == "vanished"
    assert "link whose target is not there" in error.message


def test_a_link_to_a_recording_is_a_recording(tmp_path):
    (tmp_path / "a.wav").write_bytes(written(chord()))
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert decode(tmp_path / "b.wav").duration_s == 3.0


def test_a_link_to_itself(tmp_path):
    (tmp_path / "a.wav").symlink_to("a.wav")
    assert failure(tmp_path / "a.wav").kind == "unreadable"


def test_a_forbidden_file(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "a.wav").write_bytes(written(chord()))
    (tmp_path / "a.wav").chmod(0)
    assert failure(tmp_path / "a.wav").kind == "forbidden"


def test_what_is_no_file_is_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.wav")
    error = failure(tmp_path / "pipe.wav")
    assert (error.kind, "named pipe" in error.message) == ("unreadable", True)
    error = failure(tmp_path)
    assert (error.kind, "folder" in error.message) == ("unreadable", True)
    error = failure("/dev/zero")
    assert (error.kind, "device" in error.message) == ("unreadable", True)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's whole path may have some hundred bytes only
        server.bind("socket.wav")
        error = failure("socket.wav")
    assert (error.kind, "socket" in error.message) == ("unreadable", True)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.wav")
    regular = os.stat(__file__)
    monkeypatch.setattr(os, "stat", lambda path, **_: regular)
    error = failure(tmp_path / "pipe.wav")
    assert (error.kind, "named pipe" in error.message) == ("unreadable", True)


class Storage(io.BytesIO):
    """Storage that fails after some bytes."""

    def __init__(self, content: bytes, after: int, error: Exception) -> None:
        super().__init__(content)
        self.left, self.error = after, error

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise self.error
        return content


@pytest.mark.parametrize("codec", ["", "aac"])
@pytest.mark.parametrize("after", [0, 70_000, 100_000])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "no such key"), "vanished"),
        (PermissionError(errno.EACCES, "access denied"), "forbidden"),
        (OSError(errno.EIO, "Input/output error"), "unreadable"),
    ],
)
def test_storage_that_fails_is_told_apart_from_a_bad_file(codec, after, error, kind, capfd):
    samples = chord(seconds=8, channels=2)
    content = encoded(samples, SR, "adts", codec) if codec else written(samples)
    with pytest.raises(RecordingError) as raised:
        decode(Storage(content, after, error))
    assert raised.value.kind == kind
    assert raised.value.__cause__ is error
    assert capfd.readouterr() == ("", "")


def test_a_fault_of_the_storages_own_is_not_the_recordings():
    with pytest.raises(ZeroDivisionError):
        decode(Storage(written(chord()), 70_000, ZeroDivisionError()))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        written(np.zeros((0, 2), np.int16)),
        written(np.zeros((0, 2), np.int16), SR, "AIFF"),
        written(np.zeros((0, 1), np.int16), SR, "AU"),
        written(chord())[:45],  # half a sample
    ],
)
def test_no_bytes_or_no_samples_are_empty(content):
    assert failure(content).kind == "empty"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("rate", "channels"), [(SR, 1), (44100, 1), (44100, 2)])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_the_first_sample_that_is_no_number_is_named(bad, rate, channels, subtype):
    samples = np.zeros((5 * rate, channels))
    samples[round(4.321 * rate) :, -1] = bad
    error = failure(written(samples, rate, "WAV", subtype))
    assert error.kind == "not-finite"
    assert "4.321 s" in error.message
    assert str(bad) in error.message


def test_numbers_beyond_float32_are_not_finite():
    assert failure(written(np.full((100, 1), 1e300), SR, "WAV", "DOUBLE")).kind == "not-finite"
    assert failure(written(np.full((100, 2), 3e38), SR, "WAV", "FLOAT")).kind == "not-finite"


def test_longer_than_four_hours_is_known_from_the_header(monkeypatch):
    samples = np.zeros((1000 * (4 * 3600 + 36), 1), np.int16)
    content = written(samples, 1000, "WAV", "PCM_U8")
    monkeypatch.setattr(audio, "_Signal", None)  # nothing is decoded
    error = failure(content)
    assert error.kind == "too-long"
    assert "4.01 hours" in error.message
    assert "4 hours" in error.message


@pytest.mark.parametrize("kind", ["flac", "aac"])
def test_longer_than_the_limit_is_found_while_decoding(monkeypatch, kind):
    monkeypatch.setattr(audio, "MAX_HOURS", 10 / 3600)
    samples = chord(seconds=20)
    if kind == "flac":
        content = flac_with_length(written(samples, SR, "FLAC"), 0)
    else:
        content = encoded(samples, SR, "adts", "aac")
    assert failure(content).kind == "too-long"
    monkeypatch.setattr(audio, "MAX_HOURS", 21 / 3600)
    assert decoded(content).duration_s > 19.9


def test_a_deadline_is_checked_in_every_block():
    class Counting:
        count = 0

        def check(self) -> None:
            self.count += 1

    class Impatient(Counting):
        def check(self) -> None:
            super().check()
            if self.count > 5:
                raise RecordingError("timeout", "six checks are too many for this one")

    patient, content = Counting(), written(chord(seconds=60))
    decode(io.BytesIO(content), deadline=patient)
    assert patient.count >= 60 * SR / 2**16
    assert failure(content, deadline=Impatient()).kind == "timeout"
    assert failure(encoded(chord(seconds=20), SR, "adts", "aac"), deadline=Deadline(1e-9)).kind == (
        "timeout"
    )


def test_a_deadline_holds_while_a_recording_is_opened():
    content = b"#!AMR\n" + bytes(range(256)) * 10
    assert failure(content).kind == "unreadable"
    assert failure(content, deadline=Deadline(1e-9)).kind == "timeout"


def test_a_headers_absurd_rate_is_refused_before_it_costs_memory():
    error = failure(written(np.zeros((44100, 1), np.int16), 4))
    assert error.kind == "unreadable"
    assert "4 samples a second" in error.message


def test_a_rate_that_changes_midway_is_refused():
    content = b"".join(
        encoded(chord(rate, channels=2), rate, "adts", "aac") for rate in (SR, 44100)
    )
    error = failure(content)
    assert error.kind == "unreadable"
    assert "from 22050 to 44100 Hz after 3.1 s" in error.message


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_channels_that_change_midway_are_averaged_all_the_same(order):
    parts = [encoded(chord(channels=n), SR, "adts", "aac") for n in order]
    y = decoded(b"".join(parts)).y
    first, second = (decoded(part).y for part in parts)
    assert len(y) == len(first) + len(second)
    # Not exactly: the noise that this coding leaves to the decoder goes on, and windows overlap.
    assert snr_db(y[: len(first) - 2048], first) > 20
    assert snr_db(y[len(first) + 2048 :], second[2048:]) > 20


def test_a_damaged_flac_is_a_failure_that_says_how_far_it_got():
    content = bytearray(written(chord(44100, 20, channels=2), 44100, "FLAC"))
    for at in range(len(content) * 3 // 4, len(content) * 3 // 4 + 50):
        content[at] ^= 0xFF
    error = failure(bytes(content))
    assert error.kind == "unreadable"
    said = float(error.message.split("gave up after ")[1].split(" s")[0])
    assert 13 < said < 16


def test_a_film_without_sound_is_unreadable():
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as media:
        picture = media.add_stream("mpeg4", rate=25)
        picture.width = picture.height = 64
        media.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        media.mux(picture.encode(None))
    error = failure(file.getvalue())
    assert error.kind == "unreadable"
    assert "no sound" in error.message


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


MP3 = written(chord(), SR, "MP3")


@pytest.mark.parametrize(
    "content",
    [
        b"These are the notes of the session.\n" * 500,
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 50,
        b"[Script Info]\nTitle: subtitles\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,a\n" * 50,
        b"[00:01.00]a line of a song\n[00:02.00]and another\n" * 50,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        picture("png"),
        picture("mjpeg"),
        b"PK\x03\x04" + bytes(22) + b"\x08\0\0\0song.mp3" + MP3,
        b"%PDF-1.7\n" + MP3,
        b"\x7fELF\x02\x01\x01" + bytes(5000),
        b"GIF89a" + bytes(5000),
        bytes(100_000),
        b"\xff" * 100_000,
        b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100),
        b"RIFF\x24\0\0\0AVI LIST" + bytes(100),
        b"OggS" + bytes(1000),
        b"fLaC" + bytes(1000),
        b"\x01\x04name" + bytes(10_000),  # libsndfile takes two bytes for an Akai sampler's
        b"\0\0\0\x18ftypheic" + bytes(1000),
        b"RIFF",
        b"\0",
    ],
)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".raw", ".au", ".gsm", ".vox"])
def test_other_files_are_unreadable_whatever_their_name(tmp_path, content, suffix, capfd):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert failure(path).kind == "unreadable"
    assert capfd.readouterr() == ("", "")


def test_random_bytes_are_unreadable():
    starts = [b"", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"\x0b\x77", b"\xff\xff", b"\x01\x04"]
    sizes = [1, 3, 10, 44, 300, 2000, 20_000, 100_000]
    for seed in range(2000):
        content = np.random.default_rng(seed).bytes(sizes[seed % len(sizes)])
        assert failure(starts[seed % len(starts)] + content).kind == "unreadable"


# libmpg123 plays nearly every one of these as layer I of MPEG audio, at 100 bytes a frame and up.
@pytest.mark.parametrize("loudness", [0.6, 1, 2, 10, 100, 3000])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "i1"])
def test_samples_without_a_header_are_unreadable(loudness, dtype, capfd):
    for seed in range(30):
        noise = np.random.default_rng(seed).standard_normal(30_000)
        tone = np.sin(2 * np.pi * 441 / SR * np.arange(30_000))
        for y in (noise, np.round(tone)):
            samples = np.clip(np.round(loudness * y), -128, 127) if dtype == "i1" else loudness * y
            content = samples.astype(dtype).tobytes()
            for start in (b"", b"\xff\xff", b"\xff\xfb"):
                assert failure(start + content).kind == "unreadable"
    assert capfd.readouterr() == ("", "")


def test_gtzans_broken_file_is_unreadable(shared_data):
    error = failure(shared_data / "gtzan/genres_original/jazz/jazz.00054.wav")
    assert error.kind == "unreadable"
    assert "1,207,592 bytes begin with cb 15 1e 16" in error.message


def test_decoders_say_nothing_on_the_terminal(capfd):
    content = written(chord(44100, channels=2), 44100, "MP3")
    damaged = bytearray(content)
    for at in np.random.default_rng(0).integers(2000, len(content), 50):
        damaged[at] ^= 0x55
    hole = content[:9000] + bytes(5000) + content[9000:]
    for bad in (content[: len(content) // 2], bytes(damaged), hole):
        try:
            decoded(bad)
        except RecordingError as error:
            assert error.kind == "unreadable"  # noqa: PT017 - each may fail or not
    assert capfd.readouterr() == ("", "")
    ctypes.CDLL(None).perror(b"C's stderr")
    assert "C's stderr" in capfd.readouterr().err


def test_damage_anywhere_is_a_failure_or_a_recording():
    samples = chord(44100, 0.5, channels=2)
    kinds = [written(samples, 44100, f) for f in ("WAV", "AIFF", "AU", "FLAC", "OGG", "MP3", "CAF")]
    kinds += [
        encoded(samples, 44100, muxer, codec)
        for muxer, codec in [
            ("adts", "aac"),
            ("ipod", "aac"),
            ("matroska", "flac"),
            ("wv", "wavpack"),
        ]
    ]
    rng = np.random.default_rng(0)
    for content in kinds:
        for among in (64, 64, 400, 400, len(content)) * 8:
            damaged = bytearray(content)
            for at in rng.integers(0, among, rng.integers(1, 5)):
                damaged[at] = rng.integers(256)
            try:
                recording = decoded(bytes(damaged))
            except RecordingError as error:
                assert error.kind in ("unreadable", "empty", "not-finite", "too-long")  # noqa: PT017 - each may fail or not
            else:
                assert np.isfinite(recording.y).all()
                assert len(recording.y) > 0
