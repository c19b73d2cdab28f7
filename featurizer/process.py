"""Settings of a process that extracts features: one BLAS thread, and memory kept between files."""

import contextlib
import ctypes
import functools
from contextlib import AbstractContextManager

# Of malloc.h.
_M_TRIM_THRESHOLD = -1

_M_MMAP_THRESHOLD = -3

_KEPT_BYTES = 32 * 2**20
"""Freed memory that a process keeps for its next file, in bytes: the most that glibc allows."""


def single_thread() -> AbstractContextManager[object]:
    """Limit matrix products to one thread, from now until the end of the body.

    With more threads, sums are added in another order, and their last digits differ.

    Examples
    --------
    >>> with single_thread():
    ...     pass
    """
    from threadpoolctl import threadpool_limits

    import featurizer.extract  # noqa: F401  # loads the libraries that are limited

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


@functools.cache
def prepare_process() -> None:
    """Prepare a worker's process: one thread, and memory that is kept between files."""
    single_thread()
    # Dask has the memory allocator give everything back at once: a page fault for every 4 kB of
    # every block of every file. Where there is no glibc there is nothing to set.
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
