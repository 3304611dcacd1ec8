import pytest
import torch
from rich.console import Console
from torch import nn

from convforge.analysis.summary import describe
from convforge.cli import layers
from convforge.networks.catalog import create


def text(found, *, width):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(*layers.summary(found, width=width), sep="\n")
    return capture.get()


@pytest.fixture(scope="module")
def lenet():
    with torch.device("meta"):
        return describe(create("lenet5_relu"))


def test_a_wide_terminal_gets_every_column(lenet):
    header = text(lenet, width=200).splitlines()[1].split()
    assert header == [
        *("layer", "kind", "kernel", "output", "size", "sees", "parameters", "MACs"),
        *("activations", "FLOP/byte"),
    ]


def test_a_narrow_terminal_gets_the_essential_columns_with_whole_names(lenet):
    said = text(lenet, width=80)
    assert said.splitlines()[1].split() == [
        *("layer", "kernel", "output", "sees", "parameters", "MACs"),
    ]
    assert "features.conv1" in said
    assert max(map(len, said.splitlines())) <= 80


def test_sums_are_those_of_the_network(lenet):
    said = text(lenet, width=200)
    assert "61,706 parameters, 416,520 MACs" in said
    # The first map, 6x28x28 in float32, read and written by the activation.
    assert "at most 36.8 KiB of activations at once, in features.relu1" in said


def test_parameters_that_no_prediction_reads_are_named():
    with torch.device("meta"):
        said = text(describe(create("googlenet", num_classes=10)), width=200)
    assert "more parameters that no prediction reads" in said


def test_a_count_that_misses_an_operator_says_so():
    class Odd(nn.Module):
        def forward(self, x):
            return x.cumsum(1).flatten(1)

    said = text(describe(Odd(), input_shape=(1, 4, 4)), width=200)
    assert "cumsum, which no rule counts: a lower bound" in said
    assert "paper:" not in said


@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet50"])
def test_long_names_are_shortened_where_they_would_break(network):
    with torch.device("meta"):
        found = describe(create(network))
    lines = text(found, width=80).splitlines()
    rule = next(place for place, line in enumerate(lines) if "──" in line)
    assert not lines[rule + 1 + len(found.rows)].strip(), "a line a layer"
    assert max(map(len, lines)) <= 80
    whole = text(found, width=200)
    assert all(row.name in whole for row in found.rows)
