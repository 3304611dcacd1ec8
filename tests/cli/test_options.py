import pytest

from convforge.cli.options import arguments_from, share_from
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
