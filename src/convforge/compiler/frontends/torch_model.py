"""A torch module beside its graph: told apart, drawn, asked for its own answers."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, TypeVar

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

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
        with eval_mode(module), torch.no_grad():
            return np.ascontiguousarray(module(torch.from_numpy(x)).numpy())

    return evaluate


def exact_evaluator(module: nn.Module) -> Callable[[Array], NDArray[np.float64]]:
    """The same in float64, from and to any precision: a copy of the module computes."""

    def evaluate(x: Array) -> NDArray[np.float64]:
        double = copy.deepcopy(module).double().eval()
        with torch.no_grad():
            return np.asarray(double(torch.from_numpy(x).double()).numpy(), np.float64)

    return evaluate


@contextlib.contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """All of the module in eval mode; afterwards each part is in the mode it was in."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training
