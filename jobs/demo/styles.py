"""Styles of the demo: one table of tempos, scales, patterns and instruments."""

from jobs.demo.instruments import (
    acid,
    bell,
    brush,
    chip_noise,
    clap,
    closed_hat,
    crash,
    double_bass,
    flute,
    kick,
    lead_guitar,
    open_hat,
    pad,
    piano,
    power_chord,
    pulse,
    ride,
    snare,
    stab,
    string,
    tambourine,
    triangle,
    vibraphone,
)
from jobs.demo.songs import Artist, Part, Style, arpeggio, bass, beat, comp, melody, walk

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)

SWUNG = 2 / 3
"""Position of the second eighth note in a swung beat."""

# Laid out by hand, as a table.
# fmt: off
STYLES = (
    Style("ambient", metre=4, scales=(MAJOR, MINOR, DORIAN),
          progressions=((0, 3), (0, 5, 3, 4), (0, 0, 5, 5), (0, 2, 3, 3)), artists=(
        Artist("Low Tide", tempo=(56, 76), brightness=(0.1, 0.45), density=(0.2, 0.5),
               echo=(1.5, 3.0), loudness=(0.06, 0.12), looseness=0.02, parts=(
            Part(comp(pad, "x", low=48, length=4), 0.8),
            Part(bass(pad, "x", low=31, length=4), 0.5),
            Part(melody(piano, (2,), (1, 1), (3,), low=60, high=79), 0.5, chance=0.5),
        )),
        Artist("Polar Day", tempo=(64, 92), brightness=(0.4, 0.9), density=(0.3, 0.7),
               echo=(1.0, 2.5), loudness=(0.08, 0.15), looseness=0.01, parts=(
            Part(comp(pad, "x", low=55, length=4), 0.7),
            Part(arpeggio(bell, "????", "x?????", "????????", low=67, length=1, voices=4), 0.45),
            Part(beat(closed_hat, "?.o?.?o.", "..o...o."), 0.12, chance=0.3),
        )),
    )),
    Style("chiptune", metre=4, scales=(MAJOR, MINOR, MIXOLYDIAN),
          progressions=((0, 4, 5, 3), (0, 3, 4, 4), (0, 5, 3, 4), (0, 6, 5, 4)), artists=(
        Artist("Coin Slot", tempo=(132, 164), brightness=(0.4, 0.95), density=(0.5, 0.9),
               echo=(0.0, 0.0), loudness=(0.12, 0.2), parts=(
            Part(melody(pulse, (1,), (0.5, 0.5), (0.75, 0.25), (0.25,) * 4, low=67, high=88), 0.6),
            Part(arpeggio(pulse, "oooooooooooooooo", "o?o?o?o?o?o?o?o?",
                          low=60, length=0.25, voices=4), 0.3),
            Part(bass(triangle, "x.o.x.o.", "xoxoxoxo", "x..x..x.", low=36, length=0.5), 0.7),
            Part(beat(chip_noise, "o.?.x.?.", "o.o.x.o.", "o.xoo.x?"),
                 0.5, chance=0.9, pauses=True),
        )),
        Artist("Eight Lives", tempo=(100, 140), brightness=(0.05, 0.6), density=(0.3, 0.7),
               echo=(0.0, 0.3), loudness=(0.1, 0.17), parts=(
            Part(melody(pulse, (1,), (2,), (0.5, 0.5), (1.5, 0.5), low=60, high=81), 0.6),
            Part(comp(pulse, "o...o...", "..o...o.", "o.o.o.o.", low=55, length=0.4),
                 0.35, chance=0.7, pauses=True),
            Part(bass(triangle, "x...x...", "x.x.x.x.", "x..ox..o", low=38, length=0.9), 0.7),
            Part(beat(kick, "x...x..."), 0.5, chance=0.5),
            Part(beat(chip_noise, "..x...x."), 0.35, chance=0.7),
        )),
    )),
    Style("folk", metre=4, scales=(MAJOR, MAJOR, MIXOLYDIAN, DORIAN),
          progressions=((0, 3, 0, 4), (0, 4, 5, 3), (0, 0, 3, 4), (0, 6, 3, 0)), artists=(
        Artist("Hay and Rye", tempo=(96, 132), brightness=(0.4, 0.9), density=(0.3, 0.9),
               echo=(0.2, 0.6), loudness=(0.09, 0.16), looseness=0.008, parts=(
            Part(comp(string, "x.xo?oxo", "x.oox.oo", "x?xox?xo",
                      low=43, length=1, voices=5, strum=0.012), 0.8),
            Part(melody(flute, (1,), (0.5, 0.5), (1.5, 0.5), (2,), low=69, high=88),
                 0.35, chance=0.6, pauses=True),
            Part(beat(tambourine, "..x...x.", ".oxo.oxo"), 0.2, chance=0.5, pauses=True),
        )),
        Artist("Nell Corrigan", tempo=(72, 108), brightness=(0.15, 0.6), density=(0.4, 0.9),
               echo=(0.3, 0.9), loudness=(0.06, 0.13), looseness=0.012, rubato=0.05, parts=(
            Part(arpeggio(string, "xooooooo", "x?o?x?o?", "xoo?xoo?", low=48, length=1.5, voices=4),
                 0.7),
            Part(bass(string, "x...x...", "x.....o.", low=40, length=2), 0.6),
            Part(melody(string, (1,), (2,), (1.5, 0.5), (1, 1), low=64, high=81),
                 0.5, chance=0.6, pauses=True),
            Part(comp(pad, "o", low=55, length=4), 0.2, chance=0.3),
        )),
    )),
    Style("metal", metre=4, scales=(MINOR, PHRYGIAN, MINOR),
          progressions=((0, 0, 5, 6), (0, 1, 0, 4), (0, 5, 2, 6), (0, 0, 0, 1)), artists=(
        Artist("Iron Ledger", tempo=(146, 188), brightness=(0.5, 0.95), density=(0.4, 0.9),
               echo=(0.1, 0.4), loudness=(0.16, 0.26), looseness=0.003, parts=(
            Part(bass(power_chord, "xoo?xoo?xoo?xoo?", "x.ox.ox.x.ox.ox.", "xoxoxoxoxxoxoxxo",
                      low=38, length=0.25), 0.8),
            Part(beat(kick, "x.xxx.xxx.xxx.xx", "x...x...x...x...", "x.x.x.x.x.x.x.x."),
                 0.6, pauses=True),
            Part(beat(snare, "..x...x.", ".x.x.x.x"), 0.6),
            Part(beat(crash, "x...", "x.x."), 0.3, chance=0.8),
            Part(melody(lead_guitar, (0.5, 0.5), (0.25,) * 4, (1,), low=64, high=86),
                 0.3, chance=0.35),
        )),
        Artist("Slow Avalanche", tempo=(84, 116), brightness=(0.1, 0.6), density=(0.2, 0.6),
               echo=(0.3, 0.9), loudness=(0.14, 0.24), looseness=0.006, parts=(
            Part(bass(power_chord, "x...x...", "x.....x.", "x..x..x.", low=35, length=1.6), 0.8),
            Part(beat(kick, "x..?x.x.", "x...x?.."), 0.6),
            Part(beat(snare, "..x...x.", "....x..."), 0.6, pauses=True),
            Part(beat(crash, "xxxx", "x.x."), 0.25),
            Part(comp(pad, "x", low=55, length=4), 0.25, chance=0.3),
        )),
    )),
    Style("nocturne", metre=3, scales=(MAJOR, MINOR, MINOR),
          progressions=((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 0, 4), (0, 2, 3, 4)), artists=(
        Artist("Ada Lindqvist", tempo=(116, 160), brightness=(0.35, 0.8), density=(0.5, 0.9),
               echo=(0.4, 1.0), loudness=(0.05, 0.12), looseness=0.01, rubato=0.12, parts=(
            Part(bass(piano, "x..", low=36, length=2), 0.5),
            Part(comp(piano, ".oo", ".oo", ".o?", low=55, length=0.8), 0.35),
            Part(melody(piano, (1,), (2, 1), (0.5, 0.5), (3,), low=67, high=88), 0.7),
        )),
        Artist("Piotr Halasz", tempo=(60, 92), brightness=(0.05, 0.5), density=(0.3, 0.8),
               echo=(0.8, 1.8), loudness=(0.05, 0.1), looseness=0.015, rubato=0.2, parts=(
            Part(arpeggio(piano, "xooooo", "xo?oo?", low=43, length=2, voices=5), 0.5),
            Part(melody(piano, (1.5, 0.5, 1), (1,), (2,), (0.5, 0.5), low=64, high=84), 0.7),
            Part(comp(pad, "o", low=55, length=3), 0.2, chance=0.25),
        )),
    )),
    Style("swing", metre=4, scales=(MAJOR, DORIAN, MIXOLYDIAN),
          progressions=((1, 4, 0, 0), (0, 5, 1, 4), (0, 3, 0, 4), (2, 5, 1, 4)), artists=(
        Artist("The Corner Table Trio", tempo=(126, 176), brightness=(0.25, 0.7),
               density=(0.4, 0.8), echo=(0.3, 0.8), loudness=(0.08, 0.15), looseness=0.01, parts=(
            Part(walk(double_bass, low=33), 0.6),
            Part(beat(ride, "x..x.ox..x.o", "x..x..x..x.o"), 0.3),
            Part(comp(piano, "x....o......", ".....x......", "..x.....x..?",
                      low=52, length=0.8, voices=4), 0.4, pauses=True),
            Part(melody(piano, (SWUNG, 1 - SWUNG), (SWUNG, 1 - SWUNG), (1,), (2,), low=65, high=86),
                 0.55),
            Part(beat(brush, ".x.x"), 0.25, chance=0.6),
        )),
        Artist("Marlowe Blue", tempo=(92, 138), brightness=(0.1, 0.6), density=(0.3, 0.8),
               echo=(0.4, 1.0), loudness=(0.07, 0.13), looseness=0.012, parts=(
            Part(walk(double_bass, low=31), 0.6),
            Part(beat(brush, "oxox", "o.xoo.x."), 0.4),
            Part(melody(vibraphone, (SWUNG, 1 - SWUNG), (1,), (2,), (1, SWUNG, 1 - SWUNG),
                        low=62, high=84), 0.55),
            Part(comp(vibraphone, "x...", "x..?", low=55, length=1.5, voices=4),
                 0.3, chance=0.7, pauses=True),
            Part(beat(closed_hat, "...x.....x.."), 0.15, chance=0.5),
        )),
    )),
    Style("techno", metre=4, scales=(MINOR, PHRYGIAN, DORIAN),
          progressions=((0,), (0, 0, 0, 5), (0, 0, 3, 3), (0, 5)), artists=(
        Artist("Substation 4", tempo=(126, 138), brightness=(0.2, 0.6), density=(0.3, 0.7),
               echo=(0.2, 0.8), loudness=(0.14, 0.22), parts=(
            Part(beat(kick, "xxxx"), 0.9),
            Part(beat(closed_hat, "..x...x...x...x.", "o?x?o?x?o?x?o?x?"), 0.3),
            Part(bass(acid, "x?o?x?o?x?o?x?o?", "..oo..o?..oo..o?", low=33, length=0.22), 0.5),
            Part(beat(clap, ".x.x"), 0.3, chance=0.6, pauses=True),
            Part(comp(pad, "x", low=48, length=4), 0.25, chance=0.4),
        )),
        Artist("Glasshouse", tempo=(118, 130), brightness=(0.4, 0.9), density=(0.4, 0.8),
               echo=(0.3, 1.2), loudness=(0.12, 0.2), parts=(
            Part(beat(kick, "xxxx"), 0.9),
            Part(beat(open_hat, ".x.x.x.x"), 0.3, pauses=True),
            Part(comp(stab, "x..x..x.", "..x...x.", "x..x....", low=57, length=0.5, voices=4), 0.5),
            Part(bass(acid, ".x.x.x.x", "..x...x...x...x.", low=36, length=0.4), 0.5),
            Part(arpeggio(acid, "????????????????", low=60, length=0.25, voices=4),
                 0.3, chance=0.4),
        )),
    )),
)
