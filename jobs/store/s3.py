"""S3 client: retries, paged listings, error classification.

:mod:`jobs.store.bucket` is the storage on top of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Literal

from jobs.errors import StoreError, UsageError
from jobs.extras import require
from jobs.redaction import public_address

_ATTEMPTS = 12
"""Attempts per request. Waits are random, up to 1 s at first and up to 20 s later: 75 s in total on
average. One request in ten thousand fails within 25 s."""
_CONNECT_S = 10
_READ_S = 60


@cache
def file_system() -> Any:
    """Return fsspec's S3 file system, with the endpoint and credentials of the environment.

    Throttled and failed requests are retried with growing waits, so that an outage of half a minute
    loses no work.
    """
    return _connect(_ATTEMPTS, _CONNECT_S, _READ_S)


@cache
def impatient_file_system() -> Any:
    """Return another one, which gives up within 5 s: for the renewal of a lease."""
    system = _connect(1, 2, 3)
    system.retries = 1  # those of s3fs
    return system


def _connect(attempts: int, connect_s: float, read_s: float) -> Any:
    require("s3")
    import fsspec

    retries = {"mode": "standard", "total_max_attempts": attempts}
    timeouts = {"connect_timeout": connect_s, "read_timeout": read_s}
    # Other processes write to the store: cached listings would be stale.
    system = fsspec.filesystem(
        "s3", use_listings_cache=False, config_kwargs={"retries": retries, **timeouts}
    )
    system.split_path = split_path
    return system


def split_path(path: str) -> tuple[str, str, None]:
    """Return the bucket and the key of a path, and no version: every key is taken literally.

    s3fs itself would take ``?versionId=`` in a key for a version.

    Examples
    --------
    >>> split_path("music/a//b?versionId=7.wav")
    ('music', 'a//b?versionId=7.wav', None)
    """
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return bucket, key, None


def resolve(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and the path in it.

    Raises
    ------
    ImportError
        The protocol needs a package that is not installed.
    ValueError
        fsspec does not know the protocol.

    Examples
    --------
    >>> resolve("memory://music/a.wav")[1]
    '/music/a.wav'
    """
    if address.startswith("s3://"):
        return file_system(), address.removeprefix("s3://")
    import fsspec

    system, path = fsspec.core.url_to_fs(address)
    return system, path


def list_objects(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and metadata of every object below an address, or of the object at it.

    Listings are fetched page by page, in constant memory.

    Parameters
    ----------
    address : str
        ``s3://BUCKET``, ``s3://BUCKET/PREFIX`` or the address of an object.

    Yields
    ------
    path : str
        ``BUCKET/KEY``, ascending.
    metadata : dict
        As in fsspec's listings: ``type``, ``size`` in bytes, ``LastModified``.
    """
    bucket, prefix, _ = split_path(address)
    system = file_system()
    query: dict[str, Any] = {"Prefix": f"{prefix}/"} if prefix else {}
    empty = True
    while True:
        page = system.call_s3("list_objects_v2", Bucket=bucket, **query)
        for found in page.get("Contents", []):
            empty = False
            yield f"{bucket}/{found['Key']}", {**found, "type": "file", "size": found["Size"]}
        if not page.get("IsTruncated"):
            break
        query["ContinuationToken"] = page["NextContinuationToken"]
    if empty and prefix:
        with suppress(FileNotFoundError):
            yield f"{bucket}/{prefix}", system.info(f"{bucket}/{prefix}")


def _list_one(address: str) -> None:
    file_system().call_s3("list_objects_v2", Bucket=bucket_of(address), MaxKeys=1)


def bucket_of(address: str) -> str:
    """Return the bucket's name; empty if the address has none.

    Examples
    --------
    >>> bucket_of("s3://music/tables/files")
    'music'
    """
    return address.partition("://")[2].partition("/")[0]


def may_be_outage(error: BaseException | None) -> bool:
    """Return whether an error may come from the connection or the object store, not the object.

    Examples
    --------
    >>> may_be_outage(ConnectionResetError()), may_be_outage(FileNotFoundError())
    (True, False)
    """
    from botocore.exceptions import BotoCoreError

    return isinstance(error, OSError | BotoCoreError) and not isinstance(error, FileNotFoundError)


def probe(address: str) -> Literal["answers", "denies", "silent"]:
    """List one object of the address's bucket, and return how the object store reacts."""
    try:
        with translate_errors(address):
            _list_one(address)
    except FileNotFoundError:
        return "answers"
    except PermissionError:
        return "denies"
    except (OSError, StoreError):
        return "silent"
    return "answers"


@contextmanager
def translate_errors(address: str) -> Iterator[None]:
    """Translate botocore's errors, which come after all retries have failed.

    Raises
    ------
    StoreError
        The object store does not answer.
    """
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise StoreError(f"the object store with {address} does not answer: {error}") from None


def check_bucket(address: str) -> None:
    """Check that the bucket of a store or a source exists and can be read, before any work.

    Raises
    ------
    UsageError
        It does not exist, refuses the credentials, or the object store does not answer; or the
        address has credentials itself.
    """
    public = public_address(address)
    if address != public:
        raise UsageError(
            f"{public} was given with credentials: leave them out, and set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    bucket = bucket_of(address)
    if not bucket:
        raise UsageError(f"{address} names no bucket: write s3://BUCKET/PREFIX")
    from botocore.exceptions import BotoCoreError

    try:
        _list_one(address)
    except FileNotFoundError:
        raise UsageError(f"there is no bucket {bucket}: make it first, or name another") from None
    except PermissionError as error:
        raise UsageError(
            f"the bucket {bucket} refuses these credentials ({error}): set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to others"
        ) from None
    except (BotoCoreError, OSError) as error:
        raise UsageError(
            f"the object store with {address} does not answer correctly ({error}): check "
            "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
