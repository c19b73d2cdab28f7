"""Pages: all content is escaped, and the file is self-contained."""

import base64
import hashlib
import re
import sys

import numpy as np
import pytest
from support.read_page import Reader

from pages.models import confusion_matrix
from pages.page import (
    Card,
    Cell,
    Content,
    Line,
    Page,
    Recording,
    Section,
    Table,
    number,
    render,
)

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def html() -> str:
    picture = confusion_matrix([HOSTILE, "b"], np.array([[3, 9], [1, 4]]), HOSTILE)
    recording = Recording(HOSTILE, ["file:///a.wav", "b.opus"], 3.0)
    first = Cell(HOSTILE, colour="#0173b2", recording=recording)
    cells = [[first, number(3), Cell("x", subtext=HOSTILE, recording=recording)]]
    table = Table(HOSTILE, (HOSTILE, "n", "x"), cells, note=HOSTILE)
    collapsed = Table(f"{HOSTILE} collapsed", (HOSTILE, "n", "x"), cells, collapsed=True)
    card = Card(HOSTILE, HOSTILE, [Line(HOSTILE, "b"), Line(HOSTILE)])
    sections = [
        Section("c", "cards", Content(cards=[card])),
        Section("a", HOSTILE, Content(HOSTILE, facts=((HOSTILE, HOSTILE),), pictures=(picture,))),
        Section("b", "two", Content(tables=(table, collapsed), command=f"songmill {HOSTILE}")),
    ]
    return render(Page(HOSTILE, HOSTILE, sections)).decode()


def test_names_from_outside_are_escaped(html: str) -> None:
    page = Reader(html)
    assert "alert(1)" not in str(re.findall(r"<script>.*?</script>", html, re.DOTALL))
    assert page.text.count(HOSTILE) >= 15
    players = [one for one in page.every("span") if one.get("class") == "player"]
    assert [one["data-name"] for one in players] == [HOSTILE] * 4
    assert {one["data-addresses"] for one in players} == {"file:///a.wav b.opus"}
    assert any(HOSTILE in (image["alt"] or "") for image in page.every("img"))


def test_a_page_loads_nothing_and_its_policy_forbids_it(html: str) -> None:
    page = Reader(html)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert "@import" not in html
    assert "url(" not in html
    (policy,) = [meta["content"] for meta in page.every("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "; media-src 'self' file:;" in policy
    for tag in ("style", "script"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = [hashlib.sha256(body.encode()).digest() for body in bodies]
        hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
        assert f"; {tag}-src {' '.join(hashes)};" in policy


def test_every_picture_has_a_text_alternative_and_four_renderings(html: str) -> None:
    page = Reader(html)
    assert len(page.every("img")) == 1
    assert len(page.every("source")) == 3
    assert all(image["alt"] for image in page.every("img"))


def test_tables_have_headers_of_rows_and_columns_and_values_to_sort_by(html: str) -> None:
    page = Reader(html)
    scopes = [head["scope"] for head in page.every("th")]
    assert scopes == ["col", "col", "col", "row"] * 2
    values = [cell["data-value"] for cell in page.every("td") if "data-value" in cell]
    assert values == ["3.0", "3.0"]
    names = [caption["id"] for caption in page.every("caption")]
    assert len(set(names)) == len(names)
    assert [box["aria-labelledby"] for box in page.every("div") if box.get("role")] == names


def test_a_name_that_is_not_valid_text_is_shown_with_question_marks() -> None:
    name = b"\xff.wav".decode("utf-8", "surrogateescape")
    assert render(Page(name, name, [Section("a", "b", Content(name))])).count(b"?.wav") == 4


def test_a_missing_number_is_a_dash_below_all_others() -> None:
    assert number(None) == Cell("–", -sys.float_info.max)
