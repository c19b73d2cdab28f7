"""Globs of paths, and patterns that choose among recordings."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Patterns:
    """Choice of recordings by globs of their path below the source.

    ``*`` matches no ``/``, and ``**`` any folders. A pattern without ``/`` matches a name at any
    depth. A pattern that matches a folder stands for everything below.

    Parameters
    ----------
    include : sequence of str
        Patterns of recordings to list; all, if there are none.
    exclude : sequence of str
        Patterns of recordings to leave out.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def admit(self, track_id: str) -> bool:
        """Tell whether a recording is to be listed.

        Examples
        --------
        >>> patterns = Patterns(include=["rock"], exclude=["rock/live/**", "*.mp3"])
        >>> tracks = ["rock/1.wav", "rock/1.mp3", "rock/live/1.wav", "jazz/1.wav"]
        >>> [track for track in tracks if patterns.admit(track)]
        ['rock/1.wav']
        """
        if not self.include and not self.exclude:
            return True
        names = track_id.split("/")
        included = not self.include or any(_stands_for(one, names) for one in self.include)
        return included and not any(_stands_for(one, names) for one in self.exclude)


EVERYTHING = Patterns()


def _stands_for(pattern: str, names: list[str]) -> bool:
    """Tell whether a pattern matches a path, or a folder above it."""
    steps = pattern.rstrip("/").split("/")
    steps = complete(steps if len(steps) > 1 else ["**", *steps])
    return any(matches(steps, names[:count]) for count in range(1, len(names) + 1))


def complete(steps: list[str]) -> list[str]:
    """Return the steps of a glob; ``**`` at the end means all files below."""
    return [*steps, "*"] if steps[-1] == "**" else steps


def matches(steps: list[str], names: list[str]) -> bool:
    """Tell whether the names of a path match the steps of a glob."""
    current = frozenset([0])
    for name in names:
        current = advance(steps, current - {len(steps)}, name)
    return len(steps) in current


def advance(steps: list[str], current: frozenset[int], name: str) -> frozenset[int]:
    """Return the indices of the steps that may follow ``name``, which may match any current one."""
    following = set[int]()
    hidden = name.startswith(".")
    for first in current:
        step = first
        while steps[step] == "**":
            if not hidden:
                following.add(step)
            step += 1
        may_match = not hidden or steps[step].startswith(".")
        if may_match and (steps[step] == "*" or fnmatch.fnmatchcase(name, steps[step])):
            following.add(step + 1)
    return frozenset(following)
