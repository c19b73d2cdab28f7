import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurizer.moments import Moments
from featurizer.overlap_add import OverlapAdd


def moments(frames: npt.NDArray[np.float32], y: npt.NDArray[np.float32], cut: int) -> Moments:
    n = len(frames)
    sums = OverlapAdd(y, n)
    for start, stop in [(0, cut), (cut, n)] if cut else [(0, n)]:
        block = frames[start:stop]
        if len(block) % 2:
            # The partner of the last odd frame must be ignored.
            block = np.concatenate([block, np.full((1, 2048), np.nan, dtype=np.float32)])
        pairs = np.ascontiguousarray(block.reshape(-1, 2, 2048).transpose(0, 2, 1))
        sums.add(pairs.reshape(-1, 4096), start, stop)
    return sums.moments


@given(n=st.integers(3, 40), cut=st.integers(0, 30), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_the_moments_are_those_of_librosas_inverse_and_the_rest(
    n: int, cut: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    D = librosa.stft(rng.normal(size=512 * (n - 1) + 1025).astype(np.float32))[:, :n]
    D *= rng.random(D.shape) < 0.5
    y = rng.normal(size=512 * (n - 1) + 100).astype(np.float32)
    frames = np.fft.irfft(D.T).astype(np.float32)
    found = moments(frames, y, cut if cut < n - 3 and cut >= 3 else 0)
    percussive = librosa.istft(D)
    assert found.count == len(percussive) == 512 * (n - 1)
    for i, x in enumerate((y[: len(percussive)] - percussive, percussive)):
        wide = x.astype(np.float64)
        assert found.mean[i] == pytest.approx(wide.mean(), abs=1e-8)
        assert found.variance[i] == pytest.approx(wide.var(), rel=1e-6)
