"""The ten classifiers, against the tutorial's listing, and two others against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRFClassifier

from training.classifiers import (
    CLASSIFIERS,
    MORE_CLASSIFIERS,
    SLOWEST_FIRST,
    make_classifier,
)

# The tutorial's classifiers, without multi_class, which scikit-learn has removed.
TUTORIAL = {
    "naive Bayes": GaussianNB(),
    "SGD": SGDClassifier(max_iter=5000, random_state=0),
    "KNN": KNeighborsClassifier(n_neighbors=19),
    "decision tree": DecisionTreeClassifier(),
    "random forest": RandomForestClassifier(n_estimators=1000, max_depth=10, random_state=0),
    "SVM": SVC(decision_function_shape="ovo"),
    "logistic regression": LogisticRegression(random_state=0, solver="lbfgs"),
    "MLP": MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(5000, 10), random_state=1),
    "XGB": XGBClassifier(n_estimators=1000, learning_rate=0.05, eval_metric="mlogloss"),
    "XGBRF": XGBRFClassifier(objective="multi:softmax", eval_metric="mlogloss"),
}

OURS: dict[str, dict[str, Any]] = {
    "decision tree": {"random_state": 0},
    "XGB": {"n_jobs": 1},
    "XGBRF": {"n_jobs": 1, "num_class": 2},
}
"""Parameters that differ from the tutorial's: a seed, one thread, support for two labels."""


def test_there_are_the_tutorials_ten() -> None:
    assert tuple(TUTORIAL) == CLASSIFIERS
    assert sorted(SLOWEST_FIRST) == sorted(CLASSIFIERS + MORE_CLASSIFIERS)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_model_is_the_tutorials(name: str) -> None:
    model = make_classifier(name)
    assert type(model) is type(TUTORIAL[name])
    ours, theirs = model.get_params(), TUTORIAL[name].get_params()
    different = {key: value for key, value in ours.items() if repr(theirs.get(key)) != repr(value)}
    assert different == OURS.get(name, {})
    assert model.get_params().get("n_jobs") in (None, 1)
    assert make_classifier(name) is not model


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", [name for name in CLASSIFIERS + MORE_CLASSIFIERS if name != "MLP"])
def test_a_model_learns_the_same_from_the_same_rows(name: str, n_classes: int) -> None:
    random = np.random.default_rng(n_classes)
    classes = random.integers(0, n_classes, 120)
    features = np.eye(n_classes)[classes] + random.normal(0, 0.4, (120, n_classes))
    found = []
    for _ in range(2):
        model = make_classifier(name)
        if model.get_params().get("n_estimators") == 1000:
            model.set_params(n_estimators=20)
        found.append(model.fit(features[:80], classes[:80]).predict(features))
    assert np.array_equal(*found)
    assert np.mean(found[0][80:] == classes[80:]) > 0.7


def test_another_name_is_no_model() -> None:
    with pytest.raises(KeyError):
        make_classifier("Naive Bayes")


D = 30
SCIKIT_LEARNS = {
    "LDA": LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3),
    "tuned SVM": SVC(C=5, gamma=0.5 / D),
}


@pytest.mark.parametrize("name", MORE_CLASSIFIERS)
@pytest.mark.parametrize("before", [FunctionTransformer(), MinMaxScaler()])
def test_the_others_are_scikit_learns_of_clipped_z_scores(name: str, before: Any) -> None:
    random = np.random.default_rng(0)
    classes = random.choice([2, 3, 7], 300)
    features = random.normal(size=(300, D)) + 0.7 * random.normal(size=(8, D))[classes]
    features = features * 10.0 ** (np.arange(D) % 7 - 3) + 100
    features[::20] *= 9
    features[:, 4] = 5.0
    # The comparison scales rows to 0 to 1 first, which does not change z-scores.
    ours = make_pipeline(before, make_classifier(name)).fit(features[:200], classes[:200])
    clip = FunctionTransformer(np.clip, kw_args={"a_min": -4, "a_max": 4})
    theirs = make_pipeline(StandardScaler(), clip, SCIKIT_LEARNS[name])
    theirs.fit(features[:200], classes[:200])
    assert np.array_equal(ours.predict(features), theirs.predict(features))
    accuracy = np.mean(ours.predict(features[200:]) == classes[200:])
    assert 0.5 < accuracy < 1


@pytest.mark.parametrize("name", MORE_CLASSIFIERS)
def test_a_classifier_that_is_fitted_again_forgets_the_first_rows(name: str) -> None:
    random = np.random.default_rng(0)
    model = make_classifier(name)
    for d in (3, 5):
        features = random.normal(size=(60, d))
        classes = (features[:, 0] > 0).astype(int)
        found = model.fit(features, classes).predict(features)
        assert np.array_equal(found, make_classifier(name).fit(features, classes).predict(features))
