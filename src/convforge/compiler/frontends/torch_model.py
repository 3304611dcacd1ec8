"""A torch module beside its graph: told apart, drawn, asked for its own answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeGuard, TypeVar

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.compiler.ir.graph import Array

    T = TypeVar("T")

Module: TypeAlias = nn.Module  # for the rest of the compiler, which imports no torch


def is_module(value: object) -> TypeGuard[Module]:
    """Whether it is a torch module."""
    return isinstance(value, nn.Module)


def drawn(build: Callable[[], T], *, seed: int) -> T:
    """What `build` gives with torch's generator at `seed`; the generator is then as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def evaluator(module: nn.Module) -> Callable[[Array], Array]:
    """The module in eval mode as a function of arrays, float32; it is left as it was."""

    def evaluate(x: Array) -> Array:
        modes = [(child, child.training) for child in module.modules()]
        module.eval()
        try:
            with torch.no_grad():
                return np.ascontiguousarray(module(torch.from_numpy(x)).numpy())
        finally:
            for child, training in modes:
                child.training = training

    return evaluate
