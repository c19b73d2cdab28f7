"""Recognition of excerpts and re-encodings, with synthetic segments."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommend.recognise import (
    BLOCK,
    ONE_SEGMENT,
    SEVERAL_SEGMENTS,
    Call,
    Distances,
    Limits,
    distances,
)

RANDOM = np.random.default_rng(0)
N, SEGMENTS, D = 50, 10, 57
owners = np.repeat(np.arange(N), SEGMENTS)
# Segments vary more within recordings than between.
rows = RANDOM.normal(size=(N, D))[owners] + RANDOM.normal(size=(len(owners), D))


def recognised(segments: np.ndarray) -> tuple[int, Call]:
    found = distances(segments, rows, owners, N)
    nearest = int(found.total.argmin())
    return nearest, found.call(np.arange(N) == nearest)


def test_an_excerpt_is_recognised() -> None:
    for i in range(0, N, 4):
        of_track = rows[owners == i]
        assert recognised(of_track[3:7]) == (i, "yes")
        assert recognised(of_track[8:9]) == (i, "yes")
        found = distances(of_track[:4], rows, owners, N)
        np.testing.assert_allclose(found.direct[i], 0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 4])
def test_segments_of_an_excerpt_may_overlap_two_consecutive_known_ones(count: int) -> None:
    for i in range(0, N, 4):
        of_track = rows[owners == i]
        between = (of_track[2 : 2 + count] + of_track[3 : 3 + count]) / 2
        assert recognised(between) == (i, "yes")
        assert distances(between, rows, owners, N).direct[i] == pytest.approx(0, abs=1e-12)
        # Segments that are not consecutive are not joined, and neither are two recordings.
        apart = (of_track[2 : 2 + count] + of_track[4 : 4 + count]) / 2
        assert distances(apart, rows, owners, N).direct[i] > 0.05
    joined = (rows[9:10] + rows[10:11]) / 2
    assert distances(joined, rows, owners, N).direct.min() > 0.05


def test_a_reencoding_that_shifts_all_features_is_recognised() -> None:
    shift = RANDOM.normal(size=D) * 4
    for i in range(0, N, 4):
        noise = RANDOM.normal(size=(SEGMENTS, D)) * 0.3
        assert recognised(rows[owners == i] + shift + noise) == (i, "yes")


@pytest.mark.parametrize("count", [1, 2, 8])
def test_an_unknown_recording_is_not_recognised(count: int) -> None:
    for _ in range(40):
        assert recognised(RANDOM.normal(size=D) + RANDOM.normal(size=(count, D)))[1] == "no"


def test_distances_are_those_of_brute_force() -> None:
    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    few = rows[:25] + 1
    of_few = np.array([0] * 4 + [2] * 20 + [3])
    segments = RANDOM.normal(size=(BLOCK + 3, D)) + 0.5
    for asked in (segments, segments[:3], segments[:1]):
        found = distances(asked, few, of_few, 5)
        for i in range(5):
            own = few[of_few == i]
            if not len(own):
                assert found.direct[i] == found.deviation[i] == 1
                continue
            mean = own.mean(axis=0)
            known = [*own, *((a + b) / 2 for a, b in zip(own, own[1:], strict=False))]
            centre = mean if len(asked) == 1 else asked.mean(axis=0)
            direct = [max(0.0, *(cosine(q, k) for k in known)) for q in asked]
            assert found.direct[i] == pytest.approx(1 - np.mean(direct))
            if len(own) > 1:
                best = [max(0.0, *(cosine(q - centre, k - mean) for k in known)) for q in asked]
                assert found.deviation[i] == pytest.approx(1 - np.mean(best))
            else:
                assert found.deviation[i] == 1


def test_of_published_tracks_hardly_any_is_called_the_same_as_another(shared_data: Path) -> None:
    """Of hip-hop, where loops repeat."""
    table = pd.read_csv(shared_data / "gtzan" / "features_3_sec.csv")
    parts = table["filename"].str.extract(r"(.*)\.(\d+)\.wav").astype({1: int})
    faultless = pd.read_csv(shared_data / "gtzan" / "splits" / "fault_filtered.csv")["track_id"]
    taken = (table["label"] == "hiphop") & parts[0].isin(faultless)
    table = table.loc[parts[taken].sort_values([0, 1]).index]
    names, of_segment = np.unique(parts[0][table.index], return_inverse=True)
    columns = table.drop(columns=["filename", "length", "label"])
    known = ((columns - columns.mean()) / columns.std(ddof=0)).to_numpy()
    calls: Counter[str] = Counter()
    for own in range(0, len(names), 4):
        others = of_segment != own
        segments = known[~others]
        for asked in (segments[3:4], segments[3:6], segments):
            found = distances(asked, known[others], of_segment[others], len(names))
            nearest = int(found.total.argmin())
            calls[found.call(np.arange(len(names)) == nearest)] += 1
    assert calls.total() == 69
    assert calls["yes"] == 0
    assert calls["perhaps"] <= 3


FIRST = np.array([True, False, False])


@pytest.mark.parametrize(("segments", "limits"), [(1, ONE_SEGMENT), (4, SEVERAL_SEGMENTS)])
def test_a_call_has_a_ratio_and_limits_of_its_own(
    segments: int, limits: dict[Call, Limits]
) -> None:
    def call(direct: float, deviation: float, ratio: float) -> Call:
        total = direct if segments == 1 else direct * deviation
        other = total * ratio if segments == 1 else (total * ratio) ** 0.5
        others = np.array([[other, other if segments > 1 else 1.0]] * 2).T
        found = Distances(
            np.array([direct, *others[0]]), np.array([deviation, *others[1]]), segments
        )
        return found.call(FIRST)

    below: dict[Call, Call] = {"yes": "perhaps", "perhaps": "no"}
    for expected, limit in limits.items():
        direct, deviation, ratio = limit.direct, limit.deviation, limit.ratio
        assert call(direct, deviation, ratio + 1e-9) == expected
        assert call(direct, deviation, ratio - 1e-6) == below[expected]
        if direct < 1:
            assert call(direct + 1e-6, deviation, ratio + 1e-9) == below[expected]
        assert call(direct, deviation + 1e-6, ratio + 1e-9) == below[expected]


def test_copies_of_the_nearest_do_not_count_as_second() -> None:
    near = Distances(np.array([0.1, 0.5, 0.1, 0.4]), np.array([0.1, 0.5, 0.1, 0.4]), 4)
    assert near.call(np.array([True, False, False, False])) == "no"
    assert near.call(np.array([True, False, True, False])) == "yes"
    assert Distances(np.zeros(1), np.zeros(1), 4).call(np.array([True])) == "no"


def test_recordings_without_segments_are_farthest() -> None:
    found = distances(rows[:3], rows, owners, N + 2)
    assert (found.total[N:] == 1).all()
    assert (found.total[:N] <= 1).all()
    # Equal segments have no deviations from their mean.
    same = np.repeat(rows[:1], 3, axis=0)
    assert np.isfinite(distances(same, rows, owners, N).total).all()
