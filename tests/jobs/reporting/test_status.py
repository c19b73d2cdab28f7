"""The counts of ``songmill status``, and the output of status and extraction."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.made_stores import NOON, make_store, put

from featurizer.feature_set import feature_set
from featurizer.recording import SILENT
from jobs.cli.extraction import print_outcome
from jobs.cli.reporting import print_failed, print_status, print_warnings
from jobs.extraction.extract import Outcome
from jobs.reporting.status import Status, read_status
from jobs.store.schemas import FILES, RUNS
from jobs.store.tables import Store

GTZAN = feature_set("gtzan")

STRANGE = "rock/[red]a\n'b' \"c\" \N{GUITAR} :cat: [/x]\t.wav"


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of stdout, with single spaces."""
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """Five tracks of three labels, 12 segments, four failed files, seven runs."""
    tracks = [("a", "rock"), ("b", "jazz"), ("c", "rock"), ("d", None), ("e", "jazz")]
    make_store(tmp_path / "store", tracks[:2], tracks[2:], [], level="track")
    store = make_store(tmp_path / "store", tracks[:1] * 12, level="segment")
    ok = [{"track_id": track, "status": "ok", "duration_s": 1800.0} for track, _ in tracks]
    ok[2]["message"] = f"A note. {SILENT}"
    failures = [("z", "vanished"), (STRANGE, "empty"), ("y", "empty"), ("x", "timeout")]
    failed = [
        {"track_id": track, "uri": f"/music/{track}", "status": "failed"}
        | {"error": error, "message": f"says\n{error}"}
        for track, error in failures
    ]
    for part, rows in enumerate((ok + failed[:1], failed[1:])):
        store.storage.write_table(f"files/part-{part}.parquet", pa.Table.from_pylist(rows, FILES))
    counts = dict.fromkeys(("extracted", "failed", "unchanged", "gone"), 1234)
    run = {"stage": "extract", "outcome": "done", "seconds": 200.0, **counts}
    days = [NOON + timedelta(days=(i * 3) % 7) for i in range(7)]
    runs = [{**run, "run_id": f"run {i}", "started_at": day} for i, day in enumerate(days)]
    for part, rows in enumerate((runs[:5], runs[5:])):
        store.storage.write_table(f"runs/part-{part}.parquet", pa.Table.from_pylist(rows, RUNS))
    store.storage.write("_work/done/one.files.parquet", b"")
    store.storage.write("_work/done/two.track.parquet", b"")
    return store


def test_everything_is_counted(filled: Store) -> None:
    status = read_status(filled.storage.root)
    assert (status.store, status.feature_set) == (filled.storage.root, GTZAN.version)
    assert status.segment_seconds == 3.0
    assert (status.files, status.tracks, status.segments) == (9, 5, 12)
    assert status.hours == 2.5
    assert list(status.labels.items()) == [("jazz", 2), ("rock", 2), (None, 1)]
    assert list(status.failures.items()) == [("empty", 2), ("timeout", 1), ("vanished", 1)]
    assert [row["track_id"] for row in status.failed_files] == [STRANGE, "x", "y", "z"]
    x = {"track_id": "x", "error": "timeout", "message": "says\ntimeout", "uri": "/music/x"}
    assert status.failed_files[1] == x
    assert [run["started_at"].day for run in status.runs] == [7, 6, 5, 4, 3]
    assert (status.waiting, status.silent) == (1, 1)
    assert status.warned_files == [{"track_id": "c", "message": f"A note. {SILENT}", "uri": None}]


def test_an_empty_store_has_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path / "store")
    status = read_status(str(tmp_path / "store"))
    assert (status.files, status.tracks, status.segments, status.hours) == (0, 0, 0, 0.0)
    assert (status.labels, status.failures, status.failed_files, status.runs) == ({}, {}, [], [])
    print_failed(status)
    print_warnings(status)
    assert capsys.readouterr().out == "No file failed.\nNo file has a remark.\n"


def test_failed_files_are_a_sentence_each_under_headings(
    filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    print_failed(read_status(filled.storage.root))
    out = capsys.readouterr().out
    assert [re.split("   *", line.rstrip()) for line in out.splitlines()] == [
        ["4 files failed:"],
        ["track", "failure", "why"],
        [STRANGE.replace("\n", r"\n").replace("\t", r"\t"), "empty", r"Says\nempty."],
        ["x", "timeout", r"Says\ntimeout."],
        ["y", "empty", r"Says\nempty."],
        ["z", "vanished", r"Says\nvanished."],
    ]


def test_long_lines_of_failed_files_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"track_id": "a " * 500, "error": "empty", "message": "b " * 500, "uri": "u"}
    print_failed(
        Status("s", "f", 3.0, 1, 0, 0, 0.0, {}, {"empty": 1}, [row], [], [], None, 0, {}, 0, [])
    )
    heading, names, line = capsys.readouterr().out.splitlines()
    assert line.split() == ["a"] * 500 + ["empty", "B", *["b"] * 498, "b", "."]


def test_a_status_is_a_page_for_people(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    print_status(read_status(filled.storage.root))
    lines = printed(capsys)
    for line in (
        f"store {filled.storage.root}",
        f"features {GTZAN.version}, segments of 3 s",
        "files 9",
        "tracks 5",
        "segments 12",
        "hours 2.50",
        "failed 4",
        "silent 1",
        "waiting 1 batch of an unfinished run. Run the same command again",
        "jazz 2",
        "(none) 1",
        "empty 2",
        "2026-03-07 12:00 extract done 3 min 20 s 1,234 1,234 1,234 1,234",
    ):
        assert line in lines


def test_the_stages_of_a_run_are_one_line(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    names = ("extract", "train", "predict")

    def night(day: int, extracted: int, *outcomes: str) -> list[dict[str, Any]]:
        start = NOON + timedelta(days=day)
        counts = {**dict.fromkeys(("failed", "unchanged", "gone"), 0), "extracted": extracted}
        return [
            {"run_id": str(day), "stage": name, "outcome": outcome, "seconds": 2.0}
            | {"started_at": start + timedelta(minutes=i), **(counts if name == "extract" else {})}
            for i, (name, outcome) in enumerate(zip(names, outcomes, strict=False))
        ]

    rows = [*night(0, 4, "done", "done", "failed"), *night(1, 9, "done", "skipped", "done")]
    for day in range(2, 8):
        rows += night(day, 0, "done", "skipped", "skipped")
    put(store, "runs", rows, RUNS)
    runs = read_status(store).last_runs
    # The last five did nothing, so the last one that did something follows.
    assert [run.run_id for run in runs] == ["7", "6", "5", "4", "3", "1"]
    assert [run.stages for run in runs] == [[]] * 5 + [["extract", "predict"]]
    assert (runs[5].seconds, runs[5].outcome, runs[5].counts["extracted"]) == (6.0, "done", 9)
    put(store, "runs", rows[:3], RUNS)
    (run,) = read_status(store).last_runs
    assert (run.stages, run.outcome) == (list(names), "failed")


def test_lost_labels_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(Outcome("run", listed=50, relabelled=41, unlabelled=40), "store")
    assert "Labels lost: 40." in capsys.readouterr().out


def test_many_labels_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {f"label {i:02}": 23 - i for i in range(23)}
    tracks = [(f"{label}-{i}", label) for label, count in counts.items() for i in range(count)]
    store = make_store(tmp_path / "store", tracks, level="track")
    print_status(read_status(store.storage.root))
    lines = printed(capsys)
    assert "label 00 23" in lines
    assert "label 19 4" in lines
    assert not any(line.startswith("label 20") for line in lines)
    assert "3 more labels 6" in lines


def test_names_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a [red]b[/x] :cat: \x1b[31m\n"
    shown = r"a [red]b[/x] :cat: \x1b[31m\n"
    print_status(
        Status(name, "f", 3.0, 1, 1, 1, 1.0, {name: 1}, {}, [], [], [], None, 0, {}, 0, [])
    )
    lines = printed(capsys)
    assert f"store {shown}" in lines
    assert f"{shown} 1" in lines
    print_outcome(Outcome("run", listed=1, failures={"empty": 1}, seconds=1.0), name)
    assert capsys.readouterr().out.splitlines() == [
        "Processed 1 file in 1 s, 0 x realtime: 0 extracted, 0 segments, 1 failed.",
        f"Failed: 1 empty. List them: songmill status --failed --store '{shown}'",
        f"The tables are in {shown}.",
    ]


def test_an_outcome_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    idle = Outcome("run", listed=5, unchanged=5, failed_in_all=2, seconds=2.0)
    busy = Outcome("run", extracted=40, segments=399, audio_s=1200.0, seconds=20.0)
    busy.failures = {"vanished": 1, "empty": 2}
    both = Outcome("run", failures={"empty": 1}, failed_in_all=12)
    processed = "Processed 43 files in 20 s, 60 x realtime: 40 extracted, 399 segments, 3 failed."
    for outcome, done, failed in (
        (idle, "No file is new or changed: there was nothing to extract.", "2 in earlier runs"),
        (busy, processed, "2 empty, 1 vanished"),
        (
            both,
            "Processed 1 file in 0 s: 0 extracted, 0 segments, 1 failed.",
            "1 empty, 11 in earlier runs",
        ),
    ):
        print_outcome(outcome, "store")
        assert capsys.readouterr().out.splitlines() == [
            done,
            f"Failed: {failed}. List them: songmill status --failed --store store",
            "The tables are in store.",
        ]
