"""From what was compiled to what users keep: a sealed library, sources, a wheel, a wasm module."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from convforge.compiler.backend.archive import pieces_of
from convforge.compiler.backend.package_c import check_sources, save_sources
from convforge.compiler.backend.package_wasm import check_loader, save_loader
from convforge.compiler.backend.package_wheel import check_wheel, save_wheel
from convforge.files import check_destination, write_file
from convforge.seal import SEAL_BYTES, sealed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from convforge.card import Card
    from convforge.compiler.backend.target import Target
    from convforge.compiler.backend.toolchain import Built

# A wasm module takes nothing behind its last section, so the seal is one: a custom section of this
# name, whose content the seal's bytes are.
_WASM_SECTION = b"convforge.seal"


def check_package(path: Path, *, target: Target) -> None:
    """Raise OutputError, before any work, where a target's package could not be written."""
    if target.form == "sources":
        check_sources(path)
    elif target.form == "wheel":
        check_wheel(path)
    elif target.binary == "wasm" and target.form == "library":
        check_loader(path)
    else:
        check_destination(path)


def save_package(
    path: Path,
    *,
    target: Target,
    card: Card | None,
    sources: Mapping[str, bytes | memoryview],
    built: Built | None,
) -> Path:
    """Write what the target gives; the path that it has then. Raises OutputError.

    A wheel's name says what it runs on, so that it may be another one in the same folder.
    """
    if target.form == "sources":
        save_sources(sources, path, card=card, target=target)
        return path
    assert built is not None
    if target.form == "wheel":
        return save_wheel(built.path, path, card=card, target=target)
    save_artifact(built.path, path)
    if target.binary == "wasm":
        save_loader(path)
    return path


def save_artifact(library: bytes | Path, path: Path) -> None:
    """Write a library under its seal; one that lies in a file is copied. Raises OutputError."""
    pieces = pieces_of(library)
    first = next(pieces, b"")
    write_file(path, sealed(chain([first], pieces, [_section_head(bytes(first[:4]))])))


def _section_head(magic: bytes) -> bytes:
    if magic != b"\0asm":
        return b""
    length = 1 + len(_WASM_SECTION) + SEAL_BYTES
    assert length < 128, "lengths take one byte each"
    return bytes([0, length, len(_WASM_SECTION)]) + _WASM_SECTION
