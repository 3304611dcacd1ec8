"""The report of a search: `report.html` in its folder, a page that needs nothing else.

the winner → pictures → every candidate → how they were compared → the run
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from convforge.files import write_file
from convforge.html_page import html_page
from convforge.scaling.pictures import letters, picture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

LEGEND = (
    "Every point is a candidate, by its letter below; the large one is the winner, the line the "
    "Pareto front: what nothing else beats in both. The dashed line is the budget."
)
LIKELIEST = (
    "The winner is the largest that there is time to train for all of the recipe's epochs, or the "
    "nearest to that."
)
STYLE = """
:root{--warm:#c2571a}@media (prefers-color-scheme:dark){:root{--warm:#f0a070}}
.wide svg{width:100%;padding:.5rem}tr.winner td{font-weight:600}
tr.winner td:first-child{color:var(--warm)}tr.out td{color:var(--soft)}
"""


def save_report(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write `report.html`. Raises PackageError where matplotlib is missing, OutputError."""
    path = folder / "report.html"
    write_file(path, report_html(record).encode("utf-8", "backslashreplace"))
    return path


def report_html(record: Mapping[str, Any]) -> str:
    """The page as one HTML text, of a search's record."""
    title = f"{record['network']} for {budget_text(record)}, on {record['data']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _head(record),
        f'<h2>Candidates</h2><div class="wide">{picture(record)}</div>',
        f"<p>{LEGEND}</p>",
        _candidates(record),
        _comparison(record),
        _run(record),
    ]
    return html_page(title, "".join(body), style=STYLE)


def budget_text(record: Mapping[str, Any]) -> str:
    """The budget in words, as "2 ms and 4 MB"."""
    budget = record["budget"]
    found = [("ms", budget["max_ms"]), ("MB", budget["max_mb"])]
    return " and ".join(f"{value:g} {unit}" for unit, value in found if value is not None)


def _head(record: Mapping[str, Any]) -> str:
    winner = next(row for row in record["candidates"] if row["state"] == "winner")
    figures = [
        ("time an image", f"{record['ms']:.3g} ms", f"measured, threads: {record['threads']}"),
        ("artifact", f"{record['megabytes']:.3g} MB", f"target {record['target']}"),
    ]
    for part in ("val", "test"):
        if part in record["metrics"]:
            found = record["metrics"][part]
            low, high = found["interval"]
            note = f"{100 * low:.2f} to {high:.2%}, 95 % interval, {found['count']:,} images"
            figures.append((f"top-1 on {part}", f"{found['top1']:.2%}", note))
    figures += [
        ("width", f"{winner['width']:g}", "of the paper's maps"),
        ("depth", f"{winner['depth']:g}", "of the paper's blocks"),
        ("input", f"{winner['input_size']} px", "a side"),
        ("time", f"{record['seconds']:,.0f} s", f"all of it; {record['trained']} at the end"),
    ]
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{escape(note)}</small></dd></div>"
        for name, value, note in figures
    )
    return (
        f'<p class="lead soft">The winner is the mix {escape(winner["name"])}.</p>'
        f'<dl class="figures">{cells}</dl>'
    )


def _candidates(record: Mapping[str, Any]) -> str:
    rungs = len(record["plan"]["rungs"])
    columns = ("", "mix", "width", "depth", "input", "ms", "MB", "million MACs", "parameters")
    head = (*columns, *(f"rung {rung + 1}" for rung in range(rungs)), "")
    rows = []
    for letter, row in zip(letters(len(record["candidates"])), record["candidates"], strict=True):
        scores = [f"{score:.2%}" for score in row["scores"]]
        cells = (
            letter,
            row["name"],
            f"{row['width']:.3g}",
            f"{row['depth']:.3g}",
            f"{row['input_size']}",
            f"{row['ms']:.3g}",
            f"{row['megabytes']:.3g}",
            f"{row['macs'] / 1e6:,.1f}",
            f"{row['parameters']:,}",
            *scores,
            *[""] * (rungs - len(scores)),
            row["state"],
        )
        kind = "winner" if row["state"] == "winner" else "" if row["scores"] else "out"
        rows.append((kind, cells))
    return _table(head, rows, numbers=set(range(2, 9 + rungs)))


def _comparison(record: Mapping[str, Any]) -> str:
    plan = record["plan"]
    if not plan["rungs"]:
        return (
            f"<h2>How they were compared</h2><p>Not by training: there was one candidate, or no "
            f"time in which two would have learned anything. {LIKELIEST}</p>"
        )
    said = [
        f"rung {number}: {rung['images']:,} images, {rung['epochs']} "
        f"epoch{'s' * (rung['epochs'] != 1)}"
        for number, rung in enumerate(plan["rungs"], start=1)
    ]
    equal = (
        " of the candidate with the most multiply-adds; the others see the images as much more "
        "often as they have fewer, so that all have the same arithmetic"
        if plan["macs"]
        else ""
    )
    luck = f" None was better than a guess. {LIKELIEST}" if not record["told"] else ""
    return (
        "<h2>How they were compared</h2><p>By training from scratch on a part of the images, and "
        "measuring on another part of those to train on: "
        f"{escape('; '.join(said))}{equal}. The best third of a rung went on to the next.{luck}</p>"
    )


def _run(record: Mapping[str, Any]) -> str:
    names = ("file", "artifact", "seed", "threads", "machine", "load_average", "convforge")
    rows = [("", (name.replace("_", " "), f"{record[name]}")) for name in names]
    return f"<h2>Run</h2>{_table(('', ''), rows)}"


def _table(
    head: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    *,
    numbers: Collection[int] = (),
) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if column in numbers else ''}>{escape(cell)}</{tag}>"
            for column, cell in enumerate(row)
        )

    body = "".join(
        f"<tr{f' class={kind}' if kind else ''}>{cells(row, 'td')}</tr>" for kind, row in rows
    )
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'
