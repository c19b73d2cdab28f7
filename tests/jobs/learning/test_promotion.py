"""Decisions about a new model, and the record of the best champion."""

from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from jobs.learning.promotion import Answers, Verdict, decide
from jobs.learning.registry import Best
from training.promotion import BEST_ITSELF, MAX_NIGHTS, Night

TRUTH = np.arange(400) % 4
RECORD = Best("best", "by-track")


def answers(newcomer: float, earlier: float, version: str = "champion") -> Answers:
    """Return predictions of two models with these shares of right ones, wrong in other tracks."""
    position = np.arange(400) // 4
    wrong = (TRUTH + 1) % 4
    ours = np.where(position < 100 * newcomer, TRUTH, wrong)
    theirs = np.where(position >= 100 * (1 - earlier), TRUTH, wrong)
    return Answers(version, TRUTH, ours, theirs, None)


def judge(
    champion: Answers, best: Answers | None = None, record: Best | None = RECORD, **options: Any
) -> tuple[Verdict, Best | None]:
    given = {"earlier_score": 0.5, "tolerance": 0.0, "promote": None, **options}
    return decide(champion, best, record, **given)


@pytest.mark.parametrize(
    ("newcomer", "tolerance", "promoted"),
    [(0.75, 0.0, True), (0.65, 0.0, False), (0.65, 0.05, False), (0.65, 0.1, True)],
)
def test_a_model_is_refused_if_the_interval_lies_below_the_tolerance(
    newcomer: float, tolerance: float, promoted: bool
) -> None:
    verdict, _ = judge(answers(newcomer, 0.8), tolerance=tolerance)
    assert verdict.promoted is promoted
    compared = verdict.champion
    assert compared
    assert (compared.newcomer, compared.earlier) == pytest.approx((newcomer, 0.8))
    assert compared.difference == pytest.approx(newcomer - 0.8)
    assert compared.lower < compared.difference < compared.upper
    assert (compared.upper < -tolerance) is not promoted
    assert ("worse than the champion" in verdict.reason) is not promoted
    shown = f"difference {newcomer - 0.8:+.3f} (99 % interval {compared.lower:+.3f} to "
    assert shown in verdict.reason


def test_a_model_that_equals_the_champion_is_refused_if_it_is_worse_than_the_best() -> None:
    verdict, record = judge(answers(0.65, 0.65), answers(0.65, 0.8, "best"))
    assert not verdict.promoted
    assert "worse than the best champion so far" in verdict.reason
    assert verdict.best
    assert verdict.since_best
    assert verdict.since_best.nights == 1
    assert verdict.since_best.change == pytest.approx(verdict.best.difference)
    assert record
    assert record.nights[0] == BEST_ITSELF
    assert record.nights[1].difference == pytest.approx(-0.15)
    # The tolerance applies to this comparison, too.
    assert judge(answers(0.65, 0.65), answers(0.65, 0.8, "best"), tolerance=0.1)[0].promoted


def test_small_losses_add_up_over_the_nights() -> None:
    """None of them is more than the noise."""
    record: Best | None = RECORD
    promoted = []
    for night in range(1, 10):
        score = 0.8 - 0.02 * night
        verdict, record = judge(answers(score, score), answers(score, 0.8, "best"), record)
        promoted.append(verdict.promoted)
        assert record
    assert promoted[:2] == [True, True]
    assert promoted[-4:] == [False] * 4


def test_a_rising_line_makes_the_new_model_the_best() -> None:
    verdict, record = judge(answers(0.95, 0.8), answers(0.95, 0.8, "best"))
    assert verdict.promoted
    assert record is None
    # One that is only as good leaves the best as it is.
    verdict, record = judge(answers(0.8, 0.8), answers(0.8, 0.8, "best"))
    assert verdict.promoted
    assert record
    assert [night.difference for night in record.nights] == [0, 0]
    assert [night.deviation > 0 for night in record.nights] == [False, True]


def test_whoever_promotes_a_worse_model_makes_it_the_best() -> None:
    worse = answers(0.65, 0.8), answers(0.65, 0.8, "best")
    verdict, record = judge(*worse, promote=True)
    assert (verdict.promoted, record) == (True, None)
    assert verdict.reason.endswith("; --promote")
    verdict, record = judge(answers(0.95, 0.8), answers(0.95, 0.8, "best"), promote=False)
    assert (verdict.promoted, record is None) == (False, False)
    assert verdict.reason.endswith("; --no-promote")


def test_the_record_holds_the_last_nights() -> None:
    nights = (BEST_ITSELF, *(Night(0.001 * (-1) ** i, 0.01) for i in range(MAX_NIGHTS - 1)))
    _, record = judge(answers(0.8, 0.8), answers(0.8, 0.8, "best"), replace(RECORD, nights=nights))
    assert record
    assert record.nights[:-1] == nights[1:]


def test_the_best_that_is_the_champion_is_compared_once() -> None:
    both = answers(0.75, 0.8)
    verdict, _ = judge(both, both, Best("champion", "by-track"))
    assert verdict.best == verdict.champion
    assert "the best" not in verdict.reason


def test_without_a_best_of_the_split_the_champion_decides() -> None:
    verdict, record = judge(answers(0.8, 0.8), None, None)
    assert (verdict.promoted, verdict.best, verdict.since_best, record) == (True, None, None, None)


def test_tracks_of_a_group_are_drawn_together() -> None:
    alone = answers(0.7, 0.8)
    # Forty tracks that are all wrong or all right are one observation.
    grouped = replace(alone, groups=np.arange(400) // 40)
    one, other = (judge(found)[0].champion for found in (alone, grouped))
    assert one
    assert other
    assert other.upper - other.lower > 2 * (one.upper - one.lower)
    assert astuple(one)[:5] == astuple(other)[:5]
