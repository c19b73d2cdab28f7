"""A folder for machine code that songmill uses whoever the checkout belongs to."""

import atexit
import shutil
import tempfile
from pathlib import Path

from compiling.machine_code import private_folder


def private_code(preferred: Path) -> Path:
    """Return a folder, or a temporary one if others can write to it or replace it.

    songmill would refuse it, and every process that a test starts would compile.
    """
    try:
        return private_folder(preferred)
    except PermissionError:
        folder = tempfile.mkdtemp(prefix="songmill-tests-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
