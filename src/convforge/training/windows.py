"""Windows cut out of images, resized on any device: what a GPU is sent in place of finished crops.

A processor then only copies bytes, and the products that resize run beside it. For each image, with
one triangle a row of the output (bilinear, antialiased: as wide as the output's pixels where those
are the larger ones),

    resized [OH, OW] = rows [OH, h] · window [h, w] · columns [OW, w]ᵀ        of each channel
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """Uint8 `pixels` [N, H, W, C], of which image n has the first `sides[n]` (height, width).

    `mirrored` [N] says which ones are turned left to right.
    """

    pixels: Tensor
    sides: Tensor
    mirrored: Tensor

    def to(self, device: str, *, non_blocking: bool = False) -> Windows:
        """The same on a device."""
        tensors = self.pixels, self.sides, self.mirrored
        return Windows(*(tensor.to(device, non_blocking=non_blocking) for tensor in tensors))

    def resized(self, size: tuple[int, int]) -> Tensor:
        """Uint8 [N, *size, C]; each value within one of what torch's `interpolate` gives."""
        count, height, width, channels = self.pixels.shape
        rows = _triangles(self.sides[:, 0], longest=height, out=size[0])
        columns = _triangles(self.sides[:, 1], longest=width, out=size[1])
        columns = torch.where(self.mirrored[:, None, None], columns.flip(1), columns)
        lines = self.pixels.permute(0, 1, 3, 2).float().reshape(count, height * channels, width)
        narrow = lines @ columns.transpose(1, 2)
        done = rows @ narrow.reshape(count, height, channels * size[1])
        done = done.round_().clamp_(0, 255).byte().reshape(count, size[0], channels, size[1])
        return done.permute(0, 1, 3, 2)


def cut(
    batch: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    boxes: NDArray[np.int64],
    mirrored: NDArray[np.bool_],
    *,
    pinned: bool = False,
) -> Windows:
    """The box (top, left, height, width) of each image uint8 [h, w, C]; `boxes` is [N, 4].

    With `pinned` a GPU fetches the pixels by itself.
    """
    shape = (len(batch), *boxes[:, 2:].max(axis=0).tolist(), batch[0].shape[-1])
    pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
    for out, image, (top, left, rows, columns) in zip(
        pixels.numpy(), batch, boxes.tolist(), strict=True
    ):
        out[:rows, :columns] = image[top : top + rows, left : left + columns]
    sides = torch.from_numpy(np.ascontiguousarray(boxes[:, 2:]))
    return Windows(pixels, sides, torch.from_numpy(mirrored))


def _triangles(lengths: Tensor, *, longest: int, out: int) -> Tensor:
    """Weights [N, `out`, `longest`], 1 a row, zero from `lengths` [N] on."""
    pitch = (lengths / out)[:, None, None]
    places = torch.arange(out, device=lengths.device)[None, :, None] + 0.5
    pixels = torch.arange(longest, device=lengths.device)[None, None] + 0.5
    weights = (1 - (pixels - places * pitch).abs() / pitch.clamp(min=1)).clamp_(min=0)
    weights = torch.where(pixels < lengths[:, None, None], weights, 0)
    return weights / weights.sum(2, keepdim=True)
