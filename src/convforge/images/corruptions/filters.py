"""Linear filters that the corruptions share, of images [H, W, C]; `smoothed` of planes too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float64]  # [H, W, 3], 0…1
    Plane = NDArray[np.float64]  # [H, W]
    # What lies beyond an edge c b a: a a a, b c …, or a b c …, as numpy.pad names them.
    Edges = Literal["edge", "reflect", "symmetric"]


def eight_bits(x: Pixels) -> NDArray[np.uint8]:
    """0…1 as 0…255, cut as the reference does; what is whole but for rounding stays whole."""
    return (np.clip(x, 0, 1) * 255 + 1e-6).astype(np.uint8)


def smoothed(x: Pixels, sigma: float, *, truncate: float = 4, edges: Edges = "edge") -> Pixels:
    """A Gaussian of `sigma` pixels over both axes, cut off at `truncate` sigmas."""
    radius = int(truncate * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    height, width = x.shape[:2]
    rows, columns = (_band(n, taps / taps.sum(), edges) for n in (height, width))
    return separable(x, rows=rows, columns=columns)


def separable(x: Pixels, *, rows: Plane, columns: Plane) -> Pixels:
    """Rows [OH, H] of weights over the one axis, columns [OW, W] over the other."""
    channels = x.shape[2:]
    down = (rows @ x.reshape(len(x), -1)).reshape(len(rows), *x.shape[1:])
    across = columns @ down.swapaxes(0, 1).reshape(x.shape[1], -1)
    return across.reshape(len(columns), len(rows), *channels).swapaxes(0, 1)


def convolved(x: Pixels, kernel: Plane, *, edges: Edges) -> Pixels:
    """The sum over a square around each pixel, weighted by kernel [2 r + 1, 2 r + 1], unflipped."""
    radius = len(kernel) // 2
    height, width, _ = x.shape
    planes = np.moveaxis(x, 2, 0)
    padded = np.pad(planes, ((0, 0), (radius, radius), (radius, radius)), edges)
    size = [-(-n // 16) * 16 for n in padded.shape[1:]]  # of small factors
    spectrum = np.fft.rfft2(padded, size) * np.fft.rfft2(kernel, size).conj()
    return np.moveaxis(np.fft.irfft2(spectrum, size)[:, :height, :width], 0, 2)


def motion_kernel(radius: int, sigma: float, angle: float) -> Plane:
    """The trail of a point: half a Gaussian of `sigma` along a line at `angle` degrees.

    As ImageMagick's -motion-blur: 2 `radius` + 1 taps, each on the nearest pixel.
    """
    length = 2 * radius
    steps = np.arange(length + 1)
    taps = np.exp(-0.5 * (steps / sigma) ** 2)
    turn = math.radians(angle)
    rows = np.ceil(steps * math.sin(turn) - 0.5).astype(int)
    columns = np.ceil(steps * math.cos(turn) - 0.5).astype(int)
    kernel = np.zeros((2 * length + 1, 2 * length + 1))
    np.add.at(kernel, (length + rows, length + columns), taps / taps.sum())
    return kernel


def zoomed(x: Pixels, zoom: float) -> Pixels:
    """The middle of an image, made `zoom` times as large, linearly, to the image's own size.

    The middles of corner pixels stay corners before what is too much is cut off, as in
    scipy.ndimage.zoom.
    """
    height, width, channels = x.shape
    (top, bottom), (left, right) = (_zoom_box(n, zoom) for n in (height, width))
    box = (left, top, right, bottom)
    planes = [Image.fromarray(x[:, :, c].astype(np.float32)) for c in range(channels)]
    scaled = [plane.resize((width, height), Image.Resampling.BILINEAR, box) for plane in planes]
    return np.stack([np.asarray(plane, np.float64) for plane in scaled], axis=2)


def _band(size: int, taps: NDArray[np.float64], edges: Edges) -> Plane:
    """[size, size]: each row has the taps around its diagonal, folded back at the ends."""
    sources = np.pad(np.arange(size), len(taps) // 2, edges)
    cells = np.lib.stride_tricks.sliding_window_view(sources, len(taps)).copy()
    cells += size * np.arange(size)[:, None]
    summed = np.bincount(cells.ravel(), np.tile(taps, size), minlength=size * size)
    return summed.astype(np.float64, copy=False).reshape(size, size)


def _zoom_box(size: int, zoom: float) -> tuple[float, float]:
    """Between which places Pillow, to which pixels are areas, has to resize."""
    inner = math.ceil(size / zoom)
    outer = max(size, round(inner * zoom))
    step = (inner - 1) / (outer - 1) if inner > 1 else 1e-6
    first = (size - inner) // 2 + (outer - size) // 2 * step
    start = first + (1 - step) / 2
    return start, min(size, start + size * step)
