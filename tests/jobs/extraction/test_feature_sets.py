"""Stores with several feature sets: sets are added, dropped, and kept up to date together."""

import functools
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import soundfile
from rich.console import Console
from support.cluster_processes import VOLATILE

import featurizer.extract
import featurizer.sets
import jobs.extraction.dispatch
import jobs.extraction.extract
import jobs.extraction.survey
from featurizer.feature_set import feature_set, feature_sets
from jobs.errors import ClusterError, UsageError
from jobs.extraction.attempts import finished_attempts, read_finished
from jobs.extraction.extract import Outcome, extract
from jobs.extraction.plan import Group
from jobs.nightly.freshness import read_state
from jobs.progress import Progress
from jobs.reporting.status import read_status
from jobs.reporting.verify import verify
from jobs.store.folder import Folder
from jobs.store.schemas import SEGMENTS, TRACKS, features_folder
from jobs.store.tables import open_store

pytestmark = pytest.mark.slow

MUSIC, STORE = Path("music"), Path("store")
SR = 22050

RICH = features_folder("rich", "track")
TINY, TINY_SEGMENTS = features_folder("tiny", "track"), features_folder("tiny", "segment")

BOTH = ("gtzan", "rich")
ALL = ("gtzan", "rich", "tiny")

THIRD_SET = Path(__file__).parents[2] / "support/third_set/featurizer/sets"

TOO_SHORT = "The recording is too short for the rich features (10 s or more are needed)."

LONG = ["blues/0.wav", "rock/1.wav"]
SHORT = ["blues/2.wav", "rock/3.wav"]

Run = Callable[..., Outcome]


def clip(name: str, seed: int, seconds: float, folder: Path = MUSIC) -> None:
    """Write a tone in noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * SR)) / SR
    y = 0.3 * np.sin(2 * np.pi * (220 + 20 * seed) * t) + 0.05 * rng.standard_normal(len(t))
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y, SR)


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clips of 10.2 s, two of 0.5 s, and a file that is not a recording."""
    monkeypatch.chdir(tmp_path)
    for names, seconds in ((LONG, 10.2), (SHORT, 0.5)):
        for name in names:
            clip(name, int(name[-5]), seconds)
    (MUSIC / "rock/bad.wav").write_text("not a recording")


@pytest.fixture
def third_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the set `tiny` be known."""
    monkeypatch.setattr(featurizer.sets, "__path__", [*featurizer.sets.__path__, str(THIRD_SET)])
    feature_sets.cache_clear()
    yield
    monkeypatch.undo()
    feature_sets.cache_clear()


@pytest.fixture
def run(music: None, in_process_cluster: str) -> Run:
    return functools.partial(job, scheduler=in_process_cluster)


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Count how often each feature set of each file is extracted."""
    counts: Counter[tuple[str, str]] = Counter()
    real = featurizer.extract.extract

    def counting(source: Any, *, sets: Any, **options: Any) -> Any:
        name = os.path.relpath(source, MUSIC)
        counts.update((name, one) for one in sets)
        return real(source, sets=sets, **options)

    monkeypatch.setattr(featurizer.extract, "extract", counting)
    return counts


def job(source: Path = MUSIC, store: Path = STORE, **options: Any) -> Outcome:
    return extract(
        source,
        store=str(store),
        progress=Progress(Console(file=io.StringIO())),
        **{"segment_seconds": 0.25, "max_failed": 1.0, **options},
    )


def table(name: str, store: Path = STORE) -> pd.DataFrame:
    """Read a table with PyArrow alone, sorted by its unique keys."""
    frame = pyarrow.dataset.dataset(store / name).to_table().to_pandas()
    keys = [key for key in ("track_id", "segment") if key in frame]
    assert not frame[keys].duplicated().any()
    return frame.sort_values(keys).reset_index(drop=True)


def tracks(name: str) -> list[str]:
    return list(table(name)["track_id"])


def files(column: str) -> dict[str, Any]:
    rows = pyarrow.dataset.dataset(STORE / "files").to_table().to_pylist()
    return {row["track_id"]: row[column] for row in rows}


def parts(*names: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for name in names for path in (STORE / name).iterdir()}


def assert_as_fresh(run: Run, features: tuple[str, ...], **options: Any) -> None:
    """Compare the store with one that is extracted at once."""
    fresh = Path(f"fresh with {features}")
    run(store=fresh, features=features, **options)
    names = [features_folder(one, level) for one in features for level in feature_set(one).levels]
    for name in (*names, "files"):
        found, expected = (
            table(name, store).drop(columns=VOLATILE, errors="ignore") for store in (STORE, fresh)
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=name)
    assert verify(store=str(STORE)).findings == []


def versions() -> Any:
    return json.loads((STORE / "store.json").read_text()).get("feature_sets")


# Both sets


def test_both_feature_sets_are_extracted_and_short_files_say_what_they_lack(run: Run) -> None:
    outcome = run()
    assert (outcome.new, outcome.extracted, outcome.failed) == (5, 4, 1)
    assert versions() == {"gtzan": "gtzan-57.1", "rich": "rich-458.1"}
    assert tracks(TRACKS) == sorted(LONG + SHORT)
    assert tracks(RICH) == LONG
    messages = files("message")
    assert {track: messages[track] for track in LONG + SHORT} == {
        **dict.fromkeys(LONG),
        **dict.fromkeys(SHORT, TOO_SHORT),
    }
    assert files("status") == {**dict.fromkeys(LONG + SHORT, "ok"), "rock/bad.wav": "failed"}
    rich = table(RICH)
    assert list(rich.columns) == ["track_id", "label", "length", *feature_set("rich").names]
    assert set(rich.dtypes[3:]) == {np.dtype(np.float32)}
    assert list(rich["label"]) == ["blues", "rock"]
    assert set(rich["length"]) == {int(10.2 * SR)}
    found = featurizer.extract.extract(str(MUSIC / LONG[0]), sets=["rich"]).rows["rich"].track
    np.testing.assert_allclose(rich.iloc[0, 3:].astype(float), found, rtol=1e-4, atol=1e-5)
    status = read_status(str(STORE))
    assert (status.feature_set, status.tracks) == ("gtzan-57.1, rich-458.1", 4)
    assert status.tracks_of == {"gtzan": 4, "rich": 2}
    assert verify(store=str(STORE)).findings == []

    again = run()
    assert (again.unchanged, again.incomplete, again.extracted) == (5, 0, 0)


def test_changes_labels_and_removals_reach_the_rows_of_all_feature_sets(run: Run) -> None:
    run(labels="none")
    before = table(RICH).set_index("track_id")
    clip(LONG[0], 7, 10.3)
    clip(SHORT[0], 8, 10.4)
    (MUSIC / LONG[1]).unlink()
    outcome = run(max_gone=1.0)
    assert (outcome.changed, outcome.gone, outcome.relabelled) == (2, 1, 1)
    assert tracks(TRACKS) == [LONG[0], *SHORT]
    assert tracks(RICH) == [LONG[0], SHORT[0]]
    assert not table(RICH).set_index("track_id").loc[LONG[0]].equals(before.loc[LONG[0]])
    assert files("message")[SHORT[0]] is None
    # Now only labels.
    before = table(RICH).drop(columns="label")
    assert run(labels="none").relabelled == 3
    for name in (TRACKS, SEGMENTS, RICH):
        assert table(name)["label"].isna().all()
    assert table(RICH).drop(columns="label").equals(before)
    assert verify(store=str(STORE)).findings == []


# Sets that are added


def test_only_the_feature_set_that_a_store_lacks_is_extracted(
    run: Run, extracted: Counter[tuple[str, str]]
) -> None:
    run(features="gtzan")
    assert json.loads((STORE / "store.json").read_text())["feature_set"] == "gtzan-57.1"
    names = [TRACKS, SEGMENTS]
    before, times = parts(*names), files("extracted_at")
    extracted.clear()
    outcome = run()
    assert (outcome.unchanged, outcome.incomplete, outcome.extracted) == (5, 2, 2)
    assert extracted == dict.fromkeys([(name, "rich") for name in LONG], 1)
    assert parts(*names) == before
    assert files("extracted_at") == times
    assert files("message")[SHORT[1]] == TOO_SHORT
    assert versions() == {"gtzan": "gtzan-57.1", "rich": "rich-458.1"}
    assert_as_fresh(run, BOTH)


def test_a_third_feature_set_is_added_the_next_night_and_dropped_with_force(
    run: Run, third_set: None, extracted: Counter[tuple[str, str]]
) -> None:
    run()
    before = parts(TRACKS, SEGMENTS, RICH)
    extracted.clear()
    outcome = run(features=ALL)
    assert (outcome.incomplete, outcome.extracted) == (4, 4)
    assert extracted == dict.fromkeys([(name, "tiny") for name in LONG + SHORT], 1)
    assert parts(TRACKS, SEGMENTS, RICH) == before
    assert tracks(TINY) == sorted(LONG + SHORT)
    assert len(table(TINY_SEGMENTS)) == len(table(SEGMENTS))
    assert_as_fresh(run, ALL)

    with pytest.raises(UsageError, match="--features gtzan,rich,tiny, or add --force"):
        run()
    extracted.clear()
    outcome = run(force=True)
    assert outcome.retried == 5
    assert {name for _, name in extracted} == set(BOTH)
    assert len(table(TINY)) == len(table(TINY_SEGMENTS)) == 0
    assert versions() == {"gtzan": "gtzan-57.1", "rich": "rich-458.1"}
    assert run().unchanged == 5
    assert_as_fresh(run, BOTH)


@pytest.mark.parametrize("moment", [1, 3])
def test_kills_in_between_cost_nothing(
    run: Run,
    third_set: None,
    extracted: Counter[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    moment: int,
) -> None:
    """Each night is interrupted after some files; the next one adds a feature set meanwhile."""
    monkeypatch.setattr(jobs.extraction.extract, "make_groups", one_by_one)
    monkeypatch.setattr(jobs.extraction.dispatch, "PENDING_PER_THREAD", 1)
    (MUSIC / "rock/bad.wav").unlink()
    for features in (("gtzan",), BOTH, ALL, ALL):
        before = finished()
        extracted.clear()
        interrupt(run, monkeypatch, moment, features=features)
        assert before.isdisjoint(extracted)
    before = finished()
    extracted.clear()
    run(features=ALL)
    assert before.isdisjoint(extracted)
    assert_as_fresh(run, ALL)


def finished() -> set[tuple[str, str]]:
    """The files and feature sets of finished batches; none of them is committed."""
    found = (
        read_finished(Folder(str(STORE)), one) for one in finished_attempts(Folder(str(STORE)))
    )
    return {
        (track, name)
        for attempt in found
        if attempt is not None
        for track in attempt.files["track_id"].to_pylist()
        for name in attempt.sets
    }


def one_by_one(recordings: list[Any], threads: int) -> Iterator[Group]:
    yield from (Group([recording], 0.0, is_long=False) for recording in recordings)


def interrupt(run: Run, monkeypatch: pytest.MonkeyPatch, moment: int, **options: Any) -> None:
    """Run, and lose the job when ``moment`` batches are finished, or else before its commit."""
    cls = jobs.extraction.extract._Extraction
    add, finished = cls._add_finished, Counter[str]()

    def interrupted(self: Any, *arguments: Any) -> None:
        add(self, *arguments)
        finished["batches"] += 1
        if finished["batches"] == moment:
            raise ClusterError("lost")

    def lost(self: Any) -> None:
        raise ClusterError("lost before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(cls, "_add_finished", interrupted)
        patch.setattr(cls, "finish", lost)
        with pytest.raises(ClusterError):
            run(**options)


def test_another_source_gets_the_feature_set_at_its_own_extraction(
    run: Run, extracted: Counter[tuple[str, str]]
) -> None:
    clip("other.wav", 9, 10.5, Path("elsewhere"))
    run(features="gtzan")
    run(Path("elsewhere"), features="gtzan")
    run(Path("elsewhere"))
    assert tracks(RICH) == ["other.wav"]
    assert verify(store=str(STORE)).findings == [], "the others are not extracted yet"
    extracted.clear()
    assert run().incomplete == 2
    assert extracted == dict.fromkeys([(name, "rich") for name in LONG], 1)
    assert tracks(RICH) == [LONG[0], "other.wav", LONG[1]]
    assert verify(store=str(STORE)).findings == []


def test_a_file_that_fails_when_a_feature_set_is_added_has_failed(run: Run) -> None:
    run(features="gtzan")
    path = MUSIC / LONG[0]
    state = path.stat()
    path.write_bytes(bytes(state.st_size))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    outcome = run()
    assert (outcome.incomplete, outcome.extracted, outcome.failures) == (2, 1, {"unreadable": 1})
    assert LONG[0] not in tracks(TRACKS) + tracks(SEGMENTS) + tracks(RICH)
    assert files("error")[LONG[0]] == "unreadable"
    assert verify(store=str(STORE)).findings == []
    assert run().failed == 0


def test_a_file_that_changes_while_a_feature_set_is_added_is_extracted_anew(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(features="gtzan")
    make_plan = jobs.extraction.survey.make_plan

    def late(*arguments: Any, **options: Any) -> Any:
        plan = make_plan(*arguments, **options)
        clip(LONG[0], 30, 10.6)
        return plan

    with monkeypatch.context() as patch:
        patch.setattr(jobs.extraction.survey, "make_plan", late)
        run()
    outcome = run()
    assert (outcome.changed, outcome.extracted) == (1, 1)
    assert_as_fresh(run, BOTH)


def test_files_that_were_too_short_for_all_are_tried_with_a_further_feature_set(
    run: Run, extracted: Counter[tuple[str, str]]
) -> None:
    outcome = run(features="rich")
    assert outcome.failures == {"too-short": 2, "unreadable": 1}
    assert tracks(RICH) == LONG
    assert not (STORE / TRACKS).exists()
    errors, messages = files("error"), files("message")
    for name in SHORT:
        assert (errors[name], messages[name]) == ("too-short", TOO_SHORT)
    assert verify(store=str(STORE)).findings == []
    assert run(features="rich").failed == 0, "they are not tried again without a reason"
    before = parts(RICH)
    extracted.clear()
    outcome = run()
    assert (outcome.incomplete, outcome.retried, outcome.extracted) == (2, 2, 4)
    assert extracted == {
        **dict.fromkeys([(name, "gtzan") for name in LONG], 1),
        **dict.fromkeys([(name, one) for name in SHORT for one in BOTH], 1),
    }
    assert parts(RICH) == before
    assert_as_fresh(run, BOTH)


def test_a_lost_row_is_extracted_again_alone(run: Run, extracted: Counter[tuple[str, str]]) -> None:
    run()
    [part] = (STORE / RICH).iterdir()
    (STORE / "_manifest.json").unlink()
    rows = pq.read_table(part, partitioning=None)
    pq.write_table(rows.slice(1), part, write_page_checksum=True)
    extracted.clear()
    assert run().incomplete == 1
    assert extracted == {(LONG[0], "rich"): 1}
    assert_as_fresh(run, BOTH)


# Damage, repair and later stages


def test_a_damaged_part_of_a_feature_set_is_named_and_only_that_set_made_anew(
    run: Run, extracted: Counter[tuple[str, str]]
) -> None:
    run()
    [part] = (STORE / RICH).iterdir()
    part.write_bytes(part.read_bytes()[:5000])
    name = str(part.relative_to(STORE))
    [finding] = verify(store=str(STORE)).findings
    assert finding.file == name
    assert finding.remedy.endswith(" (or `import-features`)")
    repaired = verify(store=str(STORE), repair=True)
    assert (repaired.outcome, repaired.forgotten) == ("repaired", 0)
    assert verify(store=str(STORE)).outcome == "sound"
    extracted.clear()
    run()
    assert extracted == dict.fromkeys([(name, "rich") for name in LONG], 1)
    assert_as_fresh(run, BOTH)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (lambda rows: rows.slice(1), "lacks rows of tracks in `files`"),
        (lambda rows: pyarrow.concat_tables([rows, rows.slice(0, 1)]), "repeated"),
        (
            lambda rows: rows.set_column(0, rows.field(0), [["rock/bad.wav", LONG[1]]]),
            "failed that have features",
        ),
        (
            lambda rows: rows.set_column(0, rows.field(0), [["stranger", LONG[1]]]),
            "lacks rows of tracks with features",
        ),
        (lambda rows: rows.drop_columns([feature_set("rich").names[-1]]), "has other columns"),
    ],
)
def test_rows_of_a_feature_set_that_do_not_agree_with_files_are_named_and_repaired(
    run: Run, rows: Callable[[pyarrow.Table], pyarrow.Table], problem: str
) -> None:
    run()
    (STORE / "_manifest.json").unlink()
    [part] = (STORE / RICH).iterdir()
    pq.write_table(rows(pq.read_table(part, partitioning=None)), part, write_page_checksum=True)
    assert any(problem in one.problem for one in verify(store=str(STORE)).findings)
    verify(store=str(STORE), repair=True)
    assert verify(store=str(STORE)).outcome == "sound"
    run()
    assert_as_fresh(run, BOTH)


def test_later_stages_see_that_rows_of_a_feature_set_are_new(run: Run) -> None:
    clip("other.wav", 9, 10.5, Path("elsewhere"))
    run(features="gtzan")
    run(Path("elsewhere"), features="gtzan")
    states = [read_state(open_store(str(STORE)))]
    for source in (Path("elsewhere"), MUSIC, MUSIC):
        run(source)
        states.append(read_state(open_store(str(STORE))))
    features = [state["features"] for state in states]
    assert features[0] != features[1] != features[2] == features[3]
    assert states[2]["labels"] == states[0]["labels"]


# Wrong usage


@pytest.mark.parametrize(
    ("features", "error"),
    [
        ("poor", "no feature set 'poor': choose from gtzan, rich"),
        ("gtzan,,rich", "no feature set ''"),
        (["rich", "Gtzan"], "no feature set 'Gtzan'"),
        ([], "no feature set was chosen: choose from gtzan, rich"),
    ],
)
def test_unknown_feature_sets_are_refused(music: None, features: Any, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        job(features=features)
    assert not STORE.exists()


def test_a_store_with_a_set_that_is_no_longer_known_is_refused(
    run: Run, third_set: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(features=ALL)
    monkeypatch.setattr(featurizer.sets, "__path__", featurizer.sets.__path__[:-1])
    feature_sets.cache_clear()
    for force in (False, True):
        with pytest.raises(UsageError, match="feature set tiny, which this songmill does not know"):
            run(force=force)
    assert read_status(str(STORE)).tracks_of == {"gtzan": 4, "rich": 2, "tiny": 4}
