"""The models of a store: the champion, promotions, and damaged files."""

import contextlib
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from support.damaged_json import DAMAGED_JSON, short_id
from support.faults import before_operations
from support.made_models import MISFITS, champion_of, make_lda, make_trees, put_model
from support.made_stores import make_store, read_rows

from featurizer.feature_set import feature_set
from jobs.errors import DamageError, StoreError, UsageError
from jobs.learning import registry
from jobs.learning.promote import promote
from jobs.progress import Progress
from jobs.store import commit
from jobs.store.address import lock_of
from jobs.store.folder import Folder
from jobs.store.schemas import PREDICTED_SEGMENTS, PREDICTED_TRACKS
from jobs.store.tables import Settings, Store, open_store
from training.arrays import Arrays, to_npz
from training.model import Description, Model, ModelError, digest
from training.predictor import to_bytes
from training.promotion import BEST_ITSELF, Night

GTZAN, RICH = feature_set("gtzan"), feature_set("rich")

OF_RICH: dict[str, Any] = {
    "columns": list(RICH.names),
    "feature_set": RICH.version,
    "level": "track",
}

OLD, MIDDLE, NEW = "20260301T120000-aaaaaa", "20260302T120000-bbaaaa", "20260303T120000-cccccc"
LATER = "20260304T120000-dddddd"
CLASSES = ["blues", "rock"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three models. The newest is the champion."""
    root = tmp_path_factory.mktemp("made") / "store"
    store = make_store(root, [("a", "blues"), ("b", "rock")])
    for version in (OLD, MIDDLE, NEW):
        put_model(store, version, CLASSES, champion=version == NEW)
    return root


@pytest.fixture
def store(root: Path, made: Path) -> Store:
    """A copy. Making a store takes longer, because commits wait for the disk."""
    shutil.copytree(made, root)
    return open_store(str(root))


# The champion


@pytest.mark.parametrize("wanted", [OLD, "1T120000-aaaaaa"])
def test_an_older_model_predicts_again_by_its_version_or_an_end_of_it(
    store: Store, root: Path, wanted: str
) -> None:
    assert promote(wanted, store=str(root)) == {"version": OLD, "before": NEW}
    assert champion_of(root) == OLD == registry.champion(store)
    assert promote(NEW, store=str(root)) == {"version": NEW, "before": OLD}
    runs = store.read("runs").select(["stage", "outcome", "message"]).to_pylist()
    expected = {("promote", "done", f"promoted {version}") for version in (OLD, NEW)}
    assert {tuple(run.values()) for run in runs} == expected


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("aaaa", "several models"),
        *((wanted, "no model") for wanted in ("2026", "aaa", "120000", f"2026{OLD}", "")),
    ],
)
def test_no_model_or_several_are_refused(store: Store, root: Path, wanted: str, text: str) -> None:
    with pytest.raises(UsageError, match=text) as refusal:
        promote(wanted, store=str(root))
    assert all(version in str(refusal.value) for version in (OLD, MIDDLE, NEW))
    assert champion_of(root) == NEW


def test_a_version_that_begins_another_is_itself(store: Store, root: Path) -> None:
    put_model(store, OLD + "a", CLASSES)
    assert promote(OLD, store=str(root))["version"] == OLD


def test_a_store_without_models_says_how_one_is_made(root: Path) -> None:
    assert registry.champion(make_store(root)) is None
    assert registry.list_models(str(root)) == ([], [])
    with pytest.raises(UsageError, match="songmill train"):
        promote(OLD, store=str(root))


def test_models_are_listed_the_newest_first(store: Store, root: Path) -> None:
    (root / "models/20260304T000000-nothing").mkdir()
    found, wrong = registry.list_models(str(root))
    descriptions = [one.description and one.description.version for one in found]
    assert descriptions == [one.version for one in found] == [NEW, MIDDLE, OLD]
    assert [one.champion for one in found] == [True, False, False]
    assert wrong == []


def test_no_rows_give_no_probabilities(store: Store, root: Path) -> None:
    model = registry.load(store, OLD)
    rows = read_rows(root)[list(GTZAN.names)].to_numpy()
    assert model.probabilities(rows).shape == (2, 2)
    assert model.probabilities(rows[:0]).shape == (0, 2)


def test_the_champion_or_else_the_newest_model_of_a_feature_set_or_kind_predicts(
    store: Store,
) -> None:
    log = io.StringIO()
    progress = Progress(Console(file=log, width=300))

    def chosen(**options: Any) -> str:
        return registry.choose(store, progress, **options).version

    put_lda(store, LATER, to_bytes(make_lda(CLASSES, features="rich")), **OF_RICH)
    assert chosen() == chosen(features="gtzan", kind="xgboost") == NEW
    assert log.getvalue() == ""
    assert chosen(features="rich") == chosen(kind="lda") == LATER
    text = f"predicting by {LATER}, the newest model of rich features (the champion is {NEW})"
    assert text in log.getvalue()
    put_lda(store, "2", to_bytes(make_lda(CLASSES, features="rich")), champion=True, **OF_RICH)
    assert chosen(features="rich") == "2"
    assert chosen(features="gtzan") == NEW
    with pytest.raises(UsageError, match="no feature set 'mfcc': choose from gtzan, rich"):
        chosen(features="mfcc")
    with pytest.raises(UsageError) as refusal:
        chosen(features="rich", kind="xgboost")
    root = store.storage.root
    assert str(refusal.value) == (
        f"the store {root} has no xgboost model of rich features (it has lda of rich-458.1, "
        f"xgboost of gtzan-57.1). Run `songmill train --features rich --model xgboost --store "
        f"{root}`"
    )


def test_a_damaged_model_is_passed_over_unless_it_is_the_champion(store: Store) -> None:
    log = io.StringIO()
    progress = Progress(Console(file=log, width=300))
    put_lda(store, LATER, to_bytes(make_lda(CLASSES)))
    put_lda(store, "20260305", to_bytes(make_lda(CLASSES)))
    store.storage.write("models/20260305/model.json", b"{")
    assert registry.choose(store, progress, kind="lda").version == LATER
    assert "20260305/model.json is malformed" in log.getvalue()
    store.storage.write(f"models/{NEW}/model.json", b"{")
    with pytest.raises(DamageError, match="is malformed"):
        registry.choose(store, progress, kind="lda")


# Damaged files


@pytest.mark.parametrize(
    "text",
    [
        *DAMAGED_JSON,
        *(
            json.dumps({"version": version}).encode()
            for version in (
                *("20260305T0-x", f"../models/{OLD}", f"{OLD}/", f"{OLD}/.", f"x/../{OLD}"),
                *("", ".", "..", "/etc", [OLD], 5, None, "\ud800"),
            )
        ),
    ],
    ids=short_id,
)
def test_a_damaged_champion_json_is_reported_and_mended_by_a_promotion(
    store: Store, root: Path, text: bytes
) -> None:
    (root / "models/champion.json").write_bytes(text)
    with pytest.raises(StoreError, match=r"champion\.json .*songmill promote"):
        registry.champion(store)
    # The versions are still listed, so that one can be promoted.
    found, (wrong,) = registry.list_models(str(root))
    assert [one.version for one in found if not one.champion] == [NEW, MIDDLE, OLD]
    assert "champion.json" in wrong
    assert promote(MIDDLE, store=str(root)) == {"version": MIDDLE, "before": None}
    assert registry.champion(store) == MIDDLE


Edit = Callable[[bytes], bytes]


def edit_file(root: Path, name: str, edit: Edit) -> None:
    path = root / "models" / OLD / name
    path.write_bytes(edit(path.read_bytes()))


def instead(**values: Any) -> Edit:
    """Replace entries of a model.json, which then has no digest, as in older versions."""

    def edit(text: bytes) -> bytes:
        content = {**json.loads(text), **values}
        content.pop("digest", None)
        return json.dumps(content).encode()

    return edit


REQUIRED = (b"rounds", b"classes", b"digests", b"format")
WRONG = {
    "kind": "forest",
    "candidates": [],
    "level": "album",
    "scores": {},
    "created_at": 5,
    "split": {},
    "data": None,
}


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text[: len(text) // 2],
        *(lambda _, text=text: text for text in (b"", b"null", b"[1]")),
        lambda text: text.replace(b'"format": 1', b'"format": 3'),
        *(lambda text, name=name: text.replace(name, b"other") for name in REQUIRED),
        lambda text: b"\xff" + text,
        *(instead(classes=wrong) for wrong in (7, ["a", "a"], ["a"])),
        *(instead(**{name: wrong}) for name, wrong in WRONG.items()),
        *(instead(version=wrong) for wrong in (NEW, f"../models/{OLD}", "../../x", "/etc", "", 5)),
        *(
            instead(segment_seconds=wrong)
            for wrong in (math.nan, 0, -1, math.inf, 1e308, True, "3")
        ),
        lambda text: b"[" * 100_000,
        instead(classes=["\ud800", "b"]),
    ],
)
def test_a_damaged_model_json_is_reported(store: Store, root: Path, edit: Edit) -> None:
    edit_file(root, "model.json", instead())
    edit_file(root, "model.json", edit)
    for read in (lambda: registry.load(store, OLD), lambda: promote(OLD, store=str(root))):
        with pytest.raises(StoreError, match=f"{OLD}/model.json"):
            read()
    assert champion_of(root) == NEW
    found, (wrong,) = registry.list_models(str(root))
    assert [one.version for one in found if one.description is None] == [OLD]
    assert f"{OLD}/model.json" in wrong


def test_another_class_name_is_damage_unless_the_model_has_no_digest(
    store: Store, root: Path
) -> None:
    edit_file(root, "model.json", lambda text: text.replace(b"rock", b"sock"))
    for read in (registry.describe, registry.load):
        with pytest.raises(DamageError, match=rf"{OLD}/model\.json is damaged: its digest"):
            read(store, OLD)
    edit_file(root, "model.json", instead())
    assert registry.load(store, OLD).description.classes == ["blues", "sock"]


def test_no_flipped_bit_of_a_model_json_changes_the_description(store: Store) -> None:
    described = registry.describe(store, OLD)
    text = described.to_json()
    for place in range(len(text)):
        flipped = bytearray(text)
        flipped[place] ^= 1 << place % 8
        with contextlib.suppress(ModelError):
            assert Description.from_json(bytes(flipped)) == described


def test_unknown_fields_of_a_description_are_ignored(store: Store, root: Path) -> None:
    edit_file(root, "model.json", instead(future=1))
    assert registry.load(store, OLD).description.classes == CLASSES


def test_a_model_of_an_older_songmill_is_of_boosted_trees(store: Store, root: Path) -> None:
    def as_before(text: bytes) -> bytes:
        content = json.loads(text)
        assert content["format"] == 1
        new = ("kind", "candidates", "digest")
        return json.dumps({name: content[name] for name in content if name not in new}).encode()

    edit_file(root, "model.json", as_before)
    assert registry.load(store, OLD).description.kind == "xgboost"


def test_classes_that_are_not_as_many_as_the_trees_are_refused(store: Store, root: Path) -> None:
    edit_file(root, "model.json", instead(classes=[*CLASSES, "one more"]))
    with pytest.raises(StoreError, match="columns, rounds and classes"):
        promote(OLD, store=str(root))


@pytest.mark.parametrize("rows", [{"track_id": ["a"]}, {"track_id": ["a"], "set": ["tune"]}, None])
def test_a_damaged_split_is_reported(root: Path, store: Store, rows: Any) -> None:
    path = root / "models" / OLD / "split.parquet"
    path.unlink()
    if rows:
        pq.write_table(pa.table(rows), path)
    with pytest.raises(StoreError, match=f"{OLD}/split.parquet"):
        registry.read_split(store, OLD)


def flip(position: float) -> Edit:
    def edit(trees: bytes) -> bytes:
        found = bytearray(trees)
        found[int(position * (len(found) - 1))] ^= 1
        return bytes(found)

    return edit


@pytest.mark.parametrize("name", ["model.ubj", "judged.ubj"])
@pytest.mark.parametrize(
    "edit",
    [
        *map(flip, (0.0, 0.3, 1.0)),
        lambda trees: trees[: len(trees) // 2],
        lambda trees: trees[:-1],
        lambda trees: trees + b"\0",
        lambda trees: b"",
        lambda trees: b"\0" * len(trees),
        lambda trees: make_trees(2, seed=1),
    ],
)
def test_damaged_trees_are_reported_and_end_no_process(
    store: Store, root: Path, name: str, edit: Edit
) -> None:
    edit_file(root, name, edit)
    with pytest.raises(StoreError, match=f"{OLD}/{name} is damaged"):
        registry.load(store, OLD, name.removesuffix(".ubj"))
    if name == "model.ubj":
        with pytest.raises(StoreError, match=f"{OLD}/{name} is damaged"):
            promote(OLD, store=str(root))
        assert champion_of(root) == NEW


def test_missing_trees_are_reported(store: Store, root: Path) -> None:
    (root / "models" / OLD / "model.ubj").unlink()
    with pytest.raises(StoreError, match=rf"{OLD}/model\.ubj does not exist"):
        promote(OLD, store=str(root))


@pytest.mark.parametrize(
    ("trees", "says"),
    [
        (b"trees of a later XGBoost", "is not a model that XGBoost can read"),
        (make_trees(2, columns=56), r"\(56, 4, 2\)"),
    ],
)
def test_trees_that_do_not_fit_their_description_are_refused(
    store: Store, trees: bytes, says: str
) -> None:
    described = put_model(store, "20260305T0-x", CLASSES, digests={"model.ubj": digest(trees)})
    with pytest.raises(ModelError, match=says):
        Model.load(described, "model.ubj", trees)


CHILDREN = b"left_children[$l#L" + (3).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        # A node that is its own child: XGBoost would never end.
        (CHILDREN + b"\0\0\0\1", CHILDREN + b"\0\0\0\0", "tree 0, node 0: a child is out"),
        # A child far outside of the tree: XGBoost would crash.
        (CHILDREN + b"\0\0\0\1", CHILDREN + b"\x7f\xff\xff\xff", "tree 0, node 0: a child is out"),
        (b"num_treesSL\0\0\0\0\0\0\0\0018", b"num_treesSL\0\0\0\0\0\0\0\0019", "num_trees"),
    ],
)
def test_trees_of_others_that_would_end_the_process_are_refused(
    store: Store, root: Path, old: bytes, new: bytes, error: str
) -> None:
    trees = make_trees(2).replace(old, new)
    assert trees != make_trees(2)
    put_model(store, "20260305T0-x", CLASSES, trees=trees)
    for name in ("model.ubj", "judged.ubj"):
        with pytest.raises(StoreError, match=rf"{root}/models/20260305T0-x/{name} is not.*{error}"):
            registry.load(store, "20260305T0-x", name.removesuffix(".ubj"))
    with pytest.raises(StoreError, match="20260305T0-x/model.ubj"):
        promote("20260305T0-x", store=str(root))
    assert champion_of(root) == NEW


def test_trees_as_json_are_refused(store: Store) -> None:
    text = bytes(registry.load(store, OLD).predictor.booster.save_raw("json"))
    put_model(store, "20260305T0-x", CLASSES, trees=text)
    with pytest.raises(StoreError, match=r"model\.ubj is not a model that XGBoost can read"):
        registry.load(store, "20260305T0-x")


# Linear discriminant analyses


def put_lda(store: Store, version: str, lda: bytes, **changes: Any) -> Description:
    """Commit a model of this npz file to a store."""
    changes = {"kind": "lda", "rounds": 0, **changes}
    return put_model(store, version, CLASSES, trees=lda, **changes)


def test_an_lda_is_stored_as_numbers_and_predicts_the_same(store: Store, root: Path) -> None:
    lda = make_lda(CLASSES)
    put_lda(store, LATER, to_bytes(lda))
    found = registry.load(store, LATER)
    folder = root / "models" / LATER
    assert {path.name for path in folder.iterdir()} >= {"model.npz", "judged.npz", "model.json"}
    assert json.loads((folder / "model.json").read_bytes())["format"] == 2
    rows = np.random.default_rng(1).normal(size=(9, len(GTZAN.names))) * 3
    given = found.probabilities(rows)
    assert given.dtype == np.float32
    assert np.array_equal(given, lda.probabilities(rows).astype(np.float32))
    assert found.probabilities(rows[:0]).shape == (0, 2)
    assert promote(LATER, store=str(root))["version"] == LATER


def without(name: str) -> Arrays:
    return {other: array for other, array in make_lda(CLASSES).to_arrays().items() if other != name}


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        (without("mean"), r"songmill can read \(mean is missing"),
        (make_lda(["blues", "folk", "rock"]).to_arrays(), "other classes than model.json"),
        (make_lda(CLASSES, features="rich").to_arrays(), "other columns than model.json"),
        (make_lda(CLASSES).to_arrays() | {"intercepts": np.array([0.0, np.nan])}, "not finite"),
        (make_lda(CLASSES).to_arrays() | {"coefficients": np.zeros((2, 56))}, "shape"),
    ],
)
def test_numbers_that_are_no_model_of_these_classes_and_columns_are_refused(
    store: Store, root: Path, arrays: Arrays, error: str
) -> None:
    put_lda(store, LATER, to_npz(arrays))
    with pytest.raises(StoreError, match=rf"{LATER}/model\.npz .*{error}"):
        promote(LATER, store=str(root))
    assert champion_of(root) == NEW


def test_a_pickle_is_not_opened(store: Store) -> None:
    file = io.BytesIO()
    np.savez(file, **make_lda(CLASSES).to_arrays(), surprise=np.array([print], object))
    put_lda(store, LATER, file.getvalue())
    with pytest.raises(StoreError, match=r"model\.npz is not a model that songmill can read"):
        registry.load(store, LATER)


@pytest.mark.parametrize("edit", [flip(0.5), lambda data: data[:-1], lambda data: b""])
def test_a_damaged_file_of_numbers_is_reported(store: Store, root: Path, edit: Edit) -> None:
    put_lda(store, LATER, to_bytes(make_lda(CLASSES)))
    path = root / "models" / LATER / "judged.npz"
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(DamageError, match=r"judged\.npz is damaged"):
        registry.load(store, LATER, registry.JUDGED)
    registry.load(store, LATER)


# Models that do not fit


def test_a_model_fits_stores_that_have_its_feature_set(store: Store) -> None:
    described = put_lda(store, LATER, to_bytes(make_lda(CLASSES, features="rich")), **OF_RICH)
    both = Settings({"gtzan": GTZAN.version, "rich": RICH.version}, 3.0)
    assert registry.check_fit(described, both, "s") is RICH
    assert registry.check_fit(registry.describe(store, OLD), both, "s") is GTZAN
    message = (
        r"needs the feature set rich-458\.1, and the rows have .*`songmill train --store 'my s'`"
    )
    with pytest.raises(StoreError, match=message):
        registry.check_fit(described, store.settings, "my s")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        *MISFITS,
        ({"columns": list(GTZAN.names[:-1])}, "56 for 57"),
        ({"segment_seconds": 5.0}, "segments of 5 s"),
    ],
)
def test_a_model_that_does_not_fit_the_rows_is_not_promoted(
    store: Store, root: Path, changes: dict[str, Any], text: str
) -> None:
    trees = make_trees(2, columns=len(changes.get("columns", GTZAN.names)))
    put_model(store, "20260304T0-x", CLASSES, trees=trees, **changes)
    with pytest.raises(StoreError, match=text):
        promote("20260304T0-x", store=str(root))
    assert champion_of(root) == NEW


def test_segments_of_another_length_do_not_matter_to_a_model_of_tracks(store: Store) -> None:
    described = put_model(store, "20260304T0-x", CLASSES, level="track", segment_seconds=5.0)
    registry.check_fit(described, Settings({"gtzan": GTZAN.version}, 3.0), "s")


# Old models


def put_models(store: Store, count: int) -> list[str]:
    """Put models that are older than those of the store; return their versions."""
    made = [f"2026020{i}T120000-dddddd" for i in range(1, count + 1)]
    for version in made:
        folder = Path(store.storage.path(f"models/{version}"))
        shutil.copytree(folder.with_name(OLD), folder)
        described = folder / "model.json"
        described.write_bytes(instead(version=version)(described.read_bytes()))
    return made


def predict_by(store: Store, table: str, version: str) -> None:
    rows = pa.table({"track_id": ["a"], "model": [version]})
    store.storage.write_table(f"{table}/part-0.parquet", rows)


# The best champion


def record(store: Store, best: registry.Best) -> None:
    """Commit a record of the best champion."""
    change = commit.Change()
    registry.stage_best(store, change, best)
    with lock_of(store.storage) as lock:
        commit.commit(lock, change)


def test_the_best_champion_is_recorded_with_its_nights_and_kept(store: Store, root: Path) -> None:
    before = json.loads((root / "models/champion.json").read_text())
    best = registry.Best(OLD, "by-track", (BEST_ITSELF, Night(-0.02, 0.015)))
    record(store, best)
    assert registry.best(store) == best
    after = json.loads((root / "models/champion.json").read_text())
    assert {**after, "best": None} == {**before, "best": None}
    assert registry.remove_old(store, 0, NEW) == [MIDDLE]
    assert registry.versions(store) == [OLD, NEW]


def test_whoever_promotes_a_model_makes_it_the_best(store: Store, root: Path) -> None:
    record(store, registry.Best(NEW, "by-group:artist", (BEST_ITSELF, Night(0.1, 0.2))))
    promote(OLD, store=str(root))
    assert registry.best(store) == registry.Best(OLD, "by-track")


@pytest.mark.parametrize(
    "entry",
    [
        *("", [], {}, 5, None),
        *(
            {"version": NEW, "split": "by-track", "nights": [], **damage}
            for damage in (
                {},
                {"version": "gone"},
                {"version": [NEW]},
                {"nights": [5]},
                {"nights": [{"difference": 0.1}]},
                {"nights": [{"difference": "x", "deviation": 0.1}]},
                {"nights": [{"difference": math.nan, "deviation": 0.1}]},
            )
        ),
    ],
)
def test_a_damaged_record_of_the_best_is_none(store: Store, root: Path, entry: Any) -> None:
    path = root / "models/champion.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "best": entry}))
    assert registry.best(store) is None
    assert registry.champion(store) == NEW


def test_an_older_songmill_recorded_no_best(store: Store, root: Path) -> None:
    path = root / "models/champion.json"
    path.write_text(json.dumps({"version": NEW, "promoted_at": "2026-03-01", "previous": None}))
    assert registry.best(store) is None
    path.unlink()
    assert registry.best(store) is None


@pytest.mark.parametrize("keep", range(6))
def test_the_newest_models_are_kept_and_the_champion(store: Store, root: Path, keep: int) -> None:
    older = put_models(store, 3)
    for version in (older[0], older[1], older[1]):
        promote(version, store=str(root))
    others = [older[2], OLD, MIDDLE, NEW]
    # The newest is kept in any case, since it has just been trained, and so is the last champion.
    kept = {older[1], older[0], NEW, *others[max(4 - keep, 0) :]}
    assert registry.remove_old(store, keep, NEW) == [one for one in others if one not in kept]
    assert set(registry.versions(store)) == {path.name for path in root.glob("models/*/")} == kept
    assert registry.remove_old(store, keep, NEW) == []
    assert registry.champion(store) == older[1]


@pytest.mark.parametrize("table", [PREDICTED_TRACKS, PREDICTED_SEGMENTS])
def test_the_model_of_the_predictions_is_kept_until_there_are_others(
    store: Store, root: Path, table: str
) -> None:
    predict_by(store, table, OLD)
    assert registry.remove_old(store, 0, NEW) == [MIDDLE]
    part = root / table / "part-0.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-10])
    assert registry.remove_old(store, 0, NEW) == [], "nobody knows which model made the predictions"
    predict_by(store, table, NEW)
    assert registry.remove_old(store, 0, NEW) == [OLD]


class Killed(BaseException):
    pass


def test_a_removal_that_is_killed_anywhere_is_completed_by_the_next(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.relative_to(root): path.read_bytes() for path in root.rglob("models/*/*")}
    ended = False
    for moment in range(100):
        steps = iter(range(100))

        def notice(operation: str, name: str) -> None:
            if next(steps) == moment:  # noqa: B023  # only called in this turn
                raise Killed

        def remove_folder(self: Folder, name: str) -> None:
            # The worst order: the file that makes it a model is the last.
            files = Path(self.path(name)).iterdir()
            for path in sorted(files, key=lambda path: path.name == "model.json"):
                notice("unlink", str(path))  # noqa: B023
                path.unlink()
            Path(self.path(name)).rmdir()

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            before_operations(notice, patch.setattr)
            patch.setattr(Folder, "remove_folder", remove_folder)
            registry.remove_old(store, 0, NEW)
            ended = True
        # A model is whole, or none.
        for version in registry.versions(store):
            registry.load(store, version)
            registry.read_split(store, version)
        assert NEW in registry.versions(store)
        if ended:
            break
        registry.remove_old(store, 0, NEW)
        assert {path.name for path in root.glob("models/*/")} == {NEW}
        assert not list((root / registry.REMOVED).iterdir())
        for path, content in before.items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(content)
    assert moment >= 12, "two models have eight files and two marks, which are made and removed"


def test_models_that_are_removed_while_they_are_listed_are_reported(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = registry.describe

    def remove_before_reading(store: Store, version: str) -> Description:
        if version == MIDDLE:
            registry.remove(store.storage, MIDDLE)
        return read(store, version)

    monkeypatch.setattr(registry, "describe", remove_before_reading)
    found, (wrong,) = registry.list_models(str(root))
    assert [one.version for one in found if one.description] == [NEW, OLD]
    assert f"{MIDDLE}/model.json does not exist" in wrong


def test_a_mark_of_a_model_that_is_wanted_again_removes_nothing(store: Store, root: Path) -> None:
    store.storage.write(f"{registry.REMOVED}/{OLD}", b"")
    promote(OLD, store=str(root))
    assert registry.remove_old(store, 5, NEW) == []
    assert registry.load_champion(store).description.version == OLD
    assert not list((root / registry.REMOVED).iterdir())


def test_other_folders_beside_the_models_stay(store: Store, root: Path) -> None:
    (root / "models/notes").mkdir()
    (root / "models/notes/why.txt").write_text("x")
    registry.remove_old(store, 0, NEW)
    assert {path.name for path in root.glob("models/*/")} == {"notes", NEW}


@pytest.mark.parametrize("previous", [{}, {"previous": 5}, {"previous": ".."}])
def test_the_last_champion_may_be_unknown(
    store: Store, root: Path, previous: dict[str, Any]
) -> None:
    (root / "models/champion.json").write_text(json.dumps({"version": NEW, **previous}))
    assert registry.remove_old(store, 0, NEW) == [OLD, MIDDLE]
