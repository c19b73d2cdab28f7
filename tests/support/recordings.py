"""Collections of synthetic recordings, and the tables of a run on them."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from support.cluster_processes import TABLES, VOLATILE, sorted_tables

LABELS = ("hum", "hiss", "pulse")

KEYS = {
    **TABLES,
    "similarity": ["track_id", "rank"],
    "duplicates": ["track_id", "duplicate_id"],
}


def write_recording(path: Path, seed: int) -> None:
    """Write 1 to 3 seconds of partials and noise, different for every seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(22050 * rng.uniform(1.1, 3.2))) / 22050
    y = 0.05 * rng.standard_normal(len(t))
    for frequency in rng.uniform(80, 4000, 4):
        y += 0.15 * np.sin(2 * np.pi * frequency * t) * (1 + np.sin(2 * np.pi * t * seed % 7))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.4 * y, 22050, subtype="PCM_16")


def make_collection(folder: Path, count: int, seed: int = 0) -> Path:
    """Write ``count`` recordings into three folders, one per label."""
    for i in range(count):
        write_recording(folder / f"style{i % 3}" / f"take{i:03d}.wav", seed + i)
    return folder


def play(path: Path, label: str, seed: int, seconds: float = 4) -> None:
    """Write a recording in the style of a label, by default of four seconds."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 22050)) / 22050
    hum = np.sin(2 * np.pi * rng.uniform(80, 300) * t)
    hiss = rng.normal(size=len(t))
    y = {"hum": hum, "hiss": hiss, "pulse": hiss * (t % rng.uniform(0.2, 0.5) < 0.03)}[label]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.2 * y + 0.01 * rng.normal(size=len(t)), 22050)


def collection(folder: Path, of_each: int = 8, long: int = 0) -> None:
    """Write recordings of each label, of which the first ``long`` ones have all feature sets."""
    for i, label in enumerate(LABELS * of_each):
        play(folder / label / f"{i:02}.wav", label, i, seconds=10.3 if i < long else 4)


def tables(store: Path) -> dict[str, pd.DataFrame]:
    return sorted_tables(lambda name: pd.read_parquet(store / name), KEYS, [*VOLATILE, "level"])
