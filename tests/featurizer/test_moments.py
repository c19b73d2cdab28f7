import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurizer.moments import Moments


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_portions_add_up_to_the_whole(offset: float) -> None:
    x = np.random.default_rng(0).normal(size=(1000, 3)) * [1, 10, 1e-3] + offset
    moments = Moments(3)
    for start, stop in [(0, 1), (1, 400), (400, 999), (999, 1000)]:
        moments.add(x[start:stop])
    assert moments.count == 1000
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, x.var(axis=0), rtol=1e-9, atol=1e-12)
    expected = [v for pair in zip(moments.mean, moments.variance, strict=True) for v in pair]
    np.testing.assert_array_equal(moments.interleaved(), expected)


def test_an_empty_portion_changes_nothing() -> None:
    moments = Moments(1)
    moments.merge(0, np.array([7.0]), np.array([7.0]))
    moments.add(np.array([[1.0], [3.0]]))
    moments.merge(0, np.array([7.0]), np.array([7.0]))
    np.testing.assert_array_equal(moments.interleaved(), [2.0, 1.0])


@given(n=st.integers(1, 3000), size=st.integers(1, 25), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_single_precision_is_summed_in_double(n: int, size: int, seed: int) -> None:
    x = (np.random.default_rng(seed).normal(size=(n, size)) + 100).astype(np.float32)
    moments = Moments(size)
    moments.add(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(moments.mean, wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, wide.var(axis=0), rtol=1e-9, atol=1e-15)
