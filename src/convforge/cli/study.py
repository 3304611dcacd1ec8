"""The command `study`: a paper's claim, measured again on this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convforge.cli import console
from convforge.cli.options import JsonFlag
from convforge.cli.tables import make_table, plain
from convforge.errors import OutputError
from convforge.files import check_destination, write_file
from convforge.studies.catalog import CATALOG, find, run
from convforge.studies.study import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from convforge.studies.study import Report

STUDY_EXAMPLES = (
    "Examples:\n\n"
    "convforge study bottleneck\n\n"
    "convforge study depth --data cifar10/ -o depth\n\n"
    "convforge study lrn --data fashion-mnist/ --full --seeds 3 --json\n\n"
    + "\n\n".join(f"{study.name}: {study.claim}" for study in CATALOG.values())
)


def study(
    name: Annotated[
        str,
        typer.Argument(
            help=f"Which: {', '.join(CATALOG)}.",
            metavar="NAME",
            autocompletion=lambda incomplete: [
                name for name in CATALOG if name.startswith(incomplete)
            ],
        ),
    ],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to train on, as `train` takes them; by default scikit-learn's digits."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="The paper's sizes, not those for two cores.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each network, or sessions of timing.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Over the size's own.")] = None,
    images: Annotated[
        int | None, typer.Option(help="Images to train on at most, over the size's own.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder of the study; by default NAME.study."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a paper's claim again: table, figure and verdict, with the spread over seeds.

    The folder gets NAME.html (a page that needs nothing else), NAME.png and NAME.json.
    """
    folder = output or Path(f"{find(name).name}.study")
    files = {suffix: folder / f"{name}.{suffix}" for suffix in ("html", "png", "json")}
    _prepare(folder, files.values())
    with console.progress_bar(f"study {name}") as progress:
        report = run(
            name,
            Task(
                size="full" if full else "default",
                images=data,
                count=images,
                epochs=epochs,
                seeds=seeds,
                device=device,
                progress=progress,
            ),
        )
        _write(report, files)
    if as_json:
        console.show_json(report.to_json())
        return
    console.show(*tables(report))
    console.show(plain(f"saved as {', '.join(str(file) for file in files.values())}"))


def tables(report: "Report") -> "Iterator[RenderableType]":
    """The claim, the table, and what was found."""
    study, result = report.study, report.result
    yield plain(f"{study.title}: {study.claim}", "bold")
    yield plain(f"{study.source}.")
    yield plain(f"In the paper: {study.figure}")
    texts = [column.name for column in result.columns if column.kind == "text"]
    table = make_table("", *(column.name for column in result.columns), left=texts)
    for row in result.rows:
        cells = zip(result.columns, row, strict=True)
        table.add_row(*(column.text(cell) for column, cell in cells))
    yield table
    for finding in result.findings:
        yield plain(f"{finding.claim}: {finding.verdict}", "bold")
        yield plain(f"  {finding.measured}")
    for rule in dict.fromkeys(finding.rule for finding in result.findings):
        yield plain(f"rule: {rule}")
    for remark in result.remarks:
        yield plain(remark)
    for facts in (result.sizes, report.circumstances):
        yield plain("; ".join(f"{name} {value}" for name, value in facts.items()))


def _prepare(folder: Path, files: "Iterable[Path]") -> None:
    """Make the folder, and refuse before the study what could not be written after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made a folder ({error.strerror}); name another with --output"
        ) from None
    for file in files:
        check_destination(file)


def _write(report: "Report", files: dict[str, Path]) -> None:
    from convforge.studies.figure import figure_png  # noqa: PLC0415  (imports torch)
    from convforge.studies.page import study_html  # noqa: PLC0415

    write_file(files["html"], study_html(report).encode())
    write_file(files["png"], figure_png(report.result.panels))
    write_file(files["json"], (json.dumps(report.to_json(), indent=2) + "\n").encode())
