"""Compilation of kernels, and the cache of their machine code.

It uses Numba and imports no other package of this project.
"""
