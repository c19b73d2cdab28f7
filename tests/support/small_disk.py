"""A small disk: a tmpfs of 64 MB."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Make a folder and mount the disk on it; skip the test if that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: str) -> None:
    """Write a file until the disk is full."""
    with open(path, "wb", buffering=0) as filler:
        for size in (1 << 16, 1 << 8):
            with contextlib.suppress(OSError):
                while filler.write(bytes(size)) == size:
                    pass
