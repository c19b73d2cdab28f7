"""A store opened in a notebook: its tables, similar tracks, predictions."""

from pathlib import Path

import pandas as pd
import pytest
from support.made_models import plainly, put_model
from support.made_stores import make_store, read_rows
from support.recordings import write_recording

import songmill
from featurizer.feature_set import feature_set

TRACKS = [("b.wav", "x"), ("a.wav", "y"), ("c/a.wav", None), ("d.wav", "x")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_store(tmp_path / "store", TRACKS[:2], TRACKS[2:], level="track")
    make_store(tmp_path / "store", TRACKS, TRACKS, level="segment")
    return tmp_path / "store"


def test_tables_are_data_frames_in_the_order_of_their_keys(root: Path) -> None:
    store = songmill.open_store(root)
    assert repr(store) == f"Store({str(root)!r}: 4 tracks, 8 segments)"
    expected = read_rows(root, "track").sort_values("track_id", ignore_index=True)
    pd.testing.assert_frame_equal(store.tracks(), expected)
    keys = ["track_id", "segment"]
    expected = read_rows(root, "segment").sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(store.segments(), expected)
    assert store.files().empty
    assert "status" in store.files()


def test_tables_of_another_feature_set_are_read_by_its_name(tmp_path: Path) -> None:
    columns = {name: [float(i), i + 0.5] for i, name in enumerate(feature_set("rich").names)}
    pd.DataFrame({"track": ["b", "a"], **columns}).to_parquet(tmp_path / "rich.parquet")
    songmill.import_features([str(tmp_path / "rich.parquet")], store=str(tmp_path / "store"))
    store = songmill.open_store(tmp_path / "store")
    assert repr(store).endswith(": 2 tracks, 0 segments)")
    found = store.tracks(features="rich")
    assert found["track_id"].tolist() == ["a", "b"]
    assert found["texture_mfcc01_logstd_of_means"].tolist() == [1.5, 1.0]
    for arguments, error in (
        ({}, "has no gtzan features. Extract them: songmill .* --features rich,gtzan "),
        ({"features": "poor"}, "no feature set 'poor'"),
    ):
        with pytest.raises(songmill.SongmillError, match=error):
            store.tracks(**arguments)
    with pytest.raises(songmill.SongmillError, match="do not describe segments"):
        store.segments(features="rich")


def test_similar_tracks_are_those_of_the_query(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = songmill.open_store(root).similar("d", k=2)
    assert capsys.readouterr() == ("", "")
    assert list(found) == ["rank", "track_id", "label", "score", "cosine", "duplicate", "perhaps"]
    expected = songmill.similar("d", store=str(root), k=2).neighbours
    assert found.to_dict("records") == [vars(one) for one in expected]
    make_store(root, TRACKS, level="track", features="rich")
    for metric in ("cosine", "rich", "learned"):
        found = songmill.open_store(root).similar("d", k=2, metric=metric)
        expected = songmill.similar("d", store=str(root), k=2, metric=metric)
        assert expected.metric == metric
        assert found["track_id"].tolist() == [one.track_id for one in expected.neighbours]
        assert found["score"].tolist() == [one.score for one in expected.neighbours]


def test_predictions_are_those_of_the_champion(root: Path, tmp_path: Path) -> None:
    store = songmill.open_store(root)
    with pytest.raises(songmill.SongmillError, match="has no champion"):
        store.predict([str(root)])
    put_model(songmill.store.tables.open_store(str(root)), "v1", ["y", "x"], champion=True)
    write_recording(tmp_path / "new" / "take.wav", 0)
    (tmp_path / "new" / "empty.wav").touch()
    failed, found = store.predict([str(tmp_path / "new")]).to_dict("records")
    assert failed["error"] == "empty"
    assert pd.isna(failed["predicted"])
    rows = pd.DataFrame([songmill.features(tmp_path / "new" / "take.wav")])
    classes, given = plainly(root, "v1", rows)
    assert found["predicted"] == classes[given[0].argmax()]
    assert {name: found[f"p_{name}"] for name in classes} == pytest.approx(
        dict(zip(classes, given[0].tolist(), strict=True))
    )


def test_a_missing_store_raises_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(songmill.SongmillError, match="there is no store"):
        songmill.open_store(tmp_path)


def test_the_home_folder_and_paths_are_understood(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process_cluster: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(songmill.open_store("~/store").tracks()) == 4
    write_recording(tmp_path / "music" / "take.wav", 0)
    for sources in ("~/music", tmp_path / "music", ["~/music"]):
        outcome = songmill.extract(sources, store="~/tables", scheduler=in_process_cluster)
        assert outcome.listed == 1
    assert songmill.open_store(tmp_path / "tables").tracks()["track_id"].tolist() == ["take.wav"]
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "~" / "literal.wav", 1)
    outcome = songmill.extract("~", store="literal", scheduler=in_process_cluster)
    assert outcome.listed == 1
