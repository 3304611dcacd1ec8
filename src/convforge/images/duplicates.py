"""Images of a held-out part that training sees as well: the same file, or nearly the same picture.

    exact   the same SHA-256 of the file
    near    dHash (Krawetz 2013, "Kind of like that") differs in at most HASH_BITS of its 64 bits,
            and the correlation of the two grey thumbnails is at least CORRELATION

dHash compares neighbouring cells of a picture of 8 rows and 9 columns; a bit says that the left one
is lighter. It finds candidates quickly; the thumbnail decides, since pictures with a plain ground,
like scans of digits, often share a hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convforge.images.stored import take

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from convforge.images.decoding import Decoded
    from convforge.images.stored import Pixels

HASH_BITS = 10
CORRELATION = 0.95
THUMBNAIL = 24  # pixels a side

_ROWS, _COLUMNS = 8, 9
_CHUNK = 256  # images whose hashes are made at a time
_PAIRS = 1 << 24  # of images that are compared at a time: bounds memory, 64 MB a matrix
_DENSE = 50  # one pair in so many, from where all products at once are as quick as those alone
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Duplicate:
    """An image of `part` and the image of train that is the same, or nearly."""

    part: str
    name: str
    train_name: str
    exact: bool


@dataclass(frozen=True, eq=False)
class Look:
    """What images look like: `bits` float32 [N, 64], 1 or -1; `thumbnails` float32 [N, T·T].

    Thumbnails have mean 0 and length 1, so that their product is the correlation.
    """

    bits: NDArray[np.float32]
    thumbnails: NDArray[np.float32]


def find_duplicates(decoded: Mapping[str, Decoded], *, crop: tuple[int, int]) -> list[Duplicate]:
    """The images of "val" and "test" that are in "train" too, exactly or nearly.

    `crop` (height, width) is what is looked at of each image, around the centre: the network's
    input. One pair an image, the most alike; exact ones first.
    """
    train = decoded["train"]
    by_digest = dict(zip(train.part.digests, train.part.names, strict=False))
    own = look_at(train.pixels, crop=crop)
    found: list[Duplicate] = []
    for part, other in decoded.items():
        if part == "train":
            continue
        names = other.part.names
        exact = {
            row: by_digest[digest]
            for row, digest in enumerate(other.part.digests)
            if digest in by_digest
        }
        found += [Duplicate(part, names[row], name, exact=True) for row, name in exact.items()]
        found += [
            Duplicate(part, names[row], train.part.names[match], exact=False)
            for row, match in nearest(look_at(other.pixels, crop=crop), own)
            if row not in exact
        ]
    return sorted(found, key=lambda pair: (not pair.exact, pair.part, pair.name))


def look_at(pixels: Pixels, *, crop: tuple[int, int]) -> Look:
    """Hashes and thumbnails of images, each cropped around its centre where it is larger."""
    bits, thumbnails = [np.empty((0, 64), np.float32)], [np.empty((0, THUMBNAIL**2), np.float32)]
    for start in range(0, len(pixels), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(pixels)))
        for grey in _same_size(take(pixels, rows), crop=crop):
            cells = _shrink(grey, _ROWS, _COLUMNS)
            bits.append(np.where(cells[:, :, :-1] > cells[:, :, 1:], 1, -1).reshape(len(grey), -1))
            small = _shrink(grey, THUMBNAIL, THUMBNAIL).reshape(len(grey), -1)
            small -= small.mean(axis=1, keepdims=True)
            length = np.linalg.norm(small, axis=1, keepdims=True)
            thumbnails.append(small / np.maximum(length, 1e-6))
    return Look(np.concatenate(bits).astype(np.float32), np.concatenate(thumbnails))


def nearest(look: Look, others: Look) -> Iterator[tuple[int, int]]:
    """(row, row of `others`) for each image that is nearly one of the others: the most alike."""
    step = max(1, _PAIRS // max(1, len(others.bits)))
    for start in range(0, len(look.bits), step):
        rows = slice(start, start + step)
        agreeing = look.bits[rows] @ others.bits.T  # 64 - 2 · differing bits
        near, match = np.nonzero(agreeing >= 64 - 2 * HASH_BITS)
        alike = _correlations(look.thumbnails[rows], others.thumbnails, near, match)
        enough = alike >= CORRELATION
        near, match, alike = near[enough], match[enough], alike[enough]
        order = np.lexsort((match, -alike, near))
        row, first = np.unique(near[order], return_index=True)
        yield from zip((start + row).tolist(), match[order[first]].tolist(), strict=True)


def _correlations(
    own: NDArray[np.float32],
    others: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> NDArray[np.float32]:
    """own[rows] · others[columns], a value a pair."""
    if len(rows) * _DENSE > len(own) * len(others):
        every: NDArray[np.float32] = own @ others.T
        return every[rows, columns]
    found: NDArray[np.float32] = np.einsum("ij,ij->i", own[rows], others[columns])
    return found


def _same_size(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], *, crop: tuple[int, int]
) -> Iterator[NDArray[np.float32]]:
    """Grey float32 [n, h, w], one array after another, the images in their order."""
    cropped = [_centre(image, crop=crop) for image in images]
    start = 0
    for end in range(1, len(cropped) + 1):
        if end == len(cropped) or cropped[end].shape != cropped[start].shape:
            batch = np.stack(cropped[start:end]).astype(np.float32)
            yield batch @ _GREY if batch.shape[-1] == 3 else batch[..., 0]
            start = end


def _centre(image: NDArray[np.uint8], *, crop: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = (min(side, limit) for side, limit in zip(image.shape, crop, strict=False))
    top = round((image.shape[0] - height) / 2)
    left = round((image.shape[1] - width) / 2)
    return image[top : top + height, left : left + width]


def _shrink(grey: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Means over cells: float32 [N, h, w] → [N, rows, columns]."""
    _, height, width = grey.shape
    shrunk = _cells(rows, height) @ grey @ _cells(columns, width).T
    return np.asarray(shrunk, dtype=np.float32)


def _cells(count: int, side: int) -> NDArray[np.float32]:
    """[count, side]: the share of each pixel in each of `count` equal cells; rows sum to 1."""
    edges = np.linspace(0, side, count + 1)
    pixel = np.arange(side)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(covered, 0) * (count / side), dtype=np.float32)
