"""Storage in an object store.

An object appears complete under its key, or not at all. There is no rename: an object is copied and
then deleted. If the process dies in between, both exist, and applying the commit's journal again
repairs that.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import pyarrow as pa

from jobs.store.s3 import (
    bucket_of,
    file_system,
    impatient_file_system,
    split_path,
    translate_errors,
)
from jobs.store.storage import Entry, Storage

COPIED_LAST = "model.json"
"""The file of a folder that is copied last: a model without it does not count."""

_DELETED_AT_ONCE = 1000
"""Maximum number of objects that one request removes (S3's limit)."""

_CONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict")


class Bucket(Storage):
    """The objects below ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``."""

    PRE_BUFFER = True

    def __init__(self, root: str) -> None:
        super().__init__(root.rstrip("/"))
        self._system = file_system()

    def _call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        with translate_errors(self.root):
            return getattr(self._system, operation)(*arguments, **options)

    def _find(self, operation: str, address: str, **options: Any) -> list[Any]:
        with suppress(FileNotFoundError):
            return list(self._call(operation, address, **options))
        return []

    def exists(self, name: str) -> bool:
        with suppress(FileNotFoundError):
            return bool(self._call("info", self.path(name))["type"] == "file")
        return False

    def names(self) -> list[str]:
        return sorted(map(_base_name, self._find("ls", self.root, detail=False)))

    def folders(self, folder: str) -> list[str]:
        found = self._entries(folder)
        return [_base_name(entry["name"]) for entry in found if entry["type"] == "directory"]

    def _entries(self, folder: str) -> list[dict[str, Any]]:
        found = self._find("ls", self.path(folder), detail=True)
        kept = [one for one in found if one["type"] != "file" or not _is_marker(one["name"])]
        return sorted(kept, key=lambda entry: _base_name(entry["name"]))

    def read(self, name: str) -> bytes:
        data: bytes = self._call("cat_file", self.path(name))
        return data

    @contextmanager
    def open(self, name: str, *, whole: bool = False) -> Iterator[Any]:
        if whole:
            yield pa.BufferReader(self.read(name))  # one request
            return
        with translate_errors(self.root), self._system.open(self.path(name), "rb") as file:
            yield file

    @contextmanager
    def writer(self, name: str, *, durable: bool = False) -> Iterator[IO[bytes]]:
        file = io.BytesIO()
        yield file
        # Objects are durable once the object store has confirmed them.
        self._call("pipe_file", self.path(name), file.getvalue())

    def create(self, name: str, data: bytes, *, durable: bool = False) -> bool:
        return self.replace(name, data, None) is not None

    def read_version(self, name: str) -> tuple[bytes, str]:
        """Return the content of ``name`` and its version."""
        from fsspec.asyn import sync

        bucket, key, _ = self._system.split_path(self.path(name))

        async def read() -> tuple[bytes, str]:
            found = await self._system._call_s3("get_object", Bucket=bucket, Key=key)
            async with found["Body"] as body:
                return await body.read(), str(found["ETag"])

        with translate_errors(self.root):
            content: tuple[bytes, str] = sync(self._system.loop, read)
        return content

    def replace(
        self, name: str, data: bytes, version: str | None, *, patient: bool = True
    ) -> str | None:
        """Write ``data`` as ``name`` if its version is ``version``; None if it must not exist.

        Return the new version; None if the condition does not hold. ``patient`` is whether failed
        requests are retried.
        """
        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        system = self._system if patient else impatient_file_system()
        try:
            with translate_errors(self.root):
                written = system.pipe_file(self.path(name), data, **condition)
        except (FileExistsError, FileNotFoundError):
            return None
        except OSError as error:
            if _error_code(error) in _CONDITION_FAILED:
                return None
            raise
        return str(written["ETag"])

    def remove_version(self, name: str, version: str) -> bool:
        """Remove ``name`` if its version is ``version``; return whether it was."""
        bucket, key, _ = self._system.split_path(self.path(name))
        try:
            self._call("call_s3", "delete_object", Bucket=bucket, Key=key, IfMatch=version)
        except FileNotFoundError:
            return False
        except OSError as error:
            if _error_code(error) in _CONDITION_FAILED:
                return False
            raise
        return True

    def move(self, name: str, to: str) -> None:
        try:
            self._call("cp_file", self.path(name), self.path(to))
        except FileNotFoundError:
            self._move_folder(name, to)
        else:
            self.remove(name)

    def _move_folder(self, name: str, to: str) -> None:
        files = [
            _base_name(key) for key in self._find("find", self.path(name)) if not _is_marker(key)
        ]
        if not files:
            raise FileNotFoundError(self.path(name))
        for file in sorted(files, key=lambda file: (file == COPIED_LAST, file)):
            self._call("cp_file", self.path(f"{name}/{file}"), self.path(f"{to}/{file}"))
        self.remove_folder(name)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._call("rm_file", self.path(name))

    def remove_folder(self, name: str) -> None:
        keys = [split_path(path)[1] for path in self._find("find", self.path(name))]
        # Not `rm`, which takes brackets in a key for a pattern.
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
            deleted = {"Objects": objects, "Quiet": True}
            self._call("call_s3", "delete_objects", Bucket=bucket_of(self.root), Delete=deleted)

    def sync(self, name: str) -> None:
        """Do nothing: an object store has no folders, and confirmed objects are durable."""

    def list(self, folder: str) -> Iterator[Entry]:
        for entry in self._entries(folder):
            if entry["type"] == "file":
                modified = entry["LastModified"].timestamp()
                yield Entry(f"{folder}/{_base_name(entry['name'])}", entry["size"], modified)


def _base_name(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]


def _is_marker(key: str) -> bool:
    """Return whether an object is an empty folder marker, which some object stores keep."""
    return key.endswith("/")


def _error_code(error: OSError) -> str:
    """Return the object store's own code of an error; empty if there is none."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
