"""Squeeze and excitation, stochastic depth, MBConv."""

import torch
from torch import nn
from torchvision.ops import SqueezeExcitation, stochastic_depth

from convforge.networks.mbconv import MBConv, SqueezeExcite, StochasticDepth


def test_squeeze_and_excitation_equals_torchvision(with_weights_of, images):
    ours = SqueezeExcite(16, 4).eval()
    peer = with_weights_of(ours, lambda: SqueezeExcitation(16, 4, activation=nn.SiLU))
    x = images(2, 16, 5)
    torch.testing.assert_close(ours(x), peer(x))


def test_stochastic_depth_equals_torchvision_from_the_same_seed(images):
    x = images(32, 4, 3)
    torch.manual_seed(1)
    ours = StochasticDepth(0.4).train()(x)
    torch.manual_seed(1)
    assert torch.equal(ours, stochastic_depth(x, 0.4, "row", training=True))


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 2, 2)
    result = StochasticDepth(0.25).train()(x)
    per_image = result.flatten(1)
    assert torch.equal(per_image.amin(1), per_image.amax(1))
    assert set(per_image[:, 0].tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(result.mean().item() - 1) < 0.04  # 4 standard errors


def test_stochastic_depth_does_nothing_in_evaluation_or_at_0(images):
    x = images(8, 2, 3)
    assert StochasticDepth(0.9).eval()(x) is x
    assert StochasticDepth(0.0).train()(x) is x


def test_a_dropped_block_is_its_shortcut(images):
    block = MBConv(8, 8, kernel_size=3, stride=1, expansion=6, squeezed=2, drop=0.5)
    x = images(64, 8, 4)
    result = block.train()(x)
    dropped = [torch.equal(mine, whole) for mine, whole in zip(result, x, strict=True)]
    assert 16 <= sum(dropped) <= 48


def test_a_block_ends_linearly_and_has_a_shortcut_where_the_shape_stays(images):
    x = images(2, 8, 6)
    for out, stride, has_shortcut in ((8, 1, True), (8, 2, False), (16, 1, False)):
        block = MBConv(8, out, kernel_size=5, stride=stride, expansion=6, squeezed=2).eval()
        assert torch.equal(block(x), block.body(x) + x if has_shortcut else block.body(x))
        assert block(x).min() < 0


def test_layers_that_would_do_nothing_are_left_out():
    def layers(**shape):
        block = MBConv(8, 8, kernel_size=3, stride=1, **shape)
        return [name for name, _ in block.body.named_children()]

    assert layers(expansion=6, squeezed=2) == ["expand", "depthwise", "squeeze", "project"]
    assert layers(expansion=1, squeezed=2) == ["depthwise", "squeeze", "project"]
    assert layers(expansion=6, squeezed=0) == ["expand", "depthwise", "project"]
