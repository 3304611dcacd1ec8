"""MobileNet v2: the paper's tables, the authors' table of multipliers, torchvision's outputs."""

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import mobilenet_v2
from torchvision.models._utils import _make_divisible

from convforge.errors import NetworkError
from convforge.networks.catalog import create
from convforge.networks.mobilenet_v2 import InvertedResidual, round_channels

# tensorflow/models, research/slim/nets/mobilenet/README.md: width, million parameters without those
# of the normalisation, {input size: million multiply-adds, cut to a whole number or rounded}.
AUTHORS = (
    (1.4, 6.06, {224: 582}),
    (1.3, 5.34, {224: 509}),
    (1.0, 3.47, {224: 300, 192: 221, 160: 154, 128: 99, 96: 56}),
    (0.75, 2.61, {224: 209, 96: 39}),
    (0.5, 1.95, {224: 97, 96: 18}),
    (0.35, 1.66, {224: 59, 96: 11}),
)


@pytest.mark.parametrize(("width", "million_parameters", "million_macs"), AUTHORS)
def test_costs_are_those_of_the_authors_table(width, million_parameters, million_macs, on_meta):
    net = on_meta("mobilenet_v2", width=width)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    parameters = sum(p.numel() for layer in layers for p in layer.parameters())
    assert parameters / 1e6 == pytest.approx(million_parameters, abs=0.0051)
    for size, published in million_macs.items():
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 3, size, size, device="meta"))
        macs = counter.get_total_flops() / 2e6
        assert 0 <= macs - published < 1


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
def test_parameters_equal_torchvision_at_every_width(width, on_meta, count_parameters):
    with torch.device("meta"):
        peer = mobilenet_v2(width_mult=width)
    assert count_parameters(on_meta("mobilenet_v2", width=width)) == count_parameters(
        nn.Sequential(peer)
    )


def test_maps_are_those_of_table_2(map_shapes):
    rows = (  # maps, side, blocks
        (16, 112, 1),
        (24, 56, 2),
        (32, 28, 3),
        (64, 14, 4),
        (96, 14, 3),
        (160, 7, 3),
        (320, 7, 1),
    )
    blocks = [(maps, side, side) for maps, side, count in rows for _ in range(count)]
    expected = {f"block{number}": shape for number, shape in enumerate(blocks, start=1)}
    assert map_shapes("mobilenet_v2") == {
        "stem": (32, 112, 112),
        **expected,
        "last": (1280, 7, 7),
    }


def test_blocks_expand_by_6_but_the_first(on_meta):
    net = on_meta("mobilenet_v2")
    blocks = [layer for layer in net.features if isinstance(layer, InvertedResidual)]
    assert len(blocks) == 17
    assert "expand" not in dict(blocks[0].body.named_children())
    ratios = {
        block.body.expand.conv.weight.shape[0] / block.body.expand.conv.weight.shape[1]
        for block in blocks[1:]
    }
    assert ratios == {6.0}


@pytest.mark.parametrize("width", [1.0, 0.35, 1.4])
def test_outputs_equal_torchvision(width, random_network, with_weights_of, images, relative_error):
    net = random_network("mobilenet_v2", width=width, num_classes=11)
    peer = with_weights_of(net, lambda: mobilenet_v2(width_mult=width, num_classes=11))
    x = images(2, 3, 224 if width == 1 else 97)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_outputs_with_tensorflow_padding_equal_timm(
    random_network, with_weights_of, images, relative_error
):
    net = random_network("mobilenet_v2", padding="same_tf")
    peer = with_weights_of(net, lambda: timm.create_model("mobilenetv2_100", pad_type="same"))
    x = images(2, 3, 64)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_training_equals_torchvision(
    random_network, with_weights_of, images, gradients, relative_error
):
    net = random_network("mobilenet_v2", width=0.35).train()
    peer = with_weights_of(net, lambda: mobilenet_v2(width_mult=0.35))
    x = images(4, 3, 64)
    logits, found = [], []
    for module in (net, peer):
        torch.manual_seed(5)  # both draw the same dropout
        logits.append(module(x))
        found.append(gradients(module, [(logits[-1], 1.0)]))
    assert relative_error(*logits) <= 1e-5
    for mine, other in zip(*found, strict=True):
        assert relative_error(mine, other) <= 1e-4


def test_a_block_ends_linearly_and_has_a_shortcut_where_the_shape_stays():
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    for out, stride, has_shortcut in ((8, 1, True), (8, 2, False), (16, 1, False)):
        block = InvertedResidual(8, out, stride=stride, expansion=6).eval()
        expected = block.body(x) + x if has_shortcut else block.body(x)
        assert torch.equal(block(x), expected)
        assert block(x).min() < 0


def test_channels_are_rounded_as_torchvision_rounds():
    for channels in (0.5, 3, 8, 11.9, 12, 18, 19.9, 20, 33.6, 100, 1280 * 1.3):
        assert round_channels(channels) == _make_divisible(channels, 8)
    assert round_channels(9.5) == 16  # 8 would lose over a tenth


def test_the_last_convolution_keeps_its_maps_below_width_1(on_meta):
    widths = {0.35: 1280, 1.0: 1280, 1.4: 1792}
    found = {
        width: on_meta("mobilenet_v2", width=width).head.linear.in_features for width in widths
    }
    assert found == widths


@pytest.mark.parametrize("width", [0, -1.0])
def test_a_width_not_above_0_is_refused(width):
    with pytest.raises(NetworkError, match=r"mobilenet_v2: width must be above 0, got"):
        create("mobilenet_v2", width=width)
