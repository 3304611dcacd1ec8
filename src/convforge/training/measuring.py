"""What a network answers on decoded images, shared out among a team, and how good that is.

Each process takes its share of the images, none twice and none padded in, and writes its rows into
a table of zeros; the sum of the tables is the whole, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convforge.calibration import cross_entropy
from convforge.classifier import evaluation_mode
from convforge.evaluation import measure
from convforge.images.stored import take
from convforge.images.survey import survey
from convforge.prediction import softmax
from convforge.training.cost import cost_of
from convforge.training.distributed import ALONE, Team

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from convforge.evaluation import Evaluation
    from convforge.images.dataset import Images
    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.networks.contract import ConvNet
    from convforge.training.cost import Cost, Loop
    from convforge.training.learner import Learner

BATCH = 64  # images that go through the network at a time: bounds the memory of its maps


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a run read and measured, by part: `decoded` all parts, the others those held out.

    `logits` float32 [N, K] are of the images of `decoded[part].part`, in their order. `cost` is
    what it took.
    """

    decoded: Mapping[str, Decoded]
    logits: Mapping[str, NDArray[np.float32]]
    evaluations: Mapping[str, Evaluation]
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Validated:
    """How a network does on a part between two epochs.

    `top1` is the share of right answers, of all images; `loss` the mean cross-entropy of the logits
    of those that could be decoded, without label smoothing. It is None where there are none, or a
    logit is not finite.
    """

    top1: float
    loss: float | None = None


@torch.no_grad()
def logits_of(
    net: ConvNet, decoded: Decoded, *, preprocess: Preprocess, team: Team = ALONE
) -> NDArray[np.float32]:
    """float32 [N, K] of the images of a part, in evaluation mode, the same in every process."""
    device = next(net.parameters()).device
    table = np.zeros((len(decoded.part), net.num_classes), np.float32)
    rows = team.share(np.arange(len(decoded.part)))
    with evaluation_mode(net):
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            x = torch.from_numpy(preprocess.normalize(np.stack(list(take(decoded.pixels, chosen)))))
            table[chosen] = net(x.to(device)).float().cpu().numpy()
    return team.sum(table)


def right_answers(
    net: ConvNet, decoded: Decoded, *, preprocess: Preprocess, team: Team = ALONE
) -> NDArray[np.bool_]:
    """Whether each image of a part is answered right, those last that could not be decoded: not."""
    return _right(logits_of(net, decoded, preprocess=preprocess, team=team), decoded)


def validated(
    net: ConvNet, decoded: Decoded, *, preprocess: Preprocess, team: Team = ALONE
) -> Validated:
    """Both figures of one pass of the network over a part."""
    logits = logits_of(net, decoded, preprocess=preprocess, team=team)
    known = len(logits) > 0 and bool(np.isfinite(logits).all())
    return Validated(
        top1=float(_right(logits, decoded).mean()),
        loss=cross_entropy(logits, decoded.part.labels) if known else None,
    )


def _right(logits: NDArray[np.float32], decoded: Decoded) -> NDArray[np.bool_]:
    right = logits.argmax(1) == decoded.part.labels
    return np.concatenate([right, np.zeros(len(decoded.bad), bool)])


def measure_held_out(
    learner: Learner,
    decoded: Mapping[str, Decoded],
    images: Images,
    *,
    loop: Loop | None,
    measured: Callable[[Measured], None] | None,
) -> dict[str, Any]:
    """`Evaluation.summary` by part, of the parts that were held out, and a survey of the data.

    `measured`, if any, is given all of it, with what `loop` and the rest took.
    """
    net, preprocess, team = learner.net, learner.preprocess, learner.team
    team.share_buffers(net)
    logits: dict[str, NDArray[np.float32]] = {}
    evaluations: dict[str, Evaluation] = {}
    for name in ("val", "test"):
        if name in decoded:
            part = decoded[name]
            logits[name] = logits_of(net, part, preprocess=preprocess, team=team)
            evaluations[name] = measure(
                [softmax(logits[name])],
                part.part,
                bad=part.bad,
                classes=images.classes,
                uri=images.uri,
            )
    if measured is not None:
        cost = cost_of(learner, loop)
        measured(Measured(decoded=decoded, logits=logits, evaluations=evaluations, cost=cost))
    summaries = {name: one.summary() for name, one in evaluations.items()}
    return {"data": survey(decoded, preprocess=preprocess), **summaries}
