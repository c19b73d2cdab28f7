import numpy as np
import pytest

from recommend.topk import LANES, cosines_with, margin, merge, padded


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("d", [1, 7, 8, 57, 64])
def test_cosines_are_those_of_numpy(d: int) -> None:
    vectors = unit(300, d)
    found = cosines_with(padded(vectors), padded(vectors[:1])[0])
    np.testing.assert_allclose(found, vectors @ vectors[0], rtol=0, atol=1e-15)


def test_a_cosine_is_the_same_from_either_side_and_never_above_one() -> None:
    vectors = padded(unit(400, 57))
    both = np.array([cosines_with(vectors, vector) for vector in vectors])
    assert (both == both.T).all()
    assert both.max() <= 1
    assert both.min() >= -1


def test_padding_adds_zeros_only() -> None:
    vectors = unit(3, 57)
    assert padded(vectors).shape == (3, 64)
    assert (padded(vectors)[:, :57] == vectors).all()
    assert (padded(vectors)[:, 57:] == 0).all()
    assert padded(unit(3, 2 * LANES)).shape == (3, 2 * LANES)


@pytest.mark.parametrize("d", [2, 57, 1000])
def test_single_precision_is_off_by_less_than_the_margin(d: int) -> None:
    random = np.random.default_rng(d)
    for scale in (0.0, 1.0, 30.0):
        # Near one another, in general, and with one column that outweighs the others.
        vectors = np.concatenate([unit(300, d), unit(1, d) + 1e-4 * random.normal(size=(300, d))])
        vectors[:, 0] += scale
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        single = vectors.astype(np.float32)
        off = np.abs((single @ single.T).astype(float) - vectors @ vectors.T).max()
        assert off < margin(d)
    assert margin(d) < 1e-6 * (d + 6)


def test_merging_keeps_the_best_and_of_equals_the_first() -> None:
    cosines, indices = np.full((2, 2), -np.inf), np.full((2, 2), 99)
    rows = np.array([0, 0, 0, 1, 0, 0])
    merge(
        cosines,
        indices,
        rows,
        np.array([0.1, 0.5, 0.3, 0.2, 0.3, 0.3]),
        np.array([5, 4, 9, 1, 7, 8]),
    )
    assert sorted(zip(cosines[0], indices[0], strict=True)) == [(0.3, 7), (0.5, 4)]
    assert sorted(zip(cosines[1], indices[1], strict=True)) == [(-np.inf, 99), (0.2, 1)]
