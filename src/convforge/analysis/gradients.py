"""Explanations that follow gradients back: Grad-CAM and integrated gradients, of a classifier.

Both explain a logit, the class's score before the softmax, in evaluation mode; weights, modes and
gradients of the network are as before afterwards.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convforge.classifier import evaluation_mode
from convforge.errors import InputError, PackageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from convforge.networks.contract import ConvNet

# The paper finds that 20 to 300 steps come within 5 % (section 5).
STEPS = (32, 64, 128, 256, 512)
TOLERANCE = 0.05
PIXELS = 8 * 224 * 224  # of the steps that are computed together: bounds the memory of their maps


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether integrated gradients explain all of a score (Sundararajan et al., proposition 1).

    `total` is the sum of all attributions, `difference` the logit of the image minus that of the
    baseline: equal but for the integral's `steps`. `baseline` is the latter.
    """

    total: float
    difference: float
    baseline: float
    steps: int

    @property
    def error(self) -> float:
        """|total - difference|, in units of the logit."""
        return abs(self.total - self.difference)

    @property
    def limit(self) -> float:
        """The error that is accepted: TOLERANCE of the difference, of 1 where that is smaller."""
        return TOLERANCE * max(1.0, abs(self.difference))

    def to_json(self) -> dict[str, float]:
        """As plain JSON values."""
        return {**asdict(self), "error": self.error, "limit": self.limit}


def weighted_maps(net: ConvNet, x: NDArray[np.float32], *, index: int) -> NDArray[np.float32]:
    """Grad-CAM before its ReLU: Σ_k a_k A_k, float32 [h, w] as large as the maps of `features`.

    Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2. `x` is one preprocessed image
    [C, H, W], A the maps that `features` gives, a_k the mean over all places of the gradient of the
    logit `index` by map k.
    """
    with evaluation_mode(net), torch.enable_grad():
        with torch.no_grad():
            maps = net.features(_batch(net, x))
        maps = maps.detach().requires_grad_()
        # A copy, for a head may begin with a layer that works in place.
        score = net.head(maps.clone())[0, index]
        (gradient,) = torch.autograd.grad(score, maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    result: NDArray[np.float32] = (weights * maps).sum(dim=1)[0].detach().cpu().numpy()
    return result


def integrated_gradients(
    net: ConvNet, x: NDArray[np.float32], *, baseline: NDArray[np.float32], index: int
) -> tuple[NDArray[np.float32], Completeness]:
    """Attributions float32 [C, H, W] of one preprocessed image, and how complete they are.

    The number of steps is doubled until the attributions sum to f(x) - f(x') within TOLERANCE.
    Raises InputError where STEPS do not suffice, PackageError where captum is missing.
    """
    for steps in STEPS:
        found, complete = attributions(net, x, baseline=baseline, index=index, steps=steps)
        if complete.error <= complete.limit:
            return found, complete
    raise InputError(
        f"integrated gradients: after {STEPS[-1]} steps the attributions sum to "
        f"{complete.total:.4g}, the score rises by {complete.difference:.4g}: the network bends "
        "too much between the two pictures to be explained so; take grad-cam or occlusion"
    )


def attributions(
    net: ConvNet,
    x: NDArray[np.float32],
    *,
    baseline: NDArray[np.float32],
    index: int,
    steps: int,
) -> tuple[NDArray[np.float32], Completeness]:
    """Integrated gradients with a given number of steps, however complete they are.

    Source: Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks", equation 1:
    (x - x') times the mean gradient on the way from the baseline x' to x, of the logit `index`.
    Raises PackageError where captum is missing.
    """
    method = _captum()(net)
    image, start = _batch(net, x).requires_grad_(), _batch(net, baseline)
    with evaluation_mode(net), torch.enable_grad():
        with torch.no_grad():
            score, zero = (float(net(one)[0, index]) for one in (image, start))
        found = method.attribute(
            image,
            start,
            target=index,
            n_steps=steps,
            internal_batch_size=max(1, PIXELS // (x.shape[1] * x.shape[2])),
        ).detach()
    total = float(found.double().sum())
    complete = Completeness(total=total, difference=score - zero, baseline=zero, steps=steps)
    return found[0].cpu().numpy().astype(np.float32), complete


def _batch(net: ConvNet, x: NDArray[np.float32]) -> Tensor:
    device = next(itertools.chain(net.parameters(), net.buffers())).device
    return torch.tensor(x[None], device=device)


def _captum() -> Any:
    try:
        from captum.attr import IntegratedGradients  # noqa: PLC0415  (optional, and slow to import)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "captum":
            raise
        raise PackageError(
            "integrated gradients need captum, which is not installed; install it with "
            '`pip install "convforge[train]"`, or take grad-cam or occlusion'
        ) from None
    return IntegratedGradients
