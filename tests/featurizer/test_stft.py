from unittest.mock import Mock

import librosa
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from support.random_arrays import signals

from featurizer.stft import blocks, n_frames, reflected, stft, window

pytestmark = pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")  # librosa's


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=n).astype(np.float32)


def transform(y: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    P = np.full((stop - start, 1025), np.nan, dtype=np.float32)
    D, S = stft(y, start, P)
    return D, S.copy(), P


def whole(y: np.ndarray) -> np.ndarray:
    return librosa.stft(y, pad_mode="reflect").T


@pytest.mark.parametrize("n", [1025, 1026, 1535, 1536, 2047, 2048, 2049, 65535, 65536, 66149])
def test_it_is_librosas_with_reflected_ends(n: int) -> None:
    y = noise(n)
    D, S, P = transform(y, 0, n_frames(n))
    expected = whole(y)
    assert D.shape == expected.shape
    assert D.dtype == np.complex64
    assert S.dtype == np.float32
    assert np.abs(D - expected).max() < 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(S, np.abs(D), rtol=3e-7)
    np.testing.assert_allclose(P, np.abs(D) ** 2, rtol=5e-7)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, 2), (1, 4), (5, 9), (126, 130), (129, 130)]
)
def test_a_block_is_a_part_of_the_whole(start: int, stop: int) -> None:
    y = noise(66149)
    for part, full in zip(transform(y, start, stop), transform(y, 0, 130), strict=True):
        np.testing.assert_array_equal(part, full[start:stop])


@pytest.mark.parametrize(
    "y",
    [
        np.full(5000, 0.5),
        (-1.0) ** np.arange(5000),
        # A cosine that continues in its reflected ends.
        np.cos(2 * np.pi / 32 * np.arange(4993)),
        np.eye(1, 5000, 2600)[0],
    ],
    ids=["constant", "half the sample rate", "tone", "click"],
)
def test_noiseless_spectra_stay_noiseless(y: np.ndarray) -> None:
    y32 = y.astype(np.float32)
    _, S, _ = transform(y32, 0, n_frames(len(y)))
    expected = np.abs(whole(y32))
    loudest = expected.max(axis=1, keepdims=True)
    # Single precision leaves 1e-8 of the loudest bin in each of a thousand others.
    assert ((np.abs(S - expected) / np.maximum(loudest, 1e-30)).sum(axis=1) < 2e-7).all()


def test_the_window_is_a_read_only_periodic_hann_window() -> None:
    np.testing.assert_allclose(window(), librosa.filters.get_window("hann", 2048), atol=1e-7)
    assert not window().flags.writeable


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1500), (-1024, 10), (-3, 0), (5, 7), (1490, 2524), (-1024, 2524)]
)
def test_reflection_is_numpys(start: int, stop: int) -> None:
    y = noise(1500)
    expected = np.pad(y, 1024, mode="reflect")[start + 1024 : stop + 1024]
    np.testing.assert_array_equal(reflected(y, start, stop), expected)


@pytest.mark.parametrize("frames", [1, 2, 48, 130, 143, 144, 145, 1293, 310_000])
def test_blocks_cover_every_frame_once_and_have_similar_sizes(frames: int) -> None:
    found = blocks(frames)
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
    assert found[-1][1] == frames
    sizes = [stop - start for start, stop in found]
    assert max(sizes) <= 144
    # Blocks are longer than the reach of the running median, except for a signal's only block.
    assert min(sizes) >= min(48, frames)


@given(y=signals())
@settings(deadline=None, max_examples=60)
def test_magnitudes_of_any_signal_are_librosas(y: np.ndarray) -> None:
    _, S, P = transform(y, 0, n_frames(len(y)))
    expected = np.abs(whole(y))
    np.testing.assert_allclose(S, expected, atol=2e-6 * max(expected.max(), 1e-30))
    np.testing.assert_allclose(P, S.astype(np.float64) ** 2, rtol=5e-7, atol=1e-37)


def test_spectra_so_faint_that_squares_underflow_have_magnitudes() -> None:
    y = noise(5000) * np.float32(1e-25)
    D, S, _ = transform(y, 0, n_frames(5000))
    np.testing.assert_allclose(S, np.abs(D), rtol=1e-6)
    assert S.min() > 0


# The closer levels have frames of 2e-29 and 4e-30 in power; the guard is at 1e-29.
@pytest.mark.parametrize(("level", "faint_level"), [(1.0, 1e-19), (5.5e-18, 2.2e-18)])
def test_only_faint_noise_is_transformed_twice(
    level: float, faint_level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rfft = Mock(wraps=scipy.fft.rfft)
    monkeypatch.setattr(scipy.fft, "rfft", rfft)
    transform(noise(50_000) * np.float32(level), 2, 90)
    assert [call.args[0].dtype for call in rfft.call_args_list] == [np.float32]
    transform(noise(50_000) * np.float32(faint_level), 2, 90)
    assert rfft.call_args.args[0].dtype == np.float64
