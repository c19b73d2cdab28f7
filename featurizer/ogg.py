"""Damage to an Ogg stream that its decoders do not report.

A decoder leaves out a page with a wrong checksum. libsndfile takes the length of a stream from the
sample positions of its first and last page, and so does not notice the loss of these two.
"""

import struct
import zlib
from dataclasses import dataclass

from featurizer.file_access import FilePart

# RFC 3533, 6: "OggS", version, flags, position, serial number, page number, checksum, and the
# number of segments, followed by the size of each.
_HEADER = struct.Struct("<4sBBqIIIB")
_CAPTURE = b"OggS\0"
_CHECKSUM_AT = 22
_END_OF_STREAM = 4

_MAX_PAGE_BYTES = _HEADER.size + 255 + 255 * 255

_BLOCK_BYTES = 1 << 20
"""Bytes in which to search for the page after a damaged one."""

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """A page of an Ogg stream.

    Parameters
    ----------
    size : int > 0
        In bytes, with its header.
    number : int >= 0
        Position in the stream.
    has_samples : bool
        False for a page of the stream's headers.
    is_last : bool
        Whether it ends the stream.
    """

    size: int
    number: int
    has_samples: bool
    is_last: bool


def parse_page(content: bytes, at: int) -> Page | None:
    r"""Return the page at an offset; None if there is no complete page with a correct checksum.

    Parameters
    ----------
    content : bytes
    at : int >= 0

    Examples
    --------
    >>> header = b"OggS\0\4" + bytes(8) + b"\1\0\0\0\7\0\0\0"
    >>> parse_page(header + bytes.fromhex("35b4e2ce") + b"\1\3abc", 0)
    Page(size=31, number=7, has_samples=False, is_last=True)
    >>> parse_page(header + bytes.fromhex("35b4e2ce") + b"\1\3abd", 0) is None
    True
    """
    if not content.startswith(_CAPTURE, at) or len(content) < at + _HEADER.size:
        return None
    _, _, flags, position, _, number, checksum, n_segments = _HEADER.unpack_from(content, at)
    body = at + _HEADER.size + n_segments
    sizes = content[at + _HEADER.size : body]
    end = body + sum(sizes)
    if len(sizes) < n_segments or len(content) < end:
        return None
    unsigned = content[at : at + _CHECKSUM_AT] + bytes(4) + content[at + _CHECKSUM_AT + 4 : end]
    if _crc(unsigned) != checksum:
        return None
    return Page(end - at, number, position != 0, bool(flags & _END_OF_STREAM))


def lost_share(file: FilePart, *, is_whole: bool) -> float:
    """Return the size of the damaged pages in a stream.

    Parameters
    ----------
    file : FilePart
        An Ogg stream.
    is_whole : bool
        Whether to look at all pages, and not only at those before the first readable samples.

    Returns
    -------
    share : float >= 0
        Relative to the rest of the file. Pages without samples do not count.
    """
    start = number = lost = 0
    while True:
        content = file.read_at(start, _MAX_PAGE_BYTES)
        page = parse_page(content, 0)
        if page is None:
            has_samples = not content.startswith(_CAPTURE) or content[6:14] != bytes(8)
            at, page = _find_page(file, start)
            if page is None:
                break
            # What lies between pages with consecutive numbers was inserted.
            if has_samples and page.number != number:
                lost += max(at - start, page.size)
            start = at
        if page.has_samples and not is_whole:
            break
        start += page.size
        number = page.number + 1
    return lost / max(1, file.size - lost)


def _find_page(file: FilePart, start: int) -> tuple[int, Page | None]:
    """Return the offset of the next page that can be read, and that page; None if there is none."""
    block = file.read_at(start, _BLOCK_BYTES)
    at = block.find(_CAPTURE)
    while at >= 0:
        page = parse_page(block, at)
        if page is not None:
            return start + at, page
        at = block.find(_CAPTURE, at + 1)
    return file.size, None


def stream_end(file: FilePart) -> int | None:
    """Return the end of the page that ends the stream, which other bytes may follow.

    Parameters
    ----------
    file : FilePart
        An Ogg stream.

    Returns
    -------
    offset : int or None
        None if the last page is damaged or does not end the stream.
    """
    stop = file.size
    while stop > 0:
        start = max(0, stop - _MAX_PAGE_BYTES)
        block = file.read_at(start, stop - start + len(_CAPTURE) - 1)
        at = block.rfind(_CAPTURE)
        if at >= 0:
            page = parse_page(file.read_at(start + at, _MAX_PAGE_BYTES), 0)
            return start + at + page.size if page is not None and page.is_last else None
        stop = start
    return None


def _crc(content: bytes) -> int:
    """Return the checksum of a page: the CRC of zlib with reversed bits and another start value."""
    crc = zlib.crc32(content.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
