"""Recordings behind passwords and signatures: read, recognised, and no secret kept or shown."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command_line import Command
from support.guarded_server import GuardedServer, guarded_server
from support.recordings import write_recording

from jobs.store.manifest import MANIFEST
from pages import picture

SECRETS = ("s3cret-0", "s3cret-1")

Songmill = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GuardedServer]:
    """A server of four files; the last one is no recording."""
    for i, name in enumerate(("pop/a.wav", "pop/b.wav", "rock/c.wav")):
        write_recording(tmp_path / "music" / name, i)
    (tmp_path / "music/rock/d.wav").write_text("no recording")
    with guarded_server(tmp_path / "music") as found:
        found.password = SECRETS[0]
        found.signatures = {SECRETS[0]}
        yield found


@pytest.fixture
def songmill(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process_cluster: str
) -> Songmill:
    """Run a command in an own folder; neither its output nor any file there has a secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", in_process_cluster)
    # Nobody could find a secret in the pixels.
    monkeypatch.setattr(picture, "_png", lambda *_: (b"png", picture.Box(0, 0, 1, 1)))

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = command(*arguments)
        everything = [out, err, *contents()]
        assert not [text for text in everything if "s3cret" in text]
        assert "Traceback" not in err
        return code, out, err

    return run


def contents() -> Iterator[str]:
    """Names and contents of all files in the working directory but the list of sources."""
    for path in Path().rglob("*"):
        yield str(path)
        if path.suffix == ".parquet":
            yield str(pq.read_table(path, partitioning=None).to_pylist())
        elif path.is_file() and path.name != "list.txt":
            yield path.read_bytes().decode("utf-8", "replace")


def extract(songmill: Songmill, *sources: str) -> dict[str, Any]:
    options = ("--store", "store", "--segment-seconds", 0.5, "--max-failed", 1, "--json")
    code, out, _ = songmill("extract", *sources, *options)
    assert code == 0
    return dict(json.loads(out))


def files() -> pd.DataFrame:
    return pd.read_parquet("store/files").set_index("track_id").sort_index()


def signed(server: GuardedServer, name: str, secret: str = SECRETS[0]) -> str:
    return f"http://{server.host}/{name}?Expires=60&X-Signature={secret}"


def test_a_folder_behind_a_password(server: GuardedServer, songmill: Songmill) -> None:
    root = f"http://{server.host}"
    found = extract(songmill, f"http://me:{SECRETS[0]}@{server.host}")
    assert (found["extracted"], found["failures"]) == (3, {"unreadable": 1})
    assert list(files().index) == ["pop/a.wav", "pop/b.wav", "rock/c.wav", "rock/d.wav"]
    assert set(files()["source"]) == {root}
    assert list(files()["uri"]) == [f"{root}/{track}" for track in files().index]
    # The next night, with the same password and with a new one
    for secret in SECRETS:
        server.password = secret
        found = extract(songmill, f"http://me:{secret}@{server.host}")
        assert (found["unchanged"], found["new"], found["changed"], found["gone"]) == (4, 0, 0, 0)
    (server.folder / "pop/b.wav").unlink()
    assert extract(songmill, f"http://me:{SECRETS[1]}@{server.host}")["gone"] == 1
    for name in ("files", "features"):
        code, _, _ = songmill("export", name, "--store", "store", "--to", f"{name}.csv")
        assert code == 0
    assert songmill("report", "--store", "store")[0] == 0
    assert songmill("status", "--store", "store", "--failed")[0] == 0


def test_signed_addresses(server: GuardedServer, songmill: Songmill) -> None:
    for night, secret in enumerate((SECRETS[0], *SECRETS)):
        server.signatures = {secret}
        names = ("pop/a.wav", "rock/d.wav")
        Path("list.txt").write_text("\n".join(signed(server, name, secret) for name in names))
        found = extract(songmill, signed(server, "pop/b.wav", secret), "list.txt")
        assert (found["new"], found["unchanged"]) == ((3, 0) if night == 0 else (0, 3))
    host = server.host
    assert list(files().index) == sorted([f"{host}/pop/a.wav", f"{host}/rock/d.wav", "b.wav"])
    assert files()["uri"]["b.wav"] == f"http://{host}/pop/b.wav"
    assert files()["source"]["b.wav"] == f"http://{host}/pop/b.wav"
    assert files()["status"].to_dict()[f"{host}/rock/d.wav"] == "failed"
    assert list(files()["bytes"]) == [
        (server.folder / uri.removeprefix(f"http://{host}/")).stat().st_size
        for uri in files()["uri"]
    ]
    # A file that changes is extracted again
    write_recording(server.folder / "pop/b.wav", 9)
    assert extract(songmill, signed(server, "pop/b.wav", SECRETS[1]))["changed"] == 1
    assert f"GET /pop/b.wav?Expires=60&X-Signature={SECRETS[1]}" in server.requests


def test_a_signature_that_expired_changes_nothing(
    server: GuardedServer, songmill: Songmill
) -> None:
    extract(songmill, signed(server, "pop/a.wav"))
    before = files()
    server.signatures = set()
    code, _, err = songmill("extract", signed(server, "pop/a.wav"), "--store", "store")
    assert (code, f"http://{server.host}/pop/a.wav cannot be listed: 403" in err) == (1, True)
    pd.testing.assert_frame_equal(files(), before)


def test_queries_of_single_recordings(server: GuardedServer, songmill: Songmill) -> None:
    address = signed(server, "pop/a.wav")
    extract(songmill, f"http://me:{SECRETS[0]}@{server.host}")
    code, out, _ = songmill("inspect", address, "--json")
    assert (code, json.loads(out)["facts"]["file"]) == (0, f"http://{server.host}/pop/a.wav")
    assert Path("inspect-a/index.html").is_file()
    code, out, _ = songmill("similar", address, "--store", "store", "--json")
    assert (code, json.loads(out)["file"]) == (0, f"http://{server.host}/pop/a.wav")
    for command in ("inspect", "similar"):
        options = ("--store", "store") if command == "similar" else ()
        code, _, err = songmill(command, signed(server, "rock/d.wav"), *options)
        assert code == 1
        assert f"http://{server.host}/rock/d.wav gives no features" in err


def test_a_store_of_an_older_version_loses_its_secrets(
    server: GuardedServer, songmill: Songmill
) -> None:
    source = f"http://me:{SECRETS[0]}@{server.host}"
    extract(songmill, source)
    for part in Path("store/files").glob("part-*"):
        rows = pq.read_table(part, partitioning=None)
        for name in ("uri", "source"):
            texts = [
                text.replace("http://", f"http://me:{SECRETS[0]}@")
                for text in rows[name].to_pylist()
            ]
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(texts))
        pq.write_table(rows, part)
    Path("store", MANIFEST).unlink()  # an older version has none
    (server.folder / "pop/b.wav").unlink()
    found = extract(songmill, source)
    assert (found["unchanged"], found["gone"], found["new"], found["changed"]) == (3, 1, 0, 0)


@pytest.mark.parametrize(
    "source",
    [
        "http://me:s3cret@{host}/nowhere",
        "http://me:s3cret-0@{host}/nowhere",
        "http://me:s3cret-0@{host}/nowhere/a.wav",
        "http://me:s3cret@127.0.0.1:9/music",
        "http:/me:s3cret@{host}/pop",
        "http//me:s3cret@{host}/pop",
        "nonsense://me:s3cret@{host}/pop?token=s3cret",
        "s3://KEY:s3cret/with/slashes@bucket/music",
        "http://{host}/nowhere?token=s3cret",
        "memory://nothing?token=s3cret",
    ],
)
def test_a_source_that_cannot_be_listed_is_shown_without_its_secret(
    server: GuardedServer, songmill: Songmill, source: str
) -> None:
    given = source.format(host=server.host)
    for command in ("extract", "run"):
        options = ("--log-format", "json") if command == "run" else ()
        code, _, err = songmill(command, given, "--store", "store", *options)
        assert code in (1, 2)
        assert re.search("cannot be|there is no|no recording|credentials", err)


def test_a_misspelt_address_in_a_list_is_refused(songmill: Songmill) -> None:
    Path("list.txt").write_text("a.wav\nhttps:/me:s3cret@host/a.wav\n")
    code, _, err = songmill("extract", "list.txt", "--store", "store")
    assert (code, "list.txt, line 2: there is no https:/host/a.wav." in err) == (2, True)


def test_two_addresses_that_differ_in_their_query_are_refused(
    server: GuardedServer, songmill: Songmill
) -> None:
    Path("list.txt").write_text("\n".join(signed(server, "pop/a.wav", s) for s in SECRETS))
    code, _, err = songmill("extract", "list.txt", "--store", "store")
    assert (code, "differ only in their user, password or query" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["extract", "x", "--store", "https://me:s3cret@host/store"],
        ["extract", "x", "--store", "s3://KEY:s3cret@bucket/store"],
        ["postgresql://me:s3cret@h/d"],
        ["status", "postgresql://me:s3cret@h/d", "--store", "store"],
        ["export", "https://me:s3cret@h/d", "--store", "store", "--to", "x.csv"],
        ["inspect", "http:/me:s3cret@h/d"],
        ["predict", "--store", "http:/me:s3cret@h/d", "x.wav"],
        ["extract", "x", "--store", "store", "--labels", "https://me:s3cret@h/d.csv"],
    ],
)
def test_errors_in_arguments_have_no_secret(songmill: Songmill, arguments: list[str]) -> None:
    assert songmill(*arguments)[0] in (1, 2)


def test_an_unforeseen_error_has_no_secret(
    songmill: Songmill, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("bad https://me:s3cret@host/x")

    monkeypatch.setattr("jobs.reporting.status.read_status", fail)
    code, _, err = command("status", "--store", "store")
    assert (code, err.splitlines()[-1]) == (1, "RuntimeError: bad https://host/x")
