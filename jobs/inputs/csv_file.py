"""CSV files: their rows with line numbers, which error messages name."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.errors import UsageError
from jobs.interruption import raise_if_interrupted
from jobs.store.address import expand_home


def csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row of a UTF-8 CSV, the header first.

    Lines count from 1; a row of several lines has the number of its last. Empty lines are skipped.
    An empty file yields ``(0, [])``. OSError if the file cannot be read; UsageError if it is not a
    CSV in UTF-8, names a column twice, has a null character, or a row with too many or too few
    cells.
    """
    try:
        with open(expand_home(path), encoding="utf-8-sig", newline="") as file:
            # Strict, because an unclosed quote would otherwise swallow all further rows.
            reader = csv.reader(file, strict=True)
            rows = ((reader.line_num, _without_null(cells)) for cells in reader if cells)
            line, columns = next(rows, (0, []))
            if len(set(columns)) < len(columns):
                raise UsageError(f"{path} names a column twice: {', '.join(columns)}")
            yield line, columns
            for line, cells in rows:
                raise_if_interrupted()
                if len(cells) != len(columns):
                    raise UsageError(
                        f"{path}, line {line}: the first line names {len(columns)} columns, but "
                        f"this line has {len(cells)} values"
                    )
                yield line, cells
    except (csv.Error, UnicodeDecodeError) as error:
        where = f" (line {reader.line_num})" if isinstance(error, csv.Error) else ""
        raise UsageError(f"{path} is not a CSV in UTF-8: {error}{where}") from None


def _without_null(cells: list[str]) -> list[str]:
    """Return the cells of a row; csv.Error if one has a null character, which databases refuse."""
    for cell in cells:
        if "\0" in cell:
            raise csv.Error(f"{cell!r} has a null character")
    return cells


@dataclass(frozen=True)
class Sheet:
    """Content of a CSV with one row per track."""

    path: str
    columns: list[str]
    rows: list[tuple[int, dict[str, str | None]]]  # line and cells; an empty cell is None


def read_sheet(
    path: str, *, required: tuple[str, ...], expected: str, option: str = "--labels"
) -> Sheet:
    """Read a CSV with one row per track and with the ``required`` columns, ``track_id`` included.

    UsageError if it is invalid, lacks a column or cannot be read. In the last case the error names
    the command's ``option`` and its ``expected`` values.
    """
    try:
        found = csv_rows(path)
        _, columns = next(found)
        missing = [name for name in required if name not in columns]
        if missing:
            raise UsageError(
                f"{path} has no column {' and no column '.join(missing)}. Its first line "
                f"names {', '.join(columns) or 'nothing'}"
            )
        rows = [
            (line, {name: cell or None for name, cell in zip(columns, cells, strict=True)})
            for line, cells in found
        ]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): {option} takes {expected}"
        ) from None
    return Sheet(path, columns, rows)
