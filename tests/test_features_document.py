"""docs/features.md names every column of every feature set, with its unit, block and source."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurizer.feature_set import feature_set, feature_sets

DOCUMENT = (Path(__file__).parents[1] / "docs/features.md").read_text(encoding="utf-8")
Described = tuple[str, str, str, str]  # name, block, unit, source


def expand(pattern: str) -> Iterator[str]:
    """Yield what a shell makes of ``name{00..12}_{mean,var}``."""
    parts = []
    for text, braces in re.findall(r"([^{]*)(?:\{([^}]*)\})?", pattern):
        alternatives = braces.split(",")
        if ".." in braces:
            first, last = braces.split("..")
            numbers = range(int(first), int(last) + 1)
            alternatives = [f"{number:0{len(first)}}" for number in numbers]
        parts += [[text], alternatives]
    return map("".join, itertools.product(*parts))


def sources() -> dict[str, str]:
    listed = DOCUMENT.split("\n## Sources\n")[1]
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", listed, re.MULTILINE))


def described_columns(section: str) -> list[Described]:
    """Return the columns of all tables of a section; a heading is the block of its tables."""
    found: list[Described] = []
    text = DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    known, block = sources(), ""
    for line in text.splitlines():
        if line.startswith("### "):
            block = line.removeprefix("### ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| `"):
            continue
        patterns = re.findall("`([^`]+)`", cells[0])
        of_row = block or cells.pop(1)
        units = cells[1].split(", ")
        for pattern, unit in zip(patterns, units, strict=True):
            found += [(name, of_row, unit, known[cells[-1]]) for name in expand(pattern)]
    return found


@pytest.mark.parametrize("name", ["gtzan", "rich"])
def test_every_column_is_described_once_with_its_unit_block_and_source(name: str) -> None:
    expected = [(one.name, one.block, one.unit, one.source) for one in feature_set(name).columns]
    assert sorted(described_columns(name)) == sorted(expected)


def test_every_set_and_size_of_a_block_is_described() -> None:
    for name, found in feature_sets().items():
        assert f"| `{name}` | {len(found.columns)} |" in DOCUMENT
    blocks = [column.block for column in feature_set("rich").columns]
    for block in set(blocks):
        assert f"### {block}\n\n{blocks.count(block)} columns: " in DOCUMENT


def test_every_source_belongs_to_a_column() -> None:
    used = {column.source for found in feature_sets().values() for column in found.columns}
    assert set(sources().values()) == used
