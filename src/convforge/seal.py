"""The seal at the end of an artifact: its kind, its interface's version, its checksum, its length.

A shared library that was cut short crashes the process that loads it, so the runtime checks the
seal before it loads anything. Loaders of shared libraries ignore what follows their last section.

    content | magic 16 bytes | version u32 | CRC-32 of content u32 | length of content u64

It tells damage, not malice: who can change the content can seal it again. A checksum is enough for
that, and costs a fourth of SHA-256 with the time and the memory to load OpenSSL for it.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

from convforge.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ABI = 4  # version of the C interface; an artifact of any other is refused

_MAGIC = b"convforge-so\0\0\0\0"
_SEAL = struct.Struct("<16sIIQ")
SEAL_BYTES = _SEAL.size
_PIECE = 1 << 16  # bytes read at a time: larger ones stay with the allocator


def seal(content: bytes, *, version: int = ABI) -> bytes:
    """The content with its seal behind it."""
    return b"".join(sealed([content], version=version))


def sealed(
    pieces: Iterable[bytes | memoryview], *, version: int = ABI
) -> Iterator[bytes | memoryview]:
    """The pieces of a content, and its seal behind them: SEAL_BYTES bytes."""
    checksum = length = 0
    for piece in pieces:
        checksum, length = zlib.crc32(piece, checksum), length + len(piece)
        yield piece
    yield _SEAL.pack(_MAGIC, version, checksum, length)


def check_seal(path: Path) -> None:
    """Raise ArtifactError, naming the file, unless it is a whole artifact of version ABI."""
    try:
        with path.open("rb") as file:
            _check_seal(path, file)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def is_sealed(path: Path) -> bool:
    """Whether a file ends with an artifact's seal, whole or not. Raises OSError."""
    with path.open("rb") as file:
        return _read_seal(file).startswith(_MAGIC)


def _check_seal(path: Path, file: BinaryIO) -> None:
    last = _read_seal(file)
    if len(last) < _SEAL.size or not last.startswith(_MAGIC):
        raise ArtifactError(
            f"{path}: not a convforge artifact, or cut short: its seal is missing; "
            f"compile it again with `convforge compile`"
        )
    _, found, checksum, length = _SEAL.unpack(last)
    if found != ABI:
        raise ArtifactError(
            f"{path}: built for version {found} of the artifact interface, this convforge speaks "
            f"version {ABI}; compile it again with this convforge"
        )
    if length != file.tell() - _SEAL.size or checksum != _checksum(file, length):
        raise ArtifactError(
            f"{path}: damaged, its bytes are not the ones that were written; compile it again"
        )


def _read_seal(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _SEAL.size))
    return file.read()


def _checksum(file: BinaryIO, length: int) -> int:
    # In pieces: an artifact may be larger than what its reader wants to hold twice.
    checksum = 0
    file.seek(0)
    while length > 0 and (piece := file.read(min(length, _PIECE))):
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    return checksum
