import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurizer.tempo import tempo


@pytest.mark.parametrize("n", [3, 4, 5, 100, 127, 128, 129, 343, 344, 345, 1293])
def test_tempo_is_librosas(n: int) -> None:
    rng = np.random.default_rng(n)
    envelope = rng.exponential(size=n).astype(np.float32)
    envelope[:3] = 0
    envelope[: n // 2] *= rng.random(n // 2) < 0.2
    expected = 0.0 if not envelope.any() else librosa.feature.tempo(onset_envelope=envelope)[0]
    assert tempo(envelope) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("period", [16, 20, 25, 30])
def test_the_tempo_of_regular_onsets_is_theirs(period: int) -> None:
    envelope = (np.arange(1293) % period == 0).astype(np.float32)
    assert tempo(envelope) == pytest.approx(60 * 22050 / 512 / period)


@pytest.mark.parametrize("lag", [7, 8, 9, 10, 40, 300, 343])
def test_tempo_is_librosas_for_two_onsets_in_silence(lag: int) -> None:
    # No multiple of the lag competes, and most windows are silent.
    envelope = np.zeros(1293, dtype=np.float32)
    envelope[[600, 600 + lag]] = 1.0
    expected = librosa.feature.tempo(onset_envelope=envelope)[0]
    assert tempo(envelope) == pytest.approx(expected, rel=1e-12)


def test_without_onsets_there_is_no_tempo() -> None:
    assert tempo(np.zeros(1293, dtype=np.float32)) == 0.0


@given(
    n=st.integers(3, 1500),
    seed=st.integers(0, 2**32),
    density=st.sampled_from([0.003, 0.02, 0.2, 1.0]),
    level=st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(deadline=None, max_examples=100)
def test_tempo_is_librosas_for_few_onsets_and_many(
    n: int, seed: int, density: float, level: float
) -> None:
    rng = np.random.default_rng(seed)
    envelope = (rng.exponential(size=n) * (rng.random(n) < density) * level).astype(np.float32)
    expected = librosa.feature.tempo(onset_envelope=envelope)[0] if envelope.any() else 0.0
    assert tempo(envelope) == pytest.approx(expected, rel=1e-12)


def test_where_no_lag_has_a_correlation_the_prior_decides_and_no_rounding_error() -> None:
    envelope = np.zeros(16, dtype=np.float32)
    envelope[[3, 5, 6, 7, 9, 10, 11]] = [0.65, 0.18, 0.53, 0.34, 0.02, 0.98, 2.17]
    expected = librosa.feature.tempo(onset_envelope=envelope)[0]
    assert tempo(envelope) == pytest.approx(expected, rel=1e-12)
