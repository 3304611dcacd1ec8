"""What every source gives: entries by part, the reader that knows how to get at them, the content.

    a folder, a table, shards, binary files  →  Collection  →  Images, split, with a fingerprint

The fingerprint is made of part, class name and SHA-256 of each image, so that the same images have
the same one as a folder, in shards or as rows of a table.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convforge.errors import DataError
from convforge.images.dataset import FLAT, Split, listing
from convforge.images.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from convforge.images.threads import Progress

# What a part may be called → the split that it is.
PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
UNREADABLE = hashlib.sha256(b"unreadable").digest()  # stands for the content of such a file

_CHUNK = 256  # images a task of the thread pool, and between two reports


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: its unique name (NFC), its class, and where its reader finds it."""

    name: str
    label: str
    place: Any


class Reader(Protocol):
    """How the images of a source are got at, by their places; from several threads at once."""

    def read(self, place: Any, *, short_side: int | None = None) -> NDArray[np.uint8]:
        """Image uint8 RGB [H, W, 3], a JPEG maybe at a smaller scale, as `decode_file` says.

        Raises DataError, naming the image.
        """

    def digest(self, place: Any) -> tuple[bytes, bool | None]:
        """SHA-256 of an image's content, and whether it is grey; None where that is not known.

        Raises OSError where it cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What a source holds: entries by part ("train", "val", "test"; only FLAT where it has none).

    `origin` is what messages call it, `where` says how its parts are told apart. `classes` are all
    class names in their order, where the source has one; else they are sorted.
    """

    origin: str
    where: str
    parts: Mapping[str, tuple[Entry, ...]]
    reader: Reader
    classes: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries of all parts."""
        return tuple(entry for entries in self.parts.values() for entry in entries)

    def classes_of(self, entries: Iterable[Entry]) -> tuple[str, ...]:
        """The classes that have an image among these, in their order."""
        present = {entry.label for entry in entries}
        if self.classes:
            return tuple(name for name in self.classes if name in present)
        return tuple(sorted(present))


@dataclass(frozen=True)
class Content:
    """What the images hold: `channels` is 1 if all are grey, by their headers, else 3.

    `digests` are SHA-256 by an entry's name, UNREADABLE where there is none.
    """

    fingerprint: str
    channels: int
    digests: Mapping[str, bytes]


def check_names(names: Iterable[str], *, origin: str) -> None:
    """Raise DataError naming the entries that have one name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{origin}: there twice: {listing(twice)}; remove or rename one of each")


def read_content(collection: Collection, *, progress: Progress | None = None) -> Content:
    """Read every image's bytes once, for the fingerprint and the number of channels.

    A damaged image has a digest like any other, one that cannot be read has UNREADABLE; decoding
    will say why.
    """
    entries = collection.entries
    chunks = [entries[start : start + _CHUNK] for start in range(0, len(entries), _CHUNK)]
    digests: dict[str, bytes] = {}
    grey: list[bool] = []
    work = partial(_digests, collection.reader)
    for chunk, found in zip(chunks, map_threads(work, chunks), strict=True):
        digests.update(
            {entry.name: digest for entry, (digest, _) in zip(chunk, found, strict=True)}
        )
        grey += [is_grey for _, is_grey in found if is_grey is not None]
        if progress is not None:
            progress(len(digests), len(entries), "reading images")
    lines = [
        ("" if part == FLAT else part, entry.label, digests[entry.name].hex())
        for part, entries in collection.parts.items()
        for entry in entries
    ]
    text = json.dumps(sorted(lines), ensure_ascii=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return Content(fingerprint, channels=1 if grey and all(grey) else 3, digests=digests)


def as_split(
    name: str,
    entries: Sequence[Entry],
    *,
    reader: Reader,
    classes: Sequence[str],
    content: Content | None = None,
) -> Split:
    """Entries as a part, labels into `classes`."""
    index = {label: i for i, label in enumerate(classes)}
    places = [entry.place for entry in entries]
    return Split(
        name=name,
        names=tuple(entry.name for entry in entries),
        labels=np.array([index[entry.label] for entry in entries], dtype=np.int64),
        read=partial(_read_at, reader, places),
        read_small=partial(_read_small_at, reader, places),
        digests=tuple(content.digests[entry.name] for entry in entries) if content else (),
    )


def _digests(reader: Reader, entries: Sequence[Entry]) -> list[tuple[bytes, bool | None]]:
    found: list[tuple[bytes, bool | None]] = []
    for entry in entries:
        try:
            found.append(reader.digest(entry.place))
        except OSError:
            found.append((UNREADABLE, None))
    return found


def _read_at(reader: Reader, places: Sequence[Any], index: int) -> NDArray[np.uint8]:
    return reader.read(places[index])


def _read_small_at(
    reader: Reader, places: Sequence[Any], index: int, short_side: int
) -> NDArray[np.uint8]:
    return reader.read(places[index], short_side=short_side)
