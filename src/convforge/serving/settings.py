"""How a server is to work: one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field

from convforge.errors import InputError
from convforge.images.picture import MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of a server, and its key.

    `workers` predict at a time, where it is None as many as the processors have room for; `queue`
    requests wait for one; `max_bytes` of a body, `max_files` in it, `max_pixels` of a picture;
    `timeout_s` seconds that a body may take to arrive and that a request may wait. With `api_key`,
    nothing but the state of health is told without it. Raises InputError for a value out of range.
    """

    workers: int | None = None
    queue: int = 64
    max_bytes: int = 20_000_000
    max_files: int = 32
    max_pixels: int = 50_000_000
    timeout_s: float = 10.0
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, least in (
            ("workers", 1),
            ("queue", 0),
            ("max_bytes", 1),
            ("max_files", 1),
            ("max_pixels", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(
                    f"server: {name} is {value}; expected at least {least}", names=[name]
                )
        if self.max_pixels > MAX_PIXELS:
            raise InputError(
                f"server: max_pixels is {self.max_pixels}; expected at most {MAX_PIXELS}",
                names=["max_pixels"],
            )
        if not 0 < self.timeout_s < float("inf"):
            raise InputError(
                f"server: timeout_s is {self.timeout_s}; expected seconds above 0",
                names=["timeout_s"],
            )
        if self.api_key is not None and not _can_be_sent(self.api_key):
            raise InputError(
                "server: the API key has to be visible ASCII characters without blanks, at least "
                "one; choose another"
            )


def _can_be_sent(key: str) -> bool:
    return bool(key) and all("!" <= letter <= "~" for letter in key)
