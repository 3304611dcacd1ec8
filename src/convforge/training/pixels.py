"""What a network is trained on: the preprocessing that suits the data, and its pixels in memory.

    published weights                            what they were published with
    small squares (up to 64 px: digits, CIFAR)   stretched to the input, bicubic
    anything else (photographs)                  short side to 256/224 of the input, centre crop

Mean and standard deviation are ImageNet's for photographs in colour; else they are measured on the
training pixels as the network gets them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError
from convforge.images.decoding import decode_images
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from convforge.images.dataset import Images, Split

SMALL = 64  # pixels a side: a larger square is taken for a photograph
SAMPLE = 32  # images that are looked at to tell small squares from photographs

_CHUNK = 256  # images that are counted at a time: bounds memory


def read_pixels(
    images: Images,
    *,
    input_shape: tuple[int, int, int],
    preprocess: Preprocess | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[dict[str, NDArray[np.uint8]], Preprocess]:
    """Every image resized and cropped, uint8 [N, H, W, C] a part, and how that was done.

    `input_shape` is the network's (C, H, W). `preprocess` is what the network's weights were made
    for, where they were not drawn at random; without it, it is chosen to suit the images.

    Parts to test on are read too, so that a damaged image is found before the training and not
    after it. Raises DataError naming all of them, or where the result would not fit the machine's
    memory.
    """
    if preprocess is not None:
        return _decode_all(images, preprocess, progress=progress), preprocess
    small = _has_small_squares(images.splits["train"])
    preprocess = _geometry(input_shape, small=small)
    pixels = _decode_all(images, preprocess, progress=progress)
    if small or len(preprocess.mean) == 1:
        mean, std = channel_statistics(pixels["train"])
        preprocess = dataclasses.replace(preprocess, mean=mean, std=std)
    return pixels, preprocess


def _decode_all(
    images: Images,
    preprocess: Preprocess,
    *,
    progress: Callable[[int, int, str], None] | None,
) -> dict[str, NDArray[np.uint8]]:
    every_part = dict.fromkeys(images.splits, preprocess)
    decoded = decode_images(images, every_part, max_bad=0.0, progress=progress)
    return {name: np.asarray(one.pixels) for name, one in decoded.items()}


def channel_statistics(
    pixels: NDArray[np.uint8],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 [N, H, W, C], in units of 0…255.

    From the counts of the 256 values, so free of rounding errors that grow with N. A deviation
    under 1, of images that are all of one colour, is given as 1: it would only amplify noise.
    """
    values = np.arange(256.0)
    means, deviations = [], []
    for channel in range(pixels.shape[-1]):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(pixels), _CHUNK):
            chunk = pixels[start : start + _CHUNK, ..., channel]
            counts += np.bincount(chunk.reshape(-1), minlength=256)
        mean = float(values @ counts / counts.sum())
        variance = float((values - mean) ** 2 @ counts / counts.sum())
        means.append(mean)
        deviations.append(max(variance**0.5, 1.0))
    return tuple(means), tuple(deviations)


def _has_small_squares(split: Split) -> bool:
    rows = np.unique(np.linspace(0, len(split) - 1, SAMPLE).round().astype(int))
    try:
        shapes = {split.load(int(row)).shape for row in rows}
    except DataError:
        return False  # decoding all of them names this one and every other that is damaged
    return all(height == width <= SMALL for height, width, _ in shapes)


def _geometry(input_shape: tuple[int, int, int], *, small: bool) -> Preprocess:
    channels, height, width = input_shape
    return Preprocess(
        resize=(height, width) if small else round(max(height, width) * 256 / 224),
        crop=(height, width),
        mean=IMAGENET_MEAN if channels == 3 else (0.0,),
        std=IMAGENET_STD if channels == 3 else (1.0,),
        interpolation="bicubic" if small else "bilinear",
    )
