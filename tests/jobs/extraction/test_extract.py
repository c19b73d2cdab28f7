"""The extraction job end to end: real files, a real cluster, and a store read by other software."""

import functools
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import dask.dataframe
import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import soundfile
from mutagen.flac import FLAC
from rich.console import Console
from support.cluster_processes import assert_equal_tables, tables
from support.damaged_json import DAMAGED_JSON
from support.made_stores import make_store, put
from support.read_in_a_loop import READERS
from threadpoolctl import threadpool_limits

import jobs.extraction.extract
import jobs.extraction.survey
import jobs.store.commit
from compiling import machine_code
from featurizer.extract import extract as extract_features
from featurizer.feature_set import feature_set
from jobs.cluster.connect import scheduler_address
from jobs.errors import ClusterError, UsageError
from jobs.extraction.extract import Outcome, extract
from jobs.extraction.plan import Group, Plan, make_groups
from jobs.inputs.listing import list_sources
from jobs.inputs.sources import Paths, SourceFile
from jobs.progress import Progress, printable
from jobs.reporting.status import read_status
from jobs.stage import Session
from jobs.store import commit
from jobs.store.address import lock_of
from jobs.store.manifest import MANIFEST
from jobs.store.schemas import FILES, SEGMENTS, TAG, TAGS, TRACKS
from jobs.store.tables import open_store

GTZAN = feature_set("gtzan")

MUSIC, STORE = Path("music"), Path("store")
SR = 22050

Run = Callable[..., Outcome]


def table(name: str, store: Path = STORE) -> pd.DataFrame:
    """Read a table with PyArrow alone, sorted by its unique keys."""
    frame = pyarrow.dataset.dataset(store / name).to_table().to_pandas()
    keys = [key for key in ("track_id", "segment") if key in frame]
    frame = frame.sort_values(keys or ["started_at"]).reset_index(drop=True)
    assert not keys or not frame[keys].duplicated().any()
    return frame


def all_tracks() -> list[str]:
    return list(table(TRACKS)["track_id"])


def all_labels() -> dict[str, str | None]:
    """The labels of tracks; those of segments must be equal."""
    tracks, segments = (
        pyarrow.dataset.dataset(STORE / name).to_table(["track_id", "label"]).to_pylist()
        for name in (TRACKS, SEGMENTS)
    )
    assert all(segment in tracks for segment in segments)
    return {track["track_id"]: track["label"] for track in tracks}


def extraction_times(store: Path = STORE) -> dict[str, Any]:
    """Time of the last extraction of each file."""
    return table("files", store).set_index("track_id")["extracted_at"].to_dict()


def clip(path: Path, seed: int = 0, seconds: float = 0.4, sr: int = SR) -> None:
    """Write a tone in noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * sr)) / sr
    y = 0.3 * np.sin(2 * np.pi * (220 + 20 * seed) * t) + 0.05 * rng.standard_normal(len(t))
    soundfile.write(path, y, sr)


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six clips of two styles, and a file that is not a recording, in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        clip(MUSIC / f"blues/{i}.wav", i)
        clip(MUSIC / f"rock/{i}.wav", 10 + i)
    (MUSIC / "rock/bad.wav").write_text("not a recording")


def job(sources: Paths = MUSIC, store: Path = STORE, **options: Any) -> Outcome:
    quick: dict[str, Any] = {"features": "gtzan", "segment_seconds": 0.1, "max_failed": 1.0}
    quick["progress"] = Progress(Console(file=io.StringIO()))
    return extract(sources, store=str(store), **quick | options)


@pytest.fixture
def run(music: None, in_process_cluster: str) -> Run:
    """Run the job on a running cluster."""
    return functools.partial(job, scheduler=in_process_cluster)


@pytest.fixture
def without_cluster(music: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a job that must not need a cluster."""
    connect = Mock(side_effect=AssertionError("a cluster was asked for"))

    def run_job(sources: Paths = MUSIC, **options: Any) -> Outcome:
        with monkeypatch.context() as patch:
            patch.setattr(jobs.stage, "connect", connect)
            outcome = job(sources, **options)
        assert outcome.extracted == outcome.failed == 0
        return outcome

    return run_job


# The published tracks


@pytest.mark.slow
def test_rows_of_published_recordings_are_the_featurizers(shared_data: Path, run: Run) -> None:
    # tests/featurizer/test_published.py compares those with the published tables.
    collection = shared_data / "gtzan/genres_original"
    outcome = run([collection / "jazz", collection / "reggae"], segment_seconds=3.0)
    names = sorted([*os.listdir(collection / "jazz"), *os.listdir(collection / "reggae")])
    assert outcome.failures == {"unreadable": 1}, "jazz.00054.wav is no recording"
    names.remove("jazz.00054.wav")
    assert (outcome.extracted, all_tracks()) == (len(names), names)

    tracks, segments = table(TRACKS), table(SEGMENTS)
    columns = ["length", *GTZAN.names]
    assert list(tracks.columns) == ["track_id", "label", *columns]
    assert list(segments.columns) == ["track_id", "label", "segment", "start_s", *columns]
    assert np.array_equal(segments["start_s"], segments["segment"] * 3.0)
    assert all_labels() == {name: name.partition(".")[0] for name in names}
    for name in names[::3]:
        with threadpool_limits(1):  # as in a worker: sums differ in their last bits otherwise
            found = extract_features(str(collection / name.partition(".")[0] / name))
        rows = found.rows["gtzan"]
        for frame, expected in ((tracks, [rows.track]), (segments, rows.segments)):
            rows = frame[frame["track_id"] == name]
            assert np.array_equal(rows[list(GTZAN.names)].to_numpy(), expected)


# Long recordings


def test_recordings_that_two_workers_share_have_the_same_rows(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    long: list[bool] = []

    def noticed(recordings: list[SourceFile], threads: int) -> Iterator[Group]:
        for group in make_groups(recordings, threads):
            long.append(group.is_long)
            yield group

    monkeypatch.setattr(jobs.extraction.extract, "make_groups", noticed)
    monkeypatch.setattr(jobs.extraction.plan, "LONG_S", 0.1)
    shared = Path("shared")
    run(store=shared)
    assert any(long)
    assert_equal_tables(shared, tables(STORE))


# Corrupt files

WEIRD = "two\nlines 'single' \"double\" \N{GUITAR} [red]"

CORRUPT = {
    **dict.fromkeys(["headerless.wav", "text.wav", "x.wav", "pipe.wav"], "unreadable"),
    **dict.fromkeys(["empty.wav", f"{WEIRD}.flac", r"caf\xe9.wav"], "empty"),
    **dict.fromkeys(["nan.wav", "infinite.wav"], "not-finite"),
    **{"short.wav": "too-short", "dangling.wav": "vanished", "secret.wav": "forbidden"},
}
"""Files that fail, by kind of failure."""

SOUND = [
    *("constant.wav", "eighth.wav", "good.flac", "good.wav", "khz-192.wav", "khz-8.wav"),
    *("promises.wav", "silence.wav", f"{WEIRD}.wav", r"na\xefve.wav"),
]
"""Files that give rows."""

EITHER = ["cut.flac", "cut.mp3"]
"""Files that give rows or are unreadable, depending on the decoder."""


def make_zoo(folder: Path) -> None:
    rng = np.random.default_rng(0)
    # Whole numbers, which every lossless format keeps.
    second = (6000 * rng.standard_normal(SR).clip(-4, 4)).astype(np.int16)
    good = np.tile(second, 2)
    folder.mkdir()
    for name in ("good.wav", "good.flac", f"{WEIRD}.wav", "secret.wav"):
        soundfile.write(folder / name, good, SR)
    shutil.copy(folder / "good.wav", os.fsencode(folder) + b"/na\xefve.wav")
    (folder / "secret.wav").chmod(0)
    (folder / "headerless.wav").write_bytes(second.tobytes())
    (folder / "empty.wav").write_bytes(b"")
    (folder / f"{WEIRD}.flac").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav")).write_bytes(b"")
    (folder / "text.wav").write_text("Dear diary,\ntoday I renamed a text.\n" * 50)
    soundfile.write(folder / "short.wav", good[:1024], SR)
    soundfile.write(folder / "silence.wav", np.zeros(SR), SR)
    soundfile.write(folder / "constant.wav", np.full(SR, 0.25), SR)
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        bad = good / 32768
        bad[1000] = value
        soundfile.write(folder / f"{name}.wav", bad, SR, subtype="FLOAT")
    eight = np.zeros((SR, 8), np.int16)
    eight[:, 3] = second
    soundfile.write(folder / "eighth.wav", eight, SR)
    soundfile.write(folder / "khz-8.wav", good, 8000)
    soundfile.write(folder / "khz-192.wav", np.tile(good, 10), 192000)
    for name in ("cut.flac", "cut.mp3", "promises.wav"):
        soundfile.write(folder / name, np.tile(good, 5), SR)
        os.truncate(folder / name, (folder / name).stat().st_size // 2)
    (folder / "x.wav").mkdir()
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    os.mkfifo(folder / "pipe.wav")


# Drops root's capability to ignore permissions.
_BOUND = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


def songmill(*arguments: object) -> tuple[int, str, str]:
    """Run the real command as a user whom permissions bind."""
    command = [sys.executable, "-m", "songmill", *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, "-c", _BOUND, *command],
        capture_output=True,
        check=False,
        timeout=240,
        env={name: value for name, value in os.environ.items() if name != "DASK_SCHEDULER_ADDRESS"},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


Zoo = tuple[Path, tuple[int, str, str]]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """A store of the corrupt files, and the result of the command that made it."""
    folder = tmp_path_factory.mktemp("zoo")
    make_zoo(folder / "music")
    ended = songmill(
        *("extract", folder / "music", "--store", folder / "store", "--labels", "none"),
        *("--features", "gtzan", "--segment-seconds", "0.5", "--workers", "2", "--json"),
    )
    yield folder, ended
    (folder / "music/secret.wav").chmod(0o600)


@pytest.mark.slow
def test_corrupt_files_cost_no_other_file_and_end_with_3_and_a_quiet_log(zoo: Zoo) -> None:
    folder, (code, out, err) = zoo
    assert code == 3, err
    found = json.loads(out)
    assert out.count("\n") == 1
    rows = table("files", folder / "store").set_index("track_id")
    assert set(rows.index) == {*CORRUPT, *SOUND, *EITHER}
    failed = rows[rows["status"] == "failed"]["error"].to_dict()
    expected = dict(CORRUPT)
    if "secret.wav" not in failed:  # where root may not drop its capabilities
        del expected["secret.wav"]
    assert {t: kind for t, kind in failed.items() if t not in EITHER} == expected
    assert {failed.get(track) for track in EITHER} <= {None, "unreadable"}
    assert rows.loc[[*failed], "message"].str.len().min() > 10

    good = sorted(set(rows.index) - set(failed))
    for name in (TRACKS, SEGMENTS):
        frame = table(name, folder / "store")
        assert np.isfinite(frame[list(GTZAN.names)].to_numpy()).all()
        assert sorted(set(frame["track_id"])) == good
    assert (found["listed"], found["extracted"]) == (len(rows), len(good))
    assert (found["failed"], found["failed_in_all"]) == (len(failed), len(failed))
    assert sum(found["failures"].values()) == len(failed)
    assert found["outcome"] == "too-many-failed"
    assert f"{len(failed)} of {len(rows)} files" in found["message"]

    lines = [re.sub(r"^\d{4}-\S+Z \S+ ", "", line) for line in err.splitlines()]
    messages = (f"warning: {t}: {kind}: {rows.loc[t, 'message']}" for t, kind in failed.items())
    named = set(map(printable, messages))
    assert named <= set(lines)
    others = "\n".join(line for line in lines if line not in named)
    for word in ("Traceback", "Error", "distributed", "[0m", "\x1b"):
        assert word not in others
    assert lines[-1].startswith("songmill: ")
    assert "--max-failed 0.1" in lines[-1]
    assert len(others.splitlines()) < 10
    assert f"{len(rows)} files: {len(rows)} new, 0 changed" in err


@pytest.mark.slow
def test_facts_of_unusual_files_are_recorded(zoo: Zoo) -> None:
    rows = table("files", zoo[0] / "store").set_index("track_id")
    facts = rows.loc[SOUND, ["duration_s", "sample_rate", "channels"]].to_dict("index")
    assert facts["good.wav"] == {"duration_s": 2.0, "sample_rate": SR, "channels": 1}
    assert facts["eighth.wav"] == {"duration_s": 1.0, "sample_rate": SR, "channels": 8}
    assert facts["khz-8.wav"] == {"duration_s": 5.5125, "sample_rate": 8000, "channels": 1}
    assert facts["khz-192.wav"]["sample_rate"] == 192000
    assert "promises" in rows.loc["promises.wav", "message"]
    assert pd.isna(rows.loc["good.wav", "message"])
    # One recording in two formats and under three names.
    tracks = table(TRACKS, zoo[0] / "store").set_index("track_id")[list(GTZAN.names)]
    for twin in ("good.flac", f"{WEIRD}.wav", r"na\xefve.wav"):
        assert tracks.loc[twin].equals(tracks.loc["good.wav"])


@pytest.mark.slow
def test_corrupt_files_are_listed_in_a_line_each(zoo: Zoo) -> None:
    folder, _ = zoo
    code, out, err = songmill("status", "--store", folder / "store", "--failed")
    assert (code, err) == (0, "")
    failed = read_status(str(folder / "store")).failed_files
    heading, columns, *lines = out.splitlines()
    assert heading == f"{len(failed)} files failed:"
    assert columns.split() == ["track", "failure", "why"]
    for row, line in zip(failed, lines, strict=True):
        track = row["track_id"].replace("\n", r"\n")
        assert re.fullmatch(rf"{re.escape(track)} +{row['error']} +[A-Z].*\. *", line)
    code, out, _ = songmill("status", "--store", folder / "store")
    assert code == 0
    assert "too-many-failed" in out


@pytest.mark.slow
def test_corrupt_files_are_not_tried_again_and_may_be_allowed(zoo: Zoo) -> None:
    folder, _ = zoo
    before = extraction_times(folder / "store")
    options = ("extract", folder / "music", "--store", folder / "store", "--features", "gtzan")
    options += ("--segment-seconds", "0.5")
    code, out, err = songmill(*options, "--labels", "none", "--max-failed", "1", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["extracted"], found["failed"], found["workers"]) == (0, 0, 0)
    assert found["failed_in_all"] >= 10
    code, out, err = songmill(*options, "--labels", "none")
    assert code == 0, "a run is not judged by files that it did not try"
    assert "nothing to extract" in out
    assert f"{found['failed_in_all']} in earlier runs" in out
    assert extraction_times(folder / "store") == before


@pytest.mark.slow
def test_a_file_that_vanishes_after_planning_costs_no_other(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_plan = jobs.extraction.survey.make_plan

    def late(*arguments: Any, **options: Any) -> Plan:
        plan = make_plan(*arguments, **options)
        (MUSIC / "blues/1.wav").unlink()
        clip(MUSIC / "blues/2.wav", 50, seconds=0.6)
        return plan

    with monkeypatch.context() as patch:
        patch.setattr(jobs.extraction.survey, "make_plan", late)
        outcome = run()
    assert (outcome.extracted, outcome.failures) == (5, {"vanished": 1, "unreadable": 1})
    files = table("files").set_index("track_id")
    assert files.loc["blues/1.wav", "error"] == "vanished"
    assert files.loc["blues/2.wav", "duration_s"] == pytest.approx(0.6, abs=1e-3)
    # The changed file is known as it was extracted; the other one is gone.
    outcome = run()
    assert (outcome.unchanged, outcome.gone, outcome.extracted) == (6, 1, 0)
    assert "blues/1.wav" not in extraction_times()


# Runs after the first


@pytest.mark.slow
def test_a_run_without_changes_starts_no_cluster(run: Run, without_cluster: Run) -> None:
    first = run()
    assert (first.new, first.extracted, first.failures) == (7, 6, {"unreadable": 1})
    parts = {path: path.read_bytes() for path in STORE.glob("f*/**/*.parquet")}
    second = without_cluster()
    assert (second.listed, second.unchanged, second.new, second.changed) == (7, 7, 0, 0)
    assert {path: path.read_bytes() for path in STORE.glob("f*/**/*.parquet")} == parts
    runs = table("runs")
    assert list(runs["extracted"]) == [6, 0]
    assert list(runs["unchanged"]) == [0, 7]
    assert list(runs["workers"]) == [2, 0]
    assert set(runs["outcome"]) == {"done"}
    assert runs["run_id"].is_unique


def test_folders_that_look_like_albums_are_pointed_out(run: Run, tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"albums/CD{i}").mkdir(parents=True)
        (tmp_path / f"albums/CD{i}/1.wav").touch()
    for labels, warned in (("parent", True), ("none", False)):
        log = io.StringIO()
        run(tmp_path / "albums", labels=labels, progress=Progress(Console(file=log, width=500)))
        assert ("most of the 20 labels have fewer than 20 tracks" in log.getvalue()) == warned


@pytest.mark.slow
def test_only_new_changed_and_touched_files_are_extracted(run: Run) -> None:
    run()
    before, tracks = extraction_times(), table(TRACKS).set_index("track_id")
    clip(MUSIC / "blues/0.wav", 99)
    clip(MUSIC / "rock/new.wav", 98)
    (MUSIC / "rock/2.wav").unlink()
    os.utime(MUSIC / "rock/1.wav", ns=(0, 1_600_000_000_000_001_000))
    outcome = run()
    assert (outcome.new, outcome.changed, outcome.gone, outcome.unchanged) == (1, 2, 1, 4)
    assert (outcome.extracted, outcome.failed) == (3, 0)
    after = extraction_times()
    worked_on = {track for track in after if after[track] != before.get(track)}
    assert worked_on == {"blues/0.wav", "rock/1.wav", "rock/new.wav"}
    assert set(before) - set(after) == {"rock/2.wav"}
    now = table(TRACKS).set_index("track_id")
    assert set(now.index) == {*(f"blues/{i}.wav" for i in range(3)), *now.index[3:]}
    assert list(now.index[3:]) == ["rock/0.wav", "rock/1.wav", "rock/new.wav"]
    assert now.loc[["blues/1.wav", "rock/1.wav"]].equals(tracks.loc[["blues/1.wav", "rock/1.wav"]])
    assert not now.loc["blues/0.wav"].equals(tracks.loc["blues/0.wav"])
    assert set(table(SEGMENTS)["track_id"]) == set(now.index)


@pytest.mark.slow
def test_a_long_run_commits_new_files_on_its_way_and_replaces_others_at_its_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    old = table(TRACKS).set_index("track_id")["rms_mean"].to_dict()
    for i in range(3):
        clip(MUSIC / f"blues/{i}.wav", 60 + i)
        clip(MUSIC / f"rock/{i}.wav", 70 + i)
        clip(MUSIC / f"jazz/{i}.wav", 80 + i)
    seen: list[dict[str, float]] = []
    commit = jobs.store.commit.commit

    def watched(*arguments: Any) -> None:
        commit(*arguments)
        seen.append(table(TRACKS).set_index("track_id")["rms_mean"].to_dict())

    monkeypatch.setattr(jobs.store.commit, "PART_ROWS", 5)
    monkeypatch.setattr(jobs.store.commit, "commit", watched)
    outcome = run()
    assert (outcome.new, outcome.changed, outcome.extracted) == (3, 6, 9)
    assert len(seen) >= 3
    for tracks in seen[:-1]:
        assert {track: tracks[track] for track in old} == old
    counts = [len(tracks) for tracks in seen]
    assert counts == sorted(counts)
    assert counts[0] > len(old)
    run(store=Path("fresh"))
    assert_equal_tables(STORE, tables(Path("fresh")))


@pytest.mark.slow
def test_failed_files_are_tried_again_when_asked_for_and_all_with_force(run: Run) -> None:
    run()
    before = extraction_times()
    outcome = run(retry_failed=True)
    assert (outcome.retried, outcome.failed, outcome.extracted) == (1, 1, 0)
    again = extraction_times()
    assert {track for track in again if again[track] != before[track]} == {"rock/bad.wav"}
    features = table(TRACKS)
    outcome = run(force=True)
    assert (outcome.retried, outcome.failed, outcome.extracted) == (7, 1, 6)
    forced = extraction_times()
    assert all(forced[track] != again[track] for track in forced)
    assert table(TRACKS).equals(features)
    # A second forced run does not resume the first.
    assert run(force=True).extracted == 6


@pytest.mark.slow
def test_a_damaged_record_of_an_interrupted_run_is_ignored(run: Run, without_cluster: Run) -> None:
    run()
    for text in (*DAMAGED_JSON, b'{"command": {}}'):
        (STORE / "_work/run.json").write_bytes(text)
        outcome = without_cluster()
        assert outcome.unchanged == outcome.listed == 7
        assert not (STORE / "_work/run.json").exists()


@pytest.mark.slow
def test_other_segments_ask_for_force_and_replace_everything(run: Run) -> None:
    clip(Path("other/one.wav"))
    run()
    run("other")
    before = extraction_times()
    with pytest.raises(UsageError, match="--force"):
        run(segment_seconds=0.2)
    assert extraction_times() == before
    outcome = run(segment_seconds=0.2, force=True)
    assert (outcome.extracted, outcome.gone) == (6, 1)
    assert "one.wav" not in all_tracks()
    assert "one.wav" not in extraction_times()
    assert set(table(SEGMENTS)["length"]) == {round(0.2 * SR) - 1}
    assert set(table(SEGMENTS).groupby("track_id").size()) == {2}
    assert json.loads((STORE / "store.json").read_text())["segment_seconds"] == 0.2
    assert run(segment_seconds=0.2).unchanged == 7


@pytest.mark.slow
def test_labels_change_without_extraction(run: Run, without_cluster: Run) -> None:
    run()
    names = [f"{style}/{i}.wav" for style in ("blues", "rock") for i in range(3)]
    assert all_labels() == {name: name.partition("/")[0] for name in names}
    before, features = extraction_times(), table(TRACKS)[list(GTZAN.names)]

    assert without_cluster(labels="none").relabelled == 6
    assert all_labels() == dict.fromkeys(names)

    csv = Path("labels.csv")
    csv.write_text("track_id,label,artist\nblues/0,sad,A\nrock/1.wav,loud,B\nstranger,x,C\n")
    assert without_cluster(labels=str(csv)).relabelled == 2
    expected = dict.fromkeys(names) | {"blues/0.wav": "sad", "rock/1.wav": "loud"}
    assert all_labels() == expected
    assert table("labels").to_dict("records") == [
        {"track_id": "blues/0.wav", "label": "sad", "artist": "A"},
        {"track_id": "rock/1.wav", "label": "loud", "artist": "B"},
    ]
    assert without_cluster(labels=str(csv)).relabelled == 0

    assert without_cluster().relabelled == 6
    assert all_labels() == {name: name.partition("/")[0] for name in names}
    assert extraction_times() == before
    assert table(TRACKS)[list(GTZAN.names)].equals(features)


def tag(path: Path, **tags: str) -> None:
    file = FLAC(path)
    file.delete()
    file.update(tags)
    file.save()


def test_the_first_run_of_a_machine_says_that_it_compiles(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(Session, "has_own_cluster", True)
    for is_compiled in (False, True):
        monkeypatch.setattr(machine_code, "has_code", lambda _, has=is_compiled: has)
        outcome = run(progress=Progress(Console(file=log, width=1000)), force=is_compiled)
        assert bool(outcome.compile_s) != is_compiled
    assert log.getvalue().count("Compiling kernels (once per machine, about 20 s)") == 1


@pytest.mark.slow
def test_tags_are_a_table_and_may_be_labels(run: Run, without_cluster: Run) -> None:
    shutil.rmtree(MUSIC)
    genres = {"a.flac": "Jazz", "b.flac": "=cmd", "c.flac": None, "x/d.flac": "jazz"}
    for i, (name, genre) in enumerate(genres.items()):
        clip(MUSIC / name, i)
        tag(MUSIC / name, artist=f"artist {i}", **({"genre": genre} if genre else {}))
    (MUSIC / "bad.flac").write_text("not a recording")
    log = io.StringIO()
    loud = Progress(Console(file=log, width=1000))
    run(labels="tag:genre", progress=loud)
    assert all_labels() == genres
    assert "--labels tag:genre gives no label: 1 of 5, such as 'c.flac'" in log.getvalue()
    tags = table("tags")
    assert list(tags.columns) == TAG.names
    assert tags["track_id"].tolist() == sorted(genres)
    assert tags["artist"].tolist() == [f"artist {i}" for i in range(4)]
    assert tags["year"].isna().all()

    # Changed and new tags are labels at once; the others stay.
    tag(MUSIC / "a.flac", genre="Blues", date="1959-08-17")
    clip(MUSIC / "e.flac", 9)
    tag(MUSIC / "e.flac", genre="Rock")
    (MUSIC / "b.flac").unlink()
    genres |= {"a.flac": "Blues", "e.flac": "Rock"}
    del genres["b.flac"]
    run(labels="tag:genre", max_gone=1.0)
    assert all_labels() == genres
    tags = table("tags").set_index("track_id")
    assert tags.index.tolist() == sorted(genres)
    assert tags["genre"].dropna().to_dict() == {k: v for k, v in genres.items() if v}
    assert tags.loc["a.flac", "year"] == 1959

    # Known tags need no reading; folders neither.
    assert without_cluster(labels="folder:1").relabelled == 3
    assert all_labels() == dict.fromkeys(genres) | {"x/d.flac": "x"}
    before = extraction_times()
    without_cluster(labels="tag:artist")
    artists = {"a.flac": None, "c.flac": "artist 2", "e.flac": None, "x/d.flac": "artist 3"}
    assert all_labels() == artists

    # An older songmill has read no tags.
    store = open_store(str(STORE))
    change = commit.Change()
    commit.stage_table(store, change, TAGS, [], edit=commit.without_any)
    with lock_of(store.storage) as lock:
        commit.commit(lock, change)
    without_cluster(labels="tag:genre", progress=loud)
    assert "an older songmill, which read no tags: 4, such as 'a.flac'" in log.getvalue()
    assert extraction_times() == before
    run(labels="tag:genre", force=True)
    assert all_labels() == genres


@pytest.mark.slow
def test_a_collection_that_moved_is_not_extracted_again(run: Run, without_cluster: Run) -> None:
    run()
    before = extraction_times()
    elsewhere = MUSIC.rename("elsewhere").absolute()
    with pytest.raises(UsageError, match="there is no"):
        without_cluster()
    assert len(all_tracks()) == 6
    outcome = without_cluster(elsewhere)
    assert (outcome.unchanged, outcome.gone) == (7, 0)
    assert extraction_times() == before
    files = table("files")
    assert list(files["uri"]) == [f"{elsewhere}/{track}" for track in files["track_id"]]
    (elsewhere / "rock/2.wav").unlink()
    assert without_cluster(elsewhere).gone == 1


@pytest.mark.slow
def test_a_mount_that_is_gone_empties_no_table_unless_that_is_meant(
    run: Run, without_cluster: Run
) -> None:
    csv = Path("labels.csv")
    csv.write_text("track_id,label\nblues/0,sad\n")
    labels = {"labels": str(csv)}
    run(**labels)
    before = {path: path.read_bytes() for path in STORE.rglob("[fl]*/**/*.parquet")}
    for folder in ("rock", "blues"):
        for path in (MUSIC / folder).iterdir():
            path.unlink()
        clip(MUSIC / "jazz/new.wav") if folder == "rock" else shutil.rmtree(MUSIC / "jazz")
        # Forced or not, nothing is extracted.
        for options in (labels, {"force": True, "segment_seconds": 0.2}):
            outcome = without_cluster(**options)
            assert outcome.outcome == "too-many-gone"
            assert f"Without recordings now: {MUSIC.absolute()}" in (outcome.message or "")
            assert outcome.gone == outcome.new == 0
        assert {path: path.read_bytes() for path in before} == before
    runs = table("runs")
    assert list(runs["outcome"]) == ["done", *["too-many-gone"] * 4]
    assert list(runs["listed"]) == [7, 4, 4, 0, 0]
    assert "are gone" in runs["message"].iloc[-1]
    outcome = without_cluster(max_gone=1.0, **labels)
    assert (outcome.outcome, outcome.listed, outcome.gone) == ("done", 0, 7)
    assert all_tracks() == []
    with pytest.raises(UsageError, match="no recording was found"):
        without_cluster()


def test_a_mount_that_is_gone_is_reported_although_the_labels_are_all_of_it(
    without_cluster: Run,
) -> None:
    store = make_store(STORE, level="track")
    known = [{**asdict(one), "status": "ok"} for one in list_sources(MUSIC).recordings()]
    put(store, "files", [{**row, "bytes": row["size"]} for row in known], FILES)
    csv = Path("labels.csv")
    csv.write_text("track_id,label\nrock/0,loud\n")
    options = {"labels": str(csv), "segment_seconds": 3.0}
    shutil.rmtree(MUSIC / "rock")
    assert without_cluster(**options).outcome == "too-many-gone"
    with pytest.raises(UsageError, match="no row of .* names a track"):
        without_cluster(max_gone=1.0, **options)


@pytest.mark.slow
def test_files_that_a_list_names_and_that_are_gone_count_for_max_gone_only(run: Run) -> None:
    names = Path("names.m3u")
    names.write_text(
        "\n".join(f"{MUSIC}/{one}/{i}.wav" for one in ("blues", "rock") for i in range(3))
    )
    run(names)
    for i in range(3):
        (MUSIC / f"rock/{i}.wav").unlink()
    found = run(names, max_failed=0.1)
    assert (found.outcome, found.failures, found.gone) == ("done", {"vanished": 3}, 0)
    assert all_tracks() == [f"{MUSIC}/blues/{i}.wav" for i in range(3)]
    assert list(table("files")["error"])[3:] == ["vanished"] * 3


@pytest.mark.slow
def test_only_files_that_a_run_tries_decide_whether_too_many_failed(
    run: Run, without_cluster: Run
) -> None:
    first = run(max_failed=0.1)
    assert first.outcome == "too-many-failed"
    assert first.message == (
        "1 of 7 files that this run tried failed (14.3%), more than --max-failed 0.1 allows"
    )
    idle = without_cluster(max_failed=0.0)
    assert (idle.outcome, idle.failed_in_all) == ("done", 1)
    assert idle.message == "1 of 7 files failed before"
    again = run(max_failed=0.0, retry_failed=True)
    assert (again.outcome, again.failed, again.failed_in_all) == ("done", 1, 1)
    assert list(table("runs")["message"]) == [first.message, idle.message, idle.message]
    # A corrupt delivery: a small share of all files, until there are more than a few.
    for i in range(3):
        (MUSIC / f"rock/bad{i}.wav").write_text("not a recording")
    few = run(max_failed=0.4)
    assert (few.outcome, few.failed, few.message) == ("done", 3, "1 of 10 files failed before")
    (MUSIC / "rock/bad.wav").write_text("no recording either")
    changed = run(max_failed=0.05)
    assert changed.outcome == "too-many-failed"
    assert (changed.message or "").startswith("1 of 1 files that this run tried failed (100.0%)")
    for i in range(4):
        (MUSIC / f"rock/worse{i}.wav").write_text("not a recording")
    assert run(max_failed=0.4).outcome == "too-many-failed"
    assert run(max_failed=0.0, force=True).outcome == "done"


@pytest.mark.slow
def test_a_file_that_fails_again_rewrites_no_features(run: Run) -> None:
    run()
    matrix = STORE / "similarity-matrix/part-0.parquet"
    matrix.parent.mkdir()
    pq.write_table(pyarrow.table({"track_id": ["blues/0.wav"], "blues/0.wav": [1.0]}), matrix)
    parts = {path: path.stat().st_ino for path in STORE.glob("[fs]*/**/*.parquet")}
    assert run(retry_failed=True).failed == 1
    (MUSIC / "rock/bad.wav").unlink()
    assert run().gone == 1
    changed = {path for path, inode in parts.items() if path.stat().st_ino != inode}
    assert {path.parent.name for path in changed} == {"files"}
    (MUSIC / "blues/0.wav").unlink()
    run()
    assert pq.read_metadata(matrix).num_rows == 0


@pytest.mark.slow
def test_sources_of_other_runs_stay(run: Run) -> None:
    for i in range(3):
        (MUSIC / f"rock/{i}.wav").rename(MUSIC / f"rock/r{i}.wav")
    run(MUSIC / "blues")
    run(MUSIC / "rock", labels="none")
    everything = {f"{i}.wav" for i in range(3)} | {f"r{i}.wav" for i in range(3)}
    assert set(all_tracks()) == everything
    (MUSIC / "blues/0.wav").unlink()
    assert run(MUSIC / "rock", labels="none").gone == 0
    assert set(all_tracks()) == everything
    assert run(MUSIC / "blues").gone == 1
    assert set(all_labels().items()) == {
        *((f"{i}.wav", "blues") for i in (1, 2)),
        *((f"r{i}.wav", None) for i in range(3)),
    }


@pytest.mark.slow
def test_a_folder_that_cannot_be_listed_removes_nothing_until_segments_change(
    run: Run, without_cluster: Run, unlistable: Callable[[Path], None]
) -> None:
    run()
    before = all_tracks()
    (MUSIC / "blues/0.wav").unlink()
    unlistable(MUSIC.absolute() / "rock")
    assert without_cluster().gone == 1
    assert all_tracks() == before[1:]
    run(segment_seconds=0.2, force=True)
    assert all_tracks() == ["blues/1.wav", "blues/2.wav"]
    assert set(table(SEGMENTS)["length"]) == {round(0.2 * SR) - 1}
    assert set(extraction_times()) == set(all_tracks())


# Invalid stores, labels and schedulers


@pytest.mark.usefixtures("music")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"sources": "missing"}, "there is no"),
        ({"store": Path("labels.csv")}, "is a file"),
        ({"store": MUSIC}, "not a store and not empty"),
        ({"labels": "missing.csv"}, "labels"),
        ({"labels": "labels.csv"}, "no row of .* names a track"),
        ({"scheduler": "tcp://127.0.0.1:1", "workers": 2}, "--workers"),
        ({"scheduler": "localhost"}, "localhost is neither an address"),
        ({"scheduler": "labels.csv"}, "a file without a scheduler's address"),
    ],
)
def test_invalid_arguments_write_nothing(options: dict[str, Any], error: str) -> None:
    Path("labels.csv").write_text("track_id,label\nstranger,x\n")
    before = sorted(Path().rglob("*"))
    with pytest.raises(UsageError, match=error):
        job(**options)
    assert sorted(Path().rglob("*")) == before


def test_a_scheduler_file_says_where_the_scheduler_is(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    for text in ("", "{", "[]", "{}", "tcp://127.0.0.1:1"):
        file.write_text(text)
        with pytest.raises(UsageError, match="a file without a scheduler's address"):
            scheduler_address(str(file), None)
    file.write_text(json.dumps({"type": "Scheduler", "address": "tcp://127.0.0.1:1"}))
    assert scheduler_address(str(file), None) == "tcp://127.0.0.1:1"
    assert scheduler_address("tls://host:8786", None) == "tls://host:8786"
    assert scheduler_address(None, 2) is scheduler_address("", 2) is None


@pytest.mark.slow
@pytest.mark.usefixtures("music")
def test_a_run_without_a_scheduler_that_answers_ends_in_words() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address}"):
            job(scheduler=address)
    runs = table("runs")
    assert list(runs["outcome"]) == ["failed"]
    assert list(runs["new"]) == [7]
    assert not (STORE / "_lock.json").exists()


# Any number of workers


@pytest.mark.slow
def test_one_two_or_three_workers_make_equal_tables(run: Run) -> None:
    for i in range(20):
        clip(MUSIC / f"jazz/{i}.flac", 20 + i, seconds=0.2 + i / 20)
    assert run().workers == 2
    assert len(all_tracks()) == 26
    for workers in (1, 3):
        store = Path(f"store{workers}")
        assert job(store=store, workers=workers).workers == workers
        assert_equal_tables(store, tables(STORE))


# Other software


def by_dask(folder: Path) -> pd.DataFrame:
    return dask.dataframe.read_parquet(folder).compute(scheduler="synchronous")


# Dask still passes inplace=True to pandas.
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.slow
def test_every_table_can_be_read_by_every_reader(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.store.commit, "PART_ROWS", 3)
    csv = Path("labels.csv")
    csv.write_text("track_id,label,artist\nblues/0,sad,A\n")
    run(labels=str(csv))
    # With several parts: a single one would be replaced and not emptied.
    clip(MUSIC / "blues/0.wav", 77)
    clip(MUSIC / "rock/2.wav", 78)
    csv.write_text("track_id,label,year\nblues/0,sad,1969\n")
    run(labels=str(csv))
    counts = {TRACKS: 6, SEGMENTS: 24, "files": 7, "runs": 2, "labels": 1, "tags": 6}
    folders = {str(p.parent.relative_to(STORE)) for p in STORE.rglob("part-*.parquet")}
    assert folders == set(counts)
    emptied = [p for p in STORE.rglob("part-*.parquet") if not pq.read_metadata(p).num_rows]
    assert emptied, "no reader met an emptied part"
    for name, count in counts.items():
        folder = STORE / name
        columns = set(pq.read_table(folder, partitioning=None).column_names)
        for read in (*READERS, by_dask):
            frame = read(folder)
            assert len(frame) == count
            assert columns <= set(frame.columns)
    assert "year" in pd.read_parquet(STORE / "labels")


@pytest.mark.slow
def test_no_temporary_file_is_left_over(run: Run) -> None:
    # Leftovers of earlier runs go too: incomplete files, attempts that no run adopts.
    for name in ("done/a.files.parquet", "done/b.track.parquet", "started/c", "tmp/d", "commit/e"):
        path = STORE / "_work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a file")
    run()
    left = [str(p.relative_to(STORE)) for p in STORE.rglob("*") if p.is_file()]
    names = {name.rpartition("/")[0] or name for name in left}
    assert names == {"store.json", MANIFEST, TRACKS, SEGMENTS, "files", "tags", "runs"}
    modes = {path.stat().st_mode & 0o777 for path in STORE.rglob("part-*")}
    assert modes <= {0o644, 0o664, 0o666}


@pytest.mark.slow
def test_batches_of_a_killed_run_wait_for_a_run_of_its_sources(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Mock(side_effect=ClusterError("lost just before the commit"))
    with monkeypatch.context() as patch:
        patch.setattr(jobs.extraction.extract._Extraction, "finish", lost)
        with pytest.raises(ClusterError):
            run()
    clip(Path("other/one.wav"))
    assert run("other").extracted == 1
    assert all_tracks() == ["one.wav"]
    outcome = run(max_failed=0.1)
    assert (outcome.kept, outcome.extracted, outcome.failed) == (6, 0, 1)
    assert sum(outcome.failures.values()) == 1
    assert outcome.outcome == "too-many-failed", "nobody has judged them yet"
    assert len(all_tracks()) == 7
    assert list((STORE / "_work" / "done").iterdir()) == []
