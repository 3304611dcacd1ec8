import numpy as np
import pytest

from convforge.calibration import BINS, COOLEST, calibrate, cross_entropy, fit_temperature
from convforge.errors import InputError


def overconfident(*, count=4000, classes=5, scale=3.0, seed=0):
    """Labels drawn from softmax(z), and the logits scale · z: the right temperature is `scale`."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(0, 1.5, (count, classes))
    odds = np.exp(logits)
    odds /= odds.sum(1, keepdims=True)
    labels = (draws.random((count, 1)) > odds.cumsum(1)).sum(1)
    return (scale * logits).astype(np.float32), labels.astype(np.int64)


def direct(logits, labels, bins):
    """Equation 3 of the paper, image by image; the mean negative log-likelihood."""
    cells = [[] for _ in range(bins)]
    nll = 0.0
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        odds = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        nll -= np.log(odds[label])
        for index in range(bins):
            if index / bins < odds.max() <= (index + 1) / bins:
                cells[index].append((odds.max(), odds.argmax() == label))
    ece = sum(
        len(cell) / len(labels) * abs(np.mean([r for _, r in cell]) - np.mean([p for p, _ in cell]))
        for cell in cells
        if cell
    )
    return ece, nll / len(labels), [len(cell) for cell in cells]


@pytest.mark.parametrize("bins", [1, 2, BINS])
def test_error_and_likelihood_are_those_of_the_definition(bins):
    logits, labels = overconfident(count=300)
    found = calibrate(logits, labels, bins=bins)
    ece, nll, counts = direct(logits, labels, bins)
    assert found.ece == pytest.approx(ece, abs=1e-7)
    assert found.nll == pytest.approx(nll, abs=1e-9)
    assert cross_entropy(logits, labels) == found.nll
    assert [one.count for one in found.bins] == counts


def test_a_bin_has_its_upper_end_and_not_its_lower_one():
    logits = np.zeros((4, 2), np.float32)
    found = calibrate(logits, np.array([0, 0, 0, 1]), bins=2)
    assert [one.count for one in found.bins] == [4, 0]
    assert found.bins[0].accuracy == 0.75
    assert found.bins[1].accuracy is None
    assert found.ece == pytest.approx(0.25)


def test_the_temperature_that_logits_were_scaled_by_is_found():
    logits, labels = overconfident(scale=3.0)
    found = fit_temperature(logits, labels)
    assert found.value == pytest.approx(3.0, rel=0.08)
    assert not found.bounded
    assert found.after.ece < 0.03 < 0.1 < found.before.ece
    assert found.before == calibrate(logits, labels)


def test_no_temperature_beside_the_one_found_has_a_higher_likelihood():
    logits, labels = overconfident(count=200, scale=0.4, seed=2)
    found = fit_temperature(logits, labels)
    for factor in (0.5, 0.99, 1.01, 2.0):
        other = calibrate(logits, labels, temperature=found.value * factor)
        assert found.after.nll < other.nll


def test_where_every_answer_is_right_the_range_ends_the_search():
    found = fit_temperature(np.eye(3, dtype=np.float32), np.arange(3))
    assert found.bounded
    assert found.value == COOLEST


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3), np.float32), np.zeros(0, np.int64), "at least one image"),
        (np.zeros((2, 3), np.float32), np.zeros(3, np.int64), r"\[2, 3\] and \[3\]"),
        (np.zeros((1, 3), np.float32), np.array([3]), "from 3 to 3, there are 3 classes"),
        (np.full((1, 3), np.nan, np.float32), np.array([0]), "not finite"),
    ],
)
def test_what_has_no_calibration_is_refused(logits, labels, message):
    for measure in (calibrate, fit_temperature):
        with pytest.raises(InputError, match=message):
            measure(logits, labels)
