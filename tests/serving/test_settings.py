import pytest

from convforge.errors import InputError
from convforge.serving.settings import Settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": 0}, "workers is 0; expected at least 1"),
        ({"queue": -1}, "queue is -1; expected at least 0"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"max_files": 0}, "max_files is 0"),
        ({"max_pixels": 0}, "max_pixels is 0"),
        ({"max_pixels": 10**9}, "expected at most 178956970"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0; expected seconds above 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"api_key": ""}, "visible ASCII"),
        ({"api_key": "a b"}, "visible ASCII"),
        ({"api_key": "é"}, "visible ASCII"),
    ],
)
def test_what_is_out_of_range_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        Settings(**given)


def test_the_key_is_not_shown():
    assert "secret" not in repr(Settings(api_key="secret"))
