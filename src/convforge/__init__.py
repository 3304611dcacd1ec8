"""convforge: from a folder of images to a compiled convolutional classifier."""
