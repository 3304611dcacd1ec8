"""Zip archives, the same bytes for the same content, written in one piece."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.files import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

_PIECE = 1 << 20  # bytes


def write_zip(path: Path, entries: Mapping[str, bytes | memoryview | Path]) -> None:
    """Write an archive of these names; what is a path is copied from there. Raises OutputError."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in entries.items():
                info = zipfile.ZipInfo(name)  # of 1980: no clock in it
                info.external_attr = 0o644 << 16
                # Weights hardly shrink, and would take long.
                text = isinstance(content, bytes) and len(content) < _PIECE
                info.compress_type = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
                with archive.open(info, "w", force_zip64=not text) as entry:
                    for piece in pieces_of(content):
                        entry.write(piece)
        file.seek(0)
        write_file(path, _read(file))


def pieces_of(content: bytes | memoryview | Path) -> Iterator[bytes | memoryview]:
    """The content, a file's in pieces."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            yield from _read(file)
    else:
        yield content


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
