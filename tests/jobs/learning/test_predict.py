"""Predictions, against plain XGBoost on the same rows: of new recordings, and of a store."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
import soundfile
from support.command_line import Command
from support.made_models import plainly, put_model, read_parts
from support.made_stores import make_store, read_rows

import jobs.learning.predict
from featurizer.columns import FEATURE_COLUMNS
from featurizer.extract import extract
from jobs.errors import ClusterError, StoreError, UsageError
from jobs.learning.predict import FilesOutcome, StoreOutcome, predict_all, predict_files
from jobs.store.tables import Store

VERSION = "20260301T120000-aaaaaa"
LENGTH = 0.5
SR = 22050

CLASSES = ['a,b "c"\n', "null", "\N{GUITAR}"]
"""What labels may look like."""


# New recordings


def record(path: Path, seconds: float, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(seconds * SR)) / SR
    y = 0.3 * np.sin(2 * np.pi * (300 + 400 * seed) * t * (1 + t / 3))
    soundfile.write(path, y + 0.02 * np.random.default_rng(seed).standard_normal(len(t)), SR)
    return path


def store_for_files(root: Path, **changes: Any) -> Store:
    """A store without rows, with a model that tells the recordings of :func:`record` apart."""
    store = make_store(root)
    store = Store(store.storage, replace(store.settings, segment_seconds=LENGTH))
    store.storage.write("store.json", store.settings.to_json())
    put_model(store, VERSION, CLASSES, champion=True, **changes)
    return store


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments and a bit; two; none; and a file that is no recording."""
    folder = tmp_path_factory.mktemp("takes")
    for i, seconds in enumerate((1.7, 1.0, 0.4)):
        record(folder / f"take{i}.wav", seconds, i)
    (folder / "rotten.wav").write_text("not a recording")
    return folder


def predict(root: Path, *files: Path) -> FilesOutcome:
    return predict_files([str(file) for file in files], store=str(root))


def expected(root: Path, rows: np.ndarray) -> np.ndarray:
    return plainly(root, VERSION, pd.DataFrame(rows, columns=list(FEATURE_COLUMNS)))[1]


def test_recordings_are_judged_by_the_mean_of_their_segments(tmp_path: Path, takes: Path) -> None:
    store_for_files(tmp_path / "store")
    outcome = predict(tmp_path / "store", takes / "take0.wav", takes / "take1.wav")
    assert (outcome.model, outcome.failed) == (VERSION, 0)
    assert [Path(one.file).name for one in outcome.files] == ["take0.wav", "take1.wav"]
    for one, starts in zip(outcome.files, ([0.0, 0.5, 1.0], [0.0, 0.5]), strict=True):
        features = extract(one.file, segment_seconds=LENGTH)
        of_segments = expected(tmp_path / "store", features.segments)
        mean = of_segments.mean(axis=0)
        assert one.predicted == CLASSES[mean.argmax()]
        assert list(one.probabilities.values()) == sorted(one.probabilities.values(), reverse=True)
        assert [one.probabilities[name] for name in CLASSES] == pytest.approx(mean.tolist())
        assert [segment.start_s for segment in one.segments] == starts
        for segment, given in zip(one.segments, of_segments, strict=True):
            assert segment.end_s - segment.start_s == pytest.approx(LENGTH, abs=2 / SR)
            assert segment.predicted == CLASSES[given.argmax()]
            assert [segment.probabilities[name] for name in CLASSES] == pytest.approx(
                given.tolist()
            )


def test_a_recording_shorter_than_a_segment_is_judged_as_a_whole(
    tmp_path: Path, takes: Path
) -> None:
    store_for_files(tmp_path / "store")
    (one,) = predict(tmp_path / "store", takes / "take2.wav").files
    track = extract(one.file, segment_seconds=LENGTH).track
    (given,) = expected(tmp_path / "store", track[np.newaxis])
    assert one.segments == []
    assert [one.probabilities[name] for name in CLASSES] == pytest.approx(given.tolist())


def test_a_model_of_tracks_judges_whole_recordings(tmp_path: Path, takes: Path) -> None:
    store_for_files(tmp_path / "store", level="track")
    (one,) = predict(tmp_path / "store", takes / "take0.wav").files
    track = extract(one.file, segment_seconds=LENGTH).track
    (given,) = expected(tmp_path / "store", track[np.newaxis])
    assert one.segments == []
    assert [one.probabilities[name] for name in CLASSES] == pytest.approx(given.tolist())


def test_segments_are_as_long_as_the_models_whatever_the_stores_are(
    tmp_path: Path, takes: Path
) -> None:
    store_for_files(tmp_path / "store", segment_seconds=0.2)
    (one,) = predict(tmp_path / "store", takes / "take1.wav").files
    starts = [segment.start_s for segment in one.segments]
    assert starts == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


def test_a_rotten_file_costs_only_itself_and_the_exit_code_is_one(
    tmp_path: Path, takes: Path, command: Command
) -> None:
    store_for_files(tmp_path / "store")
    arguments = ("predict", takes, "--store", tmp_path / "store", "--json")
    code, out, err = command(*arguments, "--segments")
    said = json.loads(out)
    assert code == 1
    assert err.splitlines()[-1] == "songmill: 1 of 4 files gave no prediction"
    rotten, *good = said["files"]
    assert (rotten["predicted"], rotten["error"]) == (None, "unreadable")
    assert rotten["message"]
    assert rotten["probabilities"] == {}
    assert all(one["error"] is None and one["predicted"] in CLASSES for one in good)
    assert [len(one["segments"]) for one in good] == [3, 2, 0]
    (takes / "rotten.wav").rename(takes.parent / "rotten.wav")
    try:
        code, out, _ = command(*arguments)
    finally:
        (takes.parent / "rotten.wav").rename(takes / "rotten.wav")
    files = json.loads(out)["files"]
    assert (code, len(files)) == (0, 3)
    assert not any("segments" in one for one in files)


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"feature_set": "other-9"}, "feature set other-9"),
    ({"columns": [*FEATURE_COLUMNS[1::-1], *FEATURE_COLUMNS[2:]]}, "another order"),
]


@pytest.mark.parametrize(("changes", "says"), MISFITS)
def test_a_model_of_other_features_refuses_recordings(
    tmp_path: Path, takes: Path, changes: dict[str, Any], says: str
) -> None:
    store_for_files(tmp_path / "store", **changes)
    with pytest.raises(StoreError, match=says):
        predict(tmp_path / "store", takes / "take0.wav")


def test_without_a_model_nothing_is_predicted(tmp_path: Path, takes: Path) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(UsageError, match="songmill train"):
        predict(tmp_path / "store", takes / "take0.wav")
    put_model(store, VERSION, CLASSES)
    with pytest.raises(UsageError, match="songmill promote"):
        predict(tmp_path / "store", takes / "take0.wav")


# Every track of the store


TRACKS = {"a": CLASSES[0], "b": CLASSES[1], "c": None, "d": "no class of the model's", "e": None}


def filled(root: Path, **changes: Any) -> Store:
    """A store of parts that cut tracks; "e" and "f" have no segment, and a part has no row."""
    rows = [(track, label) for track, label in TRACKS.items() if track != "e" for _ in range(3)]
    shift: dict[str | None, float] = {CLASSES[0]: 0.0, CLASSES[1]: 1.0, None: 2.0}
    make_store(root, rows[:4], [], rows[4:], shift=shift)
    store = make_store(root, [*TRACKS.items(), ("f", CLASSES[1])], level="track", shift=shift)
    put_model(store, VERSION, CLASSES, champion=True, **changes)
    return store


@pytest.fixture
def predict_store(
    monkeypatch: pytest.MonkeyPatch, in_process_cluster: str
) -> Iterator[Callable[..., StoreOutcome]]:
    """Predict on a cluster of this process, in pieces of five rows."""
    monkeypatch.setattr(jobs.learning.predict, "READ_ROWS", 5)

    def predict(root: Path, **options: Any) -> StoreOutcome:
        return predict_all(store=str(root), scheduler=in_process_cluster, **options)

    yield predict
    # Workers are other processes than those of the next test.
    jobs.learning.predict._model.cache_clear()
    jobs.learning.predict._left_out.cache_clear()


def table(root: Path, level: str) -> pd.DataFrame:
    """Read predictions as a stranger does, in order of their keys."""
    found = pyarrow.dataset.dataset(root / "predictions" / f"level={level}").to_table().to_pandas()
    return found.sort_values(["track_id", *(["segment"] if level == "segment" else [])])


def means(root: Path, version: str = VERSION) -> dict[str, np.ndarray]:
    """What each track's probabilities should be, by plain XGBoost."""
    found = {}
    for level in ("track", "segment"):
        rows = read_rows(root, level)
        rows = rows.assign(place=range(len(rows)))
        given = plainly(root, version, rows)[1]
        for track, own in rows.groupby("track_id"):
            found[str(track)] = given[own["place"]].mean(axis=0)
    return found


def test_every_track_gets_one_row_of_probabilities(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path
) -> None:
    root = tmp_path / "store"
    filled(root)
    outcome = predict_store(root)
    found = table(root, "track")
    columns = ["track_id", "label", "predicted", "model", *(f"p_{name}" for name in CLASSES)]
    assert list(found.columns) == columns
    assert found["track_id"].tolist() == [*"abcdef"]
    labels = found["label"].astype(object).where(found["label"].notna(), None)
    assert labels.tolist() == [*TRACKS.values(), CLASSES[1]]
    assert set(found["model"]) == {VERSION}
    probabilities = found[columns[4:]].to_numpy()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, [*means(root).values()], atol=1e-6)
    assert found["predicted"].tolist() == [CLASSES[i] for i in probabilities.argmax(axis=1)]
    assert len(set(found["predicted"])) > 1
    assert (outcome.tracks, outcome.segments, outcome.model) == (6, 0, VERSION)
    assert outcome.labels == found["predicted"].value_counts().to_dict()
    assert not (root / "predictions/level=segment").exists()


def test_segments_are_written_when_they_are_asked_for(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path
) -> None:
    root = tmp_path / "store"
    filled(root)
    assert predict_store(root, segments=True).segments == 12
    found = table(root, "segment").reset_index(drop=True)
    rows = read_rows(root).sort_values(["track_id", "segment"]).reset_index(drop=True)
    same = ["track_id", "label", "segment", "start_s"]
    pd.testing.assert_frame_equal(found[same], rows[same])
    classes, given = plainly(root, VERSION, rows)
    np.testing.assert_allclose(found[[f"p_{name}" for name in classes]], given, atol=1e-6)
    assert found["predicted"].tolist() == [classes[i] for i in given.argmax(axis=1)]
    # And they leave when they are not asked for, because they are not of this model.
    predict_store(root)
    assert table(root, "segment").empty


def test_predictions_of_other_classes_replace_all_that_was_there(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, later = tmp_path / "store", "20260302T120000-bbbbbb"
    store = filled(root)
    monkeypatch.setattr("jobs.store.commit.PART_ROWS", 2)
    predict_store(root, segments=True)
    parts = {level: read_parts(root / f"predictions/level={level}") for level in _LEVELS}
    assert [len(found) for found in parts.values()] == [3, 6]
    monkeypatch.setattr("jobs.store.commit.PART_ROWS", 100)
    put_model(store, later, ["x", "y"], champion=True)
    predict_store(root, segments=True)
    for level in _LEVELS:
        found = read_parts(root / f"predictions/level={level}")
        assert len({str(part.schema) for part in found}) == 1, level
        assert found[0].column_names[-2:] == ["p_x", "p_y"]
        assert set(table(root, level)["model"]) == {later}
        assert len(table(root, level)) == {"track": 6, "segment": 12}[level]
    np.testing.assert_allclose(
        table(root, "track")[["p_x", "p_y"]], [*means(root, later).values()], atol=1e-6
    )


_LEVELS = ("track", "segment")


def test_what_a_worker_has_read_for_one_run_does_not_hold_for_the_next(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path
) -> None:
    """Workers of a running cluster outlive the runs: which tracks have segments may change."""
    root = tmp_path / "store"
    filled(root)
    predict_store(root)
    make_store(root, [("a", None)] * 2, [("e", None)] * 2)
    predict_store(root)
    found = table(root, "track")
    assert found["track_id"].tolist() == [*"abcdef"]
    np.testing.assert_allclose(found.iloc[:, 4:], [*means(root).values()], atol=1e-6)


def test_a_model_of_tracks_predicts_the_track_rows(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path
) -> None:
    root = tmp_path / "store"
    filled(root, level="track")
    assert predict_store(root).tracks == 6
    given = plainly(root, VERSION, read_rows(root, "track"))[1]
    np.testing.assert_allclose(table(root, "track").iloc[:, 4:], given, atol=1e-6)
    with pytest.raises(UsageError, match="knows whole tracks"):
        predict_store(root, segments=True)


def test_a_store_without_rows_gets_no_predictions(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path
) -> None:
    root = tmp_path / "store"
    put_model(make_store(root), VERSION, CLASSES, champion=True)
    outcome = predict_store(root, segments=True)
    assert (outcome.tracks, outcome.segments, outcome.labels) == (0, 0, {})


@pytest.mark.parametrize(
    ("changes", "says"), [*MISFITS, ({"segment_seconds": 5.0}, "segments of 5 s")]
)
def test_a_model_of_other_features_leaves_predictions_as_they_are(
    predict_store: Callable[..., StoreOutcome], tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    root = tmp_path / "store"
    store = filled(root)
    predict_store(root)
    before = table(root, "track")
    put_model(store, "20260302T120000-bbbbbb", CLASSES, champion=True, **changes)
    with pytest.raises(StoreError, match=says):
        predict_store(root)
    pd.testing.assert_frame_equal(table(root, "track"), before)


def test_what_workers_cannot_read_ends_it_and_leaves_predictions_as_they_are(
    predict_store: Callable[..., StoreOutcome],
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    filled(root)
    predict_store(root)
    before = table(root, "track")

    def failing(client: Any, function: Any, arguments: Any, *, tick: Any) -> Any:
        yield 0, OSError("no disk")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.learning.predict, "each", failing)
        with pytest.raises(ClusterError, match="could not predict features/level=segment/part"):
            predict_store(root)
    pd.testing.assert_frame_equal(table(root, "track"), before)
    assert not list((root / "_work").glob("predict"))
