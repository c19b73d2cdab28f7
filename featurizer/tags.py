"""Tags of a recording: title, artist, album, album artist, genre, year and track number.

They are read by mutagen: ID3 (also in WAV, AIFF and DSF), APEv2, Vorbis comments, MP4 and ASF. The
``INFO`` chunk of WAV is not read.
"""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

from featurizer.file_access import DecoderFile, open_regular_file

MAX_CHARACTERS = 1000
"""Characters of a text that are kept. Some programs write lyrics or licences into any tag."""

SEPARATOR = "; "
"""Text between several values of a tag."""

_NAMES = {
    "title": ("title", "TIT2", "\xa9nam"),
    "artist": ("artist", "TPE1", "\xa9ART", "author"),
    "album": ("album", "TALB", "\xa9alb", "wm/albumtitle"),
    "album_artist": (
        *("albumartist", "album artist", "album_artist"),
        *("TPE2", "aART", "wm/albumartist"),
    ),
    "genre": ("genre", "TCON", "\xa9gen", "wm/genre"),
    "year": ("date", "year", "TDRC", "TDOR", "\xa9day", "wm/year"),
    "track_number": ("tracknumber", "track", "TRCK", "trkn", "wm/tracknumber"),
}
"""Names of each tag in Vorbis comments and APEv2, ID3, MP4 and ASF."""


@dataclass(frozen=True)
class Tags:
    """Tags of a recording; None where there is no such tag.

    Parameters
    ----------
    title, artist, album, album_artist, genre : str or None
        In the Unicode form NFC, without control characters. Several values have ``"; "`` between
        them.
    year : int or None [range=(1, 9999)]
        Year of the date.
    track_number : int or None [range=(1, 32767)]
        Position in the album.
    """

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    album_artist: str | None = None
    genre: str | None = None
    year: int | None = None
    track_number: int | None = None


TEXT_TAGS = ("title", "artist", "album", "album_artist", "genre")
"""Tags that can be labels or groups."""


def read_tags(source: str | os.PathLike[str] | BinaryIO) -> Tags:
    """Read the tags of a recording; a tag that is damaged is missing.

    Parameters
    ----------
    source : path or seekable binary file
        The recording.

    Returns
    -------
    Tags

    Raises
    ------
    RecordingError
        Of kind vanished, forbidden or unreadable, if the file cannot be read.

    Examples
    --------
    >>> import io
    >>> from mutagen.id3 import ID3, TCON
    >>> file, written = io.BytesIO(), ID3()
    >>> written.add(TCON(text="(8)"))
    >>> written.save(file)
    >>> read_tags(file).genre
    'Jazz'
    """
    if isinstance(source, str | os.PathLike):
        with open_regular_file(source) as opened:
            return read_tags(opened)
    file = DecoderFile(source, None)
    with file.read_errors_raised():
        found = _items(file)
    return Tags(**{field.name: _value(field.name, found) for field in fields(Tags)})


def _items(file: DecoderFile) -> dict[str, Any]:
    """Return mutagen's value of each tag, by its name in lower case."""
    import mutagen
    from mutagen.apev2 import APEv2
    from mutagen.id3 import ID3

    # ID3 may precede a stream that mutagen does not know, and APEv2 may follow any.
    for read in (mutagen.File, ID3, APEv2):
        file.seek(0)
        # mutagen raises any exception where a file is damaged.
        with contextlib.suppress(Exception):
            found = read(file)
            tags = found.tags if isinstance(found, mutagen.FileType) else found
            if tags:
                return {str(name).lower(): value for name, value in tags.items()}
    return {}


def _value(name: str, found: dict[str, Any]) -> Any:
    """Return the value of a tag."""
    for known in _NAMES[name]:
        texts = list(dict.fromkeys(filter(None, map(clean, _texts(found.get(known.lower()))))))
        if not texts:
            continue
        if name in TEXT_TAGS:
            return SEPARATOR.join(texts)[:MAX_CHARACTERS].strip()
        number = _number(name, texts[0])
        if number is not None:
            return number
    return None


def _number(name: str, text: str) -> int | None:
    """Return the year of a date, or the number of ``3/12``."""
    if name == "year":
        match = re.search(r"(?<![0-9])[0-9]{4}(?![0-9])", text)
        return int(match[0]) or None if match else None
    match = re.match(r"[0-9]{1,5}(?![0-9])", text)
    return int(match[0]) if match and 0 < int(match[0]) < 2**15 else None


def _texts(value: Any) -> list[str]:
    """Return the texts of a value of any of mutagen's types."""
    if value is None:
        return []
    genres = getattr(value, "genres", None)  # of ID3: "(17)" and "17" are numbers of a list
    if genres is not None:
        return [str(one) for one in genres]
    if hasattr(value, "text"):  # a frame of ID3
        value = value.text
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        value = [value]
    # MP4 has the number and the total of a track as a pair.
    firsts = [one[0] if isinstance(one, tuple) and one else one for one in value]
    return [
        one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in firsts
    ]


def clean(text: str) -> str:
    r"""Return text in NFC without control characters, lone surrogates and surrounding blanks.

    Examples
    --------
    >>> clean(" Cafe\u0301\0\n")
    'Café'
    """
    text = "".join(" " if unicodedata.category(one) in ("Cc", "Cs") else one for one in text)
    return " ".join(unicodedata.normalize("NFC", text).split())
