"""The version of the package; artifacts and classifier files carry it."""

__version__ = "0.1.0"
