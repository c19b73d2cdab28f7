"""The rich features, against their reference implementation."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from support.rich_reference import golden, reference, spreads

from featurizer.analysis import signal_rows
from featurizer.curves import Curves
from featurizer.decoding import decode
from featurizer.errors import RecordingError
from featurizer.extract import features
from featurizer.feature_set import feature_set
from featurizer.rich_accumulator import windows

# librosa warns if there is no peak.
pytestmark = pytest.mark.filterwarnings("ignore:Trying to estimate tuning from empty")

SR = 22050
NAMES = feature_set("rich").names


def rich(y: np.ndarray) -> np.ndarray:
    row = signal_rows(np.ascontiguousarray(y, dtype=np.float32), ["rich"])["rich"]
    assert row.dtype == np.float32
    assert np.isfinite(row).all()
    return row.astype(np.float64)


def errors(row: np.ndarray, expected: np.ndarray) -> pd.Series:
    """Return the errors in standard deviations of the columns over 615 tracks."""
    return pd.Series(np.abs(row - expected) / spreads().to_numpy(), index=NAMES)


def check(row: np.ndarray, expected: np.ndarray) -> None:
    found = errors(row, expected)
    assert found.max() < 1e-3, found.nlargest(5)
    assert found.quantile(0.99) < 1e-4, found.nlargest(9)


def test_every_recording_has_its_golden_row(shared_data: Path) -> None:
    folder = shared_data / "gtzan" / "genres_original"
    found = pd.DataFrame(
        {
            name: errors(rich(decode(folder / name.partition(".")[0] / name).y), expected)
            for name, expected in golden().iterrows()
        }
    ).stack()
    assert len(found) == 40 * 458
    assert found.max() < 1e-3, found.nlargest(9)
    assert found.quantile(0.999) < 1e-4, found.nlargest(50)


N = 12 * SR + 100
T = np.arange(N) / SR
NOISE = np.random.default_rng(0).normal(size=N)
CHORD = sum(np.sin(2 * np.pi * 445 * 2 ** (k / 12) * T) for k in (0, 4, 7))

SIGNALS = {
    "silence": np.zeros(N),
    "constant": np.full(N, 0.25),
    "impulse": np.eye(1, N, 90_000)[0],
    "clicks": np.where(np.arange(N) % 11025 == 0, 1.0, 0.0),
    "tone": np.sin(2 * np.pi * 440 * T),
    "chirp": np.sin(2 * np.pi * (50 * T + 300 * T**2)),
    "noise": 0.1 * NOISE,
    "faint noise": 1e-6 * NOISE,
    "noise of denormal numbers": 1e-40 * NOISE,
    "noise, then silence": np.where(T < 5, 0.1 * NOISE, 0.0),
    "silence, then a constant": np.where(T < 5, 0.0, 1.0),
    "noise with pauses": np.where(T % 2 < 1.3, 0.1 * NOISE, 0.0),
    "tone above 10 kHz, faint noise": np.sin(2 * np.pi * 10_700 * T) + 1e-4 * NOISE,
    "chord with offset and clicks": 0.1
    + 0.2 * CHORD
    + np.where(np.arange(N) % 11025 < 30, 0.3 * NOISE, 0.0),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_every_kind_of_signal_has_the_references_row(name: str) -> None:
    y = SIGNALS[name].astype(np.float32)
    check(rich(y), reference().rich(y))


def test_a_square_wave_has_nearly_the_references_row() -> None:
    # Nothing masks the rounding errors of the transform between its partials, at -70 dB.
    y = np.where(np.arange(N) % 100 < 50, 1.0, -1.0).astype(np.float32)
    found = errors(rich(y), reference().rich(y))
    modulation = found.index.str.startswith("modulation_")
    assert found[modulation].max() < 1e-2
    assert found[~modulation].max() < 1e-3


@pytest.mark.parametrize("n", [220_500, 431 * 512, 60 * SR], ids=["10 s", "whole hops", "60 s"])
def test_signals_of_up_to_a_minute_have_the_references_row(n: int) -> None:
    rng = np.random.default_rng(n)
    t = np.arange(n) / SR
    y = np.sin(2 * np.pi * 300 * t) * np.exp(-(t % 0.7)) + 0.05 * rng.normal(size=n)
    y = (0.3 * y).astype(np.float32)
    check(rich(y), reference().rich(y))


def test_a_recording_below_ten_seconds_has_no_row_and_the_reason() -> None:
    y = (0.1 * NOISE[:220_500]).astype(np.float32)
    found = features(y[:220_499])
    assert found["rich"].track is None
    assert found["rich"].segments.shape == (0, 458)
    assert "9.99 seconds" in str(found["rich"].too_short)
    gtzan = found["gtzan"].track
    assert gtzan is not None
    assert gtzan.shape == (57,)
    assert found["gtzan"].too_short is None
    enough = features(y)["rich"]
    assert enough.track is not None
    assert enough.too_short is None


def test_one_set_alone_has_the_same_rows_as_both_together() -> None:
    y = SIGNALS["chord with offset and clicks"].astype(np.float32)
    both = features(y)
    for name in ("gtzan", "rich"):
        alone = features(y, sets=[name])
        assert list(alone) == [name]
        np.testing.assert_array_equal(alone[name].track, both[name].track)
        np.testing.assert_array_equal(alone[name].segments, both[name].segments)


@pytest.mark.parametrize("scale", [0.5, 1e-2])
def test_gain_changes_nothing(scale: float) -> None:
    y = SIGNALS["chord with offset and clicks"].astype(np.float32)
    found = errors(rich(y * np.float32(scale)), rich(y))
    assert found.max() < 1e-4, found.nlargest(5)


@pytest.mark.parametrize("sample", [np.nan, np.inf, 1e30])
def test_samples_that_are_not_finite_are_reported(sample: float) -> None:
    y = (0.1 * NOISE).astype(np.float32)
    y[100_000] = sample
    with pytest.raises(RecordingError, match="not a finite number") as failure:
        features(y, sets=["rich"])
    assert failure.value.kind == "not-finite"


def test_windows_have_thirty_seconds_on_average_and_equal_shares() -> None:
    assert windows(60 * SR) == [(0, 2584)]
    assert len(windows(60 * SR + 1)) == 2
    for seconds in (61, 74, 76, 300, 7200):
        found = windows(seconds * SR)
        lengths = np.array([stop - start for start, stop in found]) * 512 / SR
        assert len(found) == round(seconds / 30)
        assert found[0][0] == 0
        assert found[-1][1] == 1 + seconds * SR // 512
        assert [stop for _, stop in found[:-1]] == [start for start, _ in found[1:]]
        assert lengths.max() - lengths.min() < 3
        assert lengths.mean() == pytest.approx(30, abs=8)


def window_rows(y: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Return the reference's row of each window, sliced from the streams of the whole signal."""
    module: Any = reference()
    P = module.power_spectrogram(y.astype(np.float64))
    mask = module.percussive_mask(P)
    crossings = module.zero_crossing_rate(y)
    frames = module.framed(np.pad(y.astype(np.float64), 1024, mode="reflect"))
    rows = []
    for start, stop in windows(len(y)):
        slices = {
            "power_spectrogram": P[start:stop],
            "percussive_mask": mask[start:stop],
            "zero_crossing_rate": crossings[start:stop],
            "framed": frames[start:stop],
        }
        with monkeypatch.context() as patch:
            for name, value in slices.items():
                patch.setattr(module, name, Mock(return_value=value))
            rows.append(module.columns_of(module.streams(y)))
    return rows


@pytest.mark.slow
def test_a_long_signal_has_the_mean_of_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each window has another level, another tuning and some silence. The signal is longer than
    # the kept frames.
    n = 155 * SR
    t = np.arange(n) / SR
    rng = np.random.default_rng(0)
    pitch = 440 * 2 ** (np.floor(t / 31) / 40)
    y = np.sin(2 * np.pi * pitch * t) * np.exp(-2 * (t % 0.7)) + 0.05 * rng.normal(size=n)
    y *= 10.0 ** -np.floor(t / 31) * (t % 10 < 9)
    # The first window has fewer peaks than the block after it.
    y[(t > 0.3) & (t < windows(n)[0][1] * 512 / SR - 0.1)] = 0
    y = y.astype(np.float32)
    rows = window_rows(y, monkeypatch)
    assert len(rows) == 5
    check(rich(y), np.mean(rows, axis=0))


def peak_bytes(seconds: int) -> int:
    """Return the peak of the memory that an analysis allocates."""
    # Bursts of noise: the peaks of all spectra are kept, and these have few.
    t = np.arange(seconds * SR)
    y = np.random.default_rng(0).normal(size=len(t)).astype(np.float32) * (t % SR < 1000)

    def measure() -> int:
        tracemalloc.start()
        try:
            signal_rows(y, ["gtzan", "rich"])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # Another thread has no scratch arrays yet.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(measure).result()


def test_memory_does_not_grow_with_a_long_signal() -> None:
    peak_bytes(12)  # compiles
    short, long = peak_bytes(150), peak_bytes(300)
    assert short > 20e6
    assert long < short + 1e6


def test_curves_show_the_streams() -> None:
    y = SIGNALS["noise with pauses"].astype(np.float32)
    curves = Curves(y)
    signal_rows(y, ["rich"], curves=curves)
    streams = reference().streams(y.astype(np.float64))
    np.testing.assert_allclose(curves.contrast, streams.peak - streams.valley, atol=1e-3)
    np.testing.assert_allclose(curves.harmonic_chroma, streams.chroma, atol=1e-5)
    np.testing.assert_allclose(curves.flux, streams.scalars[:, 6], atol=1e-5)
    np.testing.assert_allclose(curves.percussive_share, streams.scalars[:, 9], atol=1e-5)
