"""What was compiled before, by the digest of all that went into it.

A network that is trained anew keeps its code, so building it again takes as long as linking. One
file a compiled unit, written in one piece, under a folder of the user's. A file that was cut or
changed is told by its digest and made again. Any number of builds may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import OutputError
from convforge.files import cache_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT_BYTES = 512 << 20
_DIGEST_BYTES = 32
_SUFFIX = ".unit"


@dataclass(frozen=True)
class BuildCache:
    """A folder of compiled units; the ones that were used longest ago go first when it is full.

    Without a folder it has nothing and keeps nothing.
    """

    folder: Path | None
    limit_bytes: int = LIMIT_BYTES

    def get(self, key: str) -> bytes | None:
        """The unit of this key; None where it is not there whole."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):  # another build may have removed it
            os.utime(path)
        digest, content = entry[:_DIGEST_BYTES], entry[_DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else None

    def put(self, key: str, content: bytes) -> None:
        """Keep a unit; where the folder cannot be written, the next build makes the unit again."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError, OutputError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_file(self._path(key), hashlib.sha256(content).digest() + content)

    def trim(self) -> None:
        """Remove what was used longest ago until the rest is within the limit."""
        if self.folder is None:
            return
        entries = []
        for path in self.folder.glob(f"*{_SUFFIX}*"):  # and what a build that was killed left
            with contextlib.suppress(OSError):  # another build may have removed it
                found = path.stat()
                entries.append((found.st_mtime_ns, found.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}{_SUFFIX}"


def open_cache() -> BuildCache:
    """In the folder that `CONVFORGE_CACHE` names, the user's own without it, none for "off"."""
    chosen = os.environ.get("CONVFORGE_CACHE")
    if chosen == "off":
        return BuildCache(None)
    return BuildCache(Path(chosen) if chosen else cache_folder() / "build")


def key_of(parts: Iterable[bytes]) -> str:
    """One name for these parts, in this order, whatever their boundaries are."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
