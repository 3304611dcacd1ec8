import pytest

from convforge.analysis.scaling import Rule
from convforge.cli.scale import _rule
from convforge.errors import NetworkError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet21", "digits", "--max-ms", "1"], "no network is named 'resnet21'; did you mean"),
        (["resnet20", "digits"], "give --max-ms, --max-mb, or both"),
        (["resnet20", "digits", "--max-ms", "1", "--max-train", "soon"], "--max-train soon: exp"),
        (["lenet5", "digits", "--max-ms", "1"], "lenet5: cannot be scaled"),
        (["resnet20", "digits", "--max-ms", "1", "--mix", "wide"], "no mix is named 'wide'"),
        (["resnet20", "digits", "--max-ms", "1", "--rule", "2"], "--rule 2: expected alpha"),
        (["resnet20", "digits", "--max-ms", "1", "--epochs", "0"], "--epochs is 0"),
        (
            ["resnet20", "digits", "--max-ms", "1", "--epochs", "2", "--max-train", "9s"],
            "--epochs and --max-train were both given",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_paragraph(refused, words, said):
    refused("scale", *words, words=[said])


def test_a_rule_is_three_numbers():
    assert _rule("2,1,1") == Rule(alpha=2, beta=1, gamma=1)
    assert _rule(None) is None
    with pytest.raises(NetworkError, match=r"as in 1\.2,1\.1,1\.15"):
        _rule("a,b,c")
