"""Which images are held out of training: drawn by a seed, or as a record says.

A record has the names of those to test on, where they were drawn, and of those to validate on,
where they were taken from "train".

A class's images are ranked by SHA-256 of "seed/name", and the first are held out. No random
generator's stream enters, so a split stays the same in every version of Python and numpy; it
depends on nothing but the seed and the names of the class's own images, so that a new class, or the
order on disk, changes nothing for the others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from convforge.errors import DataError
from convforge.images.dataset import listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from convforge.images.dataset import Images, Split

TEST_FRACTION = 0.2
KNOWN = 16  # held-out images whose content a record has
MAX_SEED = 2**32 - 1


def draw_test(labels: Mapping[str, str], *, seed: int) -> frozenset[str]:
    """Names of the images to hold out, by class: `labels` maps an image's name to its class.

    TEST_FRACTION of each class, rounded to the nearest, at least 1; none of a class that has a
    single image.
    """
    classes: dict[str, list[str]] = {}
    for name, label in labels.items():
        classes.setdefault(label, []).append(name)
    test: set[str] = set()
    for names in classes.values():
        count = max(1, math.floor(TEST_FRACTION * len(names) + 0.5)) if len(names) > 1 else 0
        test.update(sorted(names, key=lambda name: _rank(name, seed=seed))[:count])
    return frozenset(test)


def seeded_record(test: Collection[str], *, seed: int, fraction: float) -> dict[str, Any]:
    """What a seeded split is recorded as: plain JSON values, enough to make it again."""
    return {"method": "seeded", "seed": seed, "fraction": fraction, "test": sorted(test)}


def known_images(names: Iterable[str], digests: Mapping[str, bytes]) -> dict[str, str]:
    """The first KNOWN of some images by what they hold: enough to tell them from others."""
    return {name: digests[name].hex()[:16] for name in islice(names, KNOWN)}


def recorded_test(
    record: Mapping[str, Any], names: Collection[str], *, origin: str
) -> frozenset[str]:
    """The held-out names of a record, all of which must be among `names`, those of `origin`.

    Names that the record does not have were not there when it was made; they are not held out.
    Raises DataError where the record is not of a seeded split, or naming what is missing.
    """
    if record.get("method") == "folders":
        raise DataError(
            f"{origin}: the recorded split is of a data set with its own train/ folder, this one "
            "has none; open the one that was trained on, or open this one without the record"
        )
    test = record.get("test")
    is_list = isinstance(test, list | tuple) and all(isinstance(name, str) for name in test)
    is_seeded = record.get("method") == "seeded" and isinstance(record.get("seed"), int)
    if not is_seeded or not is_list or not test:
        raise DataError(
            f"{origin}: the recorded split is damaged; expected method 'seeded', a 'seed' "
            "and a list 'test' of image names, as `Images.record()` gives them"
        )
    return _present(test, names, origin=origin)


def recorded_val(
    record: Mapping[str, Any], names: Collection[str], *, origin: str
) -> frozenset[str]:
    """The names of a record that were taken from "train" to validate on, often none.

    Raises DataError where that is no list of names, or naming what is missing among `names`.
    """
    val = record.get("val", ())
    if not isinstance(val, list | tuple) or not all(isinstance(name, str) for name in val):
        raise DataError(
            f"{origin}: the recorded split is damaged; expected a list of image names as 'val'"
        )
    return _present(val, names, origin=origin)


def take_val(splits: Mapping[str, Split], names: Collection[str]) -> dict[str, Split]:
    """The parts with the images of these names in "val", out of "train"; as they are for none."""
    if not names:
        return dict(splits)
    whole = splits["train"]
    rows: tuple[list[int], list[int]] = [], []
    for row, name in enumerate(whole.names):
        rows[name in names].append(row)
    val = dataclasses.replace(whole.select(rows[True]), name="val")
    return {**splits, "train": whole.select(rows[False]), "val": val}


def with_val(images: Images, names: Collection[str]) -> Images:
    """`take_val` of a data set, whose record then says so: a "val" of sorted names.

    A record without "known" images gets that of these, where their content is known.
    """
    if not names:
        return images
    splits = take_val(images.splits, names)
    record = {**images.split_record, "val": sorted(names)}
    val = splits["val"]
    if "test" not in record and val.digests:
        record["known"] = known_images(val.names, dict(zip(val.names, val.digests, strict=True)))
    return dataclasses.replace(images, splits=splits, split_record=record)


def check_seed(seed: int) -> None:
    """Raise DataError where a seed is not in 0…MAX_SEED."""
    if not 0 <= seed <= MAX_SEED:
        raise DataError(f"seed of the split: expected 0…{MAX_SEED}, got {seed}")


def _present(held: Sequence[str], names: Collection[str], *, origin: str) -> frozenset[str]:
    missing = sorted(set(held) - set(names))
    if missing:
        raise DataError(
            f"{origin}: {len(missing)} of {len(held)} images that were held out of training are "
            f"missing: {listing(missing)}; put them back, or train again"
        )
    return frozenset(held)


def _rank(name: str, *, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
