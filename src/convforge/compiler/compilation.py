"""`compile`: from a model to an artifact on disk, proven before it gets its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from convforge.compiler.backend.package import check_package, save_artifact, save_package
from convforge.compiler.backend.target import Target, find_target
from convforge.compiler.dump import dump_to
from convforge.compiler.models import read_model
from convforge.compiler.pipeline import compile_graph
from convforge.errors import InputError, ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from convforge.compiler.models import Compilable
    from convforge.compiler.pipeline import Observer

    Progress: TypeAlias = Callable[[int, int, str], None]

# A process of its own: what a C compiler got wrong may also crash.
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


@dataclass(frozen=True)
class Artifact:
    """What `compile` wrote: the file, and what it needs.

    `arena_bytes` is what each predicting thread holds, `arena_lower_bound` the least that any plan
    could reach for these layers. `weights` is "given", or "random" for an untrained network.
    """

    path: Path
    target: str
    threads: int
    weights: str
    file_bytes: int
    weight_bytes: int
    arena_bytes: int
    arena_lower_bound: int


def compile(  # noqa: A001  (the public verb)
    model: Compilable,
    path: str | PathLike[str],
    *,
    target: str = "native",
    threads: int = 1,
    input_shape: tuple[int, ...] | None = None,
    weights: str | None = None,
    dump: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Compile a model into one self-contained artifact.

    `model` is a classifier or the file it was saved to; an `nn.Module`, with the `input_shape` that
    it takes, such as (1, 3, 224, 224); the path of an .onnx file; or the name of a network of the
    catalogue, whose `weights` are a tag of published ones, "imagenet", or random where that is left
    out. Classifiers alone have class names and preprocessing, so that their artifacts predict; the
    others compute tensors.

    `threads` is how many compute one input where the artifact's user asks for no other number.
    `dump` is a folder for what every stage of the compiler gave. `progress` is called with (0, 0,
    what is being done).

    An artifact that runs on this machine passes its self-test at every level that the machine has
    before the file is written. Raises OutputError before any work where `path` cannot be written;
    InputError and UnsupportedError where the model cannot be compiled, naming the layer;
    ToolchainError without a C compiler, or where the artifact fails its test.
    """
    destination, chosen = Path(path), find_target(target)
    check_package(destination, target=chosen)
    if not 1 <= threads <= chosen.most_threads:
        raise InputError(
            f"compile: threads is {threads}; target {chosen.name} takes 1 to {chosen.most_threads}"
        )
    observe = _observer(dump, progress)
    observe("start", None)
    found = read_model(model, input_shape=input_shape, weights=weights)
    compiled = compile_graph(
        found.graph,
        card=found.card,
        expected=found.expected,
        target=chosen,
        threads=threads,
        observe=observe,
    )
    built = compiled.built
    if built is not None and not chosen.triple:
        observe("library", built.path)
        _prove(built.path, chosen)
    written = save_package(
        destination, target=chosen, card=found.card, sources=compiled.sources, built=built
    )
    return Artifact(
        path=written,
        target=chosen.name,
        threads=threads,
        weights="random" if found.untrained else "given",
        file_bytes=_file_bytes(written),
        weight_bytes=compiled.weight_bytes,
        arena_bytes=compiled.arena_bytes,
        arena_lower_bound=compiled.arena_lower_bound,
    )


# What is being done once a step has given its result.
_NEXT = {
    "start": "reading the model",
    "graph": "rewriting the graph",
    "program": "planning memory",
    "memory": "writing C",
    "sources": "compiling C",
    "library": "testing the artifact",
}


def _observer(dump: str | PathLike[str] | None, progress: Progress | None) -> Observer:
    write = dump_to(Path(dump)) if dump is not None else None

    def observe(step: str, result: object) -> None:
        if write is not None:
            write(step, result)
        if progress is not None and step in _NEXT:
            progress(0, 0, _NEXT[step])

    return observe


def _file_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _prove(library: Path, target: Target) -> None:
    """Run the self-test at every level of this machine. Raises ToolchainError where one fails."""
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        path = Path(folder) / f"artifact{target.suffix}"
        save_artifact(library, path)
        done = subprocess.run(  # noqa: S603  (this interpreter, no shell)
            [sys.executable, "-c", _PROOF, str(path), *(level.name for level in target.levels)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode == 0:
        return
    said = done.stderr.strip().splitlines() or ["nothing was said"]
    if done.returncode < 0:
        said = [f"it crashed with {signal.Signals(-done.returncode).name}"]
    raise ToolchainError(
        f"the compiled artifact fails its self-test: {said[-1]}; nothing was written. "
        "Set CC to use another C compiler"
    )
