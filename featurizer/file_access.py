"""Access to a recording's bytes: open regular files only, and report storage errors as such."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, cast

from featurizer.deadline import Deadline
from featurizer.errors import RecordingError


def open_regular_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file; refuse pipes and devices, which could block or never end.

    Parameters
    ----------
    path : path

    Returns
    -------
    file : binary file, unbuffered

    Raises
    ------
    RecordingError
        Of kind vanished, forbidden or unreadable.

    Examples
    --------
    >>> open_regular_file("/dev")
    Traceback (most recent call last):
    featurizer.errors.RecordingError: This is a folder, not a file. Use a regular file.
    """
    try:
        _refuse_special(os.stat(path).st_mode)
        # A pipe may have replaced the file since: opening must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb", buffering=0)
        try:
            _refuse_special(os.fstat(descriptor).st_mode)
        except RecordingError:
            file.close()
            raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.islink(path):
            raise RecordingError(
                "vanished",
                "The link points to a file that does not exist. Restore the file or remove the"
                " link.",
            ) from error
        raise _storage_error(error) from error
    return cast("BinaryIO", file)


def _refuse_special(mode: int) -> None:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    for is_kind, kind in kinds:
        if is_kind(mode):
            raise RecordingError("unreadable", f"This is {kind}, not a file. Use a regular file.")


def _storage_error(error: OSError) -> RecordingError:
    reason = error.strerror or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RecordingError(
            "vanished", "The file does not exist. It may have been moved or deleted; restore it."
        )
    if isinstance(error, PermissionError):
        return RecordingError(
            "forbidden", "This user has no permission to read the file. Grant read permission."
        )
    return RecordingError(
        "unreadable", f"The file could not be read ({reason}). Check the storage it is on."
    )


class DecoderFile:
    """A binary file for decoders, whose C code cannot propagate Python exceptions.

    An exception raised while reading is kept and looks like the end of the file to the decoder;
    :meth:`read_errors_raised` raises it afterwards.

    Parameters
    ----------
    file : binary file, seekable
    deadline : Deadline, optional
        Checked at every read, so that a search for the first frame also ends in time.
    """

    def __init__(self, file: BinaryIO, deadline: Deadline | None) -> None:
        self._file = file
        self._deadline = deadline
        self._error: Exception | None = None

    @contextlib.contextmanager
    def read_errors_raised(self) -> Iterator[None]:
        """Raise an exception kept while reading in place of the decoder's own.

        Raises
        ------
        RecordingError
            An ``OSError`` was kept: of kind vanished, forbidden or unreadable.
        """
        try:
            yield
        finally:
            if isinstance(self._error, OSError):
                raise _storage_error(self._error) from self._error
            if self._error is not None:
                raise self._error

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes; return no bytes at the end or after an error."""
        if self._error is None:
            try:
                if self._deadline is not None:
                    self._deadline.check()
                return self._file.read(size)
            except Exception as error:
                self._error = error
        return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position; return it, or -1 if it lies before the start."""
        if self._error is None:
            try:
                return self._file.seek(offset, whence)
            except Exception as error:
                # Corrupt headers send decoders to positions before the start. That is not a
                # storage error, and decoders understand -1.
                if isinstance(error, ValueError) or getattr(error, "errno", None) == errno.EINVAL:
                    return -1
                self._error = error
        return 0

    def tell(self) -> int:
        """Return the position."""
        return self.seek(0, os.SEEK_CUR)


class FilePart:
    """A part of a file for decoders, with positions that count from its start.

    Parameters
    ----------
    file : DecoderFile
    start, stop : int
        First byte and end of the part.
    patch_at : int
        Offset of bytes to replace.
    patch : bytes
        What to read there instead of the file's bytes.

    Examples
    --------
    >>> import io
    >>> part = FilePart(DecoderFile(io.BytesIO(b"0123456789"), None), 3, 7)
    >>> part.size, part.read(2), part.seek(-1, os.SEEK_END), part.read()
    (4, b'34', 3, b'6')
    """

    def __init__(
        self, file: DecoderFile, start: int, stop: int, patch_at: int = 0, patch: bytes = b""
    ) -> None:
        self._file = file
        self._start = start
        self._patch_at = patch_at
        self._patch = patch
        self.size = stop - start
        self._at = 0
        self.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes; return no bytes at the end or after an error."""
        rest = max(0, self.size - self._at)
        content = self._file.read(rest if size < 0 else min(size, rest))
        begin = max(self._at, self._patch_at)
        end = min(self._at + len(content), self._patch_at + len(self._patch))
        if begin < end:
            patched = self._patch[begin - self._patch_at : end - self._patch_at]
            content = content[: begin - self._at] + patched + content[end - self._at :]
        self._at += len(content)
        return content

    def read_at(self, start: int, size: int) -> bytes:
        """Read at most `size` bytes from an offset."""
        self.seek(start)
        return self.read(size)

    def up_to(self, stop: int) -> "FilePart":
        """Return the part up to an offset."""
        return FilePart(self._file, self._start, self._start + stop)

    def patched(self, at: int, patch: bytes) -> "FilePart":
        """Return the same part with other bytes at an offset.

        Examples
        --------
        >>> import io
        >>> part = FilePart(DecoderFile(io.BytesIO(b"0123456789"), None), 3, 7)
        >>> part.patched(2, b"xy").read()
        b'34xy'
        """
        return FilePart(self._file, self._start, self._start + self.size, at, patch)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position; return it, or -1 if it lies before the start."""
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if at < 0:
            return -1
        self._at = at
        self._file.seek(self._start + at)
        return at

    def tell(self) -> int:
        """Return the position."""
        return self._at
