"""Where the head begins, and Grad-CAM by way of it, against torch's gradients."""

import numpy as np
import pytest
import torch
from torch import nn

import convforge as cf
from convforge.analysis.gradients import weighted_maps
from convforge.compiler.backend.emit import plan_arena
from convforge.compiler.backend.head import find_head
from convforge.compiler.backend.memory import plan_memory
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import build_schedule
from convforge.compiler.backend.target import native
from convforge.compiler.compilation import compile as build
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.passes.assign_layouts import assign_layouts
from convforge.compiler.passes.order import run_passes
from convforge.errors import ArtifactError
from convforge.networks.contract import ConvNet
from convforge.runtime import Runtime

SHAPE = (1, 3, 40, 56)


def program_of(net, images=1):
    graph = from_torch(net.eval(), SHAPE[1:], images=images)
    return build_program(*assign_layouts(run_passes(graph)))


def branches():
    """Maps that four layers write, as an Inception module's."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.Conv2d(3, width, 3, stride=4) for width in (5, 16, 20))

        def forward(self, x):
            return torch.cat([torch.relu(part(x)) for part in self.parts], 1)

    return Branches()


HEADS = {
    "mean and sum": lambda: (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(41, 7)),
    "two layers": lambda: (nn.Flatten(), nn.Linear(41 * 10 * 14, 9), nn.ReLU(), nn.Linear(9, 7)),
    "convolution": lambda: (nn.Conv2d(41, 7, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
}


@pytest.fixture(scope="module", params=HEADS)
def net(request):
    torch.manual_seed(3)
    net = ConvNet(branches(), nn.Sequential(*HEADS[request.param]()))
    net.input_shape, net.num_classes, net.kind = SHAPE[1:], 7, request.param
    return net.eval()


def test_the_map_that_the_head_reads_is_found(net):
    head = find_head(program_of(net))
    assert head.shape == (1, 41, 10, 14)
    assert head.linear == (net.kind == "mean and sum")


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("heads") / "net.so"
    build(net, path, input_shape=SHAPE)
    return path


@pytest.mark.parametrize("level", [level.name for level in native().levels])
@pytest.mark.parametrize("threads", [1, 2])
def test_grad_cam_is_that_of_the_gradients(net, file, level, threads):
    try:
        runtime = Runtime(file, level=level, threads=threads)
    except ArtifactError as error:
        pytest.skip(str(error))
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    before = runtime.run(x)
    for index in (0, 6):
        expected = weighted_maps(net, x[0], index=index)
        found = runtime.grad_cam(x, index)
        assert found.shape == expected.shape == (10, 14)
        limit = 1e-5 if net.kind == "mean and sum" else 2e-2
        assert np.abs(found - expected).max() <= limit * np.abs(expected).max()
    np.testing.assert_array_equal(runtime.run(x), before)


def test_what_has_no_head_of_its_own_has_none(small):
    assert find_head(build_program(*assign_layouts(run_passes(small)))) is None

    class Around(ConvNet):
        """Its head sees the picture past the features."""

        def forward(self, x):
            return self.head(self.features(x)) + x.mean((2, 3))

    net = Around(nn.Conv2d(3, 3, 3), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    net.input_shape, net.num_classes = SHAPE[1:], 3
    program = program_of(net)
    assert find_head(program) is None or find_head(program).first < len(program.calls)


def test_several_images_have_no_grad_cam():
    net = ConvNet(nn.Conv2d(3, 4, 3), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    net.input_shape, net.num_classes = SHAPE[1:], 4
    assert find_head(program_of(net)) is not None
    assert find_head(program_of(net, images=2)) is None


def test_it_costs_no_memory_where_earlier_maps_are_larger():
    graph = from_torch(cf.create("resnet18").eval(), (3, 64, 64))
    program = build_program(*assign_layouts(run_passes(graph)))
    schedule = build_schedule(program)
    assert find_head(program) is not None
    sizes = {name: 4 * count for name, count in program.buffers.items()}
    without = plan_memory(sizes, schedule.lifetimes)
    assert plan_arena(program, schedule).arena_bytes == without.arena_bytes
