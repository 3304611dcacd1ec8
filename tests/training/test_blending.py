"""The middle between head and tuned is kept unless the images to validate on clearly say no."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convforge.networks.catalog import create
from convforge.training.blending import MIDDLE, SHARES, blend, choose


def rights(count, *, of=100, wrong_first=False):
    """`count` right answers of so many images, the first ones or the last ones."""
    row = np.arange(of) < count
    return row[::-1] if wrong_first else row


@pytest.mark.parametrize(
    ("head", "middle", "tuned", "kept"),
    [
        (98, 98, 98, MIDDLE),
        (98, 97, 97, MIDDLE),  # they differ on one image: no more than its root
        (99, 97, 97, 0.0),  # on two: more than their root
        (90, 95, 99, 1.0),
        (99, 95, 90, 0.0),
        (90, 99, 95, MIDDLE),
        (0, 0, 0, MIDDLE),
    ],
)
def test_the_middle_is_kept_unless_another_is_clearly_better(head, middle, tuned, kept):
    assert choose({MIDDLE: rights(middle), 1.0: rights(tuned), 0.0: rights(head)}) == kept


def test_what_counts_is_how_many_images_they_differ_on():
    """54 and 51 right, on all of 100 images the same or on 95 of them another: noise."""
    other = rights(54, wrong_first=True)
    differing = (other != rights(51)).sum()
    assert differing > 90
    assert choose({MIDDLE: rights(51), 1.0: rights(20), 0.0: other}) == MIDDLE
    assert choose({MIDDLE: rights(51), 1.0: rights(20), 0.0: rights(54)}) == 0.0


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_the_network_is_left_as_chosen(kept):
    torch.manual_seed(0)
    head, tuned = (create("resnet20", num_classes=3).state_dict() for _ in range(2))
    mixed = {share: {k: (1 - share) * head[k] + share * tuned[k] for k in head} for share in SHARES}
    net = create("resnet20", num_classes=3)
    net.load_state_dict(tuned)

    def right(asked):
        weight = asked.head.linear.weight
        (share,) = (s for s in SHARES if torch.allclose(weight, mixed[s]["head.linear.weight"]))
        return rights(9 if share == kept else 1, of=10)

    found = blend(net, head, right=right)
    shares = {f"{share:g}": 0.9 if share == kept else 0.1 for share in (0.0, 0.5, 1.0)}
    assert found == {"share": kept, "top1": shares}
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, mixed[kept][name].to(tensor.dtype))
    if kept != MIDDLE:
        exact = tuned if kept else head
        assert all(torch.equal(tensor, exact[name]) for name, tensor in net.state_dict().items())
