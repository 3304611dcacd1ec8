"""What goes in: images, their labels, and the preprocessing that turns them into an input."""

from convforge.images.dataset import Images, Split
from convforge.images.decode import decode
from convforge.images.preprocess import Preprocess
from convforge.images.source import open, open_for_evaluation  # noqa: A004 - read as `images.open`

__all__ = ["Images", "Preprocess", "Split", "decode", "open", "open_for_evaluation"]
