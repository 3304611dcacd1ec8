"""What a network is trained on: the preprocessing that suits the data, and its pixels, decoded.

    published weights                            what they were published with
    small squares (up to 64 px: digits, CIFAR)   stretched to the input, bicubic
    anything else (photographs)                  short side to 256/224 of the input, centre crop

Mean and standard deviation are ImageNet's for photographs in colour; else they are measured on the
training pixels as the network gets them.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError
from convforge.images.decoding import MAX_BAD, decode_images
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from convforge.images.stored import Uncropped, take

if TYPE_CHECKING:
    from convforge.images.augment import Crop
    from convforge.images.cache import Cache
    from convforge.images.dataset import Images, Split
    from convforge.images.decoding import Decoded
    from convforge.images.stored import Geometry, Pixels
    from convforge.images.threads import Progress

SMALL = 64  # pixels a side: a larger square is taken for a photograph
SAMPLE = 32  # images that are looked at to tell small squares from photographs

_CHUNK = 256  # images that are counted at a time: bounds memory


def read_pixels(
    images: Images,
    *,
    input_shape: tuple[int, int, int],
    crop: Crop = "none",
    preprocess: Preprocess | None = None,
    max_bad: float = MAX_BAD,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Decoded], Preprocess]:
    """Every part decoded and resized, and how that was done.

    `input_shape` is the network's (C, H, W). `preprocess` is what the network's weights were made
    for, where they were not drawn at random; without it, it is chosen to suit the images. Images to
    train on are kept as `stored_to_train` says for the augmentation's `crop`.

    Parts to test on are read too, so that a damaged image is found before the training and not
    after it. Raises DataError naming them where they are over the share `max_bad` of a part, or
    where the result would not fit the machine's memory and there is no cache.
    """
    small = preprocess is None and _has_small_squares(images.splits["train"])
    chosen = preprocess or _geometry(input_shape, small=small)
    geometries: dict[str, Geometry] = dict.fromkeys(images.splits, chosen)
    geometries["train"] = stored_to_train(chosen, crop=crop)
    decoded = decode_images(images, geometries, max_bad=max_bad, cache=cache, progress=progress)
    if preprocess is None and (small or len(chosen.mean) == 1):
        mean, std = channel_statistics(decoded["train"].pixels)
        chosen = dataclasses.replace(chosen, mean=mean, std=std)
    return decoded, chosen


def stored_to_train(preprocess: Preprocess, *, crop: Crop) -> Geometry:
    """How images to train on are kept: what an augmentation draws crops from, if it does."""
    return preprocess if crop == "none" else Uncropped(preprocess, larger=crop == "resized")


def channel_statistics(pixels: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images uint8 [h, w, C], in units of 0…255.

    From the counts of the 256 values, so free of rounding errors that grow with N. A deviation
    under 1, of images that are all of one colour, is given as 1: it would only amplify noise.
    """
    values = np.arange(256.0)
    counts = np.zeros((pixels[0].shape[-1], 256), np.int64)
    for start in range(0, len(pixels), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(pixels)))
        flat = np.concatenate([image.reshape(-1, len(counts)) for image in take(pixels, rows)])
        for channel in range(len(counts)):
            counts[channel] += np.bincount(flat[:, channel], minlength=256)
    totals = counts.sum(axis=1)
    means = counts @ values / totals
    variances = [
        (values - mean) ** 2 @ count / total
        for mean, count, total in zip(means, counts, totals, strict=True)
    ]
    deviations = [max(float(variance) ** 0.5, 1.0) for variance in variances]
    return tuple(means.tolist()), tuple(deviations)


def _has_small_squares(split: Split) -> bool:
    rows = np.unique(np.linspace(0, len(split) - 1, SAMPLE).round().astype(int))
    shapes = []
    for row in rows:
        with suppress(DataError):  # decoding all of them names every one that is damaged
            shapes.append(split.load(int(row)).shape)
    return bool(shapes) and all(height == width <= SMALL for height, width, _ in shapes)


def _geometry(input_shape: tuple[int, int, int], *, small: bool) -> Preprocess:
    channels, height, width = input_shape
    return Preprocess(
        resize=(height, width) if small else round(max(height, width) * 256 / 224),
        crop=(height, width),
        mean=IMAGENET_MEAN if channels == 3 else (0.0,),
        std=IMAGENET_STD if channels == 3 else (1.0,),
        interpolation="bicubic" if small else "bilinear",
    )
