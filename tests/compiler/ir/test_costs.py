import pytest

from convforge.compiler.ir.costs import macs


@pytest.mark.parametrize(
    ("op", "weight", "output", "expected"),
    [
        ("conv2d", (64, 3, 7, 7), (1, 64, 112, 112), 118_013_952),  # ResNet's first layer
        ("conv2d", (32, 1, 3, 3), (1, 32, 112, 112), 3_612_672),  # depthwise
        ("conv2d", (8, 4, 1, 1), (2, 8, 5, 5), 1_600),
        ("linear", (1000, 2048), (1, 1000), 2_048_000),
        ("linear", (10, 3), (1, 7, 10), 210),
        ("max_pool", (), (1, 64, 56, 56), 0),
        ("scale_shift", (64,), (1, 64, 56, 56), 0),
    ],
)
def test_multiply_adds_are_counted_as_papers_do(op, weight, output, expected):
    assert macs(op, weight=weight, output=output) == expected
