"""Preprocessing: one frozen record, the same in training, in the runtime and in the emitted C.

    pixels uint8 [H, W, 3] RGB
      → grey (Pillow's "L") where the network takes one channel
      → resize, with Pillow's antialiased filter
      → centre crop
      → (x - mean) / std per channel, float32 [C, H, W]

`mean` and `std` are in pixel units, 0…255, so nothing else has to say whether x was divided by 255:
ImageNet's usual 0.485 is 123.675 here. Resize and crop offsets follow torchvision's `Resize` and
`CenterCrop` on Pillow images; `compiler/kernels/resize.py` is the same arithmetic in C, to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from convforge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Interpolation = Literal["box", "bilinear", "bicubic", "lanczos"]

MAX_SIDE = 32_768  # pixels, of an image before and after the resize: bounds memory, here and in C

IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From an RGB image to a network's input.

    `resize` is the length of the short side (the long side follows, truncated to whole pixels), or
    (height, width) to stretch to exactly that. `crop` is (height, width) around the centre.
    `mean` and `std` have one value a channel, in pixel units 0…255; their length is the number of
    channels, 1 (grey) or 3 (RGB). Raises DataError where a value is out of range.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        sides = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if min(*sides, *self.crop) < 1:
            raise DataError(
                f"preprocessing: resize {self.resize} and crop {self.crop} must be at least 1 pixel"
            )
        if max(sides) > MAX_SIDE:
            raise DataError(
                f"preprocessing: resize {self.resize} is over the limit of {MAX_SIDE} pixels a side"
            )
        if self.crop[0] > sides[0] or self.crop[1] > sides[1]:
            raise DataError(
                f"preprocessing: crop {self.crop} is larger than resize {self.resize}; "
                "make the resize at least as large as the crop"
            )
        if len(self.mean) not in {1, 3} or len(self.std) != len(self.mean):
            raise DataError(
                f"preprocessing: expected one mean and one std a channel, for 1 or 3 channels, "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        if not all(math.isfinite(v) for v in self.mean + self.std) or min(self.std) <= 0:
            raise DataError("preprocessing: mean must be finite and std finite and above 0")
        if self.interpolation not in get_args(Interpolation):
            raise DataError(
                f"preprocessing: interpolation {self.interpolation!r} is not one of "
                f"{', '.join(get_args(Interpolation))}"
            )

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 (grey) or 3 (RGB)."""
        return len(self.mean)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the network's input."""
        return (self.channels, *self.crop)

    def for_input(self, input_shape: tuple[int, int, int]) -> Self:
        """The same for a network that takes (channels, height, width).

        The crop keeps its share of the image. With another number of channels, mean and std are the
        averages of those here, the closest to weights whose first layer was summed.
        """
        channels, height, width = input_shape
        tall, wide = height / self.crop[0], width / self.crop[1]
        if isinstance(self.resize, int):
            resize: int | tuple[int, int] = round(self.resize * max(tall, wide))
        else:
            resize = round(self.resize[0] * tall), round(self.resize[1] * wide)
        mean, std = self.mean, self.std
        if channels != self.channels:
            mean, std = ((sum(values) / self.channels,) * channels for values in (mean, std))
        return replace(self, resize=resize, crop=(height, width), mean=mean, std=std)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        resize = self.resize if isinstance(self.resize, int) else list(self.resize)
        return {
            "resize": resize,
            "crop": list(self.crop),
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """From what `to_json` gave. Raises DataError naming what is missing or malformed."""
        try:
            resize = fields["resize"]
            return cls(
                resize=resize if isinstance(resize, int) else (int(resize[0]), int(resize[1])),
                crop=(int(fields["crop"][0]), int(fields["crop"][1])),
                mean=tuple(float(v) for v in fields["mean"]),
                std=tuple(float(v) for v in fields["std"]),
                interpolation=fields["interpolation"],
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(f"preprocessing record is incomplete or malformed: {error!r}") from None

    def resized_size(self, *, height: int, width: int) -> tuple[int, int]:
        """(height, width) after the resize of an image of this size, before the crop.

        Raises DataError where a side is, or would become, longer than MAX_SIDE.
        """
        short, long = min(height, width), max(height, width)
        if long > MAX_SIDE:
            raise DataError(
                f"image of {width}x{height} pixels: expected at most {MAX_SIDE} a side; "
                "make it smaller first"
            )
        if not isinstance(self.resize, int):
            return self.resize
        scaled = int(self.resize * long / short)
        if scaled > MAX_SIDE:
            raise DataError(
                f"image of {width}x{height} pixels: with its short side resized to {self.resize} "
                f"the long side is {scaled}, over the limit of {MAX_SIDE}; crop it first"
            )
        return (self.resize, scaled) if height <= width else (scaled, self.resize)

    def crop_offset(self, *, height: int, width: int) -> tuple[int, int]:
        """(top, left) of the centre crop in an image of this size."""
        return round((height - self.crop[0]) / 2), round((width - self.crop[1]) / 2)

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop: uint8 [H, W, 3] → uint8 [crop height, crop width, channels]."""
        resized = self.resized(image)
        top, left = self.crop_offset(height=resized.shape[0], width=resized.shape[1])
        return resized[top : top + self.crop[0], left : left + self.crop[1]]

    def resized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize alone: uint8 [H, W, 3] → uint8 [h, w, channels], with `resized_size`."""
        from PIL import Image  # noqa: PLC0415  (the record and an artifact do without)

        picture = Image.fromarray(image)
        if self.channels == 1:
            picture = picture.convert("L")
        height, width = self.resized_size(height=image.shape[0], width=image.shape[1])
        picture = picture.resize((width, height), Image.Resampling[self.interpolation.upper()])
        return np.asarray(picture, dtype=np.uint8).reshape(height, width, self.channels)

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(x - mean) / std in float32: uint8 [..., H, W, C] → float32 [..., C, H, W]."""
        mean = np.asarray(self.mean, dtype=np.float32)
        std = np.asarray(self.std, dtype=np.float32)
        scaled = (pixels.astype(np.float32) - mean) / std
        return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [H, W, 3] → float32 [C, crop height, crop width]."""
        return self.normalize(self.pixels(image))
