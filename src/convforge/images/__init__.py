"""What goes in: images, their labels, and the preprocessing that turns them into an input.

Each name is imported when it is first used: who needs the preprocessing's record alone, as an
artifact's runtime does, waits neither for Pillow nor for the data sets. No name is that of a module
beside it, which would hide it once that is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convforge.images.dataset import Images, Split
    from convforge.images.picture import decode
    from convforge.images.preprocess import Preprocess
    from convforge.images.source import open, open_for_evaluation  # noqa: A004

_HOMES = {
    "Images": "convforge.images.dataset",
    "Preprocess": "convforge.images.preprocess",
    "Split": "convforge.images.dataset",
    "decode": "convforge.images.picture",
    "open": "convforge.images.source",
    "open_for_evaluation": "convforge.images.source",
}

__all__ = ["Images", "Preprocess", "Split", "decode", "open", "open_for_evaluation"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convforge.images' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
