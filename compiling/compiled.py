"""Decorators that compile kernels, one for each kind of loop.

A kernel runs on one thread, because there is one worker process per core. It releases the
interpreter lock. It divides by zero as NumPy does, giving inf or nan. It names no vector
instructions: LLVM uses those that the processor has.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

from compiling import machine_code

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function of arrays and scalars on its first call.

    Parameters
    ----------
    function : callable
        Anything that Numba's nopython mode accepts. Floating-point operations keep their source
        order.

    Returns
    -------
    kernel : callable
        The compiled function, with the same signature. Its machine code is cached on disk if a
        cache folder is available.

    Examples
    --------
    >>> @compiled
    ... def reciprocal(x):
    ...     return 1.0 / x
    >>> reciprocal(4.0), reciprocal(0.0)
    (0.25, inf)
    """
    kernel: Any = numba.njit(nogil=True, error_model="numpy")(function)
    file = Path(function.__code__.co_filename)
    # A function without a source file, such as one typed at a prompt, cannot be cached.
    if file.is_file() and (folder := machine_code.cache_folder(file.parent)) is not None:
        # Numba reads the folder from settings that the whole process shares.
        setting = vars(config)["CACHE_DIR"]
        vars(config)["CACHE_DIR"] = str(folder)
        try:
            kernel._cache = machine_code.KernelCache(kernel.py_func)
        finally:
            vars(config)["CACHE_DIR"] = setting
    return cast(_Function, kernel)


def inlined(function: _Function) -> _Function:
    """Compile a small function into each kernel that calls it, so that LLVM can vectorise it there.

    Parameters
    ----------
    function : callable
        As for :func:`compiled`. Only kernels should call it.

    Returns
    -------
    inlined : callable
        The function, with the same signature.

    Examples
    --------
    >>> @inlined
    ... def square(x):
    ...     return x * x
    >>> @compiled
    ... def hypotenuse(a, b):
    ...     return (square(a) + square(b)) ** 0.5
    >>> hypotenuse(3.0, 4.0)
    5.0
    """
    return cast(_Function, numba.njit(forceinline=True)(function))


def fusing(function: _Function) -> _Function:
    """Inline a function as :func:`inlined` does, and allow LLVM to fuse products with sums.

    A fused multiply-add is rounded once, and takes the time of a product.

    Parameters
    ----------
    function : callable
        A function whose sums of products may be rounded differently on different processors.

    Returns
    -------
    inlined : callable
        The function, with the same signature.

    Examples
    --------
    >>> @fusing
    ... def square_and_add(x, y):
    ...     return x * x + y
    >>> @compiled
    ... def polynomial(x):
    ...     return square_and_add(x, 1.0)
    >>> polynomial(3.0)
    10.0
    """
    return cast(_Function, numba.njit(forceinline=True, fastmath={"contract"})(function))


def summing(function: _Function) -> _Function:
    """Inline a function as :func:`inlined` does, and allow LLVM to reorder its sums.

    LLVM vectorises a floating-point sum only if it may reorder it. Inlining makes the order
    deterministic: a separate function may be compiled more than once, each time with another order,
    and results would differ between processes.

    Parameters
    ----------
    function : callable
        A function whose sums may be rounded differently on different processors.

    Returns
    -------
    inlined : callable
        The function, with the same signature.

    Examples
    --------
    >>> import numpy as np
    >>> @summing
    ... def total(values):
    ...     result = 0.0
    ...     for value in values:
    ...         result += value
    ...     return result
    >>> @compiled
    ... def mean(values):
    ...     return total(values) / len(values)
    >>> mean(np.arange(5.0))
    2.0
    """
    return cast(_Function, numba.njit(forceinline=True, fastmath={"reassoc", "nsz"})(function))
