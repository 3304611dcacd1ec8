"""From a network of float32 to one of bytes: ranges on real images, and what it costs."""
