"""Compilation of kernels, and the cache of their machine code.

It uses Numba and imports no other package of this project.
"""

import os

# For debugging other code. Numba reads it again whenever it compiles, and then compiles nothing.
os.environ.pop("NUMBA_DISABLE_JIT", None)
