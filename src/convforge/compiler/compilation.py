"""`compile`: from a model to an artifact on disk, proven before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from convforge.compiler.backend.package import check_package, save_package
from convforge.compiler.backend.target import find_target, for_precision
from convforge.compiler.dump import dump_to
from convforge.compiler.models import read_model
from convforge.compiler.pipeline import compile_graph
from convforge.compiler.precision import MAX_DROP, check_calibration, choose_for
from convforge.compiler.proof import prove
from convforge.compiler.web_page import PageOptions, check_options, save_web_page
from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from convforge.compiler.backend.target import Precision, Target
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.models import Compilable, Model
    from convforge.compiler.pipeline import Compiled, Observer

    Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Artifact:
    """What `compile` wrote: the file, and what it needs.

    `arena_bytes` is what each predicting thread holds, `arena_lower_bound` the least that any plan
    could reach for these layers. `weights` is "given", or "random" for an untrained network;
    `precision` is what they are kept in, `quantization` what was measured of one of int8 or bf16.
    `gain`, where that was measured and the artifact is for this machine, has "file_bytes" and "ms",
    one thread's median of few runs, of float32 and of the precision.
    `deviation`, of a web page that is not int8, is how far off the model its outputs are in the
    self-test, as a share of the largest one.
    """

    path: Path
    target: str
    threads: int
    weights: str
    file_bytes: int
    weight_bytes: int
    arena_bytes: int
    arena_lower_bound: int
    precision: str = "float32"
    deviation: float | None = None
    quantization: dict[str, Any] | None = None
    gain: dict[str, dict[str, float]] | None = None


def compile(  # noqa: A001  (the public verb)
    model: Compilable,
    path: str | PathLike[str],
    *,
    target: str = "native",
    threads: int = 1,
    input_shape: tuple[int, ...] | None = None,
    weights: str | None = None,
    precision: Precision = "float32",
    calibrate: str | PathLike[str] | Array | None = None,
    max_drop: float = MAX_DROP,
    examples: Sequence[str | PathLike[str]] = (),
    dump: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Compile a model into one self-contained artifact.

    `model` is a classifier or the file it was saved to; an `nn.Module`, with the `input_shape` that
    it takes, such as (1, 3, 224, 224); the path of an .onnx file; or the name of a network of the
    catalogue, whose `weights` are a tag of published ones, "imagenet", or random where that is left
    out. Classifiers, and the .onnx files that `export` wrote of them, have class names and
    preprocessing, so that their artifacts predict; the others compute tensors.

    `threads` is how many compute one input where the artifact's user asks for no other number.
    `precision` "float16" is what a web page may keep its weights in: it takes half of the bytes,
    and the artifact's `deviation` says what it costs; sums are float32. With "int8" the network
    computes with numbers of one byte, faster and in a quarter of the memory, and needs `calibrate`:
    the URI of images, as `evaluate` takes one, to find the range of every value with and to measure
    what it costs on; or, for a bare network, inputs float32 [N, C, H, W]. Of its share of right
    answers a classifier loses at most `max_drop`: layers stay in float32 until that holds. "bf16"
    computes with bfloat16 where the processor does so faster, and needs no images; with `calibrate`
    it is measured on them, and refused where it loses more. What was measured is on the artifact's
    card, and in `quantization`.
    `examples` are pictures that a web page has ready. `dump` is a folder for what every stage of
    the compiler gave. `progress` is called with (0, 0, what is being done).

    An artifact that runs on this machine passes its self-test at every level that the machine has
    before the file is written; a web page's network does so as a library for this machine. Raises
    OutputError before any work where `path` cannot be written; InputError and UnsupportedError
    where the model cannot be compiled, naming the layer; ToolchainError without a C compiler, or
    where the artifact fails its test.
    """
    destination, chosen = Path(path), _target(target, precision)
    check_package(destination, target=chosen)
    if not 1 <= threads <= chosen.most_threads:
        raise InputError(
            f"compile: threads is {threads}; target {chosen.name} takes 1 to {chosen.most_threads}",
            names=["threads", "target"],
        )
    options = PageOptions.of(precision, examples)
    check_options(options, target=chosen)
    check_calibration(precision, calibrate, chosen, max_drop=max_drop)
    observe = _observer(dump, progress)
    observe("start", None)
    found = read_model(model, input_shape=input_shape, weights=weights)
    choice = choose_for(found, precision, calibrate, chosen, max_drop=max_drop, report=progress)
    found = choice.model
    quality: dict[str, Any] = {"precision": precision, "quantization": choice.record}
    if chosen.form == "page":
        options = replace(options, bytes=choice.options)
        compiled, page = save_web_page(found, destination, options=options, observe=observe)
        artifact = _artifact(destination, found, compiled, target=chosen)
        return replace(artifact, deviation=page.deviation, **quality)
    compiled = compile_graph(
        found.graph,
        card=found.card,
        expected=found.expected,
        target=chosen,
        threads=threads,
        precision=precision,
        options=choice.options,
        observe=observe,
    )
    built = compiled.built
    if built is not None and not chosen.triple:
        observe("library", built.path)
        prove(built.path, chosen)
        quality["gain"] = choice.gain
    written = save_package(
        destination, target=chosen, card=found.card, sources=compiled.sources, built=built
    )
    return replace(_artifact(written, found, compiled, target=chosen, threads=threads), **quality)


def _target(name: str, precision: Precision) -> Target:
    return for_precision(find_target(name), precision)


def _artifact(
    path: Path, model: Model, compiled: Compiled, *, target: Target, threads: int = 1
) -> Artifact:
    return Artifact(
        path=path,
        target=target.name,
        threads=threads,
        weights="random" if model.untrained else "given",
        file_bytes=_file_bytes(path),
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
