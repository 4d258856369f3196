"""A CSV as spreadsheets and label tools write it -> rows by column.

encoding     UTF-8, UTF-16 (by its mark or its zeros), else Windows-1252, as Excel writes it in the west
separator    the comma, semicolon, tab or bar under which the first line has the needed columns
columns      in any case, with blanks around: ' Boxes XYXY ' is `boxes_xyxy`
lines        empty ones, '# ...' and Excel's 'sep=;' above the columns do not count
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.names import composed

Row = dict[str, str]
SEPARATORS = ",;\t|"
UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def csv_rows(
    file: Path, required: Sequence[str], remark: Callable[[str], None] | None = None
) -> Iterator[tuple[int, Row]]:
    """The number of each line below the columns, with its cells by column, without blanks around them.

    `remark` is told where the encoding had to be guessed.

    Raises:
        InputError: the file cannot be read, lacks a required column, names one twice, or a line has cells too many.
    """
    text, is_guessed = _text(file)
    if is_guessed and remark:
        remark(f"{file.name} is not UTF-8 and is read as Windows-1252.")
    lines = list(io.StringIO(text, newline=""))
    start = next((number for number, line in enumerate(lines) if _is_content(line)), len(lines))
    separator, columns = _columns(lines[start] if start < len(lines) else "", required, file)
    reader = csv.reader(lines[start + 1 :], delimiter=separator)
    place = f"{file.name} of '{file.parent.name}', line"
    try:
        for cells in reader:
            line = start + 1 + reader.line_num
            row = [composed(cell.strip()) for cell in cells]
            if not any(row):
                continue
            if any(row[len(columns) :]):
                raise InputError(
                    f"{place} {line}: {len(row)} cells for {len(columns)} columns; put a cell that holds "
                    f"'{separator}' into quotes."
                )
            yield line, dict(zip(columns, [*row, *[""] * (len(columns) - len(row))], strict=False))
    except csv.Error as error:
        line = start + 1 + reader.line_num
        raise InputError(f"{place} {line}, cannot be read ({error}); save it as UTF-8 CSV.") from error


def _text(file: Path) -> tuple[str, bool]:
    """The text of the file, and whether its encoding is a guess."""
    place = f"{file.name} of '{file.parent.name}'"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error}); check its rights.") from error
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in content[:2]:
        encoding = "utf-16-be" if content.startswith(b"\0") else "utf-16-le"
    try:
        return content.decode(encoding), False
    except UnicodeDecodeError as error:
        # Letters of several bytes that are right UTF-8 hardly occur in Windows-1252: then some bytes are damaged.
        if encoding == "utf-8-sig" and not UTF8_LETTER.search(content):
            with suppress(UnicodeDecodeError):
                return content.decode("cp1252"), True
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{place}, line {line}, cannot be read ({error}); save it as UTF-8 CSV.") from error


def _is_content(line: str) -> bool:
    text = line.strip()
    return bool(text.strip(SEPARATORS)) and not text.startswith("#") and not text.casefold().startswith("sep=")


def _columns(line: str, required: Sequence[str], file: Path) -> tuple[str, list[str]]:
    """The separator under which the line names the required columns, and all columns."""
    readings = {separator: _cells(line, separator) for separator in SEPARATORS}
    for separator, columns in readings.items():
        if set(required) <= set(columns):
            twice = next((name for name in columns if name and columns.count(name) > 1), None)
            if twice:
                raise InputError(f"{file.name} of '{file.parent.name}' names the column '{twice}' twice; keep one.")
            return separator, columns
    columns = max(readings.values(), key=len)
    column = next(name for name in sorted(required) if name not in columns)
    raise InputError(
        f"{file.name} of '{file.parent.name}' lacks the column '{column}'; name it in the first line, which holds "
        f"'{', '.join(columns)[:100]}'."
    )


def _cells(line: str, separator: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []
    return [composed(" ".join(cell.split())).casefold().replace(" ", "_") for cell in cells]
