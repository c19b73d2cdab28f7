"""The demo collection: short recordings of a few styles, played by this module and by no one else.

The table `STYLES` says what there is: each style has a metre, scales and chord progressions, and
two artists; each artist has ranges of tempo, brightness, density, echo and loudness, and parts. A
part is a musical idea (`beat`, `comp`, `bass`, `walk`, `arpeggio`, `melody`) played on one of
`jobs.demo.instruments`. A clip draws its song from its artist's ranges with a generator of its own,
seeded by the style's name and the clip's number, so it is the same whenever and in whatever order
it is made: to the byte with the same numpy, scipy and libsndfile on the same kind of processor.

The collection also holds what collections hold: several formats and sample rates, one recording
twice under two labels, one file that is no recording.
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
"""Raised whenever a file of the collection comes out differently."""

TRACKS_PER_STYLE = 8


# The song: what its parts agree on


# The musical ideas. Each is asked for with what it plays and how, and gives a function from a song
# to that part of it, samples [shape=(n,)]. A pattern is a bar in as many equal places as it has
# letters:
#   x  a loud note    o  a soft note    ?  a soft note or none, by the song's density    .  none


# The table of styles


# From the table to a recording


# What the collection holds, and how it is written

Form = Literal["wav", "stereo", "flac", "ogg"]

SUFFIXES: dict[Form, str] = {"wav": "wav", "stereo": "wav", "flac": "flac", "ogg": "ogg"}

FORMS: tuple[Form, ...] = (
    ("wav",) * 4 + ("flac",) + ("wav",) * 3 + ("stereo",) + ("wav",) * 3 + ("ogg",)
)
"""Forms of the tracks, in turn: a prime number of them, so that no artist or place keeps one."""

TWIN, ORIGINAL = ("folk", 7), ("nocturne", 3)
"""One recording under two labels: the first is the second's, in another form."""

ROTTEN = ("swing", TRACKS_PER_STYLE)
"""The track that is no recording."""

ROTTEN_TEXT = b"This is a line of text that somebody saved with the suffix of a recording.\n"

LABELS = "labels.csv"
MARKER = ".synthesis.json"  # {"version": VERSION, "files": {name: digest of its bytes}}


@dataclass(frozen=True)
class Track:
    """One file of the collection.

    Attributes
    ----------
    track_id : str
        Its path below the folder, with ``/``.
    label : str
        The style whose folder it lies in.
    style : Style
        The style that is played: the label's, but for the twin.
    number : int
        Which of the style's songs is played.
    form : Form or None
        How it is written: "wav" is 22.05 kHz mono of 16 bits, "stereo" the same at 44.1 kHz with
        two channels, "flac" and "ogg" (Vorbis) 22.05 kHz mono; None for the rotten one.
    """

    track_id: str
    label: str
    style: Style
    number: int
    form: Form | None

    @property
    def artist(self) -> str:
        """Name of who plays."""
        return self.style.artist(self.number).name


def collection() -> tuple[Track, ...]:
    """Every file of the collection that passes for a recording, in the order it is made."""
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
    label, number = ROTTEN
    name = f"{label}/{label}.{number:02d}.wav"
    return (*tracks, Track(name, label, styles[label], number, None))


def labels(tracks: tuple[Track, ...]) -> bytes:
    """Give the table of labels: comma-separated, with a header, a line for each track."""
    lines = ["track_id,label,artist"]
    lines += [f"{track.track_id},{track.label},{track.artist}" for track in tracks]
    return ("\n".join(lines) + "\n").encode()


def encode(track: Track) -> bytes:
    """Perform a track and give the bytes of its file."""
    if track.form is None:
        return ROTTEN_TEXT
    y, sr = perform(track.style, track.number), SR
    if track.form == "stereo":
        y, sr = widened(scipy.signal.resample_poly(y, 2, 1)), 2 * SR
    # Rounded here, for each of libsndfile's encoders rounds in its own way, and twins are equal.
    pcm = np.round(y * 32767).astype(np.int16)
    container = SUFFIXES[track.form]
    subtype = "VORBIS" if container == "ogg" else "PCM_16"
    file = io.BytesIO()
    soundfile.write(file, pcm, sr, format=container, subtype=subtype)
    return renumbered(file.getvalue()) if container == "ogg" else file.getvalue()


def widened(y: Samples) -> Samples:
    """Two channels whose mean is `y`, and whose difference is `y` a little later [shape=(n, 2)].

    H. Lauridsen's pseudo-stereo: M. R. Schroeder, "An Artificial Stereophonic Effect Obtained from
    a Single Audio Signal", J. Audio Eng. Soc. 6 (1958).
    """
    side = np.zeros_like(y)
    late = round(0.011 * 2 * SR)
    side[late:] = 0.15 * y[:-late]
    return np.stack([y + side, y - side], axis=1)


def renumbered(ogg: bytes) -> bytes:
    """Give an Ogg stream the serial number 0 in place of the random one its encoder drew.

    Each page holds the serial number and a checksum that covers it: RFC 3533, section 6. The
    checksum is zlib's polynomial with the bits of each byte the other way round, and without
    zlib's first and last inversion.
    """
    flipped = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    pages = bytearray(ogg)
    start = 0
    while start < len(pages):
        segments = pages[start + 26]
        lacing = pages[start + 27 : start + 27 + segments]
        end = start + 27 + segments + sum(lacing)
        pages[start + 14 : start + 18] = bytes(4)  # the serial number
        pages[start + 22 : start + 26] = bytes(4)  # the checksum counts as zero in its own sum
        crc = zlib.crc32(pages[start:end].translate(flipped), 0xFFFFFFFF) ^ 0xFFFFFFFF
        pages[start + 22 : start + 26] = crc.to_bytes(4, "big").translate(flipped)
        start = end
    return bytes(pages)


def synthesise(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Make the demo collection, or what is missing of it.

    Writes ``<style>/<style>.<number>.<suffix>`` for each track, `labels.csv` (columns track_id,
    label, artist; a row for the rotten track too) and the marker `.synthesis.json`, all below
    `folder`, which is made. A file that is there with the bytes this version wrote is left alone;
    any other of the collection's names is written anew, beside its place first and then moved in.
    Files of other names are never touched. Killed at any moment, it can be called again.

    Parameters
    ----------
    folder : Path
        Where the collection lies.
    progress : Callable, optional
        Called after each file with the number of files done and of all files.

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    tracks = collection()
    files = {track.track_id: partial(encode, track) for track in tracks}
    files[LABELS] = partial(labels, tracks)

    made = _made(folder)
    for done, (name, contents) in enumerate(files.items(), start=1):
        path = folder / name
        if name not in made or not path.is_file() or _digest(path.read_bytes()) != made[name]:
            data = contents()
            _put(path, data)
            made[name] = _digest(data)
            # After each file, so that a run that is killed loses one file's work and no more.
            _put(folder / MARKER, json.dumps({"version": VERSION, "files": made}).encode())
        if progress is not None:
            progress(done, len(files))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _made(folder: Path) -> dict[str, str]:
    """Digests of the files that this version wrote into `folder`, by name."""
    try:
        marker = json.loads((folder / MARKER).read_bytes())
        return dict(marker["files"]) if marker["version"] == VERSION else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _put(path: Path, data: bytes) -> None:
    """Write a file so that under its name there is all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(data)
    os.replace(beside, path)
