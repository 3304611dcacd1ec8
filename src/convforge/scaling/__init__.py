"""A network that fits a budget of milliseconds and megabytes on this machine, and is good at it.

budget → the smallest network fits? → candidates of several mixes → short trainings, halved → winner
"""
