"""Extraction of a batch in a worker, with invented features."""

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from support.faults import before_operations
from threadpoolctl import threadpool_info, threadpool_limits

import featurizer.extract
from featurizer.errors import FAILURE_KINDS, RecordingError
from featurizer.extract import FeatureRows, Features
from featurizer.feature_set import LEVELS, feature_set
from jobs.cluster.fitness import songmill_version
from jobs.extraction import batch as module
from jobs.extraction.attempts import (
    DONE,
    RUN_JSON,
    STARTED,
    Batch,
    extracted_tables,
    finished_attempts,
    read_finished,
    result_file,
    result_files,
)
from jobs.extraction.batch import extract_batch, extract_level, unfit_reason
from jobs.inputs.listing import list_sources
from jobs.inputs.sources import SourceFile
from jobs.store.folder import Folder
from jobs.store.schemas import SEGMENTS, TRACKS, features_folder
from jobs.store.storage import Storage, as_json
from jobs.store.tables import Settings, current_settings

BOTH = ("gtzan", "rich")
SETTINGS = current_settings(BOTH, 3.0)
RICH = features_folder("rich", "track")

MakeBatch = Callable[..., Batch]


def made_up(
    value: float, segments: int = 2, sets: Sequence[str] = BOTH, short: str = ""
) -> Features:
    """Features with a different value in every column and row; the ``short`` set has none."""
    rows = {}
    for name in sets:
        columns = len(feature_set(name).names)
        track = (value + np.arange(columns) / 100).astype(feature_set(name).dtype)
        count = segments if name == "gtzan" else 0
        of_segments = track + 10 * np.arange(1, count + 1)[:, np.newaxis]
        rows[name] = FeatureRows(track, of_segments, None)
    if short:
        rows[short] = FeatureRows(None, np.empty((0, 0)), "it is short")
    return Features(
        rows=rows,
        length=661500,
        segment_length=66149,
        segment_step=66150,
        duration_s=30.0,
        sample_rate=44100,
        channels=2,
        note="a remark" if value == 3 else None,
    )


def by_name(values: np.ndarray | None, features: str = "gtzan") -> dict[str, float]:
    assert values is not None
    return dict(zip(feature_set(features).names, values.tolist(), strict=True))


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the text of a file determine its features or failure; return the extracted names."""
    names: list[str] = []

    def extract(
        source: Any, *, sets: Any, segment_seconds: float, levels: Any, deadline: Any
    ) -> Features:
        names.extend([] if sets == BOTH else sets)
        assert segment_seconds == SETTINGS.segment_seconds
        assert deadline.seconds == module.FILE_TIMEOUT_S
        names.append(os.path.basename(source) if isinstance(source, str) else "an open file")
        text = (Path(source).read_bytes() if isinstance(source, str) else source.read()).decode()
        if text in FAILURE_KINDS:
            raise RecordingError(text, f"it is {text}")  # type: ignore[arg-type]
        if text == "fault":
            raise ZeroDivisionError("never\nseen")
        value, _, short = text.partition(" without ")
        features = made_up(float(value), 0 if text == "0" else 2, sets, short)
        for name, rows in features.rows.items():
            track = rows.track if "track" in levels else None
            segments = rows.segments[: len(rows.segments) if "segment" in levels else 0]
            features.rows[name] = replace(rows, track=track, segments=segments)
        return features

    monkeypatch.setattr(featurizer.extract, "extract", extract)
    return names


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Folder(str(tmp_path / "store"))
    storage.write(RUN_JSON, as_json({"run_id": "now"}))
    return storage


@pytest.fixture
def batch(tmp_path: Path, storage: Storage, extracted: list[str]) -> MakeBatch:
    """Make a batch of files, given as names and contents; invented features stand for theirs."""

    def make(attempt: str = "attempt", sets: tuple[str, ...] = BOTH, **contents: str) -> Batch:
        folder = tmp_path / "music"
        folder.mkdir(exist_ok=True)
        for name, text in contents.items():
            (folder / f"{name}.wav").write_text(text)
        files = list(list_sources([str(folder)]).recordings()) if contents else []
        labels = [None if i == 0 else f"label {i}" for i in range(len(files))]
        version = songmill_version()
        return Batch(attempt, "now", storage.root, version, SETTINGS, sets, files, labels)

    return make


def left(storage: Storage, table: str) -> list[dict[str, Any]]:
    rows = storage.read_table(result_file("attempt", table))
    assert rows.schema == extracted_tables(BOTH)[table]
    return rows.to_pylist()  # type: ignore[no-any-return]


# Files of an attempt


def test_a_batch_leaves_its_rows_and_sends_its_counts(storage: Storage, batch: MakeBatch) -> None:
    summary = extract_batch(batch(a="1", b="0", c="3", d="empty", e="fault", f="empty"))
    assert summary.outcome == "done"
    assert (summary.extracted, summary.segments, summary.audio_s) == (3, 4, 90.0)
    assert summary.failures == {"empty": 2, "internal": 1}
    assert summary.compute_s > 0

    files = {
        "a.wav": (None, made_up(1)),
        "b.wav": ("label 1", made_up(0, segments=0)),
        "c.wav": ("label 2", made_up(3)),
    }
    for table, name in ((TRACKS, "gtzan"), (RICH, "rich")):
        assert left(storage, table) == [
            {"track_id": track, "label": label, "length": 661500}
            | by_name(features.rows[name].track, name)
            for track, (label, features) in files.items()
        ]
    assert left(storage, SEGMENTS) == [
        {"track_id": track, "label": label, "segment": i, "start_s": 3.0 * i, "length": 66149}
        | by_name(values)
        for track, (label, features) in files.items()
        for i, values in enumerate(features.rows["gtzan"].segments)
    ]


def test_a_batch_writes_down_every_file(tmp_path: Path, storage: Storage, batch: MakeBatch) -> None:
    summary = extract_batch(batch(a="1", z="3", **{kind: kind for kind in FAILURE_KINDS}))
    assert summary.failures == dict.fromkeys(FAILURE_KINDS, 1)
    assert [row["track_id"] for row in left(storage, TRACKS)] == ["a.wav", "z.wav"]
    rows = {row["track_id"]: row for row in left(storage, "files")}
    assert list(rows) == ["a.wav", *(f"{kind}.wav" for kind in sorted(FAILURE_KINDS)), "z.wav"]
    for name, row in rows.items():
        path = tmp_path / "music" / name
        state = path.stat()
        assert (row["uri"], row["source"]) == (str(path), str(path.parent))
        assert row["bytes"] == state.st_size
        assert round(row["modified"].timestamp() * 1e6) == state.st_mtime_ns // 1000
        assert row["run_id"] == "now"
        assert abs(row["extracted_at"].timestamp() - time.time()) < 3600
    named = ("status", "error", "message", "duration_s", "sample_rate", "channels")
    assert [rows["a.wav"][name] for name in named] == ["ok", None, None, 30.0, 44100, 2]
    assert [rows["z.wav"][name] for name in named] == ["ok", None, "a remark", 30.0, 44100, 2]
    for kind in FAILURE_KINDS:
        failed = ["failed", kind, f"it is {kind}", None, None, None]
        assert [rows[f"{kind}.wav"][name] for name in named] == failed


def test_a_recording_that_is_too_short_for_a_feature_set_has_the_rows_of_the_others(
    storage: Storage, batch: MakeBatch
) -> None:
    summary = extract_batch(batch(a="1 without rich", b="3 without rich", c="2"))
    assert (summary.extracted, summary.segments, summary.failures) == (3, 6, {})
    assert [row["track_id"] for row in left(storage, TRACKS)] == ["a.wav", "b.wav", "c.wav"]
    assert [row["track_id"] for row in left(storage, RICH)] == ["c.wav"]
    remark = "The recording is too short for the rich features (10 s or more are needed)."
    assert [(row["status"], row["message"]) for row in left(storage, "files")] == [
        ("ok", remark),
        ("ok", f"a remark {remark}"),
        ("ok", None),
    ]


def test_a_recording_that_is_too_short_for_all_feature_sets_has_failed(
    storage: Storage, batch: MakeBatch
) -> None:
    summary = extract_batch(batch(sets=("rich",), a="1 without rich", b="2"))
    assert (summary.extracted, summary.failures) == (1, {"too-short": 1})
    assert [row["track_id"] for row in left(storage, RICH)] == ["b.wav"]
    row, _ = left(storage, "files")
    assert (row["status"], row["error"], row["duration_s"]) == ("failed", "too-short", 30.0)
    assert row["message"].endswith("too short for the rich features (10 s or more are needed).")


def test_a_batch_may_compute_some_of_the_feature_sets(
    storage: Storage, batch: MakeBatch, extracted: list[str]
) -> None:
    extract_batch(batch(sets=("rich",), a="1"))
    assert extracted == ["rich", "a.wav"]
    assert [row["track_id"] for row in left(storage, RICH)] == ["a.wav"]
    assert not storage.exists(result_file("attempt", TRACKS))
    found = read_finished(storage, "attempt")
    assert found is not None
    assert (found.sets, found.settings) == (("rich",), SETTINGS)
    assert {e.name for e in storage.list(DONE)} == set(result_files("attempt", ("rich",)))


def test_a_bug_is_described_with_its_location(storage: Storage, batch: MakeBatch) -> None:
    extract_batch(batch(a="fault"))
    assert left(storage, TRACKS) == left(storage, SEGMENTS) == []
    (row,) = left(storage, "files")
    assert row["error"] == "internal"
    for part in ("please report", "ZeroDivisionError", "never\nseen", "test_batch.py:"):
        assert part in row["message"]


def test_size_and_time_are_those_at_the_extraction(storage: Storage, batch: MakeBatch) -> None:
    planned = batch(a="1")
    Path(planned.files[0].path).write_text("0.0")
    os.utime(planned.files[0].path, (5, 7))
    extract_batch(planned)
    (row,) = left(storage, "files")
    assert (row["bytes"], row["modified"].timestamp()) == (3, 7.0)


def test_a_batch_is_finished_once_its_files_table_is_written(
    storage: Storage, batch: MakeBatch, extracted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(operation: str, name: str) -> None:
        if (operation, name) == ("rename", result_file("attempt", "files")):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        before_operations(full, patch.setattr)
        with pytest.raises(OSError, match="No space"):
            extract_batch(batch(a="1"))
    assert storage.exists(result_file("attempt", TRACKS))
    assert storage.exists(result_file("attempt", SEGMENTS))
    assert list(finished_attempts(storage)) == []
    assert read_finished(storage, "attempt") is None
    assert extracted == ["a.wav"]


# Attempts


def test_a_finished_attempt_is_not_done_again(
    storage: Storage, batch: MakeBatch, extracted: list[str]
) -> None:
    planned = batch(a="1", b="empty")
    first = extract_batch(planned)
    assert list(storage.list(STARTED)) == []
    assert extract_batch(planned) == first
    assert extracted == ["a.wav", "b.wav"]
    assert list(finished_attempts(storage)) == ["attempt"]
    found = read_finished(storage, "attempt")
    assert found is not None
    assert (found.summary, found.settings, found.sets) == (first, SETTINGS, BOTH)
    assert found.files["track_id"].to_pylist() == ["a.wav", "b.wav"]
    names = result_files("attempt", BOTH)
    assert {e.name for e in storage.list(DONE)} == set(names)
    assert names[-1] == result_file("attempt", "files")


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_an_attempt_leaves_a_mark_and_is_not_begun_again(
    storage: Storage, batch: MakeBatch, extracted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> Features:
        assert storage.read_json(f"{STARTED}/attempt")["pid"] == os.getpid()
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(featurizer.extract, "extract", die)
        with pytest.raises(KilledError):
            extract_batch(batch(a="1", b="1"))
    summary = extract_batch(batch(a="1", b="1"))
    assert (summary.outcome, summary.hung) == ("died", False)
    assert extracted == []
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + module.HANG_TIMEOUT_S + 1)
    assert extract_batch(batch(a="1", b="1")).hung
    assert extracted == []
    assert read_finished(storage, "attempt") is None


@pytest.mark.parametrize("table", [TRACKS, SEGMENTS, RICH, "files"])
def test_a_file_damaged_by_a_power_failure_is_not_finished(
    storage: Storage, batch: MakeBatch, table: str
) -> None:
    extract_batch(batch(a="1", b="1"))
    name = result_file("attempt", table)
    whole = storage.read(name)
    third = len(whole) // 3
    pages = whole[:4] + bytes(third) + whole[4 + third :]
    for damaged in (b"", whole[: len(whole) // 2], bytes(len(whole)), pages):
        storage.write(name, damaged)
        assert read_finished(storage, "attempt") is None
    storage.remove(name)
    assert read_finished(storage, "attempt") is None


def test_a_summary_with_unknown_fields_is_not_finished(storage: Storage, batch: MakeBatch) -> None:
    extract_batch(batch(a="1"))
    name = result_file("attempt", "files")
    files = storage.read_table(name)
    metadata = files.schema.metadata[b"songmill"].replace(b"compute_s", b"another_s")
    storage.write_table(name, files.replace_schema_metadata({"songmill": metadata}))
    assert read_finished(storage, "attempt") is None


def test_a_file_that_hangs_ends_its_worker_in_the_end(
    batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda _: ended.set())
    monkeypatch.setattr(module, "HANG_TIMEOUT_S", 0.01)

    def hang(*_: object, **__: object) -> Features:
        assert ended.wait(20)
        return made_up(1)

    monkeypatch.setattr(featurizer.extract, "extract", hang)
    assert extract_batch(batch(a="1")).extracted == 1
    ended.clear()
    monkeypatch.setattr(module, "HANG_TIMEOUT_S", 30.0)
    monkeypatch.setattr(featurizer.extract, "extract", lambda *_, **__: made_up(1))
    extract_batch(batch("second", b="1"))
    assert "hang timer" not in {thread.name for thread in threading.enumerate()}
    assert not ended.is_set()


# Extraction by level


@pytest.mark.parametrize("text", ["1", "0", "3", "1 without rich", "empty", "fault"])
def test_a_recording_extracted_by_level_has_the_same_rows(
    storage: Storage, batch: MakeBatch, text: str
) -> None:
    tables = extracted_tables(BOTH)

    def rows_of(attempt: str) -> dict[str, pa.Table]:
        read = {table: storage.read_table(result_file(attempt, table)) for table in tables}
        read["files"] = read["files"].drop_columns("extracted_at")
        return read

    whole = batch("whole", a=text)
    expected = extract_batch(whole)
    by_level = replace(whole, attempt="attempt", by_level=True)
    levels = [extract_level(by_level, level) for level in LEVELS]
    found = extract_batch(by_level, levels)
    assert replace(found, compute_s=0) == replace(expected, compute_s=0)
    assert rows_of("attempt") == rows_of("whole")
    assert list(storage.list(STARTED)) == []


def test_a_level_of_a_file_that_has_changed_is_not_used(
    storage: Storage, batch: MakeBatch, extracted: list[str]
) -> None:
    planned = replace(batch(a="1"), by_level=True)
    levels = [extract_level(planned, level) for level in LEVELS]
    Path(planned.files[0].path).write_text("3.0")
    assert extract_batch(planned, levels).segments == 2
    assert extracted == ["a.wav"] * 3
    assert (
        left(storage, TRACKS)[0]["rms_mean"] == by_name(made_up(3).rows["gtzan"].track)["rms_mean"]
    )


def test_a_level_that_killed_its_worker_is_not_begun_again(
    storage: Storage, batch: MakeBatch, extracted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> Features:
        raise KilledError

    planned = replace(batch(a="1"), by_level=True)
    track = extract_level(planned, "track")
    with monkeypatch.context() as patch:
        patch.setattr(featurizer.extract, "extract", die)
        with pytest.raises(KilledError):
            extract_level(planned, "segment")
    assert extract_level(planned, "segment") is None
    summary = extract_batch(planned, [track, None])
    assert (summary.outcome, summary.file) == ("died", 0)
    assert extracted == ["a.wav"]


# Addresses


def test_a_recording_at_an_address_is_opened_with_fsspec(
    storage: Storage, batch: MakeBatch, extracted: list[str]
) -> None:
    fsspec.filesystem("memory").pipe("/bucket/a.wav", b"1")
    (there,) = list_sources(["memory://bucket/a.wav"]).recordings()
    address = "memory://bucket/b.wav"
    gone = SourceFile("b.wav", address, "memory://bucket", address, 1, 1)
    planned = batch()
    planned.files.extend([there, gone])
    planned.labels.extend([None, None])
    summary = extract_batch(planned)
    fsspec.filesystem("memory").rm("/bucket", recursive=True)
    assert (summary.extracted, summary.failures) == (1, {"vanished": 1})
    assert extracted == ["an open file"]
    assert left(storage, "files")[1]["uri"] == address


# Unfit workers


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"songmill": "99.0"}, ["99.0", songmill_version(), "install the same on both"]),
        (
            {"settings": Settings({"gtzan": "other-set"}, 3.0)},
            ["other-set", feature_set("gtzan").version, "install the same"],
        ),
        (
            {"settings": Settings({**SETTINGS.feature_sets, "unheard": "unheard-1"}, 3.0)},
            ["(features gtzan-57.1, rich-458.1), ", "(gtzan-57.1, rich-458.1, unheard-1)"],
        ),
        ({"root": "/nowhere/at/all"}, ["does not see the store /nowhere/at/all"]),
        ({"run_id": "another"}, ["does not see the store"]),
        ({}, ["does not see the source", "/music"]),
    ],
)
def test_a_worker_that_does_not_fit_works_on_nothing(
    batch: MakeBatch, extracted: list[str], changes: dict[str, Any], texts: list[str]
) -> None:
    good = batch(a="1")
    assert unfit_reason(good) == ""
    if not changes:
        source = Path(good.files[0].source)
        source.rename(source.with_name("elsewhere"))
    summary = extract_batch(replace(good, **changes))
    assert summary.outcome == "unfit"
    for part in texts:
        assert part in summary.message
    assert extracted == []
    assert not Path("/nowhere").exists()


def test_a_missing_file_makes_no_worker_unfit(tmp_path: Path, batch: MakeBatch) -> None:
    good = batch(a="1", b="1")
    (tmp_path / "music/a.wav").unlink()
    assert unfit_reason(good) == ""


def test_matrix_products_keep_to_one_thread(batch: MakeBatch) -> None:
    threadpool_limits(limits=2)
    module.prepare_process.cache_clear()
    extract_batch(batch(a="1"))
    threads = [pool["num_threads"] for pool in threadpool_info()]
    assert threads
    assert set(threads) == {1}


FAULTS = """
import resource
import numpy as np
from featurizer.extract import features
from featurizer.process import prepare_process

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    features(y)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

y = np.sin(np.arange(661500) * 0.1).astype(np.float32)
features(y)
print(faults())
prepare_process()
features(y)
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is set")
def test_memory_is_kept_for_the_next_file_though_dask_has_it_given_back() -> None:
    # Dask's nanny sets this for its workers.
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    found = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True
    )
    before, after = map(int, found.stdout.split())
    assert before > 1000
    assert after < 100
