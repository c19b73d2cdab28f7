"""Filter banks, mel bands, MFCC and chroma, against librosa."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_arrays import spectrograms

from featurizer.chroma import chroma
from featurizer.filters import chroma_filters, mel_filters
from featurizer.mel import decibels, mel_power
from featurizer.mfcc import mfcc


def test_mel_filters_are_librosas_and_read_only() -> None:
    expected = librosa.filters.mel(sr=22050, n_fft=2048).T
    np.testing.assert_array_equal(mel_filters(), expected)
    assert mel_filters().dtype == np.float32
    assert not mel_filters().flags.writeable


@given(P=spectrograms())
@settings(deadline=None, max_examples=60)
def test_mel_bands_and_levels_are_librosas(P: np.ndarray) -> None:
    mel = np.full((len(P), 128), np.nan, dtype=np.float32)
    mel_power(P, mel)
    expected = librosa.feature.melspectrogram(S=P.T)
    np.testing.assert_allclose(mel.T, expected, rtol=2e-6)
    levels = decibels(mel, mel.max())
    np.testing.assert_allclose(levels.T, librosa.power_to_db(expected), atol=3e-5)


def test_the_floor_of_levels_is_that_of_the_whole_signal() -> None:
    mel = np.array([[0.0, 1e-12, 1e-9, 1e-3]], dtype=np.float32)
    found = decibels(mel, np.float32(1e-3))
    assert found[0] == pytest.approx([-100, -100, -90, -30], abs=1e-4)
    found = decibels(mel, np.float32(10.0))
    assert found[0] == pytest.approx([-70, -70, -70, -30], abs=1e-4)


@given(x=spectrograms(width=128, max_frames=200))
@settings(deadline=None, max_examples=60)
def test_mfcc_are_librosas(x: np.ndarray) -> None:
    db = 10 * np.log10(np.maximum(x, np.float32(1e-10)))
    expected = librosa.feature.mfcc(S=db.T.astype(np.float64), n_mfcc=20).T
    np.testing.assert_allclose(mfcc(db), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hundredths", range(-50, 50))
def test_chroma_filters_are_librosas_for_every_tuning_and_read_only(hundredths: int) -> None:
    bank = chroma_filters(hundredths / 100)
    expected = librosa.filters.chroma(sr=22050, n_fft=2048, tuning=hundredths / 100).T
    np.testing.assert_allclose(bank, expected, rtol=2e-7, atol=1e-12)
    assert bank.dtype == np.float32
    assert not bank.flags.writeable


@given(P=spectrograms(), hundredths=st.integers(-50, 49))
@settings(deadline=None, max_examples=60)
def test_chroma_is_librosas_for_every_tuning(P: np.ndarray, hundredths: int) -> None:
    C = chroma(P, tuning=hundredths / 100)
    expected = librosa.feature.chroma_stft(S=P.T, tuning=hundredths / 100).T
    np.testing.assert_allclose(C, expected, rtol=1e-5, atol=1e-6)


def test_chroma_of_silent_and_faint_frames_is_librosas() -> None:
    P = np.random.default_rng(0).exponential(size=(3, 1025)).astype(np.float32)
    P[1] = 0
    P[2] *= np.float32(1e-40)
    C = chroma(P, tuning=0.0)
    expected = librosa.feature.chroma_stft(S=P.T, tuning=0.0).T
    np.testing.assert_allclose(C, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(C[1], 0)
