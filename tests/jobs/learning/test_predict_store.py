"""Predictions of every track of a store, against plain XGBoost on the same rows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
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
from jobs.store.tables import Store
from training.predictor import to_bytes

GTZAN = feature_set("gtzan")

VERSION, LATER = "20260301T120000-aaaaaa", "20260302T120000-bbbbbb"

LABELS = {"a": TRICKY_CLASSES[0], "b": TRICKY_CLASSES[1], "c": None}
LABELS |= {"d": "no class of the model's", "e": None, "f": TRICKY_CLASSES[1]}

Predict = Callable[..., StoreOutcome]


def fill(root: Path, **changes: Any) -> Store:
    """A store with tracks in two parts, an empty part, and no segments of "e" and "f"."""
    rows = [(track, LABELS[track]) for track in "abcd" for _ in range(3)]
    shift: dict[str | None, float] = {TRICKY_CLASSES[0]: 0.0, TRICKY_CLASSES[1]: 1.0, None: 2.0}
    make_store(root, rows[:4], [], rows[4:], shift=shift)
    store = make_store(root, LABELS.items(), level="track", shift=shift)
    put_model(store, VERSION, TRICKY_CLASSES, champion=True, **changes)
    return store


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
    columns = ["track_id", "label", "predicted", "model", *(f"p_{name}" for name in TRICKY_CLASSES)]
    assert list(found.columns) == columns
    assert found["track_id"].tolist() == [*"abcdef"]
    labels = found["label"].astype(object).where(found["label"].notna(), None)
    assert labels.tolist() == [*LABELS.values()]
    assert set(found["model"]) == {VERSION}
    probabilities = found[columns[4:]].to_numpy()
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
    np.testing.assert_allclose(found.iloc[:, 4:], means(root), atol=1e-6)


def test_a_model_of_tracks_predicts_the_track_rows(root: Path, predict: Predict) -> None:
    fill(root, level="track")
    assert predict().tracks == 6
    given = plainly(root, VERSION, read_rows(root, "track"))[1]
    np.testing.assert_allclose(read_predictions(root, "track").iloc[:, 4:], given, atol=1e-6)
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
