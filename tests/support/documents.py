"""The code in README and in docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = (README, *sorted((ROOT / "docs").glob("*.md")))


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language; those without any have the language ""."""
    text = document.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE)
    return [block for found, block in fenced if found == language]


def commands(document: Path) -> list[str]:
    """Return the command lines of songmill in blocks and in the text."""
    lines = [
        line
        for name in ("", "console")
        for one in blocks(document, name)
        for line in one.splitlines()
    ]
    lines += re.findall(r"`(songmill [^`\n]*)`", document.read_text(encoding="utf-8"))
    found = (re.match(r"(?:\$ )?(?:\S*/)?(songmill .*)", line) for line in lines)
    return [match[1] for match in found if match]
