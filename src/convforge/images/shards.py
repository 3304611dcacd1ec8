"""Tar shards as webdataset writes them: `key.jpg` beside `key.cls` or `key.json`.

    shards:photos/train-{00..99}.tar        train, val, test in the names, or a split by a seed
    shards:{train,val}/{000..012}.tar?classes=names.txt

A key is a member's name up to the first dot of its last piece. A sample's image is the member whose
suffix is one of an image; its label is the text of `key.cls`, or "label" in `key.json`. Members of
other suffixes are passed over. Nothing is extracted: members are read where they lie in the shard,
and no name in it is ever used as a path.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from convforge.errors import DataError
from convforge.images.collection import Collection, Entry, check_names
from convforge.images.folder import SUFFIXES
from convforge.images.picture import decode_file, is_grey
from convforge.images.uri import by_part, expand, read_classes, short_names, split_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MAX_IMAGE_BYTES = 256_000_000
MAX_LABEL_BYTES = 1_000_000

_BLOCK = 512  # bytes; tar's unit


class Member(NamedTuple):
    """Where an image lies: `size` bytes from `offset` of a shard; `name` is for messages."""

    shard: Path
    name: str
    offset: int
    size: int

    def content(self) -> bytes:
        """Its bytes. Raises OSError where they cannot be read."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True)
class TarReader:
    """Images that are members of shards."""

    def read(self, place: Member, *, short_side: int | None = None) -> NDArray[np.uint8]:
        """As `Reader.read`."""
        name = f"{place.shard}: {place.name}"
        try:
            content = place.content()
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror})") from None
        return decode_file(io.BytesIO(content), name=name, short_side=short_side)

    def digest(self, place: Member) -> tuple[bytes, bool | None]:
        """As `Reader.digest`."""
        content = place.content()
        return hashlib.sha256(content).digest(), is_grey(io.BytesIO(content))


def read_shards(text: str) -> Collection:
    """List the shards of a pattern, with `?classes=FILE` where labels are numbers into a list.

    Raises DataError naming the shard, and the member, where one is damaged, compressed, too large
    or no sample.
    """
    pattern, options = split_options(text, known=("classes",))
    classes = read_classes(options["classes"]) if options else ()
    paths = expand(pattern)
    short = short_names(paths)
    parts = {
        part: tuple(
            entry for path in files for entry in _entries(path, name=short[path], classes=classes)
        )
        for part, files in by_part(paths, origin=pattern).items()
    }
    check_names((e.name for entries in parts.values() for e in entries), origin=pattern)
    where = "shards with train in their names"
    return Collection(
        origin=f"shards:{pattern}", where=where, parts=parts, reader=TarReader(), classes=classes
    )


def _entries(shard: Path, *, name: str, classes: Sequence[str]) -> Iterator[Entry]:
    samples: dict[str, dict[str, Member]] = {}
    for member in _members(shard):
        folder, slash, last = member.name.rpartition("/")
        stem, _, suffix = last.partition(".")
        sample = samples.setdefault(f"{folder}{slash}{stem}", {})
        if sample.setdefault(suffix.lower(), member) is not member:
            raise DataError(f"{shard}: {member.name}: there twice; write the shard again")
    for key, sample in samples.items():
        images = [one for suffix, one in sample.items() if f".{suffix}" in SUFFIXES]
        if len(images) != 1:
            raise DataError(
                f"{shard}: {key}: {len(images)} images among {listing_of(sample)}; expected one a "
                f"key, such as {key}.jpg beside {key}.cls"
            )
        [image] = images
        if image.size > MAX_IMAGE_BYTES:
            raise DataError(
                f"{shard}: {image.name}: {image.size:,} bytes; expected at most {MAX_IMAGE_BYTES:,}"
            )
        label = _label(key, sample, classes=classes)
        yield Entry(unicodedata.normalize("NFC", f"{name}/{image.name}"), label, image)


def listing_of(sample: dict[str, Member]) -> str:
    """Suffixes for a message."""
    return ", ".join(f".{suffix}" for suffix in sorted(sample))


def _members(shard: Path) -> Iterator[Member]:
    """The files in a shard, without reading what they hold."""
    size = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    raise DataError(f"{shard}: {info.name}: a link or device; expected plain files")
                yield Member(shard, info.name, info.offset_data, info.size)
                end = info.offset_data + info.size
                if end > size:
                    raise DataError(f"{shard}: {info.name}: cut short; copy the shard again")
            with shard.open("rb") as file:
                file.seek(tar.offset)
                if len(file.read(_BLOCK)) < _BLOCK:
                    raise DataError(f"{shard}: cut short, its end is missing; copy the shard again")
    except (tarfile.TarError, OSError, ValueError) as error:
        raise DataError(
            f"{shard}: not a tar file, compressed, or damaged ({error}); expected one that is not "
            "compressed, since its members are read where they lie"
        ) from None


def _label(key: str, sample: dict[str, Member], *, classes: Sequence[str]) -> str:
    """The class of a sample: text, or a number, into `classes` where there are such."""
    member = sample.get("cls", sample.get("json"))
    if member is None:
        raise DataError(
            f"{next(iter(sample.values())).shard}: {key}: no label among {listing_of(sample)}; "
            f"expected {key}.cls, or {key}.json with a label"
        )
    where = f"{member.shard}: {member.name}"
    if member.size > MAX_LABEL_BYTES:
        raise DataError(f"{where}: {member.size:,} bytes; expected at most {MAX_LABEL_BYTES:,}")
    try:
        text = member.content().decode("utf-8")
        label = text.strip() if "cls" in sample else json.loads(text)["label"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{where}: no label can be read ({error!r})") from None
    return class_name(label, classes=classes, where=where)


def class_name(label: object, *, classes: Sequence[str], where: str) -> str:
    """A label as a class name: a number is an index into `classes`, where there are such.

    Raises DataError, beginning with `where`, for one that is empty, or no index.
    """
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"{where}: label {label!r}; expected a class name or a whole number")
    if not classes:
        return unicodedata.normalize("NFC", label)
    if label.isdecimal() and int(label) < len(classes):
        return classes[int(label)]
    raise DataError(f"{where}: label {label}; expected a number from 0 to {len(classes) - 1}")
