"""Styles of the demo: one table of tempos, scales, patterns and instruments."""

from jobs.demo import instruments as play
from jobs.demo.songs import Artist, Part, Style, arpeggio, bass, beat, comp, melody, walk

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
