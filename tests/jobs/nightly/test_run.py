"""The nightly run: which stages are done and skipped, and their output."""

import json
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pyarrow as pa
import pytest
from support.command_line import Command
from support.in_process import RecordedBoosting
from support.made_models import put_model
from support.made_stores import NOON, make_store, put, write_part

import jobs.exporting.export
import jobs.extraction.extract
import jobs.learning.compare
import jobs.learning.train
import jobs.nightly.run
from featurizer.feature_set import feature_set
from jobs.errors import ClusterError, ExportError, RunInterruptedError, StoreError, UsageError
from jobs.extraction.extract import Outcome as Extracted
from jobs.learning import registry
from jobs.learning.changes import Changes, read_changes
from jobs.nightly.run import STAGES, Outcome, run
from jobs.stage import Session, open_session
from jobs.store import commit
from jobs.store.address import lock_of
from jobs.store.folder import Folder
from jobs.store.lock import LOCK
from jobs.store.schemas import FILES, TRACK
from jobs.store.schemas import TRACKS as TRACKS_TABLE
from jobs.store.tables import STAGES_JSON, Settings, open_store
from pages import picture

GTZAN = feature_set("gtzan")

TRACKS = [(f"{label}/{i:02}.wav", label) for label in ("jazz", "pop", "rock") for i in range(20)]
EXPORTS = ["export similarity", "export predictions"]
ALL = ["extract", "train", "similarity", "predict", *EXPORTS, "report"]


class Night:
    """A store, and a fake extraction with the results that a test sets."""

    def __init__(self, root: Path, scheduler: str) -> None:
        self.root = root
        self.scheduler = scheduler
        self.counts: dict[str, int] = {"extracted": len(TRACKS)}
        self.too_many: Any = ""
        self.change: Callable[[], None] = lambda: None
        self.files: dict[str, dict[str, Any]] = {}
        self.attempts = 0
        self.put(TRACKS)
        self.attempt("corrupt.wav", error="unreadable")
        self.attempt(*(track for track, _ in TRACKS))

    def extract(self, sources: list[str], *, store: Session, **_: Any) -> Extracted:
        with store.stage("extract", settings=Settings({"gtzan": GTZAN.version}, 3.0)) as stage:
            self.change()
            stage.commit(commit.Change(), **self.counts)
        found = Extracted(stage.run_id, listed=60, **self.counts)
        if self.too_many:
            found.outcome, found.message = self.too_many, "60 of 60 files"
        self.counts, self.change = {"extracted": 0}, lambda: None
        return found

    def run(self, **options: Any) -> Outcome:
        exports = [f"similarity=sqlite:///{self.root}.db", f"predictions={self.root}.csv"]
        defaults = {"store": str(self.root), "exports": exports, "scheduler": self.scheduler}
        defaults["retrain_above"] = 0.0
        return run(["x"], **{"model": "xgboost", **defaults, **options})

    def run_first(self) -> None:
        """Run, or copy what the same first night of an earlier test has made."""
        made = self.root.parent
        kept = made.with_name("first")
        if kept.exists():
            shutil.rmtree(made)
            shutil.copytree(kept, made)
            self.counts = {"extracted": 0}
        else:
            self.run()
            shutil.copytree(made, kept)

    def attempt(self, *tracks: str, error: str | None = None) -> None:
        """Write the rows of files that an extraction tried."""
        self.attempts += 1
        now = NOON + timedelta(days=self.attempts)
        for track in tracks:
            attempted = {"extracted_at": now, "run_id": str(now), "error": error}
            status = {"status": "failed" if error else "ok"}
            where = {"uri": f"/music/{track}", "source": "/music"}
            self.files[track] = {"track_id": track, **where, **status, **attempted}
        put(open_store(str(self.root)), "files", list(self.files.values()), FILES)

    def put(self, *parts: list[tuple[str, str | None]], **options: Any) -> None:
        """Replace the rows of tracks."""
        make_store(self.root, *parts, level="track", shift={"pop": 2.0, "rock": 4.0}, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of every night's store: the address of an export is part of its stage's name."""
    return tmp_path_factory.mktemp("nights") / "night"


@pytest.fixture
def night(folder: Path, monkeypatch: pytest.MonkeyPatch, in_process_cluster: str) -> Night:
    RecordedBoosting(monkeypatch)
    monkeypatch.setattr(picture, "_png", lambda *_: (b"png", picture.Box(0, 0, 1, 1)))
    shutil.rmtree(folder, ignore_errors=True)
    made = Night(folder / "store", in_process_cluster)
    monkeypatch.setattr(jobs.extraction.extract, "extract", made.extract)
    return made


def outcomes(found: Outcome) -> dict[str, str]:
    """Return the outcome of each stage, without the addresses of the exports."""
    return {" ".join(one.stage.split(" ")[:2]): one.outcome for one in found.stages}


def done(found: Outcome) -> list[str]:
    return [name for name, outcome in outcomes(found).items() if outcome == "done"]


def test_the_first_night_does_everything_and_the_second_looks_only(night: Night) -> None:
    first = night.run()
    assert (first.outcome, first.exit_code, first.message) == ("done", 0, "")
    assert done(first) == ALL
    for made in ("similarity", "duplicates", "predictions", "report/index.html", "models"):
        assert (night.root / made).exists()
    assert Path(f"{night.root}.db").exists()
    assert len(pd.read_csv(f"{night.root}.csv")) == 60
    second = night.run()
    assert list(outcomes(second).values()) == ["done", *["skipped"] * 6]
    assert {one.message for one in second.stages[1:]} == {"its inputs are unchanged"}
    assert second.stages[0].message == "nothing new, changed or gone among 60 files"
    rows = pd.read_parquet(night.root / "runs").sort_values("started_at")
    for found in (first, second):
        mine = rows[rows["run_id"] == found.run_id]
        assert mine["stage"].tolist() == [name.split(" ")[0] for name in ALL]
        assert mine["outcome"].tolist() == [one.outcome for one in found.stages]
    assert first.run_id != second.run_id
    assert not (night.root / LOCK).exists()


def relabel(night: Night) -> None:
    night.put([("jazz/00.wav", "pop"), *TRACKS[1:]])


def promote_another(night: Night) -> None:
    put_model(open_store(str(night.root)), "1", ["jazz", "pop", "rock"], champion=True)


def by_hand(stage: str) -> Callable[[Night], None]:
    """Run a stage without changing a row."""

    def change(night: Night) -> None:
        with open_session(str(night.root)).stage(stage) as run:
            run.commit(commit.Change())

    return change


def attempt(*tracks: str, error: str | None = None) -> Callable[[Night], None]:
    """Extract files again, or for the first time."""
    return lambda night: night.attempt(*tracks, error=error)


PREDICTED = ["predict", "export predictions"]
LEARNT = ["train", *PREDICTED, "report"]


def test_a_first_run_does_not_repeat_what_commands_have_done(night: Night) -> None:
    night.run_first()
    (night.root / STAGES_JSON).unlink()
    found = night.run(retrain_above=0.01)
    again = ["train", "predict"]
    assert [outcomes(found)[name] for name in again] == ["skipped"] * 2
    assert found.stages[1].message.startswith("labelled rows changed since")
    assert found.stages[3].message.startswith("all tracks have predictions by")
    # Another label is another row of predictions.
    (night.root / STAGES_JSON).unlink()
    relabel(night)
    found = night.run(retrain_above=0.5)
    assert [outcomes(found)[name] for name in again] == ["skipped", "done"]


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        (attempt("jazz/00.wav"), {}, ALL[1:]),
        (attempt("corrupt.wav"), {}, ALL[1:]),
        (attempt("corrupt.wav", error="unreadable"), {}, []),
        (attempt("corrupt.wav", error="empty"), {}, ["report"]),
        (attempt("new.wav", error="empty"), {}, ["report"]),
        (lambda night: night.put(TRACKS[2:]), {}, ALL[1:]),
        # As in a run that is killed right after its commit.
        (lambda night: night.put([*TRACKS, ("rock/99.wav", "rock")]), {}, ALL[1:]),
        (relabel, {}, ALL[1:]),
        (lambda night: night.put(TRACKS, groups={"jazz/00.wav": "Monk"}), {}, LEARNT),
        (promote_another, {}, [*PREDICTED, "report"]),
        (by_hand("compare"), {}, ["report"]),
        # Another model may have predicted.
        (by_hand("predict"), {}, [*PREDICTED, "report"]),
        (by_hand("import"), {}, ALL[1:]),
        (by_hand("extract"), {}, []),
        (lambda night: night.put(TRACKS[:30], TRACKS[30:], []), {}, []),
        (lambda night: (night.root / "report" / "index.html").unlink(), {}, ["report"]),
        (lambda _: None, {"neighbours": 3}, ["similarity", "export similarity", "report"]),
        (lambda _: None, {"metric": "cosine"}, ["similarity", "export similarity", "report"]),
        (lambda _: None, {"tolerance": 0.5}, LEARNT),
        (lambda _: None, {"model": "lda"}, LEARNT),
        (lambda _: None, {"train_features": "gtzan"}, LEARNT),
        (lambda _: None, {"labels": "parent", "keep_models": 1}, []),
    ],
)
def test_stages_with_changed_inputs_run(
    night: Night, change: Callable[[Night], None], options: dict[str, Any], expected: list[str]
) -> None:
    night.run_first()
    before = registry.champion(open_store(str(night.root)))
    change(night)
    found = night.run(**options)
    if before == registry.champion(open_store(str(night.root))) and expected == LEARNT:
        # The new model was no better, so the champion is unchanged.
        expected = [name for name in expected if name not in PREDICTED]
    assert done(found) == ["extract", *expected]
    assert done(night.run(**options)) == ["extract"]


def edit_rows(night: Night, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Replace the rows of tracks by edited ones."""
    store = open_store(str(night.root))
    [name] = store.parts(TRACKS_TABLE)
    rows = edit(store.read_part(name).to_pandas())
    write_part(store, name, pa.Table.from_pandas(rows, schema=TRACK, preserve_index=False))


def edit_tracks(edits: dict[str, dict[str, Any]]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return an edit of some columns of some tracks; a new track is a copy of another."""

    def edit(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.set_index("track_id")
        for track, values in edits.items():
            if track not in rows.index:
                rows.loc[track] = rows.loc["rock/00.wav"]
            for column, value in values.items():
                rows.loc[track, column] = value
        return rows.reset_index()

    return edit


THREE_CHANGES = edit_tracks(
    {"new.wav": {"tempo": 7.0}, "jazz/00.wav": {"label": "pop"}, "jazz/01.wav": {"tempo": 7.0}}
)


def test_a_model_is_trained_when_more_than_a_share_of_the_labelled_rows_has_changed(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.run_first()
    model = registry.champion(open_store(str(night.root)))
    edit_rows(night, THREE_CHANGES)
    found = night.run(retrain_above=0.05)
    assert done(found) == ["extract", *ALL[2:]]
    assert found.stages[1].message == (
        f"labelled rows changed since {model} was trained: 3 of 60, no more than "
        "--retrain-above 0.05"
    )
    predicted = pd.read_parquet(night.root / "predictions" / "level=track").set_index("track_id")
    assert predicted.loc["new.wav", ["model", "learnt"]].tolist() == [model, False]
    monkeypatch.setattr(jobs.learning.train, "train", Mock(side_effect=ClusterError("no cluster")))
    assert outcomes(night.run(retrain_above=0.05))["train"] == "skipped"
    assert outcomes(night.run(retrain_above=0.049))["train"] == "failed"
    assert outcomes(night.run(retrain_above=0.05, tolerance=0.5))["train"] == "failed"


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        (lambda rows: rows[::-1], 0),
        (lambda rows: rows.assign(length=1), 0),
        (lambda rows: rows.iloc[2:], 2),
        (THREE_CHANGES, 3),
        (edit_tracks({"new.wav": {"label": None}}), 0),
        (edit_tracks({"new.wav": {"label": "new"}, "jazz/00.wav": {"label": None}}), 2),
    ],
)
def test_changed_rows_are_counted_against_those_that_the_newest_model_has_learnt(
    night: Night, edit: Callable[[pd.DataFrame], pd.DataFrame], changed: int
) -> None:
    night.run_first()
    edit_rows(night, edit)
    store = open_store(str(night.root))
    found = read_changes(store, split="by-track", model="xgboost")
    assert found == Changes(registry.versions(store)[-1], changed, 60)
    assert read_changes(store, split="by-track", model="lda") is None
    assert read_changes(store, split="by-group:artist") is None


def test_a_model_of_an_older_songmill_has_not_recorded_its_rows(night: Night) -> None:
    classes = ["jazz", "pop", "rock"]
    store = open_store(str(night.root))
    put_model(store, "1", classes, champion=True, level="track", folds={"jazz/00.wav": 0})
    assert read_changes(store, split="by-track") is None


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (ClusterError("the cluster is lost"), "failed", 1),
        (UsageError("no such split"), "failed", 2),
        (OSError(28, "No space left on device"), "failed", 1),
        (RunInterruptedError(signal.SIGTERM), "interrupted", 143),
    ],
)
def test_a_stage_that_fails_ends_the_run_and_the_next_night_goes_on(
    night: Night, monkeypatch: pytest.MonkeyPatch, error: BaseException, outcome: str, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jobs.learning.train, "train", Mock(side_effect=error))
        found = night.run()
    assert (found.outcome, found.exit_code) == (outcome, code)
    assert str(error) in found.message
    assert list(outcomes(found).values()) == ["done", outcome, *["not run"] * 5]
    assert found.stages[1].message == str(error)
    assert not (night.root / LOCK).exists()
    assert done(night.run()) == ALL


def failing_export(to: str, error: BaseException) -> Callable[..., Any]:
    """Return an export that fails at one kind of target."""
    export = jobs.exporting.export.export

    def failing(*table: Any, **options: Any) -> Any:
        if to in options["to"]:
            raise error
        return export(*table, **options)

    return failing


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExportError("the table is busy"), 1),
        (UsageError("no such schema"), 2),
        (OSError(28, "No space left on device"), 1),
    ],
)
def test_an_export_that_fails_keeps_no_other_export_and_no_report(
    night: Night, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jobs.exporting.export, "export", failing_export("sqlite", error))
        found = night.run()
    assert (found.outcome, found.exit_code, found.message) == ("failed", code, str(error))
    assert outcomes(found) == {**dict.fromkeys(ALL, "done"), "export similarity": "failed"}
    assert done(night.run()) == ["extract", "export similarity"]


def test_an_interrupted_export_ends_the_run(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RunInterruptedError(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(jobs.exporting.export, "export", failing_export("sqlite", error))
        found = night.run()
    assert (found.outcome, found.exit_code) == ("interrupted", 143)
    assert list(outcomes(found).values())[4:] == ["interrupted", "not run", "not run"]


@pytest.mark.parametrize(
    ("exports", "options", "error"),
    [
        (["files=postgresql://me@127.0.0.1:1/db"], {}, "Connection refused"),
        (["features=sqlite:///{}/letter.db"], {}, "not a database"),
        (["files=duckdb:///{}/new.db"], {"schema": "x"}, "has no schema 'x'"),
    ],
)
def test_a_target_of_no_use_is_found_before_the_first_stage(
    night: Night, tmp_path: Path, exports: list[str], options: dict[str, Any], error: str
) -> None:
    (tmp_path / "letter.db").write_text("a letter, and no database " * 100)
    exports = [text.format(tmp_path) for text in exports]
    night.run(only="extract", exports=exports, **options)
    found = night.run(exports=exports, **options)
    assert found.outcome == "failed"
    assert found.exit_code == (2 if options else 1)
    assert error in found.message
    assert [one.outcome for one in found.stages] == [*["not run"] * 4, "failed", "not run"]
    assert error in found.stages[4].message
    assert night.run(first="report", exports=exports, **options).exit_code == 0
    runs = open_store(str(night.root)).read("runs").sort_by("started_at").to_pylist()
    stages = [run["stage"] for run in runs if run["run_id"] == found.run_id]
    assert stages == ([] if options else ["export"])
    assert not (tmp_path / "new.db").exists()


def test_the_first_night_of_a_store_checks_its_targets_too(night: Night, tmp_path: Path) -> None:
    found = night.run(
        store=str(tmp_path / "another"), exports=["files=postgresql://me@127.0.0.1:1/db"]
    )
    assert "Connection refused" in found.message
    assert list(outcomes(found).values()) == [*["not run"] * 4, "failed", "not run"]


def test_an_export_of_the_files_depends_on_their_rows(night: Night) -> None:
    exports = {"exports": [f"files={night.root}.csv"]}
    night.run(**exports)
    night.attempt("corrupt.wav", error="unreadable")
    assert done(night.run(**exports)) == ["extract"]
    night.attempt("new.wav", error="empty")
    assert done(night.run(**exports)) == ["extract", "export files", "report"]


def test_a_bug_is_raised_not_recorded(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.learning.train, "train", Mock(side_effect=KeyError))
    with pytest.raises(KeyError):
        night.run()
    assert not (night.root / LOCK).exists()


@pytest.mark.parametrize(
    ("outcome", "of_stage"), [("too-many-failed", "done"), ("too-many-gone", "failed")]
)
def test_too_many_failed_or_gone_files_end_the_run_with_3(
    night: Night, outcome: str, of_stage: str
) -> None:
    night.too_many = outcome
    found = night.run()
    assert (found.outcome, found.exit_code, found.message) == (outcome, 3, "60 of 60 files")
    assert list(outcomes(found).values()) == [of_stage, *["not run"] * 6]
    assert found.stages[0].message.endswith("60 of 60 files")
    night.too_many = ""
    assert done(night.run()) == ALL


def test_without_labels_nothing_is_learnt_and_that_is_no_failure(night: Night) -> None:
    make_store(night.root, [(track, None) for track, _ in TRACKS], level="track")
    found = night.run()
    assert found.exit_code == 0
    assert done(found) == ["extract", "similarity", "export similarity", "report"]
    messages = [one.message for one in found.stages if one.outcome == "skipped"]
    assert messages == [
        "labels of the tracks: 0; a model needs at least two",
        "there is no champion yet",
        "there are no predictions",
    ]


def test_a_metric_of_labels_waits_for_labels(night: Night) -> None:
    make_store(night.root, [(track, None) for track, _ in TRACKS], level="track")
    found = night.run(metric="learned", only="similarity")
    assert (found.exit_code, outcomes(found)["similarity"]) == (0, "skipped")
    message = "labels of the tracks: 0; the metric learned needs at least two"
    assert found.stages[2].message == message


def test_a_store_without_tracks_is_no_failure(night: Night) -> None:
    make_store(night.root, level="track")
    found = night.run(exports=[])
    assert (found.exit_code, done(found)) == (0, ["extract", "report"])
    skipped = {one.stage: one.message for one in found.stages if one.outcome == "skipped"}
    assert skipped["similarity"] == "there are no tracks"


@pytest.mark.parametrize("name", STAGES)
def test_only_one_stage_whether_or_not_it_is_needed(night: Night, name: Any) -> None:
    night.run_first()
    found = night.run(only=name, models="naive-bayes")
    wanted = EXPORTS if name == "export" else [name]
    assert done(found) == wanted
    assert set(outcomes(found).values()) == {"done", "not run"}


def test_a_comparison_is_a_stage_where_asked_for(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.run_first()
    options: dict[str, Any] = {"compare": True, "models": "naive-bayes"}
    error = ClusterError("the cluster is lost")
    with monkeypatch.context() as patch:
        patch.setattr(jobs.learning.compare, "compare", Mock(side_effect=error))
        found = night.run(**options)
    # No other stage depends on it.
    expected = ["done", "skipped", "failed", *["skipped"] * 5]
    assert list(outcomes(found)) == [*ALL[:2], "compare", *ALL[2:]]
    assert list(outcomes(found).values()) == expected
    assert (found.exit_code, found.message) == (1, "the cluster is lost")
    found = night.run(**options)
    assert done(found) == ["extract", "compare", "report"]
    (row,) = pd.read_parquet(night.root / "comparison").to_dict("records")
    score = f"{row['macro_f1']:.3f}"
    assert found.stages[2].message == f"1 model; the best is naive Bayes, macro F1 {score}"
    assert (row["split"], row["level"]) == ("by-track", "track")
    assert score in (night.root / "report" / "index.html").read_text()
    assert done(night.run(**options)) == ["extract"]
    found = night.run(compare=True, models=["KNN", "naive Bayes"])
    assert done(found) == ["extract", "compare", "report"]
    with pytest.raises(UsageError, match="no model 'QDA' to compare: use tutorial, naive-Bayes"):
        night.run(compare=True, models="QDA")


def test_from_a_stage_on(night: Night) -> None:
    night.run_first()
    found = night.run(first="similarity")
    expected = ["not run", "not run", "done", "skipped", "done", "skipped", "done"]
    assert outcomes(found) == dict(zip(ALL, expected, strict=True))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"only": "train", "first": "train"}, "--only and --from exclude each other"),
        ({"exports": ["similarity"]}, "--export similarity: use TABLE=URL"),
        ({"exports": ["songs=a.csv"]}, "--export songs=…: use TABLE=URL"),
        ({"exports": ["files=a.doc"]}, "is not a target of exports"),
        ({"exports": ["files=postgresql://me:s3cret@h:x/db"]}, "is not valid"),
        ({"exports": ["files=host=h password=s3cret"]}, "is not a target"),
        ({"exports": ["files=x.csv"], "schema": "x"}, "are for databases"),
        ({"exports": ["host=h password=s3cret"]}, "use TABLE=URL"),
        ({"exports": ["postgresql://me:s3cret@h/db?sslmode=require"]}, "use TABLE=URL"),
        ({"exports": ["postgresql:/me:s3cret@h/db"]}, "use TABLE=URL"),
    ],
)
def test_invalid_options_are_refused_before_the_run(
    night: Night, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(UsageError, match=error) as refusal:
        night.run(**options)
    assert "s3cret" not in str(refusal.value)
    assert not (night.root / "runs").exists()


def test_the_store_is_held_from_the_first_stage_to_the_last(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = []
    train = jobs.learning.train.train

    def note_token(**options: Any) -> Any:
        tokens.append(json.loads((night.root / LOCK).read_text())["token"])
        return train(**options) if options else None

    monkeypatch.setattr(jobs.learning.train, "train", note_token)
    night.change = note_token
    night.run()
    assert (len(tokens), len(set(tokens))) == (2, 1)


def test_a_second_run_at_once_is_refused(night: Night) -> None:
    with lock_of(Folder(str(night.root))):
        found = night.run()
    assert (found.outcome, found.exit_code) == ("failed", 1)
    assert "another run is at work on the store" in found.message
    assert set(outcomes(found).values()) == {"not run"}
    assert not (night.root / "runs").exists()


def test_passwords_are_shown_nowhere(night: Night, capfd: pytest.CaptureFixture[str]) -> None:
    secret = "postgresql://me:s3cret@127.0.0.1:1/db"
    found = night.run(exports=[f"similarity={secret}"])
    assert found.exit_code == 1
    assert found.stages[4].stage == "export similarity postgresql://me@127.0.0.1:1/db"
    assert "s3cret" not in "".join(capfd.readouterr()) + repr(found)
    for path in night.root.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()


# The command


@pytest.fixture
def command(command: Command, night: Night, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, with the cluster of this process."""
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", night.scheduler)
    return command


def test_one_json_summary_and_json_lines(night: Night, command: Command) -> None:
    code, out, err = command("run", "x", "--store", night.root, "--json", "--log-format", "json")
    assert code == 0
    summary = json.loads(out)
    assert [one["stage"] for one in summary["stages"]] == [*ALL[:4], "report"]
    assert summary["stages"][2]["details"]["k"] == 20
    lines = [json.loads(line) for line in err.splitlines()]
    assert {line["run_id"] for line in lines} == {summary["run_id"]}
    assert {line["stage"] for line in lines} == {*ALL[:4], "report"}
    assert {line["level"] for line in lines} == {"info"}


def test_a_table_for_people(night: Night, command: Command) -> None:
    code, out, err = command("run", "x", "--store", night.root)
    assert code == 0
    assert "train       done" in out
    assert "stage train" in err
    assert "its inputs are unchanged" in command("run", "x", "--store", night.root)[1]


def test_a_failure_is_a_line_and_a_code_and_still_a_summary(
    night: Night, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StoreError("the store is damaged")
    monkeypatch.setattr(jobs.learning.train, "train", Mock(side_effect=error))
    code, out, err = command("run", "x", "--store", night.root, "--json", "--log-format", "json")
    assert code == 1
    assert json.loads(out)["outcome"] == "failed"
    last = json.loads(err.splitlines()[-1])
    assert (last["level"], last["stage"]) == ("error", "train")
    assert last["message"] == "the store is damaged"
    code, out, err = command("run", "x", "--store", night.root)
    assert code == 1
    assert err.splitlines()[-1] == "songmill: the store is damaged"
    assert (out + err).count("the store is damaged") == 1


def test_a_run_that_is_refused_prints_only_why(night: Night, command: Command) -> None:
    with open_session(str(night.root)).held():
        code, out, err = command("run", "x", "--store", night.root)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1


def test_a_config_file_holds_the_options(night: Night, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "songmill.toml"
    path.write_text(
        f'sources = ["a", "b"]\nstore = "{night.root}"\nneighbours = 4\nmax_failed = 0.25\n'
        f'split = "random"\ncompare = true\nmodels = "LDA"\n'
        f'export = ["files={tmp_path}/files.csv"]\nlog-format = "json"\n'
        'metric = "rich"\n'
    )
    work = Mock(return_value=Outcome("r", "s"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.nightly.run, "run", work)
        code, _, err = command("run", "--config", path)
        assert (code, err) == (0, "")
        # Arguments override the file, wherever they stand.
        command("run", "c", "-k", 7, "--config", path, "--split", "by-track")
    one, other = [{"sources": call.args[0], **call.kwargs} for call in work.call_args_list]
    given = {"sources": ["a", "b"], "store": str(night.root), "neighbours": 4, "max_failed": 0.25}
    given |= {"split": "random", "exports": [f"files={tmp_path}/files.csv"], "metric": "rich"}
    given |= {"compare": True, "models": "LDA"}
    assert one == one | given | {"labels": "parent", "tolerance": 0.0, "level": None}
    assert other == other | {"sources": ["c"], "neighbours": 7, "split": "by-track"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("neighbors = 4", "has the unknown option 'neighbors': did you mean neighbours?"),
        ("zzz = 4", "has the unknown option 'zzz': use one of compare, dry-run, exclude, "),
        ("neighbours = 0", "Invalid value for '-k' / '--neighbours'"),
        ('neighbours = "many"', "Invalid value for '-k' / '--neighbours'"),
        ('only = "sleep"', "Invalid value for '--only'"),
        ('metric = "euclid"', "Invalid value for '--metric'"),
        ("[split]\nname = 1", "split is a table: give it one value"),
        ("store = ", "is not TOML"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_config_file_that_does_not_fit(
    night: Night, command: Command, tmp_path: Path, text: str | None, error: str
) -> None:
    path = tmp_path / "songmill.toml"
    if text is not None:
        path.write_text(text)
    code, out, err = command("run", "x", "--store", night.root, "--config", path)
    assert code == 2
    assert error in " ".join(err.split())
    assert out == ""
    assert "Traceback" not in err
