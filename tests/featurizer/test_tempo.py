import librosa
import numpy as np
import pytest

from featurizer.tempo import ONSET_DELAY, onset_strength, tempo


def test_onset_strength_is_librosas_wherever_the_block_begins() -> None:
    db = np.random.default_rng(0).normal(size=(50, 128)).cumsum(axis=0).astype(np.float32)
    expected = librosa.onset.onset_strength(S=db.T, aggregate=np.median)
    for start, stop in [(1, 47), (20, 21), (20, 40)]:
        onsets = onset_strength(db[start:stop], db[start - 1])
        shift = ONSET_DELAY - 1
        np.testing.assert_array_equal(onsets, expected[start + shift : stop + shift])


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
