import io
import json
import sys
from contextlib import redirect_stderr

import pytest

from convforge.cli import console


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal, for the test to redirect stderr to."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_a_bar_on_a_terminal_shows_what_is_done_and_how_far(terminal):
    with redirect_stderr(terminal), console.progress_bar("loading") as report:
        report(3, 4, "epoch 3/4")
    assert "epoch 3/4" in terminal.getvalue()
    assert "75%" in terminal.getvalue()


def test_a_bar_starts_anew_where_the_next_stage_begins(terminal):
    with redirect_stderr(terminal), console.progress_bar("loading") as report:
        report(10, 10, "decoding")
        report(1, 4, "epoch 1")
    assert "25%" in terminal.getvalue().rpartition("epoch 1")[2]


def test_a_bar_takes_a_total_that_is_not_known(terminal):
    with redirect_stderr(terminal), console.progress_bar("loading") as report:
        report(1000, 0, "fetching weights.pth")
    assert "fetching weights.pth" in terminal.getvalue()


def test_without_a_terminal_there_is_no_bar(capsys):
    with console.progress_bar("loading") as report:
        assert report is None
    assert capsys.readouterr() == ("", "")


def test_of_a_team_the_first_process_alone_has_a_bar(terminal, monkeypatch):
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with redirect_stderr(terminal), console.progress_bar("loading") as report:
            assert (report is not None) == (rank == "0")


def test_an_error_is_red_on_a_terminal_and_plain_in_a_log(terminal, capsys):
    with redirect_stderr(terminal):
        console.show_error("a [b]: c")
    assert terminal.getvalue() == "\x1b[1;31merror: \x1b[0ma [b]: c\n"
    console.show_error("a [b]: c")
    assert capsys.readouterr().err == "error: a [b]: c\n"


def test_a_long_error_stays_on_one_line_so_that_it_can_be_searched_for(capsys):
    console.show_error("word " * 200)
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_terminal_would_act_on_is_written_as_an_escape():
    assert console.printable("a\x1b[2Jb\tc\u202e고양이 é") == "a\\x1b[2Jb\\tc\\u202e고양이 é"
    assert console.printable("a\nb") == "a\\nb"
    assert console.printable("a\nb", keep="\n") == "a\nb"


def test_json_is_readable_where_the_output_is_unicode_and_ascii_elsewhere(monkeypatch):
    for encoding, expected in (("utf-8", '"고양이 😀"'), ("latin-1", '"\\uace0\\uc591\\uc774 ')):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        console.show_json(["고양이 😀"])
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)
        assert expected in text
        assert json.loads(text) == ["고양이 😀"]


def test_json_has_no_numbers_that_json_does_not_have():
    with pytest.raises(ValueError, match="JSON"):
        console.show_json({"loss": float("nan")})


def test_what_is_shown_in_a_log_is_not_cut_at_80_columns(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    console.show("word " * 40)
    assert capsys.readouterr().out.count("\n") == 1
    assert console.width() == console.LOG_WIDTH


def test_the_users_own_columns_are_kept(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    console.show("word " * 40)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 50
