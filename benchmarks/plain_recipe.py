"""Reference implementation of the features, in plain librosa calls on whole spectrograms.

It computes the recipe of the published tables, like :mod:`featurizer.extract`, but shares no code
with it and is about fifty times slower. Tests use it as the oracle.
"""

import warnings

import librosa
import numpy as np
import numpy.typing as npt

SR = 22050
N_FFT = 2048
HOP = 512
MEDIAN = 31
STEP = 66150


def _moments(x: npt.NDArray[np.floating]) -> list[float]:
    return [float(np.mean(x, dtype=np.float64)), float(np.var(x, dtype=np.float64))]


def plain_features(y: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Compute the 57 features of a signal as the published tables' authors did.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz of at least 1,025 samples.

    Returns
    -------
    row : np.ndarray [shape=(57,), float64]
        The features in the order of the published tables.
    """
    with warnings.catch_warnings():
        # librosa warns about signals shorter than a frame and about silence, which has no tuning.
        warnings.simplefilter("ignore", UserWarning)
        D = librosa.stft(y, n_fft=N_FFT, hop_length=HOP, pad_mode="reflect")
        S = np.abs(D)
        tuning = librosa.estimate_tuning(S=S**2, sr=SR, bins_per_octave=12)
    chroma = librosa.feature.chroma_stft(S=S**2, sr=SR, tuning=tuning)
    rms = librosa.feature.rms(
        y=y, frame_length=N_FFT, hop_length=HOP, center=True, pad_mode="reflect"
    )
    db = librosa.power_to_db(librosa.feature.melspectrogram(S=S**2, sr=SR))
    onsets = librosa.onset.onset_strength(S=db, sr=SR, aggregate=np.median)
    # The first step of beat_track; the beats themselves are not needed.
    tempo = librosa.feature.tempo(onset_envelope=onsets, sr=SR)[0] if onsets.any() else 0.0
    # SciPy's median filter reads out of bounds if the filter is much longer than the axis, so the
    # reflected frames beyond the ends are padded here.
    halo = MEDIAN // 2
    H, P = (
        part[:, halo:-halo]
        for part in librosa.decompose.hpss(
            np.pad(D, ((0, 0), (halo, halo)), mode="symmetric"), kernel_size=MEDIAN
        )
    )
    row: list[float] = []
    for values in (
        chroma,
        rms,
        librosa.feature.spectral_centroid(S=S, sr=SR),
        librosa.feature.spectral_bandwidth(S=S, sr=SR),
        librosa.feature.spectral_rolloff(S=S, sr=SR, roll_percent=0.85),
        librosa.feature.zero_crossing_rate(y, frame_length=N_FFT, hop_length=HOP),
        librosa.util.fix_length(librosa.istft(H, hop_length=HOP), size=len(y)),
        librosa.util.fix_length(librosa.istft(P, hop_length=HOP), size=len(y)),
    ):
        row += _moments(values)
    row.append(float(tempo))
    for coefficient in librosa.feature.mfcc(S=db, n_mfcc=20):
        row += _moments(coefficient)
    return np.array(row)


def plain_segments(y: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Compute the 57 features of every whole 3-second segment of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz.

    Returns
    -------
    rows : np.ndarray [shape=(n_segments, 57), float64]
        The features in the order of the published tables.
    """
    starts = range(0, len(y) - (STEP - 1) + 1, STEP)
    return np.array([plain_features(y[start : start + STEP - 1]) for start in starts])
