"""What the handlers of ATen operations share: a call's arguments, and how to refuse one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx

    from convforge.compiler.frontends.torch import Reader

    Handler: TypeAlias = Callable[[Reader, fx.Node], None]


class Unsupported(Exception):  # noqa: N818  (the reader turns it into UnsupportedError with the layer)
    """What a handler found that it does not understand, and what is supported instead."""


def arguments(node: fx.Node) -> dict[str, Any]:
    """Every argument by its name in the operation's schema, defaults filled in."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    return {**defaults, **given, **node.kwargs}


def shape_of(node: Any) -> tuple[int, ...]:
    """Shape of the value that a node gives, of its first one where it gives several."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, (tuple, list)) else value
    return tuple(int(size) for size in first.shape)


def pair(value: Any) -> tuple[int, int]:
    """Height and width from one number or two."""
    values = [value, value] if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


def axis_of(dim: Any, rank: int) -> int:
    """An axis counted from 0."""
    return int(dim) % rank
