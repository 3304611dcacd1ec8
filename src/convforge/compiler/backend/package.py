"""From a compiled library to the file that users keep: under a seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.files import write_file
from convforge.seal import seal

if TYPE_CHECKING:
    from pathlib import Path


def save_artifact(library: bytes, path: Path) -> None:
    """Write the sealed library. Raises OutputError."""
    write_file(path, seal(library))
