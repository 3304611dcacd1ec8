import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHAPTER = Path(__file__).parents[2] / "docs" / "arithmetic.md"
BLOCKS = re.findall(r"```python\n(.*?)```", CHAPTER.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_line_of_the_chapter_gives_what_stands_beside_it():
    code = "\n".join(BLOCKS)
    lines, names, checked = code.splitlines(), {}, 0
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Expr):
            expected = lines[statement.lineno - 1].partition("#")[2].strip()
            assert repr(eval(ast.unparse(statement), names)) == expected, ast.unparse(statement)
            checked += 1
        else:
            exec(ast.unparse(statement), names)
    assert checked == code.count("#") - 1  # but for the remark beside `with`


@pytest.mark.parametrize("module", ["arithmetic", "drawing", "page", "rows", "volumes"])
def test_what_needs_no_torch_imports_none(module):
    code = f"import sys, convforge.analysis.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
