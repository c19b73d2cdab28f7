"""Missing, unreadable and special files, and storage that fails."""

import errno
import io
import os
import socket

import pytest
from support.audio_files import SR, chord, decode_error, ffmpeg_bytes, sndfile_bytes

from featurizer.deadline import Deadline
from featurizer.decoding import decode
from featurizer.errors import RecordingError


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("nowhere.wav", "vanished", ""),
        ("file/below.wav", "vanished", ""),
        ("dangling.wav", "vanished", "link points to a file that does not exist"),
        ("loop.wav", "unreadable", ""),
        ("pipe.wav", "unreadable", "named pipe"),
        ("socket.wav", "unreadable", "socket"),
        (".", "unreadable", "folder"),
        ("/dev/zero", "unreadable", "device"),
    ],
)
def test_what_is_no_regular_file_is_a_failure(tmp_path, monkeypatch, path, kind, reason):
    monkeypatch.chdir(tmp_path)  # the path of a socket is limited to about 100 bytes
    (tmp_path / "file").touch()
    (tmp_path / "dangling.wav").symlink_to("target.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    os.mkfifo("pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
        error = decode_error(path)
    assert error.kind == kind
    assert reason in error.message


def test_a_link_to_a_recording_is_a_recording(tmp_path):
    (tmp_path / "a.wav").write_bytes(sndfile_bytes(chord()))
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert decode(tmp_path / "b.wav").duration_s == 3.0


def test_a_forbidden_file(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "a.wav").write_bytes(sndfile_bytes(chord()))
    (tmp_path / "a.wav").chmod(0)
    assert decode_error(tmp_path / "a.wav").kind == "forbidden"


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.wav")
    regular = os.stat(__file__)
    monkeypatch.setattr(os, "stat", lambda path, **_: regular)
    error = decode_error(tmp_path / "pipe.wav")
    assert (error.kind, "named pipe" in error.message) == ("unreadable", True)


class Storage(io.BytesIO):
    """A file on storage that fails after some bytes."""

    def __init__(self, content: bytes, after: int, error: Exception) -> None:
        super().__init__(content)
        self.left, self.error = after, error

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise self.error
        return content


@pytest.mark.parametrize("codec", ["", "aac"])
@pytest.mark.parametrize("after", [0, 70_000, 100_000])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "no such key"), "vanished"),
        (PermissionError(errno.EACCES, "access denied"), "forbidden"),
        (OSError(errno.EIO, "Input/output error"), "unreadable"),
    ],
)
def test_a_storage_error_is_distinguished_from_a_corrupt_file(codec, after, error, kind, capfd):
    samples = chord(seconds=8, channels=2)
    content = ffmpeg_bytes(samples, SR, "adts", codec) if codec else sndfile_bytes(samples)
    with pytest.raises(RecordingError) as raised:
        decode(Storage(content, after, error))
    assert raised.value.kind == kind
    assert raised.value.__cause__ is error
    assert capfd.readouterr() == ("", "")


def test_an_unexpected_exception_of_the_storage_is_raised_unchanged():
    with pytest.raises(ZeroDivisionError):
        decode(Storage(sndfile_bytes(chord()), 70_000, ZeroDivisionError()))


def test_a_deadline_holds_while_a_recording_is_opened():
    content = b"#!AMR\n" + bytes(range(256)) * 10
    assert decode_error(content).kind == "unreadable"
    assert decode_error(content, deadline=Deadline(1e-9)).kind == "timeout"
