"""Make docs/tour.ipynb of cells.md: `python docs/tour/build.py`.

What stands in a block of Python becomes a cell of code, what stands between two of them a cell of
text. The notebook is run, so that it has its outputs; `--without-outputs` leaves them out.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
NOTEBOOK = FOLDER.parent / "tour.ipynb"
BLOCK = re.compile(r"^```python\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)
TIMEOUT_S = 600  # of a cell


def notebook(text: str) -> nbformat.NotebookNode:
    """The notebook of a text, without outputs; the same one each time."""
    cells = []
    for index, piece in enumerate(BLOCK.split(text)):
        content = piece.strip()
        if content:
            make = nbformat.v4.new_code_cell if index % 2 else nbformat.v4.new_markdown_cell
            cells.append(make(content, id=f"cell-{len(cells)}"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def run(made: nbformat.NotebookNode, *, folder: Path) -> nbformat.NotebookNode:
    """Run every cell in `folder`, in an interpreter of its own. Raises where one fails."""
    NotebookClient(
        made, timeout=TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    for cell in made.cells:
        cell.metadata.clear()  # when each was run
    return made


def main() -> None:
    """Write the notebook."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--without-outputs", action="store_true")
    made = notebook((FOLDER / "cells.md").read_text(encoding="utf-8"))
    if not parser.parse_args().without_outputs:
        run(made, folder=FOLDER)
    nbformat.write(made, NOTEBOOK)


if __name__ == "__main__":
    main()
