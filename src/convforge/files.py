"""Writing files: refused before the work where they cannot be written, and written in one piece."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from convforge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/convforge`, `~/.cache/convforge` where that is not set."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "convforge"


def check_destination(path: Path) -> None:
    """Raise OutputError, before any work, where a file of this name could not be written."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is a device or a pipe; name a file")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(
            f"{path}: the folder {path.parent} cannot be written ({error.strerror}); "
            "choose one that you may write to"
        ) from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, under a temporary name in the same folder, renamed once that succeeded.

    A file of that name is replaced once the new one is complete. Raises OutputError where it cannot
    be written; the old file is then as it was, as after any exception within.
    """
    check_destination(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); make room or choose another folder"
        ) from None


def write_file(path: Path, content: bytes | memoryview | Iterable[bytes | memoryview]) -> None:
    """Write a file in one piece, as `replacing` does: all of it or none.

    `content` may come in pieces, so that a file can be larger than what fits into memory twice.
    Raises OutputError where it cannot be written.
    """
    with replacing(path) as file:
        for piece in [content] if isinstance(content, bytes | memoryview) else content:
            file.write(piece)
