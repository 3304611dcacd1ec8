"""Decode once: pixels in one file a part, mapped into memory, under the user's cache folder.

    pixels of image 0, 1, …, uint8 [h, w, C]
    sides of each, int32 [N, 2], where they differ
    footer, JSON: what is above, and which images of the part could not be decoded
    length of the footer, uint64; MAGIC

The name is a SHA-256 of the images' contents and of what was done to them, so that a file never
grows stale, wherever the data lie. It is written as `name.part` and renamed when it is complete;
the writer holds a lock on that, which the system lets go of when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from convforge.files import cache_folder
from convforge.images.stored import Ragged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.images.stored import Pixels

MAGIC = b"cfpixel1"
LIMIT_BYTES = 50_000_000_000  # of all files together
SPARE_BYTES = 2_000_000_000  # that the disk keeps free

_END = struct.Struct("<Q8s")
_POLL_S = 0.2
_ABANDONED_S = 86_400  # since a part file was last written to


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a file holds: the pixels of the images of a part but for those at rows `bad`."""

    pixels: Pixels
    bad: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A folder of such files, `limit_bytes` in all; those that were used longest ago make room."""

    folder: Path = field(default_factory=lambda: cache_folder() / "pixels")
    limit_bytes: int = LIMIT_BYTES

    def find(self, key: str) -> Kept | None:
        """What is kept under this key; None where there is nothing, or nothing whole."""
        try:
            kept = _map(self._path(key))
            os.utime(self._path(key))
        except (OSError, ValueError, KeyError):
            return None
        return kept

    def find_or_build(
        self,
        key: str,
        images: Callable[[], Iterable[NDArray[np.uint8] | None]],
        *,
        waiting: Callable[[], None],
    ) -> Kept | None:
        """What is kept under this key, after writing it from `images()` where it is not there.

        `images` gives uint8 [h, w, C] of every row, None for one that cannot be decoded. Of several
        processes one writes; the others call `waiting` now and then, and get what it wrote. None
        where the folder cannot be written, or more than `limit_bytes` or the disk would be needed.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while (kept := self.find(key)) is None:
                part = self._path(key).with_suffix(".part")
                with part.open("a+b") as file:
                    _lock(file, waiting)
                    if not _is_at(file, part):
                        continue  # another process has renamed it, or given it up
                    if not self._write(file, images()):
                        part.unlink()
                        return None
                    part.replace(self._path(key))
        except OSError:
            return None
        return kept

    def remove(self, key: str) -> None:
        """Forget what is kept under this key."""
        self._path(key).unlink(missing_ok=True)

    def room(self) -> int:
        """Bytes that a new file may have, when all others make room for it."""
        folder = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        kept = sum(size for _, size, _ in self._files())
        return min(self.limit_bytes, shutil.disk_usage(folder).free + kept - SPARE_BYTES)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.pixels"

    def _files(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of each complete or abandoned file, the oldest use first."""
        files = []
        for path in self.folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                stat = path.stat()
                abandoned = time.time() - stat.st_mtime > _ABANDONED_S
                if path.suffix == ".pixels" or (path.suffix == ".part" and abandoned):
                    files.append((stat.st_mtime, stat.st_size, path))
        return sorted(files)

    def _write(self, file: BinaryIO, images: Iterable[NDArray[np.uint8] | None]) -> bool:
        """Write all of a file, making room as it grows; False where it does not fit."""
        file.truncate(0)
        sides: list[tuple[int, int]] = []
        bad: list[int] = []
        size, room, channels = 0, 0, 3
        for row, image in enumerate(images):
            if image is None:
                bad.append(row)
                continue
            size += image.nbytes
            if size > room and (room := self._make_room(size)) < size:
                return False
            file.write(np.ascontiguousarray(image).data)
            height, width, channels = image.shape
            sides.append((height, width))
        table = np.array(sides, dtype=np.int32).reshape(-1, 2)
        one = bool((table == table[:1]).all()) and len(table) > 0
        footer = {
            "count": len(table),
            "channels": channels,
            "side": table[0].tolist() if one else None,
            "bytes": size,
            "bad": bad,
        }
        text = json.dumps(footer).encode()
        file.write((b"" if one else table.tobytes()) + text + _END.pack(len(text), MAGIC))
        file.flush()
        os.fsync(file.fileno())
        return True

    def _make_room(self, size: int) -> int:
        """Remove what was used longest ago until a file may have `size` bytes and some more.

        Gives how many it may have, until this is called again; fewer than `size` where that is too
        much even with all others removed.
        """
        headroom = max(size // 4, min(1 << 26, self.limit_bytes // 64))
        wanted = min(size + headroom, self.limit_bytes)
        files = self._files()
        kept = sum(bytes_ for _, bytes_, _ in files)
        for _, bytes_, path in files:
            free = shutil.disk_usage(self.folder).free - SPARE_BYTES
            if kept + wanted <= self.limit_bytes and free >= wanted - size:
                break
            path.unlink(missing_ok=True)
            kept -= bytes_
        free = shutil.disk_usage(self.folder).free - SPARE_BYTES
        return min(wanted, size + free)


def _map(path: Path) -> Kept:
    """Map a file; raises OSError, ValueError or KeyError where it is not there or not whole."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - _END.size)
        length, magic = _END.unpack(file.read())
        if magic != MAGIC:
            raise ValueError(path)
        file.seek(size - _END.size - length)
        footer = json.loads(file.read(length))
        count, channels, pixel_bytes = footer["count"], footer["channels"], footer["bytes"]
        sides = np.empty((0, 2), np.int32)
        if footer["side"] is None:
            file.seek(pixel_bytes)
            sides = np.frombuffer(file.read(8 * count), np.int32).reshape(count, 2)
    flat = np.empty(0, np.uint8)
    if pixel_bytes:  # nothing cannot be mapped
        flat = np.asarray(np.memmap(path, np.uint8, "r", shape=(pixel_bytes,)))
    bad = tuple(footer["bad"])
    if footer["side"] is None:
        return Kept(pixels=Ragged(flat, sides=sides.astype(np.int64), channels=channels), bad=bad)
    return Kept(pixels=flat.reshape(count, *footer["side"], channels), bad=bad)


def _lock(file: BinaryIO, waiting: Callable[[], None]) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            time.sleep(_POLL_S)
        else:
            return


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
