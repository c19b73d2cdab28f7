"""Make what the containers trust one another by: certificates for Dask, credentials for others.

Run before the others at every start, it makes only what is missing. A secret is taken from a file
in ``/secrets``, else from the environment, else it is drawn; it is written in the form in which
AWS's libraries and PostgreSQL's find it by themselves, readable by the one user that all
containers have.
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

from jobs.store.whole_file import whole_file

YEARS = 10
"""For so long the certificates hold; to make new ones, remove their volume."""


def make_certificates(folder: Path) -> bool:
    """Make an authority and one certificate of it, for all that take part in a Dask cluster.

    The authority's key is kept nowhere, so that it signs nothing else.

    Parameters
    ----------
    folder : Path
        Gets ``authority.pem``, ``cluster.pem`` and ``cluster.key``: PEM, for their owner only.

    Returns
    -------
    bool
        Whether they were made; not where they are.
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
    # The last one: with it they are complete.
    _write(folder / "cluster.pem", certificate.public_bytes(pem))
    return True


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


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
        # The clocks of two machines differ.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    with whole_file(str(path)) as temporary:
        Path(temporary).touch(0o600, exist_ok=False)
        Path(temporary).write_bytes(data)


def given(name: str, folder: Path) -> str | None:
    """Return the secret that a file ``folder``/``name``, or ``SONGMILL_NAME``, says.

    Raises
    ------
    SystemExit
        It cannot be read, or has what the files of AWS and PostgreSQL cannot hold.
    """
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = os.environ.get(f"SONGMILL_{name.upper()}", "").strip()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(
            f"the secret {path} cannot be read ({error}): it must be text that user {os.getuid()} "
            "can read"
        )
    if any(character in text for character in ' \t\r\n"\\'):
        sys.exit(f"the secret {name} has a space, a quote or a backslash: take one without")
    return text or None


def make_credentials(object_store: Path, database: Path, folder: Path) -> None:
    """Write the object store's credentials and the database's password where they are missing.

    Parameters
    ----------
    object_store : Path
        Gets ``credentials``, in the form of ``AWS_SHARED_CREDENTIALS_FILE``.
    database : Path
        Gets ``password`` and ``pgpass``, in the form of ``PGPASSFILE``.
    folder : Path
        Where secrets may be given (see :func:`given`).
    """
    path = object_store / "credentials"
    key = given("object_store_key", folder)
    secret = given("object_store_secret", folder)
    if bool(key) != bool(secret):
        sys.exit("object_store_key and object_store_secret go together: say both, or neither")
    if key or not path.exists():
        key, secret = key or secrets.token_hex(10), secret or secrets.token_hex(20)
        lines = ["[default]", f"aws_access_key_id = {key}", f"aws_secret_access_key = {secret}"]
        _write(path, ("\n".join(lines) + "\n").encode())
    path = database / "pgpass"
    if not path.exists():
        password = given("database_password", folder) or secrets.token_hex(20)
        _write(database / "password", f"{password}\n".encode())
        escaped = password.replace(":", "\\:")
        _write(path, f"*:*:*:songmill:{escaped}\n".encode())


def main() -> None:
    """Do it in the folders that docker-compose.yml mounts."""
    made = make_certificates(Path("/certificates"))
    make_credentials(
        Path("/object-store-credentials"), Path("/database-credentials"), Path("/secrets")
    )
    sys.stdout.write(f"certificates: {'made' if made else 'there'}; credentials: there\n")


if __name__ == "__main__":
    main()
