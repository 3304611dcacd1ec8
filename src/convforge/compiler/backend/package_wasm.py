"""The target `wasm32`: a module, and beside it its loader with types, for web developers.

`cats.wasm` gets `cats.js`, an ES module that imports nothing, and `cats.d.ts`, its types in
TypeScript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.errors import OutputError
from convforge.files import check_destination, write_file
from convforge.page_source import loader
from convforge.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

_MARK = b"// Loader of modules that convforge compiled"


def check_loader(path: Path) -> None:
    """Raise OutputError where the loader would replace a file that is none."""
    check_destination(path)
    for place in loader_files(path):
        if place == path:
            raise OutputError(f"{path}: is the name of the module's loader; name it cats.wasm, say")
        if place.exists() and (place.is_dir() or not place.read_bytes().startswith(_MARK)):
            raise OutputError(
                f"{place}: the module's loader would go there, and it is another file; move it, or "
                "give the module another name"
            )


def save_loader(path: Path) -> None:
    """Write the loader and its types beside the module. Raises OutputError."""
    for place, text in zip(loader_files(path), loader(), strict=True):
        write_file(place, _MARK + f" ({__version__}).\n".encode() + text.encode())


def loader_files(path: Path) -> tuple[Path, Path]:
    """What is written beside a module: its loader, and the loader's types."""
    return path.with_suffix(".js"), path.with_suffix(".d.ts")
