"""A folder of images as it lies on disk: its parts, class folders and files.

    photos/train/cat/1.jpg …  photos/val/cat/2.jpg …  photos/test/…      with parts
    photos/cat/1.jpg …        photos/dog/…                               flat

A class folder holds images and nothing else: other files and further folders are refused, since
nothing is skipped in silence. Two things are not data and are passed over: what the desktop leaves
behind (names that begin with ".", Thumbs.db, desktop.ini, __MACOSX), and files beside class folders
that are not images (a README, a table of labels). Names are compared in Unicode's form NFC, so that
a folder copied from macOS has the same class names.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import DataError
from convforge.images.collection import PARTS, Collection, Entry
from convforge.images.dataset import FLAT, listing
from convforge.images.picture import decode_file, is_grey

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)

LEFT_BEHIND = frozenset(("Thumbs.db", "desktop.ini", "__MACOSX"))


@dataclass(frozen=True)
class FileReader:
    """Images that are files of their own; their places are paths."""

    def read(self, place: Path, *, short_side: int | None = None) -> NDArray[np.uint8]:
        """As `Reader.read`."""
        if place.exists() and not place.is_file():
            raise DataError(f"{place}: is not a file; expected an image")  # a pipe has no end
        return decode_file(place, name=str(place), short_side=short_side)

    def digest(self, place: Path) -> tuple[bytes, bool | None]:
        """As `Reader.digest`."""
        if not place.is_file():
            raise FileNotFoundError(place)
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0)
            return digest, is_grey(file)


def read_folder(root: Path) -> Collection:
    """List a folder; files and classes in sorted order, whatever the order on disk.

    Raises DataError where the layout is not one of the two above, a class folder is empty or holds
    something else, or a name is not Unicode or there twice.
    """
    folders, files = _entries(root)
    _check_links(root, files)
    found = _parts(root, folders)
    if found is None:
        parts = {FLAT: _class_folders(root, prefix="")}
    else:
        parts = {
            part: _class_folders(path, prefix=f"{path.name}/")
            for part in ("train", "val", "test")
            if (path := found.get(part)) is not None
        }
    where = "the same class folders below train/"
    return Collection(origin=str(root), where=where, parts=parts, reader=FileReader())


def _parts(root: Path, folders: Iterable[Path]) -> dict[str, Path] | None:
    """The parts of a folder by split name, None where it is flat.

    A folder "train" that holds images directly, beside other class folders, is a class of that
    name (trains, among vehicles).
    """
    named = [f for f in folders if f.name in PARTS]
    others = [f for f in folders if f.name not in PARTS]
    if others:
        named = [f for f in named if _entries(f)[0]]
    if not named:
        return None
    if others:
        raise DataError(
            f"{root}: folders beside {named[0].name}/ that are no parts of a data set: "
            f"{listing(f.name for f in others)}; expected only train/, val/ (or validation/) and "
            "test/; move the others away"
        )
    parts: dict[str, Path] = {}
    for folder in named:
        if (other := parts.setdefault(PARTS[folder.name], folder)) is not folder:
            raise DataError(f"{root}: both {other.name}/ and {folder.name}/; merge the two")
    return parts


def _class_folders(root: Path, *, prefix: str) -> tuple[Entry, ...]:
    """Files of all class folders of `root`, sorted by name; at least one class, none empty."""
    folders, files = _entries(root)
    _check_links(root, files)
    loose = [f.name for f in files if f.suffix.lower() in SUFFIXES]
    if loose:
        raise DataError(
            f"{root}: images outside of a class folder: {listing(loose)}; expected one folder a "
            f"class with its images inside, such as {root / 'cat' / '1.jpg'}"
        )
    if not folders:
        raise DataError(
            f"{root}: no class folders; expected one folder a class with its images inside, such "
            f"as {root / 'cat' / '1.jpg'}"
        )
    _check_unique(root, (_nfc(folder.name) for folder in folders))
    found = [file for folder in folders for file in _class_files(folder, prefix=prefix)]
    _check_unique(root, (file.name for file in found))
    return tuple(sorted(found, key=lambda file: file.name))


def _check_links(root: Path, files: Iterable[Path]) -> None:
    """A broken link could be a class folder or a part; inside class folders it is a bad image."""
    broken = [f.name for f in files if f.is_symlink() and not f.exists()]
    if broken:
        raise DataError(f"{root}: links that lead nowhere: {listing(broken)}; mend or remove them")


def _check_unique(root: Path, names: Iterable[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(
            f"{root}: names that differ only in their Unicode form: {listing(twice)}; "
            "rename one of each"
        )


def _class_files(folder: Path, *, prefix: str) -> list[Entry]:
    inner, files = _entries(folder)
    if inner:
        raise DataError(
            f"{folder}: a class folder that holds folders: {listing(f.name for f in inner)}; "
            "expected its images directly inside (a data set's parts are called train/, val/ or "
            "validation/, and test/)"
        )
    strange = [f.name for f in files if f.suffix.lower() not in SUFFIXES]
    if strange:
        raise DataError(
            f"{folder}: {len(strange)} files that are not images: {listing(strange)}; expected "
            f"only {', '.join(sorted(SUFFIXES))}; move the others away"
        )
    if not files:
        raise DataError(
            f"{folder}: a class folder without images; add images of the class or remove the folder"
        )
    label = _nfc(folder.name)
    return [Entry(f"{prefix}{label}/{_nfc(f.name)}", label, f) for f in files]


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """(folders, everything else) in a folder, sorted, without what the desktop leaves behind."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in LEFT_BEHIND:
                    continue
                path = Path(entry.path)
                _check_name(path)
                (folders if path.is_dir() else files).append(path)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from None
    return sorted(folders), sorted(files)


def _check_name(path: Path) -> None:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{path.parent}: the name {os.fsencode(path.name)!r} is not Unicode; rename it"
        ) from None


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
