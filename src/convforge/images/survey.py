"""What is wrong with a data set, as plain JSON values: for a classifier's card and for reports.

{"count": {"train": 88, "test": 37},
"bad": {"train": 2, "test": 0},
"listed": [{"part": "train", "name": "train/cat/3.jpg", "reason": "…: is empty"}, …],
"duplicates": {"exact": 1, "near": 0, "alike": [], "pairs": [{"part": "test", …}, …]}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convforge.images.dataset import listing
from convforge.images.duplicates import find_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess

LISTED = 100  # bad images of a record
TELLING = 64  # pixels a side; smaller pictures (scans of digits) are often alike, and no leak


def survey(decoded: Mapping[str, Decoded], *, preprocess: Preprocess) -> dict[str, Any]:
    """Numbers of good and bad images by part, the first LISTED bad ones, and duplicates.

    What the network sees of each image after `preprocess` is looked at for duplicates.
    """
    listed = [
        {"part": part, "name": bad.name, "reason": bad.reason}
        for part, one in decoded.items()
        for bad in one.bad
    ]
    return {
        "crop": list(preprocess.crop),
        "count": {part: len(one.part) for part, one in decoded.items()},
        "bad": {part: len(one.bad) for part, one in decoded.items()},
        "listed": listed[:LISTED],
        "duplicates": find_duplicates(decoded, preprocess=preprocess).to_json(),
    }


def sentences(record: Mapping[str, Any]) -> Iterator[str]:
    """What a record of `survey` has to say, a sentence each; none where nothing is wrong."""
    if bad := sum(record["bad"].values()):
        parts = ", ".join(f"{count} of {part}" for part, count in record["bad"].items() if count)
        names = listing(one["name"] for one in record["listed"])
        yield f"{bad} image{'s' * (bad != 1)} cannot be used ({parts}): {names}"
    duplicates = record["duplicates"]
    telling = min(record["crop"]) >= TELLING
    for kind, exact in (("the same file", True), ("nearly the same picture", False)):
        if (exact or telling) and (count := duplicates["exact" if exact else "near"]):
            pairs = [pair for pair in duplicates["pairs"] if pair["exact"] is exact]
            named = listing(f"{pair['name']} is {pair['train_name']}" for pair in pairs[:3])
            held_out = "1 held-out image is" if count == 1 else f"{count} held-out images are"
            yield f"{held_out} in train too, {kind}: {named or 'not listed'}"
    for part in duplicates["alike"] if telling else ():
        yield (
            f"many images of {part} look like one of train: the split leaks, or the pictures are "
            "too alike for that to say anything"
        )
