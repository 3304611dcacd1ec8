"""The commands that show what there is: `list` and `describe`."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convforge.card import Card
from convforge.cli import console, layers, tables
from convforge.cli.options import ArgumentOption, JsonFlag, arguments_from
from convforge.errors import InputError, OutputError
from convforge.files import check_destination, write_file
from convforge.loading import load
from convforge.networks import catalog
from convforge.networks.weight_sources import PUBLISHED

if TYPE_CHECKING:
    from convforge.analysis.summary import Summary
    from convforge.networks.contract import ConvNet

LIST_EXAMPLES = "Examples:\n\nconvforge list\n\nconvforge list resnet --json"
DESCRIBE_EXAMPLES = (
    "Examples:\n\n"
    "convforge describe vgg16\n\n"
    "convforge describe mobilenet_v1 --set width=0.5 --input-size 160 --time\n\n"
    "convforge describe digits.safetensors --html digits.html --svg digits.svg"
)
TIMED_RUNS = 10


def list_networks(
    pattern: Annotated[
        str, typer.Argument(help="Only those with this in their name.", metavar="[PATTERN]")
    ] = "",
    *,
    as_json: JsonFlag = False,
) -> None:
    """List the networks, as their papers have them, and their published weights."""
    found = {
        name: entry for name, entry in catalog.CATALOG.items() if pattern.lower() in name.lower()
    }
    if not found:
        catalog.entry(pattern)  # raises, with names that are close
    if as_json:
        console.show_json([_network_record(name, entry) for name, entry in found.items()])
    else:
        console.show(tables.networks(found, PUBLISHED))


def describe(
    what: Annotated[
        str,
        typer.Argument(
            help="A network's name, a classifier or a compiled artifact.", metavar="NETWORK|FILE"
        ),
    ],
    *,
    input_size: Annotated[
        int | None, typer.Option(help="Side of the network's input in pixels.")
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    in_channels: Annotated[int | None, typer.Option(help="Channels of the images.")] = None,
    arguments: ArgumentOption = None,
    time: Annotated[bool, typer.Option("--time", help="Measure every layer, in torch.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page, with the maps drawn to scale.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the drawing alone.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a network layer by layer: sizes, receptive fields, parameters, MACs, memory."""
    given = {"num_classes": num_classes, "in_channels": in_channels, "input_size": input_size}
    asked = {key: value for key, value in given.items() if value is not None}
    _check_reports(html=html, svg=svg)
    with console.progress_bar(f"describing {what}"):
        card = None if what in catalog.CATALOG else _card(what)
        if card is not None and (asked or arguments):
            raise InputError(
                f"{what}: a classifier's network is what it is; --num-classes, --in-channels, "
                "--input-size and --set are for the name of a network"
            )
        net = _network(what, card, {**asked, **arguments_from(arguments)}, real=time)
        from convforge.analysis.summary import describe as measure  # noqa: PLC0415  (imports torch)

        found = measure(net, timing=TIMED_RUNS if time else None)
    _write_reports(found, html=html, svg=svg)
    if as_json:
        console.show_json(found.to_json())
        return
    if card is not None:
        console.show(*tables.card(card, title=what))
    console.show(*layers.summary(found, width=console.width()))


def _check_reports(*, html: Path | None, svg: Path | None) -> None:
    for path, suffix in ((html, ".html"), (svg, ".svg")):
        if path is None:
            continue
        if path.suffix != suffix:
            raise OutputError(f"{path}: expected a name that ends in {suffix}")
        check_destination(path)


def _write_reports(found: "Summary", *, html: Path | None, svg: Path | None) -> None:
    if html is not None:
        from convforge.analysis.page import summary_html  # noqa: PLC0415  (slow to import)

        write_file(html, summary_html(found).encode())
    if svg is not None:
        from convforge.analysis.drawing import summary_svg  # noqa: PLC0415  (slow to import)

        write_file(svg, summary_svg(found).encode())


def _card(what: str) -> Card:
    """The card of a file; raises NetworkError, with close names, where there is no such file."""
    if not Path(what).exists():
        catalog.entry(what)
    return load(what).card


def _network(what: str, card: Card | None, arguments: dict[str, Any], *, real: bool) -> "ConvNet":
    """The network to look at; without memory for its weights, but where it is to run for `real`."""
    import torch  # noqa: PLC0415  (slow)

    name, arguments = (what, arguments) if card is None else (card.network, card.arguments)
    with nullcontext() if real else torch.device("meta"):
        return catalog.create(name, **arguments)


def _network_record(name: str, entry: catalog.Entry) -> dict[str, object]:
    return {
        "name": name,
        "paper": entry.paper,
        "parameters": entry.parameters,
        "macs": entry.macs,
        "input_shape": [entry.in_channels, entry.input_size, entry.input_size],
        "num_classes": entry.num_classes,
        "weights": [
            {
                "tag": tag,
                "file": weights.file,
                "package": weights.package,
                "top1_percent": weights.top1_percent,
                "top5_percent": weights.top5_percent,
            }
            for tag, weights in PUBLISHED.get(name, {}).items()
        ],
    }
