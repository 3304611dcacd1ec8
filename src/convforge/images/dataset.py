"""Data sets: `Images` and its parts (`Split`): named images with labels, read one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

FLAT = "all"  # the one part of a folder without parts, as evaluation sees it
LISTED = 10  # names that a message lists before it only counts


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """One part of a data set: named images with labels, each read when it is asked for.

    `names` has one name an image, unique: its path below the data set with "/" between folders, or
    "digits/0001". `labels` int64 [N], read-only, are indexes into the class names. `read(i)` gives
    image i, uint8 RGB [H, W, 3], or raises DataError; it is called from several threads. `digests`
    are the SHA-256 of each image's file (of its pixels, where it has no file of its own); empty
    where the images were put together by hand. `read_small(i, short_side)` is `read` that may give
    a smaller image, with a short side of at least so many pixels, where that is quicker. `whole` is
    how many images the part had that these were taken from; 0 where they are all of it.
    """

    name: str
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    read: Callable[[int], NDArray[np.uint8]]
    digests: tuple[bytes, ...] = ()
    read_small: Callable[[int, int], NDArray[np.uint8]] | None = None
    whole: int = 0

    def __post_init__(self) -> None:
        labels = np.array(self.labels, dtype=np.int64)
        labels.setflags(write=False)
        object.__setattr__(self, "labels", labels)
        assert labels.shape == (len(self.names),), "one label a name"
        assert len(self.digests) in {0, len(self.names)}, "one digest a name"

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, *, short_side: int | None = None) -> NDArray[np.uint8]:
        """Image `index`, uint8 RGB [H, W, 3]. Raises DataError, naming the file.

        With `short_side`, a JPEG may come at a smaller scale, as `decode_file` says.
        """
        if short_side is None or self.read_small is None:
            return self.read(index)
        return self.read_small(index, short_side)

    def select(self, rows: Sequence[int]) -> Split:
        """The images `rows` alone, in that order."""
        if list(rows) == list(range(len(self))):
            return self
        read_small = self.read_small and partial(_read_small_row, self.read_small, list(rows))
        return replace(
            self,
            names=tuple(self.names[row] for row in rows),
            labels=self.labels[list(rows)],
            digests=tuple(self.digests[row] for row in rows) if self.digests else (),
            read=partial(_read_row, self.read, list(rows)),
            read_small=read_small,
            whole=self.whole or len(self),
        )

    def for_classes(self, classes: Sequence[str], *, own: Sequence[str]) -> Split:
        """The same images with labels into `classes`, matched by name; `own` are theirs until now.

        A class without an image here is fine. Raises DataError naming the classes of images here
        that `classes` does not have.
        """
        index = {name: i for i, name in enumerate(classes)}
        unknown = [own[i] for i in np.unique(self.labels) if own[i] not in index]
        if unknown:
            raise DataError(
                f"part {self.name} has classes that the classifier was not trained on: "
                f"{listing(unknown)}; its {len(classes)} are {listing(classes)}: rename the class "
                "folders, or take the data or the classifier that belongs to the other"
            )
        table = np.array([index.get(name, -1) for name in own], dtype=np.int64)
        return replace(self, labels=table[self.labels])


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """Images for training and evaluation, with their class names in the order of the labels.

    `channels` is 1 if every image is grey by its header, else 3. `splits` always has "train"; "val"
    and "test" where the source has such or was split. `fingerprint` is a SHA-256 (hex) of class
    names, labels and file bytes (pixels, for the digits); where the folder lies, the names of
    its files and how a flat folder was split do not enter. `split_record` is the record's "split",
    empty for a data set that was put together by hand.
    """

    uri: str
    classes: tuple[str, ...]
    channels: int
    splits: Mapping[str, Split]
    fingerprint: str
    split_record: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As plain JSON values, for `Card.data`: "uri", "fingerprint" and "split".

        "split" is {"method": "folders"} where the source has its own parts. For a seeded split it
        is {"method": "seeded", "seed", "fraction", "test": names of the held-out images, "known":
        what a few of them hold}, and `open(uri, split=…)` makes the same split from it again.
        Both have "val" too, names, where such images were taken from "train".
        """
        split = {k: list(v) if k in {"test", "val"} else v for k, v in self.split_record.items()}
        return {"uri": self.uri, "fingerprint": self.fingerprint, "split": split}

    def part(self, name: str | None = None, *, classes: Sequence[str]) -> Split:
        """One part, its labels into a classifier's `classes` by name, as evaluation needs it.

        Without a name: "test" where there is one, else "val". Raises DataError where there is no
        such part, or a class here is unknown to the classifier.
        """
        return choose_part(self.splits, name, own=self.classes, classes=classes, origin=self.uri)


def choose_part(
    splits: Mapping[str, Split],
    name: str | None,
    *,
    own: Sequence[str],
    classes: Sequence[str],
    origin: str,
) -> Split:
    """`Images.part`, of splits whose labels index `own`; FLAT stands for a whole folder."""
    chosen = name or next((part for part in ("test", "val", FLAT) if part in splits), None)
    if chosen is None:
        raise DataError(
            f"{origin}: only a part to train on, nothing to evaluate on; add test/ or val/, or "
            "name the part (train) to evaluate on it all the same"
        )
    if chosen not in splits:
        raise DataError(f"{origin}: no part {chosen!r}; there is {listing(splits)}")
    return splits[chosen].for_classes(classes, own=own)


def listing(names: Iterable[str]) -> str:
    """Names for a message: "a, b, c", or the first LISTED and how many more."""
    every = list(names)
    more = f" and {len(every) - LISTED:,} more" if len(every) > LISTED else ""
    return ", ".join(every[:LISTED]) + more


def _read_row(
    read: Callable[[int], NDArray[np.uint8]], rows: Sequence[int], index: int
) -> NDArray[np.uint8]:
    return read(rows[index])


def _read_small_row(
    read: Callable[[int, int], NDArray[np.uint8]],
    rows: Sequence[int],
    index: int,
    short_side: int,
) -> NDArray[np.uint8]:
    return read(rows[index], short_side)
