"""Ask a paper's question of your own images: tanh or ReLU, plain or residual, which padding.

    python examples/study.py [NAME [IMAGES [EPOCHS]]]      by default: activation digits 36

Prints the table and the verdicts, and writes NAME.html and NAME.png. `convforge study` does the
same; this is how to do it from Python, and how to get at every number.
"""

import sys
from pathlib import Path

from convforge.cli import console
from convforge.cli.study import tables
from convforge.studies.catalog import run
from convforge.studies.figure import figure_png
from convforge.studies.page import study_html
from convforge.studies.study import Task

given = sys.argv[1:]
name, images, epochs = given + ["activation", "digits", "36"][len(given) :]

with console.progress_bar("loading torch") as progress:
    report = run(name, Task(images=images, epochs=int(epochs), progress=progress))
console.show(*tables(report))
for finding in report.result.findings:
    print(f"{finding.verdict.upper()}: {finding.claim}")

Path(f"{name}.html").write_text(study_html(report), encoding="utf-8")
Path(f"{name}.png").write_bytes(figure_png(report.result.panels))
print(f"{name}.html, {name}.png")
