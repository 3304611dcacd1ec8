"""Augmentation of a normalised batch [N, C, H, W] and its targets [N, K]: erasing, Mixup, CutMix.

Every function takes numpy arrays or torch tensors, on any device, draws from a numpy generator, and
gives new ones. Targets are probabilities, and mixed ones still sum to 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

A = TypeVar("A")

ERASED = (0.02, 1 / 3)  # share of the area, as Zhong et al. 2020, table 1 has it
ERASED_ASPECT = 1 / 0.3  # the largest, of height to width and of width to height
ATTEMPTS = 10  # rectangles that are drawn before an image is left as it is


def erase(x: A, *, chance: float, generator: np.random.Generator) -> A:
    """Set one rectangle of an image to 0, with this chance (Zhong et al. 2020, Random Erasing).

    0 is the mean after normalisation. A share of ERASED of the area, height to width within
    ERASED_ASPECTS, anywhere inside the image.
    """
    erased: Any = _copy(x)
    count, _, height, width = erased.shape
    for image in (generator.random(count) < chance).nonzero()[0].tolist():
        for _ in range(ATTEMPTS):
            area = generator.uniform(*ERASED) * height * width
            aspect = ERASED_ASPECT ** generator.uniform(-1, 1)
            tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < tall <= height and 0 < wide <= width:
                top = int(generator.integers(height - tall + 1))
                left = int(generator.integers(width - wide + 1))
                erased[image, :, top : top + tall, left : left + wide] = 0
                break
    return erased  # type: ignore[no-any-return]


def mixup(x: A, targets: A, *, alpha: float, generator: np.random.Generator) -> tuple[A, A]:
    """λ of each image and 1 - λ of another of the batch, targets alike (Zhang et al. 2018).

    One λ a batch, from Beta(alpha, alpha).
    """
    share, partners = _draw(x, alpha=alpha, generator=generator)
    return _mix(x, partners, share), _mix(targets, partners, share)


def cutmix(x: A, targets: A, *, alpha: float, generator: np.random.Generator) -> tuple[A, A]:
    """A rectangle of each image replaced by that of another of the batch (Yun et al. 2019).

    One rectangle a batch, of the images' aspect, with a share 1 - λ of the area, λ from
    Beta(alpha, alpha), around an even point; what lies outside is cut off, and targets are mixed by
    the share that is left.
    """
    share, partners = _draw(x, alpha=alpha, generator=generator)
    mixed: Any = _copy(x)
    height, width = mixed.shape[2:]
    half = math.sqrt(1 - share) / 2
    centre = generator.integers(height), generator.integers(width)
    top, bottom = _span(int(centre[0]), half * height, side=height)
    left, right = _span(int(centre[1]), half * width, side=width)
    others: Any = x
    mixed[:, :, top:bottom, left:right] = others[partners][:, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, _mix(targets, partners, kept)


def _draw(x: Any, *, alpha: float, generator: np.random.Generator) -> tuple[float, Any]:
    return float(generator.beta(alpha, alpha)), generator.permutation(len(x))


def _mix(values: A, partners: Any, share: float) -> A:
    own: Any = values
    return share * own + (1 - share) * own[partners]  # type: ignore[no-any-return]


def _span(centre: int, half: float, *, side: int) -> tuple[int, int]:
    return max(0, round(centre - half)), min(side, round(centre + half))


def _copy(x: A) -> A:
    own: Any = x
    return own.copy() if hasattr(own, "copy") else own.clone()  # type: ignore[no-any-return]
