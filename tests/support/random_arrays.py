"""Hypothesis strategies for spectrograms and signals of random shapes and values."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

KINDS = ("noise", "wide range", "ties", "sparse", "silent in part", "steady")


def positive(seed: int, shape: tuple[int, ...], kind: str) -> npt.NDArray[np.float32]:
    """Return non-negative numbers as magnitudes or powers of the given kind."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=shape)
    if kind == "wide range":
        x = 10.0 ** rng.uniform(-12, 4, shape)
    elif kind == "ties":
        x = rng.integers(0, 4, shape).astype(np.float64)
    elif kind == "sparse":
        x *= rng.random(shape) < 0.02
    elif kind == "silent in part":
        x[rng.integers(0, 2, shape[0]) == 0] = 0
    elif kind == "steady":
        x[:] = x[:1]
    return x.astype(np.float32)


@st.composite
def spectrograms(
    draw: st.DrawFn, *, width: int = 1025, max_frames: int = 70
) -> npt.NDArray[np.float32]:
    """Draw a spectrogram of 1 to ``max_frames`` frames."""
    frames = draw(st.integers(1, max_frames))
    return positive(draw(st.integers(0, 2**32)), (frames, width), draw(st.sampled_from(KINDS)))


@st.composite
def signals(
    draw: st.DrawFn, *, min_samples: int = 1025, max_samples: int = 60_000
) -> npt.NDArray[np.float32]:
    """Draw a signal: random values with random signs, with or without a tone."""
    n = draw(st.integers(min_samples, max_samples))
    seed = draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    y = positive(seed, (n,), draw(st.sampled_from(KINDS[:4]))) * rng.choice([-1.0, 1.0], n)
    if draw(st.booleans()):
        y = np.sin(rng.uniform(0.001, 3) * np.arange(n)) * np.abs(y).mean() + y / 10
    return y.astype(np.float32)
