"""The command `scale`, and the tables that it shows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convforge.cli import console
from convforge.cli.learn import data_name, seconds_of
from convforge.cli.options import ForceFlag, JsonFlag
from convforge.cli.tables import make_table, plain, saved, training
from convforge.compiler.backend.target import TARGETS
from convforge.errors import NetworkError
from convforge.networks import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from convforge.analysis.scaling import Rule
    from convforge.scaling.result import Scaled

SCALE_EXAMPLES = (
    "Examples:\n\n"
    "convforge scale mobilenet_v2 photos/ --max-ms 2 --max-train 15m\n\n"
    "convforge scale efficientnet_lite0 photos/ --max-ms 5 --max-mb 4 --max-train 1h --target html"
)


def scale(
    network: Annotated[
        str,
        typer.Argument(
            help="A network with width and depth: of EfficientNet, MobileNet, ResNet or VGG.",
            metavar="FAMILY",
            autocompletion=lambda incomplete: [
                name for name in catalog.names() if name.startswith(incomplete)
            ],
        ),
    ],
    data: Annotated[str, typer.Argument(help="As `convforge train` takes it.", metavar="DATA")],
    *,
    max_ms: Annotated[
        float | None, typer.Option(help="Milliseconds for one image, measured on this machine.")
    ] = None,
    max_mb: Annotated[
        float | None, typer.Option(help="Megabytes, of 10^6 bytes, of the artifact.")
    ] = None,
    max_train: Annotated[
        str | None,
        typer.Option(help="For all of it, as 90s, 20m or 1h30m.", metavar="TIME"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The classifier's file; the artifact lies beside it."),
    ] = None,
    target: Annotated[
        str, typer.Option(help=f"Where the artifact is to run: {', '.join(TARGETS)}.")
    ] = "native",
    threads: Annotated[int, typer.Option(help="How many compute one image.", min=1)] = 1,
    input_size: Annotated[
        int | None, typer.Option(help="Side of the input at a resolution of 1.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="The compound rule's alpha, beta and gamma; by default 1.2,1.1,1.15.",
            metavar="A,B,C",
        ),
    ] = None,
    mix: Annotated[
        list[str] | None,
        typer.Option(help="Which mixes compete; can be repeated. One alone needs no search."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="As `convforge train` takes it.", metavar="fast|paper|FILE")
    ] = "fast",
    epochs: Annotated[
        int | None, typer.Option(help="Of the winner's training, where there is no --max-train.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes the search and every training.")] = None,
    device: Annotated[str, typer.Option(help="What trains: `auto`, `cpu`, `cuda`.")] = "auto",
    measure_again: Annotated[
        bool, typer.Option("--measure-again", help="Trust no milliseconds of earlier searches.")
    ] = False,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Find, train and compile the best network of a family within a budget.

    The smallest one is measured first, and refused in seconds where it is over the budget. Then
    mixes of depth, width and resolution compete by short trainings; the winner is trained on all
    images. Stopped by Ctrl-C, SIGTERM or a crash, the same command goes on from there.
    """
    catalog.entry(network)
    limit = None if max_train is None else seconds_of(max_train, option="--max-train")
    file = output or Path(f"{data_name(data)}.safetensors")
    with console.progress_bar("loading torch") as progress:
        from convforge.scaling.scale import scale as run  # noqa: PLC0415  (imports torch)
        from convforge.scaling.space import MIXES  # noqa: PLC0415  (imports torch)

        found = run(
            network,
            data,
            output=file,
            max_ms=max_ms,
            max_mb=max_mb,
            max_train=limit,
            target=target,
            threads=threads,
            input_size=input_size,
            rule=_rule(rule),
            mixes=mix or MIXES,
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            device=device,
            force=force,
            measure_again=measure_again,
            progress=progress,
        )
    if as_json:
        console.show_json(_record(found))
    else:
        console.show(*_tables(found))


def _rule(text: str | None) -> "Rule | None":
    if text is None:
        return None
    from convforge.analysis.scaling import Rule  # noqa: PLC0415

    try:
        alpha, beta, gamma = (float(part) for part in text.split(","))
    except ValueError:
        raise NetworkError(
            f"--rule {text}: expected alpha, beta and gamma, as in 1.2,1.1,1.15"
        ) from None
    return Rule(alpha=alpha, beta=beta, gamma=gamma)


def _record(found: "Scaled") -> "Mapping[str, Any]":
    report = None if found.report is None else str(found.report)
    card = json.loads(found.classifier.card.dumps())
    return {**found.record, "report": report, "arguments": card["arguments"]}


def _tables(found: "Scaled") -> "Iterator[RenderableType]":
    record = found.record
    yield from training(found.classifier.card)
    yield plain(
        f"{record['ms']:.3g} ms an image, measured with {record['threads']} "
        f"thread{'s' * (record['threads'] > 1)} on {record['machine']}",
        "bold",
    )
    rungs = [f"rung {number + 1}" for number in range(len(record["plan"]["rungs"]))]
    headers = ("mix", "width", "depth", "input", "ms", "MB", "million MACs", *rungs, "")
    table = make_table("", *headers, left=("mix", ""))
    for row in record["candidates"]:
        scores = [f"{score:.2%}" for score in row["scores"]]
        table.add_row(
            plain(row["name"]),
            f"{row['width']:.3g}",
            f"{row['depth']:.3g}",
            f"{row['input_size']}",
            f"{row['ms']:.3g}",
            f"{row['megabytes']:.3g}",
            f"{row['macs'] / 1e6:,.1f}",
            *scores,
            *[""] * (len(rungs) - len(scores)),
            plain(row["state"]),
        )
    yield table
    yield saved(found.file)
    yield plain(f"artifact: {found.artifact}, {record['megabytes']:.3g} MB")
    yield plain("no report" if found.report is None else f"report: {found.report}")
