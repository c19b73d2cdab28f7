"""The report of a store: its counts and pictures, and its texts where there are no data."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile
from support.made_models import make_lda, model_tables, put_model
from support.made_stores import LABELS, NOON, make_store, put, read_rows, write_part
from support.read_page import Reader

from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.extraction.import_features import import_features
from jobs.neighbours.similarity import similarity
from jobs.reporting import overview
from jobs.reporting.report import Outcome, _Report, report
from jobs.store.schemas import (
    COMPARISON,
    FILES,
    IMPORTANCE,
    METRICS,
    RUNS,
    SUSPECT,
    SUSPECTS,
    duplicates,
    features_folder,
)
from jobs.store.tables import Store
from pages.page import _EXPLORER_SCRIPTS, _SCRIPTS
from recommend.metric import Name
from training.predictor import to_bytes

SETS = ("gtzan", "rich")
GTZAN, RICH = map(feature_set, SETS)

TRACKS = [(f"a/{i:03}.wav", LABELS[i % 4]) for i in range(60)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of 60 tracks of three labels and without a label."""
    return make_store(tmp_path / "s", TRACKS, level="track")


@contextmanager
def edited_tracks(store: Store, features: str = "gtzan") -> Iterator[pd.DataFrame]:
    """Yield the rows of the only part of the tracks, and write them again."""
    name = store.parts(features_folder(features, "track"))[0]
    frame = store.storage.read_table(name).to_pandas()
    yield frame
    write_part(store, name, pa.Table.from_pandas(frame, store.storage.read_schema(name)))


def read(root: Path) -> tuple[Outcome, Reader]:
    outcome = report(store=str(root))
    assert outcome.page == str(root / "report" / "index.html")
    return outcome, Reader(Path(outcome.page).read_text(encoding="utf-8"))


def test_a_store_of_nothing_says_which_commands_make_something(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a store", level="track")
    outcome, page = read(Path(store.storage.root))
    assert outcome.missing == [
        *("Explore the tracks", "The collection", "Correlations", "Tempo", "Principal components"),
        *("Features", "Compared models", "The model that predicts", "Neighbours", "Duplicates"),
        *("Suspected mislabels", "Runs"),
    ]
    option = f"--store '{store.storage.root}'"
    for command in (
        f"extract SOURCE… {option} or songmill import-features CSV…",
        *("compare --split by-track --split random", "train", "predict --all"),
    ):
        assert f"No data yet. Run: songmill {command} {option}" in page.text
    assert page.text.count(f"songmill similarity {option}") == 2
    assert page.tables == []


def test_no_store_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no store"):
        report(store=str(tmp_path))


def test_the_published_table(tmp_path: Path, shared_data: Path) -> None:
    table = shared_data / "gtzan" / "features_30_sec.csv"
    import_features([str(table)], store=str(tmp_path / "s"))
    _, page = read(tmp_path / "s")
    assert "explain 0.24394 and 0.21782 of the variance" in page.text
    alts = {(image["alt"] or "")[:20]: image["alt"] or "" for image in page.every("img")}
    assert "the correlations of 28 columns" in alts["Heatmap of the corre"]
    published = pd.read_csv(table)
    expected = published.groupby("label")["tempo"].median()
    found = page.table("Tempo by label")
    medians = dict(zip(found.column("label"), map(float, found.column("median")), strict=True))
    assert medians == pytest.approx(expected.to_dict(), abs=0.005)
    means = published[[name for name in GTZAN.names if name.endswith("_mean")]]
    r = means.corr().to_numpy() - np.eye(28)
    strongest = page.table("The strongest correlations")
    expected_r = r.flat[np.abs(r).argmax()]
    assert float(strongest.column("r")[0]) == pytest.approx(expected_r, abs=5e-4)
    assert page.facts()["tracks"] == "1,000"
    assert page.table("Tracks by label").column("tracks") == ["100"] * 10
    assert sum(len(image["alt"] or "") > 40 for image in page.every("img")) == 3


def test_the_first_screen_of_an_empty_store_says_that_nothing_is_known(tmp_path: Path) -> None:
    make_store(tmp_path / "s", level="track")
    _, page = read(tmp_path / "s")
    known = " ".join(page.text.partition("How good")[2].partition("The collection")[0].split())
    assert known.startswith(f"is the model? No model yet Run: songmill train --store {tmp_path}/s")
    assert "What changed last? Nothing yet What needs a look? Nothing" in known
    assert "Not known yet: labels that a model contradicts" in known
    assert "Not known yet: pairs of duplicates with different labels" in known


def test_the_first_screen_tells_what_matters(store: Store, tmp_path: Path) -> None:
    score = {"accuracy": 0.9, "macro_f1": 0.9, "log_loss": 0.3, "chance": 0.5, "count": 120}
    score |= {"accuracy_lower": 0.85, "accuracy_upper": 0.94}
    put_model(store, "v1", ["blues", "jazz"], champion=True, scores={"track": score})
    put_model(store, "v2", ["blues", "jazz"])
    change = {"level": "track", "metric": "since_champion", "value": -0.05, "count": 120}
    metrics = pa.Table.from_pylist([{**change, "lower": -0.08, "upper": -0.02}], schema=METRICS)
    store.storage.write_table("models/v2/metrics.parquet", metrics)
    run: dict[str, Any] = {"run_id": "b", "seconds": 1.0, "outcome": "done", "stage": "extract"}
    run |= {"started_at": NOON, "extracted": 7, "new": 5, "changed": 2, "gone": 0, "failed": 3}
    failed = {"stage": "train", "outcome": "failed", "message": "too few labels", "extracted": None}
    earlier = {"run_id": "a", "started_at": NOON - timedelta(days=1), "new": 90, "failed": 9}
    put(store, "runs", [{**run, **earlier}, run, {**run, **failed}], RUNS)
    suspects = [{"rank": i, "track_id": TRACKS[i][0], "label": "blues"} for i in (1, 2)]
    put(store, SUSPECTS, [*suspects, {**suspects[0], "duplicate_id": TRACKS[3][0]}], SUSPECT)
    similarity(store=str(tmp_path / "s"))
    pair = {"track_id": TRACKS[0][0], "duplicate_id": TRACKS[1][0], "cosine": 1.0}
    same = {"track_id": TRACKS[0][0], "duplicate_id": TRACKS[4][0], "cosine": 1.0}
    put(store, "duplicates", [pair, same], duplicates("track"))
    _, page = read(tmp_path / "s")
    for text in (
        "0.900 accuracy 0.850 to 0.940 with 95 % confidence, measured on 120 held-out tracks",
        "The newest model, v2, was not promoted: macro F1 -0.050 (99 % interval -0.080 to -0.020)",
        "2026-03-01 12:00 UTC Files: 5 new, 2 changed, 3 failed train failed: too few labels",
        "6 findings 2 labels that a model contradicts 1 pair of duplicates with different labels "
        "3 files that the last extraction failed to read",
    ):
        assert text in page.text
    anchors = {heading.get("id") for heading in page.every("h2")}
    links = {(link["href"] or "")[1:] for link in page.every("a") if link["href"] != "#content"}
    assert {"model", "runs", "suspects", "duplicates", "collection"} <= links <= anchors


def test_files_are_counted_by_what_is_odd_about_them(store: Store, tmp_path: Path) -> None:
    files = [
        {"track_id": "x/a.MP3", "status": "ok", "duration_s": 1800.0, "sample_rate": 44100},
        {"track_id": "x/b.mp3", "status": "ok", "duration_s": 3600.0, "sample_rate": 22050},
        {"track_id": "no suffix", "status": "failed", "error": "empty", "message": "has none"},
        {"track_id": "d.wav", "status": "failed", "error": "timeout", "message": "took\nlong"},
        {"track_id": "c.wav", "status": "failed", "error": "timeout", "message": "took 9 s"},
    ]
    put(store, "files", files, FILES)
    _, page = read(tmp_path / "s")
    facts = page.facts()
    assert facts["hours"] == "1.50"
    assert facts["files"] == "5"
    assert facts["failed files"] == "3"
    assert facts["labels"] == "3"
    suffixes = page.table("Files by format")
    assert suffixes.rows[1:] == [[".mp3", "2"], [".wav", "2"], ["(none)", "1"]]
    assert page.table("Files by sample rate").rows[1:] == [["22,050", "1"], ["44,100", "1"]]
    failed = page.table("Failed files by kind").rows[1:]
    assert failed == [["timeout", "2", "c.wav: took 9 s"], ["empty", "1", "no suffix: has none"]]
    shares = page.table("Tracks by label")
    assert shares.column("label") == ["(no label)", "blues", "jazz", "rock"]
    assert shares.column("share") == ["25.0%"] * 4


@pytest.mark.parametrize("cuts", [(), (7, 31), (1, 2, 59)])
def test_a_sample_is_the_same_however_the_rows_lie(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    edges = [0, *cuts, len(TRACKS)]
    parts = [TRACKS[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    store = make_store(tmp_path / "s", *parts, level="track")
    sample = overview.sample_tracks(store, "gtzan", 20)
    assert sample.total == 60
    assert sample.names.num_rows == 20
    names = sample.names["track_id"].to_pylist()
    assert names == sorted(names)
    rows = read_rows(tmp_path / "s", "track").set_index("track_id").loc[names]
    np.testing.assert_array_equal(sample.features, rows[list(GTZAN.names)])
    np.testing.assert_array_equal(sample.lengths, rows["length"])
    labels = rows["label"].astype(object).where(rows["label"].notna(), None)
    assert sample.names["label"].to_pylist() == labels.tolist()
    # The sample depends on the names alone.
    again = make_store(tmp_path / "t", TRACKS[::-1], level="track")
    assert overview.sample_tracks(again, "gtzan", 20).names["track_id"].to_pylist() == names
    assert overview.sample_tracks(store, "gtzan", 60).names.num_rows == 60


def test_a_sample_is_drawn_evenly() -> None:
    names = pa.array([f"genre{i % 10}/track{i:06}.wav" for i in range(20_000)])
    hashes = np.sort(overview._hashes(names)) / 2**64
    assert np.abs(hashes - np.linspace(0, 1, len(hashes))).max() < 0.02


def test_a_sample_is_named_as_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview.sample_tracks, "__defaults__", (25,))
    outcome, page = read(tmp_path / "s")
    assert (outcome.tracks, outcome.sampled) == (60, 25)
    assert page.text.count("a sample of 25 of the 60 tracks, drawn at random") == 6
    assert sum(map(int, page.table("Tempo by label").column("tracks"))) == 25
    assert page.facts()["tracks"] == "60"


def test_each_feature_set_of_a_store_has_its_pictures_and_percentiles(
    store: Store, tmp_path: Path
) -> None:
    make_store(tmp_path / "s", TRACKS[:45], level="track", features="rich")
    outcome, page = read(tmp_path / "s")
    assert (outcome.tracks, outcome.sampled) == (60, 60)
    facts = page.facts()
    names = ("tracks", "tracks with gtzan features", "tracks with rich features")
    assert [facts[name] for name in names] == ["60", "60", "45"]
    shown = {
        figure["id"]: image["alt"]
        for figure, image in zip(*map(page.every, ("figure", "img")), strict=True)
    }
    of_both = [f"picture-{what}-{one}" for what in ("correlations", "components") for one in SETS]
    assert sorted(shown) == sorted([*of_both, "picture-tempo"])
    rows = read_rows(tmp_path / "s", "track", "rich")[list(RICH.names)].astype(float)
    blocks = pd.Series([column.block for column in RICH.columns], RICH.names)
    r = rows.corr().abs().mask(np.eye(len(RICH.names), dtype=bool)).stack()
    pairs = [blocks[r.index.get_level_values(i)].to_numpy() for i in (0, 1)]
    strengths = r.groupby(pairs).mean()
    one, other = strengths.idxmax()
    strongest = f"The strongest: {{}} and {{}} {strengths.max():.2f}."
    assert shown["picture-correlations-rich"] in [
        f"Heatmap of the correlations of 5 blocks of columns. {strongest.format(*pair)}"
        for pair in ((one, other), (other, one))
    ]
    assert "45 tracks of 4 labels" in shown["picture-components-rich"]
    table = page.table("The 458 rich features, over all 45 tracks")
    assert [cell.split(" ")[0] for cell in table.column("feature")] == list(RICH.names)
    assert table.rows[1][0].endswith("mean of cepstral coefficient 0 (ln dB)")
    for percent in (5, 50, 95):
        found = list(map(float, table.column(f"{percent} %")))
        np.testing.assert_allclose(found, rows.quantile(percent / 100), rtol=1e-3, atol=1e-6)
    assert len(page.table("The 57 gtzan features, over all 60 tracks").rows) == 58


def test_tracks_without_a_tempo_are_left_out_of_its_picture(store: Store, tmp_path: Path) -> None:
    with edited_tracks(store) as frame:
        frame.loc[frame.index[::2], "tempo"] = 0.0
        expected = frame[frame["tempo"] != 0].groupby("label")["tempo"].agg(["count", "median"])
    _, page = read(Path(store.storage.root))
    found = page.table("Tempo by label")
    counts = dict(zip(found.column("label"), map(int, found.column("tracks")), strict=True))
    medians = dict(zip(found.column("label"), map(float, found.column("median")), strict=True))
    assert counts == expected["count"].to_dict()
    assert medians == pytest.approx(expected["median"].to_dict(), abs=0.005)
    assert "all 60 tracks, without 30 that have no tempo" in page.text
    with edited_tracks(store) as frame:
        frame["tempo"] = 0.0
    _, page = read(Path(store.storage.root))
    assert "No track has a tempo." in page.text


def test_a_store_of_rich_features_only_has_no_tempo(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", TRACKS, level="track", features="rich")
    with edited_tracks(store, "rich") as frame:
        frame["length"] = None  # as imported
    outcome, page = read(tmp_path / "s")
    assert outcome.tracks == 60
    assert "all 60 tracks: the rich features, each scaled to 0 … 1." in page.text
    assert page.facts()["tracks"] == "60"
    assert "None of the store's feature sets has a column tempo." in page.text
    assert [one["id"] for one in page.every("figure")] == [
        *("picture-correlations-rich", "picture-components-rich")
    ]
    assert {"Tempo", "Correlations", "Features"}.isdisjoint(outcome.missing)


def test_of_many_labels_the_most_frequent_are_told_apart(tmp_path: Path) -> None:
    tracks = [(f"{i:03}.wav", f"label {i // 2 if i < 40 else i}") for i in range(100)]
    make_store(tmp_path / "s", tracks, level="track")
    _, page = read(tmp_path / "s")
    counted = page.table("Tracks by label")
    assert len(counted.rows) == 22
    assert counted.rows[-1] == ["(other labels)", "60", "60.0%"]
    assert "(other labels)" in page.table("Tempo by label").column("label")
    assert page.facts()["labels"] == "80"


def test_one_track_is_enough_and_two_are(tmp_path: Path) -> None:
    for n in (1, 2, 3):
        make_store(tmp_path / "s", TRACKS[:n], level="track")
        outcome, page = read(tmp_path / "s")
        assert ("Principal components need three or more tracks" in page.text) == (n < 3)
        assert ("Correlations need two or more tracks." in page.text) == (n < 2)
        assert {"Tempo", "Correlations", "Principal components"}.isdisjoint(outcome.missing)


def test_neighbours_and_duplicates(tmp_path: Path) -> None:
    twice = [*TRACKS, ("b/again.wav", "rock"), ("b/third.wav", "jazz")]
    store = make_store(tmp_path / "s", twice, level="track")
    columns = ["length", *GTZAN.names]
    with edited_tracks(store) as frame:
        for copy in (60, 61):
            frame.loc[copy, columns] = frame.loc[1, columns]
    similarity(store=str(tmp_path / "s"), k=10)
    _, page = read(tmp_path / "s")
    pairs = page.table("Pairs to look at")
    assert len(pairs.rows) == 4
    # Pairs with different labels come first.
    assert pairs.rows[1][:2] == ["a/001.wav jazz", "b/again.wav rock"]
    assert pairs.rows[3][:2] == ["a/001.wav jazz", "b/third.wav jazz"]
    assert "Pairs that are probably the same recording: 3." in page.text
    nearest = pd.read_parquet(tmp_path / "s" / "similarity")
    shown = [one for one in page.tables if one.caption.startswith("Nearest to ")]
    assert len(shown) == 4  # a track of each label, and one without
    for one in shown:
        track = one.caption.removeprefix("Nearest to ").split(" ")[0]
        rows = nearest[nearest["track_id"] == track].sort_values("rank").head(5)
        assert [name.split(" ")[0] for name in one.column("track")] == rows["neighbour_id"].tolist()
        assert one.column("cosine") == [f"{cosine:.4f}" for cosine in rows["cosine"]]
        assert "score" not in one.rows[0]
    assert "by the metric cosine: the cosine of z-scored features." in page.text


def test_suspected_mislabels_are_shown_by_rank(store: Store) -> None:
    suspect = {"label": "blues", "suggested": "jazz", "probability": 0.876, "self_confidence": 0.01}
    suspects = [suspect | {"rank": rank, "track_id": f"{rank}.wav"} for rank in range(60, 0, -1)]
    put(store, "suspects", suspects, SUSPECT)
    [table] = _Report(store, []).suspects().tables
    assert table.caption == "The first 50 of 60 labels that a model contradicts"
    assert [row[1].text for row in table.rows] == [f"{rank}.wav" for rank in range(1, 51)]
    shown = [(cell.text, cell.subtext) for cell in table.rows[0]]
    assert shown == [("1", ""), ("1.wav", "blues"), ("jazz", ""), ("0.88", ""), ("0.01", "")]
    copy = {"label": "blues", "duplicate_id": "other.wav", "suggested": "jazz"}
    copies = [copy | {"rank": rank, "track_id": f"{rank}.wav"} for rank in (1, 2)]
    copies[1]["suggested"] = None
    put(store, "suspects", copies + [suspect | {"rank": 3, "track_id": "3.wav"}], SUSPECT)
    [contradicted, repeated] = _Report(store, []).suspects().tables
    assert repeated.caption == "All 2 tracks whose recording occurs twice"
    assert [[(cell.text, cell.subtext) for cell in row] for row in repeated.rows] == [
        [("1", ""), ("1.wav", "blues"), ("other.wav", "jazz")],
        [("2", ""), ("2.wav", "blues"), ("other.wav", "blues")],
    ]
    assert [row[1].text for row in contradicted.rows] == ["3.wav"]
    put(store, "suspects", [], SUSPECT)
    assert "No label is suspected" in _Report(store, []).suspects().text


@pytest.mark.parametrize("metric", ["rich", "learned"])
def test_neighbours_by_another_metric_have_scores(tmp_path: Path, metric: Name) -> None:
    root = tmp_path / "s"
    make_store(root, TRACKS, level="track")
    make_store(root, TRACKS, level="track", features="rich")
    similarity(store=str(root), metric=metric)
    _, page = read(root)
    nearest = pd.read_parquet(root / "similarity")
    one = next(one for one in page.tables if one.caption.startswith("Nearest to "))
    track = one.caption.removeprefix("Nearest to ").split(" ")[0]
    rows = nearest[nearest["track_id"] == track].sort_values("rank").head(5)
    for name in ("score", "cosine"):
        assert one.column(name) == [f"{value:.4f}" for value in rows[name]]
    assert f"by the metric {metric}: the cosine of " in page.text
    learned = "It has learned the labels blues, jazz, rock."
    assert (learned in page.text) == (metric == "learned")


def test_neighbours_of_an_older_songmill_are_shown(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", TRACKS, level="track")
    similarity(store=str(tmp_path / "s"))
    (part,) = store.parts("similarity")
    write_part(store, part, store.read_part(part).drop_columns(["score", "metric"]))
    _, page = read(tmp_path / "s")
    assert len(page.table("Nearest to ").rows) == 6


def test_segments_have_neighbours_if_there_are_tracks(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [*TRACKS, *TRACKS], level="segment")
    similarity(store=str(tmp_path / "s"), level="segment")
    outcome, _ = read(tmp_path / "s")
    assert "Neighbours" in outcome.missing
    make_store(tmp_path / "s", TRACKS, level="track")
    _, page = read(tmp_path / "s")
    assert ", segment " in page.table("Nearest to ").rows[1][1]
    assert "There are no duplicates." in page.text


def test_the_champion_and_the_scores_over_time(store: Store, tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3"):
        put_model(store, version, ["blues", "jazz", "rock"], champion=version == "v2")
    model_tables(store, "v2", ["blues", "jazz", "rock"])
    run = {"outcome": "done", "started_at": NOON}
    extraction = {**run, "stage": "extract", "seconds": 20.0, "extracted": 90, "failed": 10}
    put(store, "runs", [extraction, {**run, "stage": "train", "seconds": 61.0}], RUNS)
    _, page = read(tmp_path / "s")
    assert page.facts()["version"] == "v2"
    alts = " ".join(image["alt"] or "" for image in page.every("img"))
    assert "Confusion matrix of 3 labels: 24 of 72" in alts
    assert "rock taken for jazz, 15 times" in alts
    assert "The most important: mfcc20_var 0.056" in alts
    assert "macro F1 by track of 3 models" in alts
    importance = page.table("Permutation importance of all 57")
    meaning = "variance of the mel-frequency cepstral coefficient 20 of a frame (dB^2)"
    assert importance.rows[1] == [f"mfcc20_var {meaning}", "0.0560", "0.0010"]
    assert page.table("Test tracks, by label").rows[1] == [
        *("blues", "0.250", "0.250", "0.250", "8 few tracks")
    ]
    runs = page.table("All runs")
    by_stage = {row[0].split(" ")[0]: row[1:] for row in runs.rows[1:]}
    assert by_stage["extract"] == ["20 s", "100", "10", "5.0"]
    assert by_stage["train"] == ["1 min 1 s", "–", "–", "–"]
    models = page.table("Models")
    assert [row[-1] for row in models.rows[1:]] == ["", "yes", ""]


def test_a_champion_of_discriminants_and_rich_features(store: Store, tmp_path: Path) -> None:
    rich, classes = feature_set("rich"), ["blues", "jazz", "rock"]
    changes = {"kind": "lda", "level": "track", "columns": list(rich.names), "rounds": 0}
    trees = to_bytes(make_lda(classes, "rich"))
    changes["feature_set"] = rich.version
    put_model(store, "v1", classes, champion=True, trees=trees, **changes)
    model_tables(store, "v1", classes)
    file = "models/v1/importance.parquet"
    rows = store.storage.read_table(file).to_pylist()
    rows.append({"feature": "texture_*", "mean": 0.2, "std": 0.01, "repeats": 5})
    store.storage.write_table(file, pa.Table.from_pylist(rows, schema=IMPORTANCE))
    _, page = read(tmp_path / "s")
    facts = page.facts()
    assert facts["kind"] == "linear discriminant analysis"
    assert facts["trained on"] == "tracks, rich-458.1"
    alts = " ".join(image["alt"] or "" for image in page.every("img"))
    assert "The most important: texture_* 0.200." in alts
    importance = page.table("Permutation importance of all 57 columns, and of blocks of them")
    assert importance.rows[1] == ["texture_*", "0.2000", "0.0100"]


def test_a_damaged_or_inconsistent_model_costs_its_section_only(
    store: Store, tmp_path: Path
) -> None:
    put_model(store, "v1", ["blues", "jazz"], champion=True)
    outcome, page = read(tmp_path / "s")
    assert "confusion.parquet does not exist. Restore the file" in page.text
    assert "Tempo" not in outcome.missing
    model_tables(store, "v1", ["blues", "bluez"])
    _, page = read(tmp_path / "s")
    assert f"{tmp_path}/s/models/v1 do not fit together" in page.text
    model_tables(store, "v1", ["blues", "jazz"])
    for name in ("confusion", "metrics", "importance"):
        file = f"models/v1/{name}.parquet"
        store.storage.write_table(file, store.storage.read_table(file).slice(0, 0))
    _, page = read(tmp_path / "s")
    assert "The confusion matrix has no rows" in page.text
    assert page.table("Test tracks, by label").rows[1] == ["blues", *["–"] * 4]
    model_tables(store, "v1", ["blues", "jazz"])
    described = json.loads(store.storage.read("models/v1/model.json"))
    del described["split"]["tracks"], described["digest"]
    store.storage.write("models/v1/model.json", json.dumps(described).encode())
    _, page = read(tmp_path / "s")
    assert f"{tmp_path}/s/models/v1 do not fit together" in page.text
    store.storage.write("models/v1/model.json", b"{")
    _, page = read(tmp_path / "s")
    assert "model.json is malformed" in page.text
    assert page.table("Models").rows[1] == ["v1 damaged", "–", "–", ""]
    store.storage.write("models/champion.json", b"[")
    _, page = read(tmp_path / "s")
    assert "champion.json is damaged" in page.text


def test_ten_models_with_the_leaky_split_marked_and_last(store: Store, tmp_path: Path) -> None:
    score = {"level": "segment", "rows": 900, "tracks": 90, "seconds": 1.25}
    for name in ("accuracy", "macro_f1", "vote_accuracy"):
        score |= {name: 0.125, f"{name}_std": 0.125}
        score |= {f"{name}_lower": 0.1, f"{name}_upper": 0.15}
    rows: list[dict[str, Any]] = []
    for split, leaky, folds in (("random", True, 1), ("by-track", False, 5)):
        rows.append({**score, "model": "XGB", "split": split, "leaky": leaky, "folds": folds})
        rows.append({**rows[-1], "model": "KNN", "accuracy": 0.5})
        rows.append({**rows[-1], "model": "MLP", "accuracy": None, "message": "did <not> fit"})
    put(store, "comparison", rows, COMPARISON)
    make_store(tmp_path / "s", TRACKS, features="rich", level="track")
    rich = [{**rows[0], "level": "track", "model": "LDA", "leaky": False, "split": "by-track"}]
    put(store, "comparison-rich", rich, COMPARISON)
    _, page = read(tmp_path / "s")
    captions = [one.caption for one in page.tables if one.caption.startswith("Split")]
    assert captions == [
        *("Split by-track: gtzan segments", "Split by-track: rich tracks"),
        "Split random (LEAKY): gtzan segments",
    ]
    assert page.table("Split by-track: rich").column("model") == ["LDA"]
    table = page.table("Split by-track")
    assert table.rows[0] == ["model", "accuracy", "macro F1", "by vote", "fit (s)"]
    assert table.column("model") == ["KNN", "XGB", "MLP"]
    assert table.rows[1][1] == "0.500 0.100 to 0.150"
    assert page.text.count("Failed: MLP: did <not> fit") == 2


def test_names_from_outside_are_text_and_blank_labels_have_a_name(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>.wav"
    tracks = [(name, "<b>rock</b>"), *TRACKS, (f"x/{name}", "<b>rock</b>"), ("z.wav", "  ")]
    store = make_store(tmp_path / "s", tracks, level="track")
    files = [{"track_id": name, "status": "failed", "error": "empty", "message": "<img src=x>"}]
    files[0] |= {"uri": f"/music/{name}", "source": "/music"}
    put(store, "files", files, FILES)
    similarity(store=str(tmp_path / "s"), k=61)
    _, page = read(tmp_path / "s")
    assert page.every("b") == []
    scripts = [script.get("type") for script in page.every("script")]
    assert scripts == ["text/plain", *[None] * len(_SCRIPTS + _EXPLORER_SCRIPTS)]
    assert all((image["src"] or "").startswith("data:") for image in page.every("img"))
    assert f"{name}: <img src=x>" in page.table("Failed files").rows[1]
    assert {"<b>rock</b>", "(blank)"} <= set(page.table("Tracks by label").column("label"))


def test_another_folder_gets_the_page_and_nothing_else(store: Store, tmp_path: Path) -> None:
    before = sorted((tmp_path / "s").rglob("*"))
    outcome = report(store=str(tmp_path / "s"), out=str(tmp_path / "out" / "here"))
    assert [path.name for path in (tmp_path / "out" / "here").iterdir()] == ["index.html"]
    assert outcome.page == str(tmp_path / "out" / "here" / "index.html")
    assert sorted((tmp_path / "s").rglob("*")) == before


def put_suspects(store: Store, paths: dict[str, str]) -> None:
    """Suspect the labels of recordings of these tracks."""
    rows = [{"rank": i, "track_id": track, "label": "x"} for i, track in enumerate(paths, 1)]
    put(store, SUSPECTS, rows, SUSPECT)
    files = [{"track_id": name, "uri": uri, "source": "/t.csv"} for name, uri in paths.items()]
    put(store, "files", files, FILES)


def test_tracks_with_a_local_file_can_be_played(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a # b.wav"
    file.touch()
    paths = {"local": str(file), "lost": str(tmp_path / "no.wav"), "bucket": "s3://b/a.wav"}
    put_suspects(store, paths | {"imported": "/t.csv#a.wav"})
    _, page = read(tmp_path / "s")
    players = [one for one in page.every("span") if one.get("class") == "player"]
    assert [one["data-addresses"] for one in players] == [f"file://{tmp_path}/a%20%23%20b.wav"]


def test_previews_lie_beside_the_page_and_hold_the_middle(store: Store, tmp_path: Path) -> None:
    t = np.arange(30 * 22050) / 22050
    # 440 Hz, and 880 Hz in the middle third.
    y = 0.5 * np.sin(2 * np.pi * 440 * t * np.where((t >= 10) & (t < 20), 2, 1))
    soundfile.write(tmp_path / "tones.flac", y, 22050)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    remote = f"memory://{tmp_path}/tones.flac"
    with fsspec.open(remote, "wb") as file:
        file.write((tmp_path / "tones.flac").read_bytes())
    local = str(tmp_path / "tones.flac")
    put_suspects(store, {"local": local, "remote": remote, "broken": f"{tmp_path}/broken.wav"})
    earlier, others = (tmp_path / "out/previews" / name for name in ("0" * 16 + ".opus", "a.opus"))
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    others.touch()
    outcome = report(store=str(tmp_path / "s"), out=str(tmp_path / "out"), previews=True)
    assert outcome.previews == 2
    assert not earlier.exists()
    assert others.exists()
    page = Reader((tmp_path / "out" / "index.html").read_text())
    players = [one for one in page.every("span") if one.get("class") == "player"]
    both, preview = [(one["data-addresses"] or "").split(" ") for one in players[:2]]
    assert both[0] == Path(local).as_uri()
    assert (players[2]["data-addresses"] or "").startswith("file:")
    contents = [(tmp_path / "out" / name).read_bytes() for name in (both[1], preview[0])]
    assert contents[0] == contents[1]
    heard, rate = soundfile.read(tmp_path / "out" / both[1])
    assert len(heard) / rate == pytest.approx(10, abs=0.01)
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum.argmax() == pytest.approx(880 * len(heard) / rate, abs=1)
    assert spectrum[4300:4500].max() < 0.01 * spectrum.max()  # 0.1 Hz each: around 440 Hz


def test_damaged_features_are_reported_and_damaged_neighbours_cost_their_section(
    store: Store,
    tmp_path: Path,
) -> None:
    similarity(store=str(tmp_path / "s"))
    part = Path(store.storage.path(store.parts("similarity")[0]))
    part.write_bytes(part.read_bytes()[:500])
    outcome, page = read(tmp_path / "s")
    assert "is damaged" in page.text
    assert "verify --repair --store" in page.text
    assert ", then `songmill similarity --store" in page.text
    assert "Tempo" not in outcome.missing
    put_suspects(store, {"a.wav": "/a.wav"})
    part = Path(store.storage.path(store.parts("files")[0]))
    part.write_bytes(part.read_bytes()[:500])
    _, page = read(tmp_path / "s")
    assert page.table("All 1 labels that a model contradicts").rows[1][1] == "a.wav x"
    features = Path(store.storage.path(store.parts("features/level=track")[0]))
    features.write_bytes(features.read_bytes()[:500])
    with pytest.raises(StoreError, match=r"is damaged .* --repair .*, then `songmill extract"):
        read(tmp_path / "s")


def test_numbers_that_no_recording_gives_are_left_out(store: Store, tmp_path: Path) -> None:
    with edited_tracks(store) as frame:
        frame.loc[3, "tempo"], frame.loc[4, "rms_mean"] = 1e308, -1e300
    outcome, page = read(tmp_path / "s")
    assert (outcome.tracks, outcome.sampled) == (60, 58)
    assert "all 58 tracks (2 are left out: no recording has such numbers)" in page.text
    with edited_tracks(store) as frame:
        frame["tempo"] = 1e308
    outcome, page = read(tmp_path / "s")
    assert (outcome.tracks, outcome.sampled) == (60, 0)
    assert page.table("Tracks by label").rows
    assert "All tracks are left out: no recording has such numbers." in page.text


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_an_impossible_folder_is_refused_before_the_work(
    store: Store, tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be a folder, since .*file is a file: choose"):
        report(store=str(tmp_path / "s"), out=str(tmp_path / where))
