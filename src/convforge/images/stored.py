"""Decoded images, kept in one of four ways, all of which give image i as uint8 [h, w, C].

    array in memory, or mapped from a file    all of one size     NDArray [N, H, W, C]
    list in memory                            each of its own
    `Ragged`, mapped from a file              each of its own
    `Streamed`                                decoded whenever one is asked for

`take` gives a batch of any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, overload

import numpy as np

from convforge.errors import DataError
from convforge.images.threads import map_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.images.dataset import Split
    from convforge.images.preprocess import Preprocess

    Pixels: TypeAlias = "NDArray[np.uint8] | Sequence[NDArray[np.uint8]]"
    Geometry: TypeAlias = "Preprocess | Uncropped"


LARGER = 1.25  # times the preprocessing's short side: crops of 0.4 of a square are not enlarged


@dataclass(frozen=True)
class Uncropped:
    """What is stored to draw crops from: the preprocessing's resize without its crop.

    `larger` keeps up to LARGER times its short side, as far as the image has it, for crops that are
    resized: of what is stored smaller most would be enlarged, and less sharp than what the network
    is shown later. A JPEG that is much larger is decoded at a smaller scale, as `decode_file` says:
    quicker, and not the same to the bit. To measure a classifier, use the preprocessing itself.
    """

    preprocess: Preprocess
    larger: bool = False

    @property
    def short_side(self) -> int:
        """Pixels that the image as it is decoded must have at least."""
        resize = self.preprocess.resize
        if not isinstance(resize, int):
            return max(resize)
        return round(resize * LARGER) if self.larger else resize

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize: uint8 [H, W, 3] → uint8 [h, w, C]."""
        resize = self.preprocess.resize
        if not self.larger or not isinstance(resize, int):
            return self.preprocess.resized(image)
        side = max(resize, min(*image.shape[:2], self.short_side))
        return dataclasses.replace(self.preprocess, resize=side).resized(image)


def shown(image: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """What the network sees of a stored image [h, w, C]: all where it is cropped, else its middle.

    uint8 [crop height, crop width, C].
    """
    if image.shape[:2] == preprocess.crop:
        return image
    return preprocess.pixels(image if image.shape[-1] == 3 else image[..., 0])


class Ragged(Sequence["NDArray[np.uint8]"]):
    """Images of different sizes, one after the other in `flat` uint8; `sides` [N, 2] are theirs."""

    def __init__(self, flat: NDArray[np.uint8], *, sides: NDArray[np.int64], channels: int) -> None:
        self._flat, self._sides, self._channels = flat, sides, channels
        self._ends = np.cumsum(sides.prod(axis=1) * channels)

    def __len__(self) -> int:
        return len(self._sides)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        height, width = self._sides[index].tolist()
        end = int(self._ends[index])
        size = height * width * self._channels
        return self._flat[end - size : end].reshape(height, width, self._channels)


class Streamed(Sequence["NDArray[np.uint8]"]):
    """Images of a part that are decoded anew whenever they are asked for; nothing is kept."""

    def __init__(self, part: Split, geometry: Geometry) -> None:
        self._part, self._geometry = part, geometry

    def __len__(self) -> int:
        return len(self._part)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return read_stored(self._part, index, geometry=self._geometry)

    def take(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Several images at once, decoded by as many threads as there are cores."""
        return list(map_threads(self.__getitem__, rows))


def read_stored(part: Split, index: int, *, geometry: Geometry) -> NDArray[np.uint8]:
    """Image `index` of a part as it is stored; raises DataError, naming the image."""
    short_side = geometry.short_side if isinstance(geometry, Uncropped) else None
    image = part.load(index, short_side=short_side)
    try:
        return geometry.pixels(image)
    except DataError as error:
        raise DataError(f"{part.names[index]}: {error}") from None


def take(pixels: Pixels, rows: NDArray[np.int64]) -> Pixels:
    """Images `rows`, in their order: an array where all have one size, else a list."""
    if isinstance(pixels, np.ndarray):
        return pixels[rows]
    if isinstance(pixels, Streamed):
        return pixels.take(rows.tolist())
    return [pixels[row] for row in rows.tolist()]
