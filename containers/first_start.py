"""Create what the containers authenticate with: TLS certificates for Dask, and credentials.

This runs before the other containers at every start and creates only what is missing. Each secret
is read from a file in ``/secrets``, else from the environment, else it is generated. It is written
to the files that the AWS and PostgreSQL client libraries read by default, readable only by the
one user that all containers run as.
"""

import datetime
import os
import secrets
import sys
from pathlib import Path

from jobs.cluster import certificates
from jobs.store.atomic import atomic_write

VALID_YEARS = 10
"""Validity of the certificates. To renew them, remove their volume."""


def make_certificates(folder: Path) -> bool:
    """Write the certificates of :func:`jobs.cluster.certificates.make_certificates`, once.

    Parameters
    ----------
    folder : Path
        Folder for ``authority.pem``, ``cluster.pem`` and ``cluster.key``, in PEM, readable only by
        their owner.

    Returns
    -------
    bool
        True if they were created, False if they existed.
    """
    if (folder / "cluster.pem").exists():
        return False
    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365 * VALID_YEARS)
    made = certificates.make_certificates(valid_until=expiry)
    _write(folder / "cluster.key", made.key.encode())
    _write(folder / "authority.pem", made.authority.encode())
    # Written last: it marks the set as complete.
    _write(folder / "cluster.pem", made.certificate.encode())
    return True


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically, readable only by its owner."""
    with atomic_write(str(path)) as temporary:
        Path(temporary).touch(0o600, exist_ok=False)
        Path(temporary).write_bytes(data)


def read_secret(name: str, folder: Path) -> str | None:
    """Return the secret from the file ``folder/name``, else from the variable ``SONGMILL_NAME``.

    Raises
    ------
    SystemExit
        The file cannot be read, or the secret has characters that the credentials files of AWS or
        PostgreSQL cannot hold.
    """
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = os.environ.get(f"SONGMILL_{name.upper()}", "").strip()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(
            f"cannot read the secret {path} ({error}): make it a text file that user {os.getuid()} "
            "can read"
        )
    if any(character in text for character in ' \t\r\n"\\'):
        sys.exit(f"the secret {name} has a space, a quote or a backslash: choose one without")
    return text or None


def make_credentials(object_store: Path, database: Path, folder: Path) -> None:
    """Write the object store's credentials and the database's password if they are missing.

    Object store credentials that are given replace existing ones.

    Parameters
    ----------
    object_store : Path
        Folder for ``credentials``, in the format of ``AWS_SHARED_CREDENTIALS_FILE``.
    database : Path
        Folder for ``password``, and for ``pgpass`` in the format of ``PGPASSFILE``.
    folder : Path
        Folder of the given secrets (see :func:`read_secret`).

    Raises
    ------
    SystemExit
        A secret is unusable, or only one of the object store's two is given.
    """
    path = object_store / "credentials"
    key = read_secret("object_store_key", folder)
    secret = read_secret("object_store_secret", folder)
    if bool(key) != bool(secret):
        sys.exit("object_store_key and object_store_secret go together: set both, or neither")
    if key or not path.exists():
        key, secret = key or secrets.token_hex(10), secret or secrets.token_hex(20)
        lines = ["[default]", f"aws_access_key_id = {key}", f"aws_secret_access_key = {secret}"]
        _write(path, ("\n".join(lines) + "\n").encode())
    path = database / "pgpass"
    if not path.exists():
        password = read_secret("database_password", folder) or secrets.token_hex(20)
        _write(database / "password", f"{password}\n".encode())
        escaped = password.replace(":", "\\:")
        _write(path, f"*:*:*:songmill:{escaped}\n".encode())


def main() -> None:
    """Create everything in the folders that docker-compose.yml mounts."""
    created = make_certificates(Path("/certificates"))
    make_credentials(
        Path("/object-store-credentials"), Path("/database-credentials"), Path("/secrets")
    )
    sys.stdout.write(f"certificates: {'created' if created else 'exist'}; credentials: exist\n")


if __name__ == "__main__":
    main()
