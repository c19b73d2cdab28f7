"""Keys of an object store, which are literal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.literal_store import literal_store

from jobs.errors import UsageError
from jobs.inputs.listing import list_sources
from jobs.inputs.recordings import open_recording

KEYS = [
    *("Album [2001]/one.wav", "Album [2001]/.one.wav", "Album 2/one.wav", "Album 2/two?.wav"),
    *("a/one.wav", "a//one.wav", "a//b//two.wav", "/lead.wav", "a/./one.wav", "a/../one.wav"),
    *("take?versionId=7.wav", "take", "take?x=y.wav", "take*.wav", "take1.wav", "100%25 +#.wav"),
    *("back\\slash.wav", "a:b/c::d.wav", "me@home/x.wav", "caf\xe9/\N{GUITAR} .wav"),
]


@pytest.fixture(scope="module", autouse=True)
def _store() -> Iterator[None]:
    with literal_store({key: f"this is {key}".encode() for key in KEYS}):
        yield


def listed(source: str) -> dict[str, str]:
    """Return the keys that a source lists, by track; each must open as itself."""
    found = {}
    for recording in list_sources([source]).recordings():
        assert recording.uri.startswith("s3://music/")
        key = recording.uri.removeprefix("s3://music/")
        with open_recording(recording.path) as file:
            assert not isinstance(file, str)
            assert file.read().decode() == f"this is {key}"
        assert recording.size == len(f"this is {key}".encode())
        found[recording.track_id] = key
    return found


def test_every_key_of_a_bucket_is_listed_and_opened_as_itself() -> None:
    keys = [key for key in KEYS if key.endswith(".wav") and "/." not in key]
    assert listed("s3://music") == {key: key for key in keys}


@pytest.mark.parametrize("key", [key for key in KEYS if key.endswith(".wav")])
def test_the_address_of_an_object_is_literal(key: str) -> None:
    assert listed(f"s3://music/{key}") == {key.rpartition("/")[2]: key}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Album [2001]", {"one.wav": "Album [2001]/one.wav"}),
        ("Album [2001]/", {"one.wav": "Album [2001]/one.wav"}),
        ("a/", {key[2:]: key for key in ("a/one.wav", "a//one.wav", "a//b//two.wav")}),
        ("a//", {key[3:]: key for key in ("a//one.wav", "a//b//two.wav")}),
        ("Album [0-9]", {}),
        (
            "Album [0-9]/*",
            {"Album 2/one.wav": "Album 2/one.wav", "Album 2/two?.wav": "Album 2/two?.wav"},
        ),
        ("Album [0-9]/two[?].wav", {"Album 2/two?.wav": "Album 2/two?.wav"}),
        ("Album*/**/one.wav", {key: key for key in ("Album [2001]/one.wav", "Album 2/one.wav")}),
        ("Album*/.one.wav", {"Album [2001]/.one.wav": "Album [2001]/.one.wav"}),
        ("**/c::d.wav", {"a:b/c::d.wav": "a:b/c::d.wav"}),
        ("take?.wav", {key: key for key in ("take*.wav", "take1.wav")}),
    ],
)
def test_a_name_is_a_glob_only_if_there_is_no_such_object(
    source: str, expected: dict[str, str]
) -> None:
    if not expected:
        with pytest.raises(UsageError, match="no recording was found"):
            listed(f"s3://music/{source}")
        return
    assert listed(f"s3://music/{source}") == expected


def test_a_list_names_objects_literally(tmp_path: Path) -> None:
    keys = ["Album [2001]/one.wav", "a//one.wav", "take?versionId=7.wav", "take"]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(f"s3://music/{key}" for key in keys))
    assert listed(str(path)) == {f"music/{key}": key for key in keys}
