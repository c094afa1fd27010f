"""CSV files of imports: read whole and judged whole, every bad row with its line and its reasons."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from config.errors import Misconfigured, Rejected

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
SHOWN_MAX: Final = 50
_ENCODING: Final = "utf-8-sig"  # spreadsheets put a byte order mark in front

Row = TypeVar("Row")
Parse = Callable[[str], Any]
"""Turns a cell's text into its value; raises ValueError with the reason for people."""
Cells = list[str] | dict[str, str]
"""A line's cells by column, or as they stand where they do not fit the columns."""


class Column(msgspec.Struct, frozen=True):
    """How a cell is read; without a default the column must be there and the cell filled.

    An empty cell of a column with a default gets the default.
    """

    parse: Parse
    default: Any = msgspec.UNSET

    @property
    def required(self) -> bool:
        """Tell whether every row must have it."""
        return self.default is msgspec.UNSET


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with one line; the header is line 1."""

    line: int
    reason: str


class Sheet(msgspec.Struct, Generic[Row], frozen=True):
    """A whole file: its rows where it is good, its problems where it is not."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


class BadFile(Rejected):
    """Rows of the file are wrong; mend the listed lines and import the whole file again."""

    slug = "bad-file"


def read_sheet(
    path: Path,
    columns: Mapping[str, Column],
    row: Callable[..., Row],
    keys: Callable[[Row], Mapping[str, object]],
) -> Sheet[Row]:
    """Read and judge every line; `keys` gives what must be unique, each by its name for people.

    Raises:
        Misconfigured: no such file. BadFile: not a table with these columns.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, object], int] = {}
    for line, cells in _lines(path, columns):
        values, reasons = _parsed(columns, cells)
        if not reasons:
            rows.append(made := row(**values))
            reasons = [*_repeated(keys(made), seen, line)]
        if reasons:
            problems.append(Problem(line, "; ".join(reasons)))
    return Sheet(tuple(rows), tuple(problems))


def _lines(path: Path, columns: Mapping[str, Column]) -> Iterator[tuple[int, Cells]]:
    """Yield each data line's number with its cells by column, or as a bare list if misshapen."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header, columns)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            fits = len(cells) == len(header)
            yield reader.line_num, dict(zip(header, cells, strict=True)) if fits else cells
    except csv.Error as error:
        raise BadFile(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadFile(f"{path} is over {FILE_BYTES_MAX >> 20} MiB; split it")
        return path.read_text(encoding=_ENCODING)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; name a CSV file") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not UTF-8; save it as UTF-8 CSV") from error


def _check_header(path: Path, header: list[str], columns: Mapping[str, Column]) -> None:
    known = ", ".join(columns)
    if unknown := [name for name in header if name not in columns]:
        raise BadFile(f"{path}: unknown columns {', '.join(map(repr, unknown))}; known are {known}")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise BadFile(f"{path}: columns {', '.join(twice)} stand there twice; keep one of each")
    if missing := [n for n, column in columns.items() if column.required and n not in header]:
        raise BadFile(
            f"{path}: columns {', '.join(missing)} are missing; add them to the first line"
        )


def _parsed(columns: Mapping[str, Column], cells: Cells) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a line, and what is wrong with it."""
    if isinstance(cells, list):
        return {}, [f"has {len(cells)} cells, which is not what the first line has"]
    values: dict[str, Any] = {}
    reasons: list[str] = []
    for name, column in columns.items():
        text = cells.get(name, "").strip()
        if text:
            try:
                values[name] = column.parse(text)
            except ValueError as error:
                reasons.append(f"{name} {error}")
        elif column.required:
            reasons.append(f"{name} is empty")
        else:
            values[name] = column.default
    return values, reasons


def _repeated(
    keys: Mapping[str, object], seen: dict[tuple[str, object], int], line: int
) -> Iterator[str]:
    for name, key in keys.items():
        first = seen.setdefault((name, key), line)
        if first != line:
            yield f"{name} stands in line {first} too"
