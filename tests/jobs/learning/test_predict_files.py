"""Predictions of recordings, against plain XGBoost on the same features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from support.command_line import Command
from support.made_models import MISFITS, TRICKY_CLASSES, make_lda, plainly, put_model
from support.made_stores import make_store, put

from featurizer.extract import extract
from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.learning.predict_files import FilesOutcome, predict_files
from jobs.store.schemas import FILES
from jobs.store.tables import open_store
from training.predictor import to_bytes

GTZAN = feature_set("gtzan")

VERSION = "20260301T120000-aaaaaa"
LENGTH = 0.5
SR = 22050


def make_champion(root: Path, **changes: Any) -> None:
    """A store of longer segments, without rows, with a model that tells the takes apart."""
    changes = {"segment_seconds": LENGTH, **changes}
    put_model(make_store(root), VERSION, TRICKY_CLASSES, champion=True, **changes)


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of three, two and no whole segments, and a corrupt file."""
    folder = tmp_path_factory.mktemp("takes")
    for i, seconds in enumerate((1.7, 1.0, 0.4)):
        t = np.arange(int(seconds * SR)) / SR
        y = 0.3 * np.sin(2 * np.pi * (300 + 400 * i) * t * (1 + t / 3))
        noise = np.random.default_rng(i).standard_normal(len(t))
        soundfile.write(folder / f"take{i}.wav", y + 0.02 * noise, SR)
    (folder / "corrupt.wav").write_text("not a recording")
    return folder


def predict(root: Path, *files: Path) -> FilesOutcome:
    return predict_files([str(file) for file in files], store=str(root))


def expected(root: Path, rows: np.ndarray) -> np.ndarray:
    return plainly(root, VERSION, pd.DataFrame(rows, columns=list(GTZAN.names)))[1]


def in_order(probabilities: dict[str, float]) -> list[float]:
    return [probabilities[name] for name in TRICKY_CLASSES]


def test_recordings_are_judged_by_the_mean_of_their_segments(root: Path, takes: Path) -> None:
    make_champion(root)
    outcome = predict(root, takes / "take0.wav", takes / "take1.wav")
    assert (outcome.model, outcome.failed) == (VERSION, 0)
    assert [Path(one.file).name for one in outcome.files] == ["take0.wav", "take1.wav"]
    for one, starts in zip(outcome.files, ([0.0, 0.5, 1.0], [0.0, 0.5]), strict=True):
        found = extract(one.file, segment_seconds=LENGTH).rows["gtzan"]
        of_segments = expected(root, found.segments)
        mean = of_segments.mean(axis=0)
        assert one.predicted == TRICKY_CLASSES[mean.argmax()]
        assert list(one.probabilities.values()) == sorted(one.probabilities.values(), reverse=True)
        assert in_order(one.probabilities) == pytest.approx(mean.tolist())
        assert [segment.start_s for segment in one.segments] == starts
        for segment, given in zip(one.segments, of_segments, strict=True):
            assert segment.end_s - segment.start_s == pytest.approx(LENGTH, abs=2 / SR)
            assert segment.predicted == TRICKY_CLASSES[given.argmax()]
            assert in_order(segment.probabilities) == pytest.approx(given.tolist())


def test_a_file_of_the_store_is_predicted_by_the_model_of_its_fold(
    root: Path, takes: Path, command: Command
) -> None:
    make_champion(root, folds={"a": 1, "b": None, "c": 0})
    tracks = {"a": "take0.wav", "b": "take1.wav"}
    files = [
        {"track_id": track, "uri": str(takes / name), "status": "ok"}
        for track, name in tracks.items()
    ]
    put(open_store(str(root)), "files", files, FILES)
    outcome = predict(root, takes / "take0.wav", takes / "take1.wav", takes / "take2.wav")
    assert [one.learnt for one in outcome.files] == [False, True, False]
    for one, stem in zip(outcome.files, ("fold-1", "model", "model"), strict=True):
        found = extract(one.file, segment_seconds=LENGTH).rows["gtzan"]
        rows = found.segments if len(found.segments) else found.track[np.newaxis]
        frame = pd.DataFrame(rows, columns=list(GTZAN.names))
        expected = plainly(root, VERSION, frame, f"{stem}.ubj")[1].mean(axis=0)
        assert in_order(one.probabilities) == pytest.approx(expected.tolist())
    _, out, _ = command("predict", takes / "take1.wav", "--store", root)
    assert "It has learnt 1 file" in out


def test_a_file_that_is_in_no_store_is_not_learnt(root: Path, takes: Path) -> None:
    """Even if the model of an older songmill does not list all tracks that it has learnt."""
    make_champion(root, data={"tracks": 9})
    assert not predict(root, takes / "take2.wav").files[0].learnt


@pytest.mark.parametrize(("level", "take"), [("segment", "take2.wav"), ("track", "take0.wav")])
def test_a_short_recording_and_any_by_a_model_of_tracks_is_judged_as_a_whole(
    root: Path, takes: Path, level: str, take: str
) -> None:
    make_champion(root, level=level)
    (one,) = predict(root, takes / take).files
    track = extract(one.file, segment_seconds=LENGTH).rows["gtzan"].track
    (given,) = expected(root, track[np.newaxis])
    assert one.segments == []
    assert in_order(one.probabilities) == pytest.approx(given.tolist())


def test_a_corrupt_file_costs_only_itself_and_the_exit_code_is_one(
    root: Path, takes: Path, command: Command
) -> None:
    make_champion(root)
    code, out, err = command("predict", takes, "--store", root, "--json", "--segments")
    assert code == 1
    assert err.splitlines()[-1] == "songmill: 1 of 4 files gave no prediction"
    corrupt, *good = json.loads(out)["files"]
    assert (corrupt["predicted"], corrupt["error"]) == (None, "unreadable")
    assert corrupt["message"]
    assert corrupt["probabilities"] == {}
    assert all(one["error"] is None and one["predicted"] in TRICKY_CLASSES for one in good)
    assert [len(one["segments"]) for one in good] == [3, 2, 0]
    code, out, _ = command("predict", *sorted(takes.glob("take*")), "--store", root, "--json")
    files = json.loads(out)["files"]
    assert (code, len(files)) == (0, 3)
    assert not any("segments" in one for one in files)


@pytest.mark.parametrize(("changes", "text"), MISFITS)
def test_a_model_of_other_features_refuses_recordings(
    root: Path, takes: Path, changes: dict[str, Any], text: str
) -> None:
    make_champion(root, **changes)
    with pytest.raises(StoreError, match=text):
        predict(root, takes / "take0.wav")


def test_without_a_model_nothing_is_predicted(root: Path, takes: Path) -> None:
    store = make_store(root)
    with pytest.raises(UsageError, match="songmill train"):
        predict(root, takes / "take0.wav")
    put_model(store, VERSION, TRICKY_CLASSES)
    with pytest.raises(UsageError, match="songmill promote"):
        predict(root, takes / "take0.wav")


def test_a_model_of_another_kind_than_the_champions_predicts_if_it_is_asked_for(
    root: Path, takes: Path, command: Command
) -> None:
    make_champion(root)
    classes = sorted(TRICKY_CLASSES)
    lda = to_bytes(make_lda(classes))
    options: dict[str, Any] = {"kind": "lda", "rounds": 0, "level": "track"}
    put_model(open_store(str(root)), "lda", classes, trees=lda, **options)
    arguments = ("predict", takes / "take0.wav", "--store", root, "--json")
    code, out, err = command(*arguments, "--model", "lda", "--features", "gtzan")
    assert (code, json.loads(out)["model"]) == (0, "lda")
    assert "predicting by lda, the newest lda model of gtzan features (the champion is" in err
    assert json.loads(command(*arguments, "--model", "xgboost")[1])["model"] == VERSION
    code, _, err = command("predict", "--all", "--store", root, "--features", "rich")
    assert code == 2
    assert f"has no model of rich features (it has xgboost of {GTZAN.version}, lda of" in err
