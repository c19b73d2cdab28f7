"""Compile the kernels of songmill or of librosa, as ``python compile_kernels.py LIBRARY``."""

import sys

import numpy as np


def compile_kernels(library: str) -> None:
    """Compile the kernels that most tests use; Numba saves them in NUMBA_CACHE_DIR."""
    noise = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    if library == "songmill":
        import songmill
        from featurizer.extract import features

        features(np.tile(noise, 3))
        songmill.nearest(noise.reshape(1000, 100))
    else:
        from benchmarks.plain_recipe import plain_features

        plain_features(noise)


if __name__ == "__main__":
    compile_kernels(sys.argv[1])
