"""Time of a night after one recording has been added, and of a night without a change.

    python -m benchmarks.nights [COUNT]

A store knows COUNT files (100,000 by default) in ten folders, their labels, with random features
that are as correlated as those of recordings. A first night computes everything. Then a recording
is added, and the stages of the second night are timed. Nothing changes before the third night. All
nights run on two workers.
"""

import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.planning import ROWS_PER_PART, make_store
from featurizer.extract import extract
from featurizer.feature_set import feature_set
from jobs.inputs.listing import list_sources
from jobs.nightly.run import run
from jobs.store.address import storage_of
from jobs.store.schemas import TRACK, TRACKS

GTZAN = feature_set("gtzan")

LABELS = 10
FACTORS = 16
"""Independent factors of the features: 16 components hold most of the variance of recordings."""

WORKERS = 2


def make_files(music: Path, count: int) -> None:
    """Create empty files, which songmill does not read because the store knows them."""
    for label in range(LABELS):
        (music / f"label{label}").mkdir(parents=True)
    for i in range(count):
        (music / f"label{i % LABELS}" / f"{i:07d}.wav").touch()


def replace_features(root: str, tracks: list[str], typical: np.ndarray) -> None:
    """Write correlated features of tracks around ``typical`` ones, in place of independent ones."""
    mixing = np.random.default_rng(0).normal(size=(FACTORS, len(GTZAN.names)))
    centres = np.random.default_rng(1).normal(size=(LABELS, FACTORS))
    random = np.random.default_rng(2)
    for start in range(0, len(tracks), ROWS_PER_PART):
        names = tracks[start : start + ROWS_PER_PART]
        labels = [name.split("/")[0] for name in names]
        factors = random.normal(size=(len(names), FACTORS))
        factors += centres[[int(label.removeprefix("label")) for label in labels]]
        features = factors @ mixing + 0.3 * random.normal(size=(len(names), len(GTZAN.names)))
        features = typical * (1 + features / 10)
        columns = {"track_id": names, "label": labels, "length": np.full(len(names), 44_100)}
        columns |= dict(zip(GTZAN.names, features.T, strict=True))
        rows = pa.table({name: columns[name] for name in TRACK.names}, schema=TRACK)
        storage_of(root).write_table(f"{TRACKS}/part-{start}.parquet", rows)


def write_recording(path: Path) -> None:
    """Write two seconds of noise, which are too short for a segment."""
    samples = np.random.default_rng(3).normal(scale=3000, size=44_100)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(samples.astype("<i2").tobytes())


def time_night(root: str, music: Path) -> None:
    """Run a night, and print the seconds of its stages."""
    found = run([str(music)], store=root, workers=WORKERS, features="gtzan", model="lda")
    for stage in found.stages:
        print(f"  {stage.stage:<12}{stage.outcome:<9}{stage.seconds:9.1f} s  {stage.message}")
    print(f"  {found.outcome} in {found.seconds:.1f} s", flush=True)


def main(count: int) -> None:
    """Time three nights of a store of ``count`` tracks."""
    with tempfile.TemporaryDirectory() as folder:
        root, music = f"{folder}/store", Path(folder) / "music"
        make_files(music, count)
        known = list(list_sources([str(music)]).recordings())
        make_store(root, known)
        recording = Path(folder) / "new.wav"
        write_recording(recording)
        typical = extract(recording, sets=["gtzan"]).rows["gtzan"].track
        assert typical is not None
        replace_features(root, [one.track_id for one in known], typical)
        del known
        print(f"{count:,} tracks, the first night:")
        time_night(root, music)
        recording.rename(music / "label0" / "new.wav")
        print("One recording added, the second night:")
        time_night(root, music)
        print("Nothing changed, the third night:")
        time_night(root, music)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
