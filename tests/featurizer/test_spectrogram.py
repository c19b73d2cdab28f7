import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurizer import spectrogram
from featurizer.spectrogram import LatestFrames


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=30), kept=st.integers(30, 400))
def test_the_latest_frames_and_those_before_are_there(sizes: list[int], kept: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrogram, "KEPT_FRAMES", kept)
        frames = LatestFrames("test", sum(sizes), 3, margin=10)
    stop = 0
    for count in sizes:
        block = frames.append(count)
        block[:] = np.arange(stop, stop + count)[:, np.newaxis]
        stop += count
        start = max(0, stop - count - 10)
        np.testing.assert_array_equal(frames[start:stop][:, 1], np.arange(start, stop))
    assert frames.complete == (sum(sizes) <= kept)
    if frames.complete:
        np.testing.assert_array_equal(frames[0:stop][:, 2], np.arange(stop))
