"""`/docs`: the OpenAPI document as one page for people, which loads nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from convforge.html_page import html_page

if TYPE_CHECKING:
    from collections.abc import Mapping

STYLE = """
a{color:var(--accent)}
section{border:1px solid var(--edge);border-radius:8px;padding:.2rem 1rem 1rem;margin:1rem 0}
section h2{margin:.8rem 0 .2rem;font:600 1rem ui-monospace,SFMono-Regular,Menlo,monospace;
overflow-wrap:anywhere}
section h2 b{display:inline-block;min-width:3.6em;color:var(--accent)}
section p{margin:.2rem 0 .8rem}
section table{margin-top:.4rem}
th,td{white-space:normal;overflow-wrap:anywhere}
td code{font-size:.95em}
td:first-child{width:11rem}
@media(max-width:700px){td:first-child{width:6.5rem}}
"""
_METHODS = ("get", "post", "put", "delete")


def docs_page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document, as FastAPI writes it."""
    info = document["info"]
    title = f"{info['title']}, its routes"
    lead = (
        f"{escape(info['description'])} A program reads the same in "
        '<a href="openapi.json">openapi.json</a>; <a href="./">the page for people</a>.'
    )
    sections = [
        _section(method, path, operations[method])
        for path, operations in document["paths"].items()
        for method in _METHODS
        if method in operations
    ]
    body = (
        f'<main><h1>{escape(title)}</h1><p class="lead soft">{lead}</p>{"".join(sections)}</main>'
    )
    return html_page(title, body, style=STYLE)


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = [_row(parameter["name"], _parameter(parameter)) for parameter in _parameters(operation)]
    body = operation.get("requestBody")
    if body is not None:
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body["content"])
        rows.append(_row("body", kinds))
    for status, answer in operation["responses"].items():
        kinds = ", ".join(escape(kind) for kind in answer.get("content", {}))
        said = escape(answer["description"])
        rows.append(_row(status, f"{said} <span class=soft>{kinds}</span>"))
    return (
        f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        f"<table><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _parameters(operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = operation.get("parameters", [])
    return found


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter["schema"]
    words = [f"{schema.get('type', 'text')} in the {parameter['in']}"]
    words += [f"{key} {schema[key]}" for key in ("minimum", "maximum", "default") if key in schema]
    words += [parameter[key] for key in ("description",) if key in parameter]
    return escape(", ".join(words))


def _row(name: str, value: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{value}</td></tr>"
