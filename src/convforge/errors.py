"""The exceptions that convforge raises, all of them.

    ConvforgeError
    ├── InputError              what the user gave cannot be used; the command line exits with 2
    │   ├── DataError           an image, a folder or a data set
    │   ├── NetworkError        a network name, its arguments, or an input it cannot take
    │   ├── WeightsError        weights that do not fit the network
    │   ├── RecipeError         a training recipe with a value out of range
    │   │   └── TimeLimitError  a time in which nothing can be trained
    │   ├── BudgetError         a budget that no network of a family can meet
    │   ├── ClassifierError     a classifier file that is damaged or of another version
    │   ├── ArtifactError       a compiled artifact that is damaged or of another version
    │   ├── UnsupportedError    a model that the compiler does not understand, naming the layer
    │   ├── OutputError         a path that cannot be written
    │   ├── RequestError        a request that the server refuses, with its HTTP status
    │   ├── PackageError        an optional package that is missing, naming the extra to install
    │   └── ToolchainError      no C compiler, or one that failed
    ├── Interrupted             a training that a signal stopped, after its state was saved
    └── VerifyError             a graph or plan that breaks its own rules: a defect in convforge

Every message says where, what was expected, what was found and what to do, in one paragraph. Those
that speak of a function's arguments name them in `names`: the command line says its options there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LISTED = 10  # images that an error names before it only counts


class ConvforgeError(Exception):
    """Base of every exception that convforge raises on purpose."""


class InputError(ConvforgeError):
    """What the user gave cannot be used; the message says what would be.

    `names` are the arguments that the message speaks of, each as it stands there. A caller whose
    users know them by other names, as the command line's know options, can put those in their
    place.
    """

    def __init__(self, message: str = "", *, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names = tuple(names)


class DataError(InputError):
    """An image, a folder or a data set that cannot be used."""


class NetworkError(InputError):
    """An unknown network, arguments it does not take, or an input size it cannot process."""


class WeightsError(InputError):
    """Weights that do not fit the network they were loaded into."""


class RecipeError(InputError):
    """A training recipe with a value out of range."""


class TimeLimitError(RecipeError):
    """A time limit that is not enough to train anything; more time is."""


class BudgetError(InputError):
    """A budget that is none, or that no network of a family can meet."""


class ClassifierError(InputError):
    """A classifier file that is damaged, of another version, or not one at all."""


class ArtifactError(InputError):
    """A compiled artifact that is damaged, of another version, or not one at all."""


class UnsupportedError(InputError):
    """A model with a layer that the compiler does not understand; nothing is approximated."""


class OutputError(InputError):
    """A path that cannot be written."""


class RequestError(InputError):
    """A request that the server refuses: `status` is HTTP's, `retry_after` seconds until another.

    `retry_after` is None where the same request would be refused again.
    """

    def __init__(self, message: str, *, status: int, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class PackageError(InputError):
    """An optional package that is missing; the message names the extra that installs it."""


class ToolchainError(InputError):
    """No usable C compiler, or a C compiler that failed."""


class Interrupted(ConvforgeError):  # noqa: N818 - nothing is wrong
    """A training that a signal stopped, after its state was saved; `signal` is its number."""

    def __init__(self, message: str, *, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class VerifyError(ConvforgeError):
    """A graph, program or plan that breaks its own rules: a defect in convforge, not the input."""


def list_failures(messages: Sequence[str], *, total: int) -> str:
    """What to say of images that failed: the one message, or how many and the first of them."""
    if total == 1:
        return messages[0]
    listed = "".join(f"\n  {message}" for message in messages[:LISTED])
    more = f"\n  and {len(messages) - LISTED} more" if len(messages) > LISTED else ""
    return f"{len(messages)} of {total} images cannot be used:{listed}{more}"
