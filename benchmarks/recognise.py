"""True and false calls of `songmill similar FILE`, which says that a file is a known recording.

    python -m benchmarks.recognise

Recordings are cut, re-encoded or changed, and compared with the known ones as the command does:
once with their own track, which is to be found, and once without it and its copies, where each call
is false. It needs the recordings and tables next to the project:

- GTZAN: the recordings, against the published rows of 1,000 tracks;
- the demo collection, against its own rows;
- segments of published tracks without known faults, against those of the others, all of them or a
  random sample: false calls only.

The limits (:mod:`recommend.recognise`) were chosen with other cuts of GTZAN's recordings, the
demo, and every third published track. The published tracks here are others. Both halves, every
other recording, are shown: a difference would be a sign of limits that suit single recordings.
"""

import csv
import io
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.signal
import soundfile

from benchmarks.published import SHARED_DATA
from featurizer.errors import RecordingError
from featurizer.extract import extract
from featurizer.feature_set import feature_set
from jobs import defaults
from jobs.demo.collection import synthesise
from recommend.recognise import Call, distances
from recommend.vectors import unit
from training.scaling import ColumnSums

Rows = npt.NDArray[np.float64]

GTZAN = SHARED_DATA / "gtzan"
NAMES = feature_set("gtzan").names
CUTS_S = (10.0, 6.1, 3.05)
CUTS_PER_LENGTH = 2
SEED = 1
COUNTS = (1, 2, 3, 5, 10)
SAMPLES = (1000, 100, 20)
"""Known tracks that segments of published tracks are compared with."""


@dataclass
class Known:
    """The known recordings: their rows, and the owner of each segment, in playing order."""

    names: npt.NDArray[np.str_]
    tracks: Rows
    segments: Rows
    owners: npt.NDArray[np.int64]

    def without(self, removed: npt.NDArray[np.bool_]) -> "Known":
        """Return the recordings that are not removed."""
        new = np.cumsum(~removed) - 1
        kept = ~removed[self.owners]
        return Known(
            self.names[~removed],
            self.tracks[~removed],
            self.segments[kept],
            new[self.owners[kept]],
        )

    def cosines(self, track: Rows) -> Rows:
        """Return the cosines of a track with the known ones."""
        scaling = ColumnSums.of(self.tracks, NAMES).scaling()
        vectors = unit(scaling.z_scores(np.vstack([self.tracks, track])))
        cosines: Rows = vectors[:-1] @ vectors[-1]
        return cosines

    def call(self, track: Rows, segments: Rows) -> tuple[str, Call]:
        """Return the nearest recording of a file, and whether it is the same."""
        cosines = self.cosines(track)
        if cosines.max() >= defaults.DUPLICATE_COSINE or not len(segments):
            same = bool(cosines.max() >= defaults.DUPLICATE_COSINE)
            return str(self.names[cosines.argmax()]), "yes" if same else "no"
        scaling = ColumnSums.of(self.tracks, NAMES).scaling()
        found = distances(
            scaling.z_scores(segments),
            scaling.z_scores(self.segments),
            self.owners,
            len(self.names),
        )
        nearest = int(found.total.argmin())
        same_as_nearest = self.cosines(self.tracks[nearest]) >= defaults.DUPLICATE_COSINE
        return str(self.names[nearest]), found.call(same_as_nearest)


def published() -> Known:
    """Return the published rows of GTZAN."""
    tracks = pd.read_csv(GTZAN / "features_30_sec.csv").sort_values("filename")
    segments = pd.read_csv(GTZAN / "features_3_sec.csv")
    parts = segments["filename"].str.extract(r"(.*)\.(\d+)\.wav")
    names = tracks["filename"].str.removesuffix(".wav").to_numpy(str)
    owners = np.searchsorted(names, parts[0].to_numpy(str))
    order = np.lexsort((parts[1].astype(int), owners))
    rows = (frame[list(NAMES)].to_numpy(np.float64) for frame in (tracks, segments))
    of_tracks, of_segments = rows
    return Known(names, of_tracks, of_segments[order], owners[order])


def described(paths: Iterable[Path]) -> Known:
    """Return the rows of recordings."""
    rows = {path.stem: extract(path, sets=["gtzan"]).rows["gtzan"] for path in paths}
    return Known(
        np.array(list(rows)),
        np.array([one.track for one in rows.values()]),
        np.concatenate([one.segments for one in rows.values()]),
        np.repeat(np.arange(len(rows)), [len(one.segments) for one in rows.values()]),
    )


def mp3(y: Rows, rate: int, bit_rate: int) -> bytes:
    """Encode a signal with LAME."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as media:
        stream = media.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(
            np.round(y * 32767).astype(np.int16)[np.newaxis], "s16", "mono"
        )
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(
            stream.format, "mono", rate, frame_size=stream.codec_context.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            media.mux(stream.encode(part))
        media.mux(stream.encode(None))
    return file.getvalue()


def sndfile(y: Rows, rate: int, format: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Encode a signal with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(y, -1, 1), rate, format=format, subtype=subtype)
    return file.getvalue()


def changed(y: Rows, rate: int, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield what was done to a signal, and the encoded result."""

    def cut(seconds: float) -> Rows:
        n = int(seconds * rate)
        start = random.integers(0, len(y) - n)
        return y[start : start + n]

    yield "MP3, 64 kbit/s", mp3(y, rate, 64_000)
    yield "Ogg Vorbis", sndfile(y, rate, "OGG", "VORBIS")
    yield "resampled to 16 kHz", sndfile(scipy.signal.resample_poly(y, 16_000, rate), 16_000)
    yield "12 dB less", sndfile(y / 4, rate)
    ends = (random.uniform(0.5, 2, size=2) * rate).astype(int)
    yield "0.5 to 2 s cut off both ends", sndfile(y[ends[0] : -ends[1]], rate)
    for seconds in CUTS_S:
        if len(y) > (seconds + 1) * rate:
            for _ in range(CUTS_PER_LENGTH):
                yield f"cut of {seconds:.0f} s", sndfile(cut(seconds), rate)
    if len(y) > (CUTS_S[0] + 1) * rate:
        yield "cut of 10 s, MP3, 64 kbit/s", mp3(cut(CUTS_S[0]), rate, 64_000)
    yield "cut of 3 s, MP3, 128 kbit/s", mp3(cut(CUTS_S[-1]), rate, 128_000)


Counts = dict[tuple[str, int], Counter[str]]
"""Calls by what was done and by the half of the recordings."""


def recordings(known: Known, paths: list[Path]) -> tuple[Counts, Counts]:
    """Return the calls of recordings, with and without their own tracks among the known ones."""
    found: Counts = defaultdict(Counter)
    false: Counts = defaultdict(Counter)
    for i, path in enumerate(paths):
        y, rate = soundfile.read(path)
        y = y if y.ndim == 1 else y.mean(axis=1)
        own = known.names == path.stem
        copies = known.cosines(known.tracks[own][0]) >= defaults.DUPLICATE_COSINE
        others = known.without(copies)
        for what, content in changed(y, rate, np.random.default_rng((SEED, i))):
            rows = extract(io.BytesIO(content), sets=["gtzan"]).rows["gtzan"]
            assert rows.track is not None
            track, segments = rows.track.astype(float), rows.segments.astype(float)
            name, call = known.call(track, segments)
            is_right = name in known.names[copies]
            found[what, i % 2]["wrong" if call != "no" and not is_right else call] += 1
            false[what, i % 2][others.call(track, segments)[1]] += 1
    return found, false


def print_calls(title: str, found: Counts, false: Counts) -> None:
    """Print a table of calls."""
    print(f"\n{title}\n")
    print("| | own track found: yes + perhaps, first half | second half |", end=" ")
    print("another track named | own track not there: yes + perhaps |")
    print("|---|---|---|---|---|")
    for what in [*dict.fromkeys(what for what, _ in found), "all"]:
        halves = [
            sum(
                (found[key] for key in list(found) if key[1] == half and what in (key[0], "all")),
                Counter(),
            )
            for half in (0, 1)
        ]
        foreign = sum((false[key] for key in list(false) if what in (key[0], "all")), Counter())
        cells = [f"{one['yes']} + {one['perhaps']} of {one.total()}" for one in (*halves, foreign)]
        wrong = sum(one["wrong"] for one in halves)
        print(f"| {what} | {cells[0]} | {cells[1]} | {wrong} | {cells[2]} |", flush=True)


def print_foreign(known: Known) -> None:
    """Print the false calls of published segments against those of other tracks."""
    with open(GTZAN / "splits" / "fault_filtered.csv", encoding="utf-8") as file:
        without_fault = [line["track_id"] for line in csv.DictReader(file)]
    known = known.without(~np.isin(known.names, without_fault))
    print("\n| segments | " + " | ".join(f"{n:,} known tracks" for n in SAMPLES) + " |")
    print("|---" * (len(SAMPLES) + 1) + "|")
    random = np.random.default_rng(SEED)
    calls: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for own in range(1, len(known.names), 3):
        segments = known.segments[known.owners == own]
        for sample in SAMPLES:
            others = np.delete(np.arange(len(known.names)), own)
            kept = random.permutation(others)[:sample]
            among = known.without(~np.isin(np.arange(len(known.names)), kept))
            for count in COUNTS:
                start = random.integers(0, max(len(segments) - count, 0) + 1)
                part = segments[start : start + count]
                calls[count, sample][among.call(part.mean(axis=0), part)[1]] += 1
    for count in COUNTS:
        cells = [calls[count, sample] for sample in SAMPLES]
        shown = [f"{one['yes']} + {one['perhaps']} of {one.total()}" for one in cells]
        print(f"| {count} | {' | '.join(shown)} |", flush=True)


def is_readable(path: Path) -> bool:
    """Return whether a recording can be analysed."""
    try:
        extract(path, sets=["gtzan"])
    except RecordingError:
        return False
    return True


def main() -> None:
    """Print the tables."""
    known = published()
    paths = sorted((GTZAN / "genres_original").glob("*/*.*"))
    print_calls("GTZAN", *recordings(known, list(filter(is_readable, paths))))
    with tempfile.TemporaryDirectory() as folder:
        synthesise(Path(folder))
        paths = list(filter(is_readable, sorted(Path(folder).glob("*/*.*"))))
        print_calls("Demo", *recordings(described(paths), paths))
    print("\nSegments of published tracks: false calls, yes + perhaps")
    print_foreign(known)


if __name__ == "__main__":
    main()
