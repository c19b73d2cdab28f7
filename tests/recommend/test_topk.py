"""Kernels of the lists, against NumPy."""

import numpy as np
import pytest

from recommend.neighbours import factors
from recommend.topk import cosines_of, cosines_of_pairs, error_bound, merge, rank_exactly
from recommend.vectors import cosines_with

NO_OFFSETS = np.zeros(50)


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("d", [1, 7, 8, 57, 64])
def test_cosines_are_those_of_numpy(d: int) -> None:
    vectors = unit(300, d)
    found = cosines_with(vectors, vectors[0])
    np.testing.assert_allclose(found, vectors @ vectors[0], rtol=0, atol=1e-15)


def test_a_cosine_is_the_same_from_either_side_and_never_above_one() -> None:
    vectors = unit(400, 57)
    both = np.array([cosines_with(vectors, vector) for vector in vectors])
    assert (both == both.T).all()
    assert both.max() <= 1
    assert both.min() >= -1


@pytest.mark.parametrize("d", [2, 57, 1000])
def test_single_precision_errors_are_within_the_bound(d: int) -> None:
    random = np.random.default_rng(d)
    for scale in (0.0, 1.0, 30.0):
        # Random vectors, similar vectors, and vectors dominated by one column.
        vectors = np.concatenate([unit(300, d), unit(1, d) + 1e-4 * random.normal(size=(300, d))])
        vectors[:, 0] += scale
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        single = vectors.astype(np.float32)
        error = np.abs((single @ single.T).astype(float) - vectors @ vectors.T).max()
        assert error < error_bound(d)
    assert error_bound(d) < 1e-6 * (d + 6)


@pytest.mark.parametrize("d", [2, 57, 1000])
@pytest.mark.parametrize("greatest", [0.01, 0.4, 1.5])
def test_errors_with_offsets_are_within_the_bound(d: int, greatest: float) -> None:
    vectors = np.concatenate([unit(300, d), unit(1, d) + 1e-4 * unit(300, d)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    offsets = np.random.default_rng(d).uniform(-greatest, greatest, 600)
    left, right = factors(vectors, offsets)
    exact = vectors @ vectors.T - offsets - offsets[:, np.newaxis]
    error = np.abs((left @ right.T).astype(float) - exact).max()
    assert error < error_bound(d, np.abs(offsets).max())
    assert error > error_bound(d) / (d + 60)  # of the same order


def test_merging_keeps_the_best() -> None:
    cosines, indices = np.full((2, 2), -np.inf, np.float32), np.full((2, 2), -1, np.int32)
    rows = np.array([0, 0, 0, 1, 0])
    found = np.array([0.125, 0.5, 0.375, 0.25, 0.375], np.float32)
    merge(cosines, indices, rows, found, np.array([5, 4, 9, 1, 7], np.int32))
    assert sorted(zip(cosines[0], indices[0], strict=True)) == [(0.375, 9), (0.5, 4)]
    assert sorted(zip(cosines[1], indices[1], strict=True)) == [(-np.inf, -1), (0.25, 1)]


def test_entries_are_ranked_by_exact_cosines_and_ties_by_index() -> None:
    vectors = unit(50, 57)
    vectors[[7, 31, 12]] = vectors[20]
    cosines = np.array([[0.3, 0.5, 0.5, 0.5, 0.9]], np.float32)
    indices = np.array([[-1, 31, 7, 12, 40]], np.int32)
    found, exact, gaps = rank_exactly(vectors, NO_OFFSETS, 20, cosines, indices, 3)
    assert found.tolist() == [[7, 12, 31]]
    np.testing.assert_allclose(exact, 1, atol=1e-15)
    np.testing.assert_allclose(gaps, 0.7, atol=1e-6)
    found, exact, _ = rank_exactly(vectors, NO_OFFSETS, 20, cosines, indices, 4)
    assert found.tolist() == [[7, 12, 31, 40]]
    np.testing.assert_allclose(exact[0, 3], vectors[20] @ vectors[40])


def test_entries_are_ranked_by_their_cosine_less_their_offset() -> None:
    vectors = unit(50, 57)
    vectors[[7, 31, 12]] = vectors[20]
    offsets = np.zeros(50)
    offsets[[12, 7, 20]] = 0.25, 0.125, 0.5
    # In the lists the own offset, .5, is taken off too.
    similarities = np.array([[-0.2, 0.5, 0.375, 0.25, 0.1]], np.float32)
    indices = np.array([[-1, 31, 7, 12, 40]], np.int32)
    found, scores, gaps = rank_exactly(vectors, offsets, 20, similarities, indices, 3)
    assert found.tolist() == [[31, 7, 12]]
    np.testing.assert_allclose(scores, [[1, 0.875, 0.75]], atol=1e-15)
    np.testing.assert_allclose(gaps, 0.75 - (-0.2 + 0.5), atol=1e-7)


def test_cosines_of_pairs_are_those_with_one_vector() -> None:
    vectors = unit(50, 57)
    pairs = np.random.default_rng(0).integers(0, 50, (90, 2))
    expected = [cosines_with(vectors, vectors[i])[j] for i, j in pairs]
    assert (cosines_of_pairs(vectors, pairs) == expected).all()


@pytest.mark.parametrize("d", [1, 7, 8, 57, 63, 64])
def test_cosines_of_lists_are_those_with_one_vector(d: int) -> None:
    vectors = unit(50, d)
    indices = np.random.default_rng(0).integers(0, 50, (10, 7))
    indices[3, 2] = np.iinfo(np.int64).max
    found = cosines_of(vectors, 20, indices)
    assert found[3, 2] == -np.inf
    indices[3, 2] = 0
    found[3, 2] = cosines_with(vectors, vectors[23])[0]
    for i in range(10):
        assert (found[i] == cosines_with(vectors, vectors[20 + i])[indices[i]]).all()
