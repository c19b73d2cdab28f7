"""Compile the kernels of librosa that most tests use; Numba saves them in NUMBA_CACHE_DIR."""

import numpy as np

from benchmarks.plain_recipe import plain_features

plain_features(np.random.default_rng(0).normal(size=100_000).astype(np.float32))
