"""Queries by a track or a file, against the similarity table and brute force."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
from support import brute_force
from support.command_line import Command
from support.made_stores import make_store, read_rows, write_part
from support.recordings import make_collection

import jobs.demo.collection
from featurizer.extract import extract as features_of
from featurizer.feature_set import feature_set
from jobs.demo.collection import list_tracks, synthesise
from jobs.errors import SongmillError, UsageError
from jobs.extraction.extract import extract
from jobs.extraction.import_features import import_features
from jobs.neighbours.query import Outcome, similar
from jobs.neighbours.similarity import similarity
from jobs.store.tables import open_store
from recommend.metric import Name
from recommend.recognise import Distances

GTZAN, RICH = feature_set("gtzan"), feature_set("rich")


def ask(root: Path, recording: str | Path, **options: Any) -> Outcome:
    return similar(str(recording), store=str(root), **options)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, in_process_cluster: str) -> Path:
    """Three styles of the demo's collection, with features and similarity."""
    folder = tmp_path_factory.mktemp("demo")
    music, store = folder / "collection", str(folder / "store")
    # With one recording under two labels.
    tracks = [one for one in list_tracks() if one.label in ("folk", "nocturne", "techno")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.demo.collection, "list_tracks", lambda: tracks)
        synthesise(music)
    labels = str(music / "labels.csv")
    extract([str(music)], store=store, labels=labels, scheduler=in_process_cluster)
    similarity(store=store)
    return folder


@pytest.mark.parametrize("metric", ["cosine", "rich", "learned"])
def test_a_track_is_like_what_the_table_says(demo: Path, tmp_path: Path, metric: Name) -> None:
    root = tmp_path / "store"
    shutil.copytree(demo / "store", root)
    similarity(store=str(root), metric=metric)
    table = pd.read_parquet(root / "similarity")
    tracks = read_rows(root, "track").set_index("track_id")
    duplicates = 0
    for track, rows in list(table.groupby("track_id"))[2::3]:
        outcome = ask(root, str(track), k=20, metric=metric)
        assert (outcome.track_id, outcome.file, outcome.metric) == (track, None, metric)
        assert outcome.labels == (sorted(set(tracks["label"])) if metric == "learned" else [])
        assert outcome.label == tracks.loc[track, "label"]
        given = pd.DataFrame(outcome.neighbours).rename(columns={"track_id": "neighbour_id"})
        assert given["label"].tolist() == tracks["label"][given["neighbour_id"]].tolist()
        expected = rows.drop(columns=["track_id", "metric"]).reset_index(drop=True)
        assert expected["rank"].tolist() == list(range(1, 21))
        found = given[list(expected)]
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
        duplicates += int(expected["duplicate"].sum())
    assert duplicates


def test_duplicates_can_be_left_out(demo: Path) -> None:
    root = demo / "store"
    track, duplicate, _ = pd.read_parquet(root / "duplicates").iloc[0]
    assert ask(root, track).neighbours[0].track_id == duplicate
    left = ask(root, track, k=1000, duplicates=False)
    assert duplicate not in {one.track_id for one in left.neighbours}
    assert len(left.neighbours) == len(read_rows(root, "track")) - 2


def test_the_end_of_a_name_is_enough_if_one_track_has_it(tmp_path: Path) -> None:
    names = ["a/x.wav", "b/x.wav", "a/y.wav", "c/deep/z.mp3", "pop.1.wav", "xpop.1.wav"]
    make_store(tmp_path / "s", [(name, None) for name in names], level="track")
    ends = ["y", "y.wav", "a/x", "deep/z", "pop.1", "xpop.1.wav"]
    found = [ask(tmp_path / "s", end).track_id for end in ends]
    assert found == ["a/y.wav", "a/y.wav", "a/x.wav", "c/deep/z.mp3", "pop.1.wav", "xpop.1.wav"]
    with pytest.raises(UsageError, match=r"'x' may be 'a/x.wav', 'b/x.wav': write more"):
        ask(tmp_path / "s", "x")
    for part in ("ep/z", "EEP/Z", "d\u00e9ep"):
        assert ask(tmp_path / "s", part).track_id == "c/deep/z.mp3"
    with pytest.raises(UsageError, match=r"'op.1' may be 'pop.1.wav', 'xpop.1.wav'"):
        ask(tmp_path / "s", "op.1")
    for wrong in ("nothing", "y.mp3"):
        with pytest.raises(UsageError, match="is neither a track .* nor a file"):
            ask(tmp_path / "s", wrong)
    with pytest.raises(UsageError, match=r"Did you mean 'xpop.1.wav', 'pop.1.wav'\?"):
        ask(tmp_path / "s", "xpp.1")


def test_a_track_is_compared_without_loading_numba(tmp_path: Path) -> None:
    names = [(f"{i}.wav", "x") for i in range(9)]
    make_store(tmp_path, names, level="track", features="rich")
    code = (
        "import sys; from jobs.neighbours.query import similar\n"
        f"similar('7', store={str(tmp_path)!r}); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_is_compared_by_the_stores_scaling(demo: Path, tmp_path: Path) -> None:
    rows = read_rows(demo / "store", "track").sort_values("track_id", ignore_index=True)
    y = np.random.default_rng(0).normal(size=22050 * 2) * np.linspace(0.01, 0.3, 44100)
    soundfile.write(tmp_path / "new.wav", y, 22050)
    new = features_of(str(tmp_path / "new.wav")).rows["gtzan"].track
    known = rows[list(GTZAN.names)].to_numpy()
    # Scaled by the known rows alone.
    scaled = (np.vstack([known, new]) - known.mean(axis=0)) / known.std(axis=0)
    expected = brute_force.cosine_similarity(scaled)[-1, :-1]
    found = ask(demo / "store", tmp_path / "new.wav", k=1000)
    assert (found.track_id, found.label) == (None, None)
    # Too short for rich features, and so for the metric that is the default for other files.
    assert found.metric == "cosine"
    assert found.file == str(tmp_path / "new.wav")
    assert sorted(one.track_id for one in found.neighbours) == rows["track_id"].tolist()
    cosines = {one.track_id: one.cosine for one in found.neighbours}
    np.testing.assert_allclose([cosines[track] for track in rows["track_id"]], expected, atol=1e-10)
    plain = [one.cosine for one in found.neighbours if not one.duplicate]
    assert plain == sorted(plain, reverse=True)


@pytest.mark.parametrize("metric", ["rich", "learned"])
def test_a_file_is_compared_in_the_space_of_the_table(
    demo: Path, tmp_path: Path, metric: Name, capsys: pytest.CaptureFixture[str]
) -> None:
    root, path = tmp_path / "store", tmp_path / "new.wav"
    shutil.copytree(demo / "store", root)
    similarity(store=str(root), metric=metric)
    kept = pd.read_parquet(root / "metrics").set_index("metric").loc[metric]
    y = np.random.default_rng(0).normal(size=22050 * 11) * np.linspace(0.01, 0.3, 22050 * 11)
    soundfile.write(path, y, 22050)
    new = features_of(str(path)).rows["rich"].track
    rows = read_rows(root, "track", "rich").sort_values("track_id", ignore_index=True)
    known = rows[list(RICH.names)].to_numpy()
    vectors, (vector,) = (brute_force.vectors_by(kept, x) for x in (known, new[np.newaxis]))
    offsets = (vectors @ vectors.T - brute_force.corrected_scores(vectors))[0]
    expected = dict(zip(rows["track_id"], vectors @ vector - offsets, strict=True))

    def scores() -> dict[str, float]:
        found = ask(root, path, k=1000, metric=metric)
        assert found.metric == metric
        ranked = [one.score for one in found.neighbours if not one.duplicate]
        assert ranked == sorted(ranked, reverse=True)
        return {one.track_id: one.score for one in found.neighbours}

    capsys.readouterr()
    first = scores()
    assert first == pytest.approx(expected, abs=1e-10)
    assert "fitted" not in capsys.readouterr().err
    # More tracks are compared in the same space, until it is fitted to them.
    store = open_store(str(root))
    part = store.parts("features-rich/level=track")[0]
    more = store.read_part(part).slice(0, 5)
    names = pa.array([f"more/{name}" for name in more["track_id"].to_pylist()])
    write_part(
        store, "features-rich/level=track/part-x.parquet", more.set_column(0, "track_id", names)
    )
    second = scores()
    assert len(second) == len(first) + 5
    assert {track: second[track] for track in first} == first
    assert f"the metric {metric} was fitted to {len(first)} tracks, and tracks or labels have" in (
        capsys.readouterr().err
    )
    similarity(store=str(root), metric=metric)
    assert scores()["more/" + more["track_id"][0].as_py()] != second[more["track_id"][0].as_py()]
    assert "fitted" not in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["rich", "learned"])
def test_other_labels_are_no_reason_to_fit_another_metric_than_that_of_labels(
    tmp_path: Path, metric: Name, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "s"
    names = [f"{i}.wav" for i in range(30)]
    make_store(root, [(name, name[0]) for name in names], level="track", features="rich")
    similarity(store=str(root), metric=metric)
    make_store(root, [(name, name[-5]) for name in names], level="track", features="rich")
    capsys.readouterr()
    ask(root, "7", metric=metric)
    has_warned = "tracks or labels have changed since" in capsys.readouterr().err
    assert has_warned == (metric == "learned")


def test_a_copy_is_known_whichever_the_metric(demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(demo / "store", root)
    store = open_store(str(root))
    (part,) = store.parts("features-rich/level=track")
    rows = store.read_part(part).sort_by("track_id")
    write_part(store, part, rows.slice(3))
    tracks = rows["track_id"].to_pylist()
    pairs = pd.read_parquet(root / "duplicates")
    copies = {**pairs.groupby("track_id")["duplicate_id"].agg(list)}
    copies |= {**pairs.groupby("duplicate_id")["track_id"].agg(list)}
    for track in (tracks[0], tracks[9]):
        shutil.copy(demo / "collection" / track, tmp_path / "copy.wav")
        for metric in ("cosine", "rich"):
            found = ask(root, tmp_path / "copy.wav", k=100, metric=metric).neighbours
            same = {one.track_id for one in found if one.duplicate}
            assert same <= {track, *copies.get(track, ())}
            assert (track in same) == (metric == "cosine" or track != tracks[0])


def test_a_metric_leaves_with_the_rows_that_it_was_fitted_to(tmp_path: Path) -> None:
    columns = {name: np.random.default_rng(0).normal(size=30) for name in RICH.names}
    table, root = tmp_path / "rich.parquet", tmp_path / "store"
    pd.DataFrame({"track": [f"{i}.wav" for i in range(30)], **columns}).to_parquet(table)
    import_features([str(table)], store=str(root))
    similarity(store=str(root))
    assert pd.read_parquet(root / "metrics")["metric"].tolist() == ["rich"]
    import_features([str(table)], store=str(root))
    assert pd.read_parquet(root / "metrics").empty
    assert ask(root, "7").metric == "rich"


def test_a_metric_leaves_when_all_tracks_are_extracted_with_other_settings(
    tmp_path: Path, in_process_cluster: str
) -> None:
    root, music = tmp_path / "store", str(make_collection(tmp_path / "music", 3))
    options: dict[str, Any] = {"store": str(root), "scheduler": in_process_cluster}
    extract([music], **options, features="gtzan")
    similarity(store=str(root))
    extract([music], **options, features="gtzan", force=True)
    assert pd.read_parquet(root / "metrics")["metric"].tolist() == ["cosine"]
    extract([music], **options, features="gtzan", force=True, segment_seconds=0.5)
    assert pd.read_parquet(root / "metrics").empty


def test_a_recording_without_rich_features_is_compared_by_the_published_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, path = tmp_path / "store", tmp_path / "short.wav"
    soundfile.write(path, np.random.default_rng(0).normal(size=30_000) / 9, 22050)
    names = [(f"{i}.wav", "x") for i in range(9)]
    make_store(root, names, level="track")
    make_store(root, names[2:], level="track", features="rich")
    assert ask(root, "3").metric == "rich"
    for recording in ("1", path):
        assert ask(root, recording, k=100).metric == "cosine"
    assert ask(root, "3", metric="cosine").metric == "cosine"
    with pytest.raises(UsageError, match="'1' has no rich features.* use --metric cosine"):
        ask(root, "1", metric="rich")
    with pytest.raises(UsageError, match="short.wav cannot be compared: .* need at least 10"):
        ask(root, path, metric="rich")
    with pytest.raises(UsageError, match="the only label is 'x'"):
        ask(root, "3", metric="learned")
    make_store(tmp_path / "rich", names, level="track", features="rich")
    with pytest.raises(UsageError, match="short.wav cannot be compared: .* need at least 10"):
        ask(tmp_path / "rich", path)


@pytest.mark.slow
def test_an_excerpt_or_an_mp3_of_a_track_finds_it_first(shared_data: Path, tmp_path: Path) -> None:
    """Among the 1,000 tracks of GTZAN, whose rows are imported."""
    gtzan = shared_data / "gtzan"
    tables = [str(gtzan / name) for name in ("features_30_sec.csv", "features_3_sec.csv")]
    root = tmp_path / "store"
    import_features(tables, store=str(root))
    similarity(store=str(root))
    pairs = pd.read_parquet(root / "duplicates")
    copies = dict(zip(pairs["track_id"], pairs["duplicate_id"], strict=True))
    copies |= {other: one for one, other in copies.items()}
    wrong = []
    recordings = sorted((gtzan / "genres_original").rglob("*.wav"))[::3]
    for i, path in enumerate(recordings):
        try:
            y, sr = soundfile.read(path)
        except soundfile.LibsndfileError:
            continue
        n = len(y)
        excerpts = {"middle.wav": y[n // 3 : n // 3 + n // 2], "end.wav": y[-n // 2 :]}
        for name, excerpt in {**excerpts, "whole.wav": y, "whole.mp3": y}.items():
            soundfile.write(tmp_path / f"{i}-{name}", excerpt, sr)
            first = ask(root, tmp_path / f"{i}-{name}").neighbours[0]
            if first.track_id not in (path.name, copies.get(path.name)):
                wrong.append((path.name, name, first))
    assert len(recordings) > 10
    assert wrong == []


def test_an_excerpt_finds_its_track_in_the_demo(demo: Path, tmp_path: Path) -> None:
    rows = read_rows(demo / "store", "track")
    paths = [demo / "collection" / track for track in rows["track_id"][::3]]
    for i, path in enumerate(paths):
        y, sr = soundfile.read(path)
        soundfile.write(tmp_path / f"{i}.wav", y[len(y) // 5 : -len(y) // 5], sr)
        found = ask(demo / "store", tmp_path / f"{i}.wav", k=2)
        named = {one.track_id for one in found.neighbours}
        assert str(path.relative_to(demo / "collection")) in named


def test_what_may_be_the_same_recording_comes_first_and_is_marked(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    track = read_rows(demo / "store", "track")["track_id"].iloc[3]
    y, sr = soundfile.read(demo / "collection" / track)
    soundfile.write(tmp_path / "cut.wav", y[len(y) // 5 : -len(y) // 5], sr)
    arguments = ("similar", tmp_path / "cut.wav", "--store", demo / "store", "-k", 2)

    def ask_where(call: str, *options: str) -> str:
        monkeypatch.setattr(Distances, "call", lambda *_: call)
        return command(*arguments, *options)[1]

    assert ask_where("perhaps").splitlines()[2].rstrip().endswith("perhaps")
    left = json.loads(ask_where("perhaps", "--json", "--no-duplicates"))["neighbours"][0]
    assert (left["track_id"], left["duplicate"], left["perhaps"]) == (track, False, True)
    left = json.loads(ask_where("no", "--json"))["neighbours"][0]
    assert not left["duplicate"]
    assert not left["perhaps"]


def test_a_store_without_tracks_and_a_file_without_features_are_refused(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [("a.wav", None)])
    with pytest.raises(UsageError, match="no rows of level track"):
        ask(tmp_path / "s", "a")
    make_store(tmp_path / "s", [("a.wav", None), ("b.wav", None)], level="track")
    (tmp_path / "corrupt.wav").write_text("not a recording")
    with pytest.raises(SongmillError, match=r"corrupt.wav gives no features \(unreadable\)"):
        ask(tmp_path / "s", tmp_path / "corrupt.wav")


def test_the_command_line_shows_a_table(tmp_path: Path, command: Command) -> None:
    make_store(tmp_path / "s", [(f"{i}.wav", "[b]jazz[/b]") for i in range(9)], level="track")
    arguments = ("similar", "3", "--store", tmp_path / "s", "-k", "4")
    code, out, _ = command(*arguments)
    assert code == 0
    assert "Most like 3.wav ([b]jazz[/b]):" in out
    assert out.count("[b]jazz[/b]") == 5
    assert "By the metric cosine." in out
    assert "score" not in out
    found = json.loads(command(*arguments, "--json")[1])
    assert found["track_id"] == "3.wav"
    assert [one["rank"] for one in found["neighbours"]] == [1, 2, 3, 4]
    rows = [(f"{i}.wav", f"[b]{i % 2}") for i in range(9)]
    make_store(tmp_path / "s", rows, level="track", features="rich")
    out = command(*arguments, "--metric", "learned")[1]
    assert "score" in out
    assert "By the metric learned (labels: [b]0, [b]1)." in out
    assert command(*arguments, "--metric", "other")[0] == 2
