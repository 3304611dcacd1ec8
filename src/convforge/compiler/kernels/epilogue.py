"""The steps of an epilogue as C: an expression a layer, and the functions it calls.

Comparisons are written so that NaN comes through and so that compilers turn them into min and max.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convforge.compiler.ir.ops import Step

# step: parameters after x, expression, steps that it calls
_C: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "affine": (", float a, float b", "x * a + b", ()),
    "relu": ("", "x < 0.0f ? 0.0f : x", ()),
    "clip": (", float low, float high", "x < low ? low : (x > high ? high : x)", ()),
    "leaky_relu": (", float slope", "x < 0.0f ? x * slope : x", ()),
    "sigmoid": ("", "1.0f / (1.0f + expf(-x))", ()),
    "tanh": ("", "tanhf(x)", ()),
    "silu": ("", "x * cf_sigmoid(x)", ("sigmoid",)),
    "hard_sigmoid": ("", "cf_clip(x + 3.0f, 0.0f, 6.0f) / 6.0f", ("clip",)),
    "hard_swish": ("", "x * cf_hard_sigmoid(x)", ("clip", "hard_sigmoid")),
}


def epilogue_expression(steps: Iterable[Step], value: str) -> str:
    """C expression for `value` after all steps."""
    for name, *numbers in steps:
        arguments = "".join(f", {c_float(float(number))}" for number in numbers)
        value = f"cf_{name}({value}{arguments})"
    return value


def epilogue_functions(epilogues: Iterable[tuple[Step, ...]]) -> str:
    """C definitions of the steps that these epilogues use, and of no others."""
    used = {str(step[0]) for steps in epilogues for step in steps}
    needed = used | {callee for name in used for callee in _C[name][2]}
    return "".join(
        f"static inline float cf_{name}(float x{parameters})\n{{\n    return {body};\n}}\n\n"
        for name, (parameters, body, _calls) in _C.items()
        if name in needed
    )
