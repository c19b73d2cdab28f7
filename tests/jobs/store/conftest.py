"""Storages: a folder, and a bucket of a real object store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.object_store import ObjectStore, as_our_own, object_store

from jobs.store import lock
from jobs.store.address import storage_of
from jobs.store.folder import Folder
from jobs.store.storage import Storage


@pytest.fixture(scope="session")
def started_server() -> Iterator[ObjectStore]:
    with object_store() as found:
        found.system().mkdir("music")
        yield found


@pytest.fixture(scope="module")
def server(started_server: ObjectStore) -> Iterator[ObjectStore]:
    with as_our_own(started_server):
        yield started_server


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "not yet" / "root"))


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder or a bucket, for what both do alike."""
    if request.param == "bucket":
        request.getfixturevalue("server")
        return storage_of(f"s3://music/{tmp_path.name}/store/")
    found: Storage = request.getfixturevalue("folder")
    return found


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every lease look expired, and send no heartbeats."""
    monkeypatch.setattr(lock, "HEARTBEAT_S", 3600.0)
    monkeypatch.setattr(lock, "LEASE_S", 0.0)
