"""What `compile` does for a precision: check what it is given, choose, measure on images."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convforge.compiler.backend.target import largest_byte
from convforge.errors import InputError
from convforge.quantization.search import Choice, calibrate_with, choose, measure_bf16

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from convforge.card import Card
    from convforge.compiler.backend.target import Precision, Target
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.models import Model
    from convforge.compiler.pipeline import ByteOptions

    Progress: TypeAlias = Callable[[int, int, str], None]

MAX_DROP = 0.003


# Of a classifier of bfloat16 that was compiled without images to measure it on.
UNMEASURED: dict[str, Any] = {"measured": False}


@dataclass(frozen=True)
class Chosen:
    """The model, whose card tells what it is, and what it is compiled with."""

    model: Model
    options: ByteOptions | None = None
    record: dict[str, Any] | None = None
    gain: dict[str, dict[str, float]] | None = None


def choose_for(
    model: Model,
    precision: Precision,
    calibrate: str | PathLike[str] | Array | None,
    target: Target,
    *,
    max_drop: float,
    report: Progress | None,
) -> Chosen:
    """What a precision asks for. Raises as `quantization.search` does."""
    if precision == "int8":
        assert calibrate is not None
        choice = _quantize(model, calibrate, target, max_drop=max_drop, report=report)
        # The network of bytes is its own measure in the self-test.
        found = replace(_on_card(model, "int8", choice.record), expected=None)
        return Chosen(found, choice.options, choice.record, choice.gain)
    if precision != "bf16":
        return Chosen(model)
    if calibrate is None:
        return Chosen(_on_card(model, "bf16", UNMEASURED))
    choice = _measure(model, calibrate, max_drop=max_drop, report=report)
    found = _on_card(model, "bf16", choice.record)
    return Chosen(found, record=choice.record, gain=choice.gain)


def _on_card(model: Model, precision: str, record: dict[str, Any]) -> Model:
    card = model.card
    if card is None:
        return model
    return replace(model, card=replace(card, metrics={**card.metrics, precision: record}))


def check_calibration(
    precision: Precision,
    calibrate: str | PathLike[str] | Array | None,
    target: Target,
    *,
    max_drop: float,
) -> None:
    """Raise InputError, before any work, where these do not go together."""
    if precision == "int8" and calibrate is None:
        raise InputError(
            "compile: precision int8 needs images to find the range of every value with; give "
            "calibrate, the data that the classifier was trained on or some like it",
            names=["precision", "calibrate"],
        )
    if precision not in {"int8", "bf16"} and calibrate is not None:
        raise InputError(
            f"compile: calibrate goes with precision int8 or bf16, and this is {precision}; leave "
            "it out",
            names=["precision", "calibrate"],
        )
    if not (math.isfinite(max_drop) and 0 <= max_drop <= 1):
        raise InputError(
            f"compile: max_drop is {max_drop}; expected a share from 0 to 1", names=["max_drop"]
        )
    if precision == "bf16" and target.binary == "wasm":
        more = "; float16 has half the bytes" if target.form == "page" else ""
        raise InputError(
            f"compile: target {target.name} has no products of bf16, and would be slower than in "
            f"float32{more}",
            names=["target"],
        )


def _measure(
    model: Model,
    data: str | PathLike[str] | Array,
    *,
    max_drop: float,
    report: Progress | None,
) -> Choice:
    if isinstance(data, np.ndarray):
        raise InputError(
            "compile: precision bf16 has no ranges to find with arrays; give calibrate the images "
            "that a classifier is to be measured on, or leave it out"
        )
    card = _card(model)
    more = {} if report is None else {"report": report}
    return measure_bf16(model.graph, card, data=os.fspath(data), max_drop=max_drop, **more)


def _card(model: Model) -> Card:
    if model.card is None:
        raise InputError(
            f"{model.name}: is a bare network, without the preprocessing that images need; give "
            "inputs as an array [N, C, H, W], which int8 is calibrated with, or compile the "
            "classifier that `convforge train` saved"
        )
    return model.card


def _quantize(
    model: Model,
    calibrate: str | PathLike[str] | Array,
    target: Target,
    *,
    max_drop: float,
    report: Progress | None,
) -> Choice:
    """Ranges, and what of a network stays in float32."""
    top = largest_byte(target)
    if isinstance(calibrate, np.ndarray):
        return calibrate_with(model.graph, calibrate, top=top)
    card = _card(model)
    more = {} if report is None else {"report": report}
    data = os.fspath(calibrate)
    return choose(model.graph, card, data=data, max_drop=max_drop, top=top, **more)
