"""Every network by name, in one literal table, and `create`, which builds one.

Reading the table imports no torch; building does.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convforge.errors import NetworkError, PackageError

if TYPE_CHECKING:
    from convforge.networks.contract import ConvNet


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue.

    `module` is the file in `convforge.networks` and holds a function of the network's own name.
    `parameters` is the published count of trainable parameters for the default arguments.
    """

    module: str
    in_channels: int
    input_size: int
    num_classes: int
    parameters: int
    paper: str


LECUN_1998 = "LeCun et al. 1998, Gradient-based learning applied to document recognition"

# name: (module, in_channels, input_size in pixels, num_classes, parameters, paper)
CATALOG: dict[str, Entry] = {
    "lenet5": Entry("lenet", 1, 32, 10, 60_000, LECUN_1998),
    "lenet5_relu": Entry("lenet", 1, 32, 10, 61_706, LECUN_1998),
}


def names() -> tuple[str, ...]:
    """Names of all networks, in the catalogue's order."""
    return tuple(CATALOG)


def entry(name: str) -> Entry:
    """The entry of a network; an unknown name raises NetworkError with the nearest ones."""
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`convforge list` shows them all."
    raise NetworkError(f"no network is named {name!r}; {hint}")
