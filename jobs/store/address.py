"""Addresses of stores: a folder's path, or ``s3://BUCKET/PREFIX``."""

import os

from jobs.errors import UsageError
from jobs.redaction import public_address
from jobs.store.folder import Folder
from jobs.store.folder_lock import FolderLock
from jobs.store.lock import Lock
from jobs.store.storage import Storage


def absolute_path(path: str) -> str:
    """Return a local path or ``file://`` address as an absolute path; ``~`` is the home folder.

    Examples
    --------
    >>> absolute_path("file:///music/../tables")
    '/tables'
    """
    return os.path.abspath(expand_home(path.removeprefix("file://")))


def expand_home(path: str) -> str:
    """Return a path with ``~`` as the home folder, unless there is a file of this very name.

    Shells do not expand it in ``--store=~/tables``, and not in a file of options.

    Examples
    --------
    >>> expand_home("/music"), expand_home("~/music") == os.path.expanduser("~/music")
    ('/music', True)
    """
    return path if os.path.lexists(path) else os.path.expanduser(path)


def storage_of(root: str) -> Storage:
    """Return the storage below a root: a folder's path, or ``s3://BUCKET/PREFIX``.

    Examples
    --------
    >>> storage_of("/music/tables").path("files/part-1.parquet")
    '/music/tables/files/part-1.parquet'
    """
    if root.startswith("s3://"):
        from jobs.store.bucket import Bucket

        return Bucket(root)
    return Folder(root)


def lock_of(storage: Storage) -> Lock:
    """Return the lock of the store in ``storage``; it is not held yet.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root, lock_of(storage_of(root)) as lock:
    ...     lock.check()
    """
    if isinstance(storage, Folder):
        return FolderLock(storage)
    from jobs.store.bucket import Bucket
    from jobs.store.bucket_lock import BucketLock

    assert isinstance(storage, Bucket)
    return BucketLock(storage)


def storage_at(address: str) -> Storage:
    """Return the storage at an address that a user has given.

    Raises
    ------
    UsageError
        No store can be there.
    """
    if address.startswith("s3://"):
        from jobs.store.s3 import check_bucket

        check_bucket(address)
        return storage_of(address)
    if "://" in address and not address.startswith("file://"):
        raise UsageError(
            "a store is a folder or s3://BUCKET/PREFIX, and "
            f"{public_address(address)} is neither: name one of them"
        )
    root = absolute_path(address)
    if os.path.exists(root) and not os.path.isdir(root):
        raise UsageError(f"a store is a folder, and {root} is a file")
    storage = storage_of(root)
    try:
        storage.root.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the path {storage.root} is not UTF-8, which readers of Parquet require: "
            "name another folder"
        ) from None
    return storage
