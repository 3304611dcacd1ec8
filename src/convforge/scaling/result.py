"""What a search hands back, and its record as JSON."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convforge.analysis.scaling import pareto_front
from convforge.benchmark.measurement import machine
from convforge.scaling.budget import MEGABYTE
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convforge.classifier import Classifier
    from convforge.scaling.budget import Budget
    from convforge.scaling.plan import Plan
    from convforge.scaling.search import Standing


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """The winner: its classifier, where it and its artifact lie, and the search's report.

    `ms` was measured on the finished artifact. `record` is all there is to say, as plain JSON, as
    in the folder's result.json.
    """

    classifier: Classifier
    file: Path
    artifact: Path
    report: Path | None
    ms: float
    file_bytes: int
    record: dict[str, Any]


def record_of(
    standings: Sequence[Standing],
    *,
    network: str,
    uri: str,
    budget: Budget,
    threads: int,
    target: str,
    seed: int,
    plan: Plan,
    winner: str,
) -> dict[str, Any]:
    """The record of a search but for the winner's own figures; candidates in order of rank."""
    rows = [_row(one, winner=winner) for one in standings]
    trained = [row for row in rows if row["scores"]]
    front = pareto_front(trained, cost=lambda row: row["ms"], gain=lambda row: row["scores"][0])
    return {
        "network": network,
        "data": uri,
        "budget": {"max_ms": budget.max_ms, "max_mb": budget.max_mb},
        "target": target,
        "threads": threads,
        "seed": seed,
        "plan": plan.to_json(),
        "told": any(one.scores and one.tells for one in standings),
        "candidates": rows,
        "front": [row["name"] for row in front],
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "convforge": __version__,
    }


def _row(one: Standing, *, winner: str) -> dict[str, Any]:
    candidate = one.candidate
    state = "winner" if candidate.name == winner else candidate.reason
    if not state:
        state = f"out after rung {len(one.scores)}" if one.scores else "not trained: no time"
    return {
        "name": candidate.name,
        **candidate.arguments,
        "ms": candidate.cost.ms,
        "megabytes": candidate.cost.file_bytes / MEGABYTE,
        "macs": candidate.cost.macs,
        "parameters": candidate.cost.parameters,
        "scores": list(one.scores),
        "state": state,
    }
