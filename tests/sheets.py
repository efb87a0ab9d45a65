"""Answer sheets as the listening page writes them."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from musicbench.study.answers import COLUMNS, cells_crc32


def write_sheet(path: Path, lines: Iterable[Mapping[str, str]]) -> Path:
    """Write lines of all columns but the checksum, which is added."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in lines:
        cells = [line[column] for column in COLUMNS[:-1]]
        writer.writerow([*cells, cells_crc32(cells)])
    path.write_bytes(buffer.getvalue().encode())
    return path
