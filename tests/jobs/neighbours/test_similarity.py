"""The similarity job, against brute force and the tutorial's lists; killed workers."""

import functools
import itertools
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client
from support import brute_force, in_process
from support.cluster_processes import Processes, processes
from support.command_line import Command
from support.made_stores import make_store, read_rows, write_part

from featurizer.feature_set import Level, feature_set
from jobs.errors import ClusterError, UsageError
from jobs.extraction.import_features import import_features
from jobs.neighbours.similarity import Outcome, similarity
from jobs.progress import Progress
from jobs.store.schemas import features_folder
from jobs.store.tables import open_store
from recommend import neighbours
from recommend.metric import Name

GTZAN = feature_set("gtzan")

NAMES = [f"take{i:03}.wav" for i in range(60)]

Find = Callable[..., Outcome]


def find(root: Path, **options: Any) -> Outcome:
    return similarity(store=str(root), **options)


def make_tracks(root: Path, count: int) -> Path:
    make_store(root, [(f"take{i:03}.wav", "a") for i in range(count)], level="track")
    return root


def read(root: Path, table: str) -> pd.DataFrame:
    return pd.read_parquet(root / table)


def track_store(
    root: Path, *, copies: int = 0, labels: str = "ab", without_rich: int | None = None
) -> Path:
    """Make a store of tracks in two parts and in random order, with some duplicates.

    All tracks but the first ``without_rich`` have rich features too; by default none have.
    """
    names = list(np.random.default_rng(3).permutation(NAMES))
    label_of = dict(zip(names, itertools.cycle(labels), strict=False))
    rows = [(name, label_of[name]) for name in names]
    store = make_store(root, rows[:25], rows[25:], level="track")
    one, other = store.parts("features/level=track")
    rows_of_other = store.read_part(other)
    same = pa.concat_tables([store.read_part(one).slice(0, copies), rows_of_other.slice(copies)])
    for i, name in enumerate(("track_id", "label")):
        same = same.set_column(i, name, rows_of_other[name])
    write_part(store, other, same)
    if without_rich is not None:
        shift = {label: i / 4 for i, label in enumerate(labels)}
        rich = rows[without_rich:][::-1]
        make_store(root, rich[:31], rich[31:], level="track", features="rich", shift=shift)
    return root


def check(root: Path, k: int, level: Level = "track", metric: str = "cosine") -> None:
    """Compare the tables with brute force."""
    keys = ["track_id", "segment"] if level == "segment" else ["track_id"]
    published = read_rows(root, level).sort_values(keys, ignore_index=True)
    of_published = brute_force.cosines(published[list(GTZAN.names)].to_numpy())
    rows, matrix, scores = published, of_published, of_published
    if metric != "cosine":
        rows = read_rows(root, level, "rich").sort_values(keys, ignore_index=True)
        classes = pd.factorize(rows["label"])[0]
        features = rows[list(feature_set("rich").names)].to_numpy()
        vectors = brute_force.metric_vectors(metric, features, classes)
        matrix, scores = vectors @ vectors.T, brute_force.corrected_scores(vectors)
    index = {tuple(row): i for i, row in enumerate(rows[keys].itertuples(index=False))}
    found = read(root, "similarity")
    others = ["neighbour_id", "neighbour_segment"][: len(keys)]
    assert list(found) == [*keys, "rank", *others, "score", "cosine", "duplicate", "metric"]
    assert (found["metric"] == metric).all()
    one = [index[tuple(row)] for row in found[keys].itertuples(index=False)]
    assert one == sorted(one)
    assert found["rank"].tolist() == list(range(1, k + 1)) * len(rows)
    other = np.array([index[tuple(row)] for row in found[others].itertuples(index=False)])
    lists = other.reshape(-1, k), found["score"].to_numpy().reshape(-1, k)
    brute_force.check_lists(*lists, scores, k, tolerance=1e-12 if metric == "cosine" else 1e-10)
    np.testing.assert_allclose(found["cosine"], matrix[one, other], rtol=0, atol=1e-10)
    if metric == "cosine":
        assert found["score"].equals(found["cosine"])
    # Duplicates are those of the published features, whichever the metric.
    index = {tuple(row): i for i, row in enumerate(published[keys].itertuples(index=False))}
    pairs = brute_force.pairs_from(of_published, 0.9999)

    ends = [[index[tuple(end)] for end in found[key].to_numpy()] for key in (keys, others)]
    flagged = [tuple(sorted(pair)) in set(pairs) for pair in zip(*ends, strict=True)]
    assert found["duplicate"].tolist() == flagged
    assert len(read(root, "duplicates")) == len(pairs)


@pytest.fixture
def find_in_tiles(monkeypatch: pytest.MonkeyPatch, in_process_cluster: str) -> Find:
    """Find neighbours in tiles of 16 rows, which are compared on a cluster of this process."""
    monkeypatch.setattr(neighbours, "MAX_TILE_ROWS", 16)
    return functools.partial(find, scheduler=in_process_cluster)


@pytest.fixture(scope="module")
def gtzan(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    root = tmp_path_factory.mktemp("gtzan") / "store"
    import_features([str(shared_data / "gtzan" / "features_30_sec.csv")], store=str(root))
    find(root, full=True)
    return root


def test_the_tutorials_lists(gtzan: Path) -> None:
    found = read(gtzan, "similarity")
    expected = {
        "pop.00023": "pop.00075 .875235, pop.00089 .874246, pop.00088 .872443, "
        "pop.00091 .871975, pop.00024 .869849",
        "pop.00078": "pop.00088 .914322, hiphop.00077 .876289, pop.00089 .871822, "
        "pop.00074 .855630, pop.00023 .854349",
        "rock.00018": "rock.00017 .921997, metal.00028 .913790, metal.00058 .912421, "
        "rock.00016 .912421, rock.00026 .910113",
        # metal.00058 and rock.00016 are one recording; the tutorial shows only the second.
        "metal.00002": "metal.00028 .904367, metal.00059 .896096, rock.00018 .891910, "
        "rock.00017 .886526, metal.00058 .867508, rock.00016 .867508",
    }
    for track, text in expected.items():
        rows = found[found["track_id"] == f"{track}.wav"]
        pairs = [line.split() for line in text.split(", ")]
        assert rows["neighbour_id"].tolist()[: len(pairs)] == [f"{name}.wav" for name, _ in pairs]
        shown = [f"{cosine:.6f}".removeprefix("0") for cosine in rows["cosine"][: len(pairs)]]
        assert shown == [cosine for _, cosine in pairs]


def test_the_recordings_that_gtzan_has_twice(gtzan: Path) -> None:
    found = read(gtzan, "duplicates")
    assert list(found) == ["track_id", "duplicate_id", "cosine"]
    pairs = list(zip(found["track_id"], found["duplicate_id"], strict=True))
    assert len(pairs) == 16
    assert ("metal.00058.wav", "rock.00016.wav") in pairs
    assert all(one < other for one, other in pairs)
    assert pairs == sorted(pairs)
    flagged = read(gtzan, "similarity").query("duplicate")
    both = pairs + [(other, one) for one, other in pairs]
    assert sorted(zip(flagged["track_id"], flagged["neighbour_id"], strict=True)) == sorted(both)


def test_the_whole_matrix_is_the_tutorials(gtzan: Path) -> None:
    found = read(gtzan, "similarity-matrix").set_index("track_id")
    rows = read_rows(gtzan, "track").sort_values("track_id")
    assert found.index.tolist() == list(found.columns) == rows["track_id"].tolist()
    matrix = brute_force.cosines(rows[list(GTZAN.names)].to_numpy())
    np.testing.assert_allclose(found.to_numpy(), matrix, rtol=0, atol=1e-7)
    assert round(float(found.loc["blues.00000.wav", "rock.00099.wav"]), 6) == 0.304098


METRICS: list[Name] = ["cosine", "rich", "learned"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 20, 59, 500])
def test_tracks_have_the_neighbours_of_brute_force(
    find_in_tiles: Find, tmp_path: Path, k: int, metric: Name
) -> None:
    root = track_store(tmp_path / "store", copies=7, without_rich=0)
    outcome = find_in_tiles(root, k=k, metric=metric)
    assert (outcome.rows, outcome.k, outcome.duplicates) == (60, min(k, 59), 7)
    assert (outcome.metric, outcome.workers) == (metric, 2)
    assert outcome.labels == (["a", "b"] if metric == "learned" else [])
    check(root, min(k, 59), metric=metric)


@pytest.mark.parametrize("metric", METRICS)
def test_neither_workers_nor_tiles_nor_parts_change_a_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Name, in_process_cluster: str
) -> None:
    root = track_store(tmp_path / "store", copies=7, without_rich=9)
    tables = ("similarity", "duplicates", "metrics")

    def found() -> list[pd.DataFrame]:
        return [read(root, table).drop(columns="run_id", errors="ignore") for table in tables]

    find(root, metric=metric)
    expected = found()
    for workers, rows in ((1, 31), (3, 16)):
        monkeypatch.setattr(neighbours, "MAX_TILE_ROWS", rows)
        with in_process.cluster(workers) as address:
            assert find(root, metric=metric, scheduler=address).workers == workers
        for one, other in zip(found(), expected, strict=True):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
    # The same rows in other parts.
    for features in ("gtzan", "rich"):
        store = open_store(str(root))
        one, other = store.parts(features_folder(features, "track"))
        together = pa.concat_tables([store.read_part(other), store.read_part(one)])
        write_part(store, one, together.slice(0, 3))
        write_part(store, other, together.slice(3))
    find(root, metric=metric, scheduler=in_process_cluster)
    for table, before in zip(found(), expected, strict=True):
        pd.testing.assert_frame_equal(table, before, check_exact=True)


@pytest.mark.parametrize("metric", ["rich", "learned"])
def test_tracks_without_rich_features_have_no_neighbours_but_duplicates(
    find_in_tiles: Find, tmp_path: Path, metric: Name, capsys: pytest.CaptureFixture[str]
) -> None:
    root = track_store(tmp_path / "store", copies=7, without_rich=20)
    outcome = find_in_tiles(root, k=5, metric=metric)
    assert (outcome.rows, outcome.duplicates) == (40, 7)
    check(root, 5, metric=metric)
    assert f"tracks without rich features, which --metric {metric} leaves out: 20" in (
        capsys.readouterr().err
    )


def test_the_metric_is_rich_by_default_if_there_are_rich_features(tmp_path: Path) -> None:
    root = track_store(tmp_path / "store")
    assert find(root).metric == "cosine"
    track_store(root, without_rich=50)
    assert find(root).metric == "rich"
    make_store(root, [(name, "a") for name in NAMES], level="segment")
    assert find(root, level="segment").metric == "cosine"
    assert find(root, metric="cosine").rows == 60
    messages = read(root, "runs").sort_values("started_at")["message"].tolist()
    assert messages[1] == "9 nearest of 10 tracks, metric rich"


def test_without_the_published_features_duplicates_are_those_of_the_metric_rich(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    store = make_store(root, [(n, n[5]) for n in NAMES], level="track", features="rich")
    (part,) = store.parts(features_folder("rich", "track"))
    rows = store.read_part(part)
    twice = rows.take([*range(55), *range(5)]).set_column(0, "track_id", rows["track_id"])
    write_part(store, part, twice)
    for metric in ("rich", "learned"):
        assert find(root, metric=metric).duplicates == 5
        pairs = read(root, "duplicates")
        assert pairs["track_id"].tolist() == NAMES[:5]
        assert pairs["duplicate_id"].tolist() == NAMES[55:]
        assert read(root, "similarity")["duplicate"].sum() == 10
    with pytest.raises(UsageError, match="has no gtzan features, which --metric cosine"):
        find(root, metric="cosine")
    with pytest.raises(UsageError, match="has no gtzan features"):
        find(root, level="segment")


def test_the_numbers_of_the_metrics_are_kept(tmp_path: Path) -> None:
    root = track_store(tmp_path / "store", without_rich=9, labels="abc")
    run_ids = []
    for metric in METRICS:
        find(root, metric=metric)
        run_ids.append(read(root, "runs").sort_values("started_at")["run_id"].iloc[-1])
    table = read(root, "metrics").set_index("metric")
    assert sorted(table.index) == sorted(METRICS)
    assert table.loc["rich", "run_id"] == run_ids[1]
    # Used for the duplicates, and fitted anew.
    assert table.loc["cosine", "run_id"] == run_ids[2]
    assert table["tracks"].to_dict() == {"cosine": 60, "rich": 51, "learned": 51}
    assert table["labelled"].to_dict() == {"cosine": 0, "rich": 0, "learned": 51}
    assert list(table.loc["learned", "classes"]) == ["a", "b", "c"]
    assert table.loc["rich", "feature_set"] == feature_set("rich").version
    # As documented: anybody can compute the scores from the columns of the table.
    rows = read_rows(root, "track", "rich").set_index("track_id").sort_index()
    for metric in ("rich", "learned"):
        find(root, metric=metric, k=7)
        features = rows[list(table.loc[metric, "columns"])].to_numpy(np.float64)
        vectors = brute_force.vectors_by(table.loc[metric], features)
        found = read(root, "similarity")
        one, other = (rows.index.get_indexer(found[end]) for end in ("track_id", "neighbour_id"))
        matrix = brute_force.corrected_scores(vectors)
        np.testing.assert_allclose(found["score"], matrix[one, other], rtol=0, atol=1e-10)


def test_a_metric_without_its_features_or_labels_is_refused(tmp_path: Path) -> None:
    root = track_store(tmp_path / "store")
    for metric in ("rich", "learned"):
        with pytest.raises(UsageError, match=f"no rich features, which --metric {metric} compares"):
            find(root, metric=metric)
        with pytest.raises(UsageError, match="leave out --level segment"):
            find(root, metric=metric, level="segment")
    for labels, error in (([None], "no track has a label"), (["x"], "the only label is 'x'")):
        rows = zip(NAMES, itertools.cycle([*labels, None]), strict=False)
        make_store(root, list(rows), level="track", features="rich")
        with pytest.raises(UsageError, match=rf"--metric learned cannot compare .*{error}"):
            find(root, metric="learned")
    assert not (root / "similarity").exists()
    assert find(root, metric="rich").rows == 60


def test_a_value_that_is_not_finite_is_refused_by_its_column(tmp_path: Path) -> None:
    root = track_store(tmp_path / "store", without_rich=0)
    store = open_store(str(root))
    part = store.parts(features_folder("rich", "track"))[0]
    rows = store.read_part(part)
    name = feature_set("rich").names[7]
    column = pa.array([np.nan, *rows[name].to_pylist()[1:]], pa.float32())
    at = rows.schema.get_field_index(name)
    write_part(store, part, rows.set_column(at, rows.schema.field(at), column))
    with pytest.raises(UsageError, match=f"the column {name} has the value nan"):
        find(root)


def test_segments_have_neighbours_too(find_in_tiles: Find, tmp_path: Path) -> None:
    rows = [(name, "a") for name in NAMES[:15] for _ in range(3)]
    root = tmp_path / "store"
    make_store(root, rows[:20], rows[20:])
    outcome = find_in_tiles(root, k=4, level="segment")
    assert (outcome.level, outcome.rows) == ("segment", 45)
    check(root, 4, "segment")


def test_one_track_has_no_neighbour_and_two_have_each_other(tmp_path: Path) -> None:
    for n in (1, 2):
        root = make_tracks(tmp_path / f"store{n}", n)
        assert find(root).k == n - 1
        found = read(root, "similarity")
        assert len(found) == (2 if n == 2 else 0)
        columns = ["track_id", "rank", "neighbour_id", "score", "cosine", "duplicate", "metric"]
        assert list(found) == columns
        assert read(root, "duplicates").empty
        assert not (root / "similarity-matrix").exists()
    np.testing.assert_allclose(found["cosine"], -1)


def test_a_second_run_replaces_the_tables(find_in_tiles: Find, tmp_path: Path) -> None:
    root = track_store(tmp_path / "store", copies=3)
    find_in_tiles(root, k=5, full=True)
    assert len(read(root, "similarity-matrix")) == 60
    before = read(root, "similarity")
    find_in_tiles(root, k=3)
    assert len(read(root, "similarity-matrix")) == 0
    assert read(root, "similarity").equals(before.query("rank <= 3").reset_index(drop=True))
    runs = read(root, "runs").sort_values("started_at")
    assert runs["stage"].tolist() == ["similarity"] * 2
    messages = ["5 nearest of 60 tracks, metric cosine", "3 nearest of 60 tracks, metric cosine"]
    assert runs["message"].tolist() == messages
    assert not list((root / "_work").rglob("*.npz"))


def test_duplicates_across_labels_are_shown_first(find_in_tiles: Find, tmp_path: Path) -> None:
    root = track_store(tmp_path / "store", copies=12, labels="aab")
    outcome = find_in_tiles(root)
    labels = read_rows(root, "track").set_index("track_id")["label"]
    pairs = read(root, "duplicates")
    differ = labels[pairs["track_id"]].to_numpy() != labels[pairs["duplicate_id"]].to_numpy()
    assert outcome.across_labels == differ.sum() > 0
    assert outcome.duplicates == 12 > differ.sum()
    shown = [(one.label, one.duplicate_label) for one in outcome.shown]
    assert shown == [(labels[one.track_id], labels[one.duplicate_id]) for one in outcome.shown]
    across = [one != other for one, other in shown]
    assert across == sorted(across, reverse=True)
    assert sum(across) == differ.sum()


def test_the_threshold_of_duplicates_is_an_option(find_in_tiles: Find, tmp_path: Path) -> None:
    root = track_store(tmp_path / "store")
    find_in_tiles(root, k=59)
    cosines = np.sort(read(root, "similarity")["cosine"])
    threshold = float(cosines[-7])
    found = find_in_tiles(root, duplicate_from=threshold)
    assert found.duplicates == len(read(root, "duplicates")) == 4
    assert read(root, "similarity")["duplicate"].sum() == 8 - 1 + (cosines[-8] >= threshold)


def test_a_recording_that_is_everywhere_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.neighbours.similarity.MAX_DUPLICATES", 3)
    monkeypatch.setattr("recommend.neighbours.MAX_DUPLICATES", 3)
    root = make_tracks(tmp_path / "store", 10)
    store = open_store(str(root))
    (part,) = store.parts("features/level=track")
    rows = store.read_part(part)
    same = rows.take([0] * 6 + [6, 7, 8, 9]).set_column(0, "track_id", rows["track_id"])
    write_part(store, part, same)
    find(root)
    assert "more than" in capsys.readouterr().err


def test_impossible_requests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "store"
    make_store(root)
    with pytest.raises(UsageError, match="has no features"):
        find(root)
    make_store(root, [("a.wav", "a")])
    with pytest.raises(UsageError, match="choose --level segment"):
        find(root)
    with pytest.raises(UsageError, match="leave out --level segment"):
        find(root, level="segment", full=True)
    with pytest.raises(UsageError, match="there is no store"):
        find(tmp_path / "nowhere")
    make_tracks(root, 60)
    monkeypatch.setattr("jobs.neighbours.similarity.MAX_MATRIX_TRACKS", 59)
    with pytest.raises(UsageError, match=r"of 60 tracks would take .* at most 59 tracks"):
        find(root, full=True)
    assert not (root / "similarity").exists()
    assert not (root / "runs").exists()


def test_a_worker_that_fails_leaves_the_tables_as_they_were(
    find_in_tiles: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = track_store(tmp_path / "store")
    find_in_tiles(root, k=3)
    before = read(root, "similarity")
    monkeypatch.setattr(neighbours, "compare_tiles", Mock(side_effect=ValueError("broken")))
    with pytest.raises(ClusterError, match=r"could not compare tiles \d, \d.*broken"):
        find_in_tiles(root, k=5)
    assert read(root, "similarity").equals(before)
    runs = read(root, "runs").sort_values("started_at")
    assert runs["outcome"].tolist() == ["done", "failed"]


def test_the_command_line_says_what_was_found(tmp_path: Path, command: Command) -> None:
    root = track_store(tmp_path / "store", copies=11)
    arguments = ("similarity", "--store", root, "-k", "4")
    code, out, _ = command(*arguments)
    assert code == 0
    assert "The 4 nearest of 60 tracks, by the metric cosine, in " in out
    assert "Duplicates: 11 pairs" in out
    assert "… and 1 more." in out
    found = json.loads(command(*arguments, "--json")[1])
    assert (found["k"], found["rows"], found["duplicates"], len(found["shown"])) == (4, 60, 11, 10)
    assert command("similarity", "--store", root, "-k", "0")[0] == 2


# On real clusters


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with processes(tmp_path_factory.mktemp("cluster") / "processes") as found:
        found.start_cluster(3, nanny=True)
        with Client(found.address) as client:
            client.wait_for_workers(3, timeout=60)
        yield found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 900 tracks with its tables, computed in one tile."""
    root = make_tracks(tmp_path_factory.mktemp("many") / "store", 900)
    find(root, k=7)
    check(root, 7)
    return root


@pytest.mark.storm
def test_a_worker_that_is_killed_costs_nothing(
    cluster: Processes, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(many, "similarity")
    monkeypatch.setattr(neighbours, "MAX_TILE_ROWS", 60)
    victims = dict(zip((10, 40), cluster.worker_pids()[:2], strict=True))
    done = itertools.count(1)

    class Killing(Progress):
        def update(self, text: str) -> None:
            if "pairs of tiles" in text and (victim := victims.get(next(done))):
                os.kill(victim, signal.SIGKILL)

    find(many, k=7, scheduler=cluster.address, progress=Killing())
    assert next(done) - 1 == 15 * 16 // 2
    pd.testing.assert_frame_equal(read(many, "similarity"), expected, check_exact=True)


@pytest.mark.storm
def test_a_killed_job_leaves_the_tables_and_the_next_one_goes_on(
    cluster: Processes, many: Path
) -> None:
    expected = read(many, "similarity")
    arguments = ("similarity", "--store", many, "-k", "9", "--scheduler", cluster.address)
    small = {"recommend.neighbours.MAX_TILE_ROWS": 100}
    for moment in (["write", "-500.npz"], ["write_table", "_work/commit"]):
        killed = cluster.songmill(*arguments, faulty={"set": small, "die_at": moment})
        assert killed.wait().code == -signal.SIGKILL
        pd.testing.assert_frame_equal(read(many, "similarity"), expected, check_exact=True)
    assert cluster.songmill(*arguments, faulty={"set": small}).wait().code == 0
    check(many, 9)
    assert not list(open_store(str(many)).storage.list("_work/similarity"))
