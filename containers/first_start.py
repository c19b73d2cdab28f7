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

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobs.store.atomic import atomic_write

VALID_YEARS = 10
"""Validity of the certificates. To renew them, remove their volume."""


def make_certificates(folder: Path) -> bool:
    """Create a certificate authority and one certificate for all processes of a Dask cluster.

    The authority's private key is not saved, so that nothing else can be signed with it.

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
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _name("songmill authority")
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _certificate(_name("songmill cluster"), authority_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / "cluster.key", private)
    _write(folder / "authority.pem", authority.public_bytes(pem))
    # Written last: it marks the set as complete.
    _write(folder / "cluster.pem", certificate.public_bytes(pem))
    return True


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # The clocks of the machines may differ.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * VALID_YEARS))
    )


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
