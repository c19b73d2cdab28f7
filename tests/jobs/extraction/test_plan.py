"""Plans of a run, and their division into batches."""

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.made_listings import listing_of

from featurizer.feature_set import feature_set
from featurizer.mono_signal import MonoSignal
from jobs.errors import UsageError
from jobs.extraction.plan import (
    BATCH_AUDIO_S,
    BATCH_FILES,
    Plan,
    estimate_seconds,
    load_files,
    make_groups,
    make_plan,
)
from jobs.extraction.remarks import too_short
from jobs.inputs.labels import set_labels
from jobs.inputs.sources import SourceFile
from jobs.store.schemas import FILES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROOT = "/music"


def listed(track_id: str, size: int | None = 10, modified: int | None = 5, root: str = ROOT) -> Any:
    path = f"{root}/{track_id}"
    return SourceFile(track_id, path, root, path, size, modified)


def known(
    track_id: str, size: int | None = 10, modified: int | None = 5, root: str = ROOT, **columns: Any
) -> dict[str, Any]:
    """A row of the ``files`` table."""
    time = None if modified is None else EPOCH + timedelta(microseconds=modified)
    row = {"track_id": track_id, "uri": f"{root}/{track_id}", "source": root, "bytes": size}
    row |= {"modified": time, "status": "ok", "sample_rate": 44100, "run_id": "before"}
    return row | columns


def plan_of(
    recordings: Iterable[SourceFile],
    rows: Iterable[dict[str, Any]],
    *,
    labels: dict[str, str | None] | None = None,
    labelled: dict[str, str | None] | None = None,
    rich: dict[str, str | None] | None = None,
    sources: Iterable[str] = (ROOT,),
    unlisted: Iterable[str] = (),
    **options: bool,
) -> Plan:
    """Plan with the labels of tracks that have gtzan features and, if asked for, rich ones."""
    recordings, rows = list(recordings), list(rows)
    if labelled is None:
        labelled = {row["track_id"]: None for row in rows if row["status"] == "ok"}
    of_sets = {"gtzan": labelled} if rich is None else {"gtzan": labelled, "rich": rich}
    listing = listing_of(recordings, sources, unlisted)
    set_labels(listing, [table_of(labels or {})])
    # In several batches, as they come from several parts.
    load_files(listing, [pa.Table.from_pylist([row], FILES) for row in rows], list(of_sets))
    found = {name: [table_of(labelled)] for name, labelled in of_sets.items()}
    return make_plan(listing, found, run_id="now", **options)


def table_of(labels: dict[str, str | None]) -> pa.Table:
    schema = pa.schema([("track_id", pa.string()), ("label", pa.string())])
    return pa.table([[*labels.keys()], [*labels.values()]], schema=schema)


def ids(recordings: list[SourceFile]) -> list[str]:
    return [recording.track_id for recording in recordings]


# New, changed and unchanged files


def test_files_are_new_changed_unchanged_or_gone() -> None:
    recordings = [listed("kept"), listed("larger", 11), listed("touched", 10, 6), listed("new")]
    recordings.append(listed("unreadable now", None, None))
    plan = plan_of(recordings, map(known, ["gone", "kept", "larger", "touched", "unreadable now"]))
    assert ids(plan.new) == ["new"]
    assert ids(plan.repeat) == ["larger", "touched", "unreadable now"]
    assert plan.gone == ["gone"]
    assert (plan.changed, plan.retried) == (ids(plan.repeat), [])
    assert plan.unchanged == 1
    assert plan.relabelled == {}
    assert plan.moved.num_rows == 0


def test_a_microsecond_is_a_change_and_large_files_and_late_years_are_told_apart() -> None:
    modified = 4_102_444_800_000_001  # of the year 2100
    size = 1 << 40
    assert plan_of([listed("a", size, modified)], [known("a", size, modified)]).unchanged == 1
    assert plan_of([listed("a", size, modified)], [known("a", size, modified - 1)]).changed == ["a"]
    assert plan_of([listed("a", size, modified)], [known("a", size - 1, modified)]).changed == ["a"]


# Feature sets

TOO_SHORT = too_short("rich")


def test_a_file_lacks_a_feature_set_if_it_is_long_enough_and_has_no_row() -> None:
    names = ("known", "lacking", "short", "just", "nearly")
    recordings = [listed(name) for name in names]
    of_10_s = {"duration_s": 441_000 / 44_100}
    rows = [
        known("known", **of_10_s),
        known("lacking", **of_10_s),
        known("short", duration_s=2.0),
        # The analysed samples count, which are ceil(frames / 2) here: 220,500 are needed.
        known("just", duration_s=440_999 / 44_100),
        known("nearly", duration_s=440_998 / 44_100),
    ]
    plan = plan_of(recordings, rows, rich={"known": None})
    assert {sets: ids(files) for sets, files in plan.incomplete.items()} == {
        ("rich",): ["just", "lacking"]
    }
    assert plan.unchanged == 5
    assert {row["track_id"]: row["message"] for row in plan.moved.to_pylist()} == {
        "short": TOO_SHORT,
        "nearly": TOO_SHORT,
    }
    plan = plan_of(recordings, rows)
    assert (plan.incomplete, plan.moved.num_rows) == ({}, 0)


def test_a_file_that_only_another_source_lists_now_has_a_new_source() -> None:
    row = known("a", uri="/music/a", source="/music/*")
    (moved,) = plan_of([listed("a")], [row]).moved.to_pylist()
    assert (moved["uri"], moved["source"]) == ("/music/a", ROOT)


def test_the_label_of_the_first_feature_set_counts() -> None:
    options = {"labels": {"a": "jazz"}, "labelled": {"a": "jazz"}, "rich": {"a": "rock"}}
    assert plan_of([listed("a")], [known("a")], **options).relabelled == {}


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 44_099, 48_000, 96_001])
def test_a_plan_counts_the_samples_that_the_featurizer_analyses(rate: int) -> None:
    around = round(10 * rate)
    for frames in range(around - 4, around + 4):
        signal = MonoSignal(rate, 0.0, None)
        signal.append_mean(np.zeros((1, frames), np.float32))
        seconds = signal.seconds
        is_analysed = feature_set("rich").too_short(len(signal.finish())) is None
        row = known("a", duration_s=seconds, sample_rate=rate)
        assert bool(plan_of([listed("a")], [row], rich={}).incomplete) == is_analysed


# Against a model


@pytest.mark.parametrize("seed", range(60))
def test_a_plan_is_what_going_through_the_files_one_by_one_gives(seed: int) -> None:  # noqa: PLR0915
    random_ = random.Random(seed)
    folders = ["rock", "rock/80s", "rockabilly"]
    names = [f"{folder}/{i}" for folder in folders for i in range(8)]
    roots = ["/one", "/two", "/three"]
    rows = [
        known(
            name,
            random_.choice([None, 0]),
            random_.choice([None, 0]),
            root=random_.choice(roots),
            status=random_.choice(["ok", "failed"]),
            run_id=random_.choice(["before", "now"]),
            # Of 0.9, 9.9999 and 10 s at 44,100 Hz.
            duration_s=random_.choice([None, 0.9, 440_998 / 44_100, 440_999 / 44_100]),
            message=random_.choice([None, "A note.", TOO_SHORT, f"A note. {TOO_SHORT}"]),
        )
        for name in random_.sample(names, random_.randint(0, 24))
    ]
    for row in rows:
        if row["status"] == "failed" and random_.random() < 0.5:
            row["error"] = random_.choice(["too-short", "unreadable"])
    sources = random_.sample(roots, random_.randint(1, 2))
    recordings = [
        listed(name, random_.choice([None, 0]), random_.choice([None, 0]), random_.choice(sources))
        for name in sorted(random_.sample(names, random_.randint(1, 24)))
    ]
    words = [None, "p", "q"]
    labels = {recording.track_id: random_.choice(words) for recording in recordings}
    ok = [row["track_id"] for row in rows if row["status"] == "ok"]
    of_gtzan, of_rich = ({track for track in ok if random_.random() < 0.8} for _ in range(2))
    labels_of = {track: random_.choice(words) for track in ok}
    labelled, rich = ({track: labels_of[track] for track in of} for of in (of_gtzan, of_rich))
    options = {name: random_.random() < 0.3 for name in ("force", "retry_failed", "replace_all")}
    unlisted = [f"{random_.choice(roots)}/{name}" for name in folders if random_.random() < 0.5]
    plan = plan_of(
        recordings,
        rows,
        labels=labels,
        labelled=labelled,
        rich=rich,
        sources=sources,
        unlisted=unlisted,
        **options,
    )

    by_track = {row["track_id"]: row for row in rows}
    new, repeat, changes, unchanged, relabelled, moved = [], [], [], [], {}, {}
    incomplete: dict[tuple[str, ...], list[str]] = {}
    for recording in recordings:
        track = recording.track_id
        row = by_track.get(track)
        if row is None:
            new.append(track)
            continue
        modified = row["modified"] and (row["modified"] - EPOCH) // timedelta(microseconds=1)
        changed = (row["bytes"], modified) != (recording.size, recording.modified)
        asked_for = options["force"] or options["replace_all"]
        asked_for |= options["retry_failed"] and row["status"] == "failed"
        is_known = row["duration_s"] is not None
        fits_rich = is_known and row["duration_s"] > 9.99997
        # A failed file that is long enough was tried with other feature sets.
        asked_for |= row.get("error") == "too-short" and is_known
        if changed or (asked_for and row["run_id"] != "now"):
            repeat.append(track)
            changes += [track] * changed
        else:
            unchanged.append(track)
            if track in of_gtzan | of_rich and labels_of[track] != labels[track]:
                relabelled[track] = labels[track]
            message = row["message"]
            if row["status"] == "ok" and is_known:
                lacking = ["gtzan"] * (track not in of_gtzan)
                lacking += ["rich"] * (fits_rich and track not in of_rich)
                if lacking:
                    incomplete.setdefault(tuple(lacking), []).append(track)
                if not fits_rich and TOO_SHORT not in str(message):
                    message = f"{message} {TOO_SHORT}" if message else TOO_SHORT
            if (row["source"], row["message"]) != (recording.source, message):
                new_row = {"source": recording.source, "uri": recording.uri, "message": message}
                moved[track] = {"track_id": track, **new_row}
    gone = [
        row["track_id"]
        for row in rows
        if row["track_id"] not in labels
        and (row["source"] in sources or options["replace_all"])
        and not any(row["uri"].startswith(f"{folder}/") for folder in unlisted)
    ]
    assert (ids(plan.new), ids(plan.repeat), plan.unchanged) == (new, repeat, len(unchanged))
    assert plan.changed == changes
    assert plan.retried == [track for track in repeat if track not in changes]
    assert {sets: ids(files) for sets, files in plan.incomplete.items()} == incomplete
    assert sorted(plan.gone) == sorted(gone)
    assert plan.relabelled == relabelled
    found = {row["track_id"]: row for row in plan.moved.to_pylist()}
    assert found == moved


# Batches


def of_seconds(track_id: str, seconds: float) -> SourceFile:
    return listed(track_id, int(seconds * 44100), 1)


def test_the_length_of_a_recording_is_guessed_from_its_size_and_suffix() -> None:
    lengths = {"a.wav": 10, "a.au": 10, "a.mp3": 50, "a.MP3": 50, "a.flac": 20}
    found = {name: estimate_seconds(of_seconds(name, 10)) for name in lengths}
    assert found == pytest.approx(lengths)
    assert {estimate_seconds(listed(name, None, None)) for name in lengths} == {0}


@pytest.mark.parametrize("threads", [0, 1, 2, 16])  # 0: no worker has joined yet
@pytest.mark.parametrize("seed", range(6))
def test_every_file_is_in_one_batch_and_no_batch_is_too_large(threads: int, seed: int) -> None:
    random_ = random.Random(seed)
    longest = random_.choice([5, 60, 2000])
    recordings = [
        of_seconds(f"{i:05}.wav", random_.random() ** 4 * longest)
        for i in range(random_.choice([0, 1, 7, 400, 3000]))
    ]
    found = [group.files for group in make_groups(recordings, threads)]
    assert sorted(itertools.chain(*map(ids, found))) == ids(recordings)
    for batch in found:
        assert 1 <= len(batch) <= BATCH_FILES
        assert len(batch) == 1 or sum(map(estimate_seconds, batch)) <= BATCH_AUDIO_S
    assert found == [group.files for group in make_groups(recordings, threads)]


def test_files_of_no_known_length_are_spread_all_the_same() -> None:
    recordings = [listed(f"{i:03}", None, None) for i in range(100)]
    sizes = [len(group.files) for group in make_groups(recordings, 5)]
    assert sizes[0] == 10
    assert sizes[-5:] == [1] * 5


def test_a_small_collection_keeps_every_thread_busy() -> None:
    recordings = [of_seconds(f"{i:03}.wav", 30) for i in range(64)]
    assert len(list(make_groups(recordings, 4))) >= 16


def test_the_largest_files_come_first_and_alone() -> None:
    recordings = [of_seconds(f"{i}.wav", s) for i, s in enumerate([30, 7200, 30, 9000, 30])]
    found = [ids(group.files) for group in make_groups(recordings, 2)]
    assert found[:2] == [["3.wav"], ["1.wav"]]
    assert sorted(itertools.chain(*found)) == ids(recordings)


def test_batches_become_smaller_until_every_thread_ends_with_single_files() -> None:
    recordings = [of_seconds(f"{i:03}.wav", 30) for i in range(200)]
    sizes = [len(group.files) for group in make_groups(recordings, 3)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 600 / 30
    assert sizes[-3:] == [1] * 3


@pytest.mark.parametrize(
    ("threads", "minutes", "long"),
    [
        (1, [120], []),
        (2, [120], [0]),
        (2, [9], []),
        (2, [120, 120, 120], [0, 1, 2]),
        (2, [60, *[10] * 60], []),
        (8, [60, *[10] * 60], [0]),
    ],
)
def test_two_threads_share_a_recording_that_would_keep_one_busy_after_the_others(
    threads: int, minutes: list[int], long: list[int]
) -> None:
    recordings = [of_seconds(f"{i}.wav", 60 * length) for i, length in enumerate(minutes)]
    groups = make_groups(recordings, threads)
    assert [group.files for group in groups if group.is_long] == [[recordings[i]] for i in long]


# Another file under a known name


@pytest.fixture
def albums(tmp_path: Path) -> list[Path]:
    """Two folders with a file of the same name."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "01.wav").write_text("a")
    return folders


def plan_again(folder: Path, row: dict[str, Any], **options: bool) -> Plan:
    """Plan a run on a folder with the file that has this row."""
    recordings = [listed(row["track_id"], root=str(folder))]
    return plan_of(recordings, [row], sources=[str(folder)], **options)


def test_an_existing_file_is_not_replaced_by_its_namesake(albums: list[Path]) -> None:
    first, second = albums
    row = known("01.wav", root=str(first))
    error = f"{first}/01.wav, which is still there; {second}/01.wav would replace it"
    with pytest.raises(UsageError, match=error):
        plan_again(second, row)
    assert plan_again(second, row, force=True).retried == ["01.wav"]


def test_a_moved_file_is_unchanged(albums: list[Path]) -> None:
    first, second = albums
    (first / "01.wav").unlink()
    plan = plan_again(second, known("01.wav", root=str(first)))
    assert (plan.unchanged, plan.moved["uri"].to_pylist()) == (1, [str(second / "01.wav")])


def test_one_file_under_two_paths_is_unchanged(albums: list[Path]) -> None:
    first, second = albums
    (second / "01.wav").unlink()
    (second / "01.wav").symlink_to(first / "01.wav")
    assert plan_again(second, known("01.wav", root=str(first))).unchanged == 1


def test_a_forbidden_file_is_tried_again_when_it_may_be_read(tmp_path: Path) -> None:
    row = known("a.wav", root=str(tmp_path), status="failed", error="forbidden")
    assert plan_again(tmp_path, row).unchanged == 1
    (tmp_path / "a.wav").write_text("a")
    assert plan_again(tmp_path, row).changed == ["a.wav"]
    row["error"] = "unreadable"
    assert plan_again(tmp_path, row).unchanged == 1
