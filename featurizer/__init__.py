"""Extraction of the features of one recording.

It uses NumPy, SciPy, Numba and the audio decoders; of songmill it imports only :mod:`compiling`.
"""
