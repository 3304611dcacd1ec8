"""An artifact in a process that ends while it computes, that forks, and that compiles it again."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import native
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.pipeline import compile_graph


@pytest.fixture(scope="module")
def wide_file(tmp_path_factory):
    """An artifact of one convolution and a sum, of milliseconds and megabytes; two threads."""
    draw = np.random.default_rng(0).standard_normal
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
    nodes = (
        Node("conv", "conv2d", ("x", "w"), window),
        Node("y", "mean", ("conv",), {"axes": (2, 3)}),
    )
    constants = {"w": draw((32, 3, 3, 3), np.float32)}
    graph = Graph("x", (1, 3, 500, 500), nodes, constants, "y")
    built = compile_graph(graph, target=native(), threads=2).built
    assert built is not None
    path = tmp_path_factory.mktemp("wide") / "wide.so"
    save_artifact(built.path, path)
    return path


# ------------------------------------------------------------------------------------- the end

RUNTIME = """
from convforge.runtime import Runtime
runtime = Runtime(sys.argv[1])
run, shape = runtime.run, runtime.input_shape
"""
WHEEL = """
sys.path.append(sys.argv[1])
import wide
run, shape = wide.logits, wide.INPUT_SHAPE
"""
ENDS = """
x = np.ones(shape, np.float32)
begun = threading.Event()
def work():
    while True:
        run(x)
        begun.set()
threading.Thread(target=work, daemon=True).start()
begun.wait()
print("ends")
"""


@pytest.mark.parametrize("module", [False, True], ids=["a runtime", "a wheel's module"])
def test_a_program_may_end_while_a_thread_computes(wide_file, python, module, tmp_path):
    (tmp_path / "wide").mkdir()
    source = files("convforge.compiler.backend").joinpath("wheel_module.py")
    (tmp_path / "wide" / "__init__.py").write_bytes(source.read_bytes())
    (tmp_path / "wide" / "artifact.so").write_bytes(wide_file.read_bytes())
    program = "import sys, threading\nimport numpy as np\n" + (WHEEL if module else RUNTIME) + ENDS
    for _ in range(3):
        assert python(program, tmp_path if module else wide_file) == "ends\n"
