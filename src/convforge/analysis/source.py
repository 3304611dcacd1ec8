"""Where a catalogue network comes from: its paper, its published figures, how ours differs.

The file of a network says so in its docstring; this reads it there, so that it stands once.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass

from convforge.networks import catalog

# A paragraph that begins with names of networks speaks of these until the next one that does.
_NAMED = re.compile(r"(?:`\w+`(?:,? (?:and )?)?)+")
_DEVIATIONS = re.compile(r"\bDeviations[^:.]*:\s*(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A paper, its network's trainable parameters as published, and the notes of our file.

    `deviations` is what the notes say of them for this network, empty where they name none.
    """

    paper: str
    parameters: int
    notes: str
    deviations: str


def source_of(name: str) -> Source | None:
    """The source of a catalogue network; None for any other name."""
    if name not in catalog.CATALOG:
        return None
    entry = catalog.entry(name)
    notes = importlib.import_module(f"convforge.networks.{entry.module}").__doc__ or ""
    return Source(
        paper=entry.paper,
        parameters=entry.parameters,
        notes=notes.strip(),
        deviations=deviations_in(notes, name),
    )


def deviations_in(notes: str, name: str) -> str:
    """The sentences after "Deviations:" that apply to `name`, on one line.

    Those of a paragraph that begins so apply to every network of the file; others to the networks
    that the paragraph, or the last one before it that does, begins with.
    """
    speaks_of: set[str] = set()
    found = []
    for paragraph in re.split(r"\n\s*\n", notes):
        start = _NAMED.match(paragraph)
        if start:
            speaks_of = set(re.findall(r"`(\w+)`", start[0]))
        match = _DEVIATIONS.search(paragraph)
        if match and (match.start() == 0 or not speaks_of or name in speaks_of):
            found.append(" ".join(match[1].split()))
    return " ".join(found)
