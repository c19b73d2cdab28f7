"""On-disk cache of compiled kernels, so that each process need not compile them again.

Each state of a package's source has its own cache folder. Numba alone checks only the file that
defines a kernel, not the files that define the functions inlined into it.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_MAX_AGE_S = 30 * 24 * 3600.0
"""Seconds after which an unused cache folder is removed."""

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
        A folder that this process can write to. None if there is none: a warning is logged, and
        every process compiles for itself.
    """
    candidates = list(_candidates(package))
    found = first_writable(candidates, package)
    if found is None:
        _log.warning(
            "Cannot save compiled code: none of %s is writable. Every process will spend about "
            "10 s compiling. Set NUMBA_CACHE_DIR to a writable folder.",
            ", ".join(map(str, candidates)),
        )
    return found


def _candidates(package: Path) -> Iterator[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
        return
    yield package / "__pycache__"
    if cache_home := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache_home) / "songmill"
    with contextlib.suppress(RuntimeError):  # The user may have no home folder.
        yield Path.home() / ".cache" / "songmill"
    yield Path(tempfile.gettempdir()) / f"songmill-{os.getuid()}"


def first_writable(candidates: Iterable[Path], package: Path) -> Path | None:
    """Create a cache folder in the first candidate that allows it.

    Parameters
    ----------
    candidates : iterable of Path
        Folders to try, in order; they need not exist.
    package : Path
        Folder of the package's source. A hash of its files names the cache folder.

    Returns
    -------
    folder : Path or None
        None if no candidate is writable. A folder that other users own or can write to does not
        count: they could put code there that this process would run.

    Examples
    --------
    >>> import tempfile
    >>> package = Path(__file__).parent
    >>> with tempfile.TemporaryDirectory() as base:
    ...     folder = first_writable([Path("/proc"), Path(base)], package)
    ...     folder.parent == Path(base), folder.name.startswith("kernels-")
    (True, True)
    """
    name = f"kernels-{_source_hash(package)}"
    for base in candidates:
        found = base / name
        with contextlib.suppress(OSError):
            new = not found.is_dir()
            found.mkdir(mode=0o700, parents=True, exist_ok=True)
            # In a folder that everyone can write to, this one may be another user's.
            if found.lstat().st_uid == os.getuid() and not found.lstat().st_mode & stat.S_IWOTH:
                with tempfile.TemporaryFile(dir=found):
                    pass
                if new:
                    _remove_unused(base)
                return found
    return None


def _source_hash(package: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _remove_unused(base: Path) -> None:
    for other in base.glob("kernels-*"):
        if time.time() - other.stat().st_mtime > _MAX_AGE_S:
            shutil.rmtree(other, ignore_errors=True)
