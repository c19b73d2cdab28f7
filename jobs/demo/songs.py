"""Songs of the demo: musical material, patterns, arrangement and performance."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec

import numpy as np
import scipy.signal

from jobs.demo import instruments as play
from jobs.demo.instruments import SR, Note, Samples, Stroke

SECONDS = 15.0
"""Length of every clip, in s: five segments of three seconds."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Song:
    """What the parts of one clip share.

    Attributes
    ----------
    rng : np.random.Generator
        The clip's own; parts draw from it in the order they stand in the table.
    tempo : float
        Beats per minute.
    metre : int
        Beats per bar.
    tonic : int
        Pitch class of the key's first step, 0 (C) to 11 (B).
    scale : tuple of int
        Semitones of the seven steps above the tonic, ascending from 0.
    progression : tuple of int
        The step (0 to 6) each bar's chord stands on, repeated as needed.
    brightness, density : float
        0 to 1: how bright instruments are played; the share of optional places that get a note.
    looseness : float
        Standard deviation, in s, of how far players miss the beat.
    rubato : float
        How far the pace sways, in beats: 0 for a machine.
    """

    rng: np.random.Generator
    tempo: float
    metre: int
    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    brightness: float
    density: float
    looseness: float
    rubato: float

    @property
    def bars(self) -> range:
        """Numbers of the bars; the last may be cut off by the end of the clip."""
        return range(int(np.ceil(SECONDS * self.tempo / 60 / self.metre)))

    def time(self, beats: float) -> float:
        """When the beat with this number (0 is the clip's first) falls, in s."""
        sway = self.rubato * np.sin(np.pi * beats / self.metre)
        return float(max(0.0, beats + sway) * 60 / self.tempo)

    def chord(self, bar: int, *, low: int, voices: int) -> list[int]:
        """MIDI pitches of a bar's chord: stacked thirds, root at or just above `low`."""
        step = self.progression[bar % len(self.progression)]
        pitches: list[int] = []
        for voice in range(voices):
            pitch_class = self.tonic + self.scale[(step + 2 * voice) % len(self.scale)]
            above = pitches[-1] + 1 if pitches else low
            pitches.append(above + (pitch_class - above) % 12)
        return pitches

    def ladder(self, *, low: int, high: int) -> list[int]:
        """MIDI pitches of the scale from `low` to `high`."""
        return [p for p in range(low, high + 1) if (p - self.tonic) % 12 in self.scale]


class Tape:
    """What one part records: notes and strokes added where they fall.

    Parameters
    ----------
    song : Song
        Its looseness moves every note, its brightness is every note's.
    """

    def __init__(self, song: Song) -> None:
        self.song = song
        self.samples: Samples = np.zeros(round(SECONDS * SR))
        self._notes: dict[tuple[int, int], Samples] = {}

    def add(self, sound: Samples, beats: float, *, gain: float, delay: float = 0.0) -> None:
        """Add a sound at a beat, `delay` s late, and cut it off at the end of the clip."""
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
        gain: float = 1.0,
        delay: float = 0.0,
    ) -> None:
        """Play a MIDI pitch at a beat for `length` beats; the same note sounds the same again."""
        key = (pitch, round(1000 * length))
        if key not in self._notes:
            seconds = length * 60 / self.song.tempo
            self._notes[key] = instrument(play.hertz(pitch), seconds, self.song.brightness)
        self.add(self._notes[key], beats, gain=gain, delay=delay)


Idea = Callable[[Song], Samples]

P = ParamSpec("P")


def idea(plays: Callable[Concatenate[Song, P], Samples]) -> Callable[P, Idea]:
    """Turn a function of a song and options into one of the options alone that gives an `Idea`."""

    @wraps(plays)
    def asked(*args: P.args, **kwargs: P.kwargs) -> Idea:
        return lambda song: plays(song, *args, **kwargs)

    return asked


GAINS = {"x": 1.0, "o": 0.5, "?": 0.4}


def places(song: Song, patterns: tuple[str, ...]) -> Iterator[tuple[int, float, str]]:
    """Walk a pattern, one of `patterns` for the whole song: each note's bar, beat and letter."""
    pattern = patterns[song.rng.integers(len(patterns))]
    for bar in song.bars:
        for place, letter in enumerate(pattern):
            if letter == "." or (letter == "?" and song.rng.random() >= song.density):
                continue
            yield bar, song.metre * (bar + place / len(pattern)), letter


@idea
def beat(song: Song, *, stroke: Stroke, patterns: tuple[str, ...]) -> Samples:
    """Strike a drum."""
    tape = Tape(song)
    sound = stroke(song.rng, song.brightness)
    for _, beats, letter in places(song, patterns):
        tape.add(sound, beats, gain=GAINS[letter])
    return tape.samples


@idea
def comp(
    song: Song,
    *,
    instrument: Note,
    patterns: tuple[str, ...],
    low: int,
    length: float,
    voices: int = 3,
    strum: float = 0.0,
) -> Samples:
    """Play the bar's chord, each for `length` beats, its tones `strum` s apart.

    The soft chords of a strum go the other way: from the top down.
    """
    tape = Tape(song)
    for bar, beats, letter in places(song, patterns):
        pitches = song.chord(bar, low=low, voices=voices)
        if letter != "x":
            pitches.reverse()
        for k, pitch in enumerate(pitches):
            tape.note(instrument, pitch, beats, length, gain=GAINS[letter], delay=strum * k)
    return tape.samples


@idea
def bass(
    song: Song, *, instrument: Note, patterns: tuple[str, ...], low: int, length: float
) -> Samples:
    """Play the chord's root; where the pattern is soft, now and then its octave or fifth."""
    tape = Tape(song)
    for bar, beats, letter in places(song, patterns):
        root = song.chord(bar, low=low, voices=1)[0]
        jump = 0 if letter == "x" else int(song.rng.choice([0, 0, 7, 12]))
        tape.note(instrument, root + jump, beats, length, gain=GAINS[letter])
    return tape.samples


@idea
def walk(song: Song, *, instrument: Note, low: int) -> Samples:
    """Walk: a note each beat, from the chord's root by steps of the scale to the next root."""
    tape = Tape(song)
    ladder = song.ladder(low=low - 2, high=low + 16)
    for bar in song.bars:
        here, there = (ladder.index(song.chord(b, low=low, voices=1)[0]) for b in (bar, bar + 1))
        for k in range(song.metre):
            step = here + round(k * (there - here) / song.metre)
            if k and step == here:
                step += int(song.rng.choice([-1, 1, 2]))
            pitch = ladder[min(max(0, step), len(ladder) - 1)]
            tape.note(instrument, pitch, song.metre * bar + k, 0.9, gain=1.0 if k % 2 else 0.85)
    return tape.samples


@idea
def arpeggio(
    song: Song,
    *,
    instrument: Note,
    patterns: tuple[str, ...],
    low: int,
    length: float,
    voices: int = 3,
) -> Samples:
    """Break the bar's chord: one tone at a time, up, down, or up and down."""
    tape = Tape(song)
    up = list(range(voices))
    order = (up, up[::-1], up + up[-2:0:-1])[song.rng.integers(3)]
    for k, (bar, beats, letter) in enumerate(places(song, patterns)):
        pitch = song.chord(bar, low=low, voices=voices)[order[k % len(order)]]
        tape.note(instrument, pitch, beats, length, gain=GAINS[letter])
    return tape.samples


@idea
def melody(
    song: Song, *, instrument: Note, low: int, high: int, cells: tuple[tuple[float, ...], ...]
) -> Samples:
    """Sing a tune: a random walk on the scale that meets the chord at the start of each bar.

    `cells` are little rhythms, lengths in beats; a song has fewer rests the higher its density.
    """
    tape = Tape(song)
    ladder = song.ladder(low=low, high=high)
    here = len(ladder) // 2
    beats, met = 0.0, -1
    while beats < len(song.bars) * song.metre:
        for length in cells[song.rng.integers(len(cells))]:
            bar = int(beats / song.metre)
            here = min(max(0, here + int(song.rng.integers(-2, 3))), len(ladder) - 1)
            if bar > met:
                chord = {p % 12 for p in song.chord(bar, low=low, voices=3)}
                tones = [k for k, pitch in enumerate(ladder) if pitch % 12 in chord]
                here = min((abs(k - here), k) for k in tones)[1]
                met = bar
            if song.rng.random() < 0.4 + 0.6 * song.density:
                gain = song.rng.uniform(0.7, 1.0)
                tape.note(instrument, ladder[here], beats, 0.95 * length, gain=gain)
            beats += length
    return tape.samples


@dataclass(frozen=True)
class Part:
    """One part of an artist's arrangement.

    Attributes
    ----------
    idea : Idea
        One of the musical ideas above, its instrument and its patterns given.
    gain : float
        Peak of the part in the mix, 0 to 1.
    chance : float
        Share of the artist's songs that have it.
    pauses : bool
        Whether it is silent in the bars where the song is thin.
    """

    idea: Idea
    gain: float
    chance: float = 1.0
    pauses: bool = False


@dataclass(frozen=True)
class Artist:
    """Who plays: what is alike in all clips of an artist. A `Range` is drawn from once a clip.

    Attributes
    ----------
    tempo : Range
        Beats per minute.
    brightness, density : Range
        Within 0 to 1; see `Song`.
    echo : Range
        Seconds until the room's echo has fallen by 60 dB; 0 for no room.
    loudness : Range
        Root mean square of the clip, full scale being 1.
    parts : tuple of Part
    looseness : float
        See `Song`.
    rubato : float
        See `Song`.
    """

    name: str
    tempo: Range
    brightness: Range
    density: Range
    echo: Range
    loudness: Range
    parts: tuple[Part, ...]
    looseness: float = 0.0
    rubato: float = 0.0


@dataclass(frozen=True)
class Style:
    """A style: a label of the collection.

    Attributes
    ----------
    metre : int
        Beats per bar.
    scales : tuple of tuple of int
        See `Song`; each song takes one.
    progressions : tuple of tuple of int
        See `Song`; each song takes one.
    artists : tuple of Artist
        They take turns from one track to the next.
    """

    name: str
    metre: int
    scales: tuple[tuple[int, ...], ...]
    progressions: tuple[tuple[int, ...], ...]
    artists: tuple[Artist, ...]

    def artist(self, number: int) -> Artist:
        """Who plays track `number`."""
        return self.artists[number % len(self.artists)]


CEILING = 0.85  # no sample lies above it

HISS = (-75.0, -50.0)  # dB of full scale: recordings were made in different places

COLOUR = (-0.4, 0.4)  # powers of two: the bass is so much louder, the treble so much softer

WET = 0.35  # the echo's loudness, the dry sound's being 1

THIN_CHANCE, THIN_BARS = 0.6, 2  # share of songs that have thin bars, and how many

EDGE = 0.02  # s in which a clip, or a part that pauses, comes and goes


def compose(style: Style, number: int) -> Song:
    """Draw the song of a style's track `number` from the ranges of its artist."""
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
    """Envelope that is 0 in the song's thin bars and 1 elsewhere [shape=(n,), range=[0, 1]]."""
    t = play.clock(SECONDS)
    if song.rng.random() >= THIN_CHANCE:
        return np.ones_like(t)
    first = int(song.rng.integers(max(1, len(song.bars) - THIN_BARS)))
    start, end = (song.time(song.metre * bar) for bar in (first, first + THIN_BARS))
    return np.asarray(np.clip(np.maximum(start - t, t - end) / EDGE + 1, 0, 1))


def echo(rng: np.random.Generator, y: Samples, seconds: float) -> Samples:
    """`y` in a room whose echo falls by 60 dB in `seconds`: noise that dies away, convolved."""
    if seconds <= 0:
        return y
    response = play.filtered(play.burst(rng, seconds, half_life=seconds / 10), 4000.0, "low", 1)
    wet = scipy.signal.oaconvolve(y, response)[: len(y)]
    return np.asarray(y + wet * (WET * y.std() / wet.std()))


def perform(style: Style, number: int) -> Samples:
    """Play and record a style's track `number` [shape=(SECONDS * SR,), range=±CEILING]."""
    song, artist = compose(style, number), style.artist(number)
    rng = song.rng
    pauses = gate(song)
    y = np.zeros_like(pauses)
    for part in artist.parts:
        if rng.random() < part.chance:
            samples = part.idea(song)
            loudest = np.abs(samples).max() or 1.0  # a melody may be all rests
            y += part.gain / loudest * (samples * pauses if part.pauses else samples)

    y = echo(rng, y, rng.uniform(*artist.echo))
    low = play.filtered(y, 700.0, "low", order=1)
    colour = 2.0 ** rng.uniform(*COLOUR)
    y = play.filtered(low * colour + (y - low) / colour, 30.0, "high")
    y *= rng.uniform(*artist.loudness) / y.std()
    y += 10 ** (rng.uniform(*HISS) / 20) * rng.standard_normal(len(y))
    y *= play.swell(len(y), attack=EDGE, release=EDGE)
    return np.asarray(CEILING * np.tanh(y / CEILING))
