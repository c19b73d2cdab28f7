"""A check of a booster's file before XGBoost loads it.

XGBoost trusts the indices in its files: a feature or a child out of range can crash the process,
and a cycle of nodes is followed for ever. The check accepts what songmill trains: the objective
``multi:softprob``, numerical splits, and a tree per class and round.
"""

import json
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

_NUMBERS: dict[str, np.dtype[Any]] = {
    **{"i": np.dtype(">i1"), "U": np.dtype(">u1"), "I": np.dtype(">i2"), "l": np.dtype(">i4")},
    **{"L": np.dtype(">i8"), "d": np.dtype(">f4"), "D": np.dtype(">f8")},
}
"""Types of numbers by their markers in UBJSON."""

_MAX_DEPTH = 16
"""Maximum nesting of a file; XGBoost's own files have 8 levels."""

_OF_NODES = {
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), "l"),
    **dict.fromkeys(("split_conditions", "base_weights", "loss_changes", "sum_hessian"), "d"),
    **dict.fromkeys(("default_left", "split_type"), "U"),
}
"""Arrays of a tree with a value for each node, and their types."""

_OF_CATEGORIES = {
    **dict.fromkeys(("categories", "categories_nodes"), "l"),
    **dict.fromkeys(("categories_segments", "categories_sizes"), "L"),
}
"""Arrays of a tree's categorical splits, and their types. They are empty: all is numerical."""

_NO_CHILD = -1
_NO_PARENT = 2**31 - 1
_NUMERICAL = 0


class Shape(NamedTuple):
    """Number of columns, boosting rounds and classes of a booster."""

    columns: int
    rounds: int
    classes: int


def check_booster(trees: bytes) -> Shape:
    """Check that XGBoost can load a booster and predict with it.

    Parameters
    ----------
    trees : bytes
        A booster in XGBoost's format UBJSON.

    Returns
    -------
    Shape
        The booster predicts rows with this number of columns.

    Raises
    ------
    ValueError
        The file is not UBJSON, or not a valid booster as songmill trains it.

    Examples
    --------
    >>> import xgboost
    >>> features, classes = np.array([[0.0], [0.1], [0.9], [1.0]]), [0, 0, 1, 1]
    >>> parameters = {"objective": "multi:softprob", "num_class": 2, "min_child_weight": 0}
    >>> booster = xgboost.train(parameters, xgboost.DMatrix(features, classes), 5)
    >>> check_booster(bytes(booster.save_raw("ubj")))
    Shape(columns=1, rounds=5, classes=2)
    """
    try:
        return _check(_Reader(trees).read())
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"an entry is missing or has a wrong type: {error}") from None


class _Reader:
    """A reader of UBJSON (https://ubjson.org), of the part that XGBoost uses.

    All lengths are 64-bit integers. Arrays of numbers have a type and become NumPy arrays.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self) -> Any:
        """Return the value of the whole file."""
        value = self._value(_MAX_DEPTH)
        if self._position != len(self._data):
            raise ValueError(f"the content ends at byte {self._position}, and the file does not")
        return value

    def _take(self, size: int) -> bytes:
        start = self._position
        if size > len(self._data) - start:
            raise ValueError("the file ends too early")
        self._position += size
        return self._data[start : self._position]

    def _marker(self) -> str:
        return self._take(1).decode("latin-1")

    def _error(self, marker: str) -> ValueError:
        return ValueError(f"byte {self._position - 1} is the unexpected marker {marker!r}")

    def _length(self) -> int:
        marker = self._marker()
        if marker != "L":
            raise self._error(marker)
        length = int.from_bytes(self._take(8), "big", signed=True)
        if length < 0:
            raise ValueError(f"a length before byte {self._position} is negative")
        return length

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _value(self, depth: int) -> Any:
        marker = self._marker()
        if depth == 0:
            raise ValueError("the content is nested too deeply")
        if marker == "{":
            return self._object(depth)
        if marker == "[":
            return self._array(depth)
        if marker == "S":
            return self._text()
        return self._numbers(marker, 1)[0].item()

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._data[self._position : self._position + 1] != b"}":
            name = self._text()
            if name in found:
                raise ValueError(f"{name!r} is there twice")
            found[name] = self._value(depth - 1)
        self._marker()
        return found

    def _array(self, depth: int) -> Any:
        marker, kind = self._marker(), ""
        if marker == "$":
            kind, marker = self._marker(), self._marker()
        if marker != "#":
            raise self._error(marker)
        length = self._length()
        if kind:
            return self._numbers(kind, length)
        return [self._value(depth - 1) for _ in range(length)]

    def _numbers(self, marker: str, length: int) -> np.ndarray:
        if marker not in _NUMBERS:
            raise self._error(marker)
        return np.frombuffer(self._take(length * _NUMBERS[marker].itemsize), _NUMBERS[marker])


def _check(found: Any) -> Shape:
    """Check the content of a file. A missing or mistyped entry may raise other errors, too."""
    learner = found["learner"]
    param, objective, booster = (
        learner[name] for name in ("learner_model_param", "objective", "gradient_booster")
    )
    model = booster["model"]
    trees = model["trees"]
    columns, classes = int(param["num_feature"]), int(param["num_class"])
    if columns < 1 or classes < 1 or not trees:
        raise ValueError("it has no columns, no classes or no trees")
    rounds = len(trees) // classes
    # XGBoost reads three numbers without looking for the end.
    _expect("version", [type(part) for part in found["version"]], [int] * 3)
    _expect("booster", booster["name"], "gbtree")
    _expect("objective", objective["name"], "multi:softprob")
    _expect("num_class", objective["softmax_multiclass_param"]["num_class"], param["num_class"])
    _expect_counts(param, num_feature=columns, num_class=classes, num_target=1)
    _expect_counts(model["gbtree_model_param"], num_trees=rounds * classes, num_parallel_tree=1)
    _expect("trees", len(trees), rounds * classes)
    _expect("tree_info", list(model["tree_info"]), list(range(classes)) * rounds)
    _expect(
        "iteration_indptr", list(model["iteration_indptr"]), [*range(0, len(trees) + 1, classes)]
    )
    of_features = {name: learner[name] for name in ("feature_names", "feature_types")}
    for name, value in {**model["cats"], **of_features}.items():
        _expect(f"length of {name}", len(value), 0)
    _check_base_score(json.loads(param["base_score"]), classes)
    _check_arrays(trees, columns)
    _check_nodes(trees, columns)
    return Shape(columns, rounds, classes)


def _check_arrays(trees: list[dict[str, Any]], columns: int) -> None:
    """Check the types and lengths of each tree's entries."""
    for i, tree in enumerate(trees):
        _expect("id of a tree", tree["id"], i)
        n = len(tree["left_children"])
        counts = {"num_nodes": n, "num_feature": columns, "num_deleted": 0, "size_leaf_vector": 1}
        _expect_counts(tree["tree_param"], **counts)
        for names, length in ((_OF_NODES, n), (_OF_CATEGORIES, 0)):
            for name, kind in names.items():
                if tree[name].dtype != _NUMBERS[kind] or len(tree[name]) != length:
                    raise ValueError(f"{name} of tree {i} has a wrong type or length")


def _expect(name: str, actual: Any, expected: Any) -> None:
    if type(actual) is not type(expected) or actual != expected:
        raise ValueError(f"{name} has an unexpected value")


def _expect_counts(param: dict[str, str], **expected: int) -> None:
    for name, count in expected.items():
        _expect(name, param[name], str(count))


def _check_base_score(found: Any, classes: int) -> None:
    scores = found if isinstance(found, list) else [found]
    if len(scores) not in (1, classes) or not all(map(isfinite, scores)):
        raise ValueError("base_score has an unexpected value")


def _check_nodes(trees: list[dict[str, np.ndarray]], columns: int) -> None:
    """Check that the nodes of each tree form one tree, in which children follow their parents."""
    sizes = np.array([len(tree["left_children"]) for tree in trees])
    if sizes.min() == 0:
        raise ValueError("a tree has no nodes")
    of_tree = np.repeat(np.arange(len(trees)), sizes)
    root = np.repeat(np.cumsum(sizes) - sizes, sizes)
    index = np.arange(len(root)) - root
    left, right, parents, split, kind = (
        np.concatenate([tree[name] for tree in trees]).astype(np.int64)
        for name in ("left_children", "right_children", "parents", "split_indices", "split_type")
    )

    def refuse(wrong: np.ndarray, what: str) -> None:
        if wrong.any():
            i = wrong.argmax()
            raise ValueError(f"tree {of_tree[i]}, node {index[i]}: {what}")

    refuse((split < 0) | (split >= columns), "the feature is out of range")
    refuse(kind != _NUMERICAL, "the split is not numerical")
    inner = (left != _NO_CHILD) | (right != _NO_CHILD)
    for child in (left, right):
        refuse(inner & ((child <= index) | (child >= sizes[of_tree])), "a child is out of range")
    expected = np.full(len(root), _NO_PARENT)
    children = np.concatenate([(root + left)[inner], (root + right)[inner]])
    expected[children] = np.tile(index[inner], 2)
    refuse(
        np.bincount(children, minlength=len(root)) != (index > 0), "it is not the child of one node"
    )
    refuse(parents != expected, "the parent is wrong")
