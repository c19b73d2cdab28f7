"""What speaks to an object store: asks again, lists by the page, and tells what is whose fault.

What a store's files are in a bucket, :mod:`jobs.store.bucket` says.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Literal

from jobs.errors import StoreError, UsageError

_ATTEMPTS = 12
"""The waits between them are drawn by lot, up to one second first and up to twenty in the end: 75 s
in all on average, and of ten thousand requests one is given up within 25 s."""
_CONNECT_S = 10
_READ_S = 60


@cache
def file_system() -> Any:
    """Return what speaks to the object store, by the credentials and the address that it finds.

    Throttled and failed requests are tried again, with longer and longer waits: while an object
    store is away for half a minute, no work is lost.
    """
    import fsspec

    retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
    timeouts = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
    # What was listed a moment ago is no news of a store that others write to.
    return fsspec.filesystem(
        "s3", use_listings_cache=False, config_kwargs={"retries": retries, **timeouts}
    )


def reach(address: str) -> tuple[Any, str]:
    """Return the file system of an address that fsspec reads, and what that calls it.

    Raises
    ------
    ImportError, ValueError
        As from fsspec, which lacks a package or knows no such protocol.
    """
    if address.startswith("s3://"):
        return file_system(), address.removeprefix("s3://")
    import fsspec

    system, path = fsspec.core.url_to_fs(address)
    return system, path


def list_objects(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the facts of every object below an address, or of the one that is there.

    The object store is asked for a page at a time, and no page is kept.

    Parameters
    ----------
    address : str
        ``s3://BUCKET``, ``s3://BUCKET/PREFIX`` or an object's.

    Yields
    ------
    path : str
        ``BUCKET/KEY``, ascending.
    facts : dict
        Those that fsspec's own listings have: ``type``, ``size`` in bytes, ``LastModified``.
    """
    bucket, _, prefix = address.removeprefix("s3://").rstrip("/").partition("/")
    system = file_system()
    more: dict[str, Any] = {"Prefix": f"{prefix}/"} if prefix else {}
    none = True
    while True:
        page = system.call_s3("list_objects_v2", Bucket=bucket, **more)
        for facts in page.get("Contents", []):
            none = False
            yield f"{bucket}/{facts['Key']}", {**facts, "type": "file", "size": facts["Size"]}
        if not page.get("IsTruncated"):
            break
        more["ContinuationToken"] = page["NextContinuationToken"]
    if none and prefix:
        with suppress(FileNotFoundError):
            yield f"{bucket}/{prefix}", system.info(f"{bucket}/{prefix}")


def _ask_for_one(address: str) -> None:
    file_system().call_s3("list_objects_v2", Bucket=bucket_of(address), MaxKeys=1)


def bucket_of(address: str) -> str:
    """Return the name of an address's bucket; nothing where it names none."""
    return address.partition("://")[2].partition("/")[0]


def is_lost(error: BaseException | None) -> bool:
    """Tell whether an error may be one of the way to an object store, and not of an object."""
    from botocore.exceptions import BotoCoreError

    return isinstance(error, OSError | BotoCoreError) and not isinstance(error, FileNotFoundError)


def state_of(address: str) -> Literal["answers", "denies", "silent"]:
    """Say what the object store does when it is asked for the objects of an address's bucket."""
    try:
        with answering(address):
            _ask_for_one(address)
    except FileNotFoundError:
        return "answers"
    except PermissionError:
        return "denies"
    except (OSError, StoreError):
        return "silent"
    return "answers"


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Say in our words that an object store has not answered, however often it was asked.

    Raises
    ------
    StoreError
        In place of what botocore raises.
    """
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise StoreError(f"the object store with {address} does not answer: {error}") from None


def check_bucket(address: str) -> None:
    """See that the bucket of a store or a source is there and can be read, before any work.

    Raises
    ------
    UsageError
        It is not, or cannot.
    """
    bucket = bucket_of(address)
    if not bucket:
        raise UsageError(f"{address} names no bucket: say s3://BUCKET/PREFIX")
    from botocore.exceptions import BotoCoreError

    try:
        _ask_for_one(address)
    except FileNotFoundError:
        raise UsageError(f"there is no bucket {bucket}: make it first, or name another") from None
    except PermissionError as error:
        raise UsageError(
            f"the bucket {bucket} does not take these credentials ({error}): AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, say others"
        ) from None
    except (BotoCoreError, OSError) as error:
        raise UsageError(
            f"the object store with {address} does not answer as it should ({error}): "
            "AWS_ENDPOINT_URL says where, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who "
            "asks"
        ) from None
