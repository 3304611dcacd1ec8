"""Write the table of `docs/onnx.md`: `python docs/onnx/build.py`.

Every test of ONNX's backend suite that the front end reads is compiled to C and run, many in one
artifact. The page's text is written by hand but for what stands between the marks. A test builds
the table again, and fails where it and the page differ.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from suite import Case, Run, apart, cases, difference, merged

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import native
from convforge.compiler.frontends.onnx_folding import FOLDED
from convforge.compiler.frontends.onnx_handlers import HANDLERS
from convforge.compiler.pipeline import compile_graph
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAGE = Path(__file__).resolve().parents[1] / "onnx.md"
MARK = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", flags=re.DOTALL)
AT_ONCE = 90  # runs in one artifact

# What a refusal says, and its words in the table; others are shown as they are.
REASONS = (
    (
        r"is a tensor of|another type than float32|(u?int\d+|float64) of shape",
        "a type other than float32",
    ),
    (r"is of type", "a sequence or an optional value"),
    (r"maps \[N, C, H, W\] are", "no map [N, C, H, W]"),
    (r"training_mode", "training"),
    (r"further result", "a result after the first"),
    (r"mode 'cubic'", "cubic"),
    (r"antialias", "antialias"),
    (r"tf_crop_and_resize", "a region of the map"),
    (r"align_corners", "align_corners between whole sizes"),
    (r"a product with a constant", "a batch of matrices as weight"),
    (r"one computed value and numbers", "several tensors"),
    (r"one number is supported", "an exponent for each element"),
    (r"indices", "indices that are no range"),
    (r"mode '\w+' with pads", "other modes than constant"),
    (r"maps may be padded", "pads of the batch, or of no map"),
    (r"only the batch|sizes from 1 on|nothing is left|does not become", "a size of 0"),
    (r"one number; tensors", "a result that is one number"),
    (r"is a constant", "nothing that depends on the input"),
    (r"inputs \(.*\) and", "several inputs, or none"),
    (r"steps from 1 on", "a step backwards"),
    (r"slopes of shape", "slopes that do not fit"),
    (r"input 0 is the constant", "a constant for what is computed"),
)


def results(found: Iterable[Case]) -> list[tuple[Case, list[str]]]:
    """Every test with what was wrong in it, when it is compiled to C at the lowest level."""
    kept = list(found)
    runs = [run for case in kept for run in case.runs]
    wrong: dict[str, list[str]] = {}
    for start in range(0, len(runs), AT_ONCE):
        part = runs[start : start + AT_ONCE]
        for run, output in zip(part, _compiled(part), strict=True):
            if words := difference(run, output):
                wrong.setdefault(run.name, []).append(words)
    return [(case, [w for run in case.runs for w in wrong.get(run.name, [])]) for case in kept]


def table(found: Sequence[tuple[Case, list[str]]]) -> str:
    """The table in Markdown: a row for each operator, then for what has several."""
    rows: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for case, wrong in found:
        row = row_of(case)
        verdict = "failed" if wrong else "refused" if case.refused else "passed"
        for name in (row, "**all**"):
            rows.setdefault(name, Counter())[verdict] += 1
        if case.refused and row != OTHERS:
            reasons.setdefault(row, Counter())[reason(case.refused)] += 1
    lines = ["| tests of | passed | refused | failed | refused for |", "|---|--:|--:|--:|---|"]
    for name in sorted(rows, key=_order):
        counts = (str(rows[name][verdict]) for verdict in ("passed", "refused", "failed"))
        told = sorted(reasons.get(name, Counter()).items(), key=lambda pair: (-pair[1], pair[0]))
        words = ", ".join(f"{text} ({count})" for text, count in told)
        label = name.strip("_")
        lines.append(f"| {label} | {' | '.join(counts)} | {words} |")
    return "\n".join(lines)


def reason(text: str) -> str:
    """A refusal in the words of the table."""
    for pattern, words in REASONS:
        if re.search(pattern, text):
            return words
    return re.sub(r"^node '[^']*' \(\w+\): ", "", text).partition(";")[0]


OTHERS = "__other operators__"


def row_of(case: Case) -> str:
    """The row that a test counts in."""
    if not set(case.operators) <= {*HANDLERS, *FOLDED} or not set(case.operators) & set(HANDLERS):
        return OTHERS
    if case.kind != "node":
        return f"__models: {case.kind}__"
    return f"`{case.operators[0]}`" if len(case.operators) == 1 else "__operators written out__"


def filled(text: str, found: Sequence[tuple[Case, list[str]]]) -> str:
    """The page's text with the table as it is now, and the version that it is of."""
    return MARK.sub(
        lambda mark: f"{mark[1]}onnx {onnx.__version__}:\n\n{table(found)}\n\n{mark[2]}", text
    )


def main() -> None:
    """Write the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(text, results(cases())), encoding="utf-8")


def _order(name: str) -> tuple[int, str]:
    return ("`_*".index(name[0]), name.strip("`"))


def _compiled(runs: Sequence[Run]) -> list[np.ndarray]:
    target = native()
    target = replace(target, levels=target.levels[-1:])  # the one that compiles fastest
    inputs = np.concatenate([run.x.reshape(-1) for run in runs])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "suite.so"
        save_artifact(compile_graph(merged(runs), target=target, flags=("-O1",)).library, path)
        return apart(runs, Runtime(path).run(inputs))


if __name__ == "__main__":
    main()
