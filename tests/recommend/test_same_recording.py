"""Groups of vectors that are the same recording, against a matrix of all cosines."""

import time

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recommend.same_recording import same_recording
from recommend.vectors import unit


def groups_of(vectors: np.ndarray, cosine: float) -> list[int]:
    """Return the smallest index in the group of each vector, by following pairs until none lead on.

    Cosines within rounding of the limit have no right answer: there are none.
    """
    matrix = vectors @ vectors.T
    assume((np.abs(matrix - cosine) > 1e-12).all())  # noqa: PLR2004
    near = matrix >= cosine
    zero = ~vectors.any(axis=1)
    near |= zero & zero[:, np.newaxis]
    np.fill_diagonal(near, True)
    first = np.arange(len(vectors))
    while True:
        reached = np.where(near, first, len(vectors)).min(axis=1)
        if (reached == first).all():
            return first.tolist()
        first = reached


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Draw vectors with copies, chains of near copies and zeros, and a cosine."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    d = draw(st.sampled_from([1, 2, 3, 8, 9, 57]))
    rows = random.normal(size=(draw(st.integers(1, 60)), d)) * random.exponential(size=d)
    rows = rows[random.integers(0, len(rows), draw(st.integers(1, 120)))]
    cosine = draw(st.sampled_from([0.6, 0.95, 0.9999, 0.9999999]))
    # Some near copies are beyond the limit, and connected by others.
    step = random.choice([0, 0.3, 0.9, 1.5], size=(len(rows), 1)) * np.sqrt(2 - 2 * cosine)
    vectors = unit(unit(rows) + step * unit(random.normal(size=rows.shape)))
    return vectors * (random.random((len(rows), 1)) > draw(st.sampled_from([0, 0.2]))), cosine


@settings(deadline=None)
@given(collections())
def test_groups_are_those_of_all_pairs(drawn: tuple[np.ndarray, float]) -> None:
    assert same_recording(*drawn).tolist() == groups_of(*drawn)


def test_a_pair_just_beyond_the_limit_is_no_pair() -> None:
    angle = np.arccos(0.9999)
    for factor, expected in ((1 - 1e-9, [0, 0]), (1 + 1e-9, [0, 1])):
        for turn in np.linspace(0, np.pi, 50):
            angles = turn + np.array([0, factor * angle])
            vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            assert same_recording(vectors, 0.9999).tolist() == expected


def test_a_collection_of_copies_takes_linear_time() -> None:
    """All pairs would take a minute."""
    random = np.random.default_rng(0)
    copies = np.repeat(unit(random.normal(size=(2, 57))), 30_000, axis=0)
    copies[::2] += 1e-5 * random.normal(size=(30_000, 57))
    zeros = np.zeros((30_000, 57))
    same_recording(copies[:2], 0.9999)
    began = time.perf_counter()
    found = same_recording(np.concatenate([unit(copies), zeros]), 0.9999)
    assert time.perf_counter() - began < 10  # noqa: PLR2004
    assert np.unique(found, return_counts=True)[1].tolist() == [30_000] * 3


def test_no_vectors_have_no_groups() -> None:
    assert same_recording(np.empty((0, 57)), 0.9999).shape == (0,)
