import pytest
import typer

from convforge.cli.main import app
from convforge.cli.options import RENAMED, arguments_from, in_options, share_from
from convforge.errors import InputError, NetworkError


def test_values_are_read_as_json_and_else_as_text():
    texts = ["width=0.5", "depth=3", "bias=false", "padding=same_tf", "tag=a=b", "name="]
    assert arguments_from(texts) == {
        "width": 0.5,
        "depth": 3,
        "bias": False,
        "padding": "same_tf",
        "tag": "a=b",
        "name": "",
    }


def test_no_options_are_no_arguments():
    assert arguments_from(None) == {}


@pytest.mark.parametrize("text", ["width", "=0.5", ""])
def test_what_has_no_name_is_refused(text):
    with pytest.raises(NetworkError, match="expected NAME=VALUE"):
        arguments_from([text])


def test_a_share_is_a_number_or_a_percentage():
    assert share_from("0.3%", option="--max-drop") == pytest.approx(0.003)
    assert share_from("0.25", option="--max-drop") == 0.25


@pytest.mark.parametrize("text", ["", "%", "little", "-1%", "101%", "1.5", "nan"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(InputError, match=r"--max-drop .*: expected a share"):
        share_from(text, option="--max-drop")


OPTIONS = {"max_ms": "--max-ms", "lr": "--lr", "precision": "--precision"}


@pytest.mark.parametrize(
    ("message", "names", "expected"),
    [
        ("give max_ms, or less", ["max_ms"], "give --max-ms, or less"),
        ("learning_rate is 2; lower learning_rate.", ["learning_rate"], "--lr is 2; lower --lr."),
        ("give precision", [], "give precision"),
        ("give max_mb", ["max_mb"], "give max_mb"),
        ("schedule is 'x'", ["schedule"], "schedule is 'x'"),
        (
            "max_ms/precision.py, precision-2, my.precision and --precision: precision=int8",
            ["precision"],
            "max_ms/precision.py, precision-2, my.precision and --precision: --precision=int8",
        ),
    ],
)
def test_errors_speak_of_options_where_the_command_has_them(message, names, expected):
    assert in_options(InputError(message, names=names), OPTIONS) == expected


def test_every_option_that_an_argument_is_renamed_to_exists():
    commands = typer.main.get_command(app()).commands.values()
    assert set(RENAMED.values()) <= {
        name for one in commands for p in one.params for name in p.opts
    }
