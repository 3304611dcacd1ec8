"""One artifact a machine, all of them the same network: they compute the same.

AVX-512, AVX2 and the baseline of this machine, NEON under qemu, WebAssembly under node; each is
opened as its users open it, by `machines/drive.c` and `drive.mjs`.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convforge.card import Card
from convforge.compiler.backend import interface
from convforge.compiler.backend.compilers import find_compiler
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import AARCH64_LINUX, WASM32, find_target, native
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir import ops, reference
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.pipeline import compile_graph
from convforge.images.preprocess import Interpolation, Preprocess
from convforge.prediction import softmax

DRIVERS = Path(__file__).parent / "machines"
ARM_ROOT = Path("/usr/aarch64-linux-gnu")  # of Debian's libc6-arm64-cross

HAS_ZIG = importlib.util.find_spec("ziglang") is not None
HAS_ARM = shutil.which("qemu-aarch64") and (ARM_ROOT / "lib" / "ld-linux-aarch64.so.1").exists()
no_zig = pytest.mark.skipif(not HAS_ZIG, reason="no ziglang")
MACHINES = [
    *(pytest.param((native(), level.name), id=level.name) for level in native().levels),
    pytest.param(
        (AARCH64_LINUX, ""),
        id="neon",
        marks=[
            no_zig,
            pytest.mark.skipif(not HAS_ARM, reason="no qemu-aarch64 with libc6-arm64-cross"),
            pytest.mark.skipif(platform.machine() == "aarch64", reason="native() is this one"),
        ],
    ),
    pytest.param(
        (WASM32, ""),
        id="wasm",
        marks=[no_zig, pytest.mark.skipif(not shutil.which("node"), reason="no node")],
    ),
]


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """The program that drives an artifact of each target, as the beginning of a command."""
    folder = tmp_path_factory.mktemp("drivers")
    (folder / "convforge.h").write_text(interface.HEADER)

    def build(target):
        triple = target.triple
        compiler = [*find_compiler(triple), "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
        program = folder / f"drive-{target.name}"
        command = [*compiler, f"-I{folder}", DRIVERS / "drive.c", "-ldl", "-o", program]
        subprocess.run(command, check=True)
        return str(program)

    commands = {}

    def command(target):
        if target.name not in commands:
            commands[target.name] = {
                "wasm32": lambda: ["node", str(DRIVERS / "drive.mjs")],
                AARCH64_LINUX.name: lambda: ["qemu-aarch64", "-L", str(ARM_ROOT), build(target)],
            }.get(target.name, lambda: [build(target)])()
        return commands[target.name]

    return command


@pytest.fixture
def drive(drivers, tmp_path, has_level):
    """What a machine gives for a graph's artifact and an input, or an image."""

    def run(graph, machine, *, card=None, x=None, image=None):
        target, level = machine
        if level and not has_level(next(one for one in target.levels if one.name == level)):
            pytest.skip(f"this CPU lacks {level}")
        path = tmp_path / f"net-{target.name}{target.suffix}"
        compiled = compile_graph(graph, card=card, target=target)
        save_artifact(compiled.built.path, path)
        content = np.ascontiguousarray(image if x is None else x)
        (tmp_path / "input").write_bytes(content.tobytes())
        size = [] if image is None else [str(image.shape[1]), str(image.shape[0])]
        what = "run" if image is None else "predict"
        command = [*drivers(target), path, level, what, "input", "output", *size]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return np.fromfile(tmp_path / "output", np.float32)

    return run


# Lengths around the blocks of 16 channels and the tiles of some pixels, and everything between.
channels = st.one_of(st.sampled_from([1, 15, 16, 17, 31, 32, 33, 48]), st.integers(1, 70))
sides = st.one_of(st.sampled_from([1, 2, 6, 7, 12, 13, 14, 15, 27, 28, 29]), st.integers(1, 30))


@st.composite
def convolutions(draw):
    """(input shape, weight shape, attributes, epilogue) of a convolution that has an output."""
    kind = draw(st.sampled_from(["dense", "dense", "pointwise", "grouped", "depthwise"]))
    if kind == "depthwise":
        groups, fan_in, fan_out = draw(channels), 1, draw(st.sampled_from([1, 1, 2]))
    elif kind == "grouped":
        groups = draw(st.integers(2, 4))
        fan_in, fan_out = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    else:
        groups, fan_in, fan_out = 1, draw(channels), draw(channels)
    most = (1, 2, 1) if kind == "pointwise" else (7, 3, 3)
    kernel, stride, dilation = (draw(st.tuples(*[st.integers(1, one)] * 2)) for one in most)
    size = draw(st.tuples(sides, sides))
    padding = list(draw(st.tuples(*[st.integers(0, 4)] * 4)))
    for axis in (0, 1):  # grown until the kernel fits
        missing = dilation[axis] * (kernel[axis] - 1) + 1 - size[axis] - padding[axis]
        padding[axis + 2] = max(padding[axis + 2], missing)
    attrs = {"stride": stride, "dilation": dilation, "padding": tuple(padding), "groups": groups}
    epilogue = draw(st.sampled_from([(), (("relu",),), (("clip", 0.0, 6.0),), (("silu",),)]))
    return (1, groups * fan_in, *size), (groups * fan_out, fan_in, *kernel), attrs, epilogue


def side_by_side(cases, generator):
    """A graph whose input holds those of all cases one behind the other, and its output likewise.

    Every convolution is followed by a 1x1 one to 16 channels, so that values lie between layers of
    either layout.
    """
    nodes, constants, start, parts = [], {}, 0, []
    for i, (shape, weight, attrs, epilogue) in enumerate(cases):
        size = int(np.prod(shape))
        window = {"axis": 1, "start": start, "stop": start + size, "step": 1}
        nodes.append(Node(f"slice{i}", "slice", ("x",), window))
        nodes.append(Node(f"image{i}", "reshape", (f"slice{i}",), {"shape": shape}))
        for name, kernel in ((f"conv{i}", weight), (f"point{i}", (16, weight[0], 1, 1))):
            scale = np.float32(np.prod(kernel[1:]) ** -0.5)
            constants[f"{name}.w"] = generator.standard_normal(kernel, np.float32) * scale
            constants[f"{name}.b"] = generator.standard_normal(kernel[0], np.float32)
        nodes.append(Node(f"conv{i}", "conv2d", (f"image{i}", f"conv{i}.w", f"conv{i}.b"), attrs,
                          epilogue))  # fmt: skip
        alone = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
        nodes.append(Node(f"point{i}", "conv2d", (f"conv{i}", f"point{i}.w", f"point{i}.b"), alone))
        after = ops.result_shape(f"conv{i}", "conv2d", (shape, weight), attrs)
        for name in (f"conv{i}", f"point{i}"):
            made = after if name.startswith("conv") else (1, 16, *after[2:])
            parts.append(f"row.{name}")
            flat = {"shape": (1, int(np.prod(made)))}
            nodes.append(Node(parts[-1], "reshape", (name,), flat))
        start += size
    nodes.append(Node("all", "concat", tuple(parts), {"axis": 1}))
    return Graph("x", (1, start), tuple(nodes), constants, "all")


def assert_close(found, graph, x, *, limit=1e-5):
    """Every part of the output by its own largest number, against the meaning in float64."""
    values = reference.evaluate_all(graph, x.astype(np.float64))
    start = 0
    for name in graph.nodes[-1].inputs:
        expected = values[name].ravel()
        part = found[start : start + expected.size]
        start += expected.size
        error = np.abs(part - expected).max() / max(1.0, np.abs(expected).max())
        assert error <= limit, (name, error)
    assert start == found.size


def drawn(*, lists, length):
    """So many lists of convolutions, the same ones every time."""
    found = []

    @settings(
        max_examples=lists,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        # The first example that Hypothesis makes is the simplest: one convolution all along.
        cases=st.lists(convolutions(), min_size=length, max_size=length).filter(
            lambda cases: len(set(map(repr, cases))) > length // 2
        )
    )
    def collect(cases):
        found.append(cases)

    collect()
    return found


@pytest.fixture(scope="session")
def few():
    """One graph for every machine, so that each is compiled once for all levels of it."""
    return side_by_side(drawn(lists=1, length=16)[0], np.random.default_rng(0))


@pytest.fixture(scope="session")
def many():
    return [side_by_side(cases, np.random.default_rng(0)) for cases in drawn(lists=2, length=40)]


@pytest.mark.parametrize("machine", MACHINES)
def test_convolutions_of_any_geometry(drive, draw, machine, few):
    x = draw(*few.input_shape)
    assert_close(drive(few, machine, x=x), few, x)


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_many_more_convolutions(drive, draw, machine, many):
    for graph in many:
        x = draw(*graph.input_shape)
        assert_close(drive(graph, machine, x=x), graph, x)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("machine", MACHINES)
def test_preprocessing_gives_the_same_bits(drive, machine, picture, interpolation):
    """A network that knows the pixels: a class is out of the question where its pixel differs."""
    preprocess = Preprocess(
        resize=17, crop=(16, 13), mean=(123.0, 116.0, 103.0), std=(58.0, 57.0, 57.5),
        interpolation=interpolation,
    )  # fmt: skip
    shape = preprocess.input_shape
    classes = tuple(str(i) for i in range(int(np.prod(shape))))
    nodes = (
        Node("off", "sub", ("x", "pixels"), {}, (("abs",), ("affine", -1e30, 0.0))),
        Node("flat", "reshape", ("off",), {"shape": (1, len(classes))}),
    )
    graph = Graph("x", (1, *shape), nodes, {"pixels": preprocess(picture)[None]}, "flat")
    card = Card(network="", arguments={}, classes=classes, preprocess=preprocess)
    found = drive(graph, machine, card=card, image=picture)
    np.testing.assert_array_equal(found, np.full(len(classes), np.float32(1 / len(classes))))


def check_classifier(drive, machine, classifier, picture):
    """Logits and predictions as the reference has them, the resize in front of them included."""
    shape = classifier.card.preprocess.input_shape
    graph = from_torch(classifier.net, shape)
    x = classifier.card.preprocess(picture)[None]
    expected = reference.evaluate(graph, x.astype(np.float64))[0]
    logits = drive(graph, machine, card=classifier.card, x=x)
    assert np.abs(logits - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
    probabilities = drive(graph, machine, card=classifier.card, image=picture)
    np.testing.assert_allclose(probabilities, softmax(np.float32(expected)), atol=1e-5)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_trained_classifier_of_digits(drive, machine, trained, picture):
    check_classifier(drive, machine, trained, picture)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "side"), [("resnet20", 32), ("mobilenet_v2", 224)])
@pytest.mark.parametrize("machine", MACHINES)
def test_larger_classifiers(drive, machine, make_classifier, network, side, picture):
    preprocess = Preprocess(resize=side, crop=(side, side), mean=(124.0,) * 3, std=(58.0,) * 3)
    classifier = make_classifier(network, preprocess=preprocess)
    check_classifier(drive, machine, classifier, picture)


@pytest.mark.slow  # zig builds each system's C library first: a minute and a half for Windows
@no_zig
@pytest.mark.parametrize(
    ("name", "magic"),
    [
        ("x86_64-macos", b"\xcf\xfa\xed\xfe\x07\0\0\x01"),  # 64 bits, little-endian, x86-64
        ("aarch64-macos", b"\xcf\xfa\xed\xfe\x0c\0\0\x01"),
        ("x86_64-windows", b"MZ"),
    ],
)
def test_what_cannot_be_run_here_is_built_without_a_warning(few, name, magic):
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-overlength-strings")
    library = compile_graph(few, target=find_target(name), flags=strict).library
    assert library.startswith(magic)
    for function in (b"cf_create", b"cf_run", b"cf_predict", b"cf_selftest"):
        assert function in library
    assert few.constants["conv0.b"].tobytes() in library
