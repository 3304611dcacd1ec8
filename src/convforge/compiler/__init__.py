"""From a network to one self-contained artifact; it knows numpy, not torch."""
