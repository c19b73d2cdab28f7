"""Scratch arrays that are reused from block to block and from file to file.

Writing to fresh memory costs a page fault per 4 kB, which takes as long as the arithmetic on it.
"""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

_buffers = threading.local()


def workspace(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Any:
    """Return a per-thread scratch array; the next request for the same name reuses its memory.

    Parameters
    ----------
    name : str
        Key of the memory. Arrays from earlier requests for this name become invalid.
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Type of its values.

    Returns
    -------
    array : np.ndarray [shape=shape, dtype=dtype, C-contiguous]
        Uninitialised.

    Examples
    --------
    >>> a = workspace("example", (2, 3))
    >>> b = workspace("example", (3, 2))
    >>> np.shares_memory(a, b)
    True
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory: npt.NDArray[np.uint8] | None = getattr(_buffers, name, None)
    if memory is None or len(memory) < size:
        memory = np.empty(size, dtype=np.uint8)
        setattr(_buffers, name, memory)
    return memory[:size].view(dtype).reshape(shape)
