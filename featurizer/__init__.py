"""Feature extraction: one recording in, rows of numbers out.

May know NumPy, SciPy, Numba and the audio decoders; imports no other package here but `compiling`.
"""
