"""Compile songmill's kernels; the machine code is saved in ``NUMBA_CACHE_DIR``."""

import numpy as np

import songmill
from featurizer.extract import features
from recommend.same_recording import same_recording
from recommend.topk import cosines_of


def main() -> None:
    """Compile the kernels of both feature sets, of the search for neighbours and of duplicates."""
    noise = np.random.default_rng(0).normal(size=300_000).astype(np.float32)
    features(noise)
    songmill.nearest(noise.reshape(3000, 100))
    vectors = np.eye(100)
    songmill.nearest(vectors)  # equal cosines need a kernel of their own
    same_recording(vectors, 0.9)
    cosines_of(vectors, 0, np.zeros((100, 1), np.int64))


if __name__ == "__main__":
    main()
