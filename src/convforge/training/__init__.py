"""From a data set and a network to a trained classifier."""
