"""The steps of an epilogue as C: an expression a layer, and the functions it calls.

Comparisons are written so that NaN comes through and so that compilers turn them into min and max.
"""

from __future__ import annotations

import hashlib
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

# Whole AVX-512 vectors at once, for the loops over what has just been computed: a SiLU takes 9
# cycles a vector, as the compiler makes it of the above 20 (Zen 4, gcc 12). A division is no slower
# than Newton's step for the reciprocal here, and gives 0 of infinity by itself.
_WIDE = """\
#if defined(CF_LANES) && CF_LANES == 16
/* e^-x for x <= 128: -x / ln 2 = n + i / 32 + r; 2^(i / 32) from a table, 2^r by a polynomial. */
CF_INLINE cf_vector cf_wide_fall(cf_vector x)
{
    const cf_vector low = {
        1.0f, 1.0218972f, 1.04427373f, 1.06714046f, 1.09050775f, 1.1143868f,
        1.13878858f, 1.1637249f, 1.18920708f, 1.21524739f, 1.24185777f, 1.26905096f,
        1.29683959f, 1.32523668f, 1.35425556f, 1.38390994f};
    const cf_vector high = {
        1.41421354f, 1.44518077f, 1.47682619f, 1.50916445f, 1.54221082f, 1.5759809f,
        1.61049032f, 1.64575553f, 1.68179286f, 1.71861935f, 1.75625217f, 1.79470909f,
        1.8340081f, 1.87416768f, 1.91520655f, 1.95714414f};
    const cf_vector scaled = x * -1.44269504f;
    const cf_vector shifted = scaled + 393216.0f; /* 1.5 * 2^18: parts of 32 in the low bits */
    const cf_vector n = shifted - 393216.0f, r = scaled - n;
    const cf_vector power =
        (cf_vector)_mm512_permutex2var_ps((__m512)low, (__m512i)shifted, (__m512)high);
    const cf_vector p = (2.40226507e-1f * r + 6.93147181e-1f) * r;
    return (cf_vector)_mm512_scalef_ps((__m512)(p * power + power), (__m512)n);
}

CF_INLINE cf_vector cf_wide_sigmoid(cf_vector x)
{
    const cf_vector within = cf_vector_min(cf_every(128.0f), cf_vector_max(cf_every(-128.0f), x));
    return 1.0f / (1.0f + cf_wide_fall(within));
}

CF_INLINE cf_vector cf_wide_silu(cf_vector x)
{
    return x / (1.0f + cf_wide_fall(cf_vector_min(cf_every(128.0f), x)));
}
#endif

"""
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
        wide = f"cf_store(y + i, {_HAVE_WIDE[steps]}(cf_load(y + i)));"
        wide = f"    for (int i = 0; i < n; i += 16)\n        {wide}\n"
        loop = f"#if defined(CF_LANES) && CF_LANES == 16\n{wide}#else\n{loop}#endif\n"
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
