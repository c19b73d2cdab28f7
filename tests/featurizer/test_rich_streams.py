"""The streams of the rich features and their statistics, against the reference."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_arrays import positive, spectrograms
from support.rich_reference import reference

from featurizer.contrast import contrast, contrast_statistics
from featurizer.filters import mel_filters
from featurizer.flux import spectral_flux
from featurizer.harmony import chroma_statistics, harmonic_chroma
from featurizer.mel import mel_power
from featurizer.modulation import modulation_statistics
from featurizer.parts import part_powers
from featurizer.rolloff import rolloffs
from featurizer.texture import texture_statistics
from featurizer.tonnetz import tonnetz_statistics


@given(P=spectrograms(max_frames=20), floor=st.sampled_from([1e-10, 1e-3, 1.0]))
@settings(deadline=None, max_examples=80)
def test_contrast_is_that_of_sorted_bands(P: np.ndarray, floor: float) -> None:
    floor = float(np.float32(floor))
    for found, expected in zip(
        contrast(P, floor), reference().contrast_bands(P, floor), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_contrast_is_that_of_sorted_bands_where_many_bins_are_equal() -> None:
    rng = np.random.default_rng(0)
    # All bins are equal, two values, and ties at both bounds.
    P = np.stack(
        [
            np.full(1025, 3.0),
            rng.choice([1.0, 2.0], 1025),
            rng.choice([1e-12, 1.0, 1e12], 1025),
            np.repeat(rng.exponential(size=205), 5),
            np.where(np.arange(1025) % 19 == 0, 1e20, 1e-30),
        ]
    ).astype(np.float32)
    for found, expected in zip(
        contrast(P, 1e-10), reference().contrast_bands(P, 1e-10), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def flux_of(S: np.ndarray, block: int) -> np.ndarray:
    flux = np.full(len(S), np.nan, dtype=np.float32)
    previous = S[0].copy()
    for start in range(0, len(S), block):
        spectral_flux(S[start : start + block], previous, flux[start : start + block])
    return flux


@given(S=spectrograms(), block=st.integers(1, 70))
@settings(deadline=None, max_examples=40)
def test_flux_is_the_rise_of_unit_spectra(S: np.ndarray, block: int) -> None:
    X = S.astype(np.float64)
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    unit = X / np.where(norm > 0, norm, 1)
    rise = np.maximum(np.diff(unit, axis=0, prepend=unit[:1]), 0)
    np.testing.assert_allclose(flux_of(S, block), np.linalg.norm(rise, axis=1), atol=1e-6)


@given(S=spectrograms())
@settings(deadline=None, max_examples=40)
def test_rolloffs_are_the_lowest_bins_that_reach_the_shares(S: np.ndarray) -> None:
    found = np.full((len(S), 4), np.nan, dtype=np.float32)
    rolloffs(S, found)
    total = np.cumsum(S.astype(np.float64), axis=1)
    for j, share in enumerate((0.25, 0.50, 0.85, 0.95)):
        below = (total < share * total[:, -1:]).sum(axis=1)
        exact = np.abs(total - share * total[:, -1:]).min(axis=1) < 1e-12 * total[:, -1]
        expected = (below * 22050 / 2048).astype(np.float32)
        np.testing.assert_array_equal(found[~exact, j], expected[~exact])


def test_a_frame_of_zeros_has_rolloffs_of_zero() -> None:
    found = np.full((2, 4), np.nan, dtype=np.float32)
    rolloffs(np.zeros((2, 1025), dtype=np.float32), found)
    np.testing.assert_array_equal(found, 0)


@given(P=spectrograms(max_frames=20), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_the_parts_are_the_power_times_squared_masks(P: np.ndarray, seed: int) -> None:
    mask = np.random.default_rng(seed).random(P.shape).astype(np.float32)
    harmonic, percussive = np.full((2, *P.shape), np.nan, dtype=np.float32)
    share = np.full(len(P), np.nan, dtype=np.float32)
    part_powers(P, mask, harmonic, percussive, share)
    H, C = P * (1.0 - mask.astype(float)) ** 2, P * mask.astype(float) ** 2
    np.testing.assert_allclose(harmonic, H, rtol=1e-6)
    np.testing.assert_allclose(percussive, C, rtol=1e-6)
    both = (H + C).sum(axis=1)
    expected = np.where(both > 0, C.sum(axis=1) / np.where(both > 0, both, 1), 0.5)
    np.testing.assert_allclose(share, expected, atol=1e-6)


@pytest.mark.parametrize(("n_mels", "bands"), [(128, 128), (40, 40), (40, 38)])
def test_mel_bands_are_the_lowest_of_their_bank(n_mels: int, bands: int) -> None:
    P = positive(0, (7, 1025), "wide range")
    mel = np.full((7, bands + 1), np.nan, dtype=np.float32)
    mel_power(P, mel[:, :bands], n_mels)
    np.testing.assert_allclose(
        mel[:, :bands], reference().mel_bands(P, n_mels)[:, :bands], rtol=1e-5
    )
    assert mel_filters(n_mels).shape == (1025, n_mels)


@pytest.mark.parametrize("kind", ["noise", "sparse", "silent in part", "steady"])
def test_harmonic_chroma_and_its_statistics_are_the_references(kind: str) -> None:
    t = np.arange(30_000) / 22050
    y = sum(np.sin(2 * np.pi * 443 * 2 ** (k / 12) * t) for k in (0, 4, 7))
    P = reference().power_spectrogram(np.asarray(y)).astype(np.float32)
    harmonic = P * positive(0, (len(P), 1), kind)
    C = harmonic_chroma(harmonic, tuning=0.12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference().librosa, "estimate_tuning", lambda **_: 0.12)
        expected = reference().harmonic_chroma(P, harmonic)
    np.testing.assert_allclose(C, expected, atol=1e-6)
    np.testing.assert_allclose(C.sum(axis=1), 1)
    found = chroma_statistics(C)
    np.testing.assert_allclose(found, reference().chroma_statistics(C), atol=1e-12)
    np.testing.assert_allclose(tonnetz_statistics(C), reference().tonnetz(C), atol=1e-12)


@given(n=st.integers(43, 700), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_texture_is_the_references(n: int, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(n, 30)).cumsum(axis=0)
    found = texture_statistics(X, reference().TEXTURE_EPS)
    np.testing.assert_allclose(found, reference().texture(X), atol=1e-12)


@given(n=st.integers(256, 1500), streams=st.integers(1, 30), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_modulation_is_the_references(n: int, streams: int, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(n, streams)).cumsum(axis=0)
    found = modulation_statistics(X)
    np.testing.assert_allclose(found, reference().modulation(X), atol=1e-10)


def test_contrast_statistics_are_the_references() -> None:
    measures = np.random.default_rng(0).normal(size=(4, 50, 7))
    nothing = np.zeros((50, 0))
    names = [field.name for field in dataclasses.fields(reference().Streams)]
    streams = dict.fromkeys(names, nothing)
    streams |= dict(zip(("peak", "valley", "flatness", "crest"), measures, strict=True))
    expected = reference().contrast_statistics(reference().Streams(**streams))
    np.testing.assert_allclose(contrast_statistics(*measures), expected, atol=1e-12)
