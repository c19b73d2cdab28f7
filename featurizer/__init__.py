"""Feature extraction: one recording in, rows of numbers out.

It knows NumPy, SciPy, Numba and the audio decoders; of songmill it imports :mod:`compiling` only.
"""
