import numpy as np
import pytest

from featurizer.moments import Moments, sample_moments


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


@pytest.mark.parametrize("n", [1, 15, 16, 17, 66149])
def test_samples_are_summed_in_double_precision(n: int) -> None:
    x = (np.random.default_rng(n).normal(size=n) + 100).astype(np.float32)
    mean, deviations = sample_moments(x)
    wide = x.astype(np.float64)
    assert mean == pytest.approx(wide.mean(), rel=1e-12)
    assert deviations == pytest.approx(wide.var() * n, rel=1e-10, abs=1e-15)
