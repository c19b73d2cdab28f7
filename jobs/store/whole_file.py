"""A file outside of any store: complete under its name, or not there."""

import contextlib
import glob
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from jobs.errors import SongmillError, UsageError

_ABANDONED_S = 3600.0


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Give the path to write to; the file gets its name, and survives, when the body ends.

    Parameters
    ----------
    path : str
        The file's name. What has it stays if the body raises.
    """
    folder, name = os.path.split(os.path.abspath(path))
    for left in Path(folder).glob(f".songmill-*-{glob.escape(name)}"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - _ABANDONED_S:
                left.unlink()
    temporary = os.path.join(folder, f".songmill-{uuid.uuid4().hex}-{name}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def check_folder(path: str) -> None:
    """See that files can be written into a folder, before there is anything to write.

    Parameters
    ----------
    path : str
        The folder, which need not be there yet.

    Raises
    ------
    UsageError
        It is a file, or below one, or its rights do not allow it.
    """
    there = os.path.abspath(path)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise UsageError(f"{path} cannot be a folder, since {there} is a file: say another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"nothing can be written into {there}: say another --out")


def write_whole(path: str, data: bytes) -> None:
    """Write ``data`` as the file ``path``, in a folder that is made where it is not there.

    Raises
    ------
    SongmillError
        The system refuses.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with whole_file(path) as temporary:
            Path(temporary).write_bytes(data)
    except OSError as error:
        raise SongmillError(f"{path} cannot be written: {error.strerror or error}") from None
