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
import json
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import DataError
from convforge.images.dataset import FLAT, listing
from convforge.images.decode import is_grey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from convforge.images.threads import Progress

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}  # folder → split

_LEFT_BEHIND = frozenset(("Thumbs.db", "desktop.ini", "__MACOSX"))
_PROGRESS_STEP = 256  # files between two reports


@dataclass(frozen=True)
class ImageFile:
    """One file: its unique name below the root (NFC, "/" between folders), class name and path."""

    name: str
    label: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What a folder holds: files by part ("train", "val", "test"; only FLAT where it has none)."""

    root: Path
    parts: Mapping[str, tuple[ImageFile, ...]]

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """The files of all parts."""
        return tuple(file for files in self.parts.values() for file in files)


@dataclass(frozen=True)
class Content:
    """What the files hold: `channels` is 1 if the headers of all say grey, else 3."""

    fingerprint: str
    channels: int


def read_folder(root: Path) -> Folder:
    """List a folder; files and classes in sorted order, whatever the order on disk.

    Raises DataError where the layout is not one of the two above, a class folder is empty or holds
    something else, or a name is not Unicode or there twice.
    """
    folders, _ = _entries(root)
    parts = _parts(root, folders)
    if parts is None:
        return Folder(root=root, parts={FLAT: _class_folders(root, prefix="")})
    return Folder(
        root=root,
        parts={
            part: _class_folders(path, prefix=f"{path.name}/")
            for part in ("train", "val", "test")
            if (path := parts.get(part)) is not None
        },
    )


def read_content(folder: Folder, *, progress: Progress | None = None) -> Content:
    """Read every file once, for the fingerprint and the number of channels.

    The fingerprint hashes, sorted, part (none for a flat folder), class name and SHA-256 of each
    file. A damaged image has a fingerprint like any other; decoding it will say so. Raises one
    DataError for all files that cannot be read.
    """
    lines: list[tuple[str, str, str]] = []
    grey: list[bool] = []
    unreadable: list[str] = []
    total = len(folder.files)
    for part, files in folder.parts.items():
        for file in files:
            try:
                digest, header = _digest_and_header(file.path)
            except OSError as error:
                unreadable.append(f"{file.path} ({error.strerror or error})")
                continue
            lines.append(("" if part == FLAT else part, file.label, digest))
            grey += [] if header is None else [header]
            if progress is not None and (len(lines) % _PROGRESS_STEP == 0 or len(lines) == total):
                progress(len(lines), total, "reading files")
    if unreadable:
        raise DataError(
            f"{folder.root}: {len(unreadable)} of {total} files cannot be read: "
            f"{listing(unreadable)}; repair or remove them"
        )
    text = json.dumps(sorted(lines), ensure_ascii=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    return Content(fingerprint, channels=1 if grey and all(grey) else 3)


def _digest_and_header(path: Path) -> tuple[str, bool | None]:
    if not path.is_file():  # a pipe would be waited for without end
        raise FileNotFoundError(0, "not a file, or a link that leads nowhere")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        return digest, is_grey(file)


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


def _class_folders(root: Path, *, prefix: str) -> tuple[ImageFile, ...]:
    """Files of all class folders of `root`, sorted by name; at least one class, none empty."""
    folders, files = _entries(root)
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


def _check_unique(root: Path, names: Iterable[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(
            f"{root}: names that differ only in their Unicode form: {listing(twice)}; "
            "rename one of each"
        )


def _class_files(folder: Path, *, prefix: str) -> list[ImageFile]:
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
    return [ImageFile(f"{prefix}{label}/{_nfc(f.name)}", label, f) for f in files]


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """(folders, everything else) in a folder, sorted, without what the desktop leaves behind."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _LEFT_BEHIND:
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
