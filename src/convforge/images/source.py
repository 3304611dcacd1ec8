"""Where images come from: a URI → a data set to train on, or a part of one to evaluate on.

    digits, digits:SEED     scikit-learn's handwritten digits, split by a seed
    a folder                class folders, directly or below train/, val/ (validation/), test/

A folder that is called like a built-in data set opens as `./digits`, or as a Path.
"""

from __future__ import annotations

import difflib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import DataError
from convforge.images.dataset import FLAT, Images, Split, choose_part, listing
from convforge.images.decode import decode
from convforge.images.digits import is_digits, open_digits
from convforge.images.folder import Folder, read_content, read_folder
from convforge.images.holdout import (
    TEST_FRACTION,
    check_seed,
    draw_test,
    recorded_test,
    seeded_record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from convforge.images.folder import Content, ImageFile
    from convforge.images.threads import Progress

BUILT_IN = ("digits",)


def open(  # noqa: A001 - `images.open` says what it does
    uri: str | Path,
    *,
    split: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Images:
    """The data set at `uri`, to train on.

    A folder with train/ keeps its parts, and what val/ and test/ hold must be classes of train/. A
    flat folder of class folders is split by `seed`: 20 % of each class go to "test". Classes are
    in plain sorted order of their names (by code point: "10" before "2"); the order travels with
    the classifier. `split` is a record's (`card.data["split"]`) and makes that split again, over
    `seed`: the same images are held out, whatever the folder has gained since then is trained on.
    Every file is read once, for the fingerprint; no pixel is decoded.

    Raises DataError where there is no such data set, its layout is not understood, there are
    fewer than two classes, or images that the record holds out are missing.
    """
    check_seed(seed)
    if is_digits(uri):
        return open_digits(str(uri), split=split, seed=seed)
    folder = read_folder(_find_folder(uri))
    if FLAT not in folder.parts and "train" not in folder.parts:
        raise DataError(
            f"{uri}: there is {listing(folder.parts)} but no train/, which training needs; "
            "add train/ with the same class folders"
        )
    parts, record = _split(folder, split=split, seed=seed)
    _check_classes(parts, uri=uri)
    content = read_content(folder, progress=progress)
    return _images(uri, parts, content=content, record=record)


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
      path; images that were added are in neither part of a record, so they are not evaluated on;
    - a folder with parts: test/, else val/;
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
    folder = read_folder(_find_folder(uri))
    parts: Mapping[str, Sequence[ImageFile]] = folder.parts
    if FLAT in parts and _is_trained_on(folder, trained_on, progress=progress):
        parts, _ = _split(folder, split=trained_on["split"], seed=0)
    own = _classes_of(folder.files)
    splits = {name: _as_split(name, files, classes=own) for name, files in parts.items()}
    return choose_part(splits, part, own=own, classes=classes, origin=str(uri))


def _find_folder(uri: str | Path) -> Path:
    path = Path(uri)
    if str(uri) and path.is_dir():
        return path
    if path.is_file():
        raise DataError(f"{uri}: is a file; expected a folder of class folders")
    near = difflib.get_close_matches(path.name, [*BUILT_IN, *_folders_beside(path)], cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "check the path"
    raise DataError(
        f"{str(uri)!r}: no such data set; there is no folder {str(path.absolute())!r}, and the "
        f"built-in data sets are: {', '.join(BUILT_IN)}; {hint}"
    )


def _folders_beside(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.is_dir() and p.name[0] != "."]
    except OSError:
        return []


def _split(
    folder: Folder, *, split: Mapping[str, Any] | None, seed: int
) -> tuple[dict[str, Sequence[ImageFile]], dict[str, Any]]:
    """Files by part, a flat folder split by the record or the seed, and the record of that."""
    if FLAT not in folder.parts:
        if split is not None and split.get("method") != "folders":
            raise DataError(
                f"{folder.root}: the recorded split is of a folder without parts, this one has "
                f"{listing(folder.parts)}; open the one that was trained on, or open this one "
                "without the record"
            )
        return dict(folder.parts), {"method": "folders"}
    files = folder.files
    labels = {file.name: file.label for file in files}
    if split is not None:
        test = recorded_test(split, labels, origin=str(folder.root))
        record = dict(split)
    else:
        test = draw_test(labels, seed=seed)
        record = seeded_record(test, seed=seed, fraction=TEST_FRACTION)
    return {
        "train": [file for file in files if file.name not in test],
        "test": [file for file in files if file.name in test],
    }, record


def _check_classes(parts: Mapping[str, Sequence[ImageFile]], *, uri: str | Path) -> None:
    train = _classes_of(parts["train"])
    for part, files in parts.items():
        unknown = [label for label in _classes_of(files) if label not in train]
        if unknown:
            raise DataError(
                f"{uri}: {part} has classes without an image to train on: {listing(unknown)}; "
                "add images of the class to train on, or remove it"
            )
    if len(train) < 2:
        raise DataError(
            f"{uri}: one class only, {listing(train)}; a classifier needs two or more: expected "
            "one folder a class"
        )
    if not all(parts.values()):
        raise DataError(
            f"{uri}: a single image in every class leaves none to test on; add images, at least "
            "two in one class"
        )


def _is_trained_on(
    folder: Folder, trained_on: Mapping[str, Any], *, progress: Progress | None
) -> bool:
    """Whether a flat folder is the one that a card's split was drawn from."""
    split, uri = trained_on.get("split") or {}, str(trained_on.get("uri"))
    if split.get("method") != "seeded" or is_digits(uri):
        return False
    if Path(uri).resolve() == folder.root.resolve():
        return True
    content = read_content(folder, progress=progress)
    return content.fingerprint == trained_on.get("fingerprint")


def _images(
    uri: str | Path,
    parts: Mapping[str, Sequence[ImageFile]],
    *,
    content: Content,
    record: Mapping[str, Any],
) -> Images:
    classes = _classes_of(parts["train"])
    return Images(
        uri=str(uri),
        classes=classes,
        channels=content.channels,
        splits={name: _as_split(name, files, classes=classes) for name, files in parts.items()},
        fingerprint=content.fingerprint,
        split_record=record,
    )


def _as_split(name: str, files: Sequence[ImageFile], *, classes: Sequence[str]) -> Split:
    index = {label: i for i, label in enumerate(classes)}
    return Split(
        name=name,
        names=tuple(file.name for file in files),
        labels=np.array([index[file.label] for file in files], dtype=np.int64),
        read=partial(_decode_at, [file.path for file in files]),
    )


def _classes_of(files: Sequence[ImageFile]) -> tuple[str, ...]:
    return tuple(sorted({file.label for file in files}))


def _decode_at(paths: Sequence[Path], index: int) -> NDArray[np.uint8]:
    return decode(paths[index])
