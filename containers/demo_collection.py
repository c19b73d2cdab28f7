"""Put the demo collection into a bucket, as far as it is not there: ``s3://BUCKET/PREFIX``."""

import sys
import tempfile
from pathlib import Path

from jobs.demo.collection import LABELS, synthesise
from jobs.store.s3 import bucket_of, file_system


def main() -> None:
    """Do it for the address that is given."""
    address = sys.argv[1]
    system = file_system()
    if not system.exists(bucket_of(address)):
        system.mkdir(bucket_of(address))
    # What is put last tells that the rest is there.
    last = f"{address}/{LABELS}"
    if system.exists(last):
        sys.stdout.write(f"{address}: there\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        synthesise(Path(folder))
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        for path in sorted(files, key=lambda path: path.name == LABELS):
            if not path.name.startswith("."):
                system.put_file(str(path), f"{address}/{path.relative_to(folder).as_posix()}")
    sys.stdout.write(f"{address}: {len(files)} files\n")


if __name__ == "__main__":
    main()
