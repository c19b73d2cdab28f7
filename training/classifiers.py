"""The ten classifiers of the tutorial, with its parameters, and two that suit many columns.

The tutorial's decision tree has no seed. It has one here, so that the same rows give the same
scores.
"""

from typing import Any

CLASSIFIERS = (
    *("naive Bayes", "SGD", "KNN", "decision tree", "random forest"),
    *("SVM", "logistic regression", "MLP", "XGB", "XGBRF"),
)
"""Names of the tutorial's, in its order."""

MORE_CLASSIFIERS = ("LDA", "tuned SVM")
"""Names of the two best ones for the 458 columns of the rich features."""

SLOWEST_FIRST = (
    *("MLP", "XGB", "random forest", "tuned SVM", "SVM", "XGBRF", "logistic regression"),
    *("decision tree", "SGD", "LDA", "KNN", "naive Bayes"),
)
"""Names in the order in which a cluster starts them, so that no slow one is left to the end."""


def make_classifier(name: str) -> Any:
    """Return a new, unfitted scikit-learn classifier that uses one thread.

    Parameters
    ----------
    name : str
        One of :data:`CLASSIFIERS` or :data:`MORE_CLASSIFIERS`.

    Raises
    ------
    KeyError
        There is no such classifier.

    Examples
    --------
    >>> make_classifier("KNN").fit([[i] for i in range(19)], [0] * 10 + [1] * 9).predict([[3]])
    array([0])
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier
    from xgboost import XGBClassifier, XGBRFClassifier

    from training.estimators import LdaClassifier, TunedSvm

    return {
        "naive Bayes": GaussianNB(),
        "SGD": SGDClassifier(max_iter=5000, random_state=0),
        "KNN": KNeighborsClassifier(n_neighbors=19),
        "decision tree": DecisionTreeClassifier(random_state=0),
        "random forest": RandomForestClassifier(n_estimators=1000, max_depth=10, random_state=0),
        "SVM": SVC(decision_function_shape="ovo"),
        # Multinomial, as in the tutorial; scikit-learn has removed the alternatives.
        "logistic regression": LogisticRegression(solver="lbfgs", random_state=0),
        "MLP": MLPClassifier(
            solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(5000, 10), random_state=1
        ),
        "XGB": XGBClassifier(
            n_estimators=1000, learning_rate=0.05, eval_metric="mlogloss", n_jobs=1
        ),
        # XGBoost sets the number of classes itself if there are more than two.
        "XGBRF": XGBRFClassifier(
            objective="multi:softmax", num_class=2, eval_metric="mlogloss", n_jobs=1
        ),
        "LDA": LdaClassifier(),
        "tuned SVM": TunedSvm(),
    }[name]
