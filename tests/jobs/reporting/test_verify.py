"""Verification and repair of a store, and what every command says about damage."""

import errno
import hashlib
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from support.cluster_processes import VOLATILE, sorted_tables
from support.command_line import Command
from support.made_models import make_lda, model_tables, put_model
from support.recordings import KEYS, make_collection

import jobs.stage
from featurizer.feature_set import feature_set
from jobs.errors import DamageError, StoreError
from jobs.extraction.extract import extract
from jobs.extraction.import_features import import_features
from jobs.learning import registry
from jobs.learning.predict_store import predict_all
from jobs.neighbours.query import similar
from jobs.neighbours.similarity import similarity
from jobs.progress import Progress
from jobs.reporting import integrity
from jobs.reporting.verify import Outcome, verify
from jobs.stage import open_session
from jobs.store import manifest
from jobs.store.address import lock_of
from jobs.store.bucket import Bucket
from jobs.store.folder import Folder
from jobs.store.lock import JOURNAL
from jobs.store.manifest import MANIFEST
from jobs.store.schemas import (
    COMPARED,
    COMPARISON,
    DUPLICATES,
    MATRIX,
    NEIGHBOUR_METRIC,
    NEIGHBOUR_METRICS,
    PREDICTED_SEGMENTS,
    PREDICTED_TRACKS,
    SEGMENTS,
    SIMILARITY,
    SUSPECTS,
    TAGS,
    TRACKS,
    of_older_songmill,
)
from jobs.store.tables import STAGES_JSON, STORE_JSON, Settings, Store, open_store
from training.model import Description
from training.predictor import to_bytes

GTZAN = feature_set("gtzan")

COUNT = 6
CLASSES = ["style0", "style1", "style2"]
VERSION = "20260301T120000-abc"
MODEL = f"models/{VERSION}"

TABLES = {
    **KEYS,
    PREDICTED_TRACKS: ["track_id"],
    PREDICTED_SEGMENTS: ["track_id", "segment"],
    SUSPECTS: ["track_id"],
    MATRIX: ["track_id"],
    NEIGHBOUR_METRICS: ["metric"],
    COMPARED: ["track_id"],
}
"""Key of each table that the fixture fills."""

EXTRACTED = ["files", TRACKS, SEGMENTS]
FILLED = [*TABLES, TAGS, "labels", "runs"]


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, in_process_cluster: str) -> Path:
    """A folder with ``music`` and its ``store``, in which every table has rows."""
    folder = tmp_path_factory.mktemp("made")
    make_collection(folder / "music", COUNT)
    shutil.copy(folder / "music/style0/take000.wav", folder / "music/style1/copy.wav")
    (folder / "music/style1/broken.wav").write_text("not a recording")
    rows = [f"style{i % 3}/take00{i},style{i % 3},artist{i}\n" for i in range(COUNT)]
    (folder / "labels.csv").write_text("track_id,label,artist\n" + "".join(rows))
    make_anew(folder, folder / "store", in_process_cluster, model=True)
    return folder


def make_anew(folder: Path, root: Path, cluster: str, *, model: bool = False) -> None:
    """Run everything that fills a store from the recordings in a folder."""
    where: dict[str, Any] = {"store": str(root), "progress": quiet()}
    options: dict[str, Any] = {"segment_seconds": 0.5, "max_failed": 1.0, "scheduler": cluster}
    extract([str(folder / "music")], labels=str(folder / "labels.csv"), **options, **where)
    if model:
        store = open_store(where["store"])
        folds = {f"style{i % 3}/take00{i}.wav": i % 2 for i in range(COUNT)}
        put_model(store, VERSION, CLASSES, champion=True, folds=folds)
        model_tables(store, VERSION, CLASSES)
    similarity(k=3, full=True, **where)
    predict_all(segments=True, scheduler=cluster, **where)


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the store."""
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


def checked(root: Path, *, repair: bool = False) -> Outcome:
    return verify(store=str(root), repair=repair, progress=quiet())


def files_of(outcome: Outcome) -> set[str]:
    return {found.file for found in outcome.findings}


def contents(root: Path) -> dict[str, pd.DataFrame]:
    return sorted_tables(lambda name: pd.read_parquet(root / name), TABLES, [*VOLATILE, "level"])


def part_of(root: Path, table: str) -> str:
    """Return the name of the part with the most bytes of a table."""
    entries = Folder(str(root)).list(table)
    return max(entries, key=lambda entry: entry.size).name


def snapshot(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# Kinds of damage


def delete(path: Path) -> None:
    path.unlink()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_in_page(path: Path) -> None:
    column = pq.read_metadata(path).row_group(0).column(0)
    pages = column.dictionary_page_offset or column.data_page_offset
    _flip(path, pages + column.total_compressed_size - 1)


def flip_in_footer(path: Path) -> None:
    _flip(path, -100)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def take_a_row(path: Path) -> None:
    """Write a valid part with other rows."""
    table = pq.ParquetFile(path).read()
    pq.write_table(table.slice(1), path)


def replace_columns(path: Path) -> None:
    pq.write_table(pa.table({"other": [1]}), path)


DAMAGE = [delete, cut_off, empty, flip_in_page, flip_in_footer, take_a_row]


# Sound stores


def test_a_sound_store_is_found_sound_and_nothing_is_written(root: Path, command: Command) -> None:
    before = snapshot(root)
    code, out, _ = command("verify", "--store", root, "--json")
    found = json.loads(out)
    assert (code, found["outcome"], found["findings"], found["unchecked"]) == (0, "sound", [], "")
    assert (found["models"], found["manifest"], found["forgotten"]) == (1, True, 0)
    assert found["rows"] == sum(len(pd.read_parquet(root / name)) for name in FILLED)
    assert command("verify", "--store", root)[1].startswith("Sound: ")
    assert snapshot(root) == before
    assert checked(root, repair=True).outcome == "sound"
    assert {name for name in snapshot(root) if "/_work/" not in name} == {
        name for name in before if "/_work/" not in name
    }


def test_a_folder_without_a_store_is_wrong_usage(tmp_path: Path, command: Command) -> None:
    assert command("verify", "--store", tmp_path)[0] == 2


# Damaged parts


@pytest.mark.parametrize("table", FILLED)
def test_a_damaged_part_is_named(root: Path, table: str) -> None:
    name = part_of(root, table)
    whole = (root / name).read_bytes()
    for damage in DAMAGE:
        damage(root / name)
        found = checked(root)
        assert found.outcome == "damaged"
        (finding,) = [finding for finding in found.findings if finding.file == name]
        assert finding.remedy.startswith(f"Run `songmill verify --repair --store {root}`")
        # What the damage explains is no finding of its own in the other tables.
        assert files_of(found) <= {name, "files", TRACKS, SEGMENTS}
        (root / name).write_bytes(whole)
    assert checked(root).outcome == "sound"


@pytest.mark.parametrize("table", FILLED)
def test_what_a_repair_forgets_the_next_runs_make_anew(
    made: Path, root: Path, in_process_cluster: str, table: str
) -> None:
    damage = {TRACKS: delete, SEGMENTS: flip_in_page}.get(table, cut_off)
    before = contents(root)
    labels = pd.read_parquet(root / "labels")
    (root / STAGES_JSON).write_text('{"similarity": "unchanged"}')
    damage(root / part_of(root, table))
    repaired = checked(root, repair=True)
    assert repaired.outcome == "repaired"
    assert repaired.forgotten == (0 if table not in EXTRACTED else COUNT + 1)
    assert not (root / STAGES_JSON).exists()
    assert checked(root).findings == []
    make_anew(made, root, in_process_cluster)
    assert checked(root).outcome == "sound"
    after = contents(root)
    for name, frame in before.items():
        pd.testing.assert_frame_equal(after[name], frame)
    pd.testing.assert_frame_equal(pd.read_parquet(root / "labels"), labels)
    runs = pd.read_parquet(root / "runs")
    assert "repair" in set(runs["stage"])


@pytest.mark.parametrize("table", [TRACKS, SIMILARITY])
def test_a_foreign_part_is_named_and_emptied(root: Path, table: str) -> None:
    before = contents(root)[table]
    foreign = f"{table}/part-foreign.parquet"
    shutil.copy(root / part_of(root, table), root / foreign)
    found = [(finding.file, finding.problem) for finding in checked(root).findings]
    assert found == [(foreign, "is foreign: no commit wrote it")]
    assert checked(root, repair=True).forgotten == 0
    assert checked(root).outcome == "sound"
    pd.testing.assert_frame_equal(contents(root)[table], before)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("deviation", [0.5, -1.0], "deviation has the shape"),
        ("mean", None, "mean is missing"),
        ("metric", "other", "name is 'other'"),
        ("columns", ["tempo"], "mean has the shape"),
        ("columns", [f"other{i}" for i in range(57)], "its columns are not those of gtzan"),
    ],
)
def test_a_metric_with_damaged_numbers_is_named_and_refused(
    root: Path, column: str, value: object, problem: str
) -> None:
    (root / MANIFEST).unlink()
    path = root / part_of(root, NEIGHBOUR_METRICS)
    (row,) = pq.ParquetFile(path).read().to_pylist()
    pq.write_table(pa.Table.from_pylist([row | {column: value}], schema=NEIGHBOUR_METRIC), path)
    (found,) = checked(root).findings
    assert found.file == NEIGHBOUR_METRICS
    assert problem in found.problem
    assert found.remedy.endswith(f", then `songmill similarity --store {root}`")
    with pytest.raises(DamageError, match=f"metrics has a damaged metric .*{problem}"):
        similar("style0/take000", store=str(root), progress=quiet())
    assert checked(root, repair=True).forgotten == 0
    assert checked(root).outcome == "sound"
    assert similar("style0/take000", store=str(root), progress=quiet()).metric == "cosine"


def test_neighbours_of_an_older_songmill_are_sound(root: Path) -> None:
    (root / MANIFEST).unlink()
    path = root / part_of(root, SIMILARITY)
    for columns in (["score", "metric"], ["duplicate"]):
        rows = pq.ParquetFile(path).read().drop_columns(columns)
        pq.write_table(rows, path)
        assert checked(root).outcome == ("damaged" if "duplicate" in columns else "sound")


def test_predictions_of_an_older_songmill_are_sound(root: Path) -> None:
    (root / MANIFEST).unlink()
    path = root / part_of(root, PREDICTED_TRACKS)
    for columns in (["probability", "learnt"], ["predicted"]):
        rows = pq.ParquetFile(path).read().drop_columns(columns)
        pq.write_table(rows, path)
        assert checked(root).outcome == ("damaged" if "predicted" in columns else "sound")


def test_scores_of_an_older_songmill_are_sound(root: Path) -> None:
    """They have no intervals."""
    (root / MANIFEST).unlink()
    path = root / "models" / VERSION / "metrics.parquet"
    for columns in (["lower", "upper"], ["value"]):
        rows = pq.ParquetFile(path).read().drop_columns(columns)
        pq.write_table(rows, path)
        assert checked(root).outcome == ("damaged" if "value" in columns else "sound")


def test_a_comparison_of_an_older_songmill_is_sound_and_shown(root: Path) -> None:
    (root / MANIFEST).unlink()
    row = dict.fromkeys(COMPARISON.names) | {"model": "SVM", "accuracy": 0.5}
    rows = pa.Table.from_pylist([row], schema=of_older_songmill(COMPARISON))
    assert len(rows.schema) == len(COMPARISON) - 8
    (root / "comparison").mkdir()
    pq.write_table(rows, root / "comparison/part-1-0.parquet")
    assert checked(root).outcome == "sound"
    (found,) = open_store(str(root)).read("comparison").to_pylist()
    assert found == row


def test_a_part_with_other_columns_is_named(root: Path) -> None:
    (root / MANIFEST).unlink()
    path = root / part_of(root, SIMILARITY)
    pq.write_table(pq.ParquetFile(path).read().drop_columns("cosine"), path)
    assert files_of(checked(root)) == {part_of(root, SIMILARITY)}


def test_a_damaged_manifest_is_named_and_written_again(root: Path) -> None:
    before = manifest.read(Folder(str(root)))
    (root / MANIFEST).write_text("{")
    assert files_of(checked(root)) == {MANIFEST}
    checked(root, repair=True)
    assert checked(root).outcome == "sound"
    after = manifest.read(Folder(str(root)))
    assert before
    assert after
    assert before.items() <= after.items()


# Files that cannot be read


class BadSector(io.FileIO):
    """A file with a beginning that cannot be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() < 100:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(-1 if size is None else size)


@pytest.mark.parametrize("table", [TRACKS, SIMILARITY, "runs"])
def test_a_part_on_a_bad_sector_is_damaged(
    root: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    name = part_of(root, table)
    read = Folder.open

    def open_file(self: Folder, file: str, *, whole: bool = False) -> Any:
        return BadSector(self.path(file)) if file == name else read(self, file, whole=whole)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "open", open_file)
        (finding,) = [found for found in checked(root).findings if found.file == name]
        assert "is damaged ([Errno 5] Input/output error" in finding.problem
        assert checked(root, repair=True).outcome == "repaired"
    assert checked(root).outcome == "sound"


@pytest.mark.parametrize("name", [MANIFEST, f"{MODEL}/model.ubj", f"{MODEL}/model.json"])
def test_another_file_on_a_bad_sector_is_damaged(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refusing(root / name, OSError(errno.EIO, "Bad sector")))
        found = {finding.file: finding.problem for finding in checked(root).findings}
        assert found[name] == "is damaged ([Errno 5] Bad sector)"
        assert checked(root, repair=True).outcome == "repaired"
    assert checked(root).outcome == "sound"


def refusing(refused: Path, error: OSError) -> Callable[[Path], bytes]:
    """Return a function that reads every file but one, until that is removed."""
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == refused and path.exists():
            raise error
        return read(path)

    return read_bytes


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Forbidden"),
        PermissionError("Access Denied"),
        # s3fs gives this number to every answer that it does not know.
        OSError(errno.EIO, "The operation is not valid for the object's storage class"),
        TimeoutError("The request timed out"),
    ],
    ids=str,
)
def test_what_an_object_store_refuses_is_not_damaged(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    name = part_of(root, TRACKS)
    before = contents(root)
    read = Folder.open

    def open_file(self: Folder, file: str, *, whole: bool = False) -> Any:
        if file == name:
            raise error
        return read(self, file, whole=whole)

    monkeypatch.setattr(Folder, "DAMAGE", Bucket.DAMAGE)
    monkeypatch.setattr(Folder, "open", open_file)
    for repair in (False, True):
        text = re.escape(f"{name} cannot be read: {error.strerror or error}")
        with pytest.raises(StoreError, match=text) as refusal:
            checked(root, repair=repair)
        assert not isinstance(refusal.value, DamageError)
    monkeypatch.undo()
    assert checked(root).outcome == "sound"
    for one, frame in contents(root).items():
        pd.testing.assert_frame_equal(frame, before[one])


# Settings


def set_segment_seconds(root: Path, seconds: float, *, checksum: bool) -> None:
    """Damage the settings, with the checksum of the right ones, or as in an older version."""
    settings = json.loads((root / STORE_JSON).read_text())
    settings["segment_seconds"] = seconds
    if not checksum:
        settings.pop("checksum", None)
    (root / STORE_JSON).write_text(json.dumps(settings))


@pytest.mark.parametrize("checksum", [True, False])
def test_damaged_settings_are_named_and_no_track_is_forgotten(
    root: Path, command: Command, checksum: bool
) -> None:
    before = snapshot(root)
    set_segment_seconds(root, 0.7, checksum=checksum)
    reason = "its checksum" if checksum else "segment_seconds is 0.7, but segments are 0.5 s long"
    code, out, err = command("verify", "--store", root)
    assert code == 1
    assert f"{STORE_JSON} is damaged ({reason}" in (err if checksum else out)
    with pytest.raises(StoreError, match=rf"{STORE_JSON} is damaged \({reason}.*[Rr]estore it"):
        checked(root, repair=True)
    set_segment_seconds(root, 0.5, checksum=checksum)
    assert checked(root).outcome == "sound"
    after = snapshot(root)
    assert {name for name in before if before[name] != after[name]} == {str(root / STORE_JSON)}


def test_settings_that_a_commit_changed_after_the_opening_are_no_damage(root: Path) -> None:
    store = open_store(str(root))
    store.settings = Settings({"gtzan": GTZAN.version}, 0.7)
    for repair in (False, True):
        assert verify(store=store, repair=repair, progress=quiet()).outcome == "sound"


# Tables that do not agree


def rewrite(root: Path, table: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Edit the rows of a part in a store of an older version, which has no manifest."""
    (root / MANIFEST).unlink(missing_ok=True)
    path = root / part_of(root, table)
    rows = pq.ParquetFile(path).read()
    edited = edit(rows.to_pandas())
    pq.write_table(rows.from_pandas(edited, schema=rows.schema, preserve_index=False), path)


def first_out(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("track_id").iloc[1:]


def first_twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.sort_values("track_id").iloc[:1]])


def all_failed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(status="failed")


@pytest.mark.parametrize(
    ("table", "edit", "named", "problem"),
    [
        (TRACKS, first_out, TRACKS, "lacks rows of tracks in `files`"),
        (TRACKS, first_twice, TRACKS, "repeated"),
        (SEGMENTS, first_out, SEGMENTS, "lacks segments"),
        (SEGMENTS, first_twice, SEGMENTS, "repeated"),
        ("files", lambda frame: frame[1:], "files", "lacks rows of tracks with features"),
        ("files", lambda frame: pd.concat([frame, frame[:1]]), "files", "repeated"),
        ("files", all_failed, "files", "as failed that have features"),
    ],
)
def test_features_and_files_that_do_not_agree_are_made_anew(
    made: Path,
    root: Path,
    in_process_cluster: str,
    table: str,
    edit: Callable[[pd.DataFrame], pd.DataFrame],
    named: str,
    problem: str,
) -> None:
    before = contents(root)
    rewrite(root, table, edit)
    found = checked(root)
    assert any(f.file == named and problem in f.problem for f in found.findings)
    assert checked(root, repair=True).forgotten >= 1
    assert checked(root).outcome == "sound"
    make_anew(made, root, in_process_cluster)
    after = contents(root)
    for name in before:
        pd.testing.assert_frame_equal(after[name], before[name])


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (SIMILARITY, "track_id"),
        (SIMILARITY, "neighbour_id"),
        (DUPLICATES, "duplicate_id"),
        (MATRIX, "track_id"),
        (PREDICTED_TRACKS, "track_id"),
        (PREDICTED_SEGMENTS, "model"),
    ],
)
def test_names_that_the_features_do_not_have_cost_the_table(
    root: Path, table: str, column: str
) -> None:
    rewrite(root, table, lambda frame: frame.assign(**{column: "stranger"}))
    found = checked(root)
    assert files_of(found) == {table}
    assert "stranger" in found.findings[0].problem
    assert checked(root, repair=True).forgotten == 0
    assert checked(root).outcome == "sound"
    assert pd.read_parquet(root / table).empty


# Models


def rename_a_class(path: Path) -> None:
    path.write_text(path.read_text().replace("style1", "style7"))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *itertools.product(
            ("model.json", "model.ubj", "judged.ubj", "fold-1.ubj", "split.parquet"),
            (delete, cut_off),
        ),
        ("folds.parquet", delete),
        ("model.json", rename_a_class),
    ],
)
def test_a_damaged_model_is_named_and_removed(
    root: Path, name: str, damage: Callable[[Path], None]
) -> None:
    file = f"{MODEL}/{name}"
    damage(root / file)
    found = checked(root)
    if (name, damage) != ("model.json", delete):
        assert file in files_of(found)
    checked(root, repair=True)
    assert checked(root).outcome == "sound"
    assert not (root / "models/champion.json").exists()
    assert pd.read_parquet(root / PREDICTED_TRACKS).empty


def test_a_damaged_model_of_numbers_is_named_and_removed(root: Path) -> None:
    store, version = open_store(str(root)), "20260302T120000-lda"
    numbers = to_bytes(make_lda(CLASSES))
    put_model(store, version, CLASSES, trees=numbers, kind="lda", rounds=0, champion=True)
    model_tables(store, version, CLASSES)
    assert checked(root).outcome == "sound"
    file = f"models/{version}/judged.npz"
    cut_off(root / file)
    assert files_of(checked(root)) == {file}
    checked(root, repair=True)
    assert checked(root).outcome == "sound"
    assert not (root / "models" / version).exists()
    assert (root / MODEL).exists()


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        *(("metrics", delete), ("confusion", cut_off), ("importance", flip_in_page)),
        ("confusion", replace_columns),
    ],
)
def test_a_damaged_table_of_a_report_costs_itself_only(
    root: Path, table: str, damage: Callable[[Path], None]
) -> None:
    file = f"{MODEL}/{table}.parquet"
    schema = pq.read_schema(root / file)
    before = snapshot(root / MODEL)
    damage(root / file)
    assert files_of(checked(root)) == {file}
    assert checked(root, repair=True).models == 1
    assert checked(root).outcome == "sound"
    assert pq.read_table(root / file) == schema.empty_table()
    after = snapshot(root / MODEL)
    assert {name for name in before if before[name] != after[name]} == {str(root / file)}
    assert registry.champion(open_store(str(root))) == VERSION
    assert not pd.read_parquet(root / PREDICTED_TRACKS).empty


def test_a_champion_that_does_not_exist_is_forgotten(root: Path) -> None:
    (root / "models/champion.json").write_text('{"version": "stranger"}')
    found = checked(root)
    assert [(f.file, f.problem) for f in found.findings] == [
        ("models/champion.json", "names the model stranger, which does not exist")
    ]
    checked(root, repair=True)
    assert checked(root).outcome == "sound"
    assert (root / "models" / VERSION / "model.json").exists()


# Other runs


def test_what_another_run_changes_meanwhile_is_no_damage(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / part_of(root, "runs")
    check_models = integrity.Check._check_models

    def commit_meanwhile(check: integrity.Check) -> None:
        check_models(check)
        similarity(store=str(root), k=2, progress=quiet())

    monkeypatch.setattr(integrity.Check, "_check_models", commit_meanwhile)
    found = checked(root)
    assert (found.outcome, found.unchecked) == ("sound", "another run changed the store meanwhile")
    cut_off(path)
    new = root / SIMILARITY / "part-new.parquet"
    monkeypatch.setattr(integrity.Check, "_check_models", lambda check: new.write_bytes(b""))
    assert files_of(checked(root)) == {str(one.relative_to(root)) for one in (path, new)}


def test_of_an_unfinished_commit_only_damaged_pages_are_named(root: Path) -> None:
    (root / JOURNAL).write_text('{"remove": [], "add": [], "forget": ["_work/x"]}')
    (root / part_of(root, TRACKS)).unlink()
    found = checked(root)
    assert (found.outcome, found.findings) == ("sound", [])
    assert "unfinished" in found.unchecked
    name = part_of(root, "files")
    cut_off(root / name)
    assert files_of(checked(root)) == {name}


def test_a_model_that_another_run_removes_meanwhile_is_no_damage(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "20260101T120000-abc"
    shutil.copytree(root / MODEL, root / "models" / old)
    read = registry.describe

    def remove_before_reading(store: Store, version: str) -> Description:
        if version == old:
            registry.remove(store.storage, old)
        return read(store, version)

    monkeypatch.setattr(registry, "describe", remove_before_reading)
    found = checked(root)
    assert (found.outcome, found.unchecked) == ("sound", "another run changed the store meanwhile")
    assert found.models == 1


@pytest.mark.parametrize(
    "journal",
    [
        '{"remo',
        '{"remove": [], "add": [["_work/commit/lost", "store.json"]], "forget": [], "token": "x"}',
    ],
)
def test_a_journal_that_cannot_be_completed_is_named(root: Path, journal: str) -> None:
    before = snapshot(root)
    (root / JOURNAL).write_text(journal)
    found = checked(root)
    assert (found.outcome, files_of(found)) == ("damaged", {JOURNAL})
    assert "unfinished" in found.unchecked
    with pytest.raises(StoreError, match=r"_journal\.json is damaged|commit/lost is missing"):
        checked(root, repair=True)
    (root / JOURNAL).unlink()
    assert snapshot(root) == before


def test_a_journal_that_a_run_completes_meanwhile_is_no_damage(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / JOURNAL).write_text('{"remo')
    read, reads = Folder.read, itertools.count()

    def read_until_completed(self: Folder, name: str) -> bytes:
        content = read(self, name)
        # After the decision that a commit is under way.
        if name == JOURNAL and next(reads) == 2:
            (root / JOURNAL).unlink()
        return content

    monkeypatch.setattr(Folder, "read", read_until_completed)
    assert checked(root).findings == []


def test_a_repair_beside_another_run_is_refused(root: Path) -> None:
    cut_off(root / part_of(root, TRACKS))
    with lock_of(Folder(str(root))):
        with pytest.raises(StoreError, match="another run is at work"):
            checked(root, repair=True)
        assert checked(root).outcome == "damaged"


# Imported features


def test_an_import_is_checked_and_repaired_too(
    tmp_path: Path, shared_data: Path, command: Command
) -> None:
    root = tmp_path / "store"
    tables = [str(shared_data / "gtzan/features_30_sec.csv")]
    import_features(tables, store=str(root), progress=quiet())
    assert checked(root).outcome == "sound"
    name = part_of(root, TRACKS)
    flip_in_page(root / name)
    code, out, _ = command("verify", "--store", root)
    assert code == 1
    assert out.startswith(f"{name} is damaged")
    assert command("verify", "--store", root, "--repair")[0] == 0
    assert checked(root).outcome == "sound"
    assert pd.read_parquet(root / "files").empty
    import_features(tables, store=str(root), progress=quiet())
    assert len(pd.read_parquet(root / TRACKS)) == 1000


# Every command


COMMANDS: dict[str, list[str]] = {
    "extract": ["extract", "music", "--segment-seconds", "0.5"],
    "train": ["train"],
    "compare": ["compare"],
    "similarity": ["similarity"],
    "similar": ["similar", "style0/take000"],
    "predict": ["predict", "--all"],
    "export": ["export", "features", "--to", "x.csv"],
    "report": ["report"],
    "status": ["status"],
    "run": ["run", "music", "--segment-seconds", "0.5"],
}

READ_BY = {
    TRACKS: ["extract", "similarity", "similar", "export", "report", "status", "run"],
    SEGMENTS: ["extract", "train", "compare", "predict", "status", "run"],
    "files": ["extract", "status", "run"],
    "runs": ["extract", "train", "compare", "predict", "similarity", "export", "status", "run"],
    SIMILARITY: ["extract", "similarity", "run"],
    NEIGHBOUR_METRICS: ["extract", "similarity", "similar", "run"],
    "labels": ["extract", "run"],
}
"""Commands that read each table. A report says in its section what is damaged."""


@pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table, names in READ_BY.items() for name in names]
)
def test_every_command_that_reads_a_table_names_its_damaged_part_and_the_remedy(
    made: Path,
    root: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    in_process_cluster: str,
    table: str,
    name: str,
) -> None:
    monkeypatch.chdir(made)
    path = root / part_of(root, table)
    options = [*COMMANDS[name], "--store", str(root)]
    if name in ("extract", "train", "compare", "predict", "run"):
        options += ["--scheduler", in_process_cluster]
    for damage in (cut_off, delete):
        damage(path)
        code, out, err = command(*options)
        assert code == 1, (out, err)
        assert "Traceback" not in err
        last = err.splitlines()[-1]
        assert str(path) in last
        assert f"Run `songmill verify --repair --store {root}`" in last


@pytest.mark.parametrize(
    ("table", "damage"),
    [(SEGMENTS, delete), (PREDICTED_TRACKS, delete), ("labels", delete), ("labels", flip_in_page)],
)
def test_an_extraction_names_damage_before_it_extracts(
    made: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    damage: Callable[[Path], None],
) -> None:
    damage(root / part_of(root, table))
    monkeypatch.setattr(jobs.stage, "connect", Mock(side_effect=AssertionError))
    with pytest.raises(DamageError, match=f"{table}/.* (does not exist|is damaged)"):
        extract(
            [str(made / "music")],
            store=str(root),
            segment_seconds=0.5,
            force=True,
            progress=quiet(),
        )


def test_a_stage_does_not_begin_on_damaged_runs(root: Path) -> None:
    cut_off(root / part_of(root, "runs"))
    with pytest.raises(DamageError, match="runs/"), open_session(str(root)).stage("train"):
        pytest.fail("it began")
