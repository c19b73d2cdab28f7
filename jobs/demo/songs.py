"""Songs of the demo: musical material, patterns, arrangement and performance."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec

import numpy as np
import scipy.signal

from jobs.demo.instruments import SR, Note, Samples, Stroke, burst, envelope, filtered, time_axis

SECONDS = 15.0
"""Length of every recording in seconds: five segments of three seconds."""

Range = tuple[float, float]
"""Lowest and highest value; each song draws one in between."""


@dataclass(frozen=True)
class Song:
    """Properties that all parts of a song share; the parts draw from `rng` in their order."""

    rng: np.random.Generator
    tempo: float  # beats per minute
    metre: int  # beats per bar
    tonic: int  # pitch class of the key's first step, 0 (C) to 11 (B)
    scale: tuple[int, ...]  # semitones of the seven steps above the tonic, ascending from 0
    progression: tuple[int, ...]  # scale step (0 to 6) of each bar's root; it repeats
    brightness: float  # brightness of the instruments, 0 (dull) to 1
    density: float  # probability that an optional note is played, 0 to 1
    looseness: float  # standard deviation of the players' timing errors in seconds
    rubato: float  # amplitude of the tempo's sway in beats; 0 for a machine

    @property
    def bars(self) -> range:
        """Indices of the bars; the last may be cut off by the end of the recording."""
        return range(int(np.ceil(SECONDS * self.tempo / 60 / self.metre)))

    def time(self, beats: float) -> float:
        """Return the time in seconds of a beat; the first is beat 0."""
        sway = self.rubato * np.sin(np.pi * beats / self.metre)
        return float(max(0.0, beats + sway) * 60 / self.tempo)

    def chord(self, bar: int, *, low: int, voices: int) -> list[int]:
        """Return the MIDI pitches of a bar's chord: stacked thirds, root at or just above `low`."""
        step = self.progression[bar % len(self.progression)]
        pitches: list[int] = []
        for voice in range(voices):
            pitch_class = self.tonic + self.scale[(step + 2 * voice) % len(self.scale)]
            above = pitches[-1] + 1 if pitches else low
            pitches.append(above + (pitch_class - above) % 12)
        return pitches

    def scale_pitches(self, *, low: int, high: int) -> list[int]:
        """Return the MIDI pitches of the scale from `low` to `high`."""
        return [p for p in range(low, high + 1) if (p - self.tonic) % 12 in self.scale]


class Tape:
    """Recording of one part of a song, to which notes and strokes are added."""

    def __init__(self, song: Song) -> None:
        self.song = song
        self.samples: Samples = np.zeros(round(SECONDS * SR))
        self._notes: dict[tuple[int, int], Samples] = {}

    def add(self, sound: Samples, beats: float, *, gain: float, delay: float = 0.0) -> None:
        """Add a sound `delay` seconds after a beat; it is cut off at the end of the recording."""
        late = self.song.rng.normal(0, self.song.looseness) if self.song.looseness else 0.0
        start = max(0, round((self.song.time(beats) + delay + late) * SR))
        sound = sound[: max(0, len(self.samples) - start)]
        self.samples[start : start + len(sound)] += gain * sound

    def note(
        self,
        instrument: Note,
        pitch: int,
        beats: float,
        length: float,
        *,
        gain: float,
        delay: float = 0.0,
    ) -> None:
        """Play a MIDI pitch at a beat for `length` beats; equal notes sound the same."""
        key = (pitch, round(1000 * length))
        if key not in self._notes:
            seconds = length * 60 / self.song.tempo
            frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)  # pitch 69 is the A of 440 Hz
            self._notes[key] = instrument(frequency, seconds, self.song.brightness)
        self.add(self._notes[key], beats, gain=gain, delay=delay)


Idea = Callable[[Song], Samples]
"""A function from a song to the samples of one part [shape=(n,)]."""

P = ParamSpec("P")


def idea(play: Callable[Concatenate[Song, Tape, P], None]) -> Callable[P, Idea]:
    """Decorate a function that plays a part of a song on a tape.

    The decorated function takes the other arguments, and returns an `Idea`.
    """

    @wraps(play)
    def with_options(*args: P.args, **kwargs: P.kwargs) -> Idea:
        def record(song: Song) -> Samples:
            tape = Tape(song)
            play(song, tape, *args, **kwargs)
            return tape.samples

        return record

    return with_options


# A pattern divides a bar into equal steps, one per letter:
#   x  a loud note    o  a soft note    ?  an optional soft note    .  no note
GAINS = {"x": 1.0, "o": 0.5, "?": 0.4}


def pattern_notes(song: Song, patterns: tuple[str, ...]) -> Iterator[tuple[int, float, str]]:
    """Draw one of `patterns` for the song, and yield the bar, beat and letter of each note."""
    pattern = patterns[song.rng.integers(len(patterns))]
    for bar in song.bars:
        for step, letter in enumerate(pattern):
            if letter in "xo" or (letter == "?" and song.rng.random() < song.density):
                yield bar, song.metre * (bar + step / len(pattern)), letter


@idea
def beat(song: Song, tape: Tape, stroke: Stroke, *patterns: str) -> None:
    """Play a drum."""
    sound = stroke(song.rng, song.brightness)
    for _, beats, letter in pattern_notes(song, patterns):
        tape.add(sound, beats, gain=GAINS[letter])


@idea
def comp(
    song: Song,
    tape: Tape,
    instrument: Note,
    *patterns: str,
    low: int,
    length: float,
    voices: int = 3,
    strum: float = 0.0,
) -> None:
    """Play the bar's chord for `length` beats, its tones `strum` seconds apart.

    Loud chords are strummed upwards, soft ones downwards.
    """
    for bar, beats, letter in pattern_notes(song, patterns):
        pitches = song.chord(bar, low=low, voices=voices)
        if letter != "x":
            pitches.reverse()
        for k, pitch in enumerate(pitches):
            tape.note(instrument, pitch, beats, length, gain=GAINS[letter], delay=strum * k)


@idea
def bass(song: Song, tape: Tape, instrument: Note, *patterns: str, low: int, length: float) -> None:
    """Play the chord's root; soft notes are sometimes its fifth or octave."""
    for bar, beats, letter in pattern_notes(song, patterns):
        root = song.chord(bar, low=low, voices=1)[0]
        jump = 0 if letter == "x" else int(song.rng.choice([0, 0, 7, 12]))
        tape.note(instrument, root + jump, beats, length, gain=GAINS[letter])


@idea
def walk(song: Song, tape: Tape, instrument: Note, *, low: int) -> None:
    """Play a walking bass: a note per beat, along the scale from one chord's root to the next."""
    scale = song.scale_pitches(low=low - 2, high=low + 16)
    for bar in song.bars:
        here, there = (scale.index(song.chord(b, low=low, voices=1)[0]) for b in (bar, bar + 1))
        for k in range(song.metre):
            step = here + round(k * (there - here) / song.metre)
            if k and step == here:
                step += int(song.rng.choice([-1, 1, 2]))
            pitch = scale[min(max(0, step), len(scale) - 1)]
            tape.note(instrument, pitch, song.metre * bar + k, 0.9, gain=1.0 if k % 2 else 0.85)


@idea
def arpeggio(
    song: Song, tape: Tape, instrument: Note, *patterns: str, low: int, length: float, voices: int
) -> None:
    """Play the bar's chord one tone at a time: up, down, or up and down."""
    up = list(range(voices))
    order = (up, up[::-1], up + up[-2:0:-1])[song.rng.integers(3)]
    for k, (bar, beats, letter) in enumerate(pattern_notes(song, patterns)):
        pitch = song.chord(bar, low=low, voices=voices)[order[k % len(order)]]
        tape.note(instrument, pitch, beats, length, gain=GAINS[letter])


@idea
def melody(
    song: Song, tape: Tape, instrument: Note, *cells: tuple[float, ...], low: int, high: int
) -> None:
    """Play a random walk on the scale that begins each bar on a tone of the chord.

    `cells` are short rhythms, as note lengths in beats. Denser songs have fewer rests.
    """
    scale = song.scale_pitches(low=low, high=high)
    here = len(scale) // 2
    beats, met = 0.0, -1
    while beats < len(song.bars) * song.metre:
        for length in cells[song.rng.integers(len(cells))]:
            bar = int(beats / song.metre)
            here = min(max(0, here + int(song.rng.integers(-2, 3))), len(scale) - 1)
            if bar > met:
                chord = {p % 12 for p in song.chord(bar, low=low, voices=3)}
                tones = [k for k, pitch in enumerate(scale) if pitch % 12 in chord]
                here = min((abs(k - here), k) for k in tones)[1]
                met = bar
            if song.rng.random() < 0.4 + 0.6 * song.density:
                gain = song.rng.uniform(0.7, 1.0)
                tape.note(instrument, scale[here], beats, 0.95 * length, gain=gain)
            beats += length


@dataclass(frozen=True)
class Part:
    """One part of an artist's arrangement."""

    idea: Idea
    gain: float  # peak of the part in the mix, 0 to 1
    chance: float = 1.0  # probability that a song has the part
    pauses: bool = False  # whether the part is silent in the song's thin bars


@dataclass(frozen=True)
class Artist:
    """Properties that all songs of an artist share. Fields without a comment are as in `Song`."""

    name: str
    tempo: Range
    brightness: Range
    density: Range
    echo: Range  # seconds until the room's echo has fallen by 60 dB; 0 for no room
    loudness: Range  # root mean square of the recording; full scale is 1
    parts: tuple[Part, ...]
    looseness: float = 0.0
    rubato: float = 0.0


@dataclass(frozen=True)
class Style:
    """A style: a label of the collection. Each song draws one scale and one progression."""

    name: str
    metre: int
    scales: tuple[tuple[int, ...], ...]
    progressions: tuple[tuple[int, ...], ...]
    artists: tuple[Artist, ...]  # each artist in turn has a track

    def artist(self, number: int) -> Artist:
        """Return the artist of track `number`."""
        return self.artists[number % len(self.artists)]


CEILING = 0.85
"""Upper bound of the samples."""

HISS_DB = (-75.0, -50.0)
"""Level of the noise in dB of full scale. It differs as if recorded in different places."""

COLOUR = (-0.4, 0.4)
"""Exponent of 2 by which the bass is amplified and the treble attenuated."""

WET = 0.35
"""Loudness of the echo relative to the dry sound."""

THIN_CHANCE = 0.6
"""Probability that a song has thin bars, in which some parts pause."""

THIN_BARS = 2

EDGE_S = 0.02
"""Seconds in which a recording, or a part that pauses, fades in and out."""


def compose(style: Style, number: int) -> Song:
    """Draw the song of track `number` of a style from the ranges of its artist."""
    rng = np.random.default_rng([zlib.crc32(style.name.encode()), number])
    artist = style.artist(number)
    return Song(
        rng=rng,
        tempo=rng.uniform(*artist.tempo),
        metre=style.metre,
        tonic=int(rng.integers(12)),
        scale=style.scales[rng.integers(len(style.scales))],
        progression=style.progressions[rng.integers(len(style.progressions))],
        brightness=rng.uniform(*artist.brightness),
        density=rng.uniform(*artist.density),
        looseness=artist.looseness,
        rubato=artist.rubato,
    )


def gate(song: Song) -> Samples:
    """Return an envelope: 0 in the song's thin bars, 1 elsewhere [shape=(n,), range=[0, 1]]."""
    t = time_axis(SECONDS)
    if song.rng.random() >= THIN_CHANCE:
        return np.ones_like(t)
    first = int(song.rng.integers(max(1, len(song.bars) - THIN_BARS)))
    start, end = (song.time(song.metre * bar) for bar in (first, first + THIN_BARS))
    return np.asarray(np.clip(np.maximum(start - t, t - end) / EDGE_S + 1, 0, 1))


def echo(rng: np.random.Generator, y: Samples, seconds: float) -> Samples:
    """Add a room's echo that falls by 60 dB in `seconds`: `y` convolved with fading noise."""
    if seconds <= 0:
        return y
    response = filtered(burst(rng, seconds, half_life=seconds / 10), 4000.0, "low", 1)
    wet = scipy.signal.oaconvolve(y, response)[: len(y)]
    return np.asarray(y + wet * (WET * y.std() / wet.std()))


def perform(style: Style, number: int) -> Samples:
    """Return the recording of track `number` of a style [shape=(SECONDS * SR,), range=±CEILING]."""
    song, artist = compose(style, number), style.artist(number)
    rng = song.rng
    pauses = gate(song)
    y = np.zeros_like(pauses)
    for part in artist.parts:
        if rng.random() < part.chance:
            samples = part.idea(song)
            loudest = np.abs(samples).max() or 1.0  # a melody may consist of rests
            y += part.gain / loudest * (samples * pauses if part.pauses else samples)

    y = echo(rng, y, rng.uniform(*artist.echo))
    low = filtered(y, 700.0, "low", order=1)
    colour = 2.0 ** rng.uniform(*COLOUR)
    y = filtered(low * colour + (y - low) / colour, 30.0, "high")
    y *= rng.uniform(*artist.loudness) / y.std()
    y += 10 ** (rng.uniform(*HISS_DB) / 20) * rng.standard_normal(len(y))
    y *= envelope(len(y), attack=EDGE_S, release=EDGE_S)
    return np.asarray(CEILING * np.tanh(y / CEILING))
