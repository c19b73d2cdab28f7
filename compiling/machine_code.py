"""Where the machine code of the kernels is kept, so that a second process need not compile it.

Each state of a package's source has a folder of its own. Numba itself compares the file of a
kernel only, and not the files whose functions were compiled into it.
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

_UNUSED_S = 30 * 24 * 3600.0

_log = logging.getLogger(__name__)


class SignatureFiles(IndexDataCacheFile):  # type: ignore[misc]  # Numba has types in parts
    """The files of a kernel's machine code, each named by the signature that it is for.

    Numba numbers them. Two processes that begin together may give one number to two signatures, and
    a third would run code that was compiled for other types.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep what was compiled for a signature.

        Parameters
        ----------
        key : tuple
            The types of the arguments, the processor, and a digest of the function's code.
        data : object
            What is kept.

        Raises
        ------
        OSError
            It cannot be written.
        """
        digest = hashlib.sha256(repr((numba.__version__, key)).encode()).hexdigest()[:16]
        name = self._data_name_pattern.replace("{number:d}", digest)
        self._save_data(name, data)
        # What another process adds to the index in between is lost from it, and compiled again.
        self._save_index({**self._load_index(), key: name})


class KernelCache(FunctionCache):  # type: ignore[misc]  # Numba has types in parts
    """Numba's cache of a function, by whose files no recording may fail.

    What cannot be read is compiled again, and what cannot be written is not kept.

    Parameters
    ----------
    py_func : callable
        The function.

    Raises
    ------
    RuntimeError
        It comes from no file, and so has no place.
    """

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        self._cache_file: Any = SignatureFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is kept for a signature; None where there is nothing that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # A file that was cut short may fail in any way.
            _log.warning("compiled code in %s cannot be read: %r", self.cache_path, error)
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, where that can be done."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _log.warning("compiled code cannot be kept in %s: %s", self.cache_path, error)


@cache
def folder(package: Path) -> Path | None:
    """Find the folder for a package's kernels in this process, and make it where there is none.

    It is looked for in ``NUMBA_CACHE_DIR`` alone, where that is set; else beside the source, in the
    user's cache folder, and in a folder of the user's own among the temporary files.

    Parameters
    ----------
    package : Path
        The folder of the package's source.

    Returns
    -------
    folder : Path or None
        One that this process may write to. None where there is none: then the log says so, and
        every process compiles for itself.
    """
    bases = list(_bases(package))
    found = first_writable(bases, package)
    if found is None:
        _log.warning(
            "compiled code cannot be kept, so that every process spends some 10 s on compiling: "
            "none of %s can be written to. Set NUMBA_CACHE_DIR to a folder that can",
            ", ".join(map(str, bases)),
        )
    return found


def _bases(package: Path) -> Iterator[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
        return
    yield package / "__pycache__"
    if cache_home := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache_home) / "songmill"
    with contextlib.suppress(RuntimeError):  # A user may have no home.
        yield Path.home() / ".cache" / "songmill"
    yield Path(tempfile.gettempdir()) / f"songmill-{os.getuid()}"


def first_writable(bases: Iterable[Path], package: Path) -> Path | None:
    """Make a folder in the first of ``bases`` where that can be done.

    Parameters
    ----------
    bases : iterable of Path
        Folders, which need not be there.
    package : Path
        The folder of the source whose state the new folder is for.

    Returns
    -------
    folder : Path or None
        None where no base can be written to, or only such as others can write to as well: they
        could have this process run what they put there.
    """
    name = f"kernels-{_source_hash(package)}"
    for base in bases:
        found = base / name
        with contextlib.suppress(OSError):
            new = not found.is_dir()
            found.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Where anybody can make a folder, one of that name may be somebody else's.
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
        if time.time() - other.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(other, ignore_errors=True)
