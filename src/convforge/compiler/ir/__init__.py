"""The graph: its operations, their meaning, its rules and its text."""
