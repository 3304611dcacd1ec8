"""Pages about what a classifier answered: of a training run, of an evaluation."""
