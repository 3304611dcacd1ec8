"""Images without labels: files, folders and patterns, as `predict` takes them.

    cat.jpg          the file, whatever it is: what is no image is told of when it is read
    holiday/         every image below it, at any depth, in sorted order
    "2024-*/*.jpg"   what the pattern matches; ** stands for any number of folders
    -                an image that the caller has read, as from standard input

In folders an image is known by its suffix (`folder.SUFFIXES`); names that begin with "." and what
the desktop leaves behind are passed over, and links to folders are not followed.
"""

from __future__ import annotations

import glob
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError
from convforge.images.dataset import Split
from convforge.images.folder import LEFT_BEHIND, SUFFIXES, FileReader
from convforge.images.picture import ADDRESS, decode_file, is_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

GIVEN = "-"  # path of the image that the caller has read


def open_paths(paths: Sequence[str], *, given: bytes | None = None) -> Split:
    """The images of all `paths`, each file once, named as its first path says; labels are 0.

    `given` are the bytes of the image file that the path "-" stands for. Raises DataError where a
    folder has no images or cannot be read, or a pattern matches nothing.
    """
    found: dict[str, str] = {}
    for path in paths:
        for name in _expand(path):
            place = name if name == GIVEN else os.path.abspath(name)  # noqa: PTH100  (links stay)
            found.setdefault(place, name)
    names = tuple(found.values())
    reader = FileReader()

    def read(index: int) -> NDArray[np.uint8]:
        if given is not None and names[index] == GIVEN:
            return decode_file(io.BytesIO(given), name="standard input")
        return reader.read(Path(names[index]))

    return Split(name="paths", names=names, labels=np.zeros(len(names), np.int64), read=read)


def read_names(names: Sequence[str], *, below: Path) -> Split:
    """The images of these names, as paths below a folder or absolute ones; labels are 0.

    Messages name an image as its name does, wherever the folder is.
    """
    reader = FileReader()

    def read(index: int) -> NDArray[np.uint8]:
        place = below / names[index]
        try:
            return reader.read(place)
        except DataError as error:
            raise DataError(str(error).replace(str(place), names[index])) from None

    labels = np.zeros(len(names), np.int64)
    return Split(name="paths", names=tuple(names), labels=labels, read=read)


def _expand(path: str) -> Iterable[str]:
    if is_address(path) and not os.path.lexists(path):
        raise DataError(f"{path}: {ADDRESS}")
    if Path(path).is_dir():
        found, wanted = _below(path), "no images in this folder or below it"
    elif os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    else:
        found, wanted = _matches(path), "no image matches this pattern"
    if not found:
        raise DataError(
            f"{path}: {wanted}; expected files named {', '.join(sorted(SUFFIXES))}, below a folder "
            "whose name does not begin with a dot"
        )
    return found


def _matches(pattern: str) -> list[str]:
    """Files are taken as they are, folders for the images below them."""
    matched = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (absolute ones too)
    found = []
    for match in matched:
        if _is_data(Path(match).name):
            found += _below(match) if Path(match).is_dir() else [match]
    return found


def _below(folder: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})")

    found = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if _is_data(name)]
        images = [name for name in files if _is_data(name) and _suffix(name) in SUFFIXES]
        found += [str(Path(place, name)) for name in images]
    return sorted(found)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _is_data(name: str) -> bool:
    return not name.startswith(".") and name not in LEFT_BEHIND
