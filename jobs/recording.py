"""One recording that a user names, decoded in the job's own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from featurizer.errors import RecordingError
from jobs.batch import opened, prepare_process
from jobs.errors import SongmillError

if TYPE_CHECKING:
    from featurizer.audio import Recording


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
    from featurizer import audio

    prepare_process()
    try:
        with opened(path) as source:
            recording = audio.decode(source)
        yield recording
    except RecordingError as error:
        raise SongmillError(f"{path} gives no features ({error.kind}): {error.message}") from None
