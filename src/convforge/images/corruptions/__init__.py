"""Corruptions of photographs in five severities: how far a classifier bears what cameras do."""

from convforge.images.corruptions.corruption import (
    CORRUPTIONS,
    SEVERITIES,
    Corruption,
    corrupted,
)

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corruption", "corrupted"]
