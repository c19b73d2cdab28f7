import librosa
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from support.random_arrays import spectrograms

from featurizer.mfcc import mfcc


@given(x=spectrograms(width=128, max_frames=200))
@settings(deadline=None, max_examples=60)
def test_mfcc_are_librosas(x: npt.NDArray[np.float32]) -> None:
    db = 10 * np.log10(np.maximum(x, np.float32(1e-10)))
    expected = librosa.feature.mfcc(S=db.T.astype(np.float64), n_mfcc=20).T
    np.testing.assert_allclose(mfcc(db), expected, rtol=1e-9, atol=1e-9)
