"""What was compiled is run before it gets its name: by the self-test, in a process of its own.

A web page cannot be run here. Its twin is: the same network, rounded likewise and with the same
kernels, compiled for this machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.selftest import make_input
from convforge.errors import ToolchainError

if TYPE_CHECKING:
    from convforge.card import Card
    from convforge.compiler.backend.target import Target
    from convforge.compiler.pipeline import Compiled

# What a C compiler got wrong may also crash.
_PROOF = """
import sys
from convforge.errors import ConvforgeError
from convforge.runtime import Runtime
path, *levels = sys.argv[1:]
try:
    for level in levels[levels.index(Runtime(path).level):]:
        Runtime(path, level=level).selftest()
except ConvforgeError as error:
    sys.exit(str(error))
"""

_ANSWER = """
import sys
import numpy as np
from convforge.runtime import Runtime
path, given, gives = sys.argv[1:]
np.save(gives, Runtime(path).run(np.load(given)))
"""


def prove(library: Path, target: Target) -> None:
    """Run the self-test at every level of this machine. Raises ToolchainError where one fails."""
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        path = Path(folder) / f"artifact{target.suffix}"
        save_artifact(library, path)
        done = _run(_PROOF, str(path), *(level.name for level in target.levels))
    if done.returncode == 0:
        return
    said = done.stderr.strip().splitlines() or ["nothing was said"]
    if done.returncode < 0:
        said = [f"it crashed with {signal.Signals(-done.returncode).name}"]
    raise ToolchainError(
        f"the compiled artifact fails its self-test: {said[-1]}; nothing was written. "
        "Set CC to use another C compiler"
    )


def deviation(compiled: Compiled, card: Card, *, target: Target) -> float:
    """How far off an artifact's outputs are in its self-test, as a share of the largest one."""
    assert compiled.built is not None
    test = compiled.selftest
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        path = Path(folder) / f"artifact{target.suffix}"
        given, gives = Path(folder) / "given.npy", Path(folder) / "gives.npy"
        save_artifact(compiled.built.path, path)
        np.save(given, make_input(compiled.program.input_shape, card))
        _run(_ANSWER, str(path), str(given), str(gives)).check_returncode()
        found = np.load(gives).reshape(-1)[:: test.stride]
    largest = float(np.abs(test.expected).max()) or 1.0
    return float(np.abs(found - test.expected).max()) / largest


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  (this interpreter, no shell)
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
