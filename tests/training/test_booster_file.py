"""The check of a booster's file, against files that crash XGBoost."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost
from support.made_models import ROUNDS, make_trees

from training.booster_file import Shape, check_booster
from training.boosting import PARAMETERS

Edit = Callable[[bytes], bytes]

TREES = make_trees(2)
"""Eight trees of three nodes: a root (node 0) and its leaves."""


def train(n_classes: int, rounds: int, *, constant: bool = False, **parameters: Any) -> Any:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5)) * (not constant)
    matrix = xgboost.DMatrix(features, rng.integers(n_classes, size=200))
    parameters = {**PARAMETERS, "num_class": n_classes, "nthread": 1, **parameters}
    return xgboost.train(parameters, matrix, rounds)


@pytest.mark.parametrize(("n_classes", "rounds"), [(2, 1), (3, 70), (10, 20)])
def test_trained_boosters_are_accepted(n_classes: int, rounds: int) -> None:
    booster = train(n_classes, rounds)
    assert check_booster(booster.save_raw("ubj")) == Shape(5, rounds, n_classes)
    first = booster[: (rounds + 1) // 2]  # as early stopping keeps them
    assert check_booster(first.save_raw("ubj")) == Shape(5, (rounds + 1) // 2, n_classes)


@pytest.mark.parametrize(
    "parameters",
    [
        {"constant": True},
        *({"max_depth": 12, "tree_method": method} for method in ("exact", "approx")),
        {"gamma": 2.0},
        {"grow_policy": "lossguide", "max_leaves": 40, "max_depth": 0},
    ],
)
def test_boosters_of_other_parameters_are_accepted(parameters: dict[str, Any]) -> None:
    assert check_booster(train(3, 4, **parameters).save_raw("ubj")) == Shape(5, 4, 3)


# Faults


def key(name: str) -> bytes:
    return b"L" + len(name).to_bytes(8, "big") + name.encode()


def replaced(old: bytes, new: bytes) -> Edit:
    def edit(trees: bytes) -> bytes:
        assert old in trees
        return trees.replace(old, new, 1)

    return edit


def text(name: str, value: str, other: str) -> Edit:
    """Replace a text."""
    return replaced(key(name) + b"S" + key(value), key(name) + b"S" + key(other))


def integers(name: str, values: list[int], others: list[int]) -> Edit:
    """Replace an array of small integers."""

    def entry(numbers: list[int]) -> bytes:
        items = b"".join(b"i" + bytes([number]) for number in numbers)
        return key(name) + b"[#L" + len(numbers).to_bytes(8, "big") + items

    return replaced(entry(values), entry(others))


def node(*values: tuple[str, int, int], tree: int = 0) -> Edit:
    """Set values of a tree: the array, the node and the value."""

    def edit(trees: bytes) -> bytes:
        found = bytearray(trees)
        for array, index, value in values:
            position = -1
            for _ in range(tree + 1):
                position = found.index(key(array), position + 1)
            size = 1 if array == "split_type" else 4
            position += len(key(array)) + len(b"[$l#L") + 8 + size * index
            found[position : position + size] = value.to_bytes(size, "big", signed=True)
        return bytes(found)

    return edit


LEFT, RIGHT, PARENT, FEATURE = "left_children", "right_children", "parents", "split_indices"
LARGEST = 2**31 - 1

NODES: list[tuple[Edit, str]] = [
    *((node((FEATURE, 0, i)), "node 0: the feature is out of") for i in (57, -1, 10**6, LARGEST)),
    (node((FEATURE, 2, 57), tree=7), "tree 7, node 2: the feature is out of range"),
    (node(("split_type", 0, 1)), "the split is not numerical"),
    *((node((LEFT, 0, i)), "a child is out of range") for i in (3, -2, 10**6, LARGEST, ~LARGEST)),
    *((node((RIGHT, 0, i), tree=1), "tree 1, node 0: a child is out of") for i in (3, LARGEST)),
    # A leaf has no child, any other node has two.
    (node((LEFT, 0, -1)), "a child is out of range"),
    (node((RIGHT, 2, 1)), "a child is out of range"),
    # Cycles, two parents, no parent
    (node((LEFT, 0, 0)), "node 0: a child is out of range"),
    (node((LEFT, 1, 0), (RIGHT, 1, 0)), "node 1: a child is out of range"),
    (node((LEFT, 2, 1), (RIGHT, 2, 1)), "node 2: a child is out of range"),
    (node((LEFT, 1, 2), (RIGHT, 1, 2)), "node 2: it is not the child of one node"),
    (node((RIGHT, 0, 1)), "node 1: it is not the child of one node"),
    (node((LEFT, 0, -1), (RIGHT, 0, -1)), "node 1: it is not the child of one node"),
    *((node((PARENT, 1, i)), "node 1: the parent is wrong") for i in (1, 2, 3, -1, LARGEST)),
    *((node((PARENT, 0, i)), "node 0: the parent is wrong") for i in (0, 1, -1)),
]

COUNTS: list[tuple[Edit, str]] = [
    *((text("num_class", "2", value), "num_class has") for value in ("3", "1", "+2", "02")),
    *((text("num_class", "2", value), "no classes") for value in ("0", "-2")),
    *((text("num_feature", "57", value), "num_feature has") for value in ("58", "56", "-1")),
    *((text("num_nodes", "3", value), "num_nodes has") for value in ("1", "4", "2000000000")),
    *((text("num_trees", "8", value), "num_trees has") for value in ("9", "6", "-8")),
    (text("num_target", "1", "2"), "num_target has"),
    (text("num_parallel_tree", "1", "2"), "num_parallel_tree has"),
    (text("num_deleted", "0", "1"), "num_deleted has"),
    (text("size_leaf_vector", "1", "9"), "size_leaf_vector has"),
    *(
        (text("base_score", "[0E0,0E0]", value), "base_score has")
        for value in ("[0E0,0E0,0E0]", "[]", "[NaN,0E0]", "[1E999,0E0]")
    ),
    (text("name", "gbtree", "dart"), "booster has"),
    (text("name", "multi:softprob", "multi:softmax"), "objective has"),
    *(
        (integers("tree_info", [0, 1] * 4, other), "tree_info has")
        for other in ([0, 1] * 3, [1, 0] * 4, [0, 2] * 4, [0, 1] * 5, [0, 127] * 4)
    ),
    *(
        (integers("iteration_indptr", [0, 2, 4, 6, 8], other), "iteration_indptr has")
        for other in ([0, 8], [0, 2, 4, 6, 9], [0, 2, 4, 2, 8], [0, 2, 4, 6, 8, 10])
    ),
    *((integers("version", [3, 2, 0], other), "version has") for other in ([], [3, 2])),
    *(
        (replaced(key("id") + b"i\1", key("id") + value), "id of a tree has")
        for value in (b"i\0", b"i\x09", b"l\x7f\xff\xff\xff")
    ),
]

OTHERS: list[tuple[Edit, str]] = [
    *(
        (replaced(key(name), key(f"{name}_")), "an entry is missing")
        for name in (LEFT, PARENT, "default_left", "categories", "tree_param", "trees", "learner")
    ),
    (replaced(key("id") + b"i\0", (key("id") + b"i\0") * 2), "'id' is there twice"),
    (replaced(key(LEFT) + b"[$l", key(LEFT) + b"[$d"), "left_children of tree 0 has a wrong type"),
    (
        replaced(
            key("categories_nodes") + b"[$l#L" + bytes(8),
            key("categories_nodes") + b"[$l#L" + b"\0\0\0\0\0\0\0\1\0\0\0\0",
        ),
        "categories_nodes of tree 0 has a wrong",
    ),
    (
        replaced(
            key("feature_types") + b"[#L" + bytes(8),
            key("feature_types") + b"[#L" + b"\0\0\0\0\0\0\0\1S" + key("c"),
        ),
        "feature_types has",
    ),
    (lambda trees: trees + b"\0", "the file does not"),
    (lambda trees: b"", "ends too early"),
    (lambda trees: b"{}", "an entry is missing"),
    (lambda trees: b"trees", "unexpected marker"),
    (lambda trees: b"[#L\0\0\0\0\0\0\0\1" * 10_000, "nested too deeply"),
    (lambda trees: b"[#L" + b"\xff" * 8, "negative"),
    (lambda trees: b"[$L#L\x7f" + b"\xff" * 7, "ends too early"),
    (lambda trees: b"[#L\x7f" + b"\xff" * 7, "ends too early"),
    (lambda trees: json.dumps({"learner": {}}).encode(), "unexpected marker"),
]


@pytest.mark.parametrize(("edit", "error"), [*NODES, *COUNTS, *OTHERS])
def test_a_fault_is_refused(edit: Edit, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        check_booster(edit(TREES))


def test_a_cut_file_is_refused() -> None:
    for size in range(0, len(TREES), 11):
        with pytest.raises(ValueError, match="ends too early"):
            check_booster(TREES[:size])


PREDICT = """
import sys
import numpy as np, xgboost

size = int(sys.argv[1])
rows = np.random.default_rng(0).normal(size=(50, 57))
data = sys.stdin.buffer.read()
for start in range(0, len(data), size):
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(data[start : start + size]))
    except xgboost.core.XGBoostError:
        continue
    assert booster.inplace_predict(rows).shape == (50, 2)
    booster.save_raw()
"""


def test_files_with_flipped_bits_are_refused_or_end_no_process() -> None:
    random_ = random.Random(0)
    accepted = []
    for _ in range(1500):
        trees = bytearray(TREES)
        for _ in range(random_.choice((1, 1, 2))):
            trees[random_.randrange(len(trees))] ^= 1 << random_.randrange(8)
        try:
            assert check_booster(bytes(trees)) == Shape(57, ROUNDS, 2)
        except ValueError:
            continue
        accepted.append(bytes(trees))
    assert len(accepted) > 50
    command = [sys.executable, "-c", PREDICT, str(len(TREES))]
    subprocess.run(command, input=b"".join(accepted), check=True, timeout=120)
