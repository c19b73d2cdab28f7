"""A cluster with TLS refuses jobs and workers without a certificate of its authority."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client
from distributed.security import Security
from support.cluster_processes import Processes, Result, processes, wait_until
from support.recordings import make_collection

from containers.first_start import make_certificates

pytestmark = pytest.mark.slow


def variables(folder: Path) -> dict[str, str]:
    """Return the environment variables of docker-compose.yml."""
    tls = "DASK_DISTRIBUTED__COMM__TLS"
    roles = ("SCHEDULER", "WORKER", "CLIENT")
    return {
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
        f"{tls}__CA_FILE": str(folder / "authority.pem"),
        **{f"{tls}__{role}__CERT": str(folder / "cluster.pem") for role in roles},
        **{f"{tls}__{role}__KEY": str(folder / "cluster.key") for role in roles},
    }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    assert make_certificates(folder)
    return folder


@pytest.fixture(params=["nothing", "another authority"])
def unknown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Environment without a certificate of the cluster's authority."""
    if request.param == "nothing":
        return {}
    folder = tmp_path_factory.mktemp("another")
    make_certificates(folder)
    return variables(folder)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Processes]:
    with processes(tmp_path_factory.mktemp("cluster") / "processes") as found:
        found.variables = variables(certificates)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(found.variables, "DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME", "tls")
            found.start_cluster(1)
        assert found.address.startswith("tls://")
        yield found


def extract(cluster: Processes, folder: Path, scheduler: str, known: dict[str, str]) -> Result:
    music = folder / "music"
    make_collection(music, 2)
    line = ["extract", music, "--store", folder / "store", "--scheduler", scheduler, "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "variables", known)
        return cluster.songmill(*line).wait()


def error_line(result: Result) -> str:
    """Return the only error line, the last of stderr; it names Dask's settings."""
    assert "Traceback" not in result.err
    *_, last = result.err.splitlines()
    assert last.startswith("songmill: ")
    assert result.err.count("songmill: ") == 1
    return last


def test_a_job_with_the_certificate_works(
    cluster: Processes, certificates: Path, tmp_path: Path
) -> None:
    result = extract(cluster, tmp_path, cluster.address, variables(certificates))
    assert result.code == 0, result
    assert result.outcome["extracted"] == 2


def test_a_job_without_the_certificate_is_refused(
    cluster: Processes, unknown: dict[str, str], tmp_path: Path
) -> None:
    result = extract(cluster, tmp_path, cluster.address, unknown)
    assert result.code == 1
    assert "certificate" in error_line(result)
    assert not (tmp_path / "store" / "features").exists()


def test_a_job_without_tls_is_refused(cluster: Processes, tmp_path: Path) -> None:
    result = extract(cluster, tmp_path, cluster.address.replace("tls://", "tcp://"), {})
    assert result.code == 1
    assert "tls://" in error_line(result)


def test_a_worker_without_the_certificate_takes_no_part(
    cluster: Processes, certificates: Path, unknown: dict[str, str]
) -> None:
    (log,) = cluster.folder.glob("scheduler-*.err")
    seen = len(log.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "variables", unknown)
        cluster.start_worker()
    intruder = cluster.workers.pop()
    # It ends by itself, or the scheduler rejects it.
    wait_until(
        lambda: intruder.poll() is not None or "handshake failed" in log.read_text()[seen:],
        what="the worker is turned away",
    )
    security = Security(
        require_encryption=True,
        tls_ca_file=str(certificates / "authority.pem"),
        tls_client_cert=str(certificates / "cluster.pem"),
        tls_client_key=str(certificates / "cluster.key"),
    )
    with Client(cluster.address, security=security) as client:
        client.wait_for_workers(1, timeout=60)
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 1
    cluster.end(intruder)


def test_certificates_are_made_once_and_their_key_is_its_owners(tmp_path: Path) -> None:
    assert make_certificates(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == ["authority.pem", "cluster.key", "cluster.pem"]
    assert (tmp_path / "cluster.key").stat().st_mode & 0o077 == 0
    assert not make_certificates(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
