"""Extraction of the features of one recording.

It uses NumPy, SciPy, Numba and the audio decoders; of songmill it imports only :mod:`compiling`.
"""

from pkgutil import extend_path

# Further folders `featurizer/sets` on the module search path hold further feature sets.
__path__ = extend_path(__path__, __name__)
