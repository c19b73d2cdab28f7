"""How kernels are compiled, and where their machine code is cached.

It knows Numba and the file system, and imports no other package of this project.
"""
