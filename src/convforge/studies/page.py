"""A study on paper: one HTML page that needs nothing else, and a chapter in Markdown.

Both say the same in the same order: the claim and its source, what the paper shows, what was found
here and by which rule, the drawing, the table, how large all of it was and on what machine.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from convforge.html_page import html_page
from convforge.studies.figure import figure_svg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.studies.study import Column, Report, Result

STYLE = """
.verdict{font-weight:600}.verdict.holds{color:#2a8a4a}.verdict.does{color:#c0392b}
.verdict.undecided{color:#b7791f}.findings td{white-space:normal;max-width:40ch}
"""
FINDINGS = ("claim", "measured here", "verdict", "by the rule")


def study_html(report: Report) -> str:
    """The whole page. Raises PackageError where matplotlib is missing."""
    study, result = report.study, report.result
    findings = "".join(
        f"<tr><td>{escape(one.claim)}</td><td>{escape(one.measured)}</td>"
        f'<td class="verdict {one.verdict.partition(" ")[0]}">{one.verdict}</td>'
        f"<td>{escape(one.rule)}</td></tr>"
        for one in result.findings
    )
    drawing = figure_svg(result.panels, label=f"figure of the study {study.name}")
    body = (
        f"<h1>{escape(study.title)}</h1><p class=lead>{escape(study.claim)}</p>"
        f"<p class=soft>{escape(study.source)}.</p>"
        f"<p class=soft>In the paper: {escape(study.figure)}</p>"
        f'<h2>Findings</h2><div class="wide findings"><table><thead><tr>'
        f"{_heads(FINDINGS)}</tr></thead><tbody>{findings}</tbody></table></div>"
        f"<h2>Figure</h2><div class=wide>{drawing}</div>"
        f"<h2>Table</h2><div class=wide>{_html_table(report)}</div>"
        + "".join(f"<p class=soft>{escape(remark)}</p>" for remark in result.remarks)
        + f"<h2>Sizes</h2>{_html_facts(result.sizes)}"
        f"<h2>Circumstances</h2><pre>{escape(report.command)}</pre>{_html_facts(report.circumstances)}"
    )
    return html_page(f"study: {study.title}", body, style=STYLE)


def study_markdown(report: Report, *, picture: str) -> str:
    """A chapter; `picture` is the name of the drawing's file beside it."""
    study, result = report.study, report.result
    findings = [
        f"| {one.claim} | {one.measured} | **{one.verdict}** | {one.rule} |"
        for one in result.findings
    ]
    return "\n".join(
        [
            f"# {study.title}",
            "",
            f"*{study.claim}* {study.source}.",
            "",
            f"In the paper: {study.figure}",
            "",
            "## Findings",
            "",
            f"| {' | '.join(FINDINGS)} |",
            f"|{' :--- |' * len(FINDINGS)}",
            *findings,
            "",
            f"![{study.title}: what was measured]({picture})",
            "",
            "## Table",
            "",
            *_markdown_table(result),
            "",
            *(line for remark in result.remarks for line in (remark, "")),
            "## Sizes and circumstances",
            "",
            f"`{report.command}`: {_facts(result.sizes)}.",
            "",
            f"Measured on: {_facts(report.circumstances)}.",
            "",
        ]
    )


def _markdown_table(result: Result) -> list[str]:
    columns = result.columns
    rows = [
        [column.name for column in columns],
        [":---" if column.kind == "text" else "---:" for column in columns],
        *(
            [column.text(cell) for column, cell in zip(columns, row, strict=True)]
            for row in result.rows
        ),
    ]
    return [f"| {' | '.join(row)} |" for row in rows]


def _facts(facts: Mapping[str, str | int | float]) -> str:
    return "; ".join(f"{name} {_value(value)}" for name, value in facts.items())


def _value(value: str | float) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _heads(names: tuple[str, ...]) -> str:
    return "".join(f"<th>{escape(name)}</th>" for name in names)


def _html_table(report: Report) -> str:
    columns = report.result.columns
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_aligned(column)}>{escape(column.text(cell))}</td>"
            for column, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in report.result.rows
    )
    heads = "".join(f"<th{_aligned(one)}>{escape(one.name)}</th>" for one in columns)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _aligned(column: Column) -> str:
    return "" if column.kind == "text" else " class=number"


def _html_facts(facts: Mapping[str, str | int | float]) -> str:
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(_value(value))}</dd></div>"
        for name, value in facts.items()
    )
    return f"<dl class=figures>{cells}</dl>"
