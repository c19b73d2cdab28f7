"""Inverse Fourier transform of the spectra of real frames, in single precision.

The symmetry of the spectrum halves the work [1]_: 1,024 complex points are transformed, with the
even samples as their real parts and the odd samples as their imaginary parts.

Stockham's algorithm [2]_ transforms the points without bit reversal, in one pass for each factor of
1,024 = 8 * 8 * 4 * 4. Real and imaginary parts are kept apart, and loops run over neighbouring
points, so that LLVM vectorises them.

.. [1] Cooley, J. W., P. A. W. Lewis, and P. D. Welch. "The fast Fourier transform algorithm:
   programming considerations in the calculation of sine, cosine and Laplace transforms." Journal of
   Sound and Vibration 12(3), 1970, pp. 315-337.
.. [2] Cochran, W. T., et al. "What is the fast Fourier transform?" IEEE Transactions on Audio and
   Electroacoustics 15(2), 1967, pp. 45-55.
"""

import numpy as np
import numpy.typing as npt

from compiling.compiled import compiled, inlined
from featurizer.stft import N_FFT

_POINTS = N_FFT // 2

_SCALE = np.float32(1 / N_FFT)
_SQRT_HALF = np.float32(np.sqrt(0.5))

# Points between the inputs of a butterfly.
_STEP_8 = _POINTS // 8
_STEP_4 = _POINTS // 4

# Real and imaginary parts of complex points [shape=(1024,), float32]. LLVM would not vectorise a
# single array of both, because it could not tell whether reads and writes overlap.
_Points = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
_Four = tuple[complex, complex, complex, complex]
_Eight = tuple[complex, complex, complex, complex, complex, complex, complex, complex]


def _roots_of_unity(exponents: npt.NDArray[np.int64], n: int) -> _Points:
    w = np.exp(-2j * np.pi * exponents / n)
    return w.real.astype(np.float32), w.imag.astype(np.float32)


# Twiddle factors of each pass, by output of the butterfly and by position.
_FIRST = _roots_of_unity(np.outer(np.arange(8), np.arange(128)), 1024)
_SECOND = _roots_of_unity(np.outer(np.arange(8), np.arange(128) // 8), 128)
_THIRD = _roots_of_unity(np.outer(np.arange(4), np.arange(4)), 16)
# Twiddle factors that separate even and odd samples.
_EVEN_ODD = _roots_of_unity(np.arange(_POINTS), N_FFT)


@compiled
def inverse_real_fft(
    spectra: npt.NDArray[np.complex64],
    weights: npt.NDArray[np.float32],
    frames: npt.NDArray[np.float32],
) -> None:
    """Compute the inverse transform of weighted spectra.

    Parameters
    ----------
    spectra, weights : np.ndarray [shape=(n, 1025), complex64 and float32]
        Bins and their weights. The first and the last bin of a spectrum are real.
    frames : np.ndarray [shape=(n, 2048), float32, C-contiguous]
        Output: the samples of ``spectra * weights``.

    Examples
    --------
    >>> spectra = np.ones((1, 1025), dtype=np.complex64)
    >>> frames = np.empty((1, 2048), dtype=np.float32)
    >>> inverse_real_fft(spectra, np.full((1, 1025), 0.5, dtype=np.float32), frames)
    >>> print(frames[0, 0], abs(frames[0, 1:]).max() < 1e-6)  # half an impulse
    0.5 True
    """
    memory = np.empty((4, _POINTS), dtype=np.float32)
    x, spare = (memory[0], memory[1]), (memory[2], memory[3])
    for t in range(len(spectra)):
        _join_even_and_odd(spectra[t], weights[t], x)
        _first_pass(x, spare)
        _second_pass(spare, x)
        _sort_second_pass(x[0], spare[0])
        _sort_second_pass(x[1], spare[1])
        _third_pass(spare, x)
        _fourth_pass(x)
        for i in range(_POINTS):
            frames[t, 2 * i] = x[1][i]
            frames[t, 2 * i + 1] = x[0][i]


@inlined
def _join_even_and_odd(
    spectrum: npt.NDArray[np.complex64], weights: npt.NDArray[np.float32], x: _Points
) -> None:
    # The transform is the forward one; with real and imaginary parts exchanged, it is the inverse.
    for k in range(_POINTS):
        v, w = _SCALE * weights[k], _SCALE * weights[_POINTS - k]
        a = complex(v * spectrum[k].real, v * spectrum[k].imag)
        b = complex(w * spectrum[_POINTS - k].real, -w * spectrum[_POINTS - k].imag)
        even, odd = a + b, (a - b) * complex(_EVEN_ODD[0][k], -_EVEN_ODD[1][k])
        x[1][k] = even.real - odd.imag
        x[0][k] = even.imag + odd.real


@compiled
def _first_pass(x: _Points, out: _Points) -> None:
    for i in range(_STEP_8):
        y = _butterfly_8(x, i)
        j = 8 * i
        _store(out, j, y[0])
        _store(out, j + 1, y[1] * complex(_FIRST[0][1, i], _FIRST[1][1, i]))
        _store(out, j + 2, y[2] * complex(_FIRST[0][2, i], _FIRST[1][2, i]))
        _store(out, j + 3, y[3] * complex(_FIRST[0][3, i], _FIRST[1][3, i]))
        _store(out, j + 4, y[4] * complex(_FIRST[0][4, i], _FIRST[1][4, i]))
        _store(out, j + 5, y[5] * complex(_FIRST[0][5, i], _FIRST[1][5, i]))
        _store(out, j + 6, y[6] * complex(_FIRST[0][6, i], _FIRST[1][6, i]))
        _store(out, j + 7, y[7] * complex(_FIRST[0][7, i], _FIRST[1][7, i]))


@compiled
def _second_pass(x: _Points, out: _Points) -> None:
    for i in range(_STEP_8):
        y = _butterfly_8(x, i)
        _store(out, i, y[0])
        _store(out, i + _STEP_8, y[1] * complex(_SECOND[0][1, i], _SECOND[1][1, i]))
        _store(out, i + 2 * _STEP_8, y[2] * complex(_SECOND[0][2, i], _SECOND[1][2, i]))
        _store(out, i + 3 * _STEP_8, y[3] * complex(_SECOND[0][3, i], _SECOND[1][3, i]))
        _store(out, i + 4 * _STEP_8, y[4] * complex(_SECOND[0][4, i], _SECOND[1][4, i]))
        _store(out, i + 5 * _STEP_8, y[5] * complex(_SECOND[0][5, i], _SECOND[1][5, i]))
        _store(out, i + 6 * _STEP_8, y[6] * complex(_SECOND[0][6, i], _SECOND[1][6, i]))
        _store(out, i + 7 * _STEP_8, y[7] * complex(_SECOND[0][7, i], _SECOND[1][7, i]))


@compiled
def _sort_second_pass(x: npt.NDArray[np.float32], out: npt.NDArray[np.float32]) -> None:
    # The second pass cannot write in order: runs of eight points are too short for a vectorised
    # loop. Here the runs are put in order, two points per 64-bit number.
    unsorted = x.view(np.int64).reshape(8, 16, 4)
    ordered = out.view(np.int64).reshape(16, 8, 4)
    for i in range(16):
        for r in range(8):
            for j in range(4):
                ordered[i, r, j] = unsorted[r, i, j]


@compiled
def _third_pass(x: _Points, out: _Points) -> None:
    for p in range(4):
        for i in range(64 * p, 64 * p + 64):
            y = _butterfly_4(x, i)
            j = i + 192 * p
            _store(out, j, y[0])
            _store(out, j + 64, y[1] * complex(_THIRD[0][1, p], _THIRD[1][1, p]))
            _store(out, j + 128, y[2] * complex(_THIRD[0][2, p], _THIRD[1][2, p]))
            _store(out, j + 192, y[3] * complex(_THIRD[0][3, p], _THIRD[1][3, p]))


@compiled
def _fourth_pass(x: _Points) -> None:
    for i in range(_STEP_4):
        y = _butterfly_4(x, i)
        _store(x, i, y[0])
        _store(x, i + _STEP_4, y[1])
        _store(x, i + 2 * _STEP_4, y[2])
        _store(x, i + 3 * _STEP_4, y[3])


@inlined
def _butterfly_8(x: _Points, i: int) -> _Eight:
    e0, e1, e2, e3 = _dft_4(
        _load(x, i), _load(x, i + 2 * _STEP_8), _load(x, i + 4 * _STEP_8), _load(x, i + 6 * _STEP_8)
    )
    j = i + _STEP_8
    o0, o1, o2, o3 = _dft_4(
        _load(x, j), _load(x, j + 2 * _STEP_8), _load(x, j + 4 * _STEP_8), _load(x, j + 6 * _STEP_8)
    )
    o1, o2, o3 = _eighth_turn(o1), _quarter_turn(o2), _eighth_turn(_quarter_turn(o3))
    return e0 + o0, e1 + o1, e2 + o2, e3 + o3, e0 - o0, e1 - o1, e2 - o2, e3 - o3


@inlined
def _butterfly_4(x: _Points, i: int) -> _Four:
    return _dft_4(
        _load(x, i), _load(x, i + _STEP_4), _load(x, i + 2 * _STEP_4), _load(x, i + 3 * _STEP_4)
    )


@inlined
def _dft_4(a: complex, b: complex, c: complex, d: complex) -> _Four:
    s, t = a + c, a - c
    u, v = b + d, _quarter_turn(b - d)
    return s + u, t + v, s - u, t - v


@inlined
def _quarter_turn(z: complex) -> complex:
    # Clockwise: z times -i.
    return complex(z.imag, -z.real)


@inlined
def _eighth_turn(z: complex) -> complex:
    # Clockwise: z times (1 - i) / sqrt(2).
    return complex(_SQRT_HALF * (z.real + z.imag), _SQRT_HALF * (z.imag - z.real))


@inlined
def _load(x: _Points, i: int) -> complex:
    return complex(x[0][i], x[1][i])


@inlined
def _store(x: _Points, i: int, z: complex) -> None:
    x[0][i] = z.real
    x[1][i] = z.imag
