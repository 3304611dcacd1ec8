"""Between the frozen network with its new head and the tuned one: often better than both.

    weights = (1 - share) · head + share · tuned        share 0, 1/2 or 1

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models": the middle of the two, which needs
no training, is at least as right as either over many tasks. The part to validate on is often small,
a photo or two decide between the three, so it has to speak against the middle to have its way: by
more than one standard error of the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convforge.training.average import put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from convforge.networks.contract import ConvNet

MIDDLE = 0.5
SHARES = (MIDDLE, 1.0, 0.0)  # of equals the first is kept


def blend(
    net: ConvNet, head: Mapping[str, Tensor], *, right: Callable[[ConvNet], NDArray[np.bool_]]
) -> dict[str, Any]:
    """Leave in `net`, which is tuned, what is best between it and the state `head` it began with.

    `right` says which images a network answers right. Gives what a card keeps: the "share" of the
    tuned weights, and the accuracy "top1" by share.
    """
    tuned = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    answers = {}
    for share in SHARES:
        put(net, _between(head, tuned, share))
        answers[share] = right(net)
    kept = choose(answers)
    put(net, _between(head, tuned, kept))
    accuracy = {f"{share:g}": float(answers[share].mean()) for share in sorted(SHARES)}
    return {"share": kept, "top1": accuracy}


def choose(answers: Mapping[float, NDArray[np.bool_]]) -> float:
    """The share to keep: the middle, or one that has clearly more right answers than it.

    Clearly: by more than the root of the number of images on which the two differ, which is the
    standard error of the difference where neither is better.
    """
    best = max(answers, key=lambda share: answers[share].sum())
    more = int(answers[best].sum()) - int(answers[MIDDLE].sum())
    differing = int((answers[best] != answers[MIDDLE]).sum())
    return best if more > differing**0.5 else MIDDLE


def _between(
    head: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    if share in {0.0, 1.0}:
        return dict(tuned if share else head)
    return {
        name: head[name].lerp(tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in tuned.items()
    }
