"""What the tests of the compiler share: graphs, golden texts, layers run as C, cards."""

from __future__ import annotations

import ctypes
import itertools
import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from convforge.card import Card
from convforge.compiler.backend import interface
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import Level, Target, native
from convforge.compiler.backend.toolchain import find_compiler
from convforge.compiler.c.writer import Writer
from convforge.compiler.ir import ops, reference
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.ir.reference_bf16 import bits
from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.epilogue import epilogue_functions
from convforge.compiler.kernels.family import BYTES, FEW, LANES, Layer, Layout, signature
from convforge.compiler.pipeline import compile_graph
from convforge.images.preprocess import Preprocess
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}

# As the toolchain compiles the network, with every warning an error.
LAYER_FLAGS = (
    *("-std=c11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-pedantic"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
)
CANARY = np.float32(-7.25e7)
GUARD = 16  # floats on either side of a result, which no layer may touch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden texts anew (give the folder of the tests on the command line too)",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Holds a text against golden/NAME.txt beside the test; `--update-golden` writes the file."""

    def check(name: str, text: str) -> None:
        path = request.path.parent / "golden" / f"{name}.txt"
        if request.config.getoption("--update-golden", default=False):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.read_text() == text

    return check


@pytest.fixture
def make_graph() -> Callable[..., Graph]:
    """Graph(nodes) from "x" of `shape` to the last node; keywords are constants."""

    def make(
        *nodes: Node,
        shape: tuple[int, ...] = (1, 3, 6, 6),
        output: str | None = None,
        **constants: object,
    ) -> Graph:
        arrays = {
            name: np.ascontiguousarray(value, np.float32) for name, value in constants.items()
        }
        return Graph("x", shape, nodes, arrays, output or nodes[-1].name)

    return make


@pytest.fixture
def make_card() -> Callable[..., Card]:
    """Card of a network with these classes that takes images of `shape` [C, H, W] as they are."""

    def make(
        classes: Sequence[str] = ("a", "b"), *, shape: tuple[int, int, int] = (3, 6, 6)
    ) -> Card:
        channels, *size = shape
        crop = (size[0], size[1])
        preprocess = Preprocess(
            resize=crop, crop=crop, mean=(100.0,) * channels, std=(50.0,) * channels
        )
        return Card(network="", arguments={}, classes=tuple(classes), preprocess=preprocess)

    return make


@pytest.fixture
def make_layer() -> Callable[..., Layer]:
    """Layer of one operation on computed inputs of these shapes and these constants."""

    def make(
        op: str,
        shapes: Sequence[tuple[int, ...]],
        *constants: NDArray[np.float32],
        epilogue: tuple[ops.Step, ...] = (),
        **attrs: ops.Attr,
    ) -> Layer:
        names = tuple(f"x{i}" for i in range(len(shapes)))
        names += tuple(f"w{i}" for i in range(len(constants)))
        node = Node("layer", op, names, attrs, epilogue)
        inputs = (*shapes, *(constant.shape for constant in constants))
        output = ops.result_shape(node.name, op, inputs, attrs)
        return Layer(node, tuple(shapes), constants, output)

    return make


@pytest.fixture
def run_layers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., list[NDArray[np.float32]]]:
    """Compiles layers into one library and runs each on its inputs.

    Every result starts as NaN, so that a cell that was not written shows, between cells that must
    stay as they are. `kernels` names the kernel of each layer; the catalogue's choice otherwise.
    """

    def run(
        layers: Sequence[Layer],
        inputs: Sequence[Sequence[NDArray[np.float32]]],
        *,
        kernels: Sequence[object] | None = None,
        flags: Sequence[str] = (),
    ) -> list[NDArray[np.float32]]:
        chosen = [select(layer) for layer in layers] if kernels is None else kernels
        packs = [kernel.pack(layer) for kernel, layer in zip(chosen, layers, strict=True)]
        out = Writer()
        for i, (kernel, layer, pack) in enumerate(zip(chosen, layers, packs, strict=True)):
            size = kernel.workspace(layer)
            pieces = kernel.units(layer) if kernel.units else 0
            head = signature(
                f"layer_{i}",
                inputs=len(layer.inputs),
                weights=len(pack),
                workspace=size,
                pieces=bool(pieces),
            )
            with out.block(head):
                kernel.emit(layer, out)
            names = [f"x{k}" for k in range(len(layer.inputs))]
            names += [f"w{k}" for k in range(len(pack))]
            _emit_entry(out, i, names, workspace=size, units=pieces)
        steps = epilogue_functions(steps for layer in layers for steps in layer.epilogues)
        folder = tmp_path_factory.mktemp("layers")
        preludes = "".join(dict.fromkeys(kernel.prelude for kernel in chosen))
        text = interface.LAYERS_HEAD + preludes + steps + out.text()
        (folder / "layers.c").write_text(text)
        command = [*find_compiler(), *LAYER_FLAGS, *flags, "layers.c", "-o", "layers.so", "-lm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        library = ctypes.CDLL(str(folder / "layers.so"))
        results = []
        for i, (layer, xs, pack) in enumerate(zip(layers, inputs, packs, strict=True)):
            arguments = [*map(stored, xs, layer.takes), *pack]
            size = layer.gives.floats(layer.output)
            result = _call(getattr(library, f"run_{i}"), arguments, size=size)
            results.append(loaded(result, layer.gives, layer.output))
        return results

    return run


def _emit_entry(out: Writer, number: int, names: list[str], *, workspace: int, units: int) -> None:
    # Units one by one and the last ones first: their order must not matter.
    heads = ", ".join([*(f"const float *{name}" for name in names), "float *y"])
    out.line(f"void run_{number}({heads});")
    with out.block(f"void run_{number}({heads})"):
        if workspace:
            out.line(f"static float workspace[{workspace}] __attribute__((aligned(64)));")
        arguments = ", ".join([*names, *(["workspace"] if workspace else []), "y"])
        if not units:
            out.line(f"layer_{number}({arguments});")
            return
        with out.block(f"for (int unit = {units}; unit > 0; unit--)"):
            out.line(f"layer_{number}({arguments}, unit - 1, unit);")


def _call(
    function: Callable[..., None], arguments: list[NDArray[np.float32]], *, size: int
) -> NDArray[np.float32]:
    aligned = [_aligned(array.size, array) for array in arguments]
    block = _aligned(size + 2 * GUARD, CANARY)
    block[GUARD : GUARD + size] = np.nan
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in aligned]
    function(*pointers, ctypes.c_void_p(block.ctypes.data + 4 * GUARD))
    guards = np.concatenate([block[:GUARD], block[GUARD + size :]])
    assert (guards == CANARY).all(), "a layer wrote outside its result"
    return block[GUARD : GUARD + size].copy()


def stored(array: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """A value's numbers as they lie in memory; lanes of no channel hold NaN, which none may use."""
    if layout is Layout.PLANAR:
        return array
    if layout is Layout.BF16:
        return _stored_bf16(array)
    n, c, h, w = array.shape
    if layout is Layout.BYTES:
        lanes = BYTES if c > 4 else 4
        filled = np.full((n, -(-c // lanes) * lanes, h, w), 77, np.uint8)
        filled[:, :c] = array
        lying = filled.reshape(n, -1, lanes, h, w).transpose(0, 1, 3, 4, 2)
        return np.ascontiguousarray(lying).view(np.float32)
    padded = np.full((n, -(-c // LANES) * LANES, h, w), np.nan, np.float32)
    padded[:, :c] = array
    return padded.reshape(n, -1, LANES, h, w).transpose(0, 1, 3, 4, 2)


def _stored_bf16(array: NDArray[np.float32]) -> NDArray[np.float32]:
    n, c = array.shape[:2]
    lanes = Layout.BF16.side_by_side(c)
    idle = 0.0 if c <= FEW else np.nan
    padded = np.full((n, -(-c // lanes) * lanes, math.prod(array.shape[2:])), idle, np.float32)
    padded[:, :c] = array.reshape(n, c, -1)
    lying = bits(padded).reshape(n, -1, lanes, padded.shape[2]).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(lying).reshape(-1).view(np.float32)


def loaded(
    numbers: NDArray[np.float32], layout: Layout, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The value that lies in memory as these numbers."""
    if layout is Layout.PLANAR:
        return numbers.reshape(shape)
    if layout is Layout.BF16:
        n, c, cells, lanes = shape[0], shape[1], math.prod(shape[2:]), layout.side_by_side(shape[1])
        lying = numbers.view(np.uint16).astype(np.uint32) << 16
        lying = lying.view(np.float32).reshape(n, -1, cells, lanes).transpose(0, 1, 3, 2)
        return lying.reshape(n, -1, cells)[:, :c].reshape(shape)
    n, c, h, w = shape
    if layout is Layout.BYTES:
        lanes = BYTES if c > 4 else 4
        lying = numbers.view(np.uint8).reshape(n, -1, h, w, lanes).transpose(0, 1, 4, 2, 3)
        return lying.reshape(n, -1, h, w)[:, :c].astype(np.float32)
    blocks = numbers.reshape(n, -1, h, w, LANES).transpose(0, 1, 4, 2, 3)
    return blocks.reshape(n, -1, h, w)[:, :c]


@pytest.fixture
def draw_bytes() -> Callable[..., NDArray[np.float32]]:
    """Seeded whole numbers from 0 to 255 of a shape, or between others, as float32."""
    generator = np.random.default_rng(0)

    def numbers(*shape: int, low: int = 0, high: int = 255) -> NDArray[np.float32]:
        return generator.integers(low, high + 1, shape).astype(np.float32)

    return numbers


def _aligned(size: int, values: object) -> NDArray[np.float32]:
    raw = np.empty(size + 16, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    array = raw[start : start + size]
    array[:] = np.ravel(np.asarray(values, np.float32)) if np.ndim(values) else values
    return array


@pytest.fixture
def expected() -> Callable[..., NDArray[np.float64]]:
    """What a layer means for its inputs, in float64."""

    def compute(layer: Layer, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        arguments = [array.astype(np.float64) for array in itertools.chain(inputs, layer.constants)]
        return reference.compute(layer.node, arguments)

    return compute


@pytest.fixture
def draw() -> Callable[..., NDArray[np.float32]]:
    """Seeded normal numbers of a shape, other ones at each call."""
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape, dtype=np.float32)

    return normal


@pytest.fixture
def baseline() -> Target:
    """This machine's target with the level that every CPU has alone, which compiles fastest."""
    target = native()
    return replace(target, levels=target.levels[-1:])


@pytest.fixture
def open_compiled(
    tmp_path_factory: pytest.TempPathFactory, baseline: Target
) -> Callable[..., Runtime]:
    """The runtime of a graph's artifact; at the baseline level where no target is given."""

    def compile_and_open(
        graph: Graph, card: Card | None = None, *, target: Target = baseline, **options: Any
    ) -> Runtime:
        path = tmp_path_factory.mktemp("artifact") / "net.so"
        save_artifact(compile_graph(graph, card=card, target=target, **options).library, path)
        return Runtime(path)

    return compile_and_open


@pytest.fixture(scope="session")
def has_level() -> Callable[[Level], bool]:
    """Whether this CPU runs a level of the native target, by the kernel's list of its features."""
    features = set(Path("/proc/cpuinfo").read_text().split())
    needed = {
        "avx512bf16": {"avx512_bf16", "avx512_vnni", "avx512vbmi"},
        "avx512vnni": {"avx512_vnni", "avx512vbmi"},
        "avx512": {"avx512f", "avx512bw", "avx512vl"},
        "avx2": {"avx2", "fma", "bmi2"},
    }
    return lambda level: needed.get(level.name, set()) <= features
