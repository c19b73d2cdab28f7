"""One recording that a user names, decoded in the job's own process."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from featurizer.errors import RecordingError
from featurizer.process import single_thread
from jobs.errors import SongmillError
from jobs.inputs.sources import Listed
from jobs.store.s3 import may_be_outage, probe, resolve

if TYPE_CHECKING:
    from featurizer.extract import Features
    from featurizer.recording import Recording


@contextmanager
def decoded(path: str) -> Iterator["Recording"]:
    """Give a recording to be analysed in the body.

    Parameters
    ----------
    path : str
        A file, or any address that fsspec reads.

    Raises
    ------
    SongmillError
        It cannot be decoded, or the body finds that it gives no features.
    """
    from featurizer.decoding import decode

    try:
        with single_thread():
            with opened(path) as source:
                recording = decode(source)
            yield recording
    except RecordingError as error:
        raise SongmillError(f"{path} gives no features ({error.kind}): {error.message}") from None


@contextlib.contextmanager
def opened(path: str) -> Iterator[str | BinaryIO]:
    """Give what the decoder takes: the path of a local file, or what fsspec opens."""
    if "://" not in path:
        yield path
        return
    try:
        system, name = resolve(path)
        file = system.open(name, "rb")
    except FileNotFoundError:
        raise RecordingError("vanished", "it was listed and is not there any more") from None
    except PermissionError as error:
        raise RecordingError("forbidden", "these credentials may not read it") from error
    with file:
        yield file


class ObjectStoreLostError(OSError):
    """An object store gives out nothing: of its files nothing is known, and none has failed."""


def _read_surely(recording: Listed, attempt: Callable[[], "Features"]) -> "Features":
    """Read a recording; where its object store is to blame, say that and not that it has failed.

    Raises
    ------
    RecordingError
        The recording cannot be read, while its object store answers.
    ObjectStoreLostError
        The object store answers nobody, or takes the credentials no more.
    """
    path = recording.path
    for again in (True, False):
        try:
            return attempt()
        except Exception as error:
            lost = error.__cause__ if isinstance(error, RecordingError) else error
            if not path.startswith("s3://") or not may_be_outage(lost):
                raise
            state = probe(path)
            # What a listing was made of can be listed, or the credentials have run out.
            if state == "silent":
                raise ObjectStoreLostError(
                    f"the object store with {path} is silent: {lost}"
                ) from None
            if state == "denies" and recording.source.startswith("s3://"):
                raise ObjectStoreLostError(
                    f"the object store with {path} takes these credentials no more: {lost}"
                ) from None
            if isinstance(lost, PermissionError):
                raise RecordingError("forbidden", "these credentials may not read it") from None
            if not again:
                raise RecordingError(
                    "unreadable",
                    f"the object store answers, and does not give it out ({lost}): a new copy "
                    "would do",
                ) from None
            # It may have been away until a moment ago.
    raise AssertionError("unreachable")
