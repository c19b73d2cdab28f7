"""Progress lines of an extraction."""

import pytest

from jobs import progress as module
from jobs.extraction.attempts import Summary
from jobs.extraction.extract import Outcome
from jobs.progress import Progress


def test_the_plan_is_reported_in_numbers() -> None:
    outcome = Outcome("run", listed=12, new=3, changed=2, retried=1, unchanged=6, gone=4)
    first = "12 files: 3 new, 2 changed, 1 to retry, 6 unchanged, 4 gone"
    assert outcome.planned == first
    outcome.kept = 5
    assert outcome.planned == f"{first}, 5 finished by an earlier run"


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = Progress()
    outcome = Outcome("run")
    outcome.add(Summary("done", extracted=3, failures={"empty": 1}, audio_s=900.0))
    for moment in (1001.0, 1010.0, 1014.9, 1015.0, 1016.0, 1029.9, 1030.0):
        now = moment
        progress.update(outcome.progress(10, now - 1000.0, 2))
    # 900 s of audio in 15 s are 60 x realtime; 4 of 10 files in 15 s leave 22.5 s for 6.
    assert capsys.readouterr().err.splitlines() == [
        "4 of 10 files, 1 failed, 60 x realtime, 22 s left",
        "4 of 10 files, 1 failed, 30 x realtime, 45 s left",
    ]


def test_what_was_finished_before_the_time_began_says_nothing_about_the_speed() -> None:
    outcome = Outcome("run", extracted=2, audio_s=60.0)
    assert outcome.progress(10, 5.0, 2, (2, 60.0)) == "2 of 10 files, 0 failed"
    outcome.add(Summary("done", extracted=4, audio_s=120.0))
    line = "6 of 10 files, 0 failed, 12 x realtime, 10 s left"
    assert outcome.progress(10, 10.0, 2, (2, 60.0)) == line


def test_a_cluster_without_workers_is_reported() -> None:
    line = Outcome("run").progress(0, 100.0, 0)
    assert line == "0 of 0 files, 0 failed; the cluster has no worker, waiting for one"
