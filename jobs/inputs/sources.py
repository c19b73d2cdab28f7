"""Sources of recordings: the files of a folder, a glob, a list file or an address.

A list file (``.txt``, ``.lst``, ``.m3u``, ``.m3u8``) has one path or address per line. The
``track_id`` of a recording is its path below the root of its source: the folder itself, the folder
of a file or list file, or the part of a glob before its first wildcard. Recordings are not opened
here, so invalid ones fail later, in the decoder.

Addresses may contain secrets (:mod:`jobs.redaction`). Only ``SourceFile.path`` keeps them.
"""

import glob
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from featurizer.formats import AUDIO_SUFFIXES
from jobs.errors import SongmillError, StoreError, UsageError
from jobs.inputs import list_file
from jobs.inputs.path_text import from_text, to_text
from jobs.inputs.patterns import advance, complete, matches
from jobs.interruption import raise_if_interrupted
from jobs.redaction import public_address, redact
from jobs.store.address import absolute_path
from jobs.store.s3 import check_bucket, list_objects, probe, resolve, translate_errors

_TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A recording as its source lists it."""

    track_id: str  # path below the root of the source, with "/" and the suffix
    uri: str  # absolute path or public address; as jobs.inputs.path_text has it
    source: str  # source that lists the recording: an absolute path or a public address
    path: str = field(repr=False)  # path or address to open; it may hold secrets
    size: int | None  # bytes; None if the file cannot be examined
    modified: int | None  # microseconds since 1970, UTC


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path or several; addresses that fsspec reads are paths too."""


def list_source(
    source: str,
    unlisted: list[str],
    links: list[str],
    on_ignored: Callable[[str, str], None] | None,
) -> tuple[str, Iterator[SourceFile]]:
    """Return the absolute path or public address of a source, and its recordings.

    Folders that cannot be read are added to ``unlisted``, and what may name a file twice to
    ``links``.
    """
    if source.startswith("s3://"):
        check_bucket(source)
        address = source.removesuffix("/")
        return address, _list_bucket(address)
    if "://" in source and not source.startswith("file://"):
        # A signature may end in a slash.
        address = source if _is_web(source) and "?" in source else source.rstrip("/")
        return public_address(address), _list_remote(address)
    path = absolute_path(source)
    if os.path.isdir(path):
        return to_text(path), _walk(path, ["**", "*"], unlisted, links, on_ignored, source=path)
    if os.path.lexists(path):
        if path.lower().endswith(list_file.SUFFIXES):
            links.append(path)
            return to_text(path), _list_entries(path)
        if path.lower().endswith(_TABLE_SUFFIXES):
            raise UsageError(
                f"{source} is a table, not a recording. To import its features, run: songmill "
                f"import-features {shlex.quote(source)} --store STORE"
            )
        return to_text(path), iter([_listed(path, os.path.dirname(path), to_text(path))])
    if glob.has_magic(path):
        root = _glob_root(path)
        steps = path.removeprefix(root).lstrip("/").split("/")
        return to_text(path), _walk(root, steps, unlisted, links, on_ignored, source=path)
    raise UsageError(
        f"there is no {public_address(source)}. A source is a folder, a file, a glob in quotes or "
        f"a list file ({', '.join(list_file.SUFFIXES)})"
    )


def _walk(
    root: str,
    steps: list[str],
    unlisted: list[str],
    links: list[str],
    on_ignored: Callable[[str, str], None] | None,
    *,
    source: str,
) -> Iterator[SourceFile]:
    """Yield the recordings below ``root`` that match the ``steps`` of a glob.

    Links to folders are followed, cycles excepted; ``*`` and ``**`` match no hidden name. Folders
    that cannot be listed are added to ``unlisted``; :func:`glob.glob` would skip them silently.
    Links are added to ``links``.
    """
    steps, source = complete(steps), to_text(source)
    pending = [(root, frozenset[tuple[int, int]](), frozenset([0]))]
    while pending:
        raise_if_interrupted()
        folder, parents, current = pending.pop()
        visited = parents | {_inode(folder)}
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            unlisted.append(to_text(folder))
            continue
        for entry in entries:
            if entry.is_symlink():
                links.append(entry.path)
            following = advance(steps, current, entry.name)
            ends = len(steps) in following and _is_audio(entry.name)
            is_folder = bool(following) and _is_folder(entry)
            if ends and (not is_folder or _is_empty(entry.path)):
                # An empty folder named like a recording is listed, so that its failure is reported.
                yield _listed(entry.path, root, source)
            elif (
                is_folder
                and (deeper := following - {len(steps)})
                and _inode(entry.path) not in visited
            ):
                pending.append((entry.path, visited, deeper))
            elif on_ignored:
                on_ignored(to_text(entry.path), _why_ignored(entry.name, is_folder=is_folder))


def _why_ignored(name: str, *, is_folder: bool) -> str:
    """Return why an entry of a folder is not listed."""
    if name.startswith("."):
        return "hidden"
    if is_folder:
        return "a folder that is listed elsewhere, or not meant by the glob"
    return "not meant by the glob" if _is_audio(name) else "no recording, by its suffix"


def _list_entries(path: str) -> Iterator[SourceFile]:
    """Yield the recordings that a list file names."""
    root = os.path.dirname(path)
    for entry in list_file.read_list(path):
        if "://" in entry:
            uri = public_address(entry)
            yield _listed_remote(entry, uri, uri.partition("://")[2], path, None)
            continue
        below = entry.startswith(root.rstrip("/") + "/")
        yield _listed(entry, root if below else "/", to_text(path))


def refresh(recording: SourceFile) -> SourceFile:
    """Return a recording with its current size and time; at an address they stay as listed."""
    if "://" in recording.path:
        return recording
    size, modified = _stat(recording.path)
    return replace(recording, size=size, modified=modified)


def is_visible(source: str) -> bool:
    """Tell whether a local source, or the root of a glob, exists on this machine."""
    if "://" in source:
        return True
    return any(
        os.path.lexists(path) or (glob.has_magic(path) and os.path.isdir(_glob_root(path)))
        for path in (source, from_text(source))
    )


def _glob_root(pattern: str) -> str:
    """Return the folder before the first wildcard of a glob."""
    fixed = pattern[: min(pattern.find(wild) for wild in "*?[" if wild in pattern)]
    return fixed.rpartition("/")[0] or "/"


def _listed(path: str, root: str, source: str) -> SourceFile:
    # Both are normalised, so the slow os.path.relpath would add nothing. A list may name "/".
    track = path.removeprefix(root).lstrip("/") or "."
    return SourceFile(to_text(track), to_text(path), source, path, *_stat(path))


def _stat(path: str) -> tuple[int | None, int | None]:
    """Return the bytes of a regular file and its microseconds since 1970, or (None, None)."""
    try:
        state = os.stat(path)
    except OSError:
        return None, None
    if not stat.S_ISREG(state.st_mode):
        return None, None
    return state.st_size, state.st_mtime_ns // 1000


def _list_bucket(source: str) -> Iterator[SourceFile]:
    """Yield the recordings below an address of an object store.

    The address is literal. If there is no such object, it may be a glob.
    """
    with _redact_errors(source), translate_errors(source):
        found = list_objects(source)
        first = next(found, None)
        root, steps = source, ["**", "*"]
        if first is not None:
            found = chain([first], found)
        elif glob.has_magic(source):
            root = _glob_root(source)
            steps = complete(source.removeprefix(f"{root}/").split("/"))
            found = list_objects(root)
        for path, info in found:
            raise_if_interrupted()
            uri = f"s3://{path}"
            if uri == root:
                yield _listed_remote(uri, uri, path.rpartition("/")[2], source, info)
                continue
            track = uri.removeprefix(f"{root}/")
            if _is_audio(track) and matches(steps, track.split("/")):
                yield _listed_remote(uri, uri, track, source, info)


def _list_remote(source: str) -> Iterator[SourceFile]:
    """Yield the recordings below an address of fsspec, other than those of an object store."""
    public = public_address(source)
    with _redact_errors(source), translate_errors(public):
        system, root = _resolve(source)
        is_web = _is_web(source)
        is_glob = glob.has_magic(public) and not system.exists(root)
        if is_web and not is_glob and ("?" in source or _is_audio(public)):
            # fsspec lists the links of a web page, but not below an address with a query.
            name = public.rpartition("/")[2]
            yield _listed_remote(source, public, name, public, system.info(root))
            return
        base = source  # paths of the file system may lack the host
        found: Iterable[tuple[str, dict[str, Any]]]
        if is_glob:
            found = system.glob(root, detail=True).items()
            root, base = _glob_root(root), _glob_root(source)
        else:
            found = system.find(root, detail=True).items()
        public_root, public_base = public_address(root), public_address(base)
        for path, info in found:
            raise_if_interrupted()
            name = public_address(path)
            if path == root and not is_glob:
                yield _listed_remote(source, public, name.rpartition("/")[2], public, info)
                continue
            track = name.removeprefix(public_root).lstrip("/")
            hidden = any(step.startswith(".") for step in track.split("/"))
            if info.get("type") == "file" and _is_audio(name) and not hidden:
                full = path if is_web else f"{base}/{track}"
                yield _listed_remote(full, f"{public_base}/{track}", track, public, info)


def _is_web(address: str) -> bool:
    return address.lower().startswith(("http://", "https://"))


@contextmanager
def _redact_errors(address: str) -> Iterator[None]:
    """Replace the errors of fsspec's libraries, which quote the address, by one without secrets."""
    try:
        yield
    except SongmillError:
        raise
    except Exception as error:
        cause = error.__cause__ or error  # fsspec may replace the server's answer
        text = redact(str(cause) or type(cause).__name__, address)
        raise SongmillError(f"{public_address(address)} cannot be listed: {text}") from None


def _resolve(address: str) -> tuple[Any, str]:
    """Return the file system of an address and its path there; UsageError if it has none."""
    try:
        return resolve(address)
    except (ImportError, ValueError) as error:
        cause = redact(str(error), address)
        raise UsageError(f"{public_address(address)} cannot be reached: {cause}") from None


def _listed_remote(
    path: str, uri: str, track: str, source: str, info: dict[str, Any] | None
) -> SourceFile:
    if info is None:
        with _redact_errors(path):
            system, name = _resolve(path)
            try:
                with translate_errors(uri):
                    info = dict(system.info(name))
            except OSError as error:
                if path.startswith("s3://") and probe(path) == "silent":
                    raise StoreError(
                        f"the object store with {uri} does not answer: {error}"
                    ) from None
                info = {}
    keys = ("LastModified", "last_modified", "mtime", "modified", "created")
    moment = next((info[key] for key in keys if info.get(key) is not None), None)
    modified = None
    if moment is not None:
        seconds = moment.timestamp() if hasattr(moment, "timestamp") else float(moment)
        modified = round(seconds * 1e6)
    return SourceFile(track, uri, to_text(source), path, info.get("size"), modified)


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


def _inode(folder: str) -> tuple[int, int]:
    """Return the device and inode of a folder; (-1, -1) if it cannot be read."""
    try:
        state = os.stat(folder)
    except OSError:
        return (-1, -1)
    return (state.st_dev, state.st_ino)


def _is_audio(name: str) -> bool:
    _, dot, suffix = name.lstrip(".").rpartition(".")  # faster than os.path.splitext
    return bool(dot) and f".{suffix.lower()}" in AUDIO_SUFFIXES
