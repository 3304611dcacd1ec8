"""Winograd's minimal filtering F(m, 3): exact transforms, and C that applies them.

    y = A^T [(G g) ∘ (B^T d)]

gives m outputs of a filter g of three taps from m + 2 inputs d with m + 2 products instead of 3 m;
nested for rows and columns, (m + 2)² products instead of 9 m² (Lavin & Gray 2015, section 4; the
construction is Toom and Cook's, by Lagrange interpolation at the points 0, ±p, … and ∞).

Points for F(4, 3): with 0, ±1, ±2 as in the paper the result of 128 channels is off by 1.8e-6 of
its size (root mean square, float32), with 0, ±5/8, ±3/2 by 7.9e-7; direct sums by some 2e-7. Signs
in pairs let a transform share its sums; all factors are dyadic, so that C has them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from convforge.compiler.c.writer import c_float

POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
}

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]


@dataclass(frozen=True)
class Transforms:
    """A^T [m, m + 2] for sums, G [m + 2, 3] for filters, B^T [m + 2, m + 2] for inputs."""

    output: Matrix
    filter: Matrix
    input: Matrix


def transforms(m: int) -> Transforms:
    """The three matrices of F(m, 3), exactly."""
    points = POINTS[m]
    whole = _polynomial(points)
    inputs, filters = [], []
    for j, point in enumerate(points):
        others = points[:j] + points[j + 1 :]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        inputs.append((*_polynomial(others), Fraction(0)))
        filters.append(tuple(point**k / scale for k in range(3)))
    infinity = Fraction(0), Fraction(0), Fraction(1)
    outputs = tuple((*(point**i for point in points), Fraction(int(i == m - 1))) for i in range(m))
    return Transforms(outputs, (*filters, infinity), (*inputs, whole))


def _polynomial(roots: tuple[Fraction, ...]) -> Row:
    """Coefficients of Π (x - root), that of x⁰ first."""
    product = [Fraction(1)]
    for root in roots:
        product = [
            low - root * high
            for low, high in zip([Fraction(0), *product], [*product, Fraction(0)], strict=True)
        ]
    return tuple(product)


def c_transform(name: str, matrix: Matrix) -> str:
    """C of y = matrix · x on vectors. Rows that are equal but for signs share their sums."""
    lines = [f"CF_INLINE void {name}(const cf_vector *x, cf_vector *y)", "{"]
    left = list(range(len(matrix)))
    while left:
        i = left.pop(0)
        twin = next((j for j in left if _saves(matrix[i], matrix[j])), None)
        if twin is None:
            lines.append(f"    y[{i}] = {_sum(matrix[i])};")
            continue
        left.remove(twin)
        even, odd = _halves(matrix[i], matrix[twin])
        lines.append(f"    const cf_vector even{i} = {_sum(even)}, odd{i} = {_sum(odd)};")
        lines.append(f"    y[{i}] = even{i} + odd{i};")
        lines.append(f"    y[{twin}] = even{i} - odd{i};")
    return "\n".join([*lines, "}", "", ""])


def c_output_transform(name: str, matrix: Matrix) -> str:
    """C of y = matrix · x on vectors. Columns that are equal but for signs are added first."""
    width = len(matrix[0])
    pairs = {
        i: i + 1
        for i in range(1, width - 1, 2)
        if all(row[i + 1] == row[i] * (-1) ** k for k, row in enumerate(matrix))
    }
    lines = [f"CF_INLINE void {name}(const cf_vector *x, cf_vector *y)", "{"]
    for i, j in pairs.items():
        lines.append(f"    const cf_vector even{i} = x[{i}] + x[{j}], odd{i} = x[{i}] - x[{j}];")
    for k, row in enumerate(matrix):
        terms = {f"x[{i}]": row[i] for i in range(width) if i not in {*pairs, *pairs.values()}}
        terms |= {f"{'odd' if k % 2 else 'even'}{i}": row[i] for i in pairs}
        lines.append(f"    y[{k}] = {_terms(terms)};")
    return "\n".join([*lines, "}", "", ""])


def _halves(one: Row, other: Row) -> tuple[Row, Row]:
    pairs = list(zip(one, other, strict=True))
    return tuple((a + b) / 2 for a, b in pairs), tuple((a - b) / 2 for a, b in pairs)


def _saves(one: Row, other: Row) -> bool:
    even, odd = _halves(one, other)
    products = [sum(factor != 0 for factor in row) for row in (even, odd, one, other)]
    return min(products) > 0 and products[0] + products[1] < products[2] + products[3]


def _sum(row: Row) -> str:
    return _terms({f"x[{i}]": factor for i, factor in enumerate(row)})


def _terms(terms: dict[str, Fraction]) -> str:
    # The plain ones first: each product after them is one operation with its sum.
    text = ""
    for name, factor in sorted(terms.items(), key=lambda term: abs(term[1]) != 1):
        if factor:
            product = name if abs(factor) == 1 else f"{c_float(float(abs(factor)))} * {name}"
            sign = ("-" if factor < 0 else "+") if text else ("-" if factor < 0 else "")
            text += f" {sign} {product}" if text else f"{sign}{product}"
    return text or "(cf_vector){0}"
