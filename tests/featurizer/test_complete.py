"""All the audio of a file is decoded, or a note says what is missing."""

import io
import re
import struct
from functools import cache

import av
import numpy as np
import pytest
import soundfile as sf
from support.audio_files import (
    SR,
    chord,
    decode_bytes,
    decode_error,
    ffmpeg_bytes,
    flac_with_length,
    lag,
    sndfile_bytes,
    snr_db,
)
from support.spoiled_files import CODECS, OGG, SECONDS, TRAILING, encoded, id3, spoiled, with_length

from featurizer.recording import SILENT


def packets_seconds(content: bytes, demuxer: str) -> float:
    """Return the duration of all packets that FFmpeg can decode, whatever the headers say."""
    seconds = 0.0
    with av.open(io.BytesIO(content), format=demuxer, metadata_errors="replace") as media:
        for packet in media.demux(media.streams.audio[0]):
            try:
                seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
            except av.error.InvalidDataError:
                continue
    return seconds


@cache
def mp3(rate: int = 44100, seconds: float = 3.0, channels: int = 1, **options: str) -> bytes:
    samples = chord(rate, seconds, channels)
    options = {"id3v2_version": "0", **options}
    return ffmpeg_bytes(samples, rate, "mp3", "libmp3lame", muxer_options=options)


@cache
def ogg(rate: int = 44100, seconds: float = 3.0, channels: int = 1, codec: str = "VORBIS") -> bytes:
    return sndfile_bytes(chord(rate, seconds, channels), rate, "OGG", codec)


@cache
def flac(rate: int = 44100, seconds: float = 3.0, channels: int = 1) -> bytes:
    return sndfile_bytes(chord(rate, seconds, channels), rate, "FLAC")


@cache
def aac(rate: int = 44100, seconds: float = 3.0, channels: int = 1) -> bytes:
    return ffmpeg_bytes(chord(rate, seconds, channels), rate, "adts", "aac")


def matroska(rate: int, seconds: float, channels: int) -> bytes:
    return ffmpeg_bytes(chord(rate, seconds, channels), rate, "matroska", "pcm_s16le")


def wav_of(size: int, content: bytes) -> bytes:
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


@pytest.mark.parametrize("codec", CODECS)
def test_a_spoiled_recording_is_decoded_as_a_whole_or_gets_a_note(codec):
    for how, content, held_s in spoiled(codec):
        # An MP4 without its index, and one with wrong offsets, cannot be decoded at all.
        if how in UNREADABLE.get(codec, ()):
            assert decode_error(content).kind == "unreadable", how
            continue
        recording = decode_bytes(content)
        seconds = recording.duration_s
        if recording.note is None:
            # The end of an Ogg stream is where its last page says.
            lost = 0.5 if codec in OGG and how == "header too short" else 0.1
            assert seconds > held_s - lost, how
            assert how != "truncated"
        else:
            assert how not in ("whole", "joined", "tag before"), recording.note
            assert f"{seconds:.1f} s" in recording.note
        # Encoders add padding, and the decoder of ADPCM plays a tag.
        assert seconds < held_s + 0.2 or codec == "wav adpcm", how


UNREADABLE = {
    "m4a": ("truncated", "tag inside"),
    "alac": ("truncated", "tag inside"),
    "m4a with index first": ("tag inside",),
    "m4a in fragments": ("tag inside",),
    # What follows the damage is lost.
    "wavpack": ("tag inside",),
    "tta": ("tag inside",),
    "amr": ("tag inside",),
}


PAIRS = {
    "flac": (flac(44100, 2, 1), flac(48000, 3, 2)),
    "flac of one rate": (flac(44100, 2), flac(44100, 3)),
    "vorbis": (ogg(44100, 2, 1), ogg(48000, 3, 2)),
    "vorbis of one rate": (ogg(44100, 2), ogg(44100, 3)),
    "opus": (ogg(48000, 2, 1, "OPUS"), ogg(48000, 3, 2, "OPUS")),
    "wav": (sndfile_bytes(chord(44100, 2)), sndfile_bytes(chord(SR, 3, 2))),
    "aiff": (sndfile_bytes(chord(44100, 2), format="AIFF"), sndfile_bytes(chord(), format="AIFF")),
    "matroska": (matroska(SR, 2, 1), matroska(44100, 3, 2)),
    "w64": (sndfile_bytes(chord(), format="W64"), sndfile_bytes(chord(44100), 44100, "W64")),
    "voc": (sndfile_bytes(chord(), format="VOC"), sndfile_bytes(chord(44100), 44100, "VOC")),
    "wav of unknown length": (
        wav_of(0xFFFFFFFF, sndfile_bytes(chord())),
        wav_of(0, sndfile_bytes(chord(44100, 2, 2), 44100)),
    ),
    "mp3 and flac": (mp3(44100, 2), flac(44100, 3)),
    "mp3 without count and wav": (
        mp3(44100, 2, write_xing="0"),
        sndfile_bytes(chord(44100, 3, 2), 44100),
    ),
    "mp3 and aac": (mp3(44100, 2), aac(48000, 3, 2)),
    "flac and mp3": (flac(44100, 2), mp3(44100, 3)),
    "flac and vorbis": (flac(44100, 2), ogg(48000, 3, 2)),
    "wav and mp3": (sndfile_bytes(chord(44100, 2)), mp3(44100, 3)),
    "wav of unknown length and flac": (wav_of(0, sndfile_bytes(chord())), flac(44100, 3)),
    "matroska and opus": (matroska(SR, 2, 1), ogg(48000, 3, 2, "OPUS")),
    "three formats": (mp3(44100, 2), flac(44100, 2) + mp3(44100, 2)),
    "very short": (flac(44100, 0.1), flac(44100, 0.01)),
    "three": (ogg(44100, 1), ogg(32000, 1) + ogg(48000, 1, 2)),
}


@pytest.mark.parametrize("codec", PAIRS)
def test_recordings_joined_in_a_file_are_decoded_one_by_one(codec):
    first, second = PAIRS[codec]
    recording = decode_bytes(first + second)
    parts = [decode_bytes(first), decode_bytes(second)]
    np.testing.assert_array_equal(recording.y, np.concatenate([part.y for part in parts]))
    assert recording.duration_s == pytest.approx(sum(part.duration_s for part in parts))
    assert recording.sample_rate == parts[0].sample_rate
    assert recording.channels == parts[0].channels
    assert recording.note is None


@pytest.mark.parametrize("i", range(len(CODECS)))
def test_recordings_of_different_formats_joined_in_a_file_are_all_decoded(i):
    recording = decode_bytes(encoded(CODECS[i]) + encoded(CODECS[i - 7]))
    # Encoders add padding.
    assert recording.duration_s == pytest.approx(2 * SECONDS, abs=0.1)
    assert recording.note is None


@pytest.mark.parametrize("encode", [mp3, aac])
@pytest.mark.parametrize(
    ("before", "after"), [((44100, 1), (44100, 2)), ((44100, 2), (48000, 2)), ((48000, 2), (SR, 1))]
)
def test_a_change_of_rate_or_channels_midway_is_followed(encode, before, after):
    first, second = (encode(rate, 2, channels) for rate, channels in (before, after))
    content = first + second
    recording = decode_bytes(content)
    demuxer = "mp3" if encode is mp3 else "aac"
    assert recording.duration_s == pytest.approx(packets_seconds(content, demuxer), abs=0.001)
    assert recording.duration_s > 3.9
    assert (recording.sample_rate, recording.channels) == before
    assert recording.note is None
    y, expected = recording.y, [decode_bytes(part).y for part in (first, second)]
    delay = lag(y, expected[0])
    assert abs(delay) < 1200
    assert snr_db(y[max(delay, 0) : 40000], expected[0][max(-delay, 0) :]) > 20
    late = y[len(y) - len(expected[1]) :]
    delay = lag(late, expected[1])
    assert abs(delay) < 4000
    assert snr_db(late[max(delay, 0) + 5000 :], expected[1][max(-delay, 0) + 5000 :]) > 20


def without_frame_count(content: bytes, how: str) -> bytes:
    at = max(content.find(b"Xing"), content.find(b"Info"))
    assert at > 0
    if how == "zero":
        return content[: at + 8] + bytes(4) + content[at + 12 :]
    return content[: at + 4] + b"\0\0\0\x0e" + content[at + 8 :]  # neither flag nor number


@pytest.mark.parametrize("how", ["zero", "absent"])
@pytest.mark.parametrize("quality", [None, "2"])
def test_a_frame_count_that_a_killed_encoder_left_empty_is_ignored(how, quality):
    samples = chord(44100, 12)
    samples[44100 * 2 :] //= 64  # the bit rate of the start says nothing about the rest
    options = {"flags": "+qscale", "global_quality": str(118 * 2)} if quality else None
    content = ffmpeg_bytes(
        samples,
        44100,
        "mp3",
        "libmp3lame",
        muxer_options={"id3v2_version": "0"},
        codec_options=options,
    )
    recording = decode_bytes(without_frame_count(content, how))
    assert 12 <= recording.duration_s < 12.2
    assert recording.note is None


@pytest.mark.parametrize(
    "between",
    [
        bytes(2048),
        b"\x55" * 700,
        id3(100_000),
        np.random.default_rng(0).bytes(500),
        b"TAG" + bytes(125),
    ],
    ids=["zeros", "junk", "tag with a picture", "noise", "old tag"],
)
@pytest.mark.parametrize("options", [{}, {"write_xing": "0"}], ids=["counted", "uncounted"])
def test_what_lies_between_two_mp3s_is_skipped(between, options):
    content = mp3(44100, 2, 1, **options) + between + mp3(44100, 3, 1, **options)
    recording = decode_bytes(content)
    assert recording.duration_s == pytest.approx(packets_seconds(content, "mp3"), abs=0.001)
    assert 4.9 < recording.duration_s < 5.2
    if b"ID3" in between or b"TAG" in between:
        assert recording.note is None


@pytest.mark.parametrize("at", [0.3, 0.9])
@pytest.mark.parametrize(
    "inside", [b"\x55" * 700, id3(30_000), bytes(9000)], ids=["junk", "tag", "zeros"]
)
def test_an_mp3_with_something_inside_a_frame_is_played_on(at, inside):
    content = mp3(seconds=6)
    cut = int(len(content) * at)
    recording = decode_bytes(content[:cut] + inside + content[cut:])
    assert 5.9 < recording.duration_s < 6.1


@pytest.mark.parametrize("n", [2048, 100_000])
def test_zeros_inside_an_mp3_are_no_damage_if_its_count_is_decoded(n):
    content = mp3()
    middle = len(content) // 2
    recording = decode_bytes(content[:middle] + bytes(n) + content[middle:])
    assert 2.95 < recording.duration_s < 3.05
    assert recording.note is None


def test_a_hole_in_a_recording_gets_a_note_with_both_lengths():
    content = mp3(seconds=8)
    begin, end = len(content) // 4, len(content) // 2
    recording = decode_bytes(content[:begin] + bytes(end - begin) + content[end:])
    assert recording.duration_s == pytest.approx(6, abs=0.1)
    assert recording.note == "The file is damaged: 6.0 s of about 8.0 s could be decoded."


@pytest.mark.parametrize(("missing", "is_kept"), [(0.3, True), (0.5, False)])
def test_most_of_a_damaged_recording_must_be_readable(missing, is_kept):
    content = bytearray(aac(seconds=6))
    # Frames are found by their headers, but their content is noise.
    at, rng = 0, np.random.default_rng(0)
    while at < len(content):
        length = (content[at + 3] & 3) << 11 | content[at + 4] << 3 | content[at + 5] >> 5
        if at > (1 - missing) * len(content):
            content[at + 7 : at + length] = rng.bytes(length - 7)
        at += length
    if is_kept:
        recording = decode_bytes(bytes(content))
        assert recording.note is not None
        assert recording.note.startswith("The file is damaged: ")
    else:
        message = decode_error(bytes(content)).message
        assert message.startswith("Only 3.0 s of about 6.")
        assert "at least 60% is needed" in message


@pytest.mark.parametrize("frames", [1, 44100, 88200])
def test_a_flac_whose_header_counts_too_few_samples_is_read_to_its_end(frames):
    content = flac(44100, 3)
    recording = decode_bytes(flac_with_length(content, frames))
    np.testing.assert_array_equal(recording.y, decode_bytes(content).y)
    assert recording.note is None


def int64_wav(samples: np.ndarray, rate: int) -> bytes:
    data = (samples.astype(np.int64) << 48).astype("<i8").tobytes()
    n = samples.shape[1]
    header = struct.pack("<HHIIHH", 1, n, rate, rate * 8 * n, 8 * n, 64)
    sizes = (struct.pack("<I", size) for size in (36 + len(data), 16, len(data)))
    return b"".join(
        [b"RIFF", next(sizes), b"WAVEfmt ", next(sizes), header, b"data", next(sizes), data]
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_64_bit_integers_are_scaled_like_the_others(channels):
    samples = chord(channels=channels)
    recording = decode_bytes(int64_wav(samples, SR))
    np.testing.assert_array_equal(recording.y, decode_bytes(sndfile_bytes(samples)).y)
    assert (recording.channels, recording.duration_s) == (channels, SECONDS)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_audio_beyond_the_length_in_a_header_is_decoded(subtype):
    content = sndfile_bytes(chord(seconds=8, channels=2), subtype=subtype)
    recording = decode_bytes(wav_of((len(content) - 44) * 3 // 8, content))
    np.testing.assert_array_equal(recording.y, decode_bytes(content).y)
    assert recording.note == (
        "The header counts 3.0 s of audio, but the file holds 8.0 s. All of it was decoded."
    )


@pytest.mark.parametrize(
    ("rate", "subtype"), [(8000, "PCM_16"), (22050, "FLOAT"), (44100, "PCM_16"), (44100, "PCM_24")]
)
@pytest.mark.parametrize("what", ["noise", "text"])
def test_what_follows_a_wav_and_is_no_audio_is_not_decoded(rate, subtype, what):
    content = sndfile_bytes(chord(rate, 2), rate, subtype=subtype)
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, 100_000).astype(np.uint8)
    letters[rng.random(len(letters)) < 0.2] = ord(" ")
    rest = {"noise": rng.bytes(100_000), "text": letters.tobytes()}[what]
    recording = decode_bytes(content + rest)
    assert recording.duration_s == 2
    assert recording.note is not None
    assert recording.note.startswith("The recording ends after 2.0 s, but the size of its file")


@pytest.mark.parametrize("size", [0, (1 << 64) - 1])
def test_an_rf64_of_unknown_length_is_read_to_its_end(size):
    content = bytearray(sndfile_bytes(chord(), SR, "RF64"))
    struct.pack_into("<Q", content, content.index(b"ds64") + 16, size)
    recording = decode_bytes(bytes(content))
    np.testing.assert_array_equal(recording.y, decode_bytes(sndfile_bytes(chord())).y)
    assert recording.note is None


@pytest.mark.parametrize("share", [0.3, 2])
def test_the_full_frames_of_a_true_audio_file_with_a_wrong_count_are_kept(share):
    content = encoded("tta")
    recording = decode_bytes(with_length("tta", share))
    n = len(recording.y)
    frame_s = 256 / 245
    assert recording.duration_s == pytest.approx(2 * frame_s, abs=0.001)
    np.testing.assert_allclose(
        recording.y[: n - 100], decode_bytes(content).y[: n - 100], atol=1e-6
    )
    assert recording.note == "The recording ends after 2.1 s, but its header promises 3.1 s."


def test_a_short_header_hides_no_recording_that_follows():
    wav, other = sndfile_bytes(chord(seconds=4)), sndfile_bytes(chord(44100, 2, 2), 44100)
    recording = decode_bytes(wav_of(SR, wav) + other)
    parts = [decode_bytes(wav).y, decode_bytes(other).y]
    np.testing.assert_array_equal(recording.y, np.concatenate(parts))
    assert recording.note is not None


@pytest.mark.parametrize("codec", ["aac", "amr"])
@pytest.mark.parametrize(("beyond", "is_noted"), [(0, False), (1, True), (6, True), (-1, True)])
def test_a_stream_without_a_length_that_ends_within_a_frame_gets_a_note(codec, beyond, is_noted):
    content = encoded(codec)
    if codec == "aac":
        at = content.index(content[:2], 3 * len(content) // 4)
    else:
        at = len(b"#!AMR\n") + 100 * 13  # frames of 4.75 kbit/s
    recording = decode_bytes(content[: at + beyond])
    assert recording.note == (
        f"The file was cut off: its last frame or page, after {recording.duration_s:.1f} s, is"
        " incomplete."
        if is_noted
        else None
    )


@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125), bytes(500)])
def test_a_flac_without_a_length_that_ends_within_a_frame_gets_a_note(tail):
    content = flac_with_length(flac(44100, 3, 2), 0)
    assert decode_bytes(content + tail).note is None
    for missing in (1, 700, len(content) // 3):
        recording = decode_bytes(content[:-missing] + tail)
        assert recording.note is not None
        assert recording.note.startswith("The file was cut off: ")


def test_an_ogg_without_a_page_that_ends_the_stream_gets_a_note():
    content = ogg()
    last = content.rindex(b"OggS")
    recording = decode_bytes(content[:last])
    assert recording.note is not None
    assert recording.note.startswith("The file was cut off: ")
    assert decode_bytes(content[: last + 27]).note is not None
    assert decode_bytes(content + b"TAG" + bytes(125)).note is None


@pytest.mark.parametrize("codec", ["mp3 without count", "mp2", "aac", "ac3", "eac3"])
@pytest.mark.parametrize("n", [0, 1000], ids=["missing", "overwritten"])
def test_damage_in_a_stream_without_a_length_gets_a_note(codec, n):
    content = encoded(codec)
    begin = len(content) // 3
    recording = decode_bytes(content[:begin] + bytes(n) + content[begin + 1000 :])
    assert recording.note is not None
    assert recording.note.startswith(f"The file is damaged: {recording.duration_s:.1f} s ")


@pytest.mark.parametrize("codec", OGG)
@pytest.mark.parametrize("page", [2, -2], ids=["first", "last"])
def test_a_damaged_page_of_ogg_at_the_start_or_end_gets_a_note(codec, page):
    content = encoded(codec)
    starts = [found.start() for found in re.finditer(b"OggS", content)] + [len(content)]
    middle = (starts[page] + starts[page + 1]) // 2
    for spoiled_bytes in (bytes(100), id3(2000)):
        recording = decode_bytes(content[:middle] + spoiled_bytes + content[middle + 100 :])
        assert recording.duration_s < SECONDS - 0.1
        assert recording.note is not None
        assert f"{recording.duration_s:.1f} s" in recording.note


def test_a_damaged_page_of_ogg_gets_a_note_where_the_header_gives_no_length():
    content = encoded("ogg flac")
    page = [found.start() for found in re.finditer(b"OggS", content)][4]
    recording = decode_bytes(content[: page + 10_000] + content[page + 40_000 :])
    assert recording.duration_s < 2
    assert recording.note is not None
    assert recording.note.startswith(f"The file is damaged: {recording.duration_s:.1f} s of ")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_a_wma_that_was_cut_gets_a_note(share):
    content = encoded("wma")
    recording = decode_bytes(content[: int(len(content) * share)])
    assert recording.note is not None
    assert recording.note.startswith(f"The recording ends after {recording.duration_s:.1f} s, but")


@pytest.mark.parametrize("codec", OGG)
def test_what_is_inserted_between_two_pages_of_ogg_is_no_damage(codec):
    content = encoded(codec)
    for start in [found.start() for found in re.finditer(b"OggS", content)][1:]:
        recording = decode_bytes(content[:start] + id3(300) + content[start:])
        assert recording.duration_s == SECONDS
        assert recording.note is None


def test_a_damaged_frame_of_amr_ends_the_recording_with_a_note():
    content = encoded("amr")
    cut = len(b"#!AMR\n") + 100 * 13 + 5
    rest = content[cut + 100 :]
    for between in (b"", np.random.default_rng(0).bytes(100), id3(100)):
        recording = decode_bytes(content[:cut] + between + rest)
        assert recording.duration_s == pytest.approx(2, abs=0.1)
        assert recording.note is not None
        assert recording.note.startswith("The file is damaged: 2.0 s of about ")
    assert "Only 1.0 s of about " in decode_error(content[: cut // 2] + rest).message


@pytest.mark.parametrize("format", ["AU", "NIST", "VOC", "W64"])
def test_the_length_in_a_header_ends_the_samples_of_formats_that_libsndfile_reads_on(format):
    content = sndfile_bytes(chord(), format=format)
    y = decode_bytes(content).y
    noise = np.random.default_rng(0).bytes(30_000)
    joined = decode_bytes(content + noise + content)
    np.testing.assert_array_equal(joined.y, np.concatenate([y, y]))
    assert joined.note is not None


@pytest.mark.parametrize("format", ["AU", "NIST", "W64"])
def test_samples_beyond_the_length_in_a_header_get_a_note_where_libsndfile_reads_on(format):
    content = sndfile_bytes(chord(), format=format)
    recording = decode_bytes(content + content[-2 * SR :])
    assert recording.duration_s == pytest.approx(SECONDS + 1, abs=0.001)
    assert recording.note == (
        "The header counts 3.0 s of audio, but the file holds 4.0 s. All of it was decoded."
    )


@pytest.mark.parametrize("n", [1000, 1001, 5000])
def test_an_mp4_is_found_behind_zeros(n):
    recording = decode_bytes(encoded("mp3 without count") + bytes(n) + encoded("m4a"))
    assert recording.duration_s == pytest.approx(2 * SECONDS, abs=0.1)


TAGGED = (
    *("wav", "wav adpcm", "w64", "aiff", "au", "caf", "voc", "nist", "flac", "vorbis"),
    *("ogg flac", "mp3", "mp3 without count", "mp2", "aac", "ac3", "m4a", "tta", "amr"),
)
ODD = {"24-bit WAV": ("WAV", "PCM_24"), "8-bit WAV": ("WAV", "PCM_U8"), "AIFF": ("AIFF", "PCM_24")}


@pytest.mark.parametrize("codec", [*TAGGED, *ODD])
def test_tags_chunks_and_padding_behind_a_recording_are_neither_audio_nor_damage(codec):
    if codec in ODD:  # an odd number of bytes, and one of padding
        content = sndfile_bytes(chord()[: SR * 2 + 1], SR, *ODD[codec])
    else:
        content = encoded(codec)
    whole = decode_bytes(content)
    for what, trailing in TRAILING.items():
        recording = decode_bytes(content + trailing)
        np.testing.assert_array_equal(recording.y, whole.y, what)
        assert recording.note is None, what


@pytest.mark.parametrize(
    ("codec", "seconds", "start_s", "is_noted"),
    [("m4a", 1.5, 0, True), ("alac", 1.5, 0, True), ("alac", 1, 1, True), ("alac", 2, 1, False)],
)
def test_the_edit_list_of_an_mp4_selects_what_is_decoded(codec, seconds, start_s, is_noted):
    whole = decode_bytes(encoded(codec)).y
    content = bytearray(encoded(codec))
    at = content.index(b"elst") + len(b"elst") + 8
    duration, start = struct.unpack_from(">II", content, at)
    edit = (int(duration * seconds / SECONDS), start + start_s * 44100)
    struct.pack_into(">II", content, at, *edit)
    recording = decode_bytes(bytes(content))
    assert recording.duration_s == pytest.approx(seconds, abs=0.1)
    y = recording.y[200:-200]  # without the filter's ends
    np.testing.assert_allclose(y, whole[start_s * SR + 200 :][: len(y)], atol=1e-6)
    assert (recording.note is not None) == is_noted


def test_an_unreadable_part_of_a_joined_recording_gets_a_note():
    good = flac(44100, 3)
    recording = decode_bytes(good + good[:200])
    assert recording.duration_s == 3
    assert recording.note is not None
    assert recording.note.startswith("1 of the 2 recordings in the file are incomplete: ")
    whole, _ = sf.read(io.BytesIO(good))
    assert len(whole) == 3 * 44100


def test_a_silent_recording_gets_a_note():
    silent = flac_with_length(sndfile_bytes(np.zeros((3 * SR, 2), np.int16), SR, "FLAC"), 4 * SR)
    notes = ["The recording ends after 3.0 s, but its header promises 4.0 s.", SILENT]
    assert decode_bytes(silent).note == " ".join(notes)
    assert decode_bytes(sndfile_bytes(np.zeros((SR, 1), np.int16))).note == SILENT
    assert decode_bytes(sndfile_bytes(np.eye(1, SR, 7, dtype=np.int16).T)).note is None
