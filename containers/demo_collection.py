"""Upload the demo collection to ``s3://BUCKET/PREFIX``, unless it is there already."""

import sys
import tempfile
from pathlib import Path

from jobs.demo.collection import LABELS, synthesise
from jobs.store.s3 import bucket_of, file_system


def main() -> None:
    """Upload to the address given on the command line."""
    address = sys.argv[1]
    system = file_system()
    if not system.exists(bucket_of(address)):
        system.mkdir(bucket_of(address))
    # The last file uploaded marks the collection as complete.
    last = f"{address}/{LABELS}"
    if system.exists(last):
        sys.stdout.write(f"{address}: already complete\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        synthesise(Path(folder))
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        for path in sorted(files, key=lambda path: path.name == LABELS):
            if not path.name.startswith("."):
                system.put_file(str(path), f"{address}/{path.relative_to(folder).as_posix()}")
    sys.stdout.write(f"{address}: uploaded {len(files)} files\n")


if __name__ == "__main__":
    main()
