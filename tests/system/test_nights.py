"""Nightly runs with real processes: each updates the tables as if made from scratch."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.cluster_processes import Processes, processes, wait_until
from support.recordings import LABELS, collection, play, tables

from jobs.learning.registry import champion
from jobs.store.lock import LOCK
from jobs.store.tables import open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path / "processes") as found:
        found.start_cluster(1)
        yield found


def night(started: Processes, music: Path, store: Path, *options: str, code: int = 0) -> Any:
    where = ["--store", store, "--scheduler", started.scheduler_file]
    line = ["run", music, *where, "--segment-seconds", "1", "--json"]
    result = started.songmill(*line, "--max-failed", "0.2", "--neighbours", "5", *options).wait(240)
    assert result.code == code, result
    result.assert_quiet()
    return result.outcome


def stages(found: Any) -> dict[str, str]:
    return {one["stage"].split(" ")[0]: one["outcome"] for one in found["stages"]}


def test_three_nights(started: Processes, tmp_path: Path) -> None:
    music, store, export = tmp_path / "music", tmp_path / "store", tmp_path / "near.csv"
    options = ("--export", f"similarity={export}")
    collection(music)
    first = night(started, music, store, *options)
    assert set(stages(first).values()) == {"done"}
    assert first["stages"][0]["details"]["extracted"] == 24

    # New, changed, removed and corrupt files.
    play(music / "hum" / "new.wav", "hum", 100)
    play(music / "hiss" / "01.wav", "hiss", 101)
    (music / "pulse" / "02.wav").unlink()
    (music / "hum" / "corrupt.wav").write_bytes(b"RIFF and no more")
    second = night(started, music, store, *options)
    details = second["stages"][0]["details"]
    counts = {name: details[name] for name in ("new", "changed", "gone", "extracted", "failed")}
    assert counts == {"new": 2, "changed": 1, "gone": 1, "extracted": 2, "failed": 1}
    assert set(stages(second).values()) == {"done"}
    fresh = tmp_path / "fresh"
    for only in ("extract", "similarity"):
        night(started, music, fresh, "--only", only)
    for name, expected in tables(fresh).items():
        pd.testing.assert_frame_equal(tables(store)[name], expected, obj=name)
    assert len(pd.read_csv(export)) == 24 * 5
    before = champion(open_store(str(store)))

    # The corrupt file fails again.
    again = night(started, music, store, *options, "--retry-failed", "--max-failed", "0")
    assert again["stages"][0]["details"]["failed"] == 1
    assert list(stages(again).values()) == ["done", *["skipped"] * 5]

    # Random labels make a worse model, which does not replace the champion.
    tracks = sorted(pd.read_parquet(store / "features/level=track")["track_id"])
    shuffled = np.random.default_rng(3).permutation([LABELS[i % 3] for i in range(len(tracks))])
    labels = tmp_path / "shuffled.csv"
    pd.DataFrame({"track_id": tracks, "label": shuffled}).to_csv(labels, index=False)
    third = night(started, music, store, *options, "--labels", str(labels))
    assert third["stages"][0]["details"]["extracted"] == 0
    assert stages(third)["train"] == "done"
    assert not third["stages"][1]["details"]["promoted"], third["stages"][1]["message"]
    assert champion(open_store(str(store))) == before
    runs = pd.read_parquet(store / "runs")
    for found in (first, second, third):
        mine = runs[runs["run_id"] == found["run_id"]].sort_values("started_at")
        names = [one["stage"].split(" ")[0] for one in found["stages"]]
        assert mine["stage"].tolist() == names

    # A mount that is gone.
    known = tables(store)
    for path in (music / "hum").iterdir():
        path.unlink()
    lost = night(started, music, store, *options, code=3)
    assert lost["outcome"] == "too-many-gone"
    assert f"Without recordings now: {music / 'hum'}. " in lost["message"]
    assert list(stages(lost).values()) == ["failed", *["not run"] * 5]
    for name, expected in known.items():
        pd.testing.assert_frame_equal(tables(store)[name], expected, obj=name)


@pytest.mark.storm
def test_a_run_that_is_ended_or_killed_is_completed_by_the_next(
    started: Processes, tmp_path: Path
) -> None:
    music, store = tmp_path / "music", tmp_path / "store"
    collection(music)
    line = ["run", music, "--store", store, "--workers", "1", "--segment-seconds", "1", "--json"]
    job = started.songmill(*line, "--log-format", "json")
    wait_until((store / LOCK).exists, what="the lock")
    second = started.songmill(*line).wait(60)
    assert second.code == 1
    assert "another run is at work on the store" in second.outcome["message"]
    assert second.seconds < 20

    training = store / "_work" / "train"
    wait_until(training.exists, what="the training", seconds=120)
    os.kill(job.process.pid, signal.SIGTERM)
    result = job.wait(60)
    assert result.code == 143
    found = json.loads(result.out)
    assert found["outcome"] == "interrupted"
    assert [one["outcome"] for one in found["stages"]] == [
        "done",
        "interrupted",
        *["not run"] * 3,
    ]
    assert {json.loads(line)["run_id"] for line in result.err.splitlines()} == {found["run_id"]}
    assert not (store / LOCK).exists()
    runs = pd.read_parquet(store / "runs").sort_values("started_at")
    assert runs["outcome"].tolist() == ["done", "interrupted"]

    assert not training.exists()
    job = started.songmill(*line)
    wait_until(training.exists, what="the training", seconds=120)
    job.kill()
    assert (store / LOCK).exists()
    result = started.songmill(*line).wait(240)
    assert result.code == 0, result
    again = result.outcome
    assert again["stages"][0]["details"]["unchanged"] == 24
    assert set(stages(again).values()) == {"done"}
