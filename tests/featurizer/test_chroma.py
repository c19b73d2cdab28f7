import librosa
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_arrays import spectrograms

from featurizer.chroma import chroma


@given(P=spectrograms(), hundredths=st.integers(-50, 49))
@settings(deadline=None, max_examples=60)
def test_it_is_librosas_for_every_tuning(P: npt.NDArray[np.float32], hundredths: int) -> None:
    C = chroma(P, tuning=hundredths / 100)
    expected = librosa.feature.chroma_stft(S=P.T, tuning=hundredths / 100).T
    np.testing.assert_allclose(C, expected, rtol=1e-5, atol=1e-6)


def test_silent_and_faint_frames_are_librosas() -> None:
    P = np.random.default_rng(0).exponential(size=(3, 1025)).astype(np.float32)
    P[1] = 0
    P[2] *= np.float32(1e-40)
    C = chroma(P, tuning=0.0)
    expected = librosa.feature.chroma_stft(S=P.T, tuning=0.0).T
    np.testing.assert_allclose(C, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(C[1], 0)


def test_the_strongest_pitch_class_of_a_tone_is_its_own() -> None:
    t = np.arange(20_000) / 22050
    S = np.abs(librosa.stft(np.sin(2 * np.pi * 440 * t).astype(np.float32))).T
    assert (chroma(np.ascontiguousarray(S * S), tuning=0.0).argmax(axis=1) == 9).all()
