"""The command line, run within the test's own process."""

from dataclasses import dataclass

import pytest

from convforge.cli.main import run


@dataclass(frozen=True)
class Result:
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys, monkeypatch):
    """Run one command as `convforge` does, as in a pipe: no colours, no bars."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def command(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return command


@pytest.fixture
def refused(cli):
    """Run a command that must refuse: code 2, nothing on stdout, one paragraph with these words."""

    def command(*arguments, words):
        result = cli(*arguments)
        assert (result.code, result.out) == (2, ""), result
        assert result.err.startswith("error: ")
        assert "\n\n" not in result.err
        assert "Traceback" not in result.err
        for word in words:
            assert str(word) in result.err
        return result.err

    return command
