"""Augmentation of whole batches with a given generator: what is done to each image, as a record.

    stored images, of any sizes → crop → flip → shift → RandAugment → uint8 [N, H, W, C]
    normalised [N, C, H, W]     → erase → Mixup or CutMix           (`mixing`)

Nothing here keeps state: the same batch and a generator in the same state give the same result. The
batch that goes in stays as it is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_args

import numpy as np

from convforge.errors import RecipeError
from convforge.images.mixing import cutmix, erase, mixup
from convforge.images.warp import (
    draw_boxes,
    flip,
    mirrored,
    rand_augment,
    random_crop,
    resized_crop,
    shift,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Crop = Literal["none", "random", "resized"]
A = TypeVar("A")

# field: (smallest, largest), both allowed
RANGES: dict[str, tuple[float, float]] = {
    "shift": (0, 64),
    "operations": (0, 8),
    "magnitude": (0, 30),
    "erasing": (0.0, 1.0),
    "mixup": (0.0, 10.0),
    "cutmix": (0.0, 10.0),
}


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What is done to the images of a batch, each drawn anew in every epoch. The default: nothing.

    `crop` is how the network's input is cut out of an image: "none" where it has that size already,
    "random" for a window of that size at any place, "resized" for a window whose share of the area
    is drawn from `scale` and its aspect from 3/4…4/3, resized to the input (Szegedy et al. 2015).
    `flip` mirrors left to right with equal chance. `shift` is the largest move in pixels, each way.
    `operations` of RandAugment (Cubuk et al. 2020) are done one after the other with `magnitude`,
    of 30. `erasing` is the chance that a rectangle is set to the mean (Zhong et al. 2020). `mixup`
    and `cutmix` are the alpha of their Beta(alpha, alpha), 0 for off; with both, each batch draws
    one of them.

    Raises RecipeError naming the field, its value and its range.
    """

    crop: Crop = "none"
    scale: tuple[float, float] = (0.35, 1.0)
    flip: bool = False
    shift: int = 0
    operations: int = 0
    magnitude: int = 9
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in get_args(Crop):
            _refuse("crop", self.crop, f"one of {', '.join(get_args(Crop))}")
        _check_flag("flip", self.flip)
        for name, (smallest, largest) in RANGES.items():
            _check_number(name, getattr(self, name), smallest=smallest, largest=largest)
        _check_scale(self.scale)

    def pixels(
        self,
        batch: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        *,
        size: tuple[int, int],
        generator: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """Images uint8 [h, w, C], each of its own size → uint8 [N, *size, C], a new array.

        Raises RecipeError where `crop` does not lead from the images' sizes to `size`.
        """
        if self.crop == "random":
            done = random_crop(batch, size=size, generator=generator)
        elif self.crop == "resized":
            done = resized_crop(batch, size=size, scale=self.scale, generator=generator)
        else:
            done = _as_one(batch, size=size)
        if self.flip:
            done = flip(done, generator)
        if self.shift:
            done = shift(done, pixels=self.shift, generator=generator)
        if self.operations:
            done = rand_augment(
                done, operations=self.operations, magnitude=self.magnitude, generator=generator
            )
        return done

    def boxes(
        self,
        batch: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        *,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
        """By the draws of `pixels`: the boxes [N, 4] that it resizes, and which crops it mirrors.

        None, and nothing drawn, where it does something else too.
        """
        if self.crop != "resized" or self.shift or self.operations:
            return None
        sides = np.array([image.shape[:2] for image in batch], dtype=np.int64)
        boxes = draw_boxes(sides, scale=self.scale, generator=generator)
        turned = np.zeros(len(batch), np.bool_)
        return boxes, mirrored(len(batch), generator) if self.flip else turned

    def blend(self, x: A, targets: A, *, generator: np.random.Generator) -> tuple[A, A]:
        """Erase and mix: x float [N, C, H, W] after normalisation and targets float [N, K].

        Both are numpy arrays or both torch tensors, on any device. `targets` are probabilities: one
        1 a row, or smoothed labels. Gives new ones where something is done, else those given.
        """
        if self.erasing:
            x = erase(x, chance=self.erasing, generator=generator)
        ways = [(way, a) for way, a in ((mixup, self.mixup), (cutmix, self.cutmix)) if a]
        if not ways:
            return x, targets
        way, alpha = ways[int(generator.integers(len(ways)))]
        return way(x, targets, alpha=alpha, generator=generator)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        return {**dataclasses.asdict(self), "scale": list(self.scale)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """From what `to_json` gave; a field that is left out has its default.

        Raises RecipeError for a field that does not exist and for a value out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(fields) - set(names), key=str)
        if unknown:
            raise RecipeError(
                f"augmentation: there is no field {unknown[0]!r}; the fields are {', '.join(names)}"
            )
        scale = fields.get("scale", cls.scale)
        return cls(**{**fields, "scale": tuple(scale) if isinstance(scale, list) else scale})


def _as_one(
    batch: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], *, size: tuple[int, int]
) -> NDArray[np.uint8]:
    for image in batch:
        if image.shape[:2] != size:
            height, width = image.shape[:2]
            raise RecipeError(
                f"augmentation: crop is 'none', and an image of {width}x{height} meets an input of "
                f"{size[1]}x{size[0]}; choose crop 'random' or 'resized'"
            )
    return np.array(batch, dtype=np.uint8)


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        _refuse(name, value, "true or false")


def _check_scale(value: Any) -> None:
    is_pair = isinstance(value, tuple) and len(value) == 2
    if is_pair and all(isinstance(share, int | float) for share in value):
        smallest, largest = value
        if 0 < smallest <= largest <= 1:
            return
    _refuse("scale", value, "two shares of the area, 0 < smallest <= largest <= 1")


def _check_number(name: str, value: object, *, smallest: float, largest: float) -> None:
    whole = isinstance(largest, int)
    kinds = int if whole else (int, float)
    if isinstance(value, kinds) and not isinstance(value, bool) and smallest <= value <= largest:
        return
    kind = "a whole number" if whole else "a number"
    _refuse(name, value, f"{kind} from {smallest} to {largest}")


def _refuse(name: str, value: object, expected: str) -> None:
    raise RecipeError(f"augmentation: {name} is {value!r}; expected {expected}")
