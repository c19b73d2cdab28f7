"""Remote recordings: what is fetched of them."""

import io
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TIT2

from featurizer.extract import extract
from featurizer.tags import read_tags
from jobs.inputs.recordings import RemoteFile


class CountedFile(AbstractBufferedFile):
    """A remote file with fsspec's cache, in blocks of a fifth of the file."""

    def __init__(self, content: bytes) -> None:
        self.content, self.fetched = content, 0
        self.details = {"size": len(content), "name": "file"}
        super().__init__(AbstractFileSystem(), "file", block_size=len(content) // 5)

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fetched += end - start
        return self.content[start:end]


@pytest.mark.parametrize("kind", ["FLAC", "MP3"])
def test_tags_are_not_fetched_again(kind: str) -> None:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    soundfile.write(file, rng.uniform(-0.5, 0.5, 22050 * 60), 22050, format=kind)
    file.seek(0)
    if kind == "FLAC":
        tags: Any = FLAC(file)
        tags["title"] = "So What"
    else:
        tags = ID3()
        tags.add(TIT2(text="So What"))
    file.seek(0)
    tags.save(file)
    content = file.getvalue()
    remote = CountedFile(content)
    source = cast("BinaryIO", RemoteFile(remote, kept=1 << 16))
    extract(source, sets=["gtzan"])
    fetched = remote.fetched
    assert read_tags(source).title == "So What"
    assert remote.fetched == fetched < 1.5 * len(content)


@pytest.mark.parametrize("seed", range(5))
def test_a_remote_file_reads_like_any_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = rng.bytes(1000)
    files = [io.BytesIO(content), RemoteFile(io.BytesIO(content), kept=100)]
    for _ in range(200):
        whence, size = int(rng.integers(3)), int(rng.integers(-1, 300))
        base = (0, files[0].tell(), len(content))[whence]
        offset = int(rng.integers(-min(base, 300), 300))
        found = [(one.seek(offset, whence), one.tell(), one.read(size)) for one in files]
        assert found[0] == found[1]
    for one in files:
        with pytest.raises(ValueError, match="-1"):
            one.seek(-1)
