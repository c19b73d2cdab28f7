"""What there is: SOURCEs of the command line become a list of recordings.

A source is a folder (walked), a file, a glob or a list file (``.txt``, ``.lst``, ``.m3u``,
``.m3u8``: one address a line). A recording's ``track_id`` is its path below the source's root:
the folder itself, the folder of a file, the part of a glob before its first wildcard, the folder
of a list file. Nothing is opened here: whether a file is a recording, the decoder finds out.
"""

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from featurizer.formats import AUDIO_SUFFIXES
from jobs.errors import StoreError, UsageError
from jobs.interruption import raise_if_interrupted
from jobs.store.s3 import check_bucket, list_objects, probe, resolve, translate_errors

LIST_SUFFIXES = (".txt", ".lst", ".m3u", ".m3u8")


@dataclass(frozen=True, slots=True)
class Listed:
    r"""One recording as its source lists it.

    Parameters
    ----------
    track_id : str
        Path below the source's root, with ``/`` and its suffix.
    uri : str
        Where it lies: an absolute path or an address. Bytes of a name that are no UTF-8 stand as
        ``\xff``.
    source : str
        The source that lists it, as an absolute path or an address.
    path : str
        What to open: ``uri``, but for names that are no UTF-8.
    size : int or None
        Bytes; None where the file cannot be examined.
    modified : int or None
        Microseconds since 1970, UTC.
    """

    track_id: str
    uri: str
    source: str
    path: str
    size: int | None
    modified: int | None


@dataclass
class Listing:
    """Everything that the sources of a run list.

    Parameters
    ----------
    recordings : list of Listed
        In order of the track, no track twice.
    sources : list of str
        The sources, as absolute paths or addresses.
    unlisted : list of str
        Folders that could not be listed: what lies below is neither known nor gone.
    """

    recordings: list[Listed] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)


def list_sources(sources: list[str]) -> Listing:
    """List the recordings of ``sources``.

    Raises
    ------
    UsageError
        A source is not there or lists no recording, or two recordings would get one track_id.
    StoreError
        An object store does not answer any more.
    """
    listing = Listing()
    paths: set[str] = set()
    by_track: dict[str, Listed] = {}
    for source in sources:
        count = 0
        name, found = _list_source(source, listing.unlisted)
        listing.sources.append(name)
        for recording in found:
            raise_if_interrupted()
            count += 1
            # Within one source, a file that is listed twice is the same track twice.
            if len(sources) > 1:
                if recording.path in paths:
                    continue
                paths.add(recording.path)
            twin = by_track.setdefault(recording.track_id, recording)
            if twin.path != recording.path:
                raise UsageError(
                    f"two recordings would both be track {recording.track_id!r}: {twin.uri} and "
                    f"{recording.uri}. Give a folder above both as the source, or extract them "
                    "into two stores"
                )
        if not count and name in listing.unlisted:
            raise UsageError(f"the folder {source} cannot be read: is it yours to read?")
        if not count:
            raise UsageError(
                f"no recording was found in {source}: looked for names that end in .wav, .flac, "
                f".mp3, .ogg, .m4a and {len(AUDIO_SUFFIXES) - 5} more. Nothing was changed"
            )
    listing.recordings = [by_track[track] for track in sorted(by_track)]
    return listing


def _list_source(source: str, unlisted: list[str]) -> tuple[str, Iterator[Listed]]:
    """Return the source's absolute name and what it lists."""
    if "://" in source and not source.startswith("file://"):
        return source.rstrip("/"), _list_remote(source.rstrip("/"))
    path = os.path.abspath(source.removeprefix("file://"))
    if os.path.isdir(path):
        return _text(path), _walk(path, ["**", "*"], unlisted, source=path)
    if os.path.lexists(path):
        if path.lower().endswith(LIST_SUFFIXES):
            return _text(path), _read_list(path)
        return _text(path), iter([_listed(path, os.path.dirname(path), path)])
    if glob.has_magic(path):
        root = _fixed_folder(path)
        steps = path.removeprefix(root).lstrip("/").split("/")
        return _text(path), _walk(root, steps, unlisted, source=path)
    raise UsageError(
        f"there is no {source}: a source is a folder, a file, a glob in quotes or a list file "
        f"({', '.join(LIST_SUFFIXES)})"
    )


def _walk(root: str, steps: list[str], unlisted: list[str], *, source: str) -> Iterator[Listed]:
    """Yield the recordings below ``root`` that the ``steps`` of a glob lead to.

    Links to folders are followed, but not in a circle; ``*`` and ``**`` match no hidden name. The
    folders on the way that cannot be listed go into ``unlisted``, which :func:`glob.glob` would
    pass over, so that what lies below would seem to be gone.
    """
    if steps[-1] == "**":
        steps = [*steps, "*"]
    waiting = [(root, frozenset[tuple[int, int]](), frozenset([0]))]
    while waiting:
        raise_if_interrupted()
        folder, above, at = waiting.pop()
        here = above | {_identity(folder)}
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            unlisted.append(_text(folder))
            continue
        for entry in entries:
            after = _advance(steps, at, entry.name)
            if not after:
                continue
            ends = len(steps) in after and _is_audio(entry.name)
            is_folder = _is_folder(entry)
            if ends and (not is_folder or _is_empty(entry.path)):
                # An empty folder named like a recording: somebody meant a recording.
                yield _listed(entry.path, root, source)
            elif is_folder and after - {len(steps)} and _identity(entry.path) not in here:
                waiting.append((entry.path, here, after - {len(steps)}))


def _advance(steps: list[str], at: frozenset[int], name: str) -> frozenset[int]:
    """Return the steps of a glob that may come after ``name``, where it may be one of ``at``."""
    after = set[int]()
    hidden = name.startswith(".")
    for step in at:
        now = step
        while steps[now] == "**":
            if not hidden:
                after.add(now)
            now += 1
        may = not hidden or steps[now].startswith(".")
        if may and fnmatch.fnmatchcase(name, steps[now]):
            after.add(now + 1)
    return frozenset(after)


def _read_list(path: str) -> Iterator[Listed]:
    playlist = path.lower().endswith((".m3u", ".m3u8"))
    root = os.path.dirname(path)
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            entry = line.rstrip("\r\n")
            if "\0" in entry:
                raise UsageError(
                    f"{path}, line {number}, holds a zero byte, which no name does: is it a text "
                    "in UTF-8, a path a line?"
                )
            if not entry.strip() or (playlist and entry.startswith("#")):
                continue
            if "://" in entry and not entry.startswith("file://"):
                yield _listed_remote(entry, entry.partition("://")[2], path, None)
                continue
            full = os.path.normpath(os.path.join(root, entry.removeprefix("file://")))
            below = full.startswith(root.rstrip("/") + "/")
            yield _listed(full, root if below else "/", path)


def examine(recording: Listed) -> Listed:
    """Look again at the size and time of a local recording; an address keeps what it has."""
    if "://" in recording.path:
        return recording
    size, modified = _fingerprint(recording.path)
    return replace(recording, size=size, modified=modified)


def visible(source: str) -> bool:
    """Tell whether a local source, or the fixed part of a glob, is there on this machine."""
    if "://" in source:
        return True
    return any(
        os.path.lexists(path) or (glob.has_magic(path) and os.path.isdir(_fixed_folder(path)))
        for path in (source, _untext(source))
    )


def _fixed_folder(pattern: str) -> str:
    """Return the folder before a glob's first wildcard."""
    fixed = pattern[: min(pattern.find(wild) for wild in "*?[" if wild in pattern)]
    return fixed.rpartition("/")[0] or "/"


def _listed(path: str, root: str, source: str) -> Listed:
    track = os.path.relpath(path, root).replace(os.sep, "/")
    return Listed(_text(track), _text(path), _text(source), path, *_fingerprint(path))


def _fingerprint(path: str) -> tuple[int | None, int | None]:
    """Return the bytes and microseconds since 1970 of a file; None for what is no file."""
    try:
        state = os.stat(path)
    except OSError:
        return None, None
    if not stat.S_ISREG(state.st_mode):
        return None, None
    return state.st_size, state.st_mtime_ns // 1000


def _list_remote(source: str) -> Iterator[Listed]:
    """Yield what lies below an address, by whatever fsspec reads it with."""
    if source.startswith("s3://"):
        check_bucket(source)
    system, root = _reach(source)
    # A file system's own paths may lack the host: what is below is named as the source was.
    base = source
    with translate_errors(source):
        found: Iterable[tuple[str, dict[str, Any]]]
        if glob.has_magic(source):
            found = system.glob(root, detail=True).items()
            root, base = _fixed_folder(root), _fixed_folder(source)
        elif source.startswith("s3://"):
            found = list_objects(source)
        else:
            found = system.find(root, detail=True).items()
        for path, info in found:
            raise_if_interrupted()
            if path == root and not glob.has_magic(source):
                yield _listed_remote(source, root.rpartition("/")[2], source, info)
                continue
            track = path.removeprefix(root).lstrip("/")
            hidden = any(step.startswith(".") for step in track.split("/"))
            if info.get("type") == "file" and _is_audio(path) and not hidden:
                yield _listed_remote(f"{base}/{track}", track, source, info)


def _reach(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and what that calls it."""
    try:
        return resolve(address)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{address} cannot be reached: {error}") from None


def _listed_remote(uri: str, track: str, source: str, info: dict[str, Any] | None) -> Listed:
    if info is None:
        system, path = _reach(uri)
        try:
            with translate_errors(uri):
                info = dict(system.info(path))
        except OSError as error:
            if uri.startswith("s3://") and probe(uri) == "silent":
                raise StoreError(f"the object store with {uri} does not answer: {error}") from None
            info = {}
    modified = None
    for key in ("LastModified", "last_modified", "mtime", "modified", "created"):
        moment = info.get(key)
        if moment is not None:
            seconds = moment.timestamp() if hasattr(moment, "timestamp") else float(moment)
            modified = round(seconds * 1e6)
            break
    return Listed(track, uri, _text(source), uri, info.get("size"), modified)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as found:
            return next(found, None) is None
    except OSError:
        return False


def _identity(folder: str) -> tuple[int, int]:
    """Tell folders apart, whatever links lead to them; an unreadable one is like no other."""
    try:
        state = os.stat(folder)
    except OSError:
        return (-1, -1)
    return (state.st_dev, state.st_ino)


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _text(path: str) -> str:
    """Return ``path`` as text that any table holds: a name may be any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path


def _untext(text: str) -> str:
    """Return the path that :func:`_text` made ``text`` of, if it had to change it."""
    return re.sub(r"\\x([89a-f][0-9a-f])", lambda found: os.fsdecode(bytes.fromhex(found[1])), text)
