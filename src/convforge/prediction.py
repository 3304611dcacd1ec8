"""From logits to named predictions: what `Classifier` and `Runtime` have in common. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """One class with its probability (0…1); `index` is its place among the classes."""

    label: str
    index: int
    probability: float


def is_array(x: object, dtype: type[np.generic], *, ndim: int) -> bool:
    """Whether it is an array of a type and of so many axes."""
    return isinstance(x, np.ndarray) and x.dtype == dtype and x.ndim == ndim


def kind_of(x: object) -> str:
    """What was given in an array's place, for messages: such as "float32 [1, 3, 8, 8]"."""
    if isinstance(x, np.ndarray):
        return f"{x.dtype} {list(x.shape)}"
    return f"no numpy array but {type(x).__name__}"


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities along the last axis: float32 [..., K] → float32 [..., K], K ≥ 1.

    exp(z - max z) / Σ exp(z - max z): equal in exact arithmetic to exp(z) / Σ exp(z), and no
    exponent is above 0, so nothing overflows. In float64, rounded once, so each value is within
    half a unit in the last place and its relative size is kept. A NaN logit gives NaN for its row.
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted.astype(np.float32)


def top_predictions(
    probabilities: NDArray[np.float32], classes: Sequence[str], *, top: int = 5
) -> list[Prediction]:
    """The `top` most probable classes of one image, most probable first, all where fewer exist.

    `probabilities` is float32 [K], in the order of `classes`; of equal ones the lower index is
    first. Raises InputError where `top` is below 1 or K is not the number of classes.
    """
    if top < 1:
        raise InputError(f"predict: top is {top}; ask for at least 1 class")
    if probabilities.shape != (len(classes),):
        raise InputError(
            f"predict: expected one probability for each of {len(classes)} classes, "
            f"got an array of shape {probabilities.shape}; pass one image's row"
        )
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [Prediction(classes[i], int(i), float(probabilities[i])) for i in order]
