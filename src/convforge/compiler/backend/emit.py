"""From the program and its plan to C: the sources of an artifact, the same bytes every time.

model.c        one function and one step a layer; compiled once a level
steps.h        what a step is
preprocess.c   resize, crop, normalise (kernels/resize.py); compiled once a level too
artifact.c     the C interface, the executor, the card, the choice of a level
convforge.h    the interface as users of the artifact include it
weights.S      the weight blob, weights.bin, as read-only data
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from convforge.compiler.backend import interface
from convforge.compiler.backend.memory import MemoryPlan, plan_memory
from convforge.compiler.backend.schedule import Lifetime
from convforge.compiler.c.writer import Writer, c_string
from convforge.compiler.kernels.epilogue import epilogue_functions
from convforge.compiler.kernels.family import signature
from convforge.compiler.kernels.resize import emit_preprocess, scratch_bytes

if TYPE_CHECKING:
    from convforge.card import Card
    from convforge.compiler.backend.program import Call, Place, Program
    from convforge.compiler.backend.schedule import Schedule
    from convforge.compiler.backend.target import Target

_PIECE = "int begin, int end"
_SCRATCH = "the preprocessing's scratch"


def plan_arena(program: Program, schedule: Schedule, card: Card) -> MemoryPlan:
    """The memory plan of a whole prediction; the resize's scratch is free once layers run."""
    sizes = {name: 4 * count for name, count in program.buffers.items()}
    sizes[_SCRATCH] = scratch_bytes(card.preprocess)
    return plan_memory(sizes, {**schedule.lifetimes, _SCRATCH: Lifetime(0, 0)})


def emit_sources(
    program: Program,
    schedule: Schedule,
    plan: MemoryPlan,
    *,
    card: Card,
    target: Target,
    threads: int = 1,
) -> dict[str, bytes]:
    """File name → content of every source of the artifact, the weight blob included."""
    texts = {
        "model.c": _emit_model(program, schedule, plan),
        "preprocess.c": interface.NOTICE + emit_preprocess(card.preprocess),
        "artifact.c": _emit_artifact(program, plan, card=card, target=target, threads=threads),
        "convforge.h": interface.NOTICE + interface.HEADER,
        "steps.h": interface.NOTICE + interface.STEPS,
        "weights.S": interface.WEIGHTS,
    }
    sources = {name: text.encode() for name, text in texts.items()}
    sources["weights.bin"] = program.weights.astype("<f4").tobytes()
    return sources


def _emit_model(program: Program, schedule: Schedule, plan: MemoryPlan) -> str:
    out = Writer()
    for call in schedule.calls:
        _emit_layer(call, out)
    for number, call in enumerate(schedule.calls):
        with out.block(f"static void step_{number:03}(const cf_job *job, int thread, {_PIECE})"):
            _emit_step(call, _pointers(call, program, plan), out)
        out.line()
    with out.block("const cf_step CF_STEPS[] =", end="};"):
        for number, call in enumerate(schedule.calls):
            out.line(f"{{step_{number:03}, {call.units}}},")
    steps = epilogue_functions(call.layer.node.epilogue for call in schedule.calls)
    preludes = dict.fromkeys(call.kernel.prelude for call in schedule.calls)
    return interface.NOTICE + interface.MODEL_HEAD + "".join(preludes) + steps + out.text()


def _emit_layer(call: Call, out: Writer) -> None:
    layer = call.layer
    shapes = ", ".join("x".join(map(str, shape[1:])) for shape in layer.inputs)
    result = "x".join(map(str, layer.output[1:]))
    # Nothing in a name may end the comment, or open one, or be a trigraph.
    name = re.sub(r"[^A-Za-z0-9_.:-]", "_", layer.node.name)
    out.line(f"/* {name}: {call.kernel.name}, {shapes} -> {result} */")
    head = signature(
        call.symbol,
        inputs=len(call.inputs),
        weights=len(call.weights),
        workspace=call.kernel.workspace(layer),
        pieces=call.kernel.units is not None,
    )
    with out.block(head):
        call.kernel.emit(layer, out)
    out.line()


def _emit_step(call: Call, pointers: list[str], out: Writer) -> None:
    """The body of a step: the layer's function, once for every image that the piece touches."""
    units = call.units // call.images
    if call.images == 1:
        piece = ["begin", "end"] if call.kernel.units else []
        out.line(f"{call.symbol}({', '.join(pointers + piece)});")
    elif call.kernel.units is None:
        with out.block("for (long image = begin; image < end; image++)"):
            out.line(f"{call.symbol}({', '.join(pointers)});")
    else:
        with out.block("for (int unit = begin; unit < end;)"):
            out.line(f"const long image = unit / {units};")
            out.line(f"const int from = unit % {units};")
            out.line(f"const int to = from + end - unit < {units} ? from + end - unit : {units};")
            out.line(f"{call.symbol}({', '.join([*pointers, 'from', 'to'])});")
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
        place(where, math.prod(shape))
        for where, shape in zip(call.inputs, layer.inputs, strict=True)
    ]
    pointers += [f"job->weights + {offset}" for offset in call.weights]
    if call.kernel.workspace(layer):
        size = program.workspace_bytes
        pointers.append(f"(float *)(void *)(job->workspaces + thread * {size}L)")
    return [*pointers, place(call.output, math.prod(layer.output))]


def _emit_artifact(
    program: Program, plan: MemoryPlan, *, card: Card, target: Target, threads: int
) -> str:
    constants = {
        "CF_LEVELS": len(target.levels),
        "CF_STEPS_COUNT": len(program.calls),
        "CF_THREADS": threads,
        "CF_MOST_THREADS": target.most_threads,
        "CF_WORKSPACE_BYTES": program.workspace_bytes,
        "CF_CLASSES": program.buffers[program.output],
        "CF_INPUT_FLOATS": math.prod(card.preprocess.input_shape),
        "CF_ARENA_BYTES": plan.arena_bytes,
        "CF_INPUT_OFFSET": plan.offsets[program.input],
        "CF_SCRATCH_OFFSET": plan.offsets[_SCRATCH],
    }
    defines = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    names = [level.name for level in target.levels]
    functions = "".join(
        f"extern const cf_step cf_steps_{name}[];\ncf_preprocess cf_preprocess_{name};\n"
        for name in names
    )
    rows = "".join(f'    {{"{name}", cf_steps_{name}, cf_preprocess_{name}}},\n' for name in names)
    layers = "".join(f"    {c_string(call.layer.node.name)},\n" for call in program.calls)
    probes = "".join(
        f"    if (level == {i})\n        return {level.probe};\n"
        for i, level in enumerate(target.levels)
    )
    x86 = interface.X86_LEVEL if any("x86" in level.probe for level in target.levels) else ""
    return (
        interface.NOTICE
        + interface.ARTIFACT_HEAD
        + defines
        + f"\nstatic const char CARD[] =\n    {c_string(card.dumps())};\n\n"
        + interface.LEVEL_TYPE
        + functions
        + f"\nstatic const cf_level LEVELS[CF_LEVELS] = {{\n{rows}}};\n\n"
        + f"static const char *const LAYERS[CF_STEPS_COUNT] = {{\n{layers}}};\n\n"
        + x86
        + f"static int cf_has(int level)\n{{\n{probes}    return 0;\n}}\n\n"
        + interface.ARTIFACT_BODY
    )
