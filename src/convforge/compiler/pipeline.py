"""The compiler's table of contents: six calls from a graph to an artifact's bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from convforge.compiler.backend.emit import emit_sources, plan_arena
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import build_schedule
from convforge.compiler.backend.selftest import ROUNDED_TOLERANCE, TOLERANCE, make_selftest
from convforge.compiler.backend.target import for_precision, largest_byte
from convforge.compiler.backend.toolchain import build_library
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.reference_bf16 import evaluate_bf16
from convforge.compiler.ir.verify import verify
from convforge.compiler.passes.assign_layouts import ANY, EXACT, assign_layouts, rounded
from convforge.compiler.passes.order import PASSES, WITHOUT_PAIRS, run_passes
from convforge.compiler.passes.quantize import quantize
from convforge.compiler.passes.round_weights import round_weights
from convforge.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convforge.card import Card
    from convforge.compiler.backend.program import Program
    from convforge.compiler.backend.selftest import SelfTest
    from convforge.compiler.backend.target import Precision, Target
    from convforge.compiler.backend.toolchain import Built
    from convforge.compiler.ir.graph import Array, Graph

    Observer: TypeAlias = Callable[[str, object], None]


@dataclass(frozen=True)
class ByteOptions:
    """What a network of bytes needs: the range of every value, and which nodes stay in float32.

    `top` is the largest byte of a map.
    """

    ranges: Mapping[str, tuple[float, float]]
    keep: tuple[str, ...] = ()
    top: int = 255


@dataclass(frozen=True)
class Compiled:
    """What the compiler made: the library, its sources, and what it needs in memory."""

    built: Built | None
    sources: dict[str, bytes | memoryview]
    program: Program
    selftest: SelfTest
    weight_bytes: int
    arena_bytes: int
    arena_lower_bound: int

    @property
    def library(self) -> bytes:
        """The library itself, where the target is one."""
        assert self.built is not None, "a target of sources has no library"
        return self.built.read_bytes()


def compile_graph(
    graph: Graph,
    *,
    target: Target,
    card: Card | None = None,
    expected: Callable[[Array], Array] | None = None,
    threads: int = 1,
    precision: Precision = "float32",
    options: ByteOptions | None = None,
    flags: Sequence[str] = (),
    observe: Observer = lambda _step, _result: None,
) -> Compiled:
    """Compile a graph for a target; with the card of a classifier it takes images.

    `expected` is the model itself as a function of its input, asked once for the self-test; without
    it the graph's meaning in numpy answers. `threads` is how many compute one input where the
    artifact's user asks for no other number. `precision` is what the weights are rounded to, with
    bf16 the values too where that is faster; `options` make it int8.
    `flags` go to the C compiler too (sanitizers, warnings). `observe` is called with the name of
    each step and what it gave.

    Raises UnsupportedError where the graph's input or output is not what the card says, or where
    the target has no bytes as large as the options'.
    """
    precision = "int8" if options is not None else precision
    target = for_precision(target, precision)
    observe("graph", graph)
    if options is not None:
        _check_bytes(options, target)
    optimized = _optimize(graph, precision, options, card=card, observe=observe)
    laid_out, layouts = assign_layouts(optimized, ANY if precision == "bf16" else EXACT)
    selftest = make_selftest(
        expected or partial(evaluate, optimized if options is not None else graph),
        graph.input_shape,
        card,
        tolerance=TOLERANCE if precision in {"float32", "int8"} else ROUNDED_TOLERANCE,
        rounded=partial(evaluate_bf16, laid_out, stored=rounded(layouts))
        if precision == "bf16"
        else None,
    )
    program = build_program(laid_out, layouts)
    schedule = build_schedule(program)
    plan = plan_arena(program, schedule, card)
    observe("program", program)
    observe("memory", plan)
    sources = emit_sources(
        program, schedule, plan, card=card, selftest=selftest, target=target, threads=threads
    )
    observe("sources", sources)
    sources_only = target.form == "sources"
    built = None if sources_only else build_library(sources, target=target, extra=flags)
    return Compiled(
        built=built,
        sources=sources,
        program=program,
        selftest=selftest,
        weight_bytes=program.weight_bytes,
        arena_bytes=plan.arena_bytes,
        arena_lower_bound=plan.lower_bound,
    )


def optimize_for_bytes(graph: Graph) -> Graph:
    """The graph whose values a network of bytes has the ranges of."""
    return run_passes(graph, WITHOUT_PAIRS)


def _optimize(
    graph: Graph,
    precision: Precision,
    options: ByteOptions | None,
    *,
    card: Card | None,
    observe: Observer,
) -> Graph:
    """The graph after its passes, with what a precision changes."""
    single = precision in {"int8", "bf16"}
    optimized = run_passes(graph, WITHOUT_PAIRS if single else PASSES, observe=observe)
    if card is not None:
        _check_ends(optimized, card)
    if precision == "float16":
        optimized = round_weights(optimized)
        observe("round_weights", optimized)
    if options is not None:
        optimized = _with_bytes(optimized, options)
        observe("quantize", optimized)
    return optimized


def _with_bytes(graph: Graph, options: ByteOptions) -> Graph:
    changed = quantize(graph, options.ranges, keep=options.keep, top=options.top)
    verify(changed)
    return changed


def _check_bytes(options: ByteOptions, target: Target) -> None:
    if options.top > largest_byte(target):
        raise UnsupportedError(
            f"target {target.name} has bytes from 0 to {largest_byte(target)}, and these values "
            f"are calibrated for 0 to {options.top}; calibrate with that top"
        )


def _check_ends(graph: Graph, card: Card) -> None:
    # The artifact's callers hold memory of the sizes that the card gives.
    takes, gives = graph.input_shape, graph.shapes[graph.output]
    if takes != (1, *card.preprocess.input_shape):
        raise UnsupportedError(
            f"the network takes {list(takes)}, the card's preprocessing gives "
            f"{[1, *card.preprocess.input_shape]}; create one for the other"
        )
    if gives != (1, len(card.classes)):
        raise UnsupportedError(
            f"the network gives {list(gives)}, expected one logit for each of the card's "
            f"{len(card.classes)} classes: {[1, len(card.classes)]}"
        )
