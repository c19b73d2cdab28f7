"""Progress lines of an extraction."""

import pytest

from jobs import progress as module
from jobs.extraction.attempts import Summary
from jobs.extraction.extract import Outcome
from jobs.extraction.progress import ExtractionProgress
from jobs.progress import Progress


def test_the_plan_is_reported_in_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    extraction = ExtractionProgress(Progress())
    outcome = Outcome("run", listed=12, new=3, changed=2, retried=1, unchanged=6, gone=4)
    extraction.plan(outcome.planned, 6)
    outcome.kept = 5
    extraction.plan(outcome.planned, 1)
    first = "12 files: 3 new, 2 changed, 1 to retry, 6 unchanged, 4 gone"
    assert capsys.readouterr().err == f"{first}\n{first}, 5 finished by an earlier run\n"


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    extraction = ExtractionProgress(Progress())
    extraction.plan("10 files", 10)
    extraction.begin("http://127.0.0.1:8787/status")
    capsys.readouterr()
    extraction.advance(Summary("done", extracted=3, failures={"empty": 1}, audio_s=900.0))
    for moment in (1001.0, 1010.0, 1014.9, 1015.0, 1016.0, 1029.9, 1030.0):
        now = moment
        extraction.tick(2)
    # 900 s of audio in 15 s are 60 x realtime; 4 of 10 files in 15 s leave 22.5 s for 6.
    assert capsys.readouterr().err.splitlines() == [
        "4 of 10 files, 1 failed, 60 x realtime, 22 s left",
        "4 of 10 files, 1 failed, 30 x realtime, 45 s left",
    ]


def test_a_cluster_without_workers_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    extraction = ExtractionProgress(Progress())
    extraction.begin("http://127.0.0.1:8787/status")
    now = 100.0
    extraction.tick(0)
    err = capsys.readouterr().err
    assert "0 of 0 files, 0 failed; the cluster has no worker, waiting" in err
