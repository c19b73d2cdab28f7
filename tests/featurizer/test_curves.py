"""The curves for plots, against librosa."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from featurizer.analysis import signal_rows
from featurizer.curves import FRAME_CURVES, MAX_COLUMNS, Curves
from featurizer.decoding import decode
from featurizer.extract import analyse
from featurizer.recording import Recording
from featurizer.waveform import zero_crossings


def song(seconds: float, seed: int = 0) -> np.ndarray:
    """Return decaying chords with percussive strokes and a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(22050 * seconds)) / 22050
    y = sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 277.2, 329.6, 1318.5))
    y = y * np.exp(-2 * (t % 0.75)) + rng.normal(size=len(t)) * (t % 0.5 < 0.01)
    return (0.1 * y + 1e-3 * rng.normal(size=len(t))).astype(np.float32)


def curves_of(y: np.ndarray) -> Curves:
    curves = Curves(y)
    signal_rows(y, ["gtzan"], curves=curves)
    return curves


@pytest.fixture(scope="module", params=["song", "recording"])
def curves(request: pytest.FixtureRequest) -> Curves:
    if request.param == "song":
        return curves_of(song(9.3))
    folder: Path = request.getfixturevalue("shared_data") / "gtzan" / "genres_original"
    return curves_of(decode(sorted(folder.glob("pop/*.wav"))[0]).y)


def averaged(values: np.ndarray, columns: int) -> np.ndarray:
    """Average frames [shape=(width, n_frames)] to columns [shape=(columns, width)]."""
    frames = values.shape[1]
    column = np.arange(frames) * columns // frames
    return np.stack([values[:, column == i].mean(axis=1) for i in range(columns)])


def test_every_frame_and_the_number_of_zero_crossings_are_librosas(curves: Curves) -> None:
    y = curves.y
    S = np.abs(librosa.stft(y, pad_mode="reflect"))
    expected = {
        "rms": librosa.feature.rms(y=y, pad_mode="reflect"),
        "spectral_centroid": librosa.feature.spectral_centroid(S=S),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(S=S),
        "rolloff": librosa.feature.spectral_rolloff(S=S),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(y),
    }
    assert set(expected) == set(FRAME_CURVES)
    for i, name in enumerate(FRAME_CURVES):
        # A roll-off may fall on the neighbouring bin.
        step = 22050 / 2048 if name == "rolloff" else 0
        np.testing.assert_allclose(
            curves.frames[:, i], expected[name][0], rtol=1e-4, atol=1e-6 + step, err_msg=name
        )
    db = librosa.power_to_db(librosa.feature.melspectrogram(S=S**2, sr=22050))
    onsets = librosa.onset.onset_strength(S=db, aggregate=np.median)
    np.testing.assert_allclose(curves.onset_strength, onsets, atol=1e-3)
    np.testing.assert_allclose(curves.times_s, librosa.times_like(onsets), rtol=1e-12)
    assert zero_crossings(y) == librosa.zero_crossings(y, pad=False).sum()


def test_spectrograms_are_librosas_averaged(curves: Curves) -> None:
    n = len(curves.columns_s)
    assert n == min(MAX_COLUMNS, len(curves.times_s))
    D = librosa.stft(curves.y, pad_mode="reflect")
    P = np.abs(D.astype(np.complex128)) ** 2
    db = librosa.power_to_db(librosa.feature.melspectrogram(S=P, sr=22050))
    np.testing.assert_allclose(curves.power, averaged(P, n), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(curves.mel_db, averaged(db, n), atol=1e-2)
    np.testing.assert_allclose(curves.mfcc, averaged(librosa.feature.mfcc(S=db), n), atol=1e-2)
    chroma = librosa.feature.chroma_stft(S=P, sr=22050)
    np.testing.assert_allclose(curves.chroma, averaged(chroma, n), atol=1e-3)
    np.testing.assert_allclose(curves.columns_s, averaged(curves.times_s[np.newaxis], n)[:, 0])


def test_the_parts_are_librosas(curves: Curves) -> None:
    harmonic, percussive = librosa.decompose.hpss(librosa.stft(curves.y, pad_mode="reflect"))
    for found, D in ((curves.harmonic(), harmonic), (curves.percussive, percussive)):
        expected = librosa.istft(D)
        assert len(found) == len(curves.y)
        np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-5)
        assert not found[len(expected) :].any()


def test_a_long_signal_has_averaged_columns_and_all_its_frames() -> None:
    y = song(150.0)  # longer than the kept frames: transformed twice
    curves = curves_of(y)
    assert curves.power.shape == (MAX_COLUMNS, 1025)
    S = np.abs(librosa.stft(y, pad_mode="reflect"))
    centroid = librosa.feature.spectral_centroid(S=S)[0]
    np.testing.assert_allclose(curves.frames[:, 1], centroid, rtol=1e-4)
    np.testing.assert_allclose(curves.power, averaged(S**2, MAX_COLUMNS), rtol=1e-2, atol=1e-4)
    assert np.isfinite(curves.chroma).all()
    assert curves.chroma.max() <= 1 + 1e-9


def test_features_do_not_depend_on_whether_curves_are_kept(curves: Curves) -> None:
    recording = Recording(curves.y, len(curves.y) / 22050, 22050, 1, None)
    plain, kept = analyse(recording), analyse(recording, curves=Curves(curves.y))
    for name in ("gtzan", "rich"):
        np.testing.assert_array_equal(plain.rows[name].track, kept.rows[name].track)
        np.testing.assert_array_equal(plain.rows[name].segments, kept.rows[name].segments)


@pytest.mark.parametrize("before", [0, 100, 30_000])
@pytest.mark.parametrize("after", [0, 511, 40_000])
def test_silence_around_a_signal_is_trimmed_as_by_librosa(before: int, after: int) -> None:
    y = np.concatenate([np.zeros(before), song(2.0), np.zeros(after)]).astype(np.float32)
    _, expected = librosa.effects.trim(y)
    assert curves_of(y).trimmed() == tuple(expected)


def test_silence_is_not_trimmed_to_nothing() -> None:
    assert curves_of(np.zeros(5000, np.float32)).trimmed() == (0, 5000)


def test_the_published_tempo_and_centroid_of_the_tutorials_files(shared_data: Path) -> None:
    """The tutorial plots pop.00002 and classical.00036."""
    folder = shared_data / "gtzan" / "genres_original"
    pop, classical = folder / "pop" / "pop.00002.wav", folder / "classical" / "classical.00036.wav"
    if not pop.exists() or not classical.exists():
        pytest.skip("the tutorial's files are not among the recordings")
    curves = curves_of(decode(pop).y)
    assert len(curves.y) == 661_504
    assert curves.trimmed() == (0, 661_504)
    assert zero_crossings(curves.y) == 78_769
    assert curves.frames[:3, 1] == pytest.approx([3042.392, 3057.963, 3043.457], abs=1e-3)
    row = signal_rows(decode(classical).y, ["gtzan"])["gtzan"]
    assert row[16] == pytest.approx(107.666, abs=1e-3)
