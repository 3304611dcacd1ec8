"""Data sets: `Images`, its parts (`Split`), and the decoding of a part into one array.

Nothing is skipped: a damaged image ends the reading of its part with one DataError that lists every
damaged image of it, so that they can be dealt with at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import DataError
from convforge.images.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from convforge.images.preprocess import Preprocess
    from convforge.images.threads import Progress

FLAT = "all"  # the one part of a folder without parts, as evaluation sees it
LISTED = 10  # names that a message lists before it only counts
_CHUNK = 32  # images a task of the thread pool: small enough for a smooth progress bar


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """One part of a data set: named images with labels, each read when it is asked for.

    `names` has one name an image, unique: its path below the data set with "/" between folders, or
    "digits/0001". `labels` int64 [N], read-only, are indexes into the class names. `read(i)` gives
    image i, uint8 RGB [H, W, 3], or raises DataError; it is called from several threads.
    """

    name: str
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    read: Callable[[int], NDArray[np.uint8]]

    def __post_init__(self) -> None:
        labels = np.array(self.labels, dtype=np.int64)
        labels.setflags(write=False)
        object.__setattr__(self, "labels", labels)
        assert labels.shape == (len(self.names),), "one label a name"

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> NDArray[np.uint8]:
        """Image `index`, uint8 RGB [H, W, 3]. Raises DataError, naming the file."""
        return self.read(index)

    def batches(self, size: int) -> Iterator[list[NDArray[np.uint8]]]:
        """All images in order, `size` at a time (the last batch may be smaller), at full size.

        Holds one batch in memory. At the first damaged image the rest is read through as well, and
        one DataError lists all that are damaged.
        """
        for start in range(0, len(self), size):
            indices = range(start, min(start + size, len(self)))
            try:
                batch = [self.load(i) for i in indices]
            except DataError:
                raise _damaged(self._all_failures(start), total=len(self)) from None
            yield batch

    def for_classes(self, classes: Sequence[str], *, own: Sequence[str]) -> Split:
        """The same images with labels into `classes`, matched by name; `own` are theirs until now.

        A class without an image here is fine. Raises DataError naming the classes of images here
        that `classes` does not have.
        """
        index = {name: i for i, name in enumerate(classes)}
        unknown = [own[i] for i in np.unique(self.labels) if own[i] not in index]
        if unknown:
            raise DataError(
                f"{self.name}: {listing(unknown)} not among the {len(classes)} classes of the "
                f"classifier: {listing(classes)}; rename the class folder, or evaluate a "
                "classifier that was trained on it"
            )
        table = np.array([index.get(name, -1) for name in own], dtype=np.int64)
        return replace(self, labels=table[self.labels])

    def _all_failures(self, start: int) -> list[str]:
        messages = []
        for index in range(start, len(self)):
            try:
                self.load(index)
            except DataError as error:
                messages.append(str(error))
        return messages

    def decode_all(
        self, preprocess: Preprocess, *, progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """Every image once through `preprocess.pixels` → uint8 [N, crop height, crop width, C].

        Row i is image i, whatever the number of threads. Memory: the result (N·H·W·C bytes) and one
        decoded image a thread. Raises DataError where the result would not fit the machine's
        memory, and one DataError for all damaged images.
        """
        return decode_all([self], preprocess, progress=progress)[0]


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
        is {"method": "seeded", "seed", "fraction", "test": names of the held-out images}, and
        `open(uri, split=…)` makes the same split from it again.
        """
        split = {k: list(v) if k == "test" else v for k, v in self.split_record.items()}
        return {"uri": self.uri, "fingerprint": self.fingerprint, "split": split}

    def part(self, name: str | None = None, *, classes: Sequence[str]) -> Split:
        """One part, its labels into a classifier's `classes` by name, as evaluation needs it.

        Without a name: "test" where there is one, else "val". Raises DataError where there is no
        such part, or a class here is unknown to the classifier.
        """
        return choose_part(self.splits, name, own=self.classes, classes=classes, origin=self.uri)

    def decode_all(
        self, preprocess: Preprocess, *, progress: Progress | None = None
    ) -> dict[str, NDArray[np.uint8]]:
        """Every part by name, as `Split.decode_all`; one DataError for all damaged images."""
        arrays = decode_all(list(self.splits.values()), preprocess, progress=progress)
        return dict(zip(self.splits, arrays, strict=True))


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


def decode_all(
    splits: Sequence[Split], preprocess: Preprocess, *, progress: Progress | None = None
) -> list[NDArray[np.uint8]]:
    """`Split.decode_all` of several parts, with one DataError for the damaged images of all."""
    channels, height, width = preprocess.input_shape
    total = sum(len(split) for split in splits)
    _check_memory(images=total, image_bytes=height * width * channels)
    arrays = [np.empty((len(s), height, width, channels), np.uint8) for s in splits]

    def fill(task: tuple[int, range]) -> list[str]:
        part, indices = task
        return _failures(splits[part], indices, preprocess=preprocess, out=arrays[part])

    tasks = [
        (part, range(start, min(start + _CHUNK, len(split))))
        for part, split in enumerate(splits)
        for start in range(0, len(split), _CHUNK)
    ]
    failures: list[str] = []
    done = 0
    for (_, indices), messages in zip(tasks, map_threads(fill, tasks), strict=True):
        failures += messages
        done += len(indices)
        if progress is not None:
            progress(done, total, "decoding images")
    if failures:
        raise _damaged(failures, total=total)
    return arrays


def listing(names: Iterable[str]) -> str:
    """Names for a message: "a, b, c", or the first LISTED and how many more."""
    every = list(names)
    more = f" and {len(every) - LISTED:,} more" if len(every) > LISTED else ""
    return ", ".join(every[:LISTED]) + more


def _failures(
    split: Split, indices: range, *, preprocess: Preprocess, out: NDArray[np.uint8]
) -> list[str]:
    """Decode images `indices` of a part into `out`; gives a message for each that cannot be."""
    messages = []
    for index in indices:
        try:
            image = split.load(index)
        except DataError as error:
            messages.append(str(error))
            continue
        try:
            out[index] = preprocess.pixels(image)
        except DataError as error:
            messages.append(f"{split.names[index]}: {error}")
    return messages


def _damaged(messages: Sequence[str], *, total: int) -> DataError:
    listed = "".join(f"\n  {message}" for message in messages[:LISTED])
    more = f"\n  and {len(messages) - LISTED} more" if len(messages) > LISTED else ""
    return DataError(
        f"{len(messages)} of {total} images cannot be used; repair or remove them:{listed}{more}"
    )


def _check_memory(*, images: int, image_bytes: int) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if images * image_bytes > memory:
        raise DataError(
            f"{images:,} decoded images of {image_bytes:,} bytes need "
            f"{images * image_bytes / 1e9:.1f} GB, the machine has {memory / 1e9:.1f} GB; "
            "use fewer images or a smaller input size"
        )
