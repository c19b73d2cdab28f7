"""Predictions of every track of a store, against plain XGBoost on the same rows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.command_line import Command
from support.made_models import (
    MISFITS,
    TRICKY_CLASSES,
    make_lda,
    plainly,
    put_model,
    read_parts,
    read_predictions,
)
from support.made_stores import make_store, read_rows

from featurizer.feature_set import feature_set
from jobs.errors import ClusterError, StoreError, UsageError
from jobs.learning import dataset, ordered, predict_store
from jobs.learning.predict_store import StoreOutcome, predict_all
from jobs.learning.suspects import suspects
from jobs.store.tables import Store, open_store
from training.predictor import to_bytes
from training.suspects import find_suspects

GTZAN = feature_set("gtzan")

VERSION, LATER = "20260301T120000-aaaaaa", "20260302T120000-bbbbbb"

LABELS = {"a": TRICKY_CLASSES[0], "b": TRICKY_CLASSES[1], "c": None}
LABELS |= {"d": "no class of the model's", "e": None, "f": TRICKY_CLASSES[1]}

Predict = Callable[..., StoreOutcome]


def fill(root: Path, **changes: Any) -> Store:
    """A store with tracks in two parts, an empty part, and no segments of "e" and "f"."""
    fill_rows(root, {TRICKY_CLASSES[0]: 0.0, TRICKY_CLASSES[1]: 1.0, None: 2.0})
    store = open_store(str(root))
    put_model(store, VERSION, TRICKY_CLASSES, champion=True, **changes)
    return store


def fill_rows(root: Path, shift: dict[str | None, float]) -> None:
    rows = [(track, LABELS[track]) for track in "abcd" for _ in range(3)]
    make_store(root, rows[:4], [], rows[4:], shift=shift)
    make_store(root, LABELS.items(), level="track", shift=shift)


@pytest.fixture
def predict(
    root: Path, monkeypatch: pytest.MonkeyPatch, in_process_cluster: str
) -> Iterator[Predict]:
    """Predict on a cluster of this process, in pieces of five rows."""
    monkeypatch.setattr(dataset, "READ_ROWS", 5)
    yield lambda **options: predict_all(store=str(root), scheduler=in_process_cluster, **options)
    predict_store._model.cache_clear()
    predict_store._excluded_tracks.cache_clear()


def means(root: Path, version: str = VERSION) -> np.ndarray:
    """Return the expected probabilities of each track, by plain XGBoost."""
    segments, tracks = read_rows(root), read_rows(root, "track")
    rows = pd.concat([segments, tracks[~tracks["track_id"].isin(segments["track_id"])]])
    given = pd.DataFrame(plainly(root, version, rows)[1])
    return given.groupby(rows["track_id"].to_numpy()).mean().to_numpy()


def test_every_track_gets_one_row_of_probabilities(root: Path, predict: Predict) -> None:
    fill(root)
    outcome = predict()
    found = read_predictions(root, "track")
    known = ["track_id", "label", "predicted", "probability", "learnt", "model"]
    assert list(found.columns) == [*known, *(f"p_{name}" for name in TRICKY_CLASSES)]
    assert found["track_id"].tolist() == [*"abcdef"]
    labels = found["label"].astype(object).where(found["label"].notna(), None)
    assert labels.tolist() == [*LABELS.values()]
    assert set(found["model"]) == {VERSION}
    probabilities = found.filter(like="p_").to_numpy()
    assert found["probability"].tolist() == probabilities.max(axis=1).tolist()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, means(root), atol=1e-6)
    assert found["predicted"].tolist() == [TRICKY_CLASSES[i] for i in probabilities.argmax(axis=1)]
    assert len(set(found["predicted"])) > 1
    assert (outcome.tracks, outcome.segments, outcome.model) == (6, 0, VERSION)
    assert outcome.labels == found["predicted"].value_counts().to_dict()
    assert not (root / "predictions/level=segment").exists()


def test_segments_are_written_when_they_are_asked_for(root: Path, predict: Predict) -> None:
    fill(root)
    assert predict(segments=True).segments == 12
    found = read_predictions(root, "segment")
    rows = read_rows(root).sort_values(["track_id", "segment"], ignore_index=True)
    same = ["track_id", "label", "segment", "start_s"]
    pd.testing.assert_frame_equal(found[same], rows[same])
    classes, given = plainly(root, VERSION, rows)
    np.testing.assert_allclose(found[[f"p_{name}" for name in classes]], given, atol=1e-6)
    assert found["predicted"].tolist() == [classes[i] for i in given.argmax(axis=1)]
    # A run without segments removes them, because they may be of another model.
    predict()
    assert read_predictions(root, "segment").empty


FOLDS = {"a": 1, "b": 0, "d": None, "e": 0, "gone": 1}
"""Tracks that a model has learnt, and their folds."""


def test_a_learnt_track_is_predicted_by_the_model_of_its_fold(root: Path, predict: Predict) -> None:
    fill(root, folds=FOLDS)
    outcome = predict(segments=True, long=True)
    segments, tracks = read_rows(root), read_rows(root, "track")
    for level, rows in (
        ("segment", segments.sort_values(["track_id", "segment"], ignore_index=True)),
        ("track", pd.concat([segments, tracks[tracks["track_id"].isin(["e", "f"])]])),
    ):
        by_stem = {
            stem: pd.DataFrame(plainly(root, VERSION, rows, f"{stem}.ubj")[1])
            for stem in ("fold-0", "fold-1", "model")
        }
        ids = rows["track_id"].reset_index(drop=True)
        stems = ids.map({"a": "fold-1", "b": "fold-0", "e": "fold-0"}).fillna("model")
        expected = pd.DataFrame([by_stem[stem].iloc[i] for i, stem in enumerate(stems)])
        if level == "track":
            expected = expected.groupby(ids).mean()
        found = read_predictions(root, level)
        np.testing.assert_allclose(found.filter(like="p_"), expected, atol=1e-6)
        assert found["learnt"].tolist() == (found["track_id"] == "d").tolist()
    assert outcome.learnt == 1
    found = found[["track_id", *(f"p_{name}" for name in TRICKY_CLASSES)]]
    long = found.melt("track_id", var_name="class", value_name="probability")
    long["class"] = long["class"].str.removeprefix("p_")
    written = pd.read_parquet(root / "predictions-long").sort_values(["class", "track_id"])
    expected = long.sort_values(["class", "track_id"])
    pd.testing.assert_frame_equal(written.reset_index(drop=True), expected.reset_index(drop=True))
    predict()
    assert pd.read_parquet(root / "predictions-long").empty


def test_labels_that_held_out_predictions_contradict_are_suspected(
    root: Path, predict: Predict, command: Command
) -> None:
    fill(root, folds={"a": 0, "b": 1, "d": 0, "f": 1})
    fill_rows(root, {TRICKY_CLASSES[0]: 1.0, TRICKY_CLASSES[1]: 0.0, None: 2.0})
    with pytest.raises(UsageError, match="predict --all"):
        suspects(str(root))
    outcome = predict()
    found = read_predictions(root, "track").set_index("track_id")
    rows = suspects(str(root))
    assert outcome.suspects == len(rows) > 0
    expected, _ = find_suspects(
        np.array([TRICKY_CLASSES.index(LABELS[track] or "") for track in "abf"]),
        found.loc[[*"abf"]].filter(like="p_").to_numpy(),
    )
    assert [row["track_id"] for row in rows] == ["abf"[i] for i in expected]
    for rank, row in enumerate(rows, 1):
        of_track = found.loc[row["track_id"]]
        assert (row["rank"], row["label"], row["model"]) == (rank, of_track["label"], VERSION)
        assert row["probability"] == of_track[f"p_{row['suggested']}"]
        assert row["self_confidence"] == of_track[f"p_{row['label']}"]
        assert row["margin"] == pytest.approx(row["probability"] - row["self_confidence"])
        assert f"{row['probability']:.2f}" in row["reason"]
    code, out, _ = command("suspects", "--store", root, "--json")
    assert (code, json.loads(out)["suspects"]) == (0, rows)
    _, out, _ = command("suspects", "--store", root)
    assert out.splitlines()[1].split()[:2] == ["1", rows[0]["track_id"]]


@pytest.mark.parametrize(("learnt_tracks", "learnt"), [(3, "abd"), (4, "abcdef")])
def test_a_model_without_folds_has_learnt_its_split_or_more(
    root: Path, predict: Predict, learnt_tracks: int, learnt: str
) -> None:
    split = {"a": "train", "b": "test", "d": "valid"}
    fill(root, split=split, data={"tracks": learnt_tracks})
    predict()
    found = read_predictions(root, "track")
    np.testing.assert_allclose(found.filter(like="p_"), means(root), atol=1e-6)
    assert found.loc[found["learnt"], "track_id"].tolist() == [*learnt]


def test_predictions_of_other_classes_replace_all_that_was_there(
    root: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(root)
    monkeypatch.setattr("jobs.store.commit.PART_ROWS", 2)
    predict(segments=True)
    folders = [root / f"predictions/level={level}" for level in ("track", "segment")]
    assert [len(read_parts(folder)) for folder in folders] == [3, 6]
    monkeypatch.setattr("jobs.store.commit.PART_ROWS", 100)
    put_model(store, LATER, ["x", "y"], champion=True)
    predict(segments=True)
    for folder, count in zip(folders, (6, 12), strict=True):
        # Parts of different columns cannot be concatenated.
        found = pa.concat_tables(read_parts(folder)).to_pandas()
        assert list(found)[-2:] == ["p_x", "p_y"]
        assert found["model"].tolist() == [LATER] * count
    found = read_predictions(root, "track")[["p_x", "p_y"]]
    np.testing.assert_allclose(found, means(root, LATER), atol=1e-6)


def test_workers_do_not_reuse_rows_of_an_earlier_run(root: Path, predict: Predict) -> None:
    """Workers outlive a run, and the tracks with segments may change."""
    fill(root)
    predict()
    make_store(root, [("a", None)] * 2, [("e", None)] * 2)
    predict()
    found = read_predictions(root, "track")
    assert found["track_id"].tolist() == [*"abcdef"]
    np.testing.assert_allclose(found.filter(like="p_"), means(root), atol=1e-6)


def test_a_model_of_tracks_predicts_the_track_rows(root: Path, predict: Predict) -> None:
    fill(root, level="track")
    assert predict().tracks == 6
    given = plainly(root, VERSION, read_rows(root, "track"))[1]
    found = read_predictions(root, "track").filter(like="p_")
    np.testing.assert_allclose(found, given, atol=1e-6)
    with pytest.raises(UsageError, match="was trained on tracks"):
        predict(segments=True)


def test_a_model_of_another_kind_predicts_if_it_is_asked_for(root: Path, predict: Predict) -> None:
    store = fill(root)
    classes = ["x", "y"]
    lda = make_lda(classes)
    options: dict[str, Any] = {"kind": "lda", "rounds": 0, "level": "track"}
    put_model(store, LATER, classes, trees=to_bytes(lda), **options)
    assert predict(model="lda").model == LATER
    found, rows = read_predictions(root, "track"), read_rows(root, "track")
    given = lda.probabilities(rows[list(GTZAN.names)].to_numpy())
    np.testing.assert_allclose(found[["p_x", "p_y"]], given, atol=1e-6)
    assert predict().model == VERSION


def test_a_store_without_rows_gets_no_predictions(root: Path, predict: Predict) -> None:
    put_model(make_store(root), VERSION, TRICKY_CLASSES, champion=True)
    outcome = predict(segments=True)
    assert (outcome.tracks, outcome.segments, outcome.labels) == (0, 0, {})


@pytest.mark.parametrize(
    ("changes", "text"), [*MISFITS, ({"segment_seconds": 5.0}, "segments of 5 s")]
)
def test_a_model_of_other_features_leaves_predictions_as_they_are(
    root: Path, predict: Predict, changes: dict[str, Any], text: str
) -> None:
    store = fill(root)
    predict()
    before = read_predictions(root, "track")
    put_model(store, LATER, TRICKY_CLASSES, champion=True, **changes)
    with pytest.raises(StoreError, match=text):
        predict()
    pd.testing.assert_frame_equal(read_predictions(root, "track"), before)


def test_a_failing_worker_leaves_predictions_as_they_are(
    root: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root)
    predict()
    before = read_predictions(root, "track")
    failed = [(0, OSError("no disk"))]
    monkeypatch.setattr(ordered, "map_unordered", lambda *_, **__: iter(failed))
    with pytest.raises(ClusterError, match="could not predict features/level=segment"):
        predict()
    pd.testing.assert_frame_equal(read_predictions(root, "track"), before)
    assert not list((root / "_work").glob("predict"))
