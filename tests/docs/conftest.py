"""What tests of the documentation share: running a page's Python, reading its commands."""

import ast
import re
import shlex
from contextlib import chdir

import pytest

from convforge.cli.main import app

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def run_python(tmp_path):
    """Run the Python of a page, in a folder of its own.

    A line of an expression with a remark behind it must give what the remark says; gives the
    number of those.
    """

    def run(text):
        code = "\n".join(body for language, body in BLOCK.findall(text) if language == "python")
        lines, names, checked = code.splitlines(), {}, 0
        with chdir(tmp_path):
            for statement in ast.parse(code).body:
                source = ast.unparse(statement)
                expected = lines[statement.end_lineno - 1].partition("  # ")[2].strip()
                if isinstance(statement, ast.Expr) and expected:
                    assert repr(eval(source, names)) == expected, source
                    checked += 1
                else:
                    exec(source, names)
        return checked

    return run


@pytest.fixture(scope="session")
def commands_in():
    """Every command line of a page, in blocks and in sentences, as lists of words."""

    def find(text):
        lines = [
            line
            for language, body in BLOCK.findall(text)
            if not language
            for line in body.splitlines()
        ]
        inline = re.findall(r"`(convforge(?: [^`\n]+)?)`", BLOCK.sub("", text))
        found = [shlex.split(line, comments=True) for line in (*lines, *inline)]
        return [words[1:] for words in found if words[:1] == ["convforge"]]

    return find


@pytest.fixture(scope="session")
def parse_command():
    """(command, its values) of a command line's words; an unknown command or option raises."""
    import typer

    group = typer.main.get_command(app())

    def parse(words):
        context = group.make_context("convforge", list(words), resilient_parsing=True)
        context.resilient_parsing = False
        name, command, rest = group.resolve_command(context, words)
        values, _, _ = command.make_parser(command.context_class(command)).parse_args(list(rest))
        return name, values

    return parse
