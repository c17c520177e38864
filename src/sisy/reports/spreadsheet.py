"""CSV that is safe to open in a spreadsheet."""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any

from sisy.runtime.escaping import escaped

# What Excel, LibreOffice and Google Sheets read as the start of a formula, even as full-width
# characters and after spaces.
FORMULA = re.compile(r"\s*[=+\-@|%\uff1d\uff0b\uff0d\uff20]")


def write_csv(stream: Any, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows below a header, with an apostrophe before each text that would be a formula."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([safe_cell(value) for value in row] for row in rows)


def safe_cell(value: Any) -> Any:
    """Return a value as a cell: a text that would be a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = escaped(value)
    return f"'{text}" if FORMULA.match(text) else text
