"""Decisions over many simulated nights, and the line through them."""

import numpy as np
import pytest

import training.bootstrap
from benchmarks.promotion import run_chain, simulated, worsen
from training.evaluate import macro_f1
from training.promotion import BEST_ITSELF, Night, change, compare


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.bootstrap, "RESAMPLES", 200)


def test_a_chain_of_slightly_worse_models_stays_near_the_best() -> None:
    truth, draw = simulated(np.random.default_rng(0))
    losses = 0.005 * np.arange(1, 31)
    lost = [run_chain(truth, draw, losses).lost for _ in range(2)]
    assert max(lost) <= 0.03 + 1e-9
    assert min(lost) > 0  # the nights' noise hides the first losses


def test_equal_models_are_rarely_refused() -> None:
    truth, draw = simulated(np.random.default_rng(1))
    assert run_chain(truth, draw, np.zeros(200)).refused <= 12


def test_a_difference_is_paired() -> None:
    """Two models that are wrong about the same tracks differ by less than their scores' noise."""
    truth, draw = simulated(np.random.default_rng(0))
    predicted = draw(0.0)
    worse = worsen(truth, predicted, 0.02, np.random.default_rng(1))
    found = compare(truth, worse, predicted)
    assert found.value == pytest.approx(macro_f1(truth, worse) - macro_f1(truth, predicted))
    deviation_of_a_score = (0.73 * 0.27 / 1000) ** 0.5
    assert found.deviation < deviation_of_a_score / 2
    assert found.interval.upper < 0


@pytest.mark.parametrize("nights", [1, 2, 7, 29])
def test_the_line_is_that_of_least_squares_with_the_noise_of_its_slope(nights: int) -> None:
    generator = np.random.default_rng(nights)
    values = np.append(0.0, generator.normal(size=nights))
    found = change([BEST_ITSELF, *(Night(value, 0.2) for value in values[1:])])
    slope, _ = np.polyfit(np.arange(nights + 1), values, 1)
    assert found.value == pytest.approx(slope * nights)
    # Independent scores with half the variance of a difference.
    scores = generator.normal(scale=0.2 / 2**0.5, size=(4000, nights + 1))
    slopes = np.polyfit(np.arange(nights + 1), scores.T, 1)[0]
    assert found.deviation == pytest.approx(slopes.std() * nights, rel=0.05)
    assert found.interval.upper - found.value == pytest.approx(2.576 * found.deviation, rel=1e-3)


def test_nights_that_equal_the_best_have_no_noise() -> None:
    found = change([BEST_ITSELF, Night(0.0, 0.0), Night(0.0, 0.0)])
    assert (found.value, found.interval.lower, found.interval.upper) == (0, 0, 0)
