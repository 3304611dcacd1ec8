"""The steps of an epilogue as C: an expression a layer, and the functions it calls.

Comparisons are written so that NaN comes through and so that compilers turn them into min and max.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convforge.compiler.ir.ops import Step

# Functions of the C library that compilers do not turn into vectors, in arithmetic that they do.
_ARITHMETIC = {
    # x = n ln 2 + r; 2^n by the exponent's bits, e^r by a polynomial (Chebyshev's, to 2e-10). Below
    # e^-88 it gives 0, above e^88.4 infinity.
    "exponential": """\
static inline float cf_exponential(float x)
{
    const float bounded = x < -88.0f ? -88.0f : (x > 88.8f ? 88.8f : x);
    const float shifted = bounded * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: n in the low bits */
    const float n = shifted - 12582912.0f;
    const float r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    unsigned bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127u << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    float p = 1.9899392e-4f;
    p = p * r + 1.3933733e-3f;
    p = p * r + 8.3332983e-3f;
    p = p * r + 4.1666464e-2f;
    p = p * r + 1.6666667e-1f;
    p = p * r + 0.5f;
    return (p * r * r + r + 1.0f) * power;
}

""",
    # A polynomial to 1e-8 near zero, where 1 - 2 / (e^2x + 1) loses its digits.
    "tangent": """\
static inline float cf_tangent(float x)
{
    const float size = fabsf(x), square = x * x;
    const float far = 1.0f - 2.0f / (1.0f + cf_exponential(2.0f * size));
    float p = -6.2763902e-3f;
    p = p * square + 2.1116216e-2f;
    p = p * square - 5.3875139e-2f;
    p = p * square + 1.3332924e-1f;
    p = p * square - 3.3333330e-1f;
    const float near = x + x * square * p;
    return size < 0.6f ? near : copysignf(far, x);
}

""",
    # erfc z = t e^(p(t) - z^2), t = 1 / (1 + z / 2), for z = |x| / sqrt(2); p is Chebyshev's for
    # the logarithm of e^(z^2) erfc(z) / t, to 5e-8. From 13 on the tail is 0 in float32.
    "gaussian": """\
static inline float cf_gaussian(float x)
{
    const float size = fabsf(x) < 13.0f ? fabsf(x) : 13.0f;
    const float t = 1.0f / (1.0f + 0.35355339f * size);
    float p = 0.14050713f;
    p = p * t - 0.65661585f;
    p = p * t + 1.0994384f;
    p = p * t - 0.61952335f;
    p = p * t - 0.1441735f;
    p = p * t + 0.03546786f;
    p = p * t + 0.02287414f;
    p = p * t + 0.38911715f;
    p = p * t + 0.99834144f;
    p = p * t - 1.2654334f;
    const float tail = size < 13.0f ? t * cf_exponential(p - 0.5f * size * size) : 0.0f;
    return (x < 0.0f ? 0.0f : x) - 0.5f * size * tail;
}

""",
}

# In place and in whole vectors, for the loops over what has just been computed.
_WIDE = files(__package__).joinpath("sigmoid.c").read_text()
_HAVE_WIDE = {(("sigmoid",),): "cf_wide_sigmoid", (("silu",),): "cf_wide_silu"}

# step: parameters after x, expression, steps that it calls (those of a step stand before it)
_C: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "affine": (", float a, float b", "x * a + b", ()),
    "relu": ("", "x < 0.0f ? 0.0f : x", ()),
    "clip": (", float low, float high", "x < low ? low : (x > high ? high : x)", ()),
    "leaky_relu": (", float slope", "x < 0.0f ? x * slope : x", ()),
    "sigmoid": ("", "1.0f / (1.0f + cf_exponential(-x))", ("exponential",)),
    "tanh": ("", "cf_tangent(x)", ("exponential", "tangent")),
    "silu": ("", "x * cf_sigmoid(x)", ("exponential", "sigmoid")),
    "hard_sigmoid": ("", "cf_clip(x + 3.0f, 0.0f, 6.0f) / 6.0f", ("clip",)),
    "hard_swish": ("", "x * cf_hard_sigmoid(x)", ("clip", "hard_sigmoid")),
    # max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2, which loses no digits where it is small
    "gelu": ("", "cf_gaussian(x)", ("exponential", "gaussian")),
    # (1 + tanh u) / 2 = sigmoid(2u), likewise
    "gelu_tanh": (
        "",
        "x * cf_sigmoid(1.5957691f * (x + 0.044715f * x * x * x))",
        ("exponential", "sigmoid"),
    ),
    "elu": (", float alpha", "x < 0.0f ? alpha * expm1f(x) : x", ()),
    "softplus": ("", "(x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x)))", ()),
    "mish": ("", "x * tanhf(cf_softplus(x))", ("softplus",)),
    "exp": ("", "expf(x)", ()),
    "log": ("", "logf(x)", ()),
    "sqrt": ("", "sqrtf(x)", ()),
    "abs": ("", "fabsf(x)", ()),
    "erf": ("", "erff(x)", ()),
    "reciprocal": ("", "1.0f / x", ()),
}


def epilogue_name(steps: tuple[Step, ...]) -> str:
    """Name of the C function, float to float, that does all steps; one a distinct epilogue."""
    if not steps:
        return "cf_identity"
    names = "_".join(str(name) for name, *_numbers in steps)
    numbers = [c_float(float(number)) for _name, *numbers in steps for number in numbers]
    if not numbers:
        return f"cf_then_{names}"
    return f"cf_then_{names}_{hashlib.sha256(' '.join(numbers).encode()).hexdigest()[:8]}"


def epilogue_expression(steps: tuple[Step, ...], value: str) -> str:
    """C expression for `value` after all steps."""
    return f"{epilogue_name(steps)}({value})" if steps else value


def epilogue_loop_name(steps: tuple[Step, ...]) -> str:
    """Name of the C function (float *y, int n) that does all steps in place, in a loop."""
    return f"{epilogue_name(steps)}_loop"


def epilogue_functions(epilogues: Iterable[tuple[Step, ...]]) -> str:
    """C definitions of these epilogues, and of the steps that they use and no others."""
    distinct = {epilogue_name(steps): steps for steps in epilogues if steps}
    used = {str(step[0]) for steps in distinct.values() for step in steps}
    needed = used | {callee for name in used for callee in _C[name][2]}
    functions = [text for name, text in _ARITHMETIC.items() if name in needed]
    functions += [
        _function(f"cf_{name}", parameters, body)
        for name, (parameters, body, _calls) in _C.items()
        if name in needed
    ]
    functions += [
        _function(name, "", _composition(steps)) for name, steps in sorted(distinct.items())
    ]
    functions += [_WIDE] if any(steps in _HAVE_WIDE for steps in distinct.values()) else []
    functions += [_loop(name, steps) for name, steps in sorted(distinct.items())]
    return "".join(functions)


def _loop(name: str, steps: tuple[Step, ...]) -> str:
    head = f"static inline __attribute__((unused)) void {name}_loop(float *y, int n)"
    loop = f"    for (int i = 0; i < n; i++)\n        y[i] = {name}(y[i]);\n"
    if steps in _HAVE_WIDE:
        loop = f"#ifdef CF_LANES\n    {_HAVE_WIDE[steps]}(y, n);\n#else\n{loop}#endif\n"
    return f"{head}\n{{\n{loop}}}\n\n"


def _composition(steps: tuple[Step, ...]) -> str:
    value = "x"
    for name, *numbers in steps:
        arguments = "".join(f", {c_float(float(number))}" for number in numbers)
        value = f"cf_{name}({value}{arguments})"
    return value


def _function(name: str, parameters: str, body: str) -> str:
    head = f"static inline __attribute__((unused)) float {name}(float x{parameters})"
    return f"{head}\n{{\n    return {body};\n}}\n\n"
