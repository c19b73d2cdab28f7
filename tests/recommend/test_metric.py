"""Metrics, against scikit-learn and all pairs of vectors."""

import functools
import operator

import numpy as np
import pytest
from support.brute_force import corrected_scores, metric_vectors

from recommend.metric import Metric, VectorSums, fit_learned, fit_rich
from recommend.neighbours import nearest
from recommend.vectors import unit
from training.arrays import from_npz, to_npz
from training.lda import ClassSums
from training.scaling import ColumnSums, Scaling

GENRES = ("blues", "jazz", "metal", "rock")


def made(n: int = 300, d: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Return correlated features with some outliers, and classes; -1 for no label."""
    random = np.random.default_rng((n, d))
    classes = random.integers(-1, len(GENRES), n)
    features = random.normal(size=(n, d)) @ random.normal(size=(d, d)) + random.normal(size=d)
    features += random.normal(size=(len(GENRES) + 1, d))[classes] * np.sqrt(d)
    features[:: max(n // 7, 1)] *= 9
    return features, classes


def scaling_of(features: np.ndarray) -> Scaling:
    columns = tuple(f"column {i}" for i in range(features.shape[1]))
    return ColumnSums.of(features, columns).scaling()


def fit(name: str, features: np.ndarray, classes: np.ndarray, n_blocks: int = 1) -> Metric:
    """Fit a metric to sums of blocks."""
    blocks = np.array_split(np.arange(len(features)), n_blocks)
    columns = tuple(f"column {i}" for i in range(features.shape[1]))
    add = functools.partial(functools.reduce, operator.add)
    scaling = add([ColumnSums.of(features[rows], columns) for rows in blocks]).scaling()
    if name == "cosine":
        return Metric("cosine", scaling)
    scores = [scaling.clipped(features[rows]) for rows in blocks]
    sums = add([ClassSums.of_all(one) for one in scores])
    if name == "rich":
        metric = fit_rich(scaling, sums)
    else:
        labelled = [
            ClassSums.of(one, classes[rows], len(GENRES))
            for one, rows in zip(scores, blocks, strict=True)
        ]
        metric = fit_learned(scaling, sums, add(labelled), GENRES)
    return metric.corrected(add([VectorSums.of(metric.vectors(features[rows])) for rows in blocks]))


NAMES = ["cosine", "rich", "learned"]
SHAPES = [(300, 90), (40, 90), (300, 12), (64, 63)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_cosines_are_those_of_scikit_learns_vectors(name: str, n: int, d: int) -> None:
    features, classes = made(n, d)
    vectors = fit(name, features, classes).vectors(features)
    expected = metric_vectors(name, features, classes)
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, rtol=0, atol=1e-10)
    assert vectors.dtype == np.float64
    assert vectors.flags.c_contiguous
    widths = {"cosine": d, "rich": min(63, d), "learned": 3 + min(58, d)}
    assert vectors.shape == (n, widths[name])


@pytest.mark.parametrize("name", ["rich", "learned"])
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_offsets_are_half_the_mean_and_the_deviation_of_all_cosines(
    name: str, n: int, d: int
) -> None:
    features, classes = made(n, d)
    metric = fit(name, features, classes)
    vectors = metric.vectors(features)
    found = vectors @ vectors.T - metric.offsets(vectors)
    np.testing.assert_allclose(found, corrected_scores(vectors), rtol=0, atol=1e-13)


def test_cosine_has_no_offsets() -> None:
    features, classes = made()
    metric = fit("cosine", features, classes)
    assert metric.offsets(metric.vectors(features)) is None
    # As before there were metrics: unclipped.
    scaling = scaling_of(features)
    assert (metric.vectors(features) == unit(scaling.z_scores(features))).all()
    assert np.abs(scaling.z_scores(features)).max() > 4


@pytest.mark.parametrize("name", NAMES)
def test_any_division_into_blocks_gives_the_same_scores(name: str) -> None:
    features, classes = made()
    found = []
    for n_blocks in (1, 2, 3, 29):
        metric = fit(name, features, classes, n_blocks)
        vectors = metric.vectors(features)
        offsets = metric.offsets(vectors)
        found.append(vectors @ vectors.T - (0 if offsets is None else offsets))
    for scores in found[1:]:
        np.testing.assert_allclose(scores, found[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_blocks_give_the_same_bits(name: str) -> None:
    features, classes = made()
    one, other = (fit(name, features, classes, 4).to_arrays() for _ in range(2))
    for key, array in one.items():
        np.testing.assert_array_equal(array, other[key])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_the_same_bits_whatever_the_others_are(name: str) -> None:
    features, classes = made()
    features[[3, 50, 100]] = features[7]
    metric = fit(name, features, classes)
    vectors = metric.vectors(features)
    offsets = metric.offsets(vectors)
    assert (vectors[[3, 50, 100]] == vectors[7]).all()
    for i in (7, 17, 299):
        assert (metric.vectors(features[i : i + 1]) == vectors[i]).all()
        if offsets is not None:
            assert metric.offsets(vectors[i : i + 1]) == offsets[i]


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_survives_as_a_file(name: str) -> None:
    features, classes = made()
    metric = fit(name, features, classes)
    found = Metric.from_arrays(from_npz(to_npz(metric.to_arrays())))
    assert found.name == name
    assert found.classes == (GENRES if name == "learned" else ())
    vectors = found.vectors(features)
    assert (vectors == metric.vectors(features)).all()
    np.testing.assert_array_equal(found.offsets(vectors), metric.offsets(vectors))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("name", np.array("euclid")),
        ("name", np.array("rich")),
        ("classes", np.array(["b", "a"])),
        ("classes", np.array(["a"])),
        ("widths", np.array([3, 57])),
        ("widths", np.array([61])),
        ("widths", np.array([0, 61])),
        ("widths", np.array([3.0, 58.0])),
        ("matrix", np.zeros((89, 61))),
        ("matrix", np.full((90, 61), np.inf)),
        ("shift", np.zeros(60)),
        ("count", np.array(0)),
        ("count", np.array([300])),
        ("count", np.array(300.0)),
        ("total", np.zeros(62)),
        ("products", np.zeros((61, 60))),
        ("mean", np.zeros(1)),
    ],
)
def test_a_damaged_metric_is_refused(key: str, wrong: np.ndarray) -> None:
    arrays = fit("learned", *made()).to_arrays()
    Metric.from_arrays(arrays)
    with pytest.raises(
        ValueError, match=r"instead of|list of|does not fit|ascending|not finite|posi"
    ):
        Metric.from_arrays(arrays | {key: wrong})
    del arrays[key]
    with pytest.raises(ValueError, match=key):
        Metric.from_arrays(arrays)


# Little data


@pytest.mark.parametrize("name", ["rich", "learned"])
def test_constant_columns_are_as_if_they_were_not_there(name: str) -> None:
    features, classes = made(300, 20)
    both = np.hstack([np.full((300, 1), 0.1), features, np.zeros((300, 2))])
    vectors = fit(name, both, classes).vectors(both)
    expected = metric_vectors(name, both, classes)
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, rtol=0, atol=1e-10)
    both[:, 0] += 5
    assert np.isfinite(fit(name, features, classes).vectors(features)).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_have_finite_scores(n: int) -> None:
    features, _ = made(n, 90)
    metric = fit("rich", features, np.zeros(n, int))
    vectors = metric.vectors(features)
    offsets = metric.offsets(vectors)
    assert offsets is not None
    assert np.isfinite(offsets).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), float(n > 1), atol=1e-12)
    if n == 2:
        np.testing.assert_allclose(vectors @ vectors.T, [[1, -1], [-1, 1]], atol=1e-12)
        np.testing.assert_allclose(offsets, -0.5, atol=1e-7)


def test_equal_rows_are_zero() -> None:
    features = np.repeat(made(1, 90)[0], 30, axis=0)
    metric = fit("rich", features, np.zeros(30, int))
    vectors = metric.vectors(features)
    assert (vectors == 0).all()
    assert (metric.offsets(vectors) == np.zeros(30)).all()


def test_learning_needs_labels_of_two_classes() -> None:
    features, classes = made()
    for wrong in (np.full(300, -1), np.where(classes == 2, 2, -1)):
        with pytest.raises(ValueError, match="of 4 classes have rows"):
            fit("learned", features, wrong)


def test_learning_from_two_of_four_classes_has_one_discriminant() -> None:
    features, classes = made()
    two = np.where(np.isin(classes, (1, 3)), classes, -1)
    metric = fit("learned", features, two)
    vectors = metric.vectors(features)
    assert vectors.shape == (300, 1 + 58)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)


def test_a_value_that_is_not_finite_is_refused_by_its_column() -> None:
    features, classes = made()
    metric = fit("rich", features, classes)
    features[0, 5] = np.nan
    with pytest.raises(ValueError, match="the column column 5 has the value nan"):
        metric.vectors(features)


def test_offsets_need_a_collection() -> None:
    features, _ = made()
    scaling = scaling_of(features)
    metric = fit_rich(scaling, ClassSums.of_all(scaling.clipped(features)))
    with pytest.raises(ValueError, match="the metric rich has no sums of a collection"):
        metric.offsets(metric.vectors(features))


# The purpose


@pytest.mark.parametrize("name", ["rich", "learned"])
def test_offsets_make_hubs_rarer(name: str) -> None:
    random = np.random.default_rng(0)
    # Few directions matter. Rows with less noise are near to all others of their direction.
    features = 0.3 * random.normal(size=(600, 8)) @ random.normal(size=(8, 100))
    features += random.normal(size=(600, 100)) * random.choice([0.3, 3.0], (600, 1))
    metric = fit(name, features, random.integers(0, 4, 600))
    vectors = metric.vectors(features)
    counts = []
    for offsets in (None, metric.offsets(vectors)):
        indices, _ = nearest(vectors, 10, offsets=offsets).lists(0, 600)
        counts.append(np.bincount(indices.ravel(), minlength=600).std())
    assert counts[1] < 0.8 * counts[0]
