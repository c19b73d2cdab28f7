"""How the hot loops are compiled: one decorator for each kind of loop.

A kernel runs on one thread (a worker is one process a core), releases the interpreter's lock, and
divides by zero as NumPy does, giving inf or nan. It asks for no vector instruction by name: LLVM
takes those that the processor has.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

from compiling import machine_code

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function of arrays and scalars at its first call.

    Parameters
    ----------
    function : callable
        What Numba's nopython mode accepts. Its floating-point results are those of its source.

    Returns
    -------
    kernel : callable
        The compiled function, of the same signature. Its machine code is kept on disk where there
        is a place for it.
    """
    kernel: Any = numba.njit(nogil=True, error_model="numpy")(function)
    file = Path(function.__code__.co_filename)
    # A function that comes from no file has no place either.
    if file.is_file() and (folder := machine_code.folder(file.parent)) is not None:
        # Numba takes the folder from its settings, which are everybody's in this process.
        setting = vars(config)["CACHE_DIR"]
        vars(config)["CACHE_DIR"] = str(folder)
        try:
            kernel._cache = machine_code.KernelCache(kernel.py_func)
        finally:
            vars(config)["CACHE_DIR"] = setting
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


def summing(function: _Function) -> _Function:
    """Inline a function as :func:`inlined` does, and let its sums be taken in any order.

    LLVM vectorises no sum that it must not reorder. It is inlined because a function of its own may
    be compiled more than once, with another order each time, and the results would differ from
    process to process.

    Parameters
    ----------
    function : callable
        One whose results may differ by the rounding of its sums from processor to processor.

    Returns
    -------
    inlined : callable
        The function, of the same signature.
    """
    return cast(_Function, numba.njit(forceinline=True, fastmath={"reassoc", "nsz"})(function))
