"""From the program and its plan to C: the sources of an artifact, the same bytes every time.

model.c        the table of steps; compiled once a level
layers_N.c     one function and one step a layer, one function for equal layers; likewise
steps.h        what a step is
preprocess.c   resize, crop, normalise (kernels/resize.py); compiled once a level too
artifact.c     the C interface, the executor, the card, the choice of a level
convforge.h    the interface as users of the artifact include it
weights.S      the weight blob, weights.bin, as read-only data; or, in weights.c, room for it
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from convforge.compiler.backend import interface
from convforge.compiler.backend.facts import layer_facts
from convforge.compiler.backend.head import find_head
from convforge.compiler.backend.memory import MemoryPlan, plan_memory
from convforge.compiler.backend.schedule import Lifetime
from convforge.compiler.backend.selftest import HEIGHT, SEED, WIDTH
from convforge.compiler.c.writer import Writer, c_float, c_string
from convforge.compiler.kernels.epilogue import epilogue_functions
from convforge.compiler.kernels.family import Layout, signature
from convforge.compiler.kernels.resize import emit_preprocess, scratch_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.card import Card
    from convforge.compiler.backend.places import Place
    from convforge.compiler.backend.program import Call, Program
    from convforge.compiler.backend.schedule import Schedule
    from convforge.compiler.backend.selftest import SelfTest
    from convforge.compiler.backend.target import Target
    from convforge.compiler.ir.graph import Shape

_LAYERS = 16  # functions in a file
_SCRATCH = "the preprocessing's scratch"
_MAPS = "the maps before the head"


def plan_arena(program: Program, schedule: Schedule, card: Card | None = None) -> MemoryPlan:
    """The memory plan; the resize's scratch is free once layers run."""
    sizes = {name: 4 * count for name, count in program.buffers.items()}
    lifetimes = dict(schedule.lifetimes)
    if card is not None:
        sizes[_SCRATCH], lifetimes[_SCRATCH] = scratch_bytes(card.preprocess), Lifetime(0, 0)
    head = find_head(program)
    if head is not None:
        # Where the head is computed again and again, for changed maps.
        sizes[_MAPS] = 4 * math.prod(head.shape)
        lifetimes[_MAPS] = Lifetime(head.first + 1, len(program.calls))
    return plan_memory(sizes, lifetimes)


def emit_sources(
    program: Program,
    schedule: Schedule,
    plan: MemoryPlan,
    *,
    card: Card | None,
    selftest: SelfTest,
    target: Target,
    threads: int = 1,
) -> dict[str, bytes | memoryview]:
    """File name → content of every source of the artifact, the weight blob included.

    Without a card there is no preprocessing, and no preprocess.c.
    """
    most = target.most_threads
    head = _emit_constants(program, plan, selftest, card=card, threads=threads, most_threads=most)
    data = _emit_data(program, plan, card, selftest)
    texts = {
        **_emit_model(program, schedule, plan),
        "artifact.c": head + data + _emit_levels(target, card) + interface.ARTIFACT_BODY,
        "convforge.h": interface.NOTICE + interface.HEADER,
        "steps.h": interface.NOTICE + interface.STEPS,
        **_emit_weights(program, target),
    }
    if card is not None:
        texts["preprocess.c"] = interface.NOTICE + emit_preprocess(card.preprocess)
    sources: dict[str, bytes | memoryview] = {name: text.encode() for name, text in texts.items()}
    # The program's own memory, not a copy: it may be most of what the compiler holds.
    sources["weights.bin"] = program.weights.astype("<f4", copy=False).view("u1").data
    return sources


def _emit_weights(program: Program, target: Target) -> dict[str, str]:
    if target.form != "page":
        return {"weights.S": interface.WEIGHTS}
    room = interface.WEIGHTS_ROOM.replace("@FLOATS@", str(max(1, program.weights.size)))
    return {"weights.c": interface.NOTICE + room}


def _emit_model(program: Program, schedule: Schedule, plan: MemoryPlan) -> dict[str, str]:
    """The table of steps, and the functions in files that compile at the same time."""
    out = Writer()
    for number in range(len(schedule.calls)):
        out.line(f"void CF_STEP({number:03})(CF_STEP_ARGUMENTS);")
    out.line()
    out.line("extern const cf_step CF_STEPS[];")
    with out.block("const cf_step CF_STEPS[] =", end="};"):
        for number, call in enumerate(schedule.calls):
            out.line(f"{{CF_STEP({number:03}), {call.units}}},")
    texts = {"model.c": interface.NOTICE + interface.MODEL_HEAD + out.text()}
    layers = list(_group_layers(schedule.calls).items())
    for start in range(0, len(layers), _LAYERS):
        part = layers[start : start + _LAYERS]
        texts[f"layers_{start // _LAYERS}.c"] = _emit_layers(part, program, plan)
    return texts


def _group_layers(calls: Sequence[Call]) -> dict[str, list[tuple[int, Call]]]:
    """Text of a layer's function but for its name → the calls, numbered, that it computes."""
    groups: dict[str, list[tuple[int, Call]]] = {}
    for number, call in enumerate(calls):
        body = Writer()
        call.kernel.emit(call.layer, body)
        groups.setdefault(_head(call, "@") + body.text(), []).append((number, call))
    return groups


def _emit_layers(
    layers: Sequence[tuple[str, Sequence[tuple[int, Call]]]], program: Program, plan: MemoryPlan
) -> str:
    out = Writer()
    for _, calls in layers:
        _emit_layer([call for _, call in calls], out)
        for number, call in calls:
            out.line(f"void CF_STEP({number:03})(CF_STEP_ARGUMENTS);")
            with out.block(f"void CF_STEP({number:03})(CF_STEP_ARGUMENTS)"):
                _emit_step(calls[0][1].symbol, call, _pointers(call, program, plan), out)
            out.line()
    firsts = [calls[0][1] for _, calls in layers]
    steps = epilogue_functions(steps for call in firsts for steps in call.layer.epilogues)
    preludes = dict.fromkeys(call.kernel.prelude for call in firsts)
    head = interface.NOTICE + interface.LAYERS_HEAD + interface.MODEL_HEAD
    return head + "".join(preludes) + steps + out.text()


def _emit_layer(calls: Sequence[Call], out: Writer) -> None:
    """One function for layers that differ in their name and their weights alone."""
    for call in calls:
        layer = call.layer
        shapes = ", ".join("x".join(map(str, shape[1:])) for shape in layer.inputs)
        result = "x".join(map(str, layer.output[1:]))
        # Nothing in a name may end the comment, or open one, or be a trigraph.
        name = re.sub(r"[^A-Za-z0-9_.:-]", "_", layer.node.name)
        out.line(f"/* {name}: {call.kernel.name}, {shapes} -> {result} */")
    with out.block(_head(calls[0], calls[0].symbol)):
        calls[0].kernel.emit(calls[0].layer, out)
    out.line()


def _head(call: Call, symbol: str) -> str:
    return signature(
        symbol,
        inputs=len(call.inputs),
        weights=len(call.weights),
        workspace=call.kernel.workspace(call.layer),
        pieces=call.kernel.units is not None,
    )


def _emit_step(symbol: str, call: Call, pointers: list[str], out: Writer) -> None:
    """The body of a step: the layer's function, once for every image that the piece touches."""
    units = call.units // call.images
    if call.images == 1:
        piece = ["begin", "end"] if call.kernel.units else []
        out.line(f"{symbol}({', '.join(pointers + piece)});")
    elif call.kernel.units is None:
        with out.block("for (long image = begin; image < end; image++)"):
            out.line(f"{symbol}({', '.join(pointers)});")
    else:
        with out.block("for (int unit = begin; unit < end;)"):
            out.line(f"const long image = unit / {units};")
            out.line(f"const int from = unit % {units};")
            out.line(f"const int to = from + end - unit < {units} ? from + end - unit : {units};")
            out.line(f"{symbol}({', '.join([*pointers, 'from', 'to'])});")
            out.line("unit += to - from;")
    for name, used in {
        "job": bool(pointers),
        "thread": any("thread" in pointer for pointer in pointers),
        "begin": call.images > 1 or call.kernel.units is not None,
        "end": call.images > 1 or call.kernel.units is not None,
    }.items():
        if not used:
            out.line(f"(void){name};")


def _pointers(call: Call, program: Program, plan: MemoryPlan) -> list[str]:
    def place(where: Place, floats: int) -> str:
        if where.buffer == program.input:
            start = f"job->input + {where.offset}"
        elif where.buffer == program.output:
            start = f"job->output + {where.offset}"
        else:
            start = (
                f"(float *)(void *)(job->arena + {plan.offsets[where.buffer] + 4 * where.offset})"
            )
        return start.removesuffix(" + 0") + (f" + image * {floats}" if call.images > 1 else "")

    layer = call.layer
    pointers = [
        place(where, layout.floats(shape))
        for where, shape, layout in zip(call.inputs, layer.inputs, layer.takes, strict=True)
    ]
    pointers += [f"job->weights + {offset}" for offset in call.weights]
    if call.kernel.workspace(layer):
        size = program.workspace_bytes
        pointers.append(f"(float *)(void *)(job->workspaces + thread * {size}L)")
    return [*pointers, place(call.output, layer.gives.floats(layer.output))]


def _emit_constants(
    program: Program,
    plan: MemoryPlan,
    selftest: SelfTest,
    *,
    card: Card | None,
    threads: int,
    most_threads: int,
) -> str:
    head = find_head(program)
    constants = {
        "CF_STEPS_COUNT": len(program.calls),
        "CF_THREADS": threads,
        "CF_MOST_THREADS": most_threads,
        "CF_WORKSPACE_BYTES": program.workspace_bytes,
        "CF_INPUT_FLOATS": math.prod(program.input_shape),
        "CF_OUTPUT_FLOATS": math.prod(program.output_shape),
        "CF_ARENA_BYTES": plan.arena_bytes,
        "CF_INPUT_OFFSET": plan.offsets[program.input],
        "CF_SCRATCH_OFFSET": 0 if card is None else plan.offsets[_SCRATCH],
        "CF_HEAD": 0 if head is None else head.first,
        "CF_HEAD_IS_LINEAR": int(head is not None and head.linear),
        "CF_MAPS_OFFSET": 0 if head is None else plan.offsets[_MAPS],
        "CF_TEST_SEED": f"{SEED}u",
        "CF_TEST_WIDTH": WIDTH,
        "CF_TEST_HEIGHT": HEIGHT,
        "CF_TEST_BYTES": 3 * WIDTH * HEIGHT,
        "CF_TEST_OUTPUTS": selftest.expected.size,
        "CF_TEST_STRIDE": selftest.stride,
        "CF_TEST_LIMIT": c_float(selftest.limit),
    }
    defines = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    return interface.NOTICE + interface.ARTIFACT_HEAD + defines + "\n"


def _emit_data(program: Program, plan: MemoryPlan, card: Card | None, selftest: SelfTest) -> str:
    """The card, the shapes, the self-test's answer, a row a layer."""
    text = "NULL" if card is None else c_string(card.dumps())
    takes, gives = (
        "".join(f"{length}, " for length in shape)
        for shape in (program.input_shape, program.output_shape)
    )
    expected = "".join(f"    {c_float(value)},\n" for value in selftest.expected)
    layers = "".join(
        f"    {{{c_string(call.layer.node.name)}, {c_string(call.kernel.name)},\n"
        f"    {c_string(facts)},\n    {call.macs}, {_map_of_call(call, program, plan)}}},\n"
        for call, facts in zip(program.calls, layer_facts(program), strict=True)
    )
    return (
        f"static const char *const CARD =\n    {text};\n\n"
        f"static const int32_t INPUT_SHAPE[] = {{{takes}0}};\n"
        f"static const int32_t OUTPUT_SHAPE[] = {{{gives}0}};\n\n"
        f"static const float EXPECTED[CF_TEST_OUTPUTS] = {{\n{expected}}};\n\n"
        f"{interface.LAYER_TYPE}"
        f"static const cf_layer LAYERS[CF_STEPS_COUNT] = {{\n{layers}}};\n\n"
        f"{_emit_head(program, plan)}"
    )


def _emit_head(program: Program, plan: MemoryPlan) -> str:
    """The map that the head reads, and its rows and columns; nothing where no head is known."""
    head = find_head(program)
    place, sides = "{0}", "0"
    if head is not None:
        place = _map(head.place, head.shape, head.layout, program, plan)
        sides = f"{head.shape[2]}, {head.shape[3]}, 0"
    return (
        f"static const cf_map HEAD_MAP = {place};\n"
        f"static const int32_t HEAD_SHAPE[] = {{{sides}}};\n\n"
    )


def _map_of_call(call: Call, program: Program, plan: MemoryPlan) -> str:
    """Where the result of a call lies, as an initialiser."""
    layer, (images, *rest) = call.layer, call.layer.output
    scale = "0.0f, 0"
    if layer.gives is Layout.BYTES:
        scale = f"{c_float(layer.real('scale'))}, {layer.number('zero')}"
    shape = (images * call.images, *rest)
    return _map(call.output, shape, layer.gives, program, plan, scale=scale)


def _map(
    place: Place,
    shape: Shape,
    layout: Layout,
    program: Program,
    plan: MemoryPlan,
    *,
    scale: str = "0.0f, 0",
) -> str:
    """Where a value lies, as an initialiser."""
    in_output = place.buffer == program.output
    offset = 4 * place.offset + (0 if in_output else plan.offsets[place.buffer])
    images, channels = shape[0], shape[1] if len(shape) > 1 else 1
    numbers = [offset, int(in_output), layout.side_by_side(channels), layout.number_bytes]
    numbers += [images, channels, math.prod(shape[2:])]
    return f"{{{', '.join(map(str, numbers))}, {scale}}}"


def _emit_levels(target: Target, card: Card | None) -> str:
    """A row a level; what only x86-64 has is left out where the sources are compiled for others."""
    # Compiled once, without a level's name, sources give the names that they have by themselves.
    alone = "#ifdef CF_ONE_LEVEL\n#define cf_preprocess_baseline cf_preprocess\n#endif\n"
    functions, rows = alone if card is not None else "", ""
    for level in target.levels:
        preprocess = f"cf_preprocess_{level.name}" if card is not None else "NULL"
        function = f"extern const cf_step cf_steps_{level.name}[];\n"
        if card is not None:
            function += f"cf_preprocessing {preprocess};\n"
        row = f'    {{"{level.name}", {level.x86}, cf_steps_{level.name}, {preprocess}}},\n'
        functions += _on_x86(function) if level.x86 else function
        rows += _on_x86(row) if level.x86 else row
    return (
        interface.LEVEL_TYPE
        + functions
        + f"\nstatic const cf_level LEVELS[] = {{\n{rows}}};\n"
        + "#define CF_LEVELS ((int)(sizeof LEVELS / sizeof *LEVELS))\n\n"
        + interface.X86_LEVEL
    )


def _on_x86(text: str) -> str:
    return f"#if defined(__x86_64__) && !defined(CF_ONE_LEVEL)\n{text}#endif\n"
