"""Opening and decoding of a recording, by path or address."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from featurizer.columns import SAMPLE_RATE
from featurizer.errors import RecordingError
from featurizer.feature_set import Level, feature_set, feature_sets
from featurizer.process import single_thread
from jobs import defaults
from jobs.errors import SongmillError, UsageError
from jobs.inputs.sources import SourceFile
from jobs.redaction import public_address, redact
from jobs.store.address import expand_home
from jobs.store.s3 import may_be_outage, probe, resolve

_Read = TypeVar("_Read")

if TYPE_CHECKING:
    from featurizer.recording import Recording


def check_segment_seconds(seconds: float) -> float:
    """Return the length of a segment in seconds; UsageError if it is out of range.

    Examples
    --------
    >>> check_segment_seconds(3.0)
    3.0
    """
    lowest, highest = defaults.SEGMENT_RANGE_S
    if not lowest <= seconds <= highest:
        raise UsageError(
            f"a segment of {seconds:g} s ({seconds * SAMPLE_RATE:g} samples) is out of range: "
            f"choose {lowest:g} to {highest:g} seconds"
        )
    return seconds


def check_feature_sets(names: str | Iterable[str]) -> list[str]:
    """Return the names of feature sets in their fixed order; UsageError if one is unknown.

    Text has commas between the names.

    Examples
    --------
    >>> check_feature_sets("rich, gtzan")
    ['gtzan', 'rich']
    """
    given = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    unknown = [name for name in given if name not in feature_sets()]
    if unknown:
        known = ", ".join(feature_sets())
        raise UsageError(f"there is no feature set {unknown[0]!r}: choose from {known}")
    if not given:
        raise UsageError(f"no feature set was chosen: choose from {', '.join(feature_sets())}")
    return [name for name in feature_sets() if name in given]


def check_level(name: str, level: Level) -> None:
    """Raise UsageError if a feature set has no rows of a level.

    Examples
    --------
    >>> check_level("gtzan", "segment")
    """
    if level not in feature_set(name).levels:
        having = [one.name for one in feature_sets().values() if level in one.levels]
        raise UsageError(
            f"the {name} features do not describe {level}s: choose from {', '.join(having)}"
        )


@contextmanager
def decode_recording(path: str) -> Iterator["Recording"]:
    """Decode a recording, from a path or any address that fsspec reads, for analysis in the body.

    Raises
    ------
    SongmillError
        The recording cannot be decoded, or the body raised RecordingError.
    """
    from featurizer.decoding import decode

    try:
        with single_thread():
            with open_recording(path) as source:
                recording = decode(source)
            yield recording
    except RecordingError as error:
        shown = public_address(path)
        raise SongmillError(f"{shown} gives no features ({error.kind}): {error.message}") from None


@contextmanager
def open_recording(path: str) -> Iterator[str | BinaryIO]:
    """Yield the source for the decoder: the path of a local file, or an open file of fsspec.

    A RecordingError does not contain the secrets of the address.
    """
    if "://" not in path:
        yield expand_home(path)
        return
    try:
        with _open_address(path) as file:
            yield cast("BinaryIO", RemoteFile(file))
    except RecordingError as error:
        raise RecordingError(error.kind, redact(error.message, path)) from error.__cause__


class RemoteFile:
    """A file of fsspec that keeps its start, where most tags are.

    fsspec keeps only what it read last. Tags are read after the samples, and must not fetch the
    start again.

    Parameters
    ----------
    file : binary file, seekable

    Examples
    --------
    >>> import io
    >>> file = RemoteFile(io.BytesIO(b"0123456789"), kept=4)
    >>> file.read(6), file.seek(-3, os.SEEK_END), file.read()
    (b'012345', 7, b'789')
    """

    def __init__(self, file: BinaryIO, kept: int = 1 << 20) -> None:
        self._file = file
        self._start = file.read(kept)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        stop = None if size < 0 else self._at + size
        content = self._start[self._at : stop]
        self._at += len(content)
        if size < 0 or len(content) < size:
            self._file.seek(self._at)
            rest = self._file.read(size if size < 0 else size - len(content))
            self._at += len(rest)
            content += rest
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, and return it."""
        if whence == os.SEEK_END:
            self._at = self._file.seek(offset, os.SEEK_END)
            return self._at
        at = offset + (self._at if whence == os.SEEK_CUR else 0)
        if at < 0:
            raise ValueError(f"the position {at} is before the start")
        self._at = at
        return at

    def tell(self) -> int:
        """Return the position."""
        return self._at


def _open_address(path: str) -> BinaryIO:
    try:
        system, name = resolve(path)
        file: BinaryIO = system.open(name, "rb")
    except FileNotFoundError:
        raise RecordingError("vanished", "the file no longer exists") from None
    except PermissionError as error:
        raise RecordingError("forbidden", "these credentials do not permit reading it") from error
    return file


class ObjectStoreLostError(OSError):
    """The object store does not answer, so it is unknown whether a recording can be read."""


def read_with_retry(recording: SourceFile, read: Callable[[], _Read]) -> _Read:
    """Read a recording, once more after an outage of its object store.

    ObjectStoreLostError if the object store does not answer, or rejects the credentials;
    RecordingError if the recording cannot be read although its object store answers.
    """
    path = recording.path
    for retry in (True, False):
        try:
            return read()
        except Exception as error:
            cause = error.__cause__ if isinstance(error, RecordingError) else error
            if not path.startswith("s3://") or not may_be_outage(cause):
                raise
            state = probe(path)
            if state == "silent":
                raise ObjectStoreLostError(
                    f"the object store does not answer for {recording.uri}: {cause}"
                ) from None
            # The credentials sufficed to list the source, so they must have expired.
            if state == "denies" and recording.source.startswith("s3://"):
                raise ObjectStoreLostError(
                    f"the object store no longer accepts the credentials for {recording.uri}: "
                    f"{cause}"
                ) from None
            if isinstance(cause, PermissionError):
                raise RecordingError(
                    "forbidden", "these credentials do not permit reading it"
                ) from None
            if not retry:
                raise RecordingError(
                    "unreadable",
                    f"the object store answers, but cannot read it ({cause}). Copy it again",
                ) from None
    raise AssertionError("unreachable")
