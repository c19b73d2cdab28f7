"""Memory that is used again, from block to block and from file to file.

Fresh memory costs a page fault for every 4 kB that is written to: as much time as the arithmetic on
it takes.
"""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

_buffers = threading.local()


def workspace(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Any:
    """Give an array whose memory the thread's next request of that name gets again.

    Parameters
    ----------
    name : str
        What the memory is for. What an earlier request of the name gave is written over.
    shape : tuple of int
        The array's shape.
    dtype : dtype
        The type of its values.

    Returns
    -------
    array : np.ndarray [shape=shape, dtype=dtype, C-contiguous]
        Its values are left over from earlier use.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory: npt.NDArray[np.uint8] | None = getattr(_buffers, name, None)
    if memory is None or len(memory) < size:
        memory = np.empty(size, dtype=np.uint8)
        setattr(_buffers, name, memory)
    return memory[:size].view(dtype).reshape(shape)
