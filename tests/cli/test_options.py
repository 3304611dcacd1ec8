import pytest

from convforge.cli.options import arguments_from
from convforge.errors import NetworkError


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
