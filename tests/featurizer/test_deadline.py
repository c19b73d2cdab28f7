import pytest

import featurizer.deadline
from featurizer.deadline import Deadline
from featurizer.errors import RecordingError


def test_it_raises_only_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_limit_must_be_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Deadline(seconds)
