"""Data sets of torchvision, by its names, its files and its downloader.

    torchvision:CIFAR10                 under the user's cache folder, fetched when it is not there
    torchvision:FashionMNIST?root=DIR   under DIR, as torchvision keeps it; then nothing is fetched

torchvision checks what it fetches against checksums. Class names are its own; "train" and "test"
are the published parts.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import DataError, PackageError
from convforge.files import cache_folder
from convforge.images.arrays import array_collection
from convforge.images.uri import split_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.images.collection import Collection

# name: (argument that chooses the part, its values for train and test)
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "CIFAR10": ("train", {"train": True, "test": False}),
    "CIFAR100": ("train", {"train": True, "test": False}),
    "FashionMNIST": ("train", {"train": True, "test": False}),
    "KMNIST": ("train", {"train": True, "test": False}),
    "MNIST": ("train", {"train": True, "test": False}),
    "STL10": ("split", {"train": "train", "test": "test"}),
    "SVHN": ("split", {"train": "train", "test": "test"}),
    "USPS": ("train", {"train": True, "test": False}),
}


def read_torchvision(text: str) -> Collection:
    """A set of SETS, with `?root=DIR`. Raises DataError where there is none, or it cannot be had.

    Raises PackageError without torchvision.
    """
    name, options = split_options(text, known=("root",))
    if name not in SETS:
        lower = {one.lower(): one for one in SETS}
        near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
        hint = f"did you mean {lower[near[0]]}?" if near else "open the folder of any other"
        raise DataError(f"torchvision:{name}: no such set; there is {', '.join(SETS)}; {hint}")
    try:
        from torchvision import datasets  # noqa: PLC0415  (optional and slow to import)
    except ImportError:
        raise PackageError(
            f'torchvision:{name}: torchvision is not installed; pip install "convforge[train]"'
        ) from None
    root = options.get("root") or str(cache_folder() / "torchvision")
    argument, values = SETS[name]
    arrays, labels = {}, {}
    classes: tuple[str, ...] = ()
    for part, value in values.items():
        try:
            found = getattr(datasets, name)(root, download=True, **{argument: value})
        except Exception as error:  # noqa: BLE001 - anything, from the network to a damaged file
            raise DataError(
                f"torchvision:{name}: cannot be had ({error}); put its files under {root}, as "
                "torchvision keeps them, or name another folder with ?root=DIR"
            ) from None
        arrays[part] = _pixels(found.data)
        labels[part] = np.asarray(_labels(found), dtype=np.int64)
        classes = tuple(getattr(found, "classes", map(str, range(10))))
    return array_collection(arrays, labels, origin=f"torchvision:{name}", classes=classes)


def _pixels(data: Any) -> NDArray[np.uint8]:
    """uint8 [N, H, W] or [N, H, W, 3], from a tensor or an array, also [N, 3, H, W]."""
    pixels = np.asarray(data)
    if pixels.ndim == 4 and pixels.shape[1] == 3:
        pixels = pixels.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels)


def _labels(found: Any) -> Any:
    return found.targets if hasattr(found, "targets") else found.labels
