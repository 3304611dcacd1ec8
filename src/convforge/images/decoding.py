"""Decoding a data set: every image once, kept where it fits; those that cannot be are set aside.

    in memory      a small part, up to SMALL_BYTES, or any without a cache
    in the cache   all others, where they fit on the disk and into the cache
    nowhere        what does not fit: decoded once to find the bad ones, then again when asked for

A bad image is never replaced by another, and nothing about it is silent: it is counted and named.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import DataError
from convforge.images.dataset import LISTED
from convforge.images.stored import Streamed, Uncropped, read_stored
from convforge.images.threads import map_threads, one_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from convforge.images.cache import Cache
    from convforge.images.dataset import Images, Split
    from convforge.images.preprocess import Preprocess
    from convforge.images.stored import Geometry, Pixels
    from convforge.images.threads import Progress

    Report = Callable[[int], None]  # with the number of images that are done

SMALL_BYTES = 8_000_000  # of decoded images that stay in memory and need no file
BATCH = 32  # images that are decoded at a time: bounds memory where they are large photographs
MAX_BAD = 0.01  # share of a part's images that training does without

_VERSION = 1  # of decoding: a change of pixels needs another
_CHUNK = 32  # images a task of the thread pool: small enough for a smooth progress bar
_LUCK = 5  # deviations of a count of bad images among those that were drawn
_ASPECT = 1.5  # what photographs, stored uncropped, are taken for when their size is estimated


@dataclass(frozen=True)
class Bad:
    """An image that cannot be used: its name, its label, and why."""

    name: str
    label: int
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """A part, decoded: `pixels` has image i of `part`, which is without the `bad` ones."""

    part: Split
    pixels: Pixels
    bad: tuple[Bad, ...]


def decode_images(
    images: Images,
    geometries: Mapping[str, Geometry],
    *,
    max_bad: float = MAX_BAD,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> dict[str, Decoded]:
    """The parts of `images` that `geometries` names, each image stored as that says.

    The result does not depend on the number of threads or on the cache. Raises one DataError for
    all bad images where they are over the share `max_bad` of a part or all of one, and DataError
    where that is no share and where there is no cache and the pixels would not fit the machine's
    memory. Of images that were taken from a larger part, as many may be bad as luck can give them
    of those that it may have.
    """
    if not 0 <= max_bad <= 1:
        raise DataError(
            f"max_bad is {max_bad}; expected a share of the images, from 0 to 1", names=["max_bad"]
        )
    total = sum(len(images.splits[name]) for name in geometries)
    decoded: dict[str, Decoded] = {}
    done = 0
    for name, geometry in geometries.items():

        def report(count: int, before: int = done) -> None:
            if progress is not None:
                progress(before + count, total, "decoding images")

        decoded[name] = decode_part(images.splits[name], geometry, cache=cache, report=report)
        done += len(images.splits[name])
    _check_bad(decoded, max_bad=max_bad)
    return decoded


def decode_part(
    part: Split, geometry: Geometry, *, cache: Cache | None = None, report: Report = lambda _: None
) -> Decoded:
    """One part, each image stored as `geometry` says, however many are bad."""
    size = _estimated_bytes(len(part), geometry)
    if cache is None or size <= SMALL_BYTES:
        _check_memory(len(part), size)
        return _in_memory(part, geometry, report)
    kept = None
    if size <= cache.room():
        kept = _from_cache(part, geometry, cache, report)
    if kept is not None:
        return kept
    bad = [row for row, image in enumerate(_decode(part, geometry, report)) if image is None]
    good = _without(part, bad)
    return Decoded(part=good, pixels=Streamed(good, geometry), bad=_reasons(part, bad, geometry))


def read_batches(
    part: Split, size: int, *, preprocess: Preprocess
) -> Iterator[tuple[list[NDArray[np.uint8]], list[int], list[Bad]]]:
    """All images in order and at full size, `size` at a time: the good ones, their rows, the bad.

    An image that `preprocess` does not take is bad too. While one batch is worked with, the next
    one is read; holds a few in memory.
    """
    return one_ahead(_batches(part, size, preprocess))


def _batches(
    part: Split, size: int, preprocess: Preprocess
) -> Iterator[tuple[list[NDArray[np.uint8]], list[int], list[Bad]]]:
    def read(index: int) -> NDArray[np.uint8] | DataError:
        try:
            image = part.load(index)
        except DataError as error:
            return error
        try:
            preprocess.resized_size(height=image.shape[0], width=image.shape[1])
        except DataError as error:
            return DataError(f"{part.names[index]}: {error}")
        return image

    for start in range(0, len(part), size):
        images: list[NDArray[np.uint8]] = []
        rows: list[int] = []
        bad: list[Bad] = []
        batch = range(start, min(start + size, len(part)))
        for row, image in zip(batch, map_threads(read, batch), strict=True):
            if isinstance(image, DataError):
                bad.append(_bad(part, row, image))
            else:
                images.append(image)
                rows.append(row)
        yield images, rows, bad


def _decode(part: Split, geometry: Geometry, report: Report) -> Iterator[NDArray[np.uint8] | None]:
    """Every image of a part in order, decoded by threads; None for a bad one."""

    def read(rows: range) -> list[NDArray[np.uint8] | None]:
        return [_read(part, row, geometry) for row in rows]

    chunks = [range(start, min(start + _CHUNK, len(part))) for start in range(0, len(part), _CHUNK)]
    for rows, images in zip(chunks, map_threads(read, chunks), strict=True):
        yield from images
        report(rows.stop)


def _read(part: Split, row: int, geometry: Geometry) -> NDArray[np.uint8] | None:
    try:
        return read_stored(part, row, geometry=geometry)
    except DataError:
        return None


def _in_memory(part: Split, geometry: Geometry, report: Report) -> Decoded:
    bad: list[int] = []
    images: list[NDArray[np.uint8]] = []
    if not isinstance(geometry, Uncropped):
        channels, height, width = geometry.input_shape
        block = np.empty((len(part), height, width, channels), np.uint8)
    for row, image in enumerate(_decode(part, geometry, report)):
        if image is None:
            bad.append(row)
        elif isinstance(geometry, Uncropped):
            images.append(image)
        else:
            block[row - len(bad)] = image
    pixels = images if isinstance(geometry, Uncropped) else block[: len(part) - len(bad)]
    return Decoded(part=_without(part, bad), pixels=pixels, bad=_reasons(part, bad, geometry))


def _from_cache(part: Split, geometry: Geometry, cache: Cache, report: Report) -> Decoded | None:
    key = cache_key(part, geometry)
    if key is None:
        return None
    for _ in range(2):
        kept = cache.find_or_build(
            key, lambda: _decode(part, geometry, report), waiting=lambda: report(0)
        )
        if kept is None:
            return None
        if all(_read(part, row, geometry) is None for row in kept.bad):
            report(len(part))
            good = _without(part, kept.bad)
            bad = _reasons(part, kept.bad, geometry)
            return Decoded(part=good, pixels=kept.pixels, bad=bad)
        cache.remove(key)  # an image that could not be read then can be read now
    return None


def cache_key(part: Split, geometry: Geometry) -> str | None:
    """What decides the pixels: the contents of the images in their order, what is done to them.

    None where the contents are not known.
    """
    if len(part) == 0 or not part.digests:
        return None
    uncropped = isinstance(geometry, Uncropped)
    preprocess = geometry.preprocess if isinstance(geometry, Uncropped) else geometry
    fields = preprocess.to_json()
    done = {
        "version": _VERSION,
        "resize": fields["resize"],
        "crop": None if uncropped else fields["crop"],
        "short_side": geometry.short_side if isinstance(geometry, Uncropped) else None,
        "interpolation": fields["interpolation"],
        "channels": preprocess.channels,
    }
    text = json.dumps(done, sort_keys=True).encode()
    return hashlib.sha256(b"".join([text, *part.digests])).hexdigest()


def _without(part: Split, bad: Sequence[int]) -> Split:
    left_out = set(bad)
    return part.select([row for row in range(len(part)) if row not in left_out])


def _reasons(part: Split, bad: Sequence[int], geometry: Geometry) -> tuple[Bad, ...]:
    found = []
    for row in bad:
        try:
            read_stored(part, row, geometry=geometry)
        except DataError as error:
            found.append(_bad(part, row, error))
    return tuple(found)


def _bad(part: Split, row: int, error: DataError) -> Bad:
    return Bad(part.names[row], int(part.labels[row]), str(error))


def _check_bad(decoded: Mapping[str, Decoded], *, max_bad: float) -> None:
    """Raise one DataError for all bad images where they are too many in a part."""
    total = sum(len(d.part) + len(d.bad) for d in decoded.values())
    if all(
        len(d.bad) <= _allowed(d, max_bad=max_bad) and (len(d.part) or not d.bad)
        for d in decoded.values()
    ):
        return
    reasons = [bad.reason for d in decoded.values() for bad in d.bad]
    listed = "".join(f"\n  {reason}" for reason in reasons[:LISTED])
    more = f"\n  and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    raise DataError(
        f"{len(reasons)} of {total} images cannot be used; repair or remove them, or allow more of "
        f"a part than max_bad {max_bad:.3g}:{listed}{more}",
        names=["max_bad"],
    )


def _allowed(one: Decoded, *, max_bad: float) -> float:
    """How many images of a part may be bad: the share of it, or of what it was drawn from."""
    count = len(one.part) + len(one.bad)
    expected = max_bad * count
    return min(max_bad * (one.part.whole or count), expected + _LUCK * math.sqrt(expected))


def _estimated_bytes(count: int, geometry: Geometry) -> int:
    if isinstance(geometry, Uncropped):
        size, resize = geometry.short_side, geometry.preprocess.resize
        height, width = (size, int(size * _ASPECT)) if isinstance(resize, int) else resize
        return count * height * width * geometry.preprocess.channels
    channels, height, width = geometry.input_shape
    return count * height * width * channels


def _check_memory(count: int, size: int) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise DataError(
            f"{count:,} decoded images of {size // count:,} bytes need {size / 1e9:.1f} GB, the "
            f"machine has {memory / 1e9:.1f} GB; use fewer images, a smaller input size, or a cache"
        )
