"""Parquet files with encoded images: a column `image`, bytes or {bytes, path}, and one `label`.

    parquet:data/{train,test}-00000-of-00001.parquet
    parquet:photos.parquet?image=jpg&label=species&classes=names.txt

That is how the Hugging Face hub lays image data sets out; the class names that it keeps in the
file's metadata are used. Images are read by row groups, in order: training from it without a cache
is slow.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from convforge.errors import DataError, PackageError
from convforge.images.collection import Collection, Entry
from convforge.images.picture import decode_file, is_grey
from convforge.images.shards import class_name
from convforge.images.uri import by_part, expand, read_classes, short_names, split_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MAX_GROUP_BYTES = 2_000_000_000  # of a row group's images

_KEPT_GROUPS = 2  # of those read last


class Row(NamedTuple):
    """Where an image lies: a row of a row group of a file; `number` counts rows from 0."""

    file: Path
    group: int
    row: int
    number: int


class ParquetReader:
    """Images in a column of Parquet files; keeps the row groups that were read last."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._lock = threading.Lock()
        self._groups: dict[tuple[Path, int], Any] = {}

    def __reduce__(self) -> tuple[type[ParquetReader], tuple[str]]:
        return ParquetReader, (self._column,)

    def read(self, place: Row, *, short_side: int | None = None) -> NDArray[np.uint8]:
        """As `Reader.read`."""
        name = f"{place.file}: row {place.number}"
        try:
            content = self._content(place)
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error})") from None
        return decode_file(io.BytesIO(content), name=name, short_side=short_side)

    def digest(self, place: Row) -> tuple[bytes, bool | None]:
        """As `Reader.digest`."""
        content = self._content(place)
        return hashlib.sha256(content).digest(), is_grey(io.BytesIO(content))

    def _content(self, place: Row) -> bytes:
        """Encoded bytes; empty where the cell is."""
        key = (place.file, place.group)
        with self._lock:
            column = self._groups.pop(key, None)
            if column is None:
                table = _open(place.file).read_row_group(place.group, columns=[self._column])
                column = table.column(self._column)
            self._groups[key] = column
            while len(self._groups) > _KEPT_GROUPS:
                del self._groups[next(iter(self._groups))]
        cell = column[place.row].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        return content or b""


def read_parquet(text: str) -> Collection:
    """List the rows of Parquet files. Raises DataError naming the file and the row.

    Raises PackageError without pyarrow.
    """
    pattern, options = split_options(text, known=("image", "label", "classes"))
    column, label = options.get("image", "image"), options.get("label", "label")
    given = read_classes(options["classes"]) if "classes" in options else ()
    paths = expand(pattern)
    short = short_names(paths)
    classes: tuple[str, ...] = given
    parts = {}
    for part, files in by_part(paths, origin=pattern).items():
        entries: list[Entry] = []
        for path in files:
            names = given or _class_names(path, label)
            if classes and names != classes:
                raise DataError(f"{path}: its class names differ from those of the other files")
            classes = names
            entries += _entries(path, columns=(column, label), name=short[path], classes=classes)
        parts[part] = tuple(entries)
    return Collection(
        origin=f"parquet:{pattern}",
        where="files with train in their names",
        parts=parts,
        reader=ParquetReader(column),
        classes=classes,
    )


def _entries(
    path: Path, *, columns: tuple[str, str], name: str, classes: Sequence[str]
) -> Iterator[Entry]:
    file = _open(path)
    _check_columns(path, file.schema_arrow, columns)
    number = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).total_byte_size
        if size > MAX_GROUP_BYTES:
            raise DataError(
                f"{path}: row group {group} has {size:,} bytes; expected at most "
                f"{MAX_GROUP_BYTES:,}: write it with smaller row groups"
            )
        try:
            labels = file.read_row_group(group, columns=[columns[1]]).column(columns[1])
        except (OSError, ValueError) as error:  # pyarrow's are of these
            raise DataError(
                f"{path}: the column {columns[1]} of row group {group} is damaged ({error}); write "
                "the file again"
            ) from None
        for row, label in enumerate(labels.to_pylist()):
            found = class_name(label, classes=classes, where=f"{path}: row {number}")
            yield Entry(f"{name}/{number:06d}", found, Row(path, group, row, number))
            number += 1


def _check_columns(path: Path, schema: Any, columns: tuple[str, str]) -> None:
    import pyarrow as pa  # noqa: PLC0415  (optional)

    missing = [column for column in columns if column not in schema.names]
    if missing:
        raise DataError(
            f"{path}: no column {' and '.join(missing)} among {', '.join(schema.names)}; "
            "name them, as in parquet:FILE?image=photo&label=species"
        )
    kind = schema.field(columns[0]).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(
            f"{path}: column {columns[0]} holds {kind}; expected encoded images, as bytes or as "
            "{bytes, path}"
        )


def _class_names(path: Path, label: str) -> tuple[str, ...]:
    """Names that the hub's metadata gives the label column; none where it does not."""
    metadata = (_open(path).schema_arrow.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(metadata or b"{}")["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _open(path: Path) -> Any:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415  (optional)
        from pyarrow import ArrowInvalid  # noqa: PLC0415
    except ImportError:
        raise PackageError(
            f"{path}: Parquet files need pyarrow, which is not installed; "
            'pip install "convforge[parquet]"'
        ) from None
    try:
        return pq.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a Parquet file, or damaged ({error})") from None
