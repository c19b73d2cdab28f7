"""Nearest neighbours and duplicates, against brute force."""

import numpy as np
import pytest
from support import brute_force

from recommend import neighbours
from recommend.neighbours import (
    MAX_DUPLICATES,
    Neighbours,
    Tile,
    compare_tiles,
    nearest,
    tile_pairs,
    tile_rows,
)
from recommend.topk import error_bound
from recommend.vectors import Scaling

RANDOM = np.random.default_rng(0)


def some_rows(n: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(n)
    rows = random.normal(size=(n, 57))
    if kind == "clustered":
        rows = rows * 0.01 + random.normal(size=(5, 57))[random.integers(5, size=n)]
    if kind == "duplicated":
        rows = rows[random.integers(max(1, n // 3), size=n)]
    if kind == "constant":
        rows[:, ::2] = 0.1
    if kind == "few-columns":
        rows[:, 3:] = 7.0
    if kind == "whole-numbers":
        rows = np.round(rows * 0.7)
    return rows


KINDS = ["random", "clustered", "duplicated", "constant", "few-columns", "whole-numbers"]


def small_tiles(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(neighbours, "MAX_TILE_ROWS", rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 10, 97, 1000])
def test_lists_are_those_of_brute_force(n: int, kind: str) -> None:
    rows = some_rows(n, kind)
    matrix = brute_force.cosines(rows)
    vectors = Scaling.fit(rows).unit(rows)
    for k in {1, min(20, n - 1), n - 1}:
        known = nearest(vectors, k)
        brute_force.check_lists(*known.lists(0, n), matrix, k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "block"), [(100, (32, 64)), (7, (3, 5)), (999, (512, 8)), (1, (1, 1))]
)
def test_lists_do_not_depend_on_tiles_and_blocks(
    kind: str, size: int, block: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows({1: 60, 7: 200}.get(size, 1000), kind)
    vectors = Scaling.fit(rows).unit(rows)
    expected = nearest(vectors, 11)
    small_tiles(monkeypatch, size)
    monkeypatch.setattr(neighbours, "BLOCK", block)
    found = nearest(vectors, 11)
    for one, other in zip(expected.lists(0, len(rows)), found.lists(0, len(rows)), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(expected.duplicates(), found.duplicates(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_that_raises_the_floors_loses_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows(700, kind)
    matrix = brute_force.cosines(rows)
    monkeypatch.setattr(neighbours, "SAMPLE_SIZE", 64)
    small_tiles(monkeypatch, 300)
    for k in (1, 20, 31):
        known = nearest(Scaling.fit(rows).unit(rows), k)
        brute_force.check_lists(*known.lists(0, 700), matrix, k)


def test_floors_by_a_sample_leave_room_for_a_whole_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "SAMPLE_SIZE", 64)
    vectors = Scaling.fit(some_rows(130, "clustered")).unit(some_rows(130, "clustered"))
    error, size = error_bound(57), 12
    tile, lowest = Tile.of(0, vectors), np.full(130, -1, np.float32)
    floors = neighbours._raise_floors(tile, lowest, size, error)
    matrix = vectors @ vectors.T
    np.fill_diagonal(matrix, -2)
    sampled = matrix[:, ::3]
    # However the products are rounded.
    assert ((sampled > floors[:, np.newaxis] + 2 * error).sum(axis=1) >= size).all()
    assert (floors > -1).all()


def test_the_order_of_tile_pairs_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = some_rows(500, "duplicated")
    vectors = Scaling.fit(rows).unit(rows)
    tiles = [Tile.of(start, vectors[start : start + 60]) for start in range(0, 500, 60)]
    expected = nearest(vectors, 20)
    plan = list(tile_pairs(len(tiles)))
    assert len(plan) == len(set(plan)) == 9 * 10 // 2
    for _ in range(3):
        known = Neighbours(vectors, 20)
        # As with several workers: pairs are pending, and their floors are out of date.
        pending = []
        for i, j in RANDOM.permutation(plan):
            one, other = tiles[i], tiles[j]
            if i == j:
                other = one
            floors = known.floors(one.start, one.stop), known.floors(other.start, other.stop)
            pending.append((one, other, floors))
            if len(pending) > 5:
                one, other, floors = pending.pop(int(RANDOM.integers(5)))
                known.add(compare_tiles(one, other, floors, known.size, 0.9999))
        for one, other, floors in pending:
            known.add(compare_tiles(one, other, floors, known.size, 0.9999))
        for one_, other_ in zip(expected.lists(0, 500), known.lists(0, 500), strict=True):
            np.testing.assert_array_equal(one_, other_)


def test_more_copies_than_a_list_has_room_for_are_ordered_by_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(4)
    rows = random.normal(size=(600, 57))
    # Some are equal to the bit; some differ by less than single precision can tell.
    copies = random.permutation(600)[:200]
    rows[copies] = rows[0] + np.where(random.random((200, 1)) < 0.5, 0, 1e-9) * rows[copies]
    matrix = brute_force.cosines(rows)
    vectors = Scaling.fit(rows).unit(rows)
    compared = 0
    real = Neighbours._compare_all

    def counting(self: Neighbours, *given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal compared
        compared += len(given[0])
        return real(self, *given)

    monkeypatch.setattr(Neighbours, "_compare_all", counting)
    for size in (600, 77):
        small_tiles(monkeypatch, size)
        brute_force.check_lists(*nearest(vectors, 20).lists(0, 600), matrix, 20)
    assert compared > 2 * 200
    # Unambiguous lists are not compared again.
    before = compared
    rows = random.normal(size=(600, 57))
    nearest(Scaling.fit(rows).unit(rows), 20).lists(0, 600)
    assert compared - before < 6


def test_duplicates_are_all_pairs_that_are_near_enough() -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(600, 57))
    # Exact copies, more than k, and re-encoded copies above and below the threshold.
    rows[500:530] = rows[3]
    rows[530:600] = rows[100:170] + random.normal(size=(70, 57)) * random.uniform(0, 0.03, (70, 1))
    matrix = brute_force.cosines(rows)
    for limit in (0.9999, 0.999, 1.0 - 1e-9):
        pairs, cosines = nearest(Scaling.fit(rows).unit(rows), 1, duplicate_from=limit).duplicates()
        expected = brute_force.pairs_from(matrix, limit)
        assert len(expected) > 400
        assert [tuple(pair) for pair in pairs.tolist()] == expected
        np.testing.assert_allclose(cosines, matrix[tuple(zip(*expected, strict=True))], atol=1e-12)


def test_the_number_of_duplicates_kept_per_vector_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(2).normal(size=(400, 57))
    rows[50:350] = rows[0]
    vectors = Scaling.fit(rows).unit(rows)
    copies = [0, *range(50, 350)]
    expected = sorted(
        (early, late) for i, late in enumerate(copies) for early in copies[:i][:MAX_DUPLICATES]
    )
    for size in (400, 90, 33):
        small_tiles(monkeypatch, size)
        pairs, _ = nearest(vectors, 20).duplicates()
        assert [tuple(pair) for pair in pairs.tolist()] == expected


def test_tiles_are_few_enough_and_small_enough() -> None:
    assert tile_rows(1) == tile_rows(40_000) == 4096
    assert tile_rows(100_000) == 9216
    assert tile_rows(10_000_000) == 32768
