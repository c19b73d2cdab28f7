"""CSV files: their rows with line numbers, which error messages name."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.errors import UsageError
from jobs.interruption import raise_if_interrupted


def csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a UTF-8 CSV, the header first.

    Parameters
    ----------
    path : str
        Path of the CSV.

    Yields
    ------
    line : int
        Last line of the row, from 1; 0 if the file has no header.
    cells : list of str
        One cell per column. Empty lines are skipped.

    Raises
    ------
    UsageError
        The file is not a CSV in UTF-8, names a column twice, or a row has too many or too few
        cells.
    OSError
        The file cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            # Strict, because an unclosed quote would otherwise swallow all further rows.
            reader = csv.reader(file, strict=True)
            rows = ((reader.line_num, cells) for cells in reader if cells)
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
    except csv.Error as error:
        raise UsageError(
            f"{path} is not a CSV in UTF-8: {error} (line {reader.line_num})"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a CSV in UTF-8: {error}") from None


@dataclass(frozen=True)
class Sheet:
    """Content of a CSV with one row per track.

    Parameters
    ----------
    path : str
        Path of the CSV.
    columns : list of str
        Names of the columns.
    rows : list of (int, dict)
        Line and cells of each row; an empty cell is None.
    """

    path: str
    columns: list[str]
    rows: list[tuple[int, dict[str, str | None]]]


def read_sheet(
    path: str, *, required: tuple[str, ...], expected: str, option: str = "--labels"
) -> Sheet:
    """Read a CSV with one row per track.

    Parameters
    ----------
    path : str
        Path of the CSV.
    required : tuple of str
        Columns that the CSV must have, ``track_id`` included.
    expected : str
        Valid values of the option, for the error if the CSV cannot be read.
    option : str
        Option that named the CSV.

    Returns
    -------
    Sheet

    Raises
    ------
    UsageError
        The CSV does not exist, is invalid or lacks a column.
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
