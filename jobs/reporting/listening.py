"""Recordings that a page plays."""

import os
from collections.abc import Mapping
from pathlib import Path


def addresses(paths: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the addresses that a browser on this machine reads recordings from.

    Parameters
    ----------
    paths : mapping of str to str
        Path or address of the recording of each track.

    Returns
    -------
    dict of str to list of str
        Percent-encoded ``file:`` addresses of the tracks with a local file.

    Examples
    --------
    >>> addresses({"a": "s3://music/a.wav"})
    {}
    """
    return {
        track: [Path(path).absolute().as_uri()]
        for track, path in paths.items()
        if "://" not in path and os.path.isfile(path)
    }
