"""Instruments of the demo collection: one note, or one stroke of a drum, as samples.

A note is a function of ``(frequency, seconds, brightness)``: the pitch in Hz, the time in seconds
that the key is held, and the brightness from 0 (dull) to 1. A stroke is a function of ``(rng,
brightness)``. Both return mono samples at `SR` Hz with values of about -1 to 1. A note may ring on
after its key is released.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.signal

SR = 22050
"""Sample rate in Hz."""

Samples = npt.NDArray[np.float64]
Note = Callable[[float, float, float], Samples]
Stroke = Callable[[np.random.Generator, float], Samples]

TABLE_SIZE = 8192
"""Samples in the table of one period: a power of two, so that a mask wraps the index."""

MAX_FREQUENCY = 0.45 * SR
"""Upper bound of partials in Hz, a little below the Nyquist frequency."""


def time_axis(seconds: float) -> Samples:
    """Return the time in seconds of each sample of a sound [shape=(n,)]."""
    return np.arange(round(seconds * SR)) / SR


def envelope(n: int, *, attack: float, release: float) -> Samples:
    """Return an envelope: up in `attack` s, then 1, down in the last `release` s [shape=(n,)]."""
    t = np.arange(n)
    rise = np.minimum(1.0, t / max(1.0, attack * SR))
    return rise * np.minimum(1.0, (n - t) / max(1.0, release * SR))


def filtered(y: Samples, hz: float | tuple[float, float], kind: str, order: int = 2) -> Samples:
    """Apply a Butterworth filter: `kind` is "low", "high" or "band", `hz` its corner(s)."""
    sos = scipy.signal.butter(order, hz, btype=kind, fs=SR, output="sos")
    return np.asarray(scipy.signal.sosfilt(sos, y))


def decaying_sine(frequency: float, half_life: float, n: int) -> Samples:
    """Return a sine with amplitude 1, halving every `half_life` s [shape=(n,)].

    It consists of the powers of one complex number. As an outer product they need few exponentials.
    """
    per_sample = (2j * np.pi * frequency - np.log(2) / half_life) / SR
    block = 256
    coarse = np.exp(per_sample * block * np.arange(-(-n // block)))
    return np.outer(coarse, np.exp(per_sample * np.arange(block))).imag.ravel()[:n]


def burst(rng: np.random.Generator, seconds: float, *, half_life: float) -> Samples:
    """Return white noise with an amplitude that halves every `half_life` s [shape=(n,)]."""
    t = time_axis(seconds)
    return rng.standard_normal(len(t)) * 0.4 * 0.5 ** (t / half_life)


def waveform(amplitudes: npt.NDArray[np.complexfloating]) -> Samples:
    """Return one period of a tone with harmonics 1, 2, … [shape=(TABLE_SIZE,), range=±1].

    Harmonics with real amplitudes are cosines, those with amplitudes times -1j are sines.
    """
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, dtype=complex)
    spectrum[1 : len(amplitudes) + 1] = amplitudes
    table = np.fft.irfft(spectrum)
    return np.asarray(table / np.abs(table).max())


def harmonic_numbers(frequency: float) -> Samples:
    """Return the numbers 1, 2, … of the harmonics of `frequency` below `MAX_FREQUENCY`."""
    return np.arange(1.0, max(2.0, MAX_FREQUENCY // frequency + 1))


def sawtooth(frequency: float, *, reach: float) -> Samples:
    """Return one period of a sawtooth; its harmonics decay by 1/e every `reach` numbers."""
    h = harmonic_numbers(frequency)
    return waveform(-1j * np.exp(-h / reach) / h)


def oscillate(table: Samples, frequency: float | Samples, t: Samples) -> Samples:
    """Repeat the period `table` at `frequency` Hz: one number, or one per sample [shape=(n,)]."""
    turns = frequency * t if isinstance(frequency, float) else np.cumsum(frequency) / SR
    indices: npt.NDArray[np.int64] = (turns * TABLE_SIZE).astype(np.int64) & (TABLE_SIZE - 1)
    return table[indices]


# Notes


def pad(frequency: float, seconds: float, brightness: float) -> Samples:
    """Pad of a synthesiser: three slightly detuned sawtooths that slowly become brighter."""
    t = time_axis(seconds + 1.2)
    dark, bright = (sawtooth(frequency, reach=reach) for reach in (1.5, 2.0 + 10.0 * brightness))
    opening = 0.5 - 0.5 * np.cos(2 * np.pi * t / t[-1])
    y = np.zeros_like(t)
    for cents in (-6.0, 0.0, 7.0):
        detuned = frequency * 2 ** (cents / 1200)
        y += (1 - opening) * oscillate(dark, detuned, t) + opening * oscillate(bright, detuned, t)
    return y / 3 * envelope(len(t), attack=min(1.0, 0.4 * seconds), release=1.2)


def bell(frequency: float, seconds: float, brightness: float) -> Samples:
    """Bell: a tone with its phase modulated by a second tone, 3.5 times as high.

    J. M. Chowning, "The Synthesis of Complex Audio Spectra by Means of Frequency Modulation",
    J. Audio Eng. Soc. 21 (1973).
    """
    t = time_axis(min(3.0, seconds + 1.5))
    index = (0.5 + 2.5 * brightness) * 0.5 ** (t / 0.25)
    y = np.sin(2 * np.pi * frequency * t + index * np.sin(2 * np.pi * 3.5 * frequency * t))
    return y * 0.5 ** (t / 0.5) * envelope(len(t), attack=0.002, release=0.2)


def vibraphone(frequency: float, seconds: float, brightness: float) -> Samples:
    """Vibraphone: a tone, its double octave, and the tremolo of the rotating discs (5.5 Hz)."""
    t = time_axis(min(2.5, seconds + 0.8))
    y = decaying_sine(frequency, 0.6, len(t))
    y += (0.2 + 0.3 * brightness) * decaying_sine(4 * frequency, 0.1, len(t))
    tremolo = 1 - 0.35 * (0.5 - 0.5 * np.cos(2 * np.pi * 5.5 * t))
    return 0.7 * y * tremolo * envelope(len(t), attack=0.002, release=0.25)


def piano(frequency: float, seconds: float, brightness: float) -> Samples:
    """Piano: a stiff string has stretched partials, and the high ones decay first.

    Partial h lies at ``h f sqrt(1 + B h^2)``: H. Fletcher, E. D. Blackham and R. Stratton,
    "Quality of Piano Tones", J. Acoust. Soc. Am. 34 (1962).
    """
    n = round(min(3.0, seconds + 0.35) * SR)
    stiffness = 0.0004
    y = np.zeros(n)
    for h in range(1, 13):
        partial = h * frequency * np.sqrt(1 + stiffness * h * h)
        if partial > MAX_FREQUENCY:
            break
        # A hammer suppresses the harmonics with a node where it strikes, at 1/8 of the string.
        gain = abs(np.sin(np.pi * h / 8)) / h ** (2.0 - 1.2 * brightness)
        half_life = 0.9 * (200.0 / max(200.0, frequency)) ** 0.4 / (1 + 0.25 * h)
        y += gain * decaying_sine(partial, half_life, n)
    return y * envelope(n, attack=0.003, release=0.3)


def string(frequency: float, seconds: float, brightness: float) -> Samples:
    """Plucked string: a burst of noise in a delay line, averaged at each turn.

    K. Karplus and A. Strong, "Digital Synthesis of Plucked-String and Drum Timbres", Computer
    Music J. 7 (1983); the delay's fraction of a sample after D. Jaffe and J. Smith, ibid.
    """
    n = round(min(2.5, seconds + 0.3) * SR)
    delay = SR / frequency - 0.5  # the average of two neighbours delays by half a sample
    period = int(delay)
    fraction = delay - period
    turn_around = 0.5 ** (1 / (frequency * 0.8)) * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    # Equal pitches sound equal: the noise depends on the pitch only.
    noise = np.random.default_rng(round(100 * frequency)).uniform(-1, 1, period)
    pluck = filtered(noise - noise.mean(), 500.0 + 7000.0 * brightness, "low", order=1)
    y = np.zeros(period + 2 + n)
    y[2 : period + 2] = pluck / np.abs(pluck).max()
    for start in range(period + 2, len(y), period):
        end = min(start + period, len(y))
        y[start:end] = np.convolve(y[start - period - 2 : end - period], turn_around, "valid")
    return y[-n:] * envelope(n, attack=0.0, release=0.15)


def double_bass(frequency: float, seconds: float, brightness: float) -> Samples:
    """Double bass: a few harmonics with a soft thud."""
    t = time_axis(seconds + 0.1)
    table = sawtooth(frequency, reach=1.5 + 3.0 * brightness)
    y = oscillate(table, frequency, t) * 0.5 ** (t / 0.35)
    y += 0.3 * decaying_sine(0.5 * frequency, 0.03, len(t))
    return y * envelope(len(t), attack=0.008, release=0.08)


def flute(frequency: float, seconds: float, brightness: float) -> Samples:
    """Tin whistle: few harmonics, a delayed vibrato of 5 Hz, and a little breath."""
    t = time_axis(seconds + 0.08)
    vibrato = frequency * (1 + 0.006 * np.minimum(1, t / 0.4) * np.sin(2 * np.pi * 5 * t))
    y = oscillate(sawtooth(frequency, reach=0.8 + 0.8 * brightness), vibrato, t)
    breath = np.random.default_rng(round(100 * frequency)).standard_normal(len(t))
    y += 0.03 * filtered(breath, (1500.0, 6000.0), "band")
    return y * envelope(len(t), attack=0.05, release=0.08)


def acid(frequency: float, seconds: float, brightness: float) -> Samples:
    """Synthesiser bass: a sawtooth that begins bright and quickly becomes dull."""
    t = time_axis(seconds)
    dark, bright = (sawtooth(frequency, reach=reach) for reach in (2.0, 4.0 + 30.0 * brightness))
    closing = 0.5 ** (t / 0.06)
    y = closing * oscillate(bright, frequency, t) + (1 - closing) * oscillate(dark, frequency, t)
    return y * envelope(len(t), attack=0.002, release=0.03)


def stab(frequency: float, seconds: float, brightness: float) -> Samples:
    """Tone of a short rave chord: two detuned sawtooths."""
    t = time_axis(seconds + 0.15)
    table = sawtooth(frequency, reach=4.0 + 16.0 * brightness)
    y = oscillate(table, frequency * 0.996, t) + oscillate(table, frequency * 1.004, t)
    return 0.5 * y * 0.5 ** (t / 0.12) * envelope(len(t), attack=0.003, release=0.1)


def pulse(frequency: float, seconds: float, brightness: float) -> Samples:
    """Game console's pulse wave: duty cycle 1/8 (bright), 1/4 or 1/2, volume in sixteen steps."""
    t = time_axis(seconds)
    duty = (0.5, 0.25, 0.125)[min(2, int(3 * brightness))]
    h = harmonic_numbers(frequency)
    y = oscillate(waveform(np.sin(np.pi * h * duty) / h + 0j), frequency, t)
    return y * np.ceil(16 * 0.5 ** (t / 0.3)) / 16 * envelope(len(t), attack=0.001, release=0.004)


def triangle(frequency: float, seconds: float, brightness: float) -> Samples:
    """Game console's triangle wave: sixteen levels, always at full volume."""
    t = time_axis(seconds * (0.5 + 0.5 * brightness))
    turns = (frequency * t) % 1.0
    levels = np.round(7.5 * (4 * np.abs(turns - 0.5) - 1)) / 7.5
    return levels * envelope(len(t), attack=0.001, release=0.004)


def power_chord(frequency: float, seconds: float, brightness: float) -> Samples:
    """Root, fifth and octave on an overdriven guitar; notes under 0.2 s are palm-muted."""
    t = time_axis(seconds + 0.02)
    half_life = 0.06 if seconds < 0.2 else 1.5  # noqa: PLR2004  (the docstring's 0.2 s)
    y = np.zeros_like(t)
    for interval in (0, 7, 12):
        root = frequency * 2 ** (interval / 12)
        y += oscillate(sawtooth(root, reach=14.0), root, t)
    y = np.tanh((3.0 + 9.0 * brightness) * y * 0.5 ** (t / half_life))
    y = filtered(filtered(y, 2500.0 + 2500.0 * brightness, "low", order=4), 90.0, "high")
    return y * envelope(len(t), attack=0.002, release=0.02)


def lead_guitar(frequency: float, seconds: float, brightness: float) -> Samples:
    """Overdriven guitar string with vibrato."""
    t = time_axis(seconds + 0.05)
    vibrato = frequency * (1 + 0.008 * np.minimum(1, t / 0.3) * np.sin(2 * np.pi * 6 * t))
    y = np.tanh((2.0 + 4.0 * brightness) * oscillate(sawtooth(frequency, reach=10.0), vibrato, t))
    return filtered(y, 4500.0, "low") * envelope(len(t), attack=0.005, release=0.05)


# Strokes


def kick(rng: np.random.Generator, brightness: float) -> Samples:
    """Bass drum: a tone that falls from 200 Hz to 48 Hz, with a click."""
    t = time_axis(0.35)
    turns = np.cumsum(48.0 + 150.0 * 0.5 ** (t / 0.02)) / SR
    y = np.sin(2 * np.pi * turns) * 0.5 ** (t / 0.07)
    y += brightness * filtered(burst(rng, 0.35, half_life=0.004), 1500.0, "high")
    return y * envelope(len(t), attack=0.001, release=0.05)


def snare(rng: np.random.Generator, brightness: float) -> Samples:
    """Snare drum: a head at 190 Hz and rattling wires."""
    wires = filtered(burst(rng, 0.3, half_life=0.03 + 0.03 * brightness), 900.0, "high")
    return wires + 0.6 * decaying_sine(190.0, 0.03, len(wires))


def clap(rng: np.random.Generator, brightness: float) -> Samples:
    """Hand clap: three bursts 12 ms apart, then the room."""
    y = burst(rng, 0.3, half_life=0.04)
    for k in range(3):
        start = round(0.012 * k * SR)
        y[start:] += burst(rng, (len(y) - start) / SR, half_life=0.005)
    return filtered(y, (800.0, 3000.0 + 4000.0 * brightness), "band")


def high_noise(seconds: float, *, half_life: float, corner: float) -> Stroke:
    """Return a stroke of noise above `corner` Hz; full brightness raises the corner by 2 kHz."""
    return lambda rng, brightness: filtered(
        burst(rng, seconds, half_life=half_life), corner + 2000.0 * brightness, "high"
    )


closed_hat = high_noise(0.08, half_life=0.012, corner=5000.0)
open_hat = high_noise(0.25, half_life=0.06, corner=4500.0)
crash = high_noise(2.0, half_life=0.35, corner=2500.0)


def ride(rng: np.random.Generator, brightness: float) -> Samples:
    """Ride cymbal: a ping of four partials, and noise."""
    y = 0.5 * filtered(burst(rng, 0.6, half_life=0.12), 5000.0, "high")
    for partial in (3140.0, 4410.0, 5870.0, 7330.0):
        y += (0.06 + 0.1 * brightness) * decaying_sine(partial, 0.08, len(y))
    return y * envelope(len(y), attack=0.001, release=0.1)


def brush(rng: np.random.Generator, brightness: float) -> Samples:
    """Wire brush on a snare drum: noise that swells and fades."""
    n = len(time_axis(0.28))
    noise = filtered(rng.standard_normal(n), (700.0, 3500.0 + 4000.0 * brightness), "band")
    return np.asarray(0.5 * noise * np.sin(np.linspace(0, np.pi, n)) ** 2)


def tambourine(rng: np.random.Generator, brightness: float) -> Samples:
    """Tambourine: two short bursts of very high noise."""
    y = burst(rng, 0.2, half_life=0.03)
    y[round(0.03 * SR) :] *= 1.5
    return filtered(y, 6000.0 + 1500.0 * brightness, "high")


def chip_noise(rng: np.random.Generator, brightness: float) -> Samples:
    """Game console's noise: random bits, each held for a few samples."""
    t = time_axis(0.12)
    held = 2 + round(6 * (1 - brightness))
    bits = rng.choice([-1.0, 1.0], size=len(t) // held + 1)
    return 0.5 * np.repeat(bits, held)[: len(t)] * np.ceil(16 * 0.5 ** (t / 0.02)) / 16
