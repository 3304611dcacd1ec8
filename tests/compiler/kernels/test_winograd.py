from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from convforge.compiler.kernels.winograd import (
    POINTS,
    c_output_transform,
    c_transform,
    transforms,
)


def exact(matrix):
    return np.array([list(row) for row in matrix], dtype=object)


@pytest.mark.parametrize("m", POINTS)
def test_the_transforms_give_the_convolution_exactly(m):
    rng = np.random.default_rng(0)
    matrices = transforms(m)
    for _ in range(5):
        data, taps = (
            np.array([Fraction(int(n), 7) for n in rng.integers(-99, 99, size)], dtype=object)
            for size in (m + 2, 3)
        )
        products = (exact(matrices.filter) @ taps) * (exact(matrices.input) @ data)
        truth = [sum(taps[k] * data[i + k] for k in range(3)) for i in range(m)]
        assert list(exact(matrices.output) @ products) == truth


@pytest.mark.parametrize("m", POINTS)
def test_every_factor_of_the_c_is_exact_in_float32(m):
    matrices = transforms(m)
    for row in (*matrices.input, *matrices.output):
        assert all(Fraction(float(np.float32(float(factor)))) == factor for factor in row)


@pytest.mark.parametrize("m", POINTS)
def test_the_c_means_its_matrix(m):
    """Read back as Python: the statements are assignments of sums of products."""
    matrices = transforms(m)
    for text, matrix in (
        (c_transform("f", matrices.input), matrices.input),
        (c_output_transform("f", matrices.output), matrices.output),
    ):
        for column in range(len(matrix[0])):
            x = [float(i == column) for i in range(len(matrix[0]))]
            y = [0.0] * len(matrix)
            names = {"x": x, "y": y}
            for line in text.splitlines()[2:-2]:
                for statement in as_python(line):
                    exec(statement, names)
            assert y == [float(row[column]) for row in matrix]


def as_python(line):
    text = line.strip().removeprefix("const cf_vector ").rstrip(";")
    words = [
        str(float.fromhex(word.rstrip("f,"))) + "," * word.endswith(",")
        if word.lstrip("-").startswith("0x")
        else word
        for word in text.split()
    ]
    return " ".join(words).split(", ")
