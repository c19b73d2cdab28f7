"""Queries by a track or a file, against the similarity table and brute force."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from support import brute_force
from support.command_line import Command
from support.made_stores import make_store, read_rows

from featurizer.columns import FEATURE_COLUMNS
from featurizer.extract import extract as features_of
from jobs.demo.collection import synthesise
from jobs.errors import SongmillError, UsageError
from jobs.extraction.extract import extract
from jobs.extraction.import_features import import_features
from jobs.neighbours.query import Outcome, similar
from jobs.neighbours.similarity import similarity


def ask(root: Path, recording: str | Path, **options: Any) -> Outcome:
    return similar(str(recording), store=str(root), **options)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, in_process_cluster: str) -> Path:
    """The demo's collection, with features and similarity."""
    folder = tmp_path_factory.mktemp("demo")
    music, store = folder / "collection", str(folder / "store")
    synthesise(music)
    labels = str(music / "labels.csv")
    extract([str(music)], store=store, labels=labels, scheduler=in_process_cluster)
    similarity(store=store)
    return folder


def test_a_track_is_like_what_the_table_says(demo: Path) -> None:
    root = demo / "store"
    table = pd.read_parquet(root / "similarity")
    tracks = read_rows(root, "track").set_index("track_id")
    for track, rows in table.groupby("track_id"):
        outcome = ask(root, str(track), k=20)
        assert (outcome.track_id, outcome.file) == (track, None)
        assert outcome.label == tracks.loc[track, "label"]
        given = pd.DataFrame(outcome.neighbours).rename(columns={"track_id": "neighbour_id"})
        assert given["label"].tolist() == tracks["label"][given["neighbour_id"]].tolist()
        expected = rows.drop(columns="track_id").reset_index(drop=True)
        assert expected["rank"].tolist() == list(range(1, 21))
        found = given[list(expected)]
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert table["duplicate"].any()


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
    for wrong in ("op.1", "ep/z", "nothing", "y.mp3"):
        with pytest.raises(UsageError, match="is neither a track .* nor a file"):
            ask(tmp_path / "s", wrong)


def test_a_file_is_compared_by_the_stores_scaling(demo: Path, tmp_path: Path) -> None:
    rows = read_rows(demo / "store", "track").sort_values("track_id", ignore_index=True)
    y = np.random.default_rng(0).normal(size=22050 * 2) * np.linspace(0.01, 0.3, 44100)
    soundfile.write(tmp_path / "new.wav", y, 22050)
    new = features_of(str(tmp_path / "new.wav")).rows["gtzan"].track
    known = rows[list(FEATURE_COLUMNS)].to_numpy()
    # Scaled by the known rows alone.
    scaled = (np.vstack([known, new]) - known.mean(axis=0)) / known.std(axis=0)
    expected = brute_force.cosine_similarity(scaled)[-1, :-1]
    found = ask(demo / "store", tmp_path / "new.wav", k=1000)
    assert (found.track_id, found.label) == (None, None)
    assert found.file == str(tmp_path / "new.wav")
    assert sorted(one.track_id for one in found.neighbours) == rows["track_id"].tolist()
    cosines = {one.track_id: one.cosine for one in found.neighbours}
    np.testing.assert_allclose([cosines[track] for track in rows["track_id"]], expected, atol=1e-10)
    plain = [one.cosine for one in found.neighbours if not one.duplicate]
    assert plain == sorted(plain, reverse=True)


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
    paths = [demo / "collection" / track for track in rows["track_id"][::7]]
    for i, path in enumerate(paths):
        y, sr = soundfile.read(path)
        soundfile.write(tmp_path / f"{i}.wav", y[len(y) // 5 : -len(y) // 5], sr)
        found = ask(demo / "store", tmp_path / f"{i}.wav", k=2)
        named = {one.track_id for one in found.neighbours}
        assert str(path.relative_to(demo / "collection")) in named


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
    found = json.loads(command(*arguments, "--json")[1])
    assert found["track_id"] == "3.wav"
    assert [one["rank"] for one in found["neighbours"]] == [1, 2, 3, 4]
