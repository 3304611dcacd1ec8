"""EfficientNet: coefficients, widths, repeats and costs as published; outputs as the peers'."""

import inspect

import pytest
import timm
import torch
from torchvision import models
from torchvision.ops.misc import Conv2dNormActivation

from convforge.errors import NetworkError
from convforge.networks import efficientnet
from convforge.networks.catalog import CATALOG, create
from convforge.networks.efficientnet import COMPOUND, compound_scaling, scale, scale_lite

B = tuple(f"b{number}" for number in range(8))
LITE = tuple(f"lite{number}" for number in range(5))

# torchvision's weights: variant, input size, billion multiply-adds.
GMACS = (
    ("b0", 224, 0.386),
    ("b1", 240, 0.687),
    ("b2", 288, 1.088),
    ("b3", 300, 1.827),
    ("b4", 380, 4.394),
    ("b5", 456, 10.266),
    ("b6", 528, 19.068),
    ("b7", 600, 37.746),
)
# tensorflow/tpu, efficientnet/lite/README.md: million parameters, million operations.
LITE_COSTS = {
    "lite0": (4.7, 407),
    "lite1": (5.4, 631),
    "lite2": (6.1, 899),
    "lite3": (8.2, 1440),
    "lite4": (13.0, 2640),
}
# Maps and repeats of the seven stages.
STAGES = {
    "b0": ((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "b1": ((16, 24, 40, 80, 112, 192, 320), (2, 3, 3, 4, 4, 5, 2)),
    "b2": ((16, 24, 48, 88, 120, 208, 352), (2, 3, 3, 4, 4, 5, 2)),
    "b3": ((24, 32, 48, 96, 136, 232, 384), (2, 3, 3, 5, 5, 6, 2)),
    "b4": ((24, 32, 56, 112, 160, 272, 448), (2, 4, 4, 6, 6, 8, 2)),
    "b5": ((24, 40, 64, 128, 176, 304, 512), (3, 5, 5, 7, 7, 9, 3)),
    "b6": ((32, 40, 72, 144, 200, 344, 576), (3, 6, 6, 8, 8, 11, 3)),
    "b7": ((32, 48, 80, 160, 224, 384, 640), (4, 7, 7, 10, 10, 13, 4)),
    "lite0": ((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "lite4": ((24, 32, 56, 112, 160, 272, 448), (1, 4, 4, 6, 6, 8, 1)),
}


@pytest.mark.parametrize("variant", STAGES)
def test_widths_and_repeats_are_those_published(variant):
    width, depth, _, _ = COMPOUND[variant]
    stages = (scale_lite if variant in LITE else scale)(width=width, depth=depth)
    assert tuple(stage.channels for stage in stages) == STAGES[variant][0]
    assert tuple(stage.repeats for stage in stages) == STAGES[variant][1]


@pytest.mark.parametrize("variant", B)
def test_every_stage_has_torchvisions_blocks_and_maps(variant, on_meta):
    ours = on_meta(f"efficientnet_{variant}").features
    with torch.device("meta"):
        theirs = models.get_model(f"efficientnet_{variant}").features
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        if not isinstance(other, Conv2dNormActivation):
            assert len(mine) == len(other)
        last = [[m for m in part.modules() if hasattr(m, "out_channels")] for part in (mine, other)]
        weights = [[tuple(p.shape) for p in part.parameters()] for part in (mine, other)]
        assert weights[0] == weights[1]
        assert last[0][-1].out_channels == last[1][-1].out_channels


@pytest.mark.parametrize("variant", COMPOUND)
def test_size_and_coefficients_reach_the_builders(variant):
    width, depth, size, dropout = COMPOUND[variant]
    assert CATALOG[f"efficientnet_{variant}"].input_size == size
    builder = getattr(efficientnet, f"efficientnet_{variant}")
    defaults = {name: p.default for name, p in inspect.signature(builder).parameters.items()}
    assert (defaults["width"], defaults["depth"], defaults["dropout"]) == (width, depth, dropout)
    assert defaults["stochastic_depth"] == 0.2


def test_coefficients_are_those_of_the_authors():
    assert [COMPOUND[variant] for variant in B] == [
        (1.0, 1.0, 224, 0.2),
        (1.0, 1.1, 240, 0.2),
        (1.1, 1.2, 260, 0.3),
        (1.2, 1.4, 300, 0.3),
        (1.4, 1.8, 380, 0.4),
        (1.6, 2.2, 456, 0.4),
        (1.8, 2.6, 528, 0.5),
        (2.0, 3.1, 600, 0.5),
    ]
    assert [COMPOUND[variant][2:] for variant in LITE] == [
        (224, 0.2),
        (240, 0.2),
        (260, 0.3),
        (280, 0.3),
        (300, 0.3),
    ]


def test_the_compound_rule_is_near_the_published_coefficients():
    for variant, phi in zip(B, (0, 0.5, 1, 2, 4, 5, 6, 7), strict=True):
        width, depth, size = compound_scaling(phi)
        published = COMPOUND[variant]
        assert width == pytest.approx(published[0], rel=0.05)
        assert size == pytest.approx(published[2], rel=0.04)
        if phi <= 2:
            assert depth == pytest.approx(published[1], rel=0.03)
        else:  # the authors made the large ones less deep than their rule
            assert 0.85 < published[1] / depth < 0.9
    one, two = compound_scaling(1), compound_scaling(2)
    growth = [(b / a) ** power for a, b, power in zip(one, two, (2, 1, 2), strict=True)]
    assert growth[0] * growth[1] * growth[2] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("variant", "size", "gmacs"), GMACS)
def test_multiply_adds_are_those_published(variant, size, gmacs, count_macs):
    macs = count_macs(f"efficientnet_{variant}", input_size=size)
    assert macs / 1e9 == pytest.approx(gmacs, rel=0.002)


@pytest.mark.parametrize("variant", LITE)
def test_lite_costs_are_those_published(variant, on_meta, count_macs, count_parameters):
    name = f"efficientnet_{variant}"
    million_parameters, million_operations = LITE_COSTS[variant]
    net = on_meta(name)
    assert count_parameters(net) / 1e6 == pytest.approx(million_parameters, abs=0.051)
    values = []
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda *args: values.append(args[2].numel()))
    net(torch.empty(1, *net.input_shape, device="meta"))
    # the authors count three operations more for each value that a convolution gives
    operations = count_macs(name) + 3 * sum(values)
    assert operations / 1e6 == pytest.approx(million_operations, rel=0.005)


def test_maps_are_those_of_table_1(map_shapes):
    assert map_shapes("efficientnet_b0") == {
        "stem": (32, 112, 112),
        "stage1": (16, 112, 112),
        "stage2": (24, 56, 56),
        "stage3": (40, 28, 28),
        "stage4": (80, 14, 14),
        "stage5": (112, 14, 14),
        "stage6": (192, 7, 7),
        "stage7": (320, 7, 7),
        "last": (1280, 7, 7),
    }


def test_first_and_last_layers_of_the_lite_networks_are_not_scaled(map_shapes):
    shapes = map_shapes("efficientnet_lite4")
    assert (shapes["stem"][0], shapes["last"][0]) == (32, 1280)
    assert map_shapes("efficientnet_b4")["last"][0] == 1792


@pytest.mark.parametrize("variant", B)
def test_outputs_equal_torchvision(
    variant, random_network, with_weights_of, images, relative_error
):
    net = random_network(f"efficientnet_{variant}")
    peer = with_weights_of(net, lambda: models.get_model(f"efficientnet_{variant}"))
    x = images(1, 3, 65)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


@pytest.mark.parametrize("variant", LITE)
def test_lite_outputs_equal_timm(variant, random_network, with_weights_of, images, relative_error):
    net = random_network(f"efficientnet_{variant}")
    peer = with_weights_of(net, lambda: timm.create_model(f"tf_efficientnet_{variant}"))
    with torch.no_grad():
        for size in (64, 65):  # asymmetric padding at one, symmetric at the other
            x = images(1, 3, size)
            assert relative_error(net(x), peer(x)) <= 1e-5


def test_the_authors_form_equals_timm(random_network, with_weights_of, images, relative_error):
    net = random_network("efficientnet_b0", padding="same_tf", norm="tf")
    peer = with_weights_of(net, lambda: timm.create_model("tf_efficientnet_b0"))
    x = images(2, 3, 64)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_training_equals_torchvision_with_dropout_and_stochastic_depth(
    random_network, with_weights_of, images, gradients, relative_error
):
    net = random_network("efficientnet_b0").train()
    peer = with_weights_of(net, models.efficientnet_b0)
    x = images(4, 3, 64)
    logits, found = [], []
    for module in (net, peer):
        torch.manual_seed(5)  # both draw the same
        logits.append(module(x))
        found.append(gradients(module, [(logits[-1], 1.0)]))
    assert relative_error(*logits) <= 1e-5
    for mine, other in zip(*found, strict=True):
        assert relative_error(mine, other) <= 1e-4


def test_stochastic_depth_grows_linearly_over_the_blocks(on_meta):
    net = on_meta("efficientnet_b1", stochastic_depth=0.46)
    drops = [module.drop.p for module in net.modules() if hasattr(module, "has_shortcut")]
    assert drops == pytest.approx([0.02 * index for index in range(23)])


def test_weights_are_drawn_as_the_authors_draw_them():
    torch.manual_seed(0)
    net = create("efficientnet_b0", num_classes=100)
    depthwise = net.features.stage6.block2.body.depthwise.conv.weight
    project = net.features.stage6.block2.body.project.conv.weight
    assert depthwise.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    assert project.std().item() == pytest.approx((2 / 192) ** 0.5, rel=0.05)
    assert net.head.linear.weight.abs().max().item() == pytest.approx(0.1, rel=0.01)
    assert all(m.bias.eq(0).all() for m in net.modules() if getattr(m, "bias", None) is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, r"width and depth must be above 0, got 0 and 1"),
        ({"depth": -1.0}, r"width and depth must be above 0, got 1\.0 and -1\.0"),
        ({"stochastic_depth": 1.0}, r"stochastic_depth must be at least 0 and below 1, got 1\.0"),
        ({"norm": "caffe"}, r"norm 'caffe' is not one of torch, tf"),
        ({"padding": "full"}, r"padding 'full' is not one of valid, same, same_tf"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(NetworkError, match=message):
        create("efficientnet_b0", **arguments)
