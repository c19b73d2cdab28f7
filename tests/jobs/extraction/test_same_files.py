"""Files that have several names: links, sources within others, names of older stores."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.made_stores import make_store, put

from jobs.extraction.known_files import load_known
from jobs.extraction.same_files import (
    leave_each_file_once,
    remove_repeats,
    restore_known_names,
)
from jobs.inputs.listing import Listing, list_sources
from jobs.store.folder import Folder
from jobs.store.schemas import FILES
from jobs.store.tables import current_settings

NONE = FILES.empty_table()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Two albums; a link to one of them, one to a file, one from outside."""
    root = tmp_path / "music"
    for name in ("blues/1.wav", "rock/1.wav", "rock/2.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "a best of").symlink_to("rock")
    (root / "blues/0.wav").symlink_to("../rock/2.wav")
    (tmp_path / "link").symlink_to(root)
    return root


def known(**rows: str | Path) -> pa.Table:
    """Rows of ``files``: the file of each track, whose source is its folder."""
    listed = [
        {"track_id": track, "uri": str(uri), "source": os.path.dirname(uri)}
        for track, uri in rows.items()
    ]
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in FILES.names} for row in listed], schema=FILES
    )


def kept(listing: Listing, files: pa.Table = NONE) -> tuple[list[str], list[str]]:
    """Return the tracks that stay, and the warnings."""
    warnings: list[str] = []
    load_known(listing, [files])
    remove_repeats(listing, warnings.append)
    return ids(listing), warnings


def ids(listing: Listing) -> list[str]:
    return [one.track_id for one in listing.recordings()]


def test_a_file_with_several_paths_is_kept_under_its_own(music: Path) -> None:
    for root in (music, music.parent / "link"):
        tracks, (warning,) = kept(list_sources([root]))
        assert tracks == ["blues/1.wav", "rock/1.wav", "rock/2.wav"]
        assert "another name: 3" in warning
        assert f"{root}/a best of/1.wav, which is the track 'rock/1.wav'" in warning


def test_links_to_what_no_source_lists_stay(music: Path) -> None:
    (music / "rock").rename(music.parent / "elsewhere")
    (music / "rock").symlink_to("../elsewhere")
    (music / "a best of").unlink()
    tracks, warnings = kept(list_sources([music]))
    assert (len(tracks), len(warnings)) == (3, 1)
    assert {"rock/1.wav", "rock/2.wav"} & set(tracks) == {"rock/1.wav"}


def test_one_folder_by_two_paths_is_one_source(music: Path) -> None:
    listing = list_sources([music / "rock", music.parent / "link/rock"])
    assert [one.uri for one in listing.recordings()] == [f"{music}/rock/{i}.wav" for i in (1, 2)]


def test_a_list_may_name_a_file_twice(music: Path) -> None:
    path = music / "list.m3u"
    path.write_text("rock/1.wav\na best of/1.wav\n")
    tracks, warnings = kept(list_sources([path]))
    assert (tracks, len(warnings)) == (["rock/1.wav"], 1)


def test_what_a_store_knows_by_another_source_is_left_out(music: Path) -> None:
    assert kept(list_sources([music / "rock"])) == (["1.wav", "2.wav"], [])
    files = known(**{"rock/1.wav": f"{music}/rock/1.wav"})
    files = files.set_column(2, "source", pa.array([str(music)]))
    assert kept(list_sources([music / "rock"]), files)[0] == ["2.wav"]
    (music.parent / "again").symlink_to("music/rock")
    tracks, (warning,) = kept(list_sources([music.parent / "again"]), files)
    assert tracks == ["2.wav"]
    assert "again/1.wav, which is the track 'rock/1.wav'" in warning
    # If its own source lists it no longer, it is gone, and takes the new name.
    assert kept(list_sources([music, music / "rock"]), files)[0] == [
        *("blues/1.wav", "rock/1.wav", "rock/2.wav"),
    ]


def test_what_a_store_knows_already_stays(music: Path) -> None:
    uris = {"a best of/1.wav": music / "a best of/1.wav", "rock/1.wav": music / "rock/1.wav"}
    tracks, _ = kept(list_sources([music]), known(**uris))
    assert tracks == ["a best of/1.wav", "blues/1.wav", "rock/1.wav", "rock/2.wav"]
    tracks, _ = kept(list_sources([music]), known(**{"a best of/1.wav": uris["a best of/1.wav"]}))
    assert tracks == ["a best of/1.wav", "blues/1.wav", "rock/2.wav"]


def test_names_of_an_older_store_stay(tmp_path: Path) -> None:
    (tmp_path / r"\xff.wav").touch()
    old = known(**{r"\xff.wav": rf"{tmp_path}/\xff.wav"})

    def restored(files: pa.Table) -> Listing:
        listing = list_sources([tmp_path])
        load_known(listing, [files])
        restore_known_names(listing)
        return listing

    assert ids(restored(NONE)) == [r"\x5cxff.wav"]
    (one,) = restored(old).recordings()
    assert (one.track_id, one.uri) == (r"\xff.wav", rf"{tmp_path}/\xff.wav")
    assert one.path == one.uri
    # The byte has the same name there.
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")).touch()
    assert ids(restored(old)) == [r"\x5cxff.wav", r"\xff.wav"]


def test_rows_that_a_run_replaces_are_not_known(music: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [("a", None)], level="track")
    row: dict[str, Any] = {"track_id": "a", "uri": f"{music}/rock/1.wav", "source": str(music)}
    put(store, "files", [row], FILES)

    def names(root: str, seconds: float, *sources: Path) -> list[str]:
        settings, storage = current_settings(["gtzan"], seconds), Folder(str(tmp_path / root))
        listing = list_sources(sources)
        leave_each_file_once(listing, storage, settings, lambda _: None)
        return ids(listing)

    assert names("s", 3.0, music / "rock") == ["2.wav"]
    assert names("s", 5.0, music / "rock") == ["1.wav", "2.wav"]
    assert names("none", 3.0, music / "rock") == ["1.wav", "2.wav"]
    assert names("s", 3.0, music) == ["blues/1.wav", "rock/1.wav", "rock/2.wav"]
