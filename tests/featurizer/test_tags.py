"""Tags, against what FFmpeg reads from the same files."""

import io
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import APIC, ID3, TALB, TDRC, TIT2, TPE1, TRCK, TXXX
from mutagen.wave import WAVE

from featurizer.errors import RecordingError
from featurizer.tags import MAX_CHARACTERS, Tags, read_tags

HOSTILE = [
    "Café / ÇA VA",
    "日本語 🎸",
    "quotes \"' ; , \\ ",
    "=cmd|' /C calc'!A0",
    "שלום \u202eabc",
    "select",
    "x" * 64,
    "Straße",
]
FORMATS = {
    "mp3": "mp3",
    "flac": "flac",
    "ogg": "vorbis",
    "opus": "libopus",
    "m4a": "aac",
    "asf": "wmav2",
    "tta": "tta",
    "wv": "wavpack",
    "aiff": "pcm_s16be",
}


def write(path: Path, codec: str, metadata: dict[str, str]) -> None:
    with av.open(str(path), "w", options={"write_id3v2": "1"}) as file:
        stream: Any = file.add_stream(codec, rate=48000)
        stream.layout = "stereo"
        stream.bit_rate = 128_000
        stream.codec_context.options = {"strict": "experimental"}
        file.metadata.update(metadata)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((2, 48000), np.float32), format="fltp", layout="stereo"
        )
        frame.rate = 48000
        resampler = av.AudioResampler(stream.format, "stereo", 48000)
        for one in resampler.resample(frame):
            file.mux(stream.encode(one))
        file.mux(stream.encode(None))


def ffmpeg_tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as file:
        of_streams = [stream.metadata for stream in file.streams]
        return {k.lower(): v for one in (*of_streams, file.metadata) for k, v in one.items()}


@pytest.mark.parametrize("suffix", FORMATS)
def test_tags_are_those_that_ffmpeg_reads(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    for i, hostile in enumerate(HOSTILE):
        given = dict.fromkeys(("title", "artist", "album", "album_artist", "genre"), hostile)
        write(path, FORMATS[suffix], {**given, "date": f"{1990 + i}-02-03", "track": f"{i + 1}/12"})
        expected = {key: " ".join(value.split()) for key, value in ffmpeg_tags(path).items()}
        found = read_tags(path)
        assert found.title == expected["title"] == hostile.strip()
        assert found.genre == expected["genre"]
        assert found.artist == (expected.get("artist") or expected["author"])
        assert found.album == expected["album"]
        assert found.album_artist == expected["album_artist"]
        assert (found.year, found.track_number) == (1990 + i, i + 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(17)", "Rock"),
        ("17", "Rock"),
        ("(4)Eurodisco", "Disco; Eurodisco"),
        ("Jazz\0Funk", "Jazz; Funk"),
        ("Rock \0Rock", "Rock"),
        ("\0 \t", None),
    ],
)
def test_genres_of_id3(text: str, expected: str | None, tmp_path: Path) -> None:
    tags = ID3()
    tags.add(mutagen.id3.TCON(encoding=3, text=text.split("\0")))
    path = tmp_path / "a.mp3"
    write(path, "mp3", {})
    tags.save(path)
    assert read_tags(path).genre == expected


@pytest.mark.parametrize(
    ("date", "year"),
    [("1959-08-17", 1959), ("1959", 1959), ("17.08.1959", 1959), ("59", None), ("0000", None)],
)
@pytest.mark.parametrize(("track", "number"), [("3/12", 3), ("03", 3), ("A1", None), ("0", None)])
def test_numbers(
    date: str, year: int | None, track: str, number: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.flac"
    write(path, "flac", {"date": date, "track": track})
    found = read_tags(path)
    assert (found.year, found.track_number) == (year, number)


def test_tags_of_wav_and_id3v1_and_texts_without_an_end() -> None:
    tagged = io.BytesIO()
    soundfile.write(tagged, np.zeros(8000), 8000, format="WAV")
    tagged.seek(0)
    wave = WAVE(tagged)
    wave.add_tags()
    long = "x" * 5000
    for frame in (TIT2(text=long), TPE1(text=["A", "B"]), TALB(text="C"), TDRC(text="2001")):
        wave.tags.add(frame)
    for frame in (TRCK(text="7"), TXXX(desc="TITLE", text="no"), APIC(data=b"0" * 10**6)):
        wave.tags.add(frame)
    tagged.seek(0)
    wave.save(tagged)
    expected = Tags("x" * MAX_CHARACTERS, "A; B", "C", None, None, 2001, 7)
    assert read_tags(tagged) == expected
    old = b"TAG" + b"So What".ljust(30) + b"Miles".ljust(30, b"\0") + b"Kind of Blue".ljust(30)
    old += b"1959" + b"comment".ljust(28, b"\0") + b"\0\x01" + bytes([8])
    assert read_tags(io.BytesIO(bytes(2000) + old)) == Tags(
        "So What", "Miles", "Kind of Blue", None, "Jazz", 1959, 1
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_tags_are_missing(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write(path, FORMATS[suffix], {"title": "T" * 40, "genre": "Jazz", "date": "1999"})
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for cut in [0, 1, 3, 10, 20, 50, 100]:
        read_tags(io.BytesIO(content[:cut]))
    for _ in range(60):
        spoiled = bytearray(content)
        for at in rng.integers(min(len(content), 500), size=8):
            spoiled[at] = rng.integers(256)
        read_tags(io.BytesIO(bytes(spoiled)))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is broken")

    with pytest.raises(RecordingError, match="the disk is broken"):
        read_tags(Broken(bytes(1000)))
    with pytest.raises(RecordingError, match="does not exist"):
        read_tags(tmp_path / "none.mp3")
