"""Linear discriminant analysis, against scikit-learn."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from training.arrays import from_npz, to_npz
from training.lda import SHRINKAGE, TEMPERATURES, ClassSums, Lda, discriminants, shrunk
from training.scaling import ColumnSums, Scaling

CLASSES = ("blues", "jazz", "metal", "rock", "ska")


def made(
    n: int = 240, d: int = 12, n_classes: int = 5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return features of very different units, and classes of very different sizes."""
    random = np.random.default_rng((n, d, n_classes, seed))
    classes = np.minimum(random.geometric(0.4, n) - 1, n_classes - 1)
    classes[:n_classes] = np.arange(n_classes)
    features = random.normal(size=(n_classes, d))[classes] + random.normal(size=(n, d)) @ (
        random.normal(size=(d, d)) / np.sqrt(d)
    )
    return features * 10.0 ** (np.arange(d) % 7 - 3) + 5, classes


def scaling_of(features: np.ndarray) -> Scaling:
    columns = tuple(f"column {i}" for i in range(features.shape[1]))
    return ColumnSums.of(features, columns).scaling()


def fit(features: np.ndarray, classes: np.ndarray, names: tuple[str, ...] = CLASSES) -> Lda:
    scaling = scaling_of(features)
    return Lda.fit(names, scaling, ClassSums.of(scaling.clipped(features), classes, len(names)))


def sums_in_blocks(
    scores: np.ndarray, classes: np.ndarray, n_classes: int, n_blocks: int, seed: int
) -> ClassSums:
    """Return sums of blocks of random sizes, some of them empty, added in a random order."""
    random = np.random.default_rng(seed)
    order = np.argsort(classes) if seed % 2 else random.permutation(len(classes))
    bounds = np.sort(random.integers(0, len(scores) + 1, n_blocks - 1))
    blocks = [
        ClassSums.of(scores[rows], classes[rows], n_classes) for rows in np.split(order, bounds)
    ]
    while len(blocks) > 1:
        i = int(random.integers(len(blocks) - 1))
        blocks[i : i + 2] = [blocks[i] + blocks[i + 1]]
    return blocks[0]


@pytest.mark.filterwarnings("ignore:Only one sample available")
@pytest.mark.parametrize("solver", ["lsqr", "eigen"])
@pytest.mark.parametrize(
    ("n", "d", "n_classes"), [(240, 12, 5), (40, 90, 5), (100, 3, 2), (60, 1, 3), (8, 30, 5)]
)
def test_probabilities_are_scikit_learns(solver: str, n: int, d: int, n_classes: int) -> None:
    features, classes = made(n, d, n_classes)
    theirs = LinearDiscriminantAnalysis(solver=solver, shrinkage=SHRINKAGE)
    scores = scaling_of(features).clipped(features)
    theirs.fit(scores, classes)
    ours = fit(features, classes, CLASSES[:n_classes])
    expected = theirs.predict_proba(scores)
    np.testing.assert_allclose(ours.probabilities(features), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        ours.log_probabilities(features), theirs.predict_log_proba(scores), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(ours.probabilities(features).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize(("n", "d", "n_classes"), [(240, 12, 5), (40, 90, 5), (100, 3, 2)])
def test_the_temperature_has_the_smallest_loss_and_changes_no_prediction(
    n: int, d: int, n_classes: int
) -> None:
    features, classes = made(2 * n, d, n_classes)
    classes[n : n + n // 4] = 0  # mistakes
    model = fit(features[:n], classes[:n], CLASSES[:n_classes])
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    theirs.fit(model.scaling.clipped(features[:n]), classes[:n])
    scores = theirs.decision_function(model.scaling.clipped(features[n:]))
    if n_classes == 2:
        scores = np.column_stack([np.zeros(n), scores])
    expected = [
        -log_softmax(scores / t, axis=1)[np.arange(n), classes[n:]].mean() for t in TEMPERATURES
    ]
    losses = sum(model.losses(features[i : i + 7], classes[i : i + 7]) for i in range(n, 2 * n, 7))
    np.testing.assert_allclose(losses / n, expected, rtol=1e-9)
    found = model.calibrated(losses)
    assert found.temperature == TEMPERATURES[np.argmin(expected)]
    assert found.temperature > 1
    given = found.probabilities(features[n:])
    np.testing.assert_allclose(given, softmax(scores / found.temperature, axis=1), atol=1e-10)
    before = model.probabilities(features[n:])
    assert (given.argmax(axis=1) == before.argmax(axis=1)).all()
    stored = Lda.from_arrays(found.to_arrays())
    assert (stored.probabilities(features) == found.probabilities(features)).all()


def test_a_class_without_rows_has_no_temperature() -> None:
    features, classes = made(n_classes=4)
    model = fit(features[:120], classes[:120], CLASSES)
    some = np.where(np.arange(240) % 3 == 0, 4, classes)[120:]
    expected = model.losses(features[120:][some < 4], some[some < 4])
    assert (model.losses(features[120:], some) == expected).all()
    nothing = model.losses(features[120:], np.full(120, 4))
    assert model.calibrated(nothing).temperature == 1


def test_new_rows_are_scaled_by_the_training_rows_and_clipped() -> None:
    features, classes = made()
    model, scaling = fit(features, classes), scaling_of(features)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    theirs.fit(scaling.clipped(features), classes)
    new = features * 50 - 3
    assert np.abs(scaling.z_scores(new)).max() > 10
    expected = theirs.predict_proba(scaling.clipped(new))
    np.testing.assert_allclose(model.probabilities(new), expected, atol=1e-10)


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 30])
def test_sums_of_any_blocks_in_any_order_give_the_same_model(n_blocks: int) -> None:
    features, classes = made()
    scaling, expected = scaling_of(features), fit(features, classes)
    scores = scaling.clipped(features)
    functions = discriminants(ClassSums.of(scores, classes, 5), 0.5)
    for seed in range(10):
        sums = sums_in_blocks(scores, classes, 5, n_blocks, seed)
        model = Lda.fit(CLASSES, scaling, sums)
        assert (model.priors == expected.priors).all()
        for name in ("coefficients", "intercepts"):
            np.testing.assert_allclose(
                getattr(model, name), getattr(expected, name), rtol=1e-10, atol=1e-10
            )
        found = model.probabilities(features)
        np.testing.assert_allclose(found, expected.probabilities(features), rtol=1e-10)
        np.testing.assert_allclose(discriminants(sums, 0.5), functions, rtol=1e-9, atol=1e-10)


def test_sums_are_means_and_covariances() -> None:
    features, classes = made()
    sums = ClassSums.of(features, classes, 5)
    assert sums.counts.tolist() == np.bincount(classes).tolist()
    for i in range(5):
        np.testing.assert_allclose(sums.means[i], features[classes == i].mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(sums.mean, features.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(sums.total(), np.cov(features.T, ddof=0), rtol=1e-11, atol=1e-9)
    deviations = features - sums.means[classes]
    np.testing.assert_allclose(sums.within(), np.cov(deviations.T, ddof=0), rtol=1e-11, atol=1e-9)
    whole = ClassSums.of_all(features)
    np.testing.assert_allclose(whole.total(), sums.total(), rtol=1e-11, atol=1e-9)
    assert (sums.within() == sums.within().T).all()
    assert (sums.total() == sums.total().T).all()


def test_rows_without_a_label_are_left_out() -> None:
    features, classes = made()
    some = np.random.default_rng(0).random(len(classes)) < 0.3
    scores = scaling_of(features).clipped(features)
    found = ClassSums.of(scores, np.where(some, -1, classes), 5)
    expected = ClassSums.of(scores[~some], classes[~some], 5)
    assert (found.counts == expected.counts).all()
    assert (found.means == expected.means).all()
    assert (found.scatter == expected.scatter).all()
    with pytest.raises(ValueError, match="a row of class 4, but 4 classes"):
        ClassSums.of(scores, classes, 4)


def test_a_class_without_rows_is_never_predicted() -> None:
    features, classes = made(n_classes=4)
    expected = fit(features, classes, ("a", "b", "d", "e")).probabilities(features)
    moved = np.array([0, 1, 3, 4])[classes]
    found = fit(features, moved, ("a", "b", "c", "d", "e"))
    assert (found.probabilities(features)[:, 2] == 0).all()
    assert (found.log_probabilities(features)[:, 2] == -np.inf).all()
    np.testing.assert_allclose(found.probabilities(features)[:, [0, 1, 3, 4]], expected, rtol=1e-12)
    stored = Lda.from_arrays(found.to_arrays())
    assert (stored.probabilities(features) == found.probabilities(features)).all()


def test_constant_columns_change_nothing_but_the_shrinkage() -> None:
    features, classes = made()
    features[:, [1, 5]] = [7.0, 0.0]
    scores = scaling_of(features).clipped(features)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(scores, classes)
    found = fit(features, classes).probabilities(features)
    np.testing.assert_allclose(found, theirs.predict_proba(scores), atol=1e-10)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([2, 2, 2, 2, 2, 2], "1 of 5 classes have rows. Linear discriminant analysis needs two"),
        ([-1, -1, -1, -1, -1, -1], "0 of 5 classes have rows"),
        ([0, 1, 2, 3, 4, -1], "no class has two rows that differ"),
    ],
)
def test_one_class_or_equal_rows_are_an_error(classes: list[int], message: str) -> None:
    features = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(ValueError, match=message):
        fit(features, np.array(classes))
    with pytest.raises(ValueError, match=message):
        discriminants(ClassSums.of(features, np.array(classes), 5), 0.5)
    for equal in (np.full((6, 3), 0.1), np.repeat([[0.1, 0.7, 5.3], [0.3, 0.9, 2.1]], 3, axis=0)):
        with pytest.raises(ValueError, match="no class has two rows that differ"):
            fit(equal, np.array([0, 0, 0, 1, 1, 1]))


def test_a_value_that_is_not_finite_is_refused_by_its_column() -> None:
    features, classes = made()
    model = fit(features, classes)
    features[3, 7] = np.nan
    with pytest.raises(ValueError, match="the column column 7 has the value nan"):
        model.probabilities(features)


@pytest.mark.parametrize(
    ("n", "d", "n_classes"), [(240, 12, 5), (40, 90, 5), (100, 3, 2), (200, 2, 5)]
)
def test_discriminants_are_scikit_learns_up_to_their_sign(n: int, d: int, n_classes: int) -> None:
    features, classes = made(n, d, n_classes)
    scores = scaling_of(features).clipped(features)
    theirs = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.5).fit(scores, classes)
    ours = discriminants(ClassSums.of(scores, classes, n_classes), 0.5)
    assert ours.shape == (d, min(n_classes - 1, d))
    expected = theirs.transform(scores)
    signs = np.sign((scores @ ours * expected).sum(axis=0))
    np.testing.assert_allclose(scores @ ours * signs, expected, atol=1e-9)
    assert (ours.max(axis=0) == np.abs(ours).max(axis=0)).all()
    within = shrunk(ClassSums.of(scores, classes, n_classes).within(), 0.5)
    np.testing.assert_allclose(ours.T @ within @ ours, np.eye(ours.shape[1]), atol=1e-10)


def test_a_class_without_rows_has_no_discriminant() -> None:
    features, classes = made(n_classes=3)
    moved = np.array([0, 2, 4])[classes]
    found = discriminants(ClassSums.of(features, moved, 5), 0.5)
    expected = discriminants(ClassSums.of(features, classes, 3), 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_model_survives_as_a_file() -> None:
    features, classes = made()
    model = fit(features, classes)
    found = Lda.from_arrays(from_npz(to_npz(model.to_arrays())))
    assert found.classes == CLASSES
    assert found.scaling.columns == model.scaling.columns
    assert (found.probabilities(features) == model.probabilities(features)).all()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("classes", np.array(["b", "a", "c", "d", "e"])),
        ("classes", np.array(["a", "b", "c", "d"])),
        ("coefficients", np.zeros((5, 11))),
        ("coefficients", np.full((5, 12), np.nan)),
        ("coefficients", np.zeros((5, 12), np.int64)),
        ("intercepts", np.zeros((5, 1))),
        ("priors", np.full(5, 0.3)),
        ("priors", np.array([-0.5, 1.5, 0.0, 0.0, 0.0])),
        ("temperature", np.array(0.0)),
        ("temperature", np.array([1.0])),
        ("mean", np.zeros(5)),
    ],
)
def test_a_damaged_model_is_refused(name: str, wrong: np.ndarray) -> None:
    arrays = fit(*made()).to_arrays()
    with pytest.raises(ValueError, match=r"instead of|ascending|not finite|add up to 1|above 0"):
        Lda.from_arrays(arrays | {name: wrong})
    del arrays[name]
    if name == "temperature":  # as in a model of an older songmill
        assert Lda.from_arrays(arrays).temperature == 1
        return
    with pytest.raises(ValueError, match=f"{name} is missing"):
        Lda.from_arrays(arrays)


def test_no_rows_have_no_probabilities() -> None:
    assert fit(*made()).probabilities(np.empty((0, 12))).shape == (0, 5)
