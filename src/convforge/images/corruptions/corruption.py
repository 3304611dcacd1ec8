"""A corruption by its name and severity, and a part of a data set corrupted by it.

Hendrycks and Dietterich 2019, Benchmarking neural network robustness to common corruptions and
perturbations, ICLR, section 4.1, with the constants that their data set of 224-px images was made
with; eighteen of its nineteen. Frost is not there: it lays photographs of ice over the image, which
cannot be shipped. As there, an image is corrupted at the size that the network's preprocessing
resizes it to, so that a severity is the same for images of every size. What the constants measure
in pixels stays as many at another size than 224; elastic's are shares of the shorter side.

numpy and Pillow alone. Given the same draws, each does as their code does, but for rounding and
what its function says (docs/training.md has what was measured).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from convforge.errors import InputError
from convforge.images.corruptions.blur import (
    defocus_blur,
    gaussian_blur,
    glass_blur,
    motion_blur,
    zoom_blur,
)
from convforge.images.corruptions.digital import contrast, jpeg, pixelate, saturate
from convforge.images.corruptions.elastic import elastic
from convforge.images.corruptions.filters import eight_bits
from convforge.images.corruptions.noise import (
    gaussian_noise,
    impulse_noise,
    shot_noise,
    speckle_noise,
)
from convforge.images.corruptions.spatter import spatter
from convforge.images.corruptions.weather import brightness, fog, snow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from convforge.images.corruptions.filters import Pixels
    from convforge.images.dataset import Split
    from convforge.images.preprocess import Preprocess

    Way = Callable[[Pixels, Any, np.random.Generator], Pixels]  # takes the level of a severity

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
        return eight_bits(way(image / 255.0, levels[self.severity - 1], generator))


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


# what is done, and how much at severity 1 to 5
_WAYS: dict[str, tuple[Way, Sequence[float | tuple[float | str, ...]]]] = {
    "gaussian_noise": (gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": (shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": (impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "speckle_noise": (speckle_noise, (0.15, 0.2, 0.35, 0.45, 0.6)),
    "gaussian_blur": (gaussian_blur, (1, 2, 3, 4, 6)),
    "defocus_blur": (defocus_blur, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))),
    "glass_blur": (glass_blur, ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))),
    "motion_blur": (motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    "zoom_blur": (zoom_blur, (1.11, 1.16, 1.21, 1.26, 1.31)),
    "snow": (
        snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "fog": (fog, ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))),
    "spatter": (
        spatter,
        (
            ("water", 0.65, 0.3, 4, 0.69, 0.6),
            ("water", 0.65, 0.3, 3, 0.68, 0.6),
            ("water", 0.65, 0.3, 2, 0.68, 0.5),
            ("mud", 0.65, 0.3, 1, 0.65, 1.5),
            ("mud", 0.67, 0.4, 1, 0.65, 1.5),
        ),
    ),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "saturate": (saturate, ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))),
    "elastic": (
        elastic,
        ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    ),
    "pixelate": (pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (jpeg, (25, 18, 15, 10, 7)),
}
CORRUPTIONS = tuple(_WAYS)
