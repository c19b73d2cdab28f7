r"""Paths as text: the tables hold UTF-8, and the names of files hold any bytes.

A byte that is not part of UTF-8 is written as ``\xff``. A backslash that would be read as the
beginning of such an escape is written as ``\x5c``, so that every path has a text of its own.
"""

import re

_ESCAPE = re.compile(r"\\x(5c|[89a-f][0-9a-f])")
_LIKE_ESCAPE = re.compile(r"\\(?=x(?:5c|[89a-f][0-9a-f]))")


def to_text(path: str) -> str:
    r"""Return a path as text.

    Parameters
    ----------
    path : str
        A path as Python has it: bytes that are not UTF-8 are lone surrogates (PEP 383).

    Examples
    --------
    >>> print(to_text("caf\udce9.wav"), to_text(r"caf\xe9.wav"), to_text(r"AC\DC.wav"))
    caf\xe9.wav caf\x5cxe9.wav AC\DC.wav
    """
    if path.isascii() and "\\" not in path:
        return path
    return unescaped_text(_LIKE_ESCAPE.sub(r"\\x5c", path))


def unescaped_text(path: str) -> str:
    r"""Return a path as text of older versions, in which ``\xff`` may be a byte or four letters."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def from_text(text: str) -> str:
    r"""Return the path of a text: the inverse of :func:`to_text`.

    Examples
    --------
    >>> from_text(r"caf\xe9.wav"), from_text(r"caf\x5cxe9.wav") == r"caf\xe9.wav"
    ('caf\udce9.wav', True)
    """

    def byte(found: re.Match[str]) -> str:
        return bytes.fromhex(found[1]).decode("utf-8", "surrogateescape")

    return _ESCAPE.sub(byte, text) if "\\" in text else text
