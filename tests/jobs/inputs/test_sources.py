"""Recordings that sources list, against lists written by hand."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.errors import UsageError
from jobs.inputs.listing import Listing, list_sources
from jobs.inputs.path_text import from_text, to_text
from jobs.inputs.patterns import Patterns
from jobs.inputs.sources import is_visible, refresh

MakeTree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> MakeTree:
    """Make files of one byte, named by their paths, in a folder."""

    def make(*names: str, root: str = "music") -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path / root

    return make


def listing_of(*sources: object) -> Listing:
    return list_sources([str(source) for source in sources])


def ids(*sources: object) -> list[str]:
    return [recording.track_id for recording in listing_of(*sources).recordings()]


# Folders


def test_a_folder_is_walked_and_the_suffix_decides_in_any_case(tree: MakeTree) -> None:
    names = ["a.wav", "rock/b.FLAC", "rock/live/c.Mp3", "d.m4a", "e.au"]
    others = ["cover.jpg", "notes.txt", "wav", "list.m3u", "a.wav.part", "rock/x"]
    assert ids(tree(*names, *others)) == sorted(names)


def test_a_recording_has_its_absolute_path_size_and_microseconds(
    tree: MakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("rock/b.wav")
    (root / "rock/b.wav").write_bytes(b"12345")
    os.utime(root / "rock/b.wav", ns=(0, 1_700_000_000_123_456_789))
    monkeypatch.chdir(root.parent)
    listing = listing_of("music/../music/")
    (recording,) = listing.recordings()
    assert listing.sources == [str(root)]
    assert (recording.uri, recording.path) == (f"{root}/rock/b.wav", f"{root}/rock/b.wav")
    assert recording.source == str(root)
    assert (recording.size, recording.modified) == (5, 1_700_000_000_123_456)


def test_hidden_files_folders_and_appledouble_twins_are_left_out(tree: MakeTree) -> None:
    root = tree("a.wav", "._a.wav", ".b.wav", ".Trash/c.wav", "x/.AppleDouble/a.wav", "x/._d.wav")
    assert ids(root) == ["a.wav"]
    # A hidden folder is listed if it is the source.
    assert ids(tree("a.wav", root=".music")) == ["a.wav"]


def test_links_to_files_and_folders_are_followed_and_cycles_end(tree: MakeTree) -> None:
    root = tree("a/one.wav", "b/two.wav")
    elsewhere = tree("three.wav", root="elsewhere")
    (root / "a/self").symlink_to(".")
    (root / "a/up").symlink_to("..")
    (root / "away").symlink_to(elsewhere)
    (root / "link.wav").symlink_to("a/one.wav")
    (root / "loop").symlink_to("loop")
    assert ids(root) == ["a/one.wav", "away/three.wav", "b/two.wav", "link.wav"]


def test_a_dangling_link_and_a_pipe_are_listed_so_that_they_fail(tree: MakeTree) -> None:
    root = tree("a.wav")
    (root / "lost.wav").symlink_to("nowhere.wav")
    os.mkfifo(root / "pipe.wav")
    found = {r.track_id: (r.size, r.modified) for r in listing_of(root).recordings()}
    assert found.keys() == {"a.wav", "lost.wav", "pipe.wav"}
    assert found["lost.wav"] == found["pipe.wav"] == (None, None)
    assert ids(root / "lost.wav") == ["lost.wav"]


def test_a_folder_named_like_a_recording_is_one_if_empty_and_walked_if_not(tree: MakeTree) -> None:
    root = tree("album.wav/a.wav", "b.wav")
    (root / "x.wav").mkdir()
    assert ids(root) == ["album.wav/a.wav", "b.wav", "x.wav"]
    assert ids(root / "album.wav") == ["a.wav"]


def test_names_may_hold_anything(tree: MakeTree) -> None:
    names = [
        "a\nb.wav",
        "'single' \"double\".wav",
        "\N{GUITAR} \xe9.wav",
        "-rf.wav",
        "[x]*?.wav",
    ]
    names += [" leading and trailing .wav", "tab\t.wav", "back\\slash.wav", "100%.wav", "a:b.wav"]
    root = tree(*names)
    assert ids(root) == sorted(names)
    for name in names:
        assert ids(root / name) == [name]


def test_a_name_that_is_no_utf8_is_listed_as_text_and_can_be_opened(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    Path(os.fsdecode(folder + b"/\xff\xfe.wav")).write_bytes(b"123")
    (recording,) = listing_of(tmp_path).recordings()
    assert recording.track_id == r"caf\xe9/\xff\xfe.wav"
    assert recording.uri == f"{tmp_path}/" + r"caf\xe9/\xff\xfe.wav"
    assert Path(recording.path).read_bytes() == b"123"
    (recording,) = listing_of(os.fsdecode(folder)).recordings()
    assert (recording.track_id, recording.size) == (r"\xff\xfe.wav", 3)
    # Workers receive the source as text, and must find it.
    assert is_visible(recording.source)
    (tmp_path / "list.m3u").write_bytes(b"caf\xe9/\xff\xfe.wav\n")
    (recording,) = listing_of(tmp_path / "list.m3u").recordings()
    assert (recording.track_id, recording.size) == (r"caf\xe9/\xff\xfe.wav", 3)


def test_a_byte_and_the_text_of_its_escape_are_two_names(tmp_path: Path) -> None:
    names = [b"\xff.wav", rb"\xff.wav", rb"\x5cxff.wav", rb"\x5c.wav", rb"\\xff.wav", rb"AC\DC.wav"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    found = list(listing_of(tmp_path).recordings())
    assert sorted(Path(one.path).read_bytes() for one in found) == sorted(names)
    # Stores of older versions have these names.
    for name, text in ((names[0], r"\xff.wav"), (names[5], r"AC\DC.wav")):
        (one,) = (
            one for one in found if one.path == os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
        )
        assert (one.track_id, one.uri) == (text, f"{tmp_path}/{text}")


@given(st.binary() | st.text(st.sampled_from("\\x5cf")).map(str.encode))
@example(rb"\x5" + b"\xff")
def test_a_path_can_be_read_from_its_text(path: bytes) -> None:
    text = to_text(path.decode(errors="surrogateescape"))
    text.encode()
    assert from_text(text).encode(errors="surrogateescape") == path


# Files


def test_a_file_is_its_own_track_whatever_its_suffix(tree: MakeTree) -> None:
    root = tree("rock/a.wav", "rock/take 2", "rock/b.wav")
    assert ids(root / "rock/a.wav") == ["a.wav"]
    assert ids(root / "rock/take 2") == ["take 2"]


def test_a_file_address_is_a_path(tree: MakeTree) -> None:
    root = tree("rock/a.wav")
    assert ids(f"file://{root}") == ["rock/a.wav"]
    assert listing_of(f"file://{root}").sources == [str(root)]


# Globs


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.wav", ["a.wav"]),
        ("*/*.wav", ["live/d.wav", "rock/b.wav"]),
        ("**/*.wav", ["a.wav", "live/d.wav", "rock/80s/c.wav", "rock/b.wav"]),
        ("**", ["a.wav", "live/d.wav", "rock/80s/c.wav", "rock/b.mp3", "rock/b.wav"]),
        ("ro*/**/*.wav", ["rock/80s/c.wav", "rock/b.wav"]),
        ("*/b.*", ["rock/b.mp3", "rock/b.wav"]),
        ("[a-l]*/?.wav", ["live/d.wav"]),
        ("**/80s/*", ["rock/80s/c.wav"]),
        ("**/.h/*.wav", [".h/hidden.wav"]),
    ],
)
def test_a_glob_lists_what_it_matches(tree: MakeTree, pattern: str, expected: list[str]) -> None:
    root = tree(
        *("a.wav", "rock/b.wav", "rock/b.mp3", "rock/80s/c.wav", "live/d.wav", "cover.jpg"),
        *("._a.wav", ".h/hidden.wav", "rock/.b.wav"),
    )
    assert ids(f"{root}/{pattern}") == expected


def test_a_globs_root_is_what_stands_before_its_first_wildcard(tree: MakeTree) -> None:
    root = tree("rock/80s/c.wav", "rock/90s/c.wav")
    listing = listing_of(f"{root}/rock/*/c.wav")
    assert [r.track_id for r in listing.recordings()] == ["80s/c.wav", "90s/c.wav"]
    assert listing.sources == [f"{root}/rock/*/c.wav"]
    assert is_visible(f"{root}/rock/*/c.wav")
    assert not is_visible(f"{root}/elsewhere/*/c.wav")


def test_a_name_with_wildcards_that_is_there_is_no_glob(tree: MakeTree) -> None:
    root = tree("[live]/a.wav", "l/b.wav")
    assert ids(root / "[live]") == ["a.wav"]
    assert ids(f"{root}/[[]live]/*.wav") == ["[live]/a.wav"]


# List files


def listed_in(folder: Path, name: str, text: bytes) -> list[str]:
    (folder / name).write_bytes(text)
    return ids(folder / name)


@pytest.mark.parametrize("name", ["list.txt", "LIST.TXT", "list.lst", "list.m3u", "list.m3u8"])
def test_a_list_holds_a_path_a_line(tree: MakeTree, name: str) -> None:
    root = tree("rock/a.wav", "b.wav", "not listed.wav", "c d.wav")
    elsewhere = tree("e.wav", root="elsewhere")
    text = f"rock/a.wav\r\n\r\n./b.wav\n   \nc d.wav\n{elsewhere}/e.wav".encode()
    expected = ["b.wav", "c d.wav", "rock/a.wav", f"{elsewhere}/e.wav".lstrip("/")]
    assert listed_in(root, name, text) == sorted(expected)


def test_a_number_sign_is_a_remark_in_playlists_alone(tree: MakeTree) -> None:
    root = tree("#1 hit.wav", "b.wav")
    text = b"\xef\xbb\xbf#EXTM3U\n#EXTINF:30,Some One\nb.wav\n"  # after a byte order mark
    assert listed_in(root, "list.m3u", text) == ["b.wav"]
    assert listed_in(root, "list.txt", b"#1 hit.wav\nb.wav\n") == ["#1 hit.wav", "b.wav"]


def test_entries_of_a_list_need_no_audio_suffix(tree: MakeTree) -> None:
    root = tree("take 2", "rock/a.wav")
    text = b"take 2\nmissing.wav\nrock/../rock/a.wav\nrock\n"
    assert listed_in(root, "list.txt", text) == ["missing.wav", "rock", "rock/a.wav", "take 2"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a.wav\nb.wav\n".encode("utf-16"), r"list\.txt, line 1,.*UTF-8"),
        (b"a.wav\nnonsense://x/b.wav\n", r"nonsense://x/b\.wav.*cannot be reached"),
        (b"\n", "no recording was found"),
    ],
)
def test_a_list_without_recordings_is_refused(tree: MakeTree, text: bytes, error: str) -> None:
    root = tree("a.wav")
    with pytest.raises(UsageError, match=error):
        listed_in(root, "list.txt", text)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (b"rock%20live/caf%C3%A9.wav", "rock live/caf\xe9.wav"),
        (b"rock%20live/caf%E9.wav", "rock live/caf\xe9.wav"),
        (b"rock live/caf\xe9.wav", "rock live/caf\xe9.wav"),
        (b"rock live/\x93caf\xe9\x94.wav", "rock live/\u201ccaf\xe9\u201d.wav"),
        (b"rock live\\caf\xc3\xa9.wav", "rock live/caf\xe9.wav"),
        (b".\\rock live\\caf\xe9.wav \t", "rock live/caf\xe9.wav"),
        (b"  a.wav  ", "a.wav"),
        (b"cafe\xcc\x81.wav", "caf\xe9.wav"),
        (b"caf\xc3\xa9.wav", "cafe\u0301.wav"),
        (b"file://ROOT/caf%C3%A9.wav", "caf\xe9.wav"),
        (b"file://localhostROOT/a%20b.wav\r", "a b.wav"),
        # What is there is literal.
        (b"a%20b.wav", "a%20b.wav"),
        (b"a.wav ", "a.wav "),
        (b"back\\slash.wav", "back\\slash.wav"),
    ],
)
def test_entries_are_found_as_players_write_them(tree: MakeTree, entry: bytes, name: str) -> None:
    root = tree(name, "a b.wav", "a.wav", "back/slash.wav")
    entry = entry.replace(b"ROOT", os.fsencode(root))
    (root / "list.m3u").write_bytes(b"#EXTM3U\n" + entry + b"\n")
    (recording,) = listing_of(root / "list.m3u").recordings()
    assert (recording.track_id, recording.size) == (name, 1)


def test_an_entry_that_no_reading_finds_is_literal(tree: MakeTree) -> None:
    root = tree("a.wav")
    assert listed_in(root, "list.m3u", b"x%20y.wav\nb\\c.wav\n") == ["b\\c.wav", "x%20y.wav"]


# Several sources


def test_a_recording_that_several_sources_list_is_one_track(tree: MakeTree) -> None:
    root = tree("rock/a.wav", "b.wav")
    listing = listing_of(root, root / "rock", root / "rock/a.wav", root)
    assert [(r.track_id, r.source) for r in listing.recordings()] == [
        ("b.wav", str(root)),
        ("rock/a.wav", str(root)),
    ]


def test_two_recordings_of_one_track_id_are_refused_and_named(tree: MakeTree) -> None:
    first, second = tree("a.wav", root="first"), tree("a.wav", root="second")
    with pytest.raises(UsageError) as refusal:
        listing_of(first, second)
    for part in ("'a.wav'", f"{first}/a.wav", f"{second}/a.wav"):
        assert part in str(refusal.value)


# Sources without recordings


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("/missing/music", "there is no /missing/music"),
        ("nonsense://x", "nonsense://x cannot be reached"),
        ("memory://nothing", "no recording was found in memory://nothing"),
    ],
)
def test_a_source_that_cannot_be_found_is_named(source: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        listing_of(source)


def test_a_source_without_a_recording_is_refused(tree: MakeTree) -> None:
    full = tree("a.wav")
    empty = tree("cover.jpg", root="empty")
    for sources in ([empty], [full, empty], [f"{full}/*.flac"], [f"{full}/x/*.wav"]):
        with pytest.raises(UsageError, match=r"no recording was found in .*Nothing was changed"):
            listing_of(*sources)


def test_patterns_choose_among_the_recordings_of_any_source(tree: MakeTree) -> None:
    folder = tree("rock/1.wav", "rock/live/2.wav", "jazz/3.mp3", "cover.jpg", ".hidden.wav")
    ignored: dict[str, str] = {}
    patterns = Patterns(exclude=["live", "*.mp3"])
    listing = list_sources([folder], patterns=patterns, on_ignored=ignored.__setitem__)
    assert [one.track_id for one in listing.recordings()] == ["rock/1.wav"]
    left_out = "left out by --include or --exclude"
    assert {path.removeprefix(f"{folder}/"): why for path, why in ignored.items()} == {
        "rock/live/2.wav": left_out,
        "jazz/3.mp3": left_out,
        "cover.jpg": "no recording, by its suffix",
        ".hidden.wav": "hidden",
    }
    patterns = Patterns(include=["jazz/*"])
    (found,) = list_sources([f"{folder}/**/*.mp3"], patterns=patterns).recordings()
    assert found.track_id == "jazz/3.mp3"
    with pytest.raises(UsageError, match="fit --include and --exclude"):
        list_sources([folder], patterns=Patterns(include=["pop"]))


def test_a_table_is_refused_with_the_command_that_imports_it(tree: MakeTree) -> None:
    table = f"{tree('my features.csv')}/my features.csv"
    with pytest.raises(UsageError, match=f"songmill import-features '{table}' --store STORE"):
        listing_of(table)


def test_a_known_source_without_a_recording_is_listed_as_empty(tree: MakeTree) -> None:
    root = tree("pop/a.wav", "rock/notes.txt")
    (root / "none.m3u").touch()
    sources = [str(root / "pop"), str(root / "rock"), str(root / "none.m3u"), f"{root}/*.wav"]
    sources.append("memory://nothing")
    listing = list_sources(sources, {*sources}.__contains__)
    assert listing.sources == sources
    assert listing.empty == sources[1:]
    with pytest.raises(UsageError, match="no recording was found in memory://nothing"):
        list_sources(sources, {*sources[:-1]}.__contains__)


@pytest.mark.parametrize("pattern", ["", "/**/*.wav", "/*/*.wav"])
def test_a_folder_that_cannot_be_listed_is_reported(
    tree: MakeTree, unlistable: Callable[[Path], None], pattern: str
) -> None:
    root = tree("blues/a.wav", "rock/b.wav")
    unlistable(root / "rock")
    listing = listing_of(f"{root}{pattern}")
    assert [r.track_id for r in listing.recordings()] == ["blues/a.wav"]
    assert listing.unlisted == [f"{root}/rock"]


def test_a_glob_does_not_look_where_it_cannot_match(
    tree: MakeTree, unlistable: Callable[[Path], None]
) -> None:
    root = tree("a.wav", "rock/b.wav", "blues/c.wav")
    unlistable(root / "rock")
    assert listing_of(f"{root}/*.wav").unlisted == []
    assert listing_of(f"{root}/b*/*.wav").unlisted == []


def test_a_source_folder_that_cannot_be_listed_is_refused(
    tree: MakeTree, unlistable: Callable[[Path], None]
) -> None:
    root = tree("a.wav")
    unlistable(root)
    with pytest.raises(UsageError, match="cannot be read"):
        listing_of(root)


def test_a_known_glob_is_refused_if_the_folder_above_it_is_gone(
    tree: MakeTree, tmp_path: Path
) -> None:
    rock = tree("rock/a.wav") / "rock"
    rock.rename(tmp_path / "away")
    with pytest.raises(
        UsageError, match=rf"the folder {rock} of .* cannot be read\. Check that it"
    ):
        list_sources([f"{rock}/*.wav"], lambda _: True)


# Addresses


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    for name in ("rock/a.wav", "rock/80s/b.mp3", "c.wav", "cover.jpg", ".trash/d.wav"):
        system.pipe(f"/bucket/{name}", name.encode())
    yield system
    system.rm("/bucket", recursive=True)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("memory://bucket", ["c.wav", "rock/80s/b.mp3", "rock/a.wav"]),
        ("memory://bucket/", ["c.wav", "rock/80s/b.mp3", "rock/a.wav"]),
        ("memory://bucket/rock", ["80s/b.mp3", "a.wav"]),
        ("memory://bucket/*/a.wav", ["rock/a.wav"]),
        ("memory://bucket/**/*.mp3", ["rock/80s/b.mp3"]),
        ("memory://bucket/**", ["c.wav", "rock/80s/b.mp3", "rock/a.wav"]),
        ("memory://bucket/rock/a.wav", ["a.wav"]),
    ],
)
def test_an_address_lists_as_a_folder_does(source: str, expected: list[str]) -> None:
    listing = listing_of(source)
    assert [r.track_id for r in listing.recordings()] == expected
    for recording in listing.recordings():
        with fsspec.open(recording.path, "rb") as file:
            content = file.read()
        assert content.endswith(recording.track_id.encode())
        assert recording.size == len(content)
        assert recording.modified is not None
        assert recording.uri.startswith("memory://bucket/")


@pytest.mark.usefixtures("bucket")
def test_a_list_may_hold_addresses(tree: MakeTree) -> None:
    root = tree("a.wav")
    text = b"a.wav\nmemory://bucket/rock/a.wav\nmemory://bucket/missing.wav\n"
    (root / "list.txt").write_bytes(text)
    found = {r.track_id: r.size for r in listing_of(root / "list.txt").recordings()}
    assert found == {"a.wav": 1, "bucket/rock/a.wav": 10, "bucket/missing.wav": None}


def test_recordings_keep_the_host_of_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        """A file system with paths that lack the host, as in sftp."""

        def find(self, path: str, **_: object) -> dict[str, dict[str, object]]:
            return {f"{path}/rock/a.wav": {"type": "file", "size": 3}}

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda _: (Host(), "/collection"))
    (recording,) = listing_of("host://user@music.example/collection").recordings()
    assert recording.uri == "host://user@music.example/collection/rock/a.wav"
    assert recording.track_id == "rock/a.wav"


# Current state


def test_refresh_sees_what_has_changed_since(tree: MakeTree) -> None:
    root = tree("a.wav", "b.wav")
    first, second = listing_of(root).recordings()
    (root / "a.wav").write_bytes(b"longer")
    (root / "b.wav").unlink()
    assert refresh(first).size == 6
    assert (refresh(second).size, refresh(second).modified) == (None, None)
    assert refresh(second).track_id == "b.wav"


def test_refresh_leaves_an_address_as_it_was_listed(bucket: fsspec.AbstractFileSystem) -> None:
    (recording,) = listing_of("memory://bucket/c.wav").recordings()
    bucket.rm("/bucket/c.wav")
    assert refresh(recording) == recording


def test_existing_paths_and_all_addresses_are_visible(tree: MakeTree) -> None:
    root = tree("a.wav")
    assert is_visible(str(root))
    assert is_visible(str(root / "a.wav"))
    assert not is_visible(str(root / "missing"))
    assert is_visible("s3://bucket/prefix")
