import librosa
import numpy as np
import pytest

from featurizer.mfcc import mel_db, mfcc


def test_both_are_librosas() -> None:
    rng = np.random.default_rng(0)
    P = (rng.exponential(size=(60, 1025)) * 10.0 ** rng.uniform(-14, 6, (60, 1))).astype(np.float32)
    P[7] = 0
    expected = librosa.power_to_db(librosa.feature.melspectrogram(S=P.T), top_db=None)
    db = mel_db(P)
    np.testing.assert_allclose(db, expected.T, atol=2e-5)
    assert db[7] == pytest.approx(-100.0)
    cepstrum = librosa.feature.mfcc(S=db.T, n_mfcc=20).T
    assert mfcc(db).shape == (60, 20)
    np.testing.assert_allclose(mfcc(db), cepstrum, rtol=1e-5, atol=1e-4)
