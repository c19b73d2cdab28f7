"""Compile songmill's kernels; the machine code is saved in ``NUMBA_CACHE_DIR``."""

import numpy as np

import songmill
from featurizer.extract import features


def main() -> None:
    """Compile the kernels of both feature sets and of the search for neighbours."""
    noise = np.random.default_rng(0).normal(size=300_000).astype(np.float32)
    features(noise)
    songmill.nearest(noise.reshape(3000, 100))


if __name__ == "__main__":
    main()
