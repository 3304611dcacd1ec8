"""An artifact in a process that ends while it computes, that forks, and that compiles it again."""

from __future__ import annotations

import os
from importlib.resources import files

import numpy as np
import pytest

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import native
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.pipeline import compile_graph
from convforge.runtime import Runtime


def save(path, graph, **options):
    """A graph, compiled for this machine."""
    built = compile_graph(graph, target=native(), **options).built
    assert built is not None
    save_artifact(built.path, path)
    return path


@pytest.fixture(scope="module")
def wide_file(tmp_path_factory):
    """An artifact of one convolution and a mean, of milliseconds and megabytes; two threads."""
    draw = np.random.default_rng(0).standard_normal
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
    nodes = (
        Node("conv", "conv2d", ("x", "w"), window),
        Node("mean", "mean", ("conv",), {"axes": (2, 3)}),
        Node("y", "reshape", ("mean",), {"shape": (1, 32)}),
    )
    constants = {"w": draw((32, 3, 3, 3), np.float32)}
    graph = Graph("x", (1, 3, 500, 500), nodes, constants, "y")
    return save(tmp_path_factory.mktemp("wide") / "wide.so", graph, threads=2)


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


# -------------------------------------------------------------------------------------- a fork

# The child computes, makes another runtime, computes in another thread and ends as programs do;
# the parent, whose other thread has a context as well, goes on.
FORKS = """
import os, sys, threading, time
import numpy as np
from convforge.runtime import Runtime
runtime = Runtime(sys.argv[1], **{sys.argv[2]: 2})
x = np.ones((3, *runtime.input_shape[1:]), np.float32)
expected = runtime.logits(x)
def check(one=runtime):
    np.testing.assert_array_equal(one.logits(x), expected)
def in_a_thread():
    thread = threading.Thread(target=check)
    thread.start()
    thread.join()
ready, end = threading.Event(), threading.Event()
def other():
    check()
    ready.set()
    end.wait()
    check()
thread = threading.Thread(target=other)
thread.start()
ready.wait()
time.sleep(0.1)  # its helpers sleep now
child = os.fork()
if child == 0:
    check()
    check()
    in_a_thread()
    check(Runtime(sys.argv[1], **{sys.argv[2]: 2}))
    tasks = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 2
    del runtime
    sys.exit(0 if tasks > 1 else 5)
deadline = time.monotonic() + 20
while not (done := os.waitpid(child, os.WNOHANG))[0]:
    if time.monotonic() > deadline:
        os.kill(child, 9)
    time.sleep(0.01)
end.set()
thread.join()
check()
print(done[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("kind", ["threads", "workers"])
def test_a_forked_process_computes_and_ends(wide_file, python, kind):
    options = ("-W", "ignore::DeprecationWarning")  # of a fork beside threads
    assert python(FORKS, wide_file, kind, options=options) == "0\n"


# ------------------------------------------------------------------------------ compiled again


def test_an_artifact_that_is_compiled_again_is_another(tmp_path):
    x = np.float32([[1, 2, 3]])
    runtimes = []
    for factor in (1, 2, 3):
        weight = np.float32([[factor, 0, 0], [0, 0, factor]])
        graph = Graph("x", (1, 3), (Node("y", "linear", ("x", "w")),), {"w": weight}, "y")
        path = save(tmp_path / "same.so", graph)
        runtimes += [(factor, Runtime(path)), (factor, Runtime(path))]
    for factor, runtime in runtimes:
        np.testing.assert_array_equal(runtime.run(x), [[factor, 3 * factor]])
