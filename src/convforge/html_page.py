"""The frame and the looks of pages that need nothing else: one file, light or dark as one likes.

A page forbids itself to load anything or to run a script; pictures in it are data of its own.
"""

from __future__ import annotations

from html import escape

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2733;--soft:#5d6b78;--edge:#dde3e9;
--tint:#f5f7f9;--bar:#5b8def33;--accent:#3a66c4}
@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--soft:#9aa7b4;
--edge:#2a323c;--tint:#151b23;--bar:#4f7fd955;--accent:#8fb2f5}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(.8rem,3vw,2.5rem);max-width:1500px;background:var(--paper);
color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{margin:0;font-size:1.9rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:2.2rem 0 .6rem;font-size:1.15rem}
p{max-width:75ch}.soft{color:var(--soft)}.lead{margin:.3rem 0 1.2rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.6rem;margin:0}
.figures div{padding:.6rem .8rem;border:1px solid var(--edge);border-radius:8px;
background:var(--tint)}
.figures dt{color:var(--soft);font-size:.8rem}.figures dd{margin:0;font-size:1.25rem;
font-weight:600;font-variant-numeric:tabular-nums}
.figures small{display:block;font-size:.75rem;font-weight:400;color:var(--soft);
overflow-wrap:anywhere}
.wide{overflow-x:auto;border:1px solid var(--edge);border-radius:8px}
.wide svg{display:block;margin:0 auto;max-width:max(100%,900px);height:auto}
table{border-collapse:collapse;width:100%;font-size:.82rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;text-align:left;vertical-align:top;white-space:nowrap;
border-bottom:1px solid var(--edge)}
thead th{background-color:var(--tint);font-weight:600}
thead small,td small{display:block;font-weight:400;color:var(--soft);font-size:.92em}
.number{text-align:right}
tfoot th{font-weight:700;background-color:var(--tint)}
pre{overflow-x:auto;padding:.9rem 1rem;border:1px solid var(--edge);border-radius:8px;
background:var(--tint);font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
dl.notes dt{font-weight:600}dl.notes dd{margin:0 0 .6rem;max-width:75ch;color:var(--soft)}
"""


def html_page(title: str, body: str, *, style: str = "") -> str:
    """A whole page around `body`, which is HTML; `title` is text, `style` more CSS."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>{body}"
        "</body></html>\n"
    )
