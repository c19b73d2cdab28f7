"""Contents of a damaged file that should hold a JSON object with entries."""

DAMAGED_JSON = (b"", b"{", b"[]", b"null", b"5", b'"x"', b"{}", b"\xff", b"[" * 100_000)


def short_id(text: bytes) -> str:
    """Return the name of a test's case: the beginning of the content."""
    return ascii(text[:40])
