import subprocess
import sys

import librosa
import numpy as np
import pytest

from featurizer.filters import chroma_filters, mel_filters


def test_mel_filters_are_librosas() -> None:
    expected = librosa.filters.mel(sr=22050, n_fft=2048).T
    np.testing.assert_array_equal(mel_filters(), expected)
    assert mel_filters().dtype == np.float32


@pytest.mark.parametrize("hundredths", range(-50, 50))
def test_chroma_filters_are_librosas_for_every_tuning(hundredths: int) -> None:
    bank = chroma_filters(hundredths / 100)
    expected = librosa.filters.chroma(sr=22050, n_fft=2048, tuning=hundredths / 100).T
    np.testing.assert_allclose(bank, expected, rtol=2e-7, atol=1e-12)
    assert bank.dtype == np.float32


def test_filters_are_read_only() -> None:
    assert not mel_filters().flags.writeable
    assert not chroma_filters(0.0).flags.writeable


def test_features_are_computed_without_librosa() -> None:
    # Importing it would add seconds to the start of every worker.
    code = (
        "import sys; import numpy as np; from featurizer.extract import features; "
        "features(np.ones(70_000, np.float32)); sys.exit('librosa' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
