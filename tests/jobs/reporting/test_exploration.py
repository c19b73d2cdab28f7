"""The tracks that a report lets the reader explore."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.made_stores import LABELS, make_store, put, read_rows, write_part

from jobs.reporting import exploration, overview
from jobs.reporting.exploration import read_tracks
from jobs.reporting.overview import label_styles, sample_tracks
from jobs.store.schemas import predictions, similarity
from jobs.store.tables import Store
from pages.explorer import Tracks, pack
from pages.statistics import principal_components

ROWS = [(f"{i:03}.wav", LABELS[i % 4]) for i in range(60)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s", ROWS, level="track")


def read(store: Store, size: int = 100, sets: tuple[str, ...] = ("gtzan",)) -> Tracks:
    samples = [sample_tracks(store, name, size) for name in sets]
    components = [principal_components(sample.features) for sample in samples]
    addresses = {"003.wav": ["file:///003.wav"], "elsewhere.wav": ["file:///elsewhere.wav"]}
    return read_tracks(
        store, samples, components=components, addresses=addresses, styles=label_styles([])
    )


def test_without_other_tables_there_are_tracks_and_maps(store: Store) -> None:
    found = read(store)
    assert list(zip(found.names, found.labels, strict=True)) == ROWS
    assert found.addresses == [*[()] * 3, ["file:///003.wav"], *[()] * 56]
    assert [one.title for one in found.maps] == [
        *("principal components: gtzan", "discriminants of the labels: gtzan")
    ]
    assert found.predictions is found.neighbours is found.segments is None


def test_neighbours_outside_the_sample_have_names_and_labels(store: Store) -> None:
    rng = np.random.default_rng(0)
    names = [name for name, _ in ROWS]
    rows = [
        {"track_id": name, "rank": rank, "neighbour_id": other, "score": 1 / rank, "cosine": 0.0}
        | {"metric": "rich"}
        for name in names
        for rank, other in enumerate(rng.permutation(names)[:7].tolist(), start=1)
    ]
    put(store, "similarity", rows[::-1], similarity("track"))
    found = read(store, size=10)
    assert len(found.names) == 10
    near = found.neighbours
    assert near is not None
    assert near.metric == "rich"
    assert len(near.others) == len(set(near.others)) > 0
    labels = dict(ROWS)
    assert list(near.other_labels) == [labels[name] for name in near.others]
    known = [*found.names, *near.others]
    expected = pd.DataFrame(rows).groupby("track_id")["neighbour_id"].apply(list)
    for name, indices, scores in zip(found.names, near.indices, near.scores, strict=True):
        assert [known[i] for i in indices] == expected[name][:5]
        np.testing.assert_allclose(scores, [1 / rank for rank in range(1, 6)], rtol=1e-6)


def test_an_older_table_of_neighbours_has_the_cosine_only(store: Store) -> None:
    row = {"track_id": "001.wav", "rank": 1, "neighbour_id": "002.wav", "cosine": 0.5}
    schema = pa.schema([one for one in similarity("track") if one.name not in ("score", "metric")])
    put(store, "similarity", [row], schema)
    near = read(store).neighbours
    assert near is not None
    assert near.metric == "cosine"
    assert near.indices[:2].tolist() == [[-1] * 5, [2, *[-1] * 4]]
    assert near.scores[1, 0] == 0.5


def test_neighbours_of_segments_are_left_out(store: Store) -> None:
    row = {"track_id": "001.wav", "segment": 1, "rank": 1, "neighbour_id": "002.wav"}
    put(store, "similarity", [row | {"neighbour_segment": 2, "score": 1}], similarity("segment"))
    assert read(store).neighbours is None


def test_the_likeliest_labels_come_first(store: Store) -> None:
    classes = [f"class {i}" for i in range(7)]
    columns = [f"p_{name}" for name in classes]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(ROWS))
    rows = [
        {"track_id": name, "learnt": i % 3 == 0} | dict(zip(columns, row, strict=True))
        for i, ((name, _), row) in enumerate(zip(ROWS, probabilities.tolist(), strict=True))
        if i != 4
    ]
    put(store, "predictions/level=track", rows[::-1], predictions(classes, segments=False))
    found = read(store).predictions
    assert found is not None
    assert found.classes == classes
    assert found.likeliest[4].tolist() == [-1] * 5
    frame = pd.DataFrame(rows).set_index("track_id")
    for i, (name, _) in enumerate(ROWS):
        if i == 4:
            continue
        expected = frame.loc[name, columns].astype(float).nlargest(5)
        assert [columns[j] for j in found.likeliest[i]] == list(expected.index)
        np.testing.assert_allclose(found.probabilities[i], expected, rtol=1e-6)
        assert found.learnt[i] == (i % 3 == 0)


def test_predictions_of_an_older_songmill_are_left_out(store: Store) -> None:
    schema = pa.schema([one for one in predictions(["x"], segments=False) if one.name != "learnt"])
    put(store, "predictions/level=track", [{"track_id": "001.wav", "p_x": 1.0}], schema)
    assert read(store).predictions is None


def test_segments_are_in_order_of_time(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two, three = [ROWS[5]] * 2, [ROWS[7]] * 3
    make_store(tmp_path / "s", [*two, ROWS[7]], [*three, ("another.wav", None)])
    (first, second) = store.parts("features/level=segment")
    table = store.read_part(second)
    write_part(store, second, table.take(pa.array([2, 0, 3, 1])))
    found = read(store).segments
    assert found is not None
    assert np.diff(found.ends, prepend=0).tolist() == [{5: 2, 7: 4}.get(i, 0) for i in range(60)]
    rows = read_rows(tmp_path / "s").sort_values(["track_id", "start_s"])
    rows = rows[rows["track_id"] != "another.wav"]
    assert found.starts_s.tolist() == rows["start_s"].tolist()
    names = [column.name for column in found.columns]
    np.testing.assert_array_equal(found.values, rows[names])
    monkeypatch.setattr(exploration, "_MAX_SEGMENTS", 6)
    assert read(store).segments is None


def test_a_track_without_features_of_a_set_has_no_point_there(store: Store, tmp_path: Path) -> None:
    make_store(tmp_path / "s", ROWS[:50], level="track", features="rich", shift={"rock": 3.0})
    found = read(store, sets=("gtzan", "rich"))
    titles = [one.title for one in found.maps]
    assert titles[2:] == ["principal components: rich", "discriminants of the labels: rich"]
    for one in found.maps[2:]:
        assert np.isnan(one.points).any(axis=1).tolist() == [i >= 50 for i in range(60)]
    rich = found.features[1]
    assert (rich.percentiles == 255).all(axis=1).tolist() == [i >= 50 for i in range(60)]
    first = found.maps[3].points[:50, 0]
    is_rock = np.array([label == "rock" for _, label in ROWS[:50]])
    assert (
        first[is_rock].min() > first[~is_rock].max() or first[is_rock].max() < first[~is_rock].min()
    )


def test_a_set_without_rows_of_the_tracks_is_left_out(store: Store, tmp_path: Path) -> None:
    others = [(f"other {i}.wav", "rock") for i in range(5)]
    make_store(tmp_path / "s", others, level="track", features="rich")
    found = read(store, sets=("gtzan", "rich"))
    assert [one.title.split(": ")[1] for one in found.maps] == ["gtzan", "gtzan"]
    assert [one.name for one in found.features] == ["gtzan"]


def test_segments_with_numbers_that_no_recording_gives_are_bounded(
    store: Store, tmp_path: Path
) -> None:
    make_store(tmp_path / "s", [ROWS[0], ROWS[0]])
    (part,) = store.parts("features/level=segment")
    table, schema = store.read_part(part).to_pandas(), store.storage.read_schema(part)
    table["tempo"] = [1.7e308, -1.7e308]
    write_part(store, part, pa.Table.from_pandas(table, schema))
    found = read(store)
    assert found.segments is not None
    assert np.abs(found.segments.values).max() == overview.MAX_FEATURE
    assert pack(found)


def test_a_set_with_too_many_percentiles_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploration, "_MAX_PERCENTILES", 60 * 57 - 1)
    assert read(store).features == []


def test_a_damaged_table_costs_its_part_only(store: Store) -> None:
    schema = similarity("track")
    row = {
        "track_id": "001.wav",
        "rank": 1,
        "neighbour_id": "002.wav",
        "score": 1.0,
        "metric": "rich",
    }
    put(store, "similarity", [row], schema)
    part = Path(store.storage.path(store.parts("similarity")[0]))
    part.write_bytes(part.read_bytes()[:200])
    found = read(store)
    assert found.neighbours is None
    assert len(found.maps) == 2
