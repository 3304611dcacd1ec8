"""Writing C: indented text."""
