"""On-disk cache of compiled kernels, so that each process need not compile them again.

Each state of the source and of the compiler has its own cache folder. Numba alone checks its own
version, the processor and the file that defines a kernel. It does not check the files that define
the functions inlined into it, or the flags that the decorators of this package set.

Cache files are pickles, and loading a pickle can run code. So a cache folder is used only if nobody
else can write to it or replace it.
"""

import contextlib
import grp
import hashlib
import logging
import os
import pwd
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

_MAX_AGE_S = 30 * 24 * 3600.0
"""Seconds after which an unused cache folder is removed."""

_CODE_SETTINGS = (
    "NUMBA_BOUNDSCHECK",
    "NUMBA_DEBUGINFO",
    "NUMBA_DISABLE_INTEL_SVML",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_OPT",
    "NUMBA_SLP_VECTORIZE",
)
"""Environment variables that change the machine code. Numba's own cache ignores them."""

_TRUSTED = Path(__file__).resolve().parents
"""Folders that may belong to anybody: their owners can replace this module anyway."""

_uncached: list[Path] = []
"""Packages without a cache folder."""

_log = logging.getLogger(__name__)


class SignatureFiles(IndexDataCacheFile):  # type: ignore[misc]  # Numba is partly typed
    """Cache files of one kernel, named by a hash of the signature.

    Numba's own cache numbers the files. Two processes that start together may use one number for
    two signatures, and a third process would run code compiled for other types.
    """

    def save(self, key: Any, data: Any) -> None:
        """Save the machine code for a signature.

        Parameters
        ----------
        key : tuple
            The argument types, the processor, and a hash of the function's code.
        data : object
            The compiled code, as Numba serialises it.

        Raises
        ------
        OSError
            The files cannot be written.
        """
        digest = hashlib.sha256(repr((numba.__version__, key)).encode()).hexdigest()[:16]
        name = self._data_name_pattern.replace("{number:d}", digest)
        self._save_data(name, data)
        # Entries that another process adds between load and save are lost and compiled again.
        self._save_index({**self._load_index(), key: name})


class KernelCache(FunctionCache):  # type: ignore[misc]  # Numba is partly typed
    """Cache of one kernel that tolerates unreadable and unwritable files.

    A damaged file must not make a recording fail: unreadable code is compiled again, and code that
    cannot be written is not cached.

    Parameters
    ----------
    py_func : callable
        The Python function.

    Raises
    ------
    RuntimeError
        The function has no source file, and so no cache folder.
    """

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        self._cache_file: Any = SignatureFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the machine code for a signature; None if there is none or it is unreadable."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # A truncated file may raise any exception.
            _log.warning("Cannot read compiled code in %s: %r", self.cache_path, error)
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the machine code for a signature; log a warning if it cannot be written."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _log.warning("Cannot save compiled code in %s: %s", self.cache_path, error)


@cache
def cache_folder(package: Path) -> Path | None:
    """Return the cache folder for a package's kernels, creating it if necessary.

    If ``NUMBA_CACHE_DIR`` is set, only that folder is tried. Otherwise the candidates are the
    package's ``__pycache__``, the user's cache folder, and the user's own folder below the system's
    temporary folder, in this order.

    Parameters
    ----------
    package : Path
        Folder of the package's source.

    Returns
    -------
    folder : Path or None
        A folder that only this user can write to. None if there is none: a warning is logged, once
        per process, and every process compiles for itself.
    """
    try:
        return first_private(_candidates(package), f"kernels-{fingerprint(package)}")
    except PermissionError as error:
        if not _uncached:
            _log.warning(
                "Cannot save compiled code in %s. Every process will spend about 10 s compiling. "
                "Set NUMBA_CACHE_DIR to a folder that only you and root can write to and replace.",
                error,
            )
        _uncached.append(package)
        return None


def has_code(package: Path) -> bool:
    """Tell whether there is machine code of a package's kernels; if not, a process must compile.

    Parameters
    ----------
    package : Path
        Folder of the package's source.

    Returns
    -------
    bool
        Whether the cache has code of a kernel at least.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as package:
    ...     has_code(Path(package))
    False
    """
    folder = cache_folder(package)
    return folder is not None and any(folder.rglob("*.nbi"))


def _candidates(package: Path) -> Iterator[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
        return
    yield package / "__pycache__"
    if cache_home := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache_home) / "songmill"
    with contextlib.suppress(RuntimeError):  # The user may have no home folder.
        yield Path.home() / ".cache" / "songmill"
    yield Path(tempfile.gettempdir()) / f"songmill-{os.geteuid()}"


def first_private(candidates: Iterable[Path], name: str) -> Path:
    """Create a folder in the first candidate that is writable, and only for this user.

    Parameters
    ----------
    candidates : iterable of Path
        Folders to try, in order; they need not exist.
    name : str
        Name of the new folder. Folders of other fingerprints in the same candidate are removed if
        they have not been used for 30 days.

    Returns
    -------
    folder : Path
        The new or existing folder.

    Raises
    ------
    PermissionError
        There is none. The message names each candidate and what is wrong with it.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as base:
    ...     folder = first_private([Path("/proc"), Path(base)], "kernels-1a2b")
    ...     folder.parent.samefile(base), folder.name
    (True, 'kernels-1a2b')
    """
    refusals = []
    for base in candidates:
        try:
            new = not (base / name).exists()
            folder = private_folder(base / name)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            refusals.append(f"{base} ({error.strerror or error})")
            continue
        if new:
            _remove_unused(base)
        return folder
    raise PermissionError(" or ".join(refusals))


def private_folder(path: Path) -> Path:
    """Return a folder that no other user can write to or replace, creating it if necessary.

    The rule is that of OpenSSH's ``StrictModes``: the folder and all its parents belong to this
    user or to root, and others cannot write to them. In a parent with the sticky bit, such as
    ``/tmp``, others can create entries but not replace this user's. The parents of this module may
    belong to anybody: in a user namespace, ``/`` may belong to ``nobody``.

    Parameters
    ----------
    path : Path
        The folder; missing parents are created. New folders have the mode 700. Of a symbolic
        link, the target is checked and returned.

    Returns
    -------
    folder : Path
        The same folder, without symbolic links.

    Raises
    ------
    OSError
        The folder cannot be created, or somebody else can change it: PermissionError.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as base:
    ...     folder = private_folder(Path(base) / "cache" / "kernels")
    ...     stat.filemode(folder.stat().st_mode)
    'drwx------'
    """
    path = Path(os.path.realpath(path))
    # From the root down: nobody else can replace an entry of a folder that has passed.
    for folder in (*reversed(path.parents), path):
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        sticky = folder != path and status.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(f"{folder} is not a folder")
        if status.st_uid not in (0, os.geteuid()) and folder not in _TRUSTED:
            raise PermissionError(f"{folder} belongs to user {status.st_uid}, not to you or root")
        if _others_can_write(status) and not sticky:
            raise PermissionError(f"other users can write to {folder}")
    return path


def _others_can_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid):
        return True
    return bool(status.st_mode & stat.S_IWOTH)


def _is_private_group(group_id: int) -> bool:
    """Whether a group is this user's alone, as Linux distributions create one for each user."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def fingerprint(package: Path) -> str:
    """Return a hash of what a kernel's machine code depends on, beside what Numba checks itself.

    Parameters
    ----------
    package : Path
        Folder of the package's source.

    Returns
    -------
    hash : str
        16 hexadecimal digits. They change with the source of the package and of the decorators,
        with the versions of Python and of the compiler's libraries, and with Numba's settings of
        code generation. Numba itself compares the processor, the argument types and the function.
    """
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    settings = [os.environ.get(name) for name in _CODE_SETTINGS]
    digest = hashlib.sha256(repr((versions, settings)).encode())
    for folder in (package, Path(__file__).parent):
        for path in sorted(folder.glob("*.py")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _remove_unused(base: Path) -> None:
    for other in base.glob("kernels-" + "[0-9a-f]" * 16):
        with contextlib.suppress(OSError):  # Another process may remove it at the same time.
            if time.time() - other.stat().st_mtime > _MAX_AGE_S:
                shutil.rmtree(other)
