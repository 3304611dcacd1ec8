"""Corruptions by cameras and programs; images float [H, W, 3] of 0…1, given back unclipped."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from convforge.images.corruptions.filters import Pixels


def contrast(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """What a value is above or below its channel's mean, times `level`."""
    mean: Pixels = x.mean(axis=(0, 1), keepdims=True)
    return (x - mean) * level + mean


def saturate(x: Pixels, level: tuple[float, float], _generator: np.random.Generator) -> Pixels:
    """HSV's saturation times the one and plus the other of `level`; hue and value stay.

    Grey has the hue of red, as HSV has it: where something is added, grey turns reddish.
    """
    factor, more = level
    value: Pixels = x.max(axis=2, keepdims=True)
    chroma = value - x.min(axis=2, keepdims=True)
    grey = chroma == 0
    saturation = chroma / np.where(value > 0, value, 1)
    wanted = np.clip(saturation * factor + more, 0, 1)
    # Below the value by how much, as a share of the chroma: 0 to 1, and for red 0, 1, 1.
    below = np.where(grey, [0.0, 1.0, 1.0], (value - x) / np.where(grey, 1, chroma))
    coloured: Pixels = value * (1 - wanted * below)
    return coloured


def pixelate(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """Down to `level` of its size, and up again."""
    height, width = x.shape[:2]
    picture = Image.fromarray((x * 255).round().astype(np.uint8))
    small = (max(1, int(width * level)), max(1, int(height * level)))
    coarse = picture.resize(small, Image.Resampling.BOX).resize(
        (width, height), Image.Resampling.BOX
    )
    return np.asarray(coarse, np.float64) / 255


def jpeg(x: Pixels, level: float, _generator: np.random.Generator) -> Pixels:
    """Written as JPEG of quality `level`, and read."""
    file = io.BytesIO()
    Image.fromarray((x * 255).round().astype(np.uint8)).save(file, "JPEG", quality=int(level))
    with Image.open(file) as picture:
        return np.asarray(picture, np.float64) / 255
