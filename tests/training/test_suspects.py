"""Suspected mislabels, against cleanlab."""

import numpy as np

from training.suspects import find_suspects

PERCENT = np.array(
    [
        *([35, 14, 51], [85, 8, 7], [51, 5, 44], [32, 8, 60], [40, 43, 17], [63, 14, 23]),
        *([43, 57, 0], [25, 50, 25], [25, 53, 22], [14, 32, 54], [33, 33, 34], [52, 35, 13]),
        *([3, 24, 73], [18, 27, 55], [18, 42, 40], [21, 46, 33], [45, 14, 41], [4, 62, 34]),
    ]
)
"""Probabilities of three classes, for six tracks of each."""


def test_suspects_and_their_order_are_those_of_cleanlab() -> None:
    suspects, suggested = find_suspects(np.repeat([0, 1, 2], 6), PERCENT / 100)
    # cleanlab 2.9: find_label_issues(filter_by="confident_learning",
    # return_indices_ranked_by="normalized_margin")
    assert suspects.tolist() == [3, 17, 9, 11, 0, 15]
    assert suggested.tolist() == [2, 1, 2, 0, 2, 1]


def test_a_class_without_tracks_is_never_suggested() -> None:
    probabilities = np.array([[0.1, 0.0, 0.9], [0.6, 0.1, 0.3], [0.7, 0.2, 0.1]])
    suspects, suggested = find_suspects(np.array([0, 0, 1]), probabilities)
    assert (suspects.tolist(), suggested.tolist()) == ([2], [0])


def test_no_tracks_give_no_suspects() -> None:
    suspects, _ = find_suspects(np.zeros(0, int), np.zeros((0, 3)))
    assert suspects.tolist() == []
