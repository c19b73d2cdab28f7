"""The rows of a CSV, with their lines, so that what is wrong in one can be said by its place."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.errors import UsageError
from jobs.interruption import raise_if_interrupted


def csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield every row of a CSV in UTF-8, that of the columns' names first.

    Parameters
    ----------
    path : str
        The file.

    Yields
    ------
    line : int
        The line that the row ends in, from 1; 0 of the names where there are none.
    cells : list of str
        As many as there are columns. Lines without any are left out.

    Raises
    ------
    UsageError
        It is no CSV in UTF-8, names a column twice, or a row has more or fewer cells.
    OSError
        It cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            # Strict, or a quote that nobody closes would take all the rows after it into a cell.
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
                        f"{path}, line {line}: the first line names {len(columns)} columns, and "
                        f"this one has {len(cells)} values"
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
    """A CSV with a row a track, as its owner wrote it.

    Parameters
    ----------
    path : str
        The CSV.
    columns : list of str
        Its columns.
    rows : list of (int, dict)
        The line and the cells of every row; an empty cell is None.
    """

    path: str
    columns: list[str]
    rows: list[tuple[int, dict[str, str | None]]]


def read_sheet(
    path: str, *, needed: tuple[str, ...], wanted: str, option: str = "--labels"
) -> Sheet:
    """Read a CSV that says something of each track.

    Parameters
    ----------
    path : str
        The CSV.
    needed : tuple of str
        Columns that it must have; ``track_id`` is one of them.
    wanted : str
        What the option may be, for a person who named something else.
    option : str
        The option that named it.

    Returns
    -------
    Sheet

    Raises
    ------
    UsageError
        There is no such CSV, or it lacks a column.
    """
    try:
        found = csv_rows(path)
        _, columns = next(found)
        missing = [name for name in needed if name not in columns]
        if missing:
            raise UsageError(
                f"{path} has no column {' and no column '.join(missing)}: its first line "
                f"names {', '.join(columns) or 'nothing'}"
            )
        rows = [
            (line, {name: cell or None for name, cell in zip(columns, cells, strict=True)})
            for line, cells in found
        ]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): {option} is {wanted}"
        ) from None
    return Sheet(path, columns, rows)
