"""TLS certificates of a Dask cluster, signed by an authority of its own."""

from datetime import UTC, datetime
from typing import NamedTuple

VALID_FROM = datetime(1970, 1, 1, tzinfo=UTC)
"""Start of the validity: a clock that is set back makes no certificate "not yet valid"."""

NO_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""End of the validity of a certificate that does not expire (RFC 5280, section 4.1.2.5)."""


class Certificates(NamedTuple):
    """Certificates and private key of a cluster's processes, in PEM."""

    authority: str  # certificate of the authority, which all processes trust
    certificate: str  # certificate that all processes share
    key: str  # private key of `certificate`


def make_certificates(valid_until: datetime = NO_EXPIRY) -> Certificates:
    """Create a certificate authority and one certificate for all processes of a cluster.

    The authority's private key is not kept, so that nothing else can be signed with it.

    Parameters
    ----------
    valid_until : datetime
        End of the validity, with a time zone. By default the certificates do not expire.

    Examples
    --------
    >>> made = make_certificates()
    >>> [text.splitlines()[0] for text in made]
    ['-----BEGIN CERTIFICATE-----', '-----BEGIN CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----']
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        for text in ("songmill authority", "songmill cluster")
    )

    def sign(subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, ca: bool) -> str:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(VALID_FROM)
            .not_valid_after(valid_until)
            .add_extension(
                x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True
            )
            .sign(authority_key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Certificates(
        sign(authority_name, authority_key.public_key(), ca=True),
        sign(name, key.public_key(), ca=False),
        private.decode(),
    )
