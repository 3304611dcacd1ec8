"""From the program and its plan to C: the sources of an artifact, the same bytes every time.

model.c        one function a layer, and the forward pass; compiled once a level
preprocess.c   resize, crop, normalise (kernels/resize.py); compiled once a level too
artifact.c     the C interface, the card, the choice of a level
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
    from convforge.compiler.backend.program import Call, Program
    from convforge.compiler.backend.schedule import Schedule
    from convforge.compiler.backend.target import Target

_SCRATCH = "the preprocessing's scratch"


def plan_arena(program: Program, schedule: Schedule, card: Card) -> MemoryPlan:
    """The memory plan of a whole prediction; the resize's scratch is free once layers run."""
    sizes = {name: 4 * count for name, count in program.buffers.items()}
    sizes[_SCRATCH] = scratch_bytes(card.preprocess)
    return plan_memory(sizes, {**schedule.lifetimes, _SCRATCH: Lifetime(0, 0)})


def emit_sources(
    program: Program, schedule: Schedule, plan: MemoryPlan, *, card: Card, target: Target
) -> dict[str, bytes]:
    """File name → content of every source of the artifact, the weight blob included."""
    texts = {
        "model.c": _emit_model(program, schedule, plan),
        "preprocess.c": interface.NOTICE + emit_preprocess(card.preprocess),
        "artifact.c": _emit_artifact(program, plan, card=card, target=target),
        "convforge.h": interface.NOTICE + interface.HEADER,
        "weights.S": interface.WEIGHTS,
    }
    sources = {name: text.encode() for name, text in texts.items()}
    sources["weights.bin"] = program.weights.astype("<f4").tobytes()
    return sources


def _emit_model(program: Program, schedule: Schedule, plan: MemoryPlan) -> str:
    out = Writer()
    for call in schedule.calls:
        layer = call.layer
        head = signature(
            call.symbol,
            inputs=len(call.inputs),
            weights=len(call.weights),
            workspace=call.kernel.workspace(layer),
        )
        shapes = ", ".join("x".join(map(str, shape[1:])) for shape in layer.inputs)
        result = "x".join(map(str, layer.output[1:]))
        # Nothing in a name may end the comment, or open one, or be a trigraph.
        name = re.sub(r"[^A-Za-z0-9_.:-]", "_", layer.node.name)
        out.line(f"/* {name}: {call.kernel.name}, {shapes} -> {result} */")
        with out.block(head):
            call.kernel.emit(layer, out)
        out.line()
    with out.block(
        "void CF_FORWARD(const float *input, float *output, char *arena, const float *weights)"
    ):
        out.line("(void)arena;")
        out.line("(void)weights;")
        for call in schedule.calls:
            out.line(f"{call.symbol}({_arguments(call, program, plan)});")
        if program.output == program.input:
            out.line(f"memcpy(output, input, {program.buffers[program.output]} * sizeof(float));")
    steps = epilogue_functions(call.layer.node.epilogue for call in schedule.calls)
    preludes = dict.fromkeys(call.kernel.prelude for call in schedule.calls)
    return interface.NOTICE + interface.MODEL_HEAD + "".join(preludes) + steps + out.text()


def _arguments(call: Call, program: Program, plan: MemoryPlan) -> str:
    def pointer(name: str) -> str:
        if name == program.input:
            return "input"
        if name == program.output:
            return "output"
        return f"(float *)(void *)(arena + {plan.offsets[name]})"

    inputs = [pointer(name) for name in call.inputs]
    weights = [f"weights + {offset}" for offset in call.weights]
    workspace = [pointer(call.workspace)] if call.workspace else []
    return ", ".join([*inputs, *weights, *workspace, pointer(call.output)])


def _emit_artifact(program: Program, plan: MemoryPlan, *, card: Card, target: Target) -> str:
    constants = {
        "CF_CLASSES": program.buffers[program.output],
        "CF_INPUT_FLOATS": math.prod(card.preprocess.input_shape),
        "CF_ARENA_BYTES": plan.arena_bytes,
        "CF_INPUT_OFFSET": plan.offsets[program.input],
        "CF_SCRATCH_OFFSET": plan.offsets[_SCRATCH],
        "CF_LEVELS": len(target.levels),
    }
    defines = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    names = [level.name for level in target.levels]
    functions = "".join(
        f"cf_forward cf_forward_{name};\ncf_preprocess cf_preprocess_{name};\n" for name in names
    )
    rows = "".join(
        f'    {{"{name}", cf_forward_{name}, cf_preprocess_{name}}},\n' for name in names
    )
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
        + interface.FORWARD_TYPE
        + functions
        + f"\nstatic const cf_level LEVELS[CF_LEVELS] = {{\n{rows}}};\n\n"
        + x86
        + f"static int cf_has(int level)\n{{\n{probes}    return 0;\n}}\n\n"
        + interface.ARTIFACT_BODY
    )
