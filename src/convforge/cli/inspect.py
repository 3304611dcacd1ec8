"""The commands that show what there is: `list` and `describe`."""

from typing import Annotated

import typer

from convforge.cli import console, tables
from convforge.cli.options import JsonFlag
from convforge.networks import catalog
from convforge.networks.weight_sources import PUBLISHED

LIST_EXAMPLES = "Examples:\n\nconvforge list\n\nconvforge list resnet --json"


def list_networks(
    pattern: Annotated[
        str, typer.Argument(help="Only those with this in their name.", metavar="PATTERN")
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


def _network_record(name: str, entry: catalog.Entry) -> dict[str, object]:
    return {
        "name": name,
        "paper": entry.paper,
        "parameters": entry.parameters,
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
