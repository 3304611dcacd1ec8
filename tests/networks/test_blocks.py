import pytest

from convforge.errors import NetworkError
from convforge.networks.blocks import round_repeats
from convforge.networks.catalog import create
from convforge.networks.mobilenet_v1 import TABLE_1, deepen

# network: blocks or convolutions at depth 1, and at depth 2
DEPTHS = {
    "mobilenet_v1": ("block", 13, 26),
    "mobilenet_v2": ("block", 17, 34),
    "vgg11": ("conv", 8, 16),
}


def test_blocks_are_rounded_up_but_not_for_the_last_bits_of_a_float():
    assert [round_repeats(count, depth=1.1) for count in (1, 4, 10, 20)] == [2, 5, 11, 22]
    assert [round_repeats(4, depth=depth) for depth in (0.01, 0.25, 0.3, 0.75)] == [1, 1, 2, 3]


@pytest.mark.parametrize("network", DEPTHS)
def test_depth_multiplies_the_blocks_and_leaves_strides_and_maps(network, on_meta):
    prefix, one, two = DEPTHS[network]
    nets = [on_meta(network, depth=depth) for depth in (1.0, 2.0)]
    counts = [
        sum(name.startswith(prefix) for name, _ in net.features.named_children()) for net in nets
    ]
    assert counts == [one, two]
    assert features_shape(nets[0]) == features_shape(nets[1])


@pytest.mark.parametrize(
    ("network", "blocks"), [("resnet18", (1, 1, 1, 1)), ("resnet20", (2, 2, 2))]
)
def test_half_the_depth_of_a_resnet_has_half_the_blocks_of_each_stage(network, blocks, on_meta):
    net = on_meta(network, depth=0.5)
    assert tuple(len(stage) for stage in list(net.features)[-len(blocks) :]) == blocks
    assert features_shape(net) == features_shape(on_meta(network))


def test_the_shallowest_mobilenet_v1_keeps_every_stride():
    shallow = deepen(0.01)
    assert [stride for _, stride in shallow if stride > 1] == [2, 2, 2, 2]
    assert deepen(1.0) == TABLE_1
    assert len(shallow) == 5


@pytest.mark.parametrize(
    "network", ["vgg11", "resnet50", "resnet20", "mobilenet_v1", "mobilenet_v2"]
)
def test_half_the_width_has_about_a_quarter_of_the_parameters_of_features(network, on_meta):
    whole, half = (
        sum(p.numel() for p in on_meta(network, width=width).features.parameters())
        for width in (1.0, 0.5)
    )
    assert 0.2 < half / whole < (0.4 if network != "mobilenet_v2" else 0.6)  # its last layer stays


@pytest.mark.parametrize(
    "network", ["vgg16", "resnet34", "resnet56", "mobilenet_v1", "mobilenet_v2"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "wide", True])
@pytest.mark.parametrize("argument", ["width", "depth"])
def test_a_multiplier_that_is_no_number_above_0_is_refused(network, argument, value):
    with pytest.raises(NetworkError, match=f"{argument} must be above 0, got"):
        create(network, **{argument: value})


def features_shape(net):
    import torch

    with torch.device("meta"):
        return net.eval().features(torch.empty(1, *net.input_shape)).shape
