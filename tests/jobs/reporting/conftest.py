"""Pages are written without drawing their pictures."""

import pytest

from pages import picture


@pytest.fixture(autouse=True)
def _nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "_png", lambda *_: (b"png", picture.Box(0, 0, 1, 1)))
