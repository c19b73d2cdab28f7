"""The demo collection: short synthetic recordings of a few styles.

Each recording draws its song from the ranges of its artist (:data:`jobs.demo.styles.STYLES`) with
its own generator, which is seeded by the style's name and the track's number. The order of
recordings therefore does not matter. Files are equal to the byte with the same numpy, scipy and
libsndfile on the same kind of processor.

The collection has the irregularities of real ones: several formats and sample rates, one recording
under two labels, one corrupt file.
"""

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.signal
import soundfile

from jobs.demo.instruments import SR, Samples
from jobs.demo.songs import Style, perform
from jobs.demo.styles import STYLES

VERSION = 1
"""Version of the files; to be increased when any of them changes."""

TRACKS_PER_STYLE = 8

Form = Literal["wav", "stereo", "flac", "ogg"]
"""Audio format. "stereo" is a WAV of 44.1 kHz with two channels; the others are 22.05 kHz mono."""

SUFFIXES: dict[Form, str] = {"wav": "wav", "stereo": "wav", "flac": "flac", "ogg": "ogg"}

FORMS: tuple[Form, ...] = (
    ("wav",) * 4 + ("flac",) + ("wav",) * 3 + ("stereo",) + ("wav",) * 3 + ("ogg",)
)
"""Forms of the tracks, in turn; their number is prime, so that no artist has only one of them."""

TWIN, ORIGINAL = ("folk", 7), ("nocturne", 3)
"""One recording under two labels, in two forms. The music is that of the second."""

CORRUPT = ("swing", TRACKS_PER_STYLE)
"""The track that is not a recording."""

CORRUPT_BYTES = b"This is a line of text that somebody saved with the suffix of a recording.\n"

LABELS = "labels.csv"

MARKER = ".synthesis.json"
"""File of the version and the digests: ``{"version": VERSION, "files": {name: digest}}``."""


@dataclass(frozen=True)
class Track:
    """One file of the collection."""

    track_id: str  # path below the folder, with "/"
    label: str  # name of the folder
    style: Style  # style of the music: that of the label, except for the twin
    number: int  # number of the song in the style
    form: Form | None  # None for the corrupt file

    @property
    def artist(self) -> str:
        """Name of the artist."""
        return self.style.artist(self.number).name


def list_tracks() -> tuple[Track, ...]:
    """Return the tracks of the collection, in the order in which they are written."""
    styles = {style.name: style for style in STYLES}
    tracks: list[Track] = []
    for style in STYLES:
        for number in range(TRACKS_PER_STYLE):
            form = FORMS[len(tracks) % len(FORMS)]
            source, song = style, number
            if (style.name, number) == TWIN:
                source, song, form = styles[ORIGINAL[0]], ORIGINAL[1], "flac"
            name = f"{style.name}/{style.name}.{number:02d}.{SUFFIXES[form]}"
            tracks.append(Track(name, style.name, source, song, form))
    label, number = CORRUPT
    name = f"{label}/{label}.{number:02d}.wav"
    return (*tracks, Track(name, label, styles[label], number, None))


def encode(track: Track) -> bytes:
    """Return the content of a track's file."""
    if track.form is None:
        return CORRUPT_BYTES
    y, sr = perform(track.style, track.number), SR
    if track.form == "stereo":
        y, sr = to_stereo(scipy.signal.resample_poly(y, 2, 1)), 2 * SR
    # libsndfile's encoders round differently, and twins must be equal.
    pcm = np.round(y * 32767).astype(np.int16)
    container = SUFFIXES[track.form]
    subtype = "VORBIS" if container == "ogg" else "PCM_16"
    file = io.BytesIO()
    soundfile.write(file, pcm, sr, format=container, subtype=subtype)
    return without_serial_number(file.getvalue()) if container == "ogg" else file.getvalue()


def to_stereo(y: Samples) -> Samples:
    """Return two channels with the mean `y`; their difference is a delayed `y` [shape=(n, 2)].

    H. Lauridsen's pseudo-stereo: M. R. Schroeder, "An Artificial Stereophonic Effect Obtained from
    a Single Audio Signal", J. Audio Eng. Soc. 6 (1958).
    """
    side = np.zeros_like(y)
    delay = round(0.011 * 2 * SR)
    side[delay:] = 0.15 * y[:-delay]
    return np.stack([y + side, y - side], axis=1)


def without_serial_number(ogg: bytes) -> bytes:
    """Replace the random serial number of an Ogg stream by 0.

    Each page contains the serial number and a checksum: RFC 3533, section 6. The checksum has
    zlib's polynomial, with the bits of each byte reversed and without the inversions at both ends.
    """
    flipped = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    pages = bytearray(ogg)
    start = 0
    while start < len(pages):
        segments = pages[start + 26]
        lacing = pages[start + 27 : start + 27 + segments]
        end = start + 27 + segments + sum(lacing)
        pages[start + 14 : start + 18] = bytes(4)  # the serial number
        pages[start + 22 : start + 26] = bytes(4)  # zeros while the checksum is computed
        crc = zlib.crc32(pages[start:end].translate(flipped), 0xFFFFFFFF) ^ 0xFFFFFFFF
        pages[start + 22 : start + 26] = crc.to_bytes(4, "big").translate(flipped)
        start = end
    return bytes(pages)


def synthesise(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the demo collection, or its missing files.

    The files are ``<style>/<style>.<number>.<suffix>`` for each track, `labels.csv` (columns
    track_id, label, artist) and the marker `.synthesis.json`. Files with the expected content are
    kept; damaged ones are written again, atomically. Files with other names are never touched.
    After a kill, the same call resumes.

    Parameters
    ----------
    folder : Path
        Folder of the collection. It need not exist yet.
    progress : Callable, optional
        Called after each file with the number of finished files and of all files.

    Raises
    ------
    OSError
        The folder cannot be created or written.
    """
    tracks = list_tracks()
    rows = [f"{track.track_id},{track.label},{track.artist}\n" for track in tracks]
    table = "".join(["track_id,label,artist\n", *rows]).encode()
    files: dict[str, Callable[[], bytes]] = {t.track_id: partial(encode, t) for t in tracks}
    files[LABELS] = lambda: table
    digests = _read_digests(folder)
    for done, (name, contents) in enumerate(files.items(), start=1):
        path = folder / name
        if not path.is_file() or _digest(path.read_bytes()) != digests.get(name):
            data = contents()
            _write(path, data)
            digests[name] = _digest(data)
            # After each file: a killed run loses the work of one file only.
            _write(folder / MARKER, json.dumps({"version": VERSION, "files": digests}).encode())
        if progress is not None:
            progress(done, len(files))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read_digests(folder: Path) -> dict[str, str]:
    """Return the digests of the files that this version has written, by name."""
    try:
        marker = json.loads((folder / MARKER).read_bytes())
        return dict(marker["files"]) if marker["version"] == VERSION else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    os.replace(temporary, path)
