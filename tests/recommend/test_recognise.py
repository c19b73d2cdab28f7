"""Recognition of excerpts and re-encodings, with synthetic segments."""

import numpy as np

from recommend.recognise import MIN_RATIO, distances, passes_ratio_test

RANDOM = np.random.default_rng(0)
N, SEGMENTS, D = 50, 10, 57
owners = RANDOM.permutation(np.repeat(np.arange(N), SEGMENTS))
# Segments vary more within recordings than between.
rows = RANDOM.normal(size=(N, D))[owners] + RANDOM.normal(size=(len(owners), D))


def recognised(segments: np.ndarray) -> int | None:
    far = distances(segments, rows, owners, N)
    best = int(far.argmin())
    return best if passes_ratio_test(far, np.arange(N) == best) else None


def test_an_excerpt_is_recognised() -> None:
    for i in range(N):
        of_track = rows[owners == i]
        assert recognised(of_track[3:7]) == i
        assert recognised(of_track[8:9]) == i
        far = distances(of_track[:4], rows, owners, N)
        np.testing.assert_allclose(far[i], 0, atol=1e-12)


def test_a_reencoding_that_shifts_all_features_is_recognised() -> None:
    shift = RANDOM.normal(size=D) * 4
    for i in range(N):
        noise = RANDOM.normal(size=(SEGMENTS, D)) * 0.3
        assert recognised(rows[owners == i] + shift + noise) == i


def test_an_unknown_recording_is_not_recognised() -> None:
    found = [recognised(RANDOM.normal(size=D) + RANDOM.normal(size=(8, D))) for _ in range(50)]
    assert found.count(None) >= 48


def test_copies_of_the_nearest_do_not_count_as_second() -> None:
    far = np.array([0.1, 0.5, 0.1, 0.4])
    assert not passes_ratio_test(far, np.array([True, False, False, False]))
    assert passes_ratio_test(far, np.array([True, False, True, False]))
    assert passes_ratio_test(np.array([0.1, 0.1 * MIN_RATIO]), np.array([True, False]))
    assert not passes_ratio_test(np.array([0.1, 0.1 * MIN_RATIO - 1e-9]), np.array([True, False]))
    assert not passes_ratio_test(np.array([0.0]), np.array([True]))


def test_recordings_without_segments_are_farthest() -> None:
    far = distances(rows[:3], rows, owners, N + 2)
    assert (far[N:] == 1).all()
    assert (far[:N] <= 1).all()
    # Equal segments have no deviations from their mean.
    same = np.repeat(rows[:1], 3, axis=0)
    assert np.isfinite(distances(same, rows, owners, N)).all()
