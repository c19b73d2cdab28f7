"""Atomic writes to a file system: a file appears complete under its name, or not at all."""

import contextlib
import errno
import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from jobs.errors import SongmillError, UsageError

_ABANDONED_S = 3600.0
"""Age in seconds from which a temporary file belongs to a process that died."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems without hard links: FAT, some network and FUSE ones."""


@contextlib.contextmanager
def atomic_write(
    path: str, *, temporary: str | None = None, durable: bool = True, exclusive: bool = False
) -> Iterator[str]:
    """Yield a temporary path; on success the file written there is renamed to ``path``.

    If the body raises, the temporary file is removed and ``path`` is unchanged.

    Parameters
    ----------
    path : str
        The file to write. Its folder must exist.
    temporary : str, optional
        Path to write to, on the same file system; by default a hidden file beside ``path``.
    durable : bool
        Whether the content is synced to disk before the rename.
    exclusive : bool
        Whether an existing file is kept.

    Raises
    ------
    FileExistsError
        ``exclusive`` is set and ``path`` exists.
    OSError
        The disk is full, among others; the message then names ``path``.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.txt")
    ...     with atomic_write(str(path)) as temporary:
    ...         length = Path(temporary).write_text("complete")
    ...         exists = path.exists()
    ...     exists, path.read_text()
    (False, 'complete')
    """
    if temporary is None:
        temporary = _hidden_beside(path)
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        if exclusive:
            _link(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        if error.errno in _FULL:
            remedy = "Free some space there, and run the same command again"
            raise OSError(error.errno, f"{os.strerror(error.errno)}. {remedy}", path) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _hidden_beside(path: str) -> str:
    """Return a new hidden name in the folder of ``path``, and remove abandoned ones there."""
    folder, name = os.path.split(os.path.abspath(path))
    for abandoned in Path(folder).glob(f".songmill-*-{glob.escape(name)}"):
        with contextlib.suppress(OSError):
            if abandoned.stat().st_mtime < time.time() - _ABANDONED_S:
                abandoned.unlink()
    return os.path.join(folder, f".songmill-{uuid.uuid4().hex}-{name}")


def _link(source: str, target: str) -> None:
    """Give a file a second name that must be new."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # The new file is empty for a moment: its readers must retry.
        with open(source, "rb") as data, open(target, "xb") as file:
            shutil.copyfileobj(data, file)


def check_writable(path: str) -> None:
    """Check that files can be written to the folder ``path``, which need not exist yet.

    Raises
    ------
    UsageError
        It or one of its parents is a file, or permission is missing.
    """
    existing = os.path.abspath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise UsageError(
            f"{path} cannot be a folder, since {existing} is a file: choose another --out"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"{existing} is not writable: choose another --out")


def write_file(path: str, data: bytes) -> None:
    """Write ``data`` to the file ``path`` atomically; missing folders are made.

    Raises
    ------
    SongmillError
        The file cannot be written.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with atomic_write(path) as temporary:
            Path(temporary).write_bytes(data)
    except OSError as error:
        raise SongmillError(f"{path} cannot be written: {error.strerror or error}") from None
