"""What augmentation does to pixels: flips, moves, crops, RandAugment; uint8 [N, H, W, C] batches.

Where images have different sizes, a batch is a sequence of uint8 [h, w, C]. Each function gives a
new array and draws from the generator that it is given, and from nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError, RecipeError
from convforge.images.threads import map_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ATTEMPTS = 10  # boxes that are drawn for an image before the largest that fits is taken
ASPECTS = (3 / 4, 4 / 3)  # width to height of a box

_A_TASK = 16  # images that a thread resizes before it takes the next ones


def shift(
    batch: NDArray[np.uint8], *, pixels: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Move each image by whole pixels, drawn evenly from -`pixels`…`pixels` in either direction.

    What comes in from outside is the image's own background: the median of its outermost ring of
    pixels, channel by channel (the lower one of two), so that ink on white and white on black both
    stay themselves. Raises DataError where `pixels` is negative, or not smaller than a side.
    """
    count, height, width, channels = batch.shape
    if not 0 <= pixels < min(height, width):
        raise DataError(
            f"shift: expected 0…{min(height, width) - 1} pixels for images of {width}x{height}, "
            f"got {pixels}"
        )
    # One copy of whole windows is 2.2 to 2.5 times as fast as slices, image by image, of 32x32 grey
    # pixels, and as fast of colour and of 224x224 (one core of an AMD EPYC, November 2026).
    starts = pixels - generator.integers(-pixels, pixels + 1, size=(count, 2))
    padded = np.empty((count, height + 2 * pixels, width + 2 * pixels, channels), batch.dtype)
    padded[:] = _background(batch)[:, None, None, :]
    padded[:, pixels : pixels + height, pixels : pixels + width] = batch
    windows = np.lib.stride_tricks.as_strided(
        padded,
        (count, 2 * pixels + 1, 2 * pixels + 1, height, width, channels),
        (*padded.strides[:3], *padded.strides[1:]),
    )
    moved: NDArray[np.uint8] = windows[np.arange(count), starts[:, 0], starts[:, 1]]
    return moved


def flip(batch: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Mirror each image left to right, or not, with equal chance."""
    # A plane at a time is 7 times as fast as whole pixels (128 px, one core of an AMD EPYC,
    # November 2026): numpy's inner loop then runs along a row, not along three channels.
    flipped = batch.copy()
    for image in np.flatnonzero(mirrored(len(batch), generator)):
        for channel in range(batch.shape[-1]):
            flipped[image, ..., channel] = batch[image, :, ::-1, channel]
    return flipped


def mirrored(count: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which of `count` images `flip` mirrors."""
    return generator.random(count) < 0.5


def random_crop(
    batch: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    *,
    size: tuple[int, int],
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """A window of `size` (height, width) out of each image, every place equally likely.

    Raises RecipeError where an image is smaller.
    """
    height, width = size
    places = generator.random((len(batch), 2))
    cropped = np.empty((len(batch), height, width, batch[0].shape[-1]), np.uint8)
    for out, image, (down, right) in zip(cropped, batch, places, strict=True):
        rows, columns = image.shape[0] - height, image.shape[1] - width
        if min(rows, columns) < 0:
            raise RecipeError(
                f"augmentation: a crop of {width}x{height} does not fit an image of "
                f"{image.shape[1]}x{image.shape[0]}; store the images larger, or choose "
                "crop 'resized'"
            )
        top, left = int(down * (rows + 1)), int(right * (columns + 1))
        out[:] = image[top : top + height, left : left + width]
    return cropped


def resized_crop(
    batch: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    *,
    size: tuple[int, int],
    scale: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """A box out of each image, by `draw_boxes`, resized to `size` (bilinear, antialiased)."""
    # torch resizes bytes 1.5 to 1.7 times as fast as Pillow (256 to 224 px and 160 to 128 px, one
    # core of an AMD EPYC, November 2026).
    import torch  # noqa: PLC0415  (slow)

    sides = np.array([image.shape[:2] for image in batch], dtype=np.int64).reshape(-1, 2)
    boxes = draw_boxes(sides, scale=scale, generator=generator).tolist()
    cropped = np.empty((len(batch), *size, batch[0].shape[-1]), np.uint8)

    def fill(start: int) -> None:
        for row in range(start, min(start + _A_TASK, len(batch))):
            top, left, height, width = boxes[row]
            window = np.array(batch[row][top : top + height, left : left + width])  # torch's own
            planes = torch.from_numpy(window).permute(2, 0, 1)[None]
            resized = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)
            cropped[row] = resized[0].permute(1, 2, 0).numpy()

    for _ in map_threads(fill, range(0, len(batch), _A_TASK)):
        pass
    return cropped


def draw_boxes(
    sides: NDArray[np.int64], *, scale: tuple[float, float], generator: np.random.Generator
) -> NDArray[np.int64]:
    """A box (top, left, height, width) in each image of `sides` [N, 2] (height, width): [N, 4].

    As torchvision's RandomResizedCrop: the first of ATTEMPTS boxes that fits, with a share of the
    area even in `scale` and the logarithm of width / height even in ASPECTS; else the largest box
    in the middle whose aspect is within ASPECTS.
    """
    count = len(sides)
    areas = generator.uniform(*scale, size=(count, ATTEMPTS)) * np.prod(sides, axis=1)[:, None]
    low, high = map(math.log, ASPECTS)
    aspects = np.exp(generator.uniform(low, high, size=(count, ATTEMPTS)))
    drawn = np.stack([np.sqrt(areas / aspects), np.sqrt(areas * aspects)], axis=-1)
    drawn = np.rint(drawn).astype(np.int64)  # [N, ATTEMPTS, 2]: height, width
    fits = ((drawn > 0) & (drawn <= sides[:, None])).all(axis=-1)
    boxes = drawn[np.arange(count), fits.argmax(axis=1)]
    widest = np.rint(sides[:, ::-1] * np.array([1 / ASPECTS[0], ASPECTS[1]])).astype(np.int64)
    boxes = np.where(fits.any(axis=1)[:, None], boxes, np.minimum(sides, widest))
    places = generator.random((count, 2))
    free = sides - boxes
    corners = np.where(fits.any(axis=1)[:, None], (places * (free + 1)).astype(np.int64), free // 2)
    return np.concatenate([corners, boxes], axis=1)


def rand_augment(
    batch: NDArray[np.uint8], *, operations: int, magnitude: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Torchvision's RandAugment on each image: `operations` of its table with `magnitude` of 30.

    torchvision draws from torch's generator, which is seeded by `generator` and afterwards as it
    was before.
    """
    import torch  # noqa: PLC0415  (slow)
    from torchvision.transforms import v2  # noqa: PLC0415  (slow)

    transform = v2.RandAugment(num_ops=operations, magnitude=magnitude)
    done = np.empty_like(batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator.integers(2**63)))
        for out, image in zip(done, batch, strict=True):
            planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
            out[:] = np.moveaxis(transform(planes).numpy(), 0, -1)
    return done


def _background(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The lower median of each image's outermost ring: uint8 [N, C]."""
    ring = np.concatenate(
        [batch[:, 0], batch[:, -1], batch[:, 1:-1, 0], batch[:, 1:-1, -1]], axis=1
    )
    middle = (ring.shape[1] - 1) // 2
    return np.partition(ring, middle, axis=1)[:, middle]
