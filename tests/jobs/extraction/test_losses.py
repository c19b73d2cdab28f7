"""The limit on files that leave a store at once, with real folders and lists."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.made_listings import listing_of
from support.made_stores import make_store, put

from jobs.extraction.known_files import load_known
from jobs.extraction.losses import knows_source, too_many_gone
from jobs.inputs.listing import Listing, list_sources
from jobs.inputs.sources import SourceFile
from jobs.store.folder import Folder
from jobs.store.schemas import FILES


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Eight files of pop, seven of rock, three of them in a folder below."""
    root = tmp_path / "music"
    fill(root, "pop", 8)
    fill(root, "rock", 4)
    fill(root, "rock/live", 3)
    return root


def fill(root: Path, folder: str, count: int) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (root / folder / f"{Path(folder).name}{i}.wav").write_text("x")


def empty(folder: Path) -> None:
    """Empty a folder, as if a file system were no longer mounted there."""
    shutil.rmtree(folder)
    folder.mkdir()


def listed(*sources: Path | str) -> Listing:
    return list_sources([str(source) for source in sources], lambda _: True)


def known(listing: Listing) -> list[dict[str, Any]]:
    """Return the rows of ``files`` after an extraction."""
    return [row(one) for one in listing.recordings()]


def row(one: SourceFile) -> dict[str, Any]:
    found = {"track_id": one.track_id, "uri": one.uri, "source": one.source, "bytes": one.size}
    return {**found, "modified": datetime(2026, 1, 1, tzinfo=UTC), "status": "ok"}


def refusal(listing: Listing, rows: list[dict[str, Any]], max_gone: float = 0.1) -> str:
    load_known(listing, [pa.Table.from_pylist(rows, FILES)])
    return too_many_gone(listing, max_gone)


def test_a_mount_that_is_gone_is_refused_and_its_folders_are_named(music: Path) -> None:
    rows = known(listed(music))
    assert refusal(listed(music), rows) == ""
    empty(music / "rock")
    found = refusal(listed(music), rows)
    assert f"7 of 15 known files of {music} are gone (46.7%), more than --max-gone 0.1" in found
    assert f"Without recordings now: {music}/rock. " in found
    assert "add --max-gone 1" in found
    assert refusal(listed(music), rows, 0.46) != ""
    assert refusal(listed(music), rows, 0.47) == refusal(listed(music), rows, 1.0) == ""


def test_the_topmost_empty_folders_are_named_and_not_too_many(music: Path) -> None:
    for i in range(9):
        fill(music, f"jazz/{i}", 1)
    rows = known(listed(music))
    shutil.rmtree(music / "rock/live")
    for i in range(1, 9):
        shutil.rmtree(music / f"jazz/{i}")
    assert f"now: {', '.join(f'{music}/jazz/{i}' for i in range(1, 6))} and 4 more." in refusal(
        listed(music), rows
    )
    shutil.rmtree(music / "jazz")
    assert f"now: {music}/jazz, {music}/rock/live." in refusal(listed(music), rows)
    # Single files leave no folder empty.
    for i in range(5):
        (music / f"pop/pop{i}.wav").unlink()
    fill(music, "rock/live", 3)
    fill(music, "jazz/0", 1)
    for i in range(1, 9):
        fill(music, f"jazz/{i}", 1)
    assert "5 of 24" in refusal(listed(music), rows)
    assert "Without recordings" not in refusal(listed(music), rows)


def test_a_few_files_may_always_go_unless_none_may(music: Path) -> None:
    rows = known(listed(music))
    shutil.rmtree(music / "rock/live")
    assert refusal(listed(music), rows) == refusal(listed(music), rows, 0.01) == ""
    assert "3 of 15" in refusal(listed(music), rows, 0.0)
    (music / "pop/pop0.wav").unlink()
    assert "4 of 15" in refusal(listed(music), rows)
    small = music / "pop"
    rows = known(listed(small))[:3]
    (small / "pop1.wav").unlink()
    assert refusal(listed(small), rows) == "", "one of three files"


def test_an_empty_source_is_refused_however_few_its_files_are(music: Path) -> None:
    live = music / "rock/live"
    rows = known(listed(live))
    empty(live)
    assert f"3 of 3 known files of {live} are gone (100.0%)" in refusal(listed(live), rows, 0.99)
    assert f"now: {live}." in refusal(listed(live), rows)
    assert refusal(listed(live), rows, 1.0) == ""
    assert refusal(listed(live), []) == ""


def test_every_source_is_judged_by_itself(music: Path) -> None:
    pop, rock, live = (music / name for name in ("pop", "rock", "rock/live"))
    fill(pop, "much", 100)
    rows = [row for one in (pop, rock) for row in known(listed(one))]
    empty(rock)
    # 7 of 115 files of both.
    found = refusal(listed(pop, rock), rows)
    assert f"7 of 7 known files of {rock} are gone" in found
    assert f"of {pop} " not in found
    # Files of other sources do not count.
    assert refusal(listed(pop), rows) == ""
    fill(rock, "live", 3)
    assert refusal(listed(live), rows) == ""


def test_files_that_belong_to_another_source_now_are_not_gone(music: Path) -> None:
    rows = known(listed(music / "rock"))
    assert refusal(listed(music, music / "rock"), rows) == ""
    for one in (music / "rock").rglob("*.wav"):
        one.rename(music / f"new {one.name}")
    assert "7 of 7 known files" in refusal(listed(music, music / "rock"), rows)


def test_a_list_of_files_that_are_not_there_is_as_good_as_none(music: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.m3u"
    names.write_text(
        "\n".join(f"music/{one}/{one}{i}.wav" for one in ("pop", "rock") for i in range(4))
    )
    (music / "pop/pop3.wav").unlink()
    rows = known(listed(names))
    assert refusal(listed(names), rows) == "", "it was missing before"
    empty(music / "rock")
    found = refusal(listed(names), rows)
    assert f"4 of 8 known files of {names} are gone" in found
    assert f"now: {music}/rock." in found
    names.write_text("")
    assert f"8 of 8 known files of {names} are gone" in refusal(listed(names), rows)


def test_a_glob_is_a_source_like_others(music: Path) -> None:
    pattern = f"{music}/*/*.wav"
    rows = known(listed(pattern))
    empty(music / "rock")
    assert f"4 of 12 known files of {pattern} are gone" in refusal(listed(pattern), rows)
    empty(music / "pop")
    assert f"now: {music}/pop, {music}/rock." in refusal(listed(pattern), rows)


def test_a_folder_that_cannot_be_listed_is_not_gone(music: Path) -> None:
    rows = known(listed(music))
    empty(music / "rock")
    listing = listed(music)
    listing.unlisted.append(f"{music}/rock")
    assert refusal(listing, rows) == ""


def test_addresses_are_sources_like_others() -> None:
    source = "s3://bucket/in"
    names = [f"{folder}/{i}.wav" for folder in ("pop", "rock") for i in range(5)]
    there = [SourceFile(t, f"{source}/{t}", source, f"{source}/{t}", 1, 1) for t in names]
    rows = [row(one) for one in there]
    found = refusal(listing_of(there[:5], [source]), rows)
    assert "5 of 10 known files of s3://bucket/in are gone" in found
    assert "now: s3://bucket/in/rock." in found
    assert "now: s3://bucket/in." in refusal(Listing([source], empty=[source]), rows)
    # A web server that tells no size any more has lost nothing.
    web = [
        SourceFile(t, f"https://h/{t}", "https://h", f"https://h/{t}", None, None) for t in names
    ]
    rows = [{**row(one), "bytes": 1} for one in web]
    assert refusal(listing_of(web, ["https://h"]), rows) == ""


def test_a_source_is_known_by_its_public_address(tmp_path: Path) -> None:
    assert not knows_source(Folder(str(tmp_path / "store")), "/music")
    store = make_store(tmp_path / "store")
    assert not knows_source(store.storage, "/music")
    # An older songmill stored the password.
    put(store, "files", [{"source": "https://me:secret@h/x"}, {"source": "/music"}], FILES)
    for source in ("/music", "https://h/x"):
        assert knows_source(store.storage, source)
    assert not knows_source(store.storage, "/mus")
