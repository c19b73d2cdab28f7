"""Names of tracks: a track is also known by the end of its path."""

import os

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import UsageError

_NAMED = 3
"""So many tracks are named where a name may mean more."""


def tails(track_id: str) -> list[str]:
    """Return the names of a track: the tails of its path, with and without its suffix.

    Examples
    --------
    >>> tails("blues/blues.00000.wav")
    ['blues/blues.00000.wav', 'blues/blues.00000', 'blues.00000.wav', 'blues.00000']
    """
    steps = track_id.split("/")
    names: list[str] = []
    for first in range(len(steps)):
        tail = "/".join(steps[first:])
        bare = os.path.splitext(tail)[0]
        names += [tail] if bare == tail else [tail, bare]
    return names


def meant(tracks: pa.ChunkedArray, name: str) -> list[int]:
    """Return the places of the tracks that a name may mean: of the one that has it, or its tail.

    Parameters
    ----------
    tracks : pa.ChunkedArray
        Of ``track_id``.
    name : str
        A track, or the end of its path, with or without its suffix.
    """
    exact = pc.index(tracks, name).as_py()
    if exact >= 0:
        return [int(exact)]
    # Only what ends so, before or after a suffix, can be it.
    may_be = pc.match_substring(tracks, name)
    places = pc.indices_nonzero(may_be).to_pylist()
    return [place for place in places if name in tails(tracks[place].as_py())]


def ambiguous(tracks: pa.ChunkedArray, name: str, places: list[int]) -> UsageError:
    """Return what says that a name may mean several tracks."""
    named = [repr(tracks[place].as_py()) for place in places[:_NAMED]]
    more = " …" if len(places) > _NAMED else ""
    return UsageError(f"{name!r} may be {', '.join(named)}{more}: write more of its path")
