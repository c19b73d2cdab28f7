"""Recordings that a page plays, and previews of them."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from io import BytesIO
from pathlib import Path

import numpy as np

from featurizer.columns import SAMPLE_RATE
from jobs.inputs.recordings import decode_recording
from jobs.progress import Progress, counted
from jobs.store.address import absolute_path, storage_of

MAX_PREVIEWS = 500
"""Previews of a report; they take about 30 MB."""

PREVIEW_S = 10.0
"""Length of a preview in seconds."""

_PREVIEWS = "previews"
_PREVIEW = re.compile(rf"{_PREVIEWS}/[0-9a-f]{{16}}\.opus")
_BIT_RATE = 48_000
_OPUS_RATE = 24_000
"""Sample rate of previews, in Hz: the lowest of Opus that has all frequencies of the signal."""

_THREADS = 4
"""Recordings to decode at a time. One of four hours takes more than 1.3 GB."""


def file_addresses(paths: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the addresses from which a browser on this machine reads recordings.

    Parameters
    ----------
    paths : mapping of str to str
        Path or address of the recording of each track.

    Returns
    -------
    dict of str to list of str
        A percent-encoded ``file:`` address for each track with a local file.

    Examples
    --------
    >>> file_addresses({"a": "s3://music/a.wav"})
    {}
    """
    return {
        track: [Path(absolute_path(path)).as_uri()]
        for track, path in paths.items()
        if "://" not in path and os.path.isfile(path)
    }


def preview_path(track: str) -> str:
    """Return the path of a track's preview, relative to the page.

    Examples
    --------
    >>> preview_path("folk/folk.01.wav")
    'previews/194f2b5f4ff9917b.opus'
    """
    return f"{_PREVIEWS}/{hashlib.sha256(track.encode()).hexdigest()[:16]}.opus"


def write_previews(
    paths: Mapping[str, str], write: Callable[[str, bytes], None], progress: Progress
) -> list[str]:
    """Write previews of recordings, of :data:`MAX_PREVIEWS` at most.

    Parameters
    ----------
    paths : mapping of str to str
        Path or address of the recording of each track, the most important first.
    write : callable
        Writes a file beside the page, from its relative path and its content.
    progress : Progress
        Shows progress, and warns of recordings that cannot be read.

    Returns
    -------
    list of str
        Tracks with a preview.
    """
    chosen = list(paths)[:MAX_PREVIEWS]
    made, errors = [], []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        futures = {threads.submit(preview, paths[track]): track for track in chosen}
        try:
            for future in as_completed(futures):
                track, error = futures[future], future.exception()
                if error is None:
                    write(preview_path(track), future.result())
                    made.append(track)
                else:
                    errors.append(str(error))
                progress.update(f"{len(made) + len(errors)} of {len(chosen)} previews")
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    if errors:
        progress.warn(
            f"{counted(len(errors), 'recording')} without a preview, such as: {min(errors)}"
        )
    return made


def remove_other_previews(folder: str, tracks: Iterable[str]) -> None:
    """Remove the previews of all tracks but some.

    Parameters
    ----------
    folder : str
        Path or address of the page's folder.
    tracks : iterable of str
        Tracks to keep the previews of.
    """
    kept, storage = set(map(preview_path, tracks)), storage_of(folder)
    for entry in storage.list(_PREVIEWS):
        if _PREVIEW.fullmatch(entry.name) and entry.name not in kept:
            storage.remove(entry.name)


def preview(path: str) -> bytes:
    """Return the middle of a recording, :data:`PREVIEW_S` long, as an Ogg Opus file.

    It is cut from the signal that features are made of: mono, 22,050 Hz.

    Parameters
    ----------
    path : str
        Path, or address that fsspec reads.

    Raises
    ------
    SongmillError
        The recording cannot be decoded.
    """
    with decode_recording(path) as recording:
        n = int(PREVIEW_S * SAMPLE_RATE)
        start = max(0, (len(recording.y) - n) // 2)
        return opus_file(recording.y[start : start + n])


def opus_file(y: np.ndarray) -> bytes:
    """Encode a signal as an Ogg Opus file, the same bytes for the same signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz.

    Examples
    --------
    >>> file = opus_file(np.zeros(22050, np.float32))
    >>> file[:4], b"OpusHead" in file, file == opus_file(np.zeros(22050, np.float32))
    (b'OggS', True, True)
    """
    import av
    import soxr

    resampled = np.clip(soxr.resample(y, SAMPLE_RATE, _OPUS_RATE), -1, 1)
    samples = np.round(resampled * (2**15 - 1)).astype(np.int16)
    file = BytesIO()
    # Without the flag, the stream gets a random number.
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as media:
        stream = media.add_stream("libopus", rate=_OPUS_RATE, layout="mono")
        stream.bit_rate = _BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
        frame.sample_rate = _OPUS_RATE
        media.mux(stream.encode(frame))
        media.mux(stream.encode(None))
    return file.getvalue()
