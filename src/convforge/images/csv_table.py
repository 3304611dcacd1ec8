"""A table of images: `filename,label`, with or without `split`; paths are relative to the table.

    filename,label,split
    photos/1.jpg,cat,train
    photos/2.jpg,dog,test

UTF-8, a header first, other columns passed over. Without a column `split` the images are split by a
seed. A path leads downwards only, so that a table that came from elsewhere reads nothing else.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from convforge.errors import DataError
from convforge.images.collection import PARTS, Collection, Entry, check_names
from convforge.images.dataset import FLAT
from convforge.images.folder import FileReader
from convforge.images.uri import split_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLUMNS = ("filename", "label", "split")


def read_csv(text: str) -> Collection:
    """List a table's images. Raises DataError naming the file and the line."""
    place, _ = split_options(text, known=())
    file = Path(place)
    found: dict[str, list[Entry]] = {}
    for line, row in _rows(file):
        name, label, part = _cells(row, where=f"{file}:{line}")
        entry = Entry(unicodedata.normalize("NFC", name), label, file.parent / name)
        found.setdefault(part, []).append(entry)
    if not found:
        raise DataError(f"{file}: no rows below the header; expected one an image")
    parts = {part: tuple(found[part]) for part in ("train", "val", "test", FLAT) if part in found}
    check_names((e.name for entries in parts.values() for e in entries), origin=str(file))
    where = "rows with train in the column split"
    return Collection(origin=str(file), where=where, parts=parts, reader=FileReader())


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """(line, cells by column) of each row."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            columns = Counter(reader.fieldnames or ())
            double = [name for name in COLUMNS if columns[name] > 1]
            if double:
                raise DataError(f"{file}:1: {double[0]!r} is there twice; keep one such column")
            missing = {"filename", "label"} - set(columns)
            if missing:
                raise DataError(
                    f"{file}:1: no column {' and '.join(sorted(missing))} in "
                    f"{','.join(reader.fieldnames or ())!r}; expected filename,label or "
                    "filename,label,split"
                )
            for row in reader:
                if None in row:
                    raise DataError(
                        f"{file}:{reader.line_num}: more cells than the header has columns; put a "
                        "cell with a comma in quotes"
                    )
                yield reader.line_num, row
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{file}:{reader.reader.line_num}: {error}; mend the line") from None


def _cells(row: Mapping[str, str | None], *, where: str) -> tuple[str, str, str]:
    """(path, class, part) of a row."""
    name, label = ((row[column] or "").strip() for column in ("filename", "label"))
    if not name or not label:
        raise DataError(f"{where}: no {'label' if name else 'filename'}; fill it in, or remove it")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{where}: {name!r} leads out of the table's folder; expected a path below it"
        )
    part = FLAT
    if "split" in row:
        split = (row["split"] or "").strip()
        if split not in PARTS:
            raise DataError(f"{where}: split {split!r}; expected one of {', '.join(PARTS)}")
        part = PARTS[split]
    return str(path), unicodedata.normalize("NFC", label), part
