"""Instruments of the demo collection: one note, or one stroke of a drum, as samples.

A note is a function of ``(frequency, seconds, brightness)``: the pitch in Hz, how long the key is
held in s, and how bright it is played, from 0 (dull) to 1. A stroke is a function of ``(rng,
brightness)``. Both return mono samples at `SR` Hz with values of about -1 to 1; a note may ring on
after its key is let go. What the instruments play, and when, is in `jobs.demo.collection`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.signal

SR = 22050
"""Sample rate of everything played here, in Hz."""

Samples = npt.NDArray[np.float64]
Note = Callable[[float, float, float], Samples]
Stroke = Callable[[np.random.Generator, float], Samples]

CYCLE = 8192  # samples in the table of one period: a power of two, so that a mask wraps around it
HIGHEST = 0.45 * SR  # no partial above this many Hz: a little below the Nyquist frequency


def hertz(pitch: float) -> float:
    """Frequency in Hz of a MIDI pitch (69 is the A of 440 Hz)."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def clock(seconds: float) -> Samples:
    """Time in s of each sample of a sound that lasts `seconds` [shape=(n,)]."""
    return np.arange(round(seconds * SR)) / SR


def swell(n: int, *, attack: float, release: float) -> Samples:
    """Envelope of `n` samples: up over `attack` s, 1, down over `release` s at the end [0, 1]."""
    t = np.arange(n)
    rise = np.minimum(1.0, t / max(1.0, attack * SR))
    return rise * np.minimum(1.0, (n - t) / max(1.0, release * SR))


def filtered(y: Samples, hz: float | tuple[float, float], kind: str, order: int = 2) -> Samples:
    """`y` through a Butterworth filter: `kind` is "low", "high" or "band", `hz` its corner(s)."""
    sos = scipy.signal.butter(order, hz, btype=kind, fs=SR, output="sos")
    return np.asarray(scipy.signal.sosfilt(sos, y))


def ringing(frequency: float, half_life: float, n: int) -> Samples:
    """Sine of `n` samples whose amplitude, 1 at first, halves every `half_life` s [shape=(n,)].

    It is a power of one complex number: as an outer product it costs few exponentials.
    """
    per_sample = (2j * np.pi * frequency - np.log(2) / half_life) / SR
    block = 256
    coarse = np.exp(per_sample * block * np.arange(-(-n // block)))
    return np.outer(coarse, np.exp(per_sample * np.arange(block))).imag.ravel()[:n]


def burst(rng: np.random.Generator, seconds: float, *, half_life: float) -> Samples:
    """White noise whose amplitude halves every `half_life` s [shape=(n,)]."""
    t = clock(seconds)
    return rng.standard_normal(len(t)) * 0.4 * 0.5 ** (t / half_life)


def cycle(amplitudes: npt.NDArray[np.complexfloating]) -> Samples:
    """One period of a tone whose harmonics 1, 2, … have these amplitudes [shape=(CYCLE,), ±1].

    A real amplitude is a cosine, an amplitude times -1j a sine.
    """
    spectrum = np.zeros(CYCLE // 2 + 1, dtype=complex)
    spectrum[1 : len(amplitudes) + 1] = amplitudes
    table = np.fft.irfft(spectrum)
    return np.asarray(table / np.abs(table).max())


def harmonics(frequency: float) -> Samples:
    """Numbers 1, 2, … of the harmonics of `frequency` that lie below `HIGHEST`."""
    return np.arange(1.0, max(2.0, HIGHEST // frequency + 1))


def saw(frequency: float, *, reach: float) -> Samples:
    """One period of a sawtooth whose harmonics fade over the first `reach` of them."""
    h = harmonics(frequency)
    return cycle(-1j * np.exp(-h / reach) / h)


def turn(table: Samples, frequency: float | Samples, t: Samples) -> Samples:
    """Read a period from `cycle` over and over, at `frequency` Hz (a number, or one a sample)."""
    turns = frequency * t if isinstance(frequency, float) else np.cumsum(frequency) / SR
    places: npt.NDArray[np.int64] = (turns * CYCLE).astype(np.int64) & (CYCLE - 1)
    return table[places]


# Notes


def pad(frequency: float, seconds: float, brightness: float) -> Samples:
    """Swell three slightly detuned sawtooths that slowly open, as a string synthesiser does."""
    t = clock(seconds + 1.2)
    dark, bright = (saw(frequency, reach=reach) for reach in (1.5, 2.0 + 10.0 * brightness))
    opening = 0.5 - 0.5 * np.cos(2 * np.pi * t / t[-1])
    y = np.zeros_like(t)
    for cents in (-6.0, 0.0, 7.0):
        detuned = frequency * 2 ** (cents / 1200)
        y += (1 - opening) * turn(dark, detuned, t) + opening * turn(bright, detuned, t)
    return y / 3 * swell(len(t), attack=min(1.0, 0.4 * seconds), release=1.2)


def bell(frequency: float, seconds: float, brightness: float) -> Samples:
    """Strike a bar: a tone whose phase is modulated by a second one, 3.5 times as high.

    J. M. Chowning, "The Synthesis of Complex Audio Spectra by Means of Frequency Modulation",
    J. Audio Eng. Soc. 21 (1973).
    """
    t = clock(min(3.0, seconds + 1.5))
    index = (0.5 + 2.5 * brightness) * 0.5 ** (t / 0.25)
    y = np.sin(2 * np.pi * frequency * t + index * np.sin(2 * np.pi * 3.5 * frequency * t))
    return y * 0.5 ** (t / 0.5) * swell(len(t), attack=0.002, release=0.2)


def vibraphone(frequency: float, seconds: float, brightness: float) -> Samples:
    """Strike a metal bar with its double octave, and the tremolo of the turning discs (5.5 Hz)."""
    t = clock(min(2.5, seconds + 0.8))
    y = ringing(frequency, 0.6, len(t))
    y += (0.2 + 0.3 * brightness) * ringing(4 * frequency, 0.1, len(t))
    tremolo = 1 - 0.35 * (0.5 - 0.5 * np.cos(2 * np.pi * 5.5 * t))
    return 0.7 * y * tremolo * swell(len(t), attack=0.002, release=0.25)


def piano(frequency: float, seconds: float, brightness: float) -> Samples:
    """Strike a string: stiff, so its partials are stretched, and the high ones die first.

    Partial h lies at ``h f sqrt(1 + B h^2)``: H. Fletcher, E. D. Blackham and R. Stratton,
    "Quality of Piano Tones", J. Acoust. Soc. Am. 34 (1962).
    """
    n = round(min(3.0, seconds + 0.35) * SR)
    stiffness = 0.0004
    y = np.zeros(n)
    for h in range(1, 13):
        partial = h * frequency * np.sqrt(1 + stiffness * h * h)
        if partial > HIGHEST:
            break
        # Hammers leave out the harmonics near their striking point, an eighth of the string.
        gain = abs(np.sin(np.pi * h / 8)) / h ** (2.0 - 1.2 * brightness)
        half_life = 0.9 * (200.0 / max(200.0, frequency)) ** 0.4 / (1 + 0.25 * h)
        y += gain * ringing(partial, half_life, n)
    return y * swell(n, attack=0.003, release=0.3)


def string(frequency: float, seconds: float, brightness: float) -> Samples:
    """Pluck a string: a burst of noise that goes round a delay line, averaged at each turn.

    K. Karplus and A. Strong, "Digital Synthesis of Plucked-String and Drum Timbres", Computer
    Music J. 7 (1983); the delay's fraction of a sample after D. Jaffe and J. Smith, ibid.
    """
    n = round(min(2.5, seconds + 0.3) * SR)
    delay = SR / frequency - 0.5  # the average of two neighbours delays by half a sample
    period = int(delay)
    fraction = delay - period
    turn_around = 0.5 ** (1 / (frequency * 0.8)) * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    # A string is always the same string: its noise depends on nothing but its pitch.
    noise = np.random.default_rng(round(100 * frequency)).uniform(-1, 1, period)
    pluck = filtered(noise - noise.mean(), 500.0 + 7000.0 * brightness, "low", order=1)
    y = np.zeros(period + 2 + n)
    y[2 : period + 2] = pluck / np.abs(pluck).max()
    for start in range(period + 2, len(y), period):
        end = min(start + period, len(y))
        y[start:end] = np.convolve(y[start - period - 2 : end - period], turn_around, "valid")
    return y[-n:] * swell(n, attack=0.0, release=0.15)


def double_bass(frequency: float, seconds: float, brightness: float) -> Samples:
    """Pluck a bass string: a few harmonics with a soft thud."""
    t = clock(seconds + 0.1)
    y = turn(saw(frequency, reach=1.5 + 3.0 * brightness), frequency, t) * 0.5 ** (t / 0.35)
    y += 0.3 * ringing(0.5 * frequency, 0.03, len(t))
    return y * swell(len(t), attack=0.008, release=0.08)


def flute(frequency: float, seconds: float, brightness: float) -> Samples:
    """Blow a tin whistle: few harmonics, a vibrato of 5 Hz that comes in late, a little breath."""
    t = clock(seconds + 0.08)
    vibrato = frequency * (1 + 0.006 * np.minimum(1, t / 0.4) * np.sin(2 * np.pi * 5 * t))
    y = turn(saw(frequency, reach=0.8 + 0.8 * brightness), vibrato, t)
    breath = np.random.default_rng(round(100 * frequency)).standard_normal(len(t))
    y += 0.03 * filtered(breath, (1500.0, 6000.0), "band")
    return y * swell(len(t), attack=0.05, release=0.08)


def acid(frequency: float, seconds: float, brightness: float) -> Samples:
    """Play a synthesiser's bass: a sawtooth that starts bright and closes at once."""
    t = clock(seconds)
    dark, bright = (saw(frequency, reach=reach) for reach in (2.0, 4.0 + 30.0 * brightness))
    closing = 0.5 ** (t / 0.06)
    y = closing * turn(bright, frequency, t) + (1 - closing) * turn(dark, frequency, t)
    return y * swell(len(t), attack=0.002, release=0.03)


def stab(frequency: float, seconds: float, brightness: float) -> Samples:
    """Play one tone of a short chord: two detuned sawtooths, as sampled by rave records."""
    t = clock(seconds + 0.15)
    table = saw(frequency, reach=4.0 + 16.0 * brightness)
    y = turn(table, frequency * 0.996, t) + turn(table, frequency * 1.004, t)
    return 0.5 * y * 0.5 ** (t / 0.12) * swell(len(t), attack=0.003, release=0.1)


def pulse(frequency: float, seconds: float, brightness: float) -> Samples:
    """Play a game console's pulse: duty cycle an eighth (bright), a quarter or a half.

    Its volume falls in sixteen steps, as the console's does.
    """
    t = clock(seconds)
    duty = (0.5, 0.25, 0.125)[min(2, int(3 * brightness))]
    h = harmonics(frequency)
    y = turn(cycle(np.sin(np.pi * h * duty) / h + 0j), frequency, t)
    return y * np.ceil(16 * 0.5 ** (t / 0.3)) / 16 * swell(len(t), attack=0.001, release=0.004)


def triangle(frequency: float, seconds: float, brightness: float) -> Samples:
    """Play a game console's triangle: sixteen levels, always at full volume."""
    t = clock(seconds * (0.5 + 0.5 * brightness))
    turns = (frequency * t) % 1.0
    return (np.round(7.5 * (4 * np.abs(turns - 0.5) - 1)) / 7.5) * swell(
        len(t), attack=0.001, release=0.004
    )


def power_chord(frequency: float, seconds: float, brightness: float) -> Samples:
    """Play root, fifth and octave on one overdriven guitar, through its loudspeaker.

    A note shorter than 0.2 s is muted with the palm.
    """
    t = clock(seconds + 0.02)
    half_life = 0.06 if seconds < 0.2 else 1.5  # noqa: PLR2004  (the docstring's 0.2 s)
    y = np.zeros_like(t)
    for interval in (0, 7, 12):
        root = frequency * 2 ** (interval / 12)
        y += turn(saw(root, reach=14.0), root, t)
    y = np.tanh((3.0 + 9.0 * brightness) * y * 0.5 ** (t / half_life))
    y = filtered(filtered(y, 2500.0 + 2500.0 * brightness, "low", order=4), 90.0, "high")
    return y * swell(len(t), attack=0.002, release=0.02)


def lead_guitar(frequency: float, seconds: float, brightness: float) -> Samples:
    """Play one overdriven string with vibrato."""
    t = clock(seconds + 0.05)
    vibrato = frequency * (1 + 0.008 * np.minimum(1, t / 0.3) * np.sin(2 * np.pi * 6 * t))
    y = np.tanh((2.0 + 4.0 * brightness) * turn(saw(frequency, reach=10.0), vibrato, t))
    return filtered(y, 4500.0, "low") * swell(len(t), attack=0.005, release=0.05)


# Strokes


def kick(rng: np.random.Generator, brightness: float) -> Samples:
    """Kick a bass drum: a tone that falls from 200 Hz to 48 Hz, with a click."""
    t = clock(0.35)
    turns = np.cumsum(48.0 + 150.0 * 0.5 ** (t / 0.02)) / SR
    y = np.sin(2 * np.pi * turns) * 0.5 ** (t / 0.07)
    y += brightness * filtered(burst(rng, 0.35, half_life=0.004), 1500.0, "high")
    return y * swell(len(t), attack=0.001, release=0.05)


def snare(rng: np.random.Generator, brightness: float) -> Samples:
    """Hit a snare drum: a head at 190 Hz, and wires that rattle."""
    wires = filtered(burst(rng, 0.3, half_life=0.03 + 0.03 * brightness), 900.0, "high")
    return wires + 0.6 * ringing(190.0, 0.03, len(wires))


def clap(rng: np.random.Generator, brightness: float) -> Samples:
    """Clap: three bursts of hands 12 ms apart, then the room."""
    y = burst(rng, 0.3, half_life=0.04)
    for k in range(3):
        start = round(0.012 * k * SR)
        y[start:] += burst(rng, (len(y) - start) / SR, half_life=0.005)
    return filtered(y, (800.0, 3000.0 + 4000.0 * brightness), "band")


def closed_hat(rng: np.random.Generator, brightness: float) -> Samples:
    """Hit closed cymbals: 50 ms of high noise."""
    return filtered(burst(rng, 0.08, half_life=0.012), 5000.0 + 2000.0 * brightness, "high")


def open_hat(rng: np.random.Generator, brightness: float) -> Samples:
    """Hit open cymbals: high noise for a fifth of a second."""
    return filtered(burst(rng, 0.25, half_life=0.06), 4500.0 + 2000.0 * brightness, "high")


def crash(rng: np.random.Generator, brightness: float) -> Samples:
    """Hit a large cymbal, left to ring."""
    return filtered(burst(rng, 2.0, half_life=0.35), 2500.0 + 2000.0 * brightness, "high")


def ride(rng: np.random.Generator, brightness: float) -> Samples:
    """Hit a cymbal with the stick's tip: a ping of some partials, and a wash of noise."""
    y = 0.5 * filtered(burst(rng, 0.6, half_life=0.12), 5000.0, "high")
    for partial in (3140.0, 4410.0, 5870.0, 7330.0):
        y += (0.06 + 0.1 * brightness) * ringing(partial, 0.08, len(y))
    return y * swell(len(y), attack=0.001, release=0.1)


def brush(rng: np.random.Generator, brightness: float) -> Samples:
    """Draw a wire brush over the snare drum: noise that comes and goes."""
    n = len(clock(0.28))
    noise = filtered(rng.standard_normal(n), (700.0, 3500.0 + 4000.0 * brightness), "band")
    return np.asarray(0.5 * noise * np.sin(np.linspace(0, np.pi, n)) ** 2)


def tambourine(rng: np.random.Generator, brightness: float) -> Samples:
    """Shake jingles: two short bursts of the highest noise."""
    y = burst(rng, 0.2, half_life=0.03)
    y[round(0.03 * SR) :] *= 1.5
    return filtered(y, 6000.0 + 1500.0 * brightness, "high")


def chip_noise(rng: np.random.Generator, brightness: float) -> Samples:
    """Play a game console's noise: random bits, each held for a few samples."""
    t = clock(0.12)
    held = 2 + round(6 * (1 - brightness))
    bits = rng.choice([-1.0, 1.0], size=len(t) // held + 1)
    return 0.5 * np.repeat(bits, held)[: len(t)] * np.ceil(16 * 0.5 ** (t / 0.02)) / 16
