"""Names of tracks: a track can also be named by the end of its path."""

import difflib
import os
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError

_LISTED = 3
"""Tracks that an error about a name lists."""

_MAX_COMPARED = 200_000
"""Tracks among which the nearest names are sought: about a second of work."""


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


def similar_tracks(tracks: pa.ChunkedArray, name: str) -> list[int]:
    """Return the indices of the tracks with ``name`` in their names, whatever its case and accents.

    Names of tracks that end in it, as for :func:`matching_tracks`, exclude all others.

    Examples
    --------
    >>> tracks = pa.chunked_array([["rock/Café 1.mp3", "rock/1.wav"]])
    >>> similar_tracks(tracks, "CAFE"), similar_tracks(tracks, "1")
    ([0], [1])
    """
    folded, name = fold(tracks), fold(pa.array([name]))[0].as_py()
    found = pc.indices_nonzero(pc.match_substring(folded, name)).to_pylist()
    return [index for index in found if name in aliases(folded[index].as_py())] or found


def nearest_names(tracks: pa.ChunkedArray, name: str) -> list[str]:
    """Return the tracks whose names are spelt most like ``name``, the nearest first.

    Examples
    --------
    >>> nearest_names(pa.chunked_array([["rock/blue moon.mp3", "rock/1.wav"]]), "bleu moon")
    ['rock/blue moon.mp3']
    """
    names = tracks.slice(0, _MAX_COMPARED).to_pylist()
    stems = [aliases(track)[-1] for track in names]
    *stems, wanted = fold(pa.array([*stems, os.path.basename(name)])).to_pylist()
    by_stem = dict(zip(stems, names, strict=True))
    return [by_stem[stem] for stem in difflib.get_close_matches(wanted, by_stem, _LISTED)]


def fold(names: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return names in lower case, without accents.

    Examples
    --------
    >>> fold(pa.array(["Café"])).to_pylist()
    ['cafe']
    """
    letters = pc.replace_substring_regex(pc.utf8_normalize(names, "NFKD"), r"\p{Mn}", "")
    return pc.utf8_lower(letters)


def unknown_error(tracks: pa.ChunkedArray, name: str, store: str) -> UsageError:
    """Return the error for a name of neither a file nor a track of ``store``."""
    near = ", ".join(map(repr, nearest_names(tracks, name)))
    remedy = f"Did you mean {near}?" if near else "Name a track by its path or a part of it"
    return UsageError(f"{name!r} is neither a track of the store {store} nor a file. {remedy}")


def ambiguity_error(tracks: pa.ChunkedArray, name: str, indices: list[int]) -> UsageError:
    """Return the error for a name that several tracks match."""
    listed = [repr(tracks[index].as_py()) for index in indices[:_LISTED]]
    more = " …" if len(indices) > _LISTED else ""
    return UsageError(f"{name!r} may be {', '.join(listed)}{more}: write more of its path")
