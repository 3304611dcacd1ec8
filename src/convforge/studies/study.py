"""The records of a study: what is claimed, what to do, what was found, and what to draw of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from convforge.studies.spread import RULE, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.images.threads import Progress
    from convforge.studies.spread import Difference, Verdict

Cell = str | int | float | Spread | None
Kind = Literal["text", "count", "share", "number"]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A claim of a paper, and where: `figure` is what the paper shows for it, in its own numbers.

    `images` is what it trains on where nothing else is named; None where it trains nothing.
    `convforge.studies.NAME` has its `run`.
    """

    name: str
    title: str
    claim: str
    source: str
    figure: str
    images: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """How a study is to be run.

    `size` is "default", which two cores do in minutes, or "full", the paper's own. `images` is what
    `images.open` takes, None for the study's own. `count` images to train on at most, `epochs`, and
    `seeds`, how many runs or sessions, go over the size's own. `device` is as `train` takes it.
    """

    size: Literal["default", "full"] = "default"
    images: str | None = None
    count: int | None = None
    epochs: int | None = None
    seeds: int | None = None
    device: str = "auto"
    progress: Progress | None = None

    def command(self, name: str) -> str:
        """What runs the study `name` so on a terminal; of the images' folder the name alone."""
        data = None if self.images is None else self.images.rstrip("/").rpartition("/")[2]
        options = {
            "--data": data,
            "--images": self.count,
            "--epochs": self.epochs,
            "--seeds": self.seeds,
        }
        given = [f"{option} {value}" for option, value in options.items() if value is not None]
        full = ["--full"] if self.size == "full" else []
        return " ".join(["convforge study", name, *full, *given])

    def report(self, done: int, total: int, message: str) -> None:
        """Call `progress`, where there is one."""
        if self.progress is not None:
            self.progress(done, total, message)


@dataclass(frozen=True)
class Column:
    """A column of the table: its name, and what its cells are.

    A "share" is shown in percent, a "count" with separators, a "number" with three digits.
    """

    name: str
    kind: Kind = "text"

    def text(self, cell: Cell) -> str:
        """A cell as it is shown: a mean with its deviation, where it is one."""
        if isinstance(cell, Spread):
            return f"{self.text(cell.mean)} ± {self.text(cell.deviation).removesuffix(' %')}"
        if cell is None or isinstance(cell, str):
            return cell or ""
        if self.kind == "share":
            return f"{100 * cell:.2f} %"
        return f"{cell:,.0f}" if self.kind == "count" else f"{cell:.3g}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One claim, the rule that decides, what was measured, and what the rule says to that."""

    claim: str
    measured: str
    verdict: Verdict
    rule: str = RULE


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together; `low` and `high` are around each, empty where unknown.

    `style` is "line", "dashed", "points" or "bars".
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: Literal["line", "dashed", "points", "bars"] = "line"
    colour: int = 0


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing: axes and series. `ticks` are words for the places 0, 1, … of bars.

    `level` is a value of y that a thin line marks; "share" axes are shown in percent.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    ticks: tuple[str, ...] = ()
    log: Literal["", "x", "y", "xy"] = ""
    share: bool = False
    level: float | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a study measured; `sizes` is what it was run with, by name."""

    sizes: Mapping[str, str | int | float]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    findings: tuple[Finding, ...]
    panels: tuple[Panel, ...]
    remarks: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Report:
    """A study, its result, the command that gives it, and the circumstances, machine and date."""

    study: Study
    result: Result
    command: str
    circumstances: Mapping[str, str | int | float]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values: all that page, drawing and table are made from."""
        study, result = self.study, self.result
        return {
            "study": study.name,
            "command": self.command,
            "claim": study.claim,
            "source": study.source,
            "paper": study.figure,
            "findings": [
                {"claim": f.claim, "rule": f.rule, "measured": f.measured, "verdict": f.verdict}
                for f in result.findings
            ],
            "sizes": dict(result.sizes),
            "table": [
                {
                    column.name: cell.to_json() if isinstance(cell, Spread) else cell
                    for column, cell in zip(result.columns, row, strict=True)
                }
                for row in result.rows
            ],
            "remarks": list(result.remarks),
            "circumstances": dict(self.circumstances),
        }


def percent(found: Difference) -> str:
    """A difference of shares, in points: "+4.20 points [1.10, 7.30]"."""
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.estimate:+.2f} points [{low:+.2f}, {high:+.2f}]"
