"""Where images come from: a URI → a data set to train on, or a part of one to evaluate on.

    digits, digits:SEED             scikit-learn's handwritten digits, split by a seed
    a folder                        class folders, directly or below train/, val/ (validation/),
                                    test/; or the IDX files of MNIST's kin, or CIFAR's binary files
    a .csv, .parquet or .tar file   as csv:, parquet: and shards: with that file
    arrays:DIR                      IDX or CIFAR files, with ?classes=FILE to name the classes
    csv:FILE                        a table filename,label, with or without split
    parquet:PATTERN                 encoded images in a column
    shards:PATTERN                  tar files as webdataset writes them
    torchvision:NAME                torchvision's own, with ?root=DIR where they lie

A folder or file that is called like one of these opens as `./digits`, or as a Path.
"""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convforge.errors import DataError
from convforge.images.arrays import has_arrays, read_arrays
from convforge.images.collection import as_split, read_content
from convforge.images.csv_table import read_csv
from convforge.images.dataset import FLAT, Images, Split, choose_part, listing
from convforge.images.digits import is_digits, open_digits
from convforge.images.folder import read_folder
from convforge.images.holdout import (
    TEST_FRACTION,
    check_seed,
    draw_test,
    known_images,
    recorded_test,
    recorded_val,
    seeded_record,
    take_val,
    with_val,
)
from convforge.images.parquet import read_parquet
from convforge.images.shards import read_shards
from convforge.images.torchvision_sets import read_torchvision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convforge.images.collection import Collection, Content, Entry
    from convforge.images.threads import Progress

BUILT_IN = ("digits",)
SCHEMES: dict[str, Callable[[str], Collection]] = {
    "arrays": read_arrays,
    "csv": read_csv,
    "parquet": read_parquet,
    "shards": read_shards,
    "torchvision": read_torchvision,
}
SUFFIXES = {".csv": read_csv, ".parquet": read_parquet, ".tar": read_shards}


def open(  # noqa: A001 - `images.open` says what it does
    uri: str | Path,
    *,
    split: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Images:
    """The data set at `uri`, to train on.

    A source with a part train keeps its parts, and what val and test hold must be classes of train.
    Any other is split by `seed`: 20 % of each class go to "test". Classes are in the source's own
    order where it has one, else in plain sorted order of their names (by code point: "10" before
    "2"); the order travels with the classifier. `split` is a record's (`card.data["split"]`) and
    makes that split again, over `seed`: the same images are held out, whatever was added since then
    is trained on. Every file is read once, for the fingerprint; no pixel is decoded.

    Raises DataError where there is no such data set, its layout is not understood, there are
    fewer than two classes, or images that the record holds out are missing.
    """
    check_seed(seed)
    if is_digits(uri):
        return open_digits(str(uri), split=split, seed=seed)
    collection = _find(uri)
    if FLAT not in collection.parts and "train" not in collection.parts:
        raise DataError(
            f"{uri}: there is {listing(collection.parts)} but no train, which training needs; "
            f"add {collection.where}"
        )
    parts, record = _split(collection, split=split, seed=seed)
    _check_classes(collection, parts)
    content = read_content(collection, progress=progress)
    if FLAT in collection.parts:
        record["known"] = known_images(record["test"], content.digests)
    images = _images(uri, collection, parts, content=content, record=record)
    if split is None or "val" in parts:
        return images
    return with_val(images, recorded_val(split, images.splits["train"].names, origin=str(uri)))


def open_for_evaluation(
    uri: str | Path,
    *,
    classes: Sequence[str],
    trained_on: Mapping[str, Any] | None = None,
    part: str | None = None,
    progress: Progress | None = None,
) -> Split:
    """What to evaluate a classifier with `classes` on, of the data set at `uri`.

    Labels are indexes into `classes`, matched by name: a class that the folder lacks is fine.
    `trained_on` is what the classifier's card says of its training data (`card.data`; empty or None
    where unknown). What is given, by default:

    - the digits, or a flat folder, that it was trained on: the images that were held out. It is the
      same folder if it has the recorded fingerprint or, changed since then, lies at the recorded
      path and has held-out images as they were; images that were added are in neither part of a
      record, so they are not evaluated on;
    - a folder with parts: test/, else val/, else what was taken from train/ to validate on in the
      training, where it is this folder;
    - any other flat folder of class folders, such as photos/val: all of it, called "all".

    `part` names another part ("train", "val", "test"). Raises DataError where there is no such
    part, nothing to evaluate on, a class unknown to the classifier, or a held-out image missing.
    """
    trained_on = trained_on or {}
    if is_digits(uri):
        images = open_digits(str(uri))
        if images.fingerprint == trained_on.get("fingerprint"):
            images = open_digits(str(uri), split=trained_on.get("split"))
        return images.part(part, classes=classes)
    collection = _find(uri)
    parts: Mapping[str, Sequence[Entry]] = collection.parts
    split = trained_on.get("split") or {}
    asks_val = "val" in split and _looks_at_val(parts, part)
    is_own = (FLAT in parts or asks_val) and _is_trained_on(
        collection, uri, trained_on, progress=progress
    )
    if is_own:
        parts, _ = _split(collection, split=split, seed=0)
    own = collection.classes_of(collection.entries)
    splits = {
        name: as_split(name, entries, reader=collection.reader, classes=own)
        for name, entries in parts.items()
    }
    if is_own and asks_val:
        train = splits["train"].names if "train" in splits else ()
        splits = take_val(splits, recorded_val(split, train, origin=str(uri)))
    return choose_part(splits, part, own=own, classes=classes, origin=str(uri))


def _looks_at_val(parts: Mapping[str, Sequence[Entry]], part: str | None) -> bool:
    """Whether what was taken from "train" to validate on matters to a part of these."""
    usual = part is None and not {"test", FLAT} & set(parts)
    return "val" not in parts and (part in {"train", "val"} or usual)


def _find(uri: str | Path) -> Collection:
    scheme, colon, place = str(uri).partition(":")
    if isinstance(uri, str) and colon and scheme in SCHEMES:
        return SCHEMES[scheme](place)
    path = Path(uri)
    if str(uri) and path.is_dir():
        return read_arrays(str(path)) if has_arrays(path) else read_folder(path)
    if path.is_file():
        if path.suffix in SUFFIXES:
            return SUFFIXES[path.suffix](str(path))
        raise DataError(
            f"{uri}: is a file; expected a folder of class folders, or one of {', '.join(SUFFIXES)}"
        )
    near = difflib.get_close_matches(path.name, [*BUILT_IN, *_folders_beside(path)], cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "check the path"
    raise DataError(
        f"{str(uri)!r}: no such data set; there is no folder {str(path.absolute())!r}, and the "
        f"built-in data sets are: {', '.join(BUILT_IN)}; others begin with "
        f"{', '.join(f'{name}:' for name in SCHEMES)}; {hint}"
    )


def _folders_beside(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.is_dir() and p.name[0] != "."]
    except OSError:
        return []


def _split(
    collection: Collection, *, split: Mapping[str, Any] | None, seed: int
) -> tuple[dict[str, Sequence[Entry]], dict[str, Any]]:
    """Entries by part, those without parts split by the record or the seed, and its record."""
    if FLAT not in collection.parts:
        if split is not None and split.get("method") != "folders":
            raise DataError(
                f"{collection.origin}: the recorded split is of a data set without parts, this one "
                f"has {listing(collection.parts)}; open the one that was trained on, or open this "
                "one without the record"
            )
        return dict(collection.parts), {"method": "folders"}
    entries = collection.entries
    labels = {entry.name: entry.label for entry in entries}
    if split is not None:
        test = recorded_test(split, labels, origin=collection.origin)
        record = dict(split)
    else:
        test = draw_test(labels, seed=seed)
        record = seeded_record(test, seed=seed, fraction=TEST_FRACTION)
    return {
        "train": [entry for entry in entries if entry.name not in test],
        "test": [entry for entry in entries if entry.name in test],
    }, record


def _check_classes(collection: Collection, parts: Mapping[str, Sequence[Entry]]) -> None:
    train = collection.classes_of(parts["train"])
    for part, entries in parts.items():
        unknown = [label for label in collection.classes_of(entries) if label not in train]
        if unknown:
            raise DataError(
                f"{collection.origin}: {part} has classes without an image to train on: "
                f"{listing(unknown)}; add images of the class to train on, or remove it"
            )
    if len(train) < 2:
        raise DataError(
            f"{collection.origin}: one class only, {listing(train)}; a classifier needs two or more"
        )
    if not all(parts.values()):
        raise DataError(
            f"{collection.origin}: a single image in every class leaves none to test on; add "
            "images, at least two in one class"
        )


def _is_trained_on(
    collection: Collection,
    uri: str | Path,
    trained_on: Mapping[str, Any],
    *,
    progress: Progress | None,
) -> bool:
    """Whether a data set is the one that a card's split was drawn from."""
    split, recorded = trained_on.get("split") or {}, str(trained_on.get("uri"))
    method, part = ("seeded", "test") if FLAT in collection.parts else ("folders", "val")
    if split.get("method") != method or is_digits(recorded):
        return False
    held = set(split[part])
    if recorded != str(uri) and Path(recorded).resolve() != Path(uri).resolve():
        content = read_content(collection, progress=progress)
        return content.fingerprint == trained_on.get("fingerprint")
    # A relative path may lead to other images elsewhere, which are then called alike at most.
    present = {entry.name for entry in collection.entries} & held
    if len(present) < len(held):
        return bool(present)  # what is missing is named later
    known = split.get("known") or {}
    some = tuple(entry for entry in collection.entries if entry.name in known)
    content = read_content(dataclasses.replace(collection, parts={FLAT: some}), progress=progress)
    return not known or known_images(known, content.digests).items() & known.items() != set()


def _images(
    uri: str | Path,
    collection: Collection,
    parts: Mapping[str, Sequence[Entry]],
    *,
    content: Content,
    record: Mapping[str, Any],
) -> Images:
    classes = collection.classes_of(parts["train"])
    return Images(
        uri=str(uri),
        classes=classes,
        channels=content.channels,
        splits={
            name: as_split(
                name, entries, reader=collection.reader, classes=classes, content=content
            )
            for name, entries in parts.items()
        },
        fingerprint=content.fingerprint,
        split_record=record,
    )
