from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from convforge.analysis import gradients
from convforge.analysis.gradients import integrated_gradients, weighted_maps
from convforge.errors import InputError, PackageError
from convforge.images.picture import decode
from convforge.networks.catalog import create
from convforge.networks.contract import ConvNet

# (network, channels, pixels a side, (rows, columns) of its last maps)
NETWORKS = [
    ("lenet5", 1, 32, (1, 1)),
    ("lenet5_relu", 1, 32, (5, 5)),
    ("alexnet", 3, 131, (3, 3)),
    ("nin", 3, 128, (3, 3)),
    ("resnet20", 3, 32, (8, 8)),
    ("mobilenet_v2", 3, 96, (3, 3)),
    ("efficientnet_lite0", 3, 96, (3, 3)),
]
MORE = [
    ("vgg11_bn", 3, 64, (2, 2)),
    ("googlenet", 3, 96, (3, 3)),
    ("resnet18", 3, 96, (3, 3)),
    ("mobilenet_v1", 3, 96, (3, 3)),
    ("efficientnet_b0", 3, 96, (3, 3)),
]
CLASS = 2


def drawn(name, channels, side):
    torch.manual_seed(0)
    net = create(name, num_classes=5, in_channels=channels, input_size=side).eval()
    return net, np.random.default_rng(1).standard_normal((channels, side, side), np.float32)


@pytest.mark.parametrize(
    ("name", "channels", "side", "size"),
    [*NETWORKS, *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE)],
)
def test_grad_cam_is_what_the_paper_says_computed_by_hand(name, channels, side, size):
    net, x = drawn(name, channels, side)
    kept = []
    handle = net.features.register_forward_hook(lambda _net, _x, maps: kept.append(maps))
    logits = net(torch.from_numpy(x[None]))[0]
    handle.remove()
    # The best class: in Network in Network another one may be cut off by its last ReLU.
    index = int(logits.argmax())
    score = logits[index]
    (by_maps,) = torch.autograd.grad(score, kept[0])
    maps, by_maps = kept[0][0].detach().double().numpy(), by_maps[0].double().numpy()
    expected = np.zeros(size)
    for one, gradient in zip(maps, by_maps, strict=True):
        expected += gradient.sum() / gradient.size * one
    found = weighted_maps(net, x, index=index)
    assert found.dtype == np.float32
    assert found.shape == size
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def test_with_a_head_that_averages_it_is_the_class_activation_map():
    """Selvaraju et al. 2017, section 3.1: it generalises CAM, by a factor of the places."""
    net, x = drawn("resnet20", 3, 32)
    with torch.no_grad():
        maps = net.features(torch.from_numpy(x[None]))[0].numpy()
    cam = np.tensordot(net.head.linear.weight[CLASS].detach().numpy(), maps, axes=1)
    found = weighted_maps(net, x, index=CLASS)
    np.testing.assert_allclose(found, cam / cam.size, rtol=0, atol=1e-5 * np.abs(found).max())


def test_a_network_is_left_as_it_was():
    net, x = drawn("lenet5_relu", 1, 32)
    net.train()
    net.head.eval()
    for parameter in net.features.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    with torch.no_grad():
        weighted_maps(net, x, index=0)
        integrated_gradients(net, x, baseline=np.zeros_like(x), index=0)
    assert [module.training for module in net.modules()] == modes
    assert all(parameter.grad is None for parameter in net.parameters())
    assert [p.requires_grad for p in net.features.parameters()] == [False] * 4
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def tiny(head_first):
    torch.manual_seed(0)
    net = ConvNet(
        nn.Sequential(nn.Conv2d(1, 4, 3)),
        nn.Sequential(head_first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    )
    net.num_classes, net.input_shape = 3, (1, 6, 6)
    return net.eval()


def test_a_head_may_work_in_place():
    x = np.random.default_rng(0).standard_normal((1, 6, 6), np.float32)
    found = weighted_maps(tiny(nn.ReLU(inplace=True)), x, index=1)
    np.testing.assert_array_equal(found, weighted_maps(tiny(nn.ReLU()), x, index=1))


def test_gradients_of_a_linear_network_are_its_weights_times_the_difference():
    net = tiny(nn.Identity())
    generator = np.random.default_rng(0)
    x, start = (generator.standard_normal((1, 6, 6), np.float32) for _ in range(2))
    gradient = torch.zeros(1, 1, 6, 6, requires_grad=True)
    net(gradient)[0, CLASS].backward()
    found, complete = integrated_gradients(net, x, baseline=start, index=CLASS)
    np.testing.assert_allclose(found, (x - start) * gradient.grad[0].numpy(), atol=1e-6)
    assert complete.steps == gradients.STEPS[0]
    assert complete.error < 1e-5


def test_integrated_gradients_are_the_mean_gradient_on_the_way():
    net, x = drawn("lenet5_relu", 1, 32)
    start = np.full_like(x, -1)
    total = torch.zeros(1, 1, 32, 32)
    steps = 2000
    for part in np.array_split((np.arange(steps) + 0.5) / steps, 10):
        share = torch.from_numpy(part.astype(np.float32))[:, None, None, None]
        way = (torch.from_numpy(start) + share * torch.from_numpy(x - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(net(way)[:, CLASS].sum(), way)
        total += gradient.sum(dim=0, keepdim=True)
    expected = (x - start) * (total[0] / steps).numpy()
    found, complete = integrated_gradients(net, x, baseline=start, index=CLASS)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert complete.total == pytest.approx(float(found.sum()), abs=1e-4)


def test_attributions_sum_to_what_the_score_rises_by(trained, scans):
    for scan in scans:
        pixels = decode(scan)
        x, start = (trained.preprocess(one) for one in (pixels, np.zeros_like(pixels)))
        index = int(trained.logits(x[None])[0].argmax())
        found, complete = integrated_gradients(trained.net, x, baseline=start, index=index)
        rise = (trained.logits(x[None]) - trained.logits(start[None]))[0, index]
        assert complete.difference == pytest.approx(float(rise), abs=1e-4)
        assert abs(float(found.sum()) - float(rise)) <= complete.limit
        assert complete.limit == pytest.approx(0.05 * max(1, abs(rise)))
        assert complete.to_json()["error"] == complete.error


def test_gradients_that_do_not_add_up_are_refused(monkeypatch):
    net, x = drawn("lenet5_relu", 1, 32)
    monkeypatch.setattr(gradients, "STEPS", (2,))
    monkeypatch.setattr(gradients, "TOLERANCE", 1e-6)
    with pytest.raises(InputError, match=r"after 2 steps .* take grad-cam or occlusion"):
        integrated_gradients(net, x, baseline=np.full_like(x, -1), index=0)


def test_without_captum_the_message_names_the_extra(monkeypatch):
    net, x = drawn("lenet5_relu", 1, 32)
    monkeypatch.delitem(sys.modules, "captum.attr", raising=False)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(PackageError, match=r'captum.*pip install "convforge\[train\]"'):
        integrated_gradients(net, x, baseline=np.zeros_like(x), index=0)
