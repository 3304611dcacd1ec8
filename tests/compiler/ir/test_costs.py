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
        ("max_pool", None, (1, 64, 56, 56), 0),
        ("scale_shift", (64,), (1, 64, 56, 56), 0),
    ],
)
def test_multiply_adds_are_counted_as_papers_do(op, weight, output, expected):
    weights = [] if weight is None else [weight, weight[:1]]
    assert macs(op, image=(1,), weights=weights, output=output) == expected


def test_those_of_a_pair_are_those_of_its_two_convolutions():
    # The beginning of MobileNet v2's second block: 112 x 112 x 96, filtered to 56 x 56.
    weights = (96, 16, 1, 1), (96,), (96, 1, 3, 3), (96,)
    found = macs("conv2d_pair", image=(1, 16, 112, 112), weights=weights, output=(1, 96, 56, 56))
    assert found == 19_267_584 + 2_709_504
