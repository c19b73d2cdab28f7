"""How the hot loops are compiled: one decorator for all of them.

A kernel runs on one thread (a worker is one process a core), releases the interpreter's lock, and
divides by zero as NumPy does, giving inf or nan. Its machine code is kept on disk where Numba finds
a place that it may write to, so that only the first process of a machine compiles it.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function of arrays and scalars at its first call.

    Parameters
    ----------
    function : callable
        What Numba's nopython mode accepts. Its floating-point results are those of its source: no
        reordering of sums unless the function spells it out.

    Returns
    -------
    kernel : callable
        The compiled function, of the same signature.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither beside the source nor in the user's cache folder may anything be written.
        kernel = numba.njit(**options)(function)
    return cast(_Function, kernel)


def inlined(function: _Function) -> _Function:
    """Compile a small function into each kernel that calls it, where LLVM can vectorise through it.

    Parameters
    ----------
    function : callable
        As for :func:`compiled`; only kernels call it.

    Returns
    -------
    inlined : callable
        The function, of the same signature.
    """
    return cast(_Function, numba.njit(forceinline=True)(function))
