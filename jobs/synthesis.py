"""The demo collection: short recordings of a few styles, played by this module and by no one else.

The table `STYLES` says what there is: each style has a metre, scales and chord progressions, and
two artists; each artist has ranges of tempo, brightness, density, echo and loudness, and parts. A
part is a musical idea (`beat`, `comp`, `bass`, `walk`, `arpeggio`, `melody`) played on one of
`jobs.instruments`. A clip draws its song from its artist's ranges with a generator of its own,
seeded by the style's name and the clip's number, so it is the same whenever and in whatever order
it is made: to the byte with the same numpy, scipy and libsndfile on the same kind of processor.

The collection also holds what collections hold: several formats and sample rates, one recording
twice under two labels, one file that is no recording.
"""

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec

import numpy as np
import scipy.signal
import soundfile

from jobs import instruments as play
from jobs.instruments import SR, Note, Samples, Stroke

VERSION = 1
"""Raised whenever a file of the collection comes out differently."""

SECONDS = 15.0
"""Length of every clip, in s: five segments of three seconds."""

TRACKS_PER_STYLE = 8

Range = tuple[float, float]


# The song: what its parts agree on


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


# The musical ideas. Each is asked for with what it plays and how, and gives a function from a song
# to that part of it, samples [shape=(n,)]. A pattern is a bar in as many equal places as it has
# letters:
#   x  a loud note    o  a soft note    ?  a soft note or none, by the song's density    .  none

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


# The table of styles


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


MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)

SWUNG = 2 / 3  # where the second eighth of a swung beat falls

STYLES = (
    Style(
        name="ambient",
        metre=4,
        scales=(MAJOR, MINOR, DORIAN),
        progressions=((0, 3), (0, 5, 3, 4), (0, 0, 5, 5), (0, 2, 3, 3)),
        artists=(
            Artist(
                name="Low Tide",
                tempo=(56, 76),
                brightness=(0.1, 0.45),
                density=(0.2, 0.5),
                echo=(1.5, 3.0),
                loudness=(0.06, 0.12),
                looseness=0.02,
                parts=(
                    Part(comp(instrument=play.pad, patterns=("x",), low=48, length=4), 0.8),
                    Part(bass(instrument=play.pad, patterns=("x",), low=31, length=4), 0.5),
                    Part(
                        melody(instrument=play.piano, low=60, high=79, cells=((2,), (1, 1), (3,))),
                        0.5,
                        chance=0.5,
                    ),
                ),
            ),
            Artist(
                name="Polar Day",
                tempo=(64, 92),
                brightness=(0.4, 0.9),
                density=(0.3, 0.7),
                echo=(1.0, 2.5),
                loudness=(0.08, 0.15),
                looseness=0.01,
                parts=(
                    Part(comp(instrument=play.pad, patterns=("x",), low=55, length=4), 0.7),
                    Part(
                        arpeggio(
                            instrument=play.bell,
                            patterns=("????", "x?????", "????????"),
                            low=67,
                            length=1,
                            voices=4,
                        ),
                        0.45,
                    ),
                    Part(
                        beat(stroke=play.closed_hat, patterns=("?.o?.?o.", "..o...o.")),
                        0.12,
                        chance=0.3,
                    ),
                ),
            ),
        ),
    ),
    Style(
        name="chiptune",
        metre=4,
        scales=(MAJOR, MINOR, MIXOLYDIAN),
        progressions=((0, 4, 5, 3), (0, 3, 4, 4), (0, 5, 3, 4), (0, 6, 5, 4)),
        artists=(
            Artist(
                name="Coin Slot",
                tempo=(132, 164),
                brightness=(0.4, 0.95),
                density=(0.5, 0.9),
                echo=(0.0, 0.0),
                loudness=(0.12, 0.2),
                parts=(
                    Part(
                        melody(
                            instrument=play.pulse,
                            low=67,
                            high=88,
                            cells=((1,), (0.5, 0.5), (0.75, 0.25), (0.25,) * 4),
                        ),
                        0.6,
                    ),
                    Part(
                        arpeggio(
                            instrument=play.pulse,
                            patterns=("oooooooooooooooo", "o?o?o?o?o?o?o?o?"),
                            low=60,
                            length=0.25,
                            voices=4,
                        ),
                        0.3,
                    ),
                    Part(
                        bass(
                            instrument=play.triangle,
                            patterns=("x.o.x.o.", "xoxoxoxo", "x..x..x."),
                            low=36,
                            length=0.5,
                        ),
                        0.7,
                    ),
                    Part(
                        beat(stroke=play.chip_noise, patterns=("o.?.x.?.", "o.o.x.o.", "o.xoo.x?")),
                        0.5,
                        chance=0.9,
                        pauses=True,
                    ),
                ),
            ),
            Artist(
                name="Eight Lives",
                tempo=(100, 140),
                brightness=(0.05, 0.6),
                density=(0.3, 0.7),
                echo=(0.0, 0.3),
                loudness=(0.1, 0.17),
                parts=(
                    Part(
                        melody(
                            instrument=play.pulse,
                            low=60,
                            high=81,
                            cells=((1,), (2,), (0.5, 0.5), (1.5, 0.5)),
                        ),
                        0.6,
                    ),
                    Part(
                        comp(
                            instrument=play.pulse,
                            patterns=("o...o...", "..o...o.", "o.o.o.o."),
                            low=55,
                            length=0.4,
                        ),
                        0.35,
                        chance=0.7,
                        pauses=True,
                    ),
                    Part(
                        bass(
                            instrument=play.triangle,
                            patterns=("x...x...", "x.x.x.x.", "x..ox..o"),
                            low=38,
                            length=0.9,
                        ),
                        0.7,
                    ),
                    Part(beat(stroke=play.kick, patterns=("x...x...",)), 0.5, chance=0.5),
                    Part(beat(stroke=play.chip_noise, patterns=("..x...x.",)), 0.35, 0.7),
                ),
            ),
        ),
    ),
    Style(
        name="folk",
        metre=4,
        scales=(MAJOR, MAJOR, MIXOLYDIAN, DORIAN),
        progressions=((0, 3, 0, 4), (0, 4, 5, 3), (0, 0, 3, 4), (0, 6, 3, 0)),
        artists=(
            Artist(
                name="Hay and Rye",
                tempo=(96, 132),
                brightness=(0.4, 0.9),
                density=(0.3, 0.9),
                echo=(0.2, 0.6),
                loudness=(0.09, 0.16),
                looseness=0.008,
                parts=(
                    Part(
                        comp(
                            instrument=play.string,
                            patterns=("x.xo?oxo", "x.oox.oo", "x?xox?xo"),
                            low=43,
                            length=1,
                            voices=5,
                            strum=0.012,
                        ),
                        0.8,
                    ),
                    Part(
                        melody(
                            instrument=play.flute,
                            low=69,
                            high=88,
                            cells=((1,), (0.5, 0.5), (1.5, 0.5), (2,)),
                        ),
                        0.35,
                        chance=0.6,
                        pauses=True,
                    ),
                    Part(
                        beat(stroke=play.tambourine, patterns=("..x...x.", ".oxo.oxo")),
                        0.2,
                        chance=0.5,
                        pauses=True,
                    ),
                ),
            ),
            Artist(
                name="Nell Corrigan",
                tempo=(72, 108),
                brightness=(0.15, 0.6),
                density=(0.4, 0.9),
                echo=(0.3, 0.9),
                loudness=(0.06, 0.13),
                looseness=0.012,
                rubato=0.05,
                parts=(
                    Part(
                        arpeggio(
                            instrument=play.string,
                            patterns=("xooooooo", "x?o?x?o?", "xoo?xoo?"),
                            low=48,
                            length=1.5,
                            voices=4,
                        ),
                        0.7,
                    ),
                    Part(
                        bass(
                            instrument=play.string,
                            patterns=("x...x...", "x.....o."),
                            low=40,
                            length=2,
                        ),
                        0.6,
                    ),
                    Part(
                        melody(
                            instrument=play.string,
                            low=64,
                            high=81,
                            cells=((1,), (2,), (1.5, 0.5), (1, 1)),
                        ),
                        0.5,
                        chance=0.6,
                        pauses=True,
                    ),
                    Part(comp(instrument=play.pad, patterns=("o",), low=55, length=4), 0.2, 0.3),
                ),
            ),
        ),
    ),
    Style(
        name="metal",
        metre=4,
        scales=(MINOR, PHRYGIAN, MINOR),
        progressions=((0, 0, 5, 6), (0, 1, 0, 4), (0, 5, 2, 6), (0, 0, 0, 1)),
        artists=(
            Artist(
                name="Iron Ledger",
                tempo=(146, 188),
                brightness=(0.5, 0.95),
                density=(0.4, 0.9),
                echo=(0.1, 0.4),
                loudness=(0.16, 0.26),
                looseness=0.003,
                parts=(
                    Part(
                        bass(
                            instrument=play.power_chord,
                            patterns=("xoo?xoo?xoo?xoo?", "x.ox.ox.x.ox.ox.", "xoxoxoxoxxoxoxxo"),
                            low=38,
                            length=0.25,
                        ),
                        0.8,
                    ),
                    Part(
                        beat(
                            stroke=play.kick,
                            patterns=("x.xxx.xxx.xxx.xx", "x...x...x...x...", "x.x.x.x.x.x.x.x."),
                        ),
                        0.6,
                        pauses=True,
                    ),
                    Part(beat(stroke=play.snare, patterns=("..x...x.", ".x.x.x.x")), 0.6),
                    Part(beat(stroke=play.crash, patterns=("x...", "x.x.")), 0.3, 0.8),
                    Part(
                        melody(
                            instrument=play.lead_guitar,
                            low=64,
                            high=86,
                            cells=((0.5, 0.5), (0.25,) * 4, (1,)),
                        ),
                        0.3,
                        chance=0.35,
                    ),
                ),
            ),
            Artist(
                name="Slow Avalanche",
                tempo=(84, 116),
                brightness=(0.1, 0.6),
                density=(0.2, 0.6),
                echo=(0.3, 0.9),
                loudness=(0.14, 0.24),
                looseness=0.006,
                parts=(
                    Part(
                        bass(
                            instrument=play.power_chord,
                            patterns=("x...x...", "x.....x.", "x..x..x."),
                            low=35,
                            length=1.6,
                        ),
                        0.8,
                    ),
                    Part(beat(stroke=play.kick, patterns=("x..?x.x.", "x...x?..")), 0.6),
                    Part(
                        beat(stroke=play.snare, patterns=("..x...x.", "....x...")), 0.6, pauses=True
                    ),
                    Part(beat(stroke=play.crash, patterns=("xxxx", "x.x.")), 0.25),
                    Part(comp(instrument=play.pad, patterns=("x",), low=55, length=4), 0.25, 0.3),
                ),
            ),
        ),
    ),
    Style(
        name="nocturne",
        metre=3,
        scales=(MAJOR, MINOR, MINOR),
        progressions=((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 0, 4), (0, 2, 3, 4)),
        artists=(
            Artist(
                name="Ada Lindqvist",
                tempo=(116, 160),
                brightness=(0.35, 0.8),
                density=(0.5, 0.9),
                echo=(0.4, 1.0),
                loudness=(0.05, 0.12),
                looseness=0.01,
                rubato=0.12,
                parts=(
                    Part(bass(instrument=play.piano, patterns=("x..",), low=36, length=2), 0.5),
                    Part(
                        comp(
                            instrument=play.piano,
                            patterns=(".oo", ".oo", ".o?"),
                            low=55,
                            length=0.8,
                        ),
                        0.35,
                    ),
                    Part(
                        melody(
                            instrument=play.piano,
                            low=67,
                            high=88,
                            cells=((1,), (2, 1), (0.5, 0.5), (3,)),
                        ),
                        0.7,
                    ),
                ),
            ),
            Artist(
                name="Piotr Halasz",
                tempo=(60, 92),
                brightness=(0.05, 0.5),
                density=(0.3, 0.8),
                echo=(0.8, 1.8),
                loudness=(0.05, 0.1),
                looseness=0.015,
                rubato=0.2,
                parts=(
                    Part(
                        arpeggio(
                            instrument=play.piano,
                            patterns=("xooooo", "xo?oo?"),
                            low=43,
                            length=2,
                            voices=5,
                        ),
                        0.5,
                    ),
                    Part(
                        melody(
                            instrument=play.piano,
                            low=64,
                            high=84,
                            cells=((1.5, 0.5, 1), (1,), (2,), (0.5, 0.5)),
                        ),
                        0.7,
                    ),
                    Part(comp(instrument=play.pad, patterns=("o",), low=55, length=3), 0.2, 0.25),
                ),
            ),
        ),
    ),
    Style(
        name="swing",
        metre=4,
        scales=(MAJOR, DORIAN, MIXOLYDIAN),
        progressions=((1, 4, 0, 0), (0, 5, 1, 4), (0, 3, 0, 4), (2, 5, 1, 4)),
        artists=(
            Artist(
                name="The Corner Table Trio",
                tempo=(126, 176),
                brightness=(0.25, 0.7),
                density=(0.4, 0.8),
                echo=(0.3, 0.8),
                loudness=(0.08, 0.15),
                looseness=0.01,
                parts=(
                    Part(walk(instrument=play.double_bass, low=33), 0.6),
                    Part(beat(stroke=play.ride, patterns=("x..x.ox..x.o", "x..x..x..x.o")), 0.3),
                    Part(
                        comp(
                            instrument=play.piano,
                            patterns=("x....o......", ".....x......", "..x.....x..?"),
                            low=52,
                            length=0.8,
                            voices=4,
                        ),
                        0.4,
                        pauses=True,
                    ),
                    Part(
                        melody(
                            instrument=play.piano,
                            low=65,
                            high=86,
                            cells=((SWUNG, 1 - SWUNG), (SWUNG, 1 - SWUNG), (1,), (2,)),
                        ),
                        0.55,
                    ),
                    Part(beat(stroke=play.brush, patterns=(".x.x",)), 0.25, chance=0.6),
                ),
            ),
            Artist(
                name="Marlowe Blue",
                tempo=(92, 138),
                brightness=(0.1, 0.6),
                density=(0.3, 0.8),
                echo=(0.4, 1.0),
                loudness=(0.07, 0.13),
                looseness=0.012,
                parts=(
                    Part(walk(instrument=play.double_bass, low=31), 0.6),
                    Part(beat(stroke=play.brush, patterns=("oxox", "o.xoo.x.")), 0.4),
                    Part(
                        melody(
                            instrument=play.vibraphone,
                            low=62,
                            high=84,
                            cells=((SWUNG, 1 - SWUNG), (1,), (2,), (1, SWUNG, 1 - SWUNG)),
                        ),
                        0.55,
                    ),
                    Part(
                        comp(
                            instrument=play.vibraphone,
                            patterns=("x...", "x..?"),
                            low=55,
                            length=1.5,
                            voices=4,
                        ),
                        0.3,
                        chance=0.7,
                        pauses=True,
                    ),
                    Part(beat(stroke=play.closed_hat, patterns=("...x.....x..",)), 0.15, 0.5),
                ),
            ),
        ),
    ),
    Style(
        name="techno",
        metre=4,
        scales=(MINOR, PHRYGIAN, DORIAN),
        progressions=((0,), (0, 0, 0, 5), (0, 0, 3, 3), (0, 5)),
        artists=(
            Artist(
                name="Substation 4",
                tempo=(126, 138),
                brightness=(0.2, 0.6),
                density=(0.3, 0.7),
                echo=(0.2, 0.8),
                loudness=(0.14, 0.22),
                parts=(
                    Part(beat(stroke=play.kick, patterns=("xxxx",)), 0.9),
                    Part(
                        beat(
                            stroke=play.closed_hat,
                            patterns=("..x...x...x...x.", "o?x?o?x?o?x?o?x?"),
                        ),
                        0.3,
                    ),
                    Part(
                        bass(
                            instrument=play.acid,
                            patterns=("x?o?x?o?x?o?x?o?", "..oo..o?..oo..o?"),
                            low=33,
                            length=0.22,
                        ),
                        0.5,
                    ),
                    Part(beat(stroke=play.clap, patterns=(".x.x",)), 0.3, 0.6, pauses=True),
                    Part(comp(instrument=play.pad, patterns=("x",), low=48, length=4), 0.25, 0.4),
                ),
            ),
            Artist(
                name="Glasshouse",
                tempo=(118, 130),
                brightness=(0.4, 0.9),
                density=(0.4, 0.8),
                echo=(0.3, 1.2),
                loudness=(0.12, 0.2),
                parts=(
                    Part(beat(stroke=play.kick, patterns=("xxxx",)), 0.9),
                    Part(beat(stroke=play.open_hat, patterns=(".x.x.x.x",)), 0.3, pauses=True),
                    Part(
                        comp(
                            instrument=play.stab,
                            patterns=("x..x..x.", "..x...x.", "x..x...."),
                            low=57,
                            length=0.5,
                            voices=4,
                        ),
                        0.5,
                    ),
                    Part(
                        bass(
                            instrument=play.acid,
                            patterns=(".x.x.x.x", "..x...x...x...x."),
                            low=36,
                            length=0.4,
                        ),
                        0.5,
                    ),
                    Part(
                        arpeggio(
                            instrument=play.acid,
                            patterns=("????????????????",),
                            low=60,
                            length=0.25,
                            voices=4,
                        ),
                        0.3,
                        chance=0.4,
                    ),
                ),
            ),
        ),
    ),
)


# From the table to a recording

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


# What the collection holds, and how it is written

Form = Literal["wav", "stereo", "flac", "ogg"]

SUFFIXES: dict[Form, str] = {"wav": "wav", "stereo": "wav", "flac": "flac", "ogg": "ogg"}

FORMS: tuple[Form, ...] = (
    ("wav",) * 4 + ("flac",) + ("wav",) * 3 + ("stereo",) + ("wav",) * 3 + ("ogg",)
)
"""Forms of the tracks, in turn: a prime number of them, so that no artist or place keeps one."""

TWIN, ORIGINAL = ("folk", 7), ("nocturne", 3)
"""One recording under two labels: the first is the second's, in another form."""

ROTTEN = ("swing", TRACKS_PER_STYLE)
"""The track that is no recording."""

ROTTEN_TEXT = b"This is a line of text that somebody saved with the suffix of a recording.\n"

LABELS = "labels.csv"
MARKER = ".synthesis.json"  # {"version": VERSION, "files": {name: digest of its bytes}}


@dataclass(frozen=True)
class Track:
    """One file of the collection.

    Attributes
    ----------
    track_id : str
        Its path below the folder, with ``/``.
    label : str
        The style whose folder it lies in.
    style : Style
        The style that is played: the label's, but for the twin.
    number : int
        Which of the style's songs is played.
    form : Form or None
        How it is written: "wav" is 22.05 kHz mono of 16 bits, "stereo" the same at 44.1 kHz with
        two channels, "flac" and "ogg" (Vorbis) 22.05 kHz mono; None for the rotten one.
    """

    track_id: str
    label: str
    style: Style
    number: int
    form: Form | None

    @property
    def artist(self) -> str:
        """Name of who plays."""
        return self.style.artist(self.number).name


def collection() -> tuple[Track, ...]:
    """Every file of the collection that passes for a recording, in the order it is made."""
    styles = {style.name: style for style in STYLES}
    tracks: list[Track] = []
    for style in STYLES:
        for number in range(TRACKS_PER_STYLE):
            form = FORMS[len(tracks) % len(FORMS)]
            source, song = style, number
            if (style.name, number) == TWIN:
                source, song, form = styles[ORIGINAL[0]], ORIGINAL[1], "flac"
            name = f"{style.name}/{style.name}.{number:02d}.{SUFFIXES[form]}"
            tracks.append(Track(name, style.name, source, song, form))
    label, number = ROTTEN
    name = f"{label}/{label}.{number:02d}.wav"
    return (*tracks, Track(name, label, styles[label], number, None))


def labels(tracks: tuple[Track, ...]) -> bytes:
    """Give the table of labels: comma-separated, with a header, a line for each track."""
    lines = ["track_id,label,artist"]
    lines += [f"{track.track_id},{track.label},{track.artist}" for track in tracks]
    return ("\n".join(lines) + "\n").encode()


def encode(track: Track) -> bytes:
    """Perform a track and give the bytes of its file."""
    if track.form is None:
        return ROTTEN_TEXT
    y, sr = perform(track.style, track.number), SR
    if track.form == "stereo":
        y, sr = widened(scipy.signal.resample_poly(y, 2, 1)), 2 * SR
    # Rounded here, for each of libsndfile's encoders rounds in its own way, and twins are equal.
    pcm = np.round(y * 32767).astype(np.int16)
    container = SUFFIXES[track.form]
    subtype = "VORBIS" if container == "ogg" else "PCM_16"
    file = io.BytesIO()
    soundfile.write(file, pcm, sr, format=container, subtype=subtype)
    return renumbered(file.getvalue()) if container == "ogg" else file.getvalue()


def widened(y: Samples) -> Samples:
    """Two channels whose mean is `y`, and whose difference is `y` a little later [shape=(n, 2)].

    H. Lauridsen's pseudo-stereo: M. R. Schroeder, "An Artificial Stereophonic Effect Obtained from
    a Single Audio Signal", J. Audio Eng. Soc. 6 (1958).
    """
    side = np.zeros_like(y)
    late = round(0.011 * 2 * SR)
    side[late:] = 0.15 * y[:-late]
    return np.stack([y + side, y - side], axis=1)


def renumbered(ogg: bytes) -> bytes:
    """Give an Ogg stream the serial number 0 in place of the random one its encoder drew.

    Each page holds the serial number and a checksum that covers it: RFC 3533, section 6. The
    checksum is zlib's polynomial with the bits of each byte the other way round, and without
    zlib's first and last inversion.
    """
    flipped = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    pages = bytearray(ogg)
    start = 0
    while start < len(pages):
        segments = pages[start + 26]
        lacing = pages[start + 27 : start + 27 + segments]
        end = start + 27 + segments + sum(lacing)
        pages[start + 14 : start + 18] = bytes(4)  # the serial number
        pages[start + 22 : start + 26] = bytes(4)  # the checksum counts as zero in its own sum
        crc = zlib.crc32(pages[start:end].translate(flipped), 0xFFFFFFFF) ^ 0xFFFFFFFF
        pages[start + 22 : start + 26] = crc.to_bytes(4, "big").translate(flipped)
        start = end
    return bytes(pages)


def synthesise(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Make the demo collection, or what is missing of it.

    Writes ``<style>/<style>.<number>.<suffix>`` for each track, `labels.csv` (columns track_id,
    label, artist; a row for the rotten track too) and the marker `.synthesis.json`, all below
    `folder`, which is made. A file that is there with the bytes this version wrote is left alone;
    any other of the collection's names is written anew, beside its place first and then moved in.
    Files of other names are never touched. Killed at any moment, it can be called again.

    Parameters
    ----------
    folder : Path
        Where the collection lies.
    progress : Callable, optional
        Called after each file with the number of files done and of all files.

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    tracks = collection()
    files = {track.track_id: partial(encode, track) for track in tracks}
    files[LABELS] = partial(labels, tracks)

    made = _made(folder)
    for done, (name, contents) in enumerate(files.items(), start=1):
        path = folder / name
        if name not in made or not path.is_file() or _digest(path.read_bytes()) != made[name]:
            data = contents()
            _put(path, data)
            made[name] = _digest(data)
            # After each file, so that a run that is killed loses one file's work and no more.
            _put(folder / MARKER, json.dumps({"version": VERSION, "files": made}).encode())
        if progress is not None:
            progress(done, len(files))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _made(folder: Path) -> dict[str, str]:
    """Digests of the files that this version wrote into `folder`, by name."""
    try:
        marker = json.loads((folder / MARKER).read_bytes())
        return dict(marker["files"]) if marker["version"] == VERSION else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _put(path: Path, data: bytes) -> None:
    """Write a file so that under its name there is all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(data)
    os.replace(beside, path)
