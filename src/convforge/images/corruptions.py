"""Corruptions of photographs in five severities: how far a classifier bears what cameras do.

Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions and
perturbations, ICLR, section 4.1, with the constants of the data set that they published; of its
nineteen, those that numpy and Pillow can make alone (not the defocus, glass, motion and Gaussian
blurs, snow, frost, fog, spatter, elastic). As there, an image is corrupted at the size that the
network's preprocessing resizes it to, so that a severity is the same for images of every size.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from convforge.images.dataset import Split
    from convforge.images.preprocess import Preprocess

    Pixels = NDArray[np.float64]  # [H, W, 3], 0…1
    Way = Callable[[Pixels, float, np.random.Generator], Pixels]

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One of CORRUPTIONS at one of SEVERITIES. Raises InputError for another."""

    name: str
    severity: int = 3

    def __post_init__(self) -> None:
        if self.name not in CORRUPTIONS:
            raise InputError(
                f"corruption: there is no {self.name!r}; there is {', '.join(CORRUPTIONS)}"
            )
        if self.severity not in SEVERITIES:
            raise InputError(f"corruption: severity is {self.severity}; expected 1 to 5")

    def __call__(
        self, image: NDArray[np.uint8], generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """A corrupted copy of an image uint8 [H, W, 3]."""
        way, levels = _WAYS[self.name]
        done = way(image / 255.0, levels[self.severity - 1], generator)
        return (np.clip(done, 0, 1) * 255).astype(np.uint8)


def corrupted(part: Split, corruption: Corruption, *, preprocess: Preprocess) -> Split:
    """The same part whose images are corrupted as they are read; the same at every reading.

    They come at the size that `preprocess` resizes to, uncropped.
    """

    def read(index: int) -> NDArray[np.uint8]:
        image = part.load(index)
        height, width = preprocess.resized_size(height=image.shape[0], width=image.shape[1])
        filter_ = Image.Resampling[preprocess.interpolation.upper()]
        resized = np.asarray(Image.fromarray(image).resize((width, height), filter_))
        return corruption(resized, np.random.default_rng([index, corruption.severity]))

    return replace(part, read=read, read_small=None, digests=())


def _gaussian_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    return x + generator.normal(0, level, x.shape)


def _shot_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    return generator.poisson(x * level) / level


def _impulse_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """A share of all values becomes 0 or 1, with equal chance."""
    drawn = generator.random(x.shape)
    return np.where(drawn < level / 2, 0.0, np.where(drawn < level, 1.0, x))


def _speckle_noise(x: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    return x + x * generator.normal(0, level, x.shape)


def _zoom_blur(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """The mean of the image and its zooms from 1 to `level`, in steps of 1, 2 or 3 %."""
    step = 0.01 if level < 1.2 else 0.02 if level < 1.3 else 0.03
    zooms = np.arange(1, level, step)
    return (x + sum(_zoom(x, zoom) for zoom in zooms)) / (len(zooms) + 1)


def _zoom(x: Pixels, zoom: float) -> Pixels:
    height, width = x.shape[:2]
    inner_height, inner_width = math.ceil(height / zoom), math.ceil(width / zoom)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    box = (left, top, left + inner_width, top + inner_height)
    planes = [Image.fromarray(x[:, :, c].astype(np.float32)) for c in range(3)]
    scaled = [plane.resize((width, height), Image.Resampling.BILINEAR, box) for plane in planes]
    return np.stack([np.asarray(plane, np.float64) for plane in scaled], axis=2)


def _brightness(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """`level` more of HSV's value; hue and saturation stay."""
    value: Pixels = x.max(axis=2, keepdims=True)
    brighter = np.minimum(value + level, 1)
    return np.where(value > 0, x * (brighter / np.maximum(value, 1e-12)), brighter)


def _contrast(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    mean: Pixels = x.mean(axis=(0, 1), keepdims=True)
    return (x - mean) * level + mean


def _pixelate(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    height, width = x.shape[:2]
    picture = Image.fromarray((x * 255).round().astype(np.uint8))
    small = (max(1, int(width * level)), max(1, int(height * level)))
    coarse = picture.resize(small, Image.Resampling.BOX).resize(
        (width, height), Image.Resampling.BOX
    )
    return np.asarray(coarse, np.float64) / 255


def _jpeg(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    Image.fromarray((x * 255).round().astype(np.uint8)).save(file, "JPEG", quality=int(level))
    with Image.open(file) as picture:
        return np.asarray(picture, np.float64) / 255


# what is done, and how much at severity 1 to 5
_WAYS: dict[str, tuple[Way, Sequence[float]]] = {
    "gaussian_noise": (_gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": (_shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": (_impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "speckle_noise": (_speckle_noise, (0.15, 0.2, 0.35, 0.45, 0.6)),
    "zoom_blur": (_zoom_blur, (1.11, 1.16, 1.21, 1.26, 1.31)),
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": (_pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (_jpeg, (25, 18, 15, 10, 7)),
}
CORRUPTIONS = tuple(_WAYS)
