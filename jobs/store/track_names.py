"""Names of tracks: a track can also be named by the end of its path."""

import os
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError

_LISTED = 3
"""Tracks that the error for an ambiguous name lists."""


def aliases(track_id: str) -> list[str]:
    """Return the names of a track: the ends of its path, with and without its suffix.

    Examples
    --------
    >>> aliases("blues/blues.00000.wav")
    ['blues/blues.00000.wav', 'blues/blues.00000', 'blues.00000.wav', 'blues.00000']
    """
    steps = track_id.split("/")
    names: list[str] = []
    for first in range(len(steps)):
        end = "/".join(steps[first:])
        stem = os.path.splitext(end)[0]
        names += [end] if stem == end else [end, stem]
    return names


def normal_form(name: str) -> str:
    """Return a name in Unicode's normal form C, in which names are compared.

    Examples
    --------
    >>> normal_form("cafe\u0301") == "caf\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def matching_tracks(tracks: pa.ChunkedArray, name: str) -> list[int]:
    """Return the indices of the tracks that ``name`` may refer to.

    An exact match excludes all others. Names in another normal form of Unicode match if no other
    name does.

    Parameters
    ----------
    tracks : pa.ChunkedArray
        The ``track_id`` of every track.
    name : str
        A track, or the end of its path, with or without its suffix.

    Examples
    --------
    >>> tracks = pa.chunked_array([["pop/1.wav", "rock/1.wav", "rock/2.wav"]])
    >>> matching_tracks(tracks, "1"), matching_tracks(tracks, "rock/1.wav")
    ([0, 1], [1])
    """
    exact = pc.index(tracks, name).as_py()
    if exact >= 0:
        return [int(exact)]
    # Compiled code narrows the search down: every alias is a substring.
    candidates = pc.indices_nonzero(pc.match_substring(tracks, name)).to_pylist()
    found = [index for index in candidates if name in aliases(tracks[index].as_py())]
    if found or name.isascii():
        return found
    normal = pc.utf8_normalize(tracks, "NFC")
    candidates = pc.indices_nonzero(pc.match_substring(normal, normal_form(name))).to_pylist()
    return [index for index in candidates if normal_form(name) in aliases(normal[index].as_py())]


def ambiguity_error(tracks: pa.ChunkedArray, name: str, indices: list[int]) -> UsageError:
    """Return the error for a name that several tracks match."""
    listed = [repr(tracks[index].as_py()) for index in indices[:_LISTED]]
    more = " …" if len(indices) > _LISTED else ""
    return UsageError(f"{name!r} may be {', '.join(listed)}{more}: write more of its path")
