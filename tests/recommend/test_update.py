"""Neighbours after random changes of a collection, against a search from scratch."""

import numpy as np
import pytest

from recommend import update as module
from recommend.neighbours import MAX_DUPLICATES, nearest
from recommend.update import Lists, update
from recommend.vectors import unit

COUNT, K = 300, 5


def draw(random: np.random.Generator, count: int) -> np.ndarray:
    """Return random vectors; a third of them have copies and many equal cosines."""
    vectors = unit(random.normal(size=(count, 6)))
    pool = unit(np.random.default_rng(1).choice([-1.0, 0.5, 1.0], size=(40, 6)))
    is_copy = random.random(count) < 0.3
    vectors[is_copy] = pool[random.integers(40, size=int(is_copy.sum()))]
    return vectors


def offsets_of(vectors: np.ndarray, *, corrected: bool) -> np.ndarray | None:
    return np.abs(vectors[:, 0]) / 5 if corrected else None


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_updated_lists_equal_those_of_a_search_from_scratch(
    monkeypatch: pytest.MonkeyPatch, seed: int, *, corrected: bool
) -> None:
    monkeypatch.setattr(module, "COLUMNS", 64)
    monkeypatch.setattr(module, "QUERIES", 7)
    random = np.random.default_rng(seed)
    vectors = draw(random, COUNT)
    earlier = nearest(vectors, K, offsets=offsets_of(vectors, corrected=corrected))
    indices, cosines = earlier.lists(0, COUNT)
    pairs, pair_cosines = earlier.duplicates()
    # Some vectors leave, some change, and some come in between.
    kept = np.flatnonzero(random.random(COUNT) > 0.05)
    source = np.insert(kept, random.integers(len(kept), size=seed), -1)
    is_changed = (source < 0) | (random.random(len(source)) < 0.03)
    present = np.where(is_changed[:, np.newaxis], draw(random, len(source)), vectors[source])
    place = np.full(COUNT + 1, -1)
    place[source[~is_changed]] = np.flatnonzero(~is_changed)
    found_pairs = place[pairs]
    remain = (found_pairs >= 0).all(axis=1)
    known = Lists(
        place[indices[source]], cosines[source], found_pairs[remain], pair_cosines[remain]
    )
    offsets = offsets_of(present, corrected=corrected)
    least = None if corrected else 0.9999
    found = update(present, offsets, known, is_changed, duplicate_from=least)
    assert found is not None
    expected = nearest(present, K, offsets=offsets)
    np.testing.assert_array_equal(found.lists(0, len(present)), expected.lists(0, len(present)))
    if not corrected:
        for one, other in zip(found.duplicates(), expected.duplicates(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_vector_with_too_many_duplicates_is_left_to_a_search_from_scratch() -> None:
    vectors = np.ones((MAX_DUPLICATES + 1, 1))
    nothing = Lists(np.empty((len(vectors), 0), int), np.empty((len(vectors), 0)), *no_pairs())
    is_changed = np.ones(len(vectors), bool)
    assert update(vectors, None, nothing, is_changed, duplicate_from=0.9999) is None
    fewer = Lists(nothing.indices[1:], nothing.cosines[1:], *no_pairs())
    found = update(vectors[1:], None, fewer, is_changed[1:], duplicate_from=0.9999)
    assert found is not None
    assert len(found.pairs) == MAX_DUPLICATES * (MAX_DUPLICATES - 1) // 2


def no_pairs() -> tuple[np.ndarray, np.ndarray]:
    return np.empty((0, 2), int), np.empty(0)
