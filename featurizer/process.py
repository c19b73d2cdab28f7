"""Settings of a process that extracts features: one BLAS thread, and memory kept between files."""

import contextlib
import ctypes
import functools

# Of malloc.h.
_M_TRIM_THRESHOLD = -1

_M_MMAP_THRESHOLD = -3

_KEPT_BYTES = 32 * 2**20
"""So much freed memory may a process keep for its next file; the most that glibc allows."""


@functools.cache
def prepare_process() -> None:
    """Set what a process that works has for itself alone."""
    from threadpoolctl import threadpool_limits

    import featurizer.extract  # noqa: F401  # loads the libraries that are limited

    # With more threads, the sums of matrix products come in another order, and differ.
    threadpool_limits(limits=1)
    # Dask has the memory allocator give everything back at once: a page fault for every 4 kB of
    # every block of every file. Where there is no glibc there is nothing to set.
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
