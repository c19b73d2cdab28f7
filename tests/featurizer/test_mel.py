import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from support.random_arrays import spectrograms

from featurizer.mel import decibels, mel_power


@given(P=spectrograms())
@settings(deadline=None, max_examples=60)
def test_bands_and_levels_are_librosas(P: npt.NDArray[np.float32]) -> None:
    mel = np.full((len(P), 128), np.nan, dtype=np.float32)
    mel_power(P, mel)
    expected = librosa.feature.melspectrogram(S=P.T)
    np.testing.assert_allclose(mel.T, expected, rtol=2e-6)
    levels = decibels(mel, mel.max())
    np.testing.assert_allclose(levels.T, librosa.power_to_db(expected), atol=3e-5)


def test_the_floor_is_that_of_the_whole_signal() -> None:
    mel = np.array([[0.0, 1e-12, 1e-9, 1e-3]], dtype=np.float32)
    found = decibels(mel, np.float32(1e-3))
    assert found[0] == pytest.approx([-100, -100, -90, -30], abs=1e-4)
    found = decibels(mel, np.float32(10.0))
    assert found[0] == pytest.approx([-70, -70, -70, -30], abs=1e-4)
