from __future__ import annotations

from importlib.metadata import entry_points

import pytest
import torch
from torch import nn

from convforge import torch_backend
from convforge.compiler.backend.target import native
from convforge.torch_backend import MOST_THREADS, compile_traced


@pytest.fixture(autouse=True)
def fresh():
    """Nothing that an earlier test traced."""
    torch.compiler.reset()


@pytest.fixture
def net():
    """A small convolutional network in eval mode, its BatchNorm with statistics of its own."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(96, 5),
    )
    net(torch.randn(8, 3, 8, 8))
    return net.eval()


def compiled(net):
    return torch.compile(net, backend="convforge")


def image(*shape):
    torch.manual_seed(1)
    return torch.randn(shape or (1, 3, 8, 8))


def assert_alike(found, expected):
    assert found.dtype == expected.dtype
    error = (found.double() - expected.double()).abs().max()
    assert error <= 1e-5 * expected.abs().max()


def refusal(call):
    """What a call is refused with: torch wraps what a backend raises while it compiles."""
    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed) as refused:
        call()
    return str(refused.value)


def test_torch_finds_it_by_its_name():
    (found,) = entry_points(group="torch_dynamo_backends", name="convforge")
    assert found.load() is compile_traced
    assert "convforge" in torch.compiler.list_backends()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_network_gives_what_it_gives_without(net, context):
    with context():
        found = compiled(net)(image())
        assert_alike(found.detach(), net(image()).detach())


def test_a_batch_is_computed_whole(net):
    with torch.no_grad():
        assert_alike(compiled(net)(image(5, 3, 8, 8)), net(image(5, 3, 8, 8)))


def test_it_computes_with_torchs_threads_as_far_as_an_artifact_can(net, monkeypatch):
    assert native().most_threads == MOST_THREADS
    asked = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 192)
    build = torch_backend.compile_model
    monkeypatch.setattr(
        torch_backend,
        "compile_model",
        lambda *given, **options: (
            asked.append(options["threads"]) or build(*given, **options | {"threads": 1})
        ),
    )
    with torch.no_grad():
        compiled(net)(image())
    assert asked == [MOST_THREADS]


def test_every_size_is_compiled_by_itself(net):
    grown = torch.compile(net[:4], backend="convforge", dynamic=False)
    with torch.no_grad():
        for size in (8, 9, 12, 8):
            assert_alike(grown(image(1, 3, size, 8)), net[:4](image(1, 3, size, 8)))


def test_an_input_that_is_not_contiguous_is_what_it_shows(net):
    with torch.no_grad():
        run = torch.compile(net, backend="convforge", dynamic=False)
        for x in (image().transpose(2, 3), image().to(memory_format=torch.channels_last)):
            assert_alike(run(x), net(x))


SHORT = [[1, 16, 1, 1], [6, 24, 2, 2]]  # of MobileNetV2's table


@pytest.mark.parametrize(
    "table", [SHORT, pytest.param(None, marks=pytest.mark.slow)], ids=["short", "whole"]
)
def test_torchvisions_mobilenet_v2(table):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    net = models.MobileNetV2(num_classes=10, inverted_residual_setting=table)
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64))  # statistics of their own
        net.eval()
        assert_alike(compiled(net)(image(1, 3, 64, 64)), net(image(1, 3, 64, 64)))


# -------------------------------------------------------------------------------- refusals


def test_weights_that_change_are_noticed(net):
    run = compiled(net)
    with torch.no_grad():
        run(image())
        net[0].weight.mul_(2)
        with pytest.raises(Exception, match=r"weights have changed since.*torch\.compiler\.reset"):
            run(image())
        torch.compiler.reset()
        assert_alike(run(image()), net(image()))


def test_new_statistics_and_new_parameters_are_noticed(net):
    run = compiled(net)
    with torch.no_grad():
        run(image())
        net[1].running_mean.add_(1)
        with pytest.raises(Exception, match="weights have changed"):
            run(image())
        torch.compiler.reset()
        run(image())
        net[6].bias = nn.Parameter(net[6].bias + 1)
        with pytest.raises(Exception, match="weights have changed"):
            run(image())


def test_a_network_in_training_mode_is_refused(net):
    with torch.no_grad():
        said = refusal(lambda: compiled(net.train())(image()))
        assert "UnsupportedError" in said


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.Dropout2d(0.5), nn.RReLU()])
def test_what_is_random_in_training_mode_is_refused(layer):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), layer).train()
    with torch.no_grad():
        assert "UnsupportedError" in refusal(lambda: compiled(net)(image()))


def test_a_gradient_is_refused_when_it_is_asked_for(net):
    y = compiled(net)(image())
    assert y.requires_grad
    with pytest.raises(Exception, match="an artifact has no gradients; train the model without"):
        y.sum().backward()


def test_a_layer_that_is_not_understood_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), RunningSum()).eval()
    with torch.no_grad():
        said = refusal(lambda: compiled(net)(image()))
    assert "UnsupportedError" in said
    assert "cumsum" in said


class RunningSum(nn.Module):
    def forward(self, x):
        return x.cumsum(1)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x, y=None):
        return self.conv(x) + (0 if y is None else self.conv(y)), self.conv(x)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((image(), image()), "takes 2 inputs; one is supported"),
        ((image(),), "gives 2 tensors; one is supported"),
        ((image().double(),), "torch.float64 on cpu; torch.float32 on the CPU is supported"),
    ],
)
def test_a_model_of_another_kind_is_refused(inputs, words):
    net = Two().eval().to(inputs[0].dtype)
    with torch.no_grad():
        assert words in refusal(lambda: compiled(net)(*inputs))


def test_sizes_that_vary_are_refused_with_what_to_do(net):
    run = torch.compile(net[:4], backend="convforge", dynamic=True)
    with torch.no_grad():
        assert "torch.compile(…, dynamic=False)" in refusal(lambda: run(image(1, 3, 9, 9)))
