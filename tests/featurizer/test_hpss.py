"""Harmonic and percussive parts, against librosa."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_arrays import spectrograms

from featurizer import spectrogram
from featurizer.accumulator import Accumulator
from featurizer.analysis import add_blocks
from featurizer.block import Block
from featurizer.hpss import HarmonicPercussive, percussive_masks
from featurizer.inverse_fft import inverse_real_fft
from featurizer.moments import Moments
from featurizer.overlap_add import OverlapAdd
from featurizer.stft import n_frames


def separate(y: np.ndarray) -> Moments:
    parts = HarmonicPercussive(y, n_frames(len(y)))

    class Parts(Accumulator):
        def add_delayed(self, block: Block) -> None:
            parts.add(block.start, block.D, block.percussive_mask)

    add_blocks(y, [Parts()])
    return parts.moments


def percussive(S: np.ndarray, D: np.ndarray, first: int) -> np.ndarray:
    frames = np.full((len(D), 2048), np.nan, dtype=np.float32)
    mask = np.full(D.shape, np.nan, dtype=np.float32)
    percussive_masks(S * S, first, mask)
    inverse_real_fft(D, mask, frames)
    return np.fft.rfft(frames)


@given(S=spectrograms(), cut=st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_the_percussive_part_is_librosas(S: np.ndarray, cut: int) -> None:
    phase = np.random.default_rng(cut).uniform(0, 2 * np.pi, S.shape)
    phase[:, [0, -1]] = 0
    D = (S * np.exp(1j * phase)).astype(np.complex64)
    padded = np.pad(S, ((15, 15), (0, 0)), mode="symmetric")
    _, mask = librosa.decompose.hpss(padded.T, mask=True)
    expected = D * mask.T[15:-15]
    scale = np.maximum(S, S.max(axis=1, keepdims=True)).max()
    np.testing.assert_allclose(percussive(S, D, 0), expected, atol=1e-6 * scale)
    # The same for a part with known neighbours.
    start = min(cut, len(S) - 1)
    first = max(0, start - 15)
    inner = percussive(S[first:], D[start:], start - first)
    np.testing.assert_allclose(inner, expected[start:], atol=1e-6 * scale)


def test_a_bin_that_is_neither_harmonic_nor_percussive_is_split_evenly() -> None:
    # In the middle of a silent rectangle with one loud bin, both medians are zero.
    S = np.ones((131, 1025), dtype=np.float32)
    S[40:110, 300:500] = 0
    S[75, 400] = 1
    found = percussive(S, S.astype(np.complex64), 0)
    assert found[75, 400] == pytest.approx(0.5, abs=1e-6)
    assert np.abs(found[60:90, 320:399]).max() < 1e-6


@pytest.mark.parametrize("kept", [303, 5168], ids=["the latest frames", "all frames"])
@pytest.mark.parametrize("n", [16 * 512, 66149, 65536, 97_791, 97_792, 98_815, 150_000, 300_000])
def test_the_moments_are_those_of_librosas_parts(
    n: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrogram, "KEPT_FRAMES", kept)
    rng = np.random.default_rng(n)
    t = np.arange(n)
    y = (0.3 * np.sin(t * 0.1) + 0.1 * rng.normal(size=n) + 0.02).astype(np.float32)
    y[::5000] += 0.9
    moments = separate(y)
    assert moments.count == n
    D = librosa.stft(y, pad_mode="reflect")
    for i, part in enumerate(librosa.decompose.hpss(D)):
        x = librosa.util.fix_length(librosa.istft(part), size=n)
        assert moments.mean[i] == pytest.approx(x.mean(dtype=np.float64), abs=2e-9)
        assert moments.variance[i] == pytest.approx(x.var(dtype=np.float64), rel=1e-5)


def inverse_moments(frames: np.ndarray, y: np.ndarray, cut: int) -> Moments:
    n = len(frames)
    sums = OverlapAdd(y, n)
    for start, stop in [(0, cut), (cut, n)] if cut else [(0, n)]:
        sums.add(frames[start:stop], start, stop)
    return sums.moments


@given(n=st.integers(3, 40), cut=st.integers(0, 30), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_overlapping_frames_have_the_moments_of_librosas_inverse_and_the_rest(
    n: int, cut: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    D = librosa.stft(rng.normal(size=512 * (n - 1) + 1025).astype(np.float32))[:, :n]
    D *= rng.random(D.shape) < 0.5
    y = rng.normal(size=512 * (n - 1) + 100).astype(np.float32)
    frames = np.fft.irfft(D.T).astype(np.float32)
    found = inverse_moments(frames, y, cut if cut < n - 3 and cut >= 3 else 0)
    percussive = librosa.istft(D)
    assert found.count == len(percussive) == 512 * (n - 1)
    for i, x in enumerate((y[: len(percussive)] - percussive, percussive)):
        assert found.mean[i] == pytest.approx(x.mean(dtype=np.float64), abs=1e-8)
        assert found.variance[i] == pytest.approx(x.var(dtype=np.float64), rel=1e-6)
