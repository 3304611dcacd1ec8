"""What `compile` does for a network of int8: check what it is given, and choose on real images."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.backend.target import largest_byte
from convforge.errors import InputError
from convforge.quantization.search import Choice, calibrate_with, choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from convforge.compiler.backend.target import Precision, Target
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.models import Model

MAX_DROP = 0.003


def as_measured(model: Model, choice: Choice) -> Model:
    """The model, whose card tells what was measured, and whose answer is the network's own."""
    card = model.card
    if card is not None:
        card = replace(card, metrics={**card.metrics, "int8": choice.record})
    return replace(model, card=card, expected=None)


def check_calibration(
    precision: Precision,
    calibrate: str | PathLike[str] | Array | None,
    *,
    max_drop: float,
) -> None:
    """Raise InputError, before any work, where one is given without the other."""
    if precision == "int8" and calibrate is None:
        raise InputError(
            "compile: precision int8 needs images to find the range of every value with; give "
            "calibrate, the data that the classifier was trained on or some like it"
        )
    if precision != "int8" and calibrate is not None:
        raise InputError(
            f"compile: calibrate goes with precision int8, and this is {precision}; leave it out"
        )
    if not (math.isfinite(max_drop) and 0 <= max_drop <= 1):
        raise InputError(f"compile: max_drop is {max_drop}; expected a share from 0 to 1")


def quantize_model(
    model: Model,
    calibrate: str | PathLike[str] | Array,
    target: Target,
    *,
    max_drop: float,
    report: Callable[[int, int, str], None] | None,
) -> Choice:
    """Ranges, and what of a network stays in float32. Raises as `quantization.search` does."""
    top = largest_byte(target)
    if isinstance(calibrate, np.ndarray):
        return calibrate_with(model.graph, calibrate, top=top)
    if model.card is None:
        raise InputError(
            f"{model.name}: is a bare network, without the preprocessing that images need; give "
            "inputs as an array [N, C, H, W], or compile the classifier that `convforge train` "
            "saved"
        )
    more = {} if report is None else {"report": report}
    data = os.fspath(calibrate)
    return choose(model.graph, model.card, data=data, max_drop=max_drop, top=top, **more)
