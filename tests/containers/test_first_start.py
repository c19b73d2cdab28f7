"""Credentials of the containers: generated once, or given by the user; their certificates."""

import configparser
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from containers.first_start import make_certificates, make_credentials


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OBJECT_STORE_KEY", "OBJECT_STORE_SECRET", "DATABASE_PASSWORD"):
        monkeypatch.delenv(f"SONGMILL_{name}", raising=False)


def start(folder: Path, **given: str) -> tuple[str, str, str]:
    """Start once and return the key, secret and password that were written."""
    for name in ("s3", "pg", "given"):
        (folder / name).mkdir(exist_ok=True)
    for name, text in given.items():
        (folder / "given" / name).write_text(text)
    make_credentials(folder / "s3", folder / "pg", folder / "given")
    for path in (*(folder / "s3").iterdir(), *(folder / "pg").iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    found = configparser.ConfigParser()
    found.read(folder / "s3" / "credentials")
    default = found["default"]
    password = (folder / "pg" / "password").read_text().removesuffix("\n")
    assert (folder / "pg" / "pgpass").read_text() == (
        f"*:*:*:songmill:{password.replace(':', chr(92) + ':')}\n"
    )
    return default["aws_access_key_id"], default["aws_secret_access_key"], password


def test_secrets_are_generated_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = start(tmp_path / "a")
    assert len(set(first)) == 3
    assert min(map(len, first)) >= 20
    assert start(tmp_path / "a") == first
    (tmp_path / "b").mkdir()
    assert not set(start(tmp_path / "b")) & set(first)


def test_files_override_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OBJECT_STORE_KEY", "OBJECT_STORE_SECRET", "DATABASE_PASSWORD"):
        monkeypatch.setenv(f"SONGMILL_{name}", f"environment-{name[-3:]}")
    assert start(tmp_path) == ("environment-KEY", "environment-RET", "environment-ORD")
    found = start(tmp_path, object_store_secret="file:secret\n")
    assert found == ("environment-KEY", "file:secret", "environment-ORD")


def test_a_password_with_a_colon_is_escaped(tmp_path: Path) -> None:
    assert start(tmp_path, database_password="a:b")[2] == "a:b"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"object_store_key": "alone"}, "set both"),
        ({"database_password": "two words"}, "database_password has a space"),
        ({"database_password": 'a"b'}, "a quote"),
        ({"database_password": "a\\b"}, "backslash"),
    ],
)
def test_unusable_secrets_are_rejected(tmp_path: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(SystemExit, match=message) as raised:
        start(tmp_path, **given)
    assert "alone" not in str(raised.value)
    assert "two words" not in str(raised.value)


def test_certificates_are_valid_for_ten_years_and_if_the_clock_is_set_back(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    for name in ("authority.pem", "cluster.pem"):
        certificate = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        assert left.days in (3649, 3650)
