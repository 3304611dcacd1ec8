"""From a classifier to a web page: compiled to wasm, its twin proven on this machine, assembled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from convforge.compiler.backend.package_html import Page, check_examples, save_page
from convforge.compiler.backend.target import HTML, HTML_RELAXED, PRECISIONS, native
from convforge.compiler.backend.toolchain import build_library
from convforge.compiler.pipeline import compile_graph
from convforge.compiler.proof import deviation, prove
from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from convforge.card import Card
    from convforge.compiler.backend.target import Precision, Target
    from convforge.compiler.models import Model
    from convforge.compiler.pipeline import ByteOptions, Compiled, Observer


@dataclass(frozen=True)
class PageOptions:
    """What web pages have: another precision than float32, examples, what bytes need of int8."""

    precision: Precision
    examples: tuple[Path, ...]
    bytes: ByteOptions | None = None

    @classmethod
    def of(cls, precision: Precision, examples: Sequence[str | PathLike[str]]) -> Self:
        """From what `compile` takes."""
        return cls(precision, tuple(Path(example) for example in examples))


def check_options(options: PageOptions, *, target: Target) -> None:
    """Raise InputError, before any work, where a target does not have these options."""
    if options.precision not in PRECISIONS:
        raise InputError(
            f"compile: precision is {options.precision!r}; expected {' or '.join(PRECISIONS)}",
            names=["precision"],
        )
    if target.form == "page":
        check_examples(options.examples)
        return
    if options.precision == "float16":
        raise InputError(
            f"compile: target {target.name} keeps its weights in float32; precision float16 is for "
            "target html",
            names=["precision", "target"],
        )
    if options.examples:
        raise InputError(
            f"compile: target {target.name} has no page for examples; html has one",
            names=["target", "examples"],
        )


def save_web_page(
    model: Model, path: Path, *, options: PageOptions, observe: Observer
) -> tuple[Compiled, Page]:
    """Write the page of a classifier; what was compiled, and what went into the page.

    Raises InputError where the model is none; ToolchainError where the twin fails its self-test.
    """
    if model.card is None:
        raise InputError(
            f"{model.name}: a page shows a classifier, and this is a bare network, without class "
            "names and preprocessing; compile the classifier that `convforge train` saved"
        )
    compiled = _compile(model, target=HTML, options=options, observe=observe)
    assert compiled.built is not None
    page = Page(
        card=model.card,
        module=compiled.built.read_bytes(),
        relaxed=build_library(compiled.sources, target=HTML_RELAXED).read_bytes(),
        weights=compiled.program.weights,
        precision=options.precision,
        deviation=_deviation(model, model.card, options=options, observe=observe),
        examples=options.examples,
    )
    save_page(page, path)
    return compiled, page


def _compile(model: Model, *, target: Target, options: PageOptions, observe: Observer) -> Compiled:
    return compile_graph(
        model.graph,
        card=model.card,
        expected=model.expected,
        target=target,
        precision=options.precision,
        options=options.bytes,
        observe=observe,
    )


def _deviation(
    model: Model, card: Card, *, options: PageOptions, observe: Observer
) -> float | None:
    """How far off the model the page's network is, by a library for this machine.

    None of bytes, for whose accuracy there is a better measure. The library is proven in any case.
    """
    machine = native()
    baseline = replace(machine, levels=machine.levels[-1:])
    twin = _compile(model, target=baseline, options=options, observe=lambda _step, _made: None)
    assert twin.built is not None
    observe("library", twin.built.path)
    prove(twin.built.path, baseline)
    return None if options.bytes else deviation(twin, card, target=baseline)
