"""Frames of AMR, which has neither a length in its header nor marks in its frames."""

from featurizer.file_access import FilePart

# 3GPP TS 26.101 and 26.201: bytes of a frame by its type, with the header of one byte.
_FRAME_BYTES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1),
}

MAX_FRAME_BYTES = 61

_PADDING_BITS = 0x83
"""Bits of a frame header that are 0 (RFC 4867, 5.3)."""


def frames_end(file: FilePart) -> int:
    r"""Return the end of the last frame before the first one that is damaged or incomplete.

    Parameters
    ----------
    file : FilePart
        An AMR recording.

    Returns
    -------
    offset : int >= 0

    Examples
    --------
    >>> import io
    >>> from featurizer.file_access import DecoderFile
    >>> raw = io.BytesIO(b"#!AMR\n" + 2 * (b"\x3c" + bytes(31)) + b"TAG")
    >>> frames_end(FilePart(DecoderFile(raw, None), 0, 73))
    70
    """
    content = file.read_at(0, file.size)
    at = content.find(b"\n") + 1
    sizes = _FRAME_BYTES.get(content[:at])
    if sizes is None:  # several channels
        return file.size
    while at < len(content) and not content[at] & _PADDING_BITS:
        end = at + sizes[content[at] >> 3]
        if end > len(content) or not any(content[at:end]):  # zeros are padding
            break
        at = end
    return at
