"""From a compiled library to the file that users keep: sealed, and written in one piece."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from convforge.errors import OutputError
from convforge.seal import seal

if TYPE_CHECKING:
    from pathlib import Path


def check_output(path: Path) -> None:
    """Raise OutputError, before any work, where the file could not be written."""
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist; create it first")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"{path}: the folder {folder} cannot be written ({error.strerror}); "
            f"choose another with --output"
        ) from None


def save_artifact(library: bytes, path: Path) -> None:
    """Write the sealed library to a temporary name beside `path` and rename it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(seal(library))
        os.chmod(temporary, 0o755)  # noqa: PTH101, S103  (a shared library is world-readable)
        os.replace(temporary, path)  # noqa: PTH105  (both are plain names here)
    except OSError as error:
        os.unlink(temporary)  # noqa: PTH108
        raise OutputError(f"{path}: could not be written ({error.strerror})") from None
