"""Images of a held-out part that training sees as well: the same file, or nearly the same picture.

    exact   the same SHA-256 of the file
    near    dHash (Krawetz 2013, "Kind of like that") differs in at most HASH_BITS of its 64 bits,
            and the correlation of the two grey thumbnails is at least CORRELATION

dHash compares neighbouring cells of a picture of 8 rows and 9 columns; a bit says that the left one
is lighter. It finds candidates quickly; the thumbnail decides, since pictures with a plain ground,
like scans of digits, often share a hash.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.images.stored import take

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.images.stored import Pixels

HASH_BITS = 10
CORRELATION = 0.95
THUMBNAIL = 24  # pixels a side
SAMPLE = 256  # held-out images, about, that are looked at first
ALIKE = 0.2  # share of them from where near duplicates say nothing
FEW = 8  # near duplicates that say something, whatever share of a small part they are
LISTED = 100  # pairs of a record

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


@dataclass(frozen=True)
class Duplicates:
    """What train has too of the images that are held out: one pair an image, exact ones first.

    `alike` parts have more near ones than FEW and ALIKE of a sample: either the split leaks, or
    pictures of this kind are too alike to tell (scans of digits are). Of those, only exact ones are
    in `pairs`.
    """

    pairs: tuple[Duplicate, ...]
    alike: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Numbers, and the first LISTED pairs, as plain JSON values."""
        return {
            "exact": sum(pair.exact for pair in self.pairs),
            "near": sum(not pair.exact for pair in self.pairs),
            "alike": list(self.alike),
            "pairs": [asdict(pair) for pair in self.pairs[:LISTED]],
        }


@dataclass(frozen=True, eq=False)
class Look:
    """What images look like: `bits` float32 [N, 64], 1 or -1; `thumbnails` float32 [N, T·T].

    Thumbnails have mean 0 and length 1, so that their product is the correlation.
    """

    bits: NDArray[np.float32]
    thumbnails: NDArray[np.float32]

    def select(self, rows: Sequence[int]) -> Look:
        """The images `rows` alone."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Look(self.bits[chosen], self.thumbnails[chosen])


def find_duplicates(decoded: Mapping[str, Decoded], *, preprocess: Preprocess) -> Duplicates:
    """The images of "val" and "test" that are in "train" too, exactly or nearly.

    What the network sees of each image after `preprocess` is looked at. The most alike is named.
    """
    train = decoded["train"]
    names = train.part.names
    by_digest = dict(zip(train.part.digests, names, strict=False))
    pairs: list[Duplicate] = []
    alike: list[str] = []
    own = None
    for part, other in decoded.items():
        if part == "train":
            continue
        own = own or look_at(train.pixels, preprocess=preprocess)
        look = look_at(other.pixels, preprocess=preprocess)
        exact = [by_digest.get(digest) for digest in other.part.digests] or [None] * len(other.part)
        known = list(zip(other.part.names, exact, strict=True))
        pairs += [Duplicate(part, name, match, exact=True) for name, match in known if match]
        others = [row for row, (_, match) in enumerate(known) if match is None]
        if _is_alike(look.select(others[:: max(1, len(others) // SAMPLE)]), own):
            alike.append(part)
            continue
        pairs += [
            Duplicate(part, other.part.names[others[row]], names[match], exact=False)
            for row, match in nearest(look.select(others), own)
        ]
    pairs.sort(key=lambda pair: (not pair.exact, pair.part, pair.name))
    return Duplicates(tuple(pairs), tuple(alike))


def _is_alike(sample: Look, own: Look) -> bool:
    return len(list(nearest(sample, own))) > max(FEW, ALIKE * len(sample.bits))


def look_at(pixels: Pixels, *, preprocess: Preprocess) -> Look:
    """Hashes and thumbnails of images, of what `preprocess` leaves of each."""
    bits, thumbnails = [np.empty((0, 64), np.float32)], [np.empty((0, THUMBNAIL**2), np.float32)]
    for start in range(0, len(pixels), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(pixels)))
        for grey in _same_size(take(pixels, rows), preprocess):
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
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], preprocess: Preprocess
) -> Iterator[NDArray[np.float32]]:
    """Grey float32 [n, h, w], one array after another, the images in their order."""
    cropped = [_middle(image, preprocess) for image in images]
    start = 0
    for end in range(1, len(cropped) + 1):
        if end == len(cropped) or cropped[end].shape != cropped[start].shape:
            batch = np.stack(cropped[start:end]).astype(np.float32)
            yield batch @ _GREY if batch.shape[-1] == 3 else batch[..., 0]
            start = end


def _middle(image: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """What the network sees of an image, which may be stored larger."""
    sides, resize = image.shape[:2], preprocess.resize
    if sides == preprocess.crop:
        return image
    share = min(sides) / resize if isinstance(resize, int) else 1.0
    height, width = (round(side * share) for side in preprocess.crop)
    top, left = round((sides[0] - height) / 2), round((sides[1] - width) / 2)
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
