import pytest

import featurizer.deadline
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError


def test_it_stops_work_only_once_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(featurizer.deadline, "monotonic", lambda: now)
    deadline = Deadline(2.5)
    now = 1002.5
    deadline.check()
    now = 1002.6
    with pytest.raises(RecordingError, match=r"2\.5 seconds") as failure:
        deadline.check()
    assert failure.value.kind == "timeout"


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_at_all_is_a_mistake(seconds: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Deadline(seconds)
