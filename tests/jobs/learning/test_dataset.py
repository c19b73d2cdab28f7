"""Training data of a store, against pandas reading the same files."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_stores import make_store, read_rows

from featurizer.feature_set import feature_set
from jobs.errors import StoreError, UsageError
from jobs.learning import dataset
from jobs.learning.dataset import RowPlan, choose_rows, labelled_tracks, load, load_share
from jobs.store.levels import choose_level, feature_matrix
from jobs.store.tables import Store

GTZAN = feature_set("gtzan")

TWO = [("a", "blues"), ("b", "rock")]

# The level


@pytest.mark.parametrize(("level", "other"), [("segment", "track"), ("track", "segment")])
def test_segments_are_the_default_and_a_level_that_is_not_there_is_refused(
    tmp_path: Path, level: Any, other: Any
) -> None:
    store = make_store(tmp_path, TWO, level=other)
    make_store(tmp_path, [], level=level)  # emptied parts are no rows
    assert choose_level(store, None) == other
    with pytest.raises(UsageError, match=f"no rows of level {level}: choose --level {other}"):
        choose_level(store, level)
    make_store(tmp_path, TWO, level=level)
    assert choose_level(store, None) == "segment"
    assert choose_level(store, level) == level


def test_a_store_without_features_is_refused(tmp_path: Path) -> None:
    for store in (make_store(tmp_path), make_store(tmp_path, [], [])):
        with pytest.raises(UsageError, match=f"{tmp_path} has no features. .*import-features"):
            choose_level(store, None)


def test_rich_features_of_tracks_are_preferred_where_the_store_has_them(tmp_path: Path) -> None:
    store = make_store(tmp_path, TWO)
    assert choose_rows(store, None, None) == ("gtzan", "segment")
    with pytest.raises(UsageError, match=f"{tmp_path} has no rich features"):
        choose_rows(store, "rich", None)
    store = make_store(tmp_path, [], features="rich", level="track")  # all tracks are too short
    assert choose_rows(store, None, None) == ("gtzan", "segment")
    # Models of the few long tracks would predict no others.
    make_store(tmp_path, [*TWO, ("c", "rock")], level="track")
    make_store(tmp_path, TWO, features="rich", level="track")
    assert choose_rows(store, None, None) == ("gtzan", "segment")
    assert choose_rows(store, None, "track") == ("gtzan", "track")
    assert choose_rows(store, "rich", None) == ("rich", "track")
    make_store(tmp_path, [], level="track")
    for level in (None, "track"):
        assert choose_rows(store, None, level) == ("rich", "track")
        assert choose_rows(store, "rich", level) == ("rich", "track")
    # Only the published features describe segments.
    assert choose_rows(store, None, "segment") == ("gtzan", "segment")
    assert choose_rows(store, "gtzan", None) == ("gtzan", "segment")
    with pytest.raises(UsageError, match="rich features do not describe segments: .* gtzan"):
        choose_rows(store, "rich", "segment")
    with pytest.raises(UsageError, match="no rows of level track: choose --level segment"):
        choose_rows(store, "gtzan", "track")
    with pytest.raises(UsageError, match="no feature set 'poor': choose from gtzan, rich"):
        choose_rows(store, "poor", None)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path, TWO)
    (path,) = (tmp_path / "features" / "level=segment").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StoreError, match=f"{path} is damaged"):
        choose_level(store, None)


# The tracks


def test_labelled_tracks_are_those_with_rows_and_a_label(tmp_path: Path) -> None:
    # c spans three parts, and e is unlabelled in two.
    store = make_store(
        tmp_path,
        [("b", "rock"), ("c", "blues"), ("e", None)],
        [("c", "blues")] * 4,
        [],
        [("a", "rock"), ("c", "blues"), ("d", None), ("e", None)],
    )
    found = labelled_tracks(store, "gtzan", "segment")
    assert found.level == "segment"
    assert found.tracks.ids.tolist() == ["a", "b", "c"]
    assert found.tracks.classes == ("blues", "rock")
    assert found.tracks.labels.tolist() == [1, 1, 0]
    assert found.rows.tolist() == [1, 1, 6]
    assert found.unlabelled == 2
    assert found.tracks.groups is None


def test_labels_and_names_are_any_text(tmp_path: Path) -> None:
    texts = ["", " ", "a,b", '"', "../x", "a\nb", "None", "caf\xe9", "\N{GUITAR}", "NA", "y" * 9999]
    store = make_store(tmp_path, [(text, text) for text in texts], level="track")
    found = labelled_tracks(store, "gtzan", "track")
    assert found.tracks.classes == tuple(sorted(texts))
    names = [found.tracks.classes[code] for code in found.tracks.labels]
    assert found.tracks.ids.tolist() == names == sorted(texts)
    loaded = load(*plan_tracks(store, [0] * len(texts)).shares((0,), 1))
    assert loaded.classes.tolist() == [found.tracks.classes.index(text) for text in texts]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (
            [("a", None), ("b", None)],
            "no track of .* has a label. Give --labels to `songmill extract`",
        ),
        ([("a", "x, y"), ("b", "x, y"), ("c", None)], "has the label 'x, y'. A model needs two"),
    ],
)
def test_fewer_than_two_labels_are_refused(tmp_path: Path, rows: Any, error: str) -> None:
    store = make_store(tmp_path, rows)
    with pytest.raises(UsageError, match=error) as refusal:
        labelled_tracks(store, "gtzan", "segment")
    assert str(tmp_path) in str(refusal.value)


# The rows


def plan_tracks(store: Store, parts: list[int]) -> RowPlan:
    return RowPlan(
        store, labelled_tracks(store, "gtzan", "track"), "roster.parquet", np.array(parts)
    )


LABELS = {"a": "x", "b": "y", "c": None, "d": "x", "e": "\N{GUITAR}", "f": "y"}

layouts = st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), min_size=1, max_size=4)


@settings(deadline=None, max_examples=25)
@given(
    layouts,
    st.dictionaries(st.sampled_from("abdef"), st.integers(-1, 2)),
    st.sets(st.integers(0, 2), min_size=1),
    st.integers(1, 50),
    st.integers(1, 6),
)
def test_shares_and_pieces_are_every_wanted_row_once(
    layout: list[list[str]], codes: dict[str, int], wanted: set[int], n: int, at_a_time: int
) -> None:
    # Two labels are always there, because fewer are refused.
    layout = [*layout, ["a", "b"]]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = make_store(root, *([(track, LABELS[track]) for track in part] for part in layout))
        labelled = labelled_tracks(store, "gtzan", "segment")
        parts = np.array([codes.get(track, -1) for track in labelled.tracks.ids])
        plan = RowPlan(store, labelled, "_work/roster.parquet", parts)

        frame = read_rows(root)
        counts = frame["track_id"].map(codes).isin(wanted) & frame["label"].notna()
        expected = frame[counts]
        want = tuple(wanted)
        assert plan.count(want) == len(expected)

        shares = [load(rows) for rows in plan.shares(want, n)]
        sizes = [len(one.tracks) for one in shares]
        assert len(shares) == n
        assert max(sizes) - min(sizes) <= 1
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(dataset, "READ_ROWS", at_a_time)
            pieces = [load(rows) for rows in plan.pieces(want)]
        assert all(0 < len(one.tracks) <= at_a_time for one in pieces)

        assert pieces or expected.empty
        for loaded in (shares, pieces or shares):
            tracks = np.concatenate([one.tracks for one in loaded])
            classes = np.concatenate([one.classes for one in loaded])
            features = np.concatenate([one.features for one in loaded])
            assert features.dtype == np.float32
            assert classes.dtype == np.int32
            assert labelled.tracks.ids[tracks].tolist() == expected["track_id"].tolist()
            names = [labelled.tracks.classes[code] for code in classes]
            assert names == expected["label"].tolist()
            oracle = expected[list(GTZAN.names)].to_numpy(np.float32)
            assert np.array_equal(features, oracle)


def test_a_share_is_features_and_classes_and_may_be_empty(tmp_path: Path) -> None:
    plan = plan_tracks(make_store(tmp_path, [*TWO, ("c", "blues")], level="track"), [0, 1, 0])
    features, classes = load_share(*plan.shares((0,), 1))
    frame = read_rows(tmp_path, "track")
    assert np.array_equal(features, frame.loc[[0, 2], list(GTZAN.names)].to_numpy(np.float32))
    assert classes.tolist() == [0, 0]
    features, classes = load_share(*plan.shares((2,), 1))
    assert (features.shape, features.dtype) == ((0, len(GTZAN.names)), np.float32)
    assert (classes.shape, classes.dtype) == ((0,), np.int32)


def test_a_number_beyond_float32_becomes_the_largest_that_there_is() -> None:
    values = [1e300, -1e300, 0.1, 1e-320]
    table = pa.table(dict.fromkeys(GTZAN.names, values))
    largest = float(np.finfo(np.float32).max)
    expected = np.array([largest, -largest, np.float32(0.1), 0.0], np.float32)
    assert np.array_equal(
        feature_matrix(table, "gtzan"), np.tile(expected, (len(GTZAN.names), 1)).T
    )
    assert feature_matrix(table, "gtzan", np.float64)[:, 0].tolist() == values
