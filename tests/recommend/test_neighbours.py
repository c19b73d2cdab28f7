"""Nearest neighbours and duplicates, against brute force."""

from unittest.mock import create_autospec

import numpy as np
import pytest
from support import brute_force

from recommend import arrangement, neighbours
from recommend.arrangement import arrange
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
from recommend.vectors import unit as of_length_one
from training.scaling import ColumnSums

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


def unit(rows: np.ndarray) -> np.ndarray:
    columns = tuple(map(str, range(rows.shape[1])))
    return of_length_one(ColumnSums.of(rows, columns).scaling().z_scores(rows))


def check(rows: np.ndarray, k: int) -> None:
    lists = nearest(unit(rows), k).lists(0, len(rows))
    brute_force.check_lists(*lists, brute_force.cosines(rows), k)


def one_tile(
    vectors: np.ndarray, offsets: np.ndarray | None = None, part: slice = slice(None)
) -> Tile:
    """Make a tile of a part of the vectors, in their own order."""
    indices = np.arange(len(vectors))[part]
    rotation = arrange(vectors).rotation
    own = None if offsets is None else offsets[part]
    return Tile.of(part.start or 0, indices, vectors[part], rotation, own)


def small_tiles(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(neighbours, "MAX_TILE_ROWS", rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 10, 97, 1000])
def test_lists_are_those_of_brute_force(n: int, kind: str) -> None:
    for k in {1, min(20, n - 1), n - 1}:
        check(some_rows(n, kind), k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "block"), [(100, 64), (7, 5), (999, 8), (1, 1)])
def test_lists_do_not_depend_on_tiles_and_blocks(
    kind: str, size: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit(some_rows({1: 60, 7: 200}.get(size, 1000), kind))
    expected = nearest(vectors, 11)
    small_tiles(monkeypatch, size)
    monkeypatch.setattr(neighbours, "BLOCK_COLUMNS", block)
    found = nearest(vectors, 11)
    np.testing.assert_equal(found.lists(0, len(vectors)), expected.lists(0, len(vectors)))
    np.testing.assert_equal(found.duplicates(), expected.duplicates())


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_that_raises_the_floors_loses_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WINDOW", 64)
    small_tiles(monkeypatch, 300)
    for k in (1, 20, 31):
        check(some_rows(700, kind), k)


def test_floors_by_a_window_leave_room_for_a_whole_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "WINDOW", 128)
    vectors = unit(some_rows(130, "clustered"))
    error, size = error_bound(57), 12
    tile, lowest = one_tile(vectors), np.full(130, -1, np.float32)
    floors = neighbours._raise_floors(tile, lowest, size)
    matrix = vectors @ vectors.T
    np.fill_diagonal(matrix, -2)
    # However the products are rounded.
    assert ((matrix > floors[:, np.newaxis] + 2 * error).sum(axis=1) >= size).all()
    assert (floors > -1).all()


@pytest.mark.parametrize("corrected", [False, True])
def test_the_order_of_tile_pairs_does_not_matter(corrected: bool) -> None:
    vectors = unit(some_rows(500, "duplicated"))
    offsets = some_offsets(vectors) if corrected else None
    tiles = []
    for start in range(0, 500, 60):
        tiles.append(one_tile(vectors, offsets, slice(start, start + 60)))
    expected = nearest(vectors, 20, offsets=offsets)
    plan = list(tile_pairs(len(tiles)))
    assert len(plan) == len(set(plan)) == 9 * 10 // 2
    for _ in range(3):
        known = Neighbours(vectors, 20, offsets)
        # As with several workers: pairs are pending, and their floors are out of date.
        pending = []
        for i, j in RANDOM.permutation(plan):
            floors = tuple(known.floors(tile.indices) for tile in (tiles[i], tiles[j]))
            pending.append((tiles[i], tiles[j], floors))
            if len(pending) > 5:
                pair = pending.pop(int(RANDOM.integers(5)))
                known.add(compare_tiles(*pair, known.size, 0.9999))
        for pair in pending:
            known.add(compare_tiles(*pair, known.size, 0.9999))
        np.testing.assert_equal(known.lists(0, 500), expected.lists(0, 500))


def test_more_copies_than_a_list_has_room_for_are_ordered_by_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(4)
    rows = random.normal(size=(600, 57))
    # Some are equal to the bit; some differ by less than single precision can tell.
    copies = random.permutation(600)[:200]
    rows[copies] = rows[0] + np.where(random.random((200, 1)) < 0.5, 0, 1e-9) * rows[copies]
    compare = create_autospec(Neighbours._compare_all, side_effect=Neighbours._compare_all)
    monkeypatch.setattr(Neighbours, "_compare_all", compare)

    def rows_compared() -> int:
        return sum(len(call.args[1]) for call in compare.call_args_list)

    for size in (600, 77):
        small_tiles(monkeypatch, size)
        check(rows, 20)
    assert rows_compared() > 2 * 200
    # Unambiguous lists are not compared again.
    compare.reset_mock()
    nearest(unit(random.normal(size=(600, 57))), 20).lists(0, 600)
    assert rows_compared() < 6


def test_duplicates_are_all_pairs_that_are_near_enough() -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(600, 57))
    # Exact copies, more than k, and re-encoded copies above and below the threshold.
    rows[500:530] = rows[3]
    rows[530:600] = rows[100:170] + random.normal(size=(70, 57)) * random.uniform(0, 0.03, (70, 1))
    matrix = brute_force.cosines(rows)
    for limit in (0.9999, 0.999, 1.0 - 1e-9):
        pairs, cosines = nearest(unit(rows), 1, duplicate_from=limit).duplicates()
        expected = brute_force.pairs_from(matrix, limit)
        assert len(expected) > 400
        assert [tuple(pair) for pair in pairs.tolist()] == expected
        np.testing.assert_allclose(cosines, matrix[tuple(zip(*expected, strict=True))], atol=1e-12)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lists_do_not_depend_on_the_order_of_comparison(
    kind: str, monkeypatch: pytest.MonkeyPatch, *, corrected: bool
) -> None:
    vectors = unit(some_rows(1000, kind))
    offsets = some_offsets(vectors) if corrected else None
    expected = nearest(vectors, 11, offsets=offsets)
    monkeypatch.setattr(arrangement, "CELL_SIZE", 20)
    small_tiles(monkeypatch, 300)
    assert (arrange(vectors).order != np.arange(1000)).any()
    found = nearest(vectors, 11, offsets=offsets)
    np.testing.assert_equal(found.lists(0, 1000), expected.lists(0, 1000))
    np.testing.assert_equal(found.duplicates(), expected.duplicates())


def test_the_number_of_duplicates_kept_per_vector_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(2).normal(size=(400, 57))
    rows[50:350] = rows[0]
    copies = [0, *range(50, 350)]
    expected = sorted(
        (early, late) for i, late in enumerate(copies) for early in copies[:i][:MAX_DUPLICATES]
    )
    for size in (400, 90, 33):
        small_tiles(monkeypatch, size)
        pairs, _ = nearest(unit(rows), 20).duplicates()
        assert [tuple(pair) for pair in pairs.tolist()] == expected


def test_tiles_are_few_enough_and_small_enough() -> None:
    assert tile_rows(1) == tile_rows(40_000) == 4096
    assert tile_rows(100_000) == 8704
    assert tile_rows(10_000_000) == 32768


# Offsets


def some_offsets(vectors: np.ndarray) -> np.ndarray:
    """Offsets of both signs, of which some are equal, and others nearly equal."""
    random = np.random.default_rng(len(vectors))
    offsets = np.round(random.normal(size=len(vectors)) * 0.3, 1)
    nearly = random.random(len(vectors)) < 0.3
    return np.where(nearly, offsets + 1e-9 * random.normal(size=len(vectors)), offsets)


def check_scores(vectors: np.ndarray, offsets: np.ndarray, k: int) -> None:
    indices, cosines = nearest(vectors, k, offsets=offsets).lists(0, len(vectors))
    matrix = vectors @ vectors.T
    brute_force.check_lists(indices, cosines - offsets[indices], matrix - offsets, k)
    of_indices = np.take_along_axis(matrix, indices, 1)
    np.testing.assert_allclose(cosines, of_indices, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 10, 97, 1000])
def test_lists_with_offsets_are_those_of_brute_force(n: int, kind: str) -> None:
    vectors = unit(some_rows(n, kind))
    for k in {1, min(20, n - 1), n - 1}:
        check_scores(vectors, some_offsets(vectors), k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "block"), [(100, 64), (7, 5), (999, 8), (1, 1)])
def test_lists_with_offsets_do_not_depend_on_tiles_and_blocks(
    kind: str, size: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit(some_rows({1: 60, 7: 200}.get(size, 1000), kind))
    offsets = some_offsets(vectors)
    expected = nearest(vectors, 11, offsets=offsets).lists(0, len(vectors))
    small_tiles(monkeypatch, size)
    monkeypatch.setattr(neighbours, "BLOCK_COLUMNS", block)
    found = nearest(vectors, 11, offsets=offsets).lists(0, len(vectors))
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_that_raises_the_floors_loses_nothing_with_offsets(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WINDOW", 64)
    small_tiles(monkeypatch, 300)
    vectors = unit(some_rows(700, kind))
    for k in (1, 20, 31):
        check_scores(vectors, some_offsets(vectors), k)


def test_copies_with_offsets_that_hardly_differ_are_ordered_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(4)
    vectors = unit(random.normal(size=(600, 57)))
    copies = random.permutation(600)[:200]
    vectors[copies] = vectors[0]
    offsets = np.full(600, 0.1)
    offsets[copies] += random.choice([0.0, 1e-12, 1e-9], 200)
    for size in (600, 77):
        small_tiles(monkeypatch, size)
        check_scores(vectors, offsets, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_of_zero_change_nothing(kind: str) -> None:
    vectors = unit(some_rows(1000, kind))
    found = nearest(vectors, 20, offsets=np.zeros(1000)).lists(0, 1000)
    np.testing.assert_equal(found, nearest(vectors, 20).lists(0, 1000))


def test_an_own_offset_does_not_change_the_own_list() -> None:
    vectors = unit(some_rows(300, "random"))
    offsets = some_offsets(vectors)
    before = nearest(vectors, 20, offsets=offsets).lists(7, 8)
    offsets[7] += 0.7
    np.testing.assert_equal(nearest(vectors, 20, offsets=offsets).lists(7, 8), before)


def test_with_offsets_there_are_no_duplicates() -> None:
    vectors = unit(some_rows(300, "duplicated"))
    assert len(nearest(vectors, 5).duplicates()[0]) > 100
    # A low offset must not make a duplicate of a mere neighbour.
    assert len(nearest(vectors, 5, offsets=np.full(300, -1.0)).duplicates()[0]) == 0
