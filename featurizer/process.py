"""Settings of a process that extracts features: one BLAS thread, and memory kept between files."""

import contextlib
import ctypes
import functools
from contextlib import AbstractContextManager

# Options of mallopt, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_KEPT_BYTES = 32 * 2**20
"""Bytes of freed memory that a process keeps for its next file: the most that glibc allows."""


def single_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread, from the call until the end of the ``with`` body.

    With more threads, BLAS adds in another order, and the last digits of sums differ.

    Examples
    --------
    >>> with single_thread():
    ...     pass
    """
    from threadpoolctl import threadpool_limits

    import featurizer.extract  # noqa: F401  # loads the libraries to limit

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


@functools.cache
def prepare_process() -> None:
    """Prepare a worker's process: one thread, and memory that is kept between files."""
    single_thread()
    # Dask makes the allocator return freed memory at once, which costs a page fault for every 4 kB
    # of every block. Only glibc has these settings.
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
