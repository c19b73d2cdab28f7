"""Redaction: addresses and messages without passwords, tokens and signatures.

An address that a user gives may contain secrets: ``https://me:password@host/``, a signed URL, or a
database with its password. Recordings and databases are opened with the full address; only its
public part is stored or shown. Messages of libraries may quote an address, so every error, log line
and ``message`` of a table is redacted too.
"""

import re
from urllib.parse import quote, unquote

MASK = "***"
"""Replaces a secret in a message."""

_MIN_TOKEN = 8
"""Length from which a value of unknown meaning is removed from a message: shorter ones, such as
``1``, would be found in other words too."""

_URI_SCHEMES = ("http", "https", "postgres", "postgresql")
"""Schemes in which ``?`` and ``#`` always end the path; in others, names may contain them."""

_WEB_SCHEMES = ("http", "https")
"""Schemes in which a name without a password may be a token."""

_SECRET_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|token|signature|credential|api_?key|\bsig)"
)

_CHAIN = re.compile(r"::(?=[a-z][a-z0-9+.-]*:/)", re.IGNORECASE)  # as in zip://*.wav::https://…
_LINK = re.compile(r"(([a-z][a-z0-9+.-]*):/+)(.*)", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"\?[^/?=]+=")
_ADDRESS = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*:/+[^\s\"'<>]+", re.IGNORECASE)
_AFTER_USER = re.compile(r"(?<=:)[^\s/]+(?=@)")
_SETTING = re.compile(  # of libpq: values are quoted, or have escaped spaces
    rf"({_SECRET_NAME}\w*\s*=\s*)('(?:\\.|[^'\\])*'?|(?:\\.|[^\s\\])+)", re.IGNORECASE
)


def public_address(address: str) -> str:
    """Return an address without its password and its query; a path is returned as it is.

    The user's name is kept, except in ``http`` and ``https``, where it may be a token. One slash
    instead of two, and special characters in the password that are not escaped, hide nothing less.

    Examples
    --------
    >>> public_address("https://me:secret@host/blues/1.wav?expires=17&signature=secret")
    'https://host/blues/1.wav'
    >>> public_address("sftp://me:se/cret@host/blues/1.wav")
    'sftp://me@host/blues/1.wav'
    """
    if ":/" not in address:
        return address
    return "::".join(_public_link(link) for link in _CHAIN.split(address))


def redact(text: str, address: str = "") -> str:
    """Return a message without the secrets of all addresses and settings in it.

    Parameters
    ----------
    text : str
        The message, which may come from a library.
    address : str
        An address with secrets. These are also removed where they stand alone.

    Examples
    --------
    >>> redact("status 404 of https://me:secret@host/1.wav?signature=secret")
    'status 404 of https://host/1.wav'
    >>> redact("invalid URI parameter: secret", "postgresql://me@host/music?password=secret")
    'invalid URI parameter: ***'
    >>> redact("no connection with host=db password='se cret'")
    'no connection with host=db password=***'
    """
    if address:
        text = text.replace(address, public_address(address))
        for secret in sorted(_secrets(address), key=len, reverse=True):
            text = text.replace(secret, MASK)
    text = _ADDRESS.sub(_public_match, text)
    text = _AFTER_USER.sub(MASK, text)
    return _SETTING.sub(rf"\1{MASK}", text)


def _public_match(found: re.Match[str]) -> str:
    """Return the public address of an address in a text, with the punctuation that follows."""
    address = found[0].rstrip(".,:;)]}")
    return public_address(address) + found[0][len(address) :]


def _public_link(link: str) -> str:
    start, scheme, user, path, _ = _split(link)
    name = "" if scheme in _WEB_SCHEMES else user.partition(":")[0]
    return f"{start}{name}{'@' if name else ''}{path}"


def _split(link: str) -> tuple[str, str, str, str, str]:
    """Split an address into start (``https://``), scheme, user, host with path, and query."""
    found = _LINK.fullmatch(link)
    if not found:
        return "", "", "", link, ""
    start, scheme, rest = found[1], found[2].lower(), found[3]
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = host.rfind("@")
    if end < 0 and ":" in host and not host.startswith("["):
        # A password with / ? # looks like a port that is not a number, or has no path after it.
        name, _, port = host.rpartition(":")
        following = rest[len(host) : len(host) + 1]
        if ":" in name or not port.isdigit() or following in ("?", "#"):
            end = rest.rfind("@")
    user, path = rest[: max(end, 0)], rest[end + 1 :]
    if scheme == "s3":  # a `?` is part of the key
        return start, scheme, user, path, ""
    query = re.search(r"[?#]", path) if scheme in _URI_SCHEMES else _QUERY.search(path)
    stop = query.start() if query else len(path)
    return start, scheme, user, path[:stop], path[stop + 1 :]


def _secrets(address: str) -> set[str]:
    """Return the secrets of an address, each as it is written, decoded and encoded."""
    secrets = set[str]()
    for link in _CHAIN.split(address):
        _, scheme, user, _, query = _split(link)
        name, _, password = user.partition(":")
        secrets.add(password)
        web = scheme in _WEB_SCHEMES
        if web and len(name) >= _MIN_TOKEN:
            secrets.add(name)
        for parameter in re.split(r"[&#]", query):
            name, _, value = parameter.partition("=")
            if re.search(_SECRET_NAME, name, re.IGNORECASE) or (web and len(value) >= _MIN_TOKEN):
                secrets.add(value)
    forms = secrets | {unquote(secret) for secret in secrets}
    return (forms | {quote(form, safe="") for form in forms}) - {""}
