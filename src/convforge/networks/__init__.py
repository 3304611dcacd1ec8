"""The networks, one file a paper, and the catalogue that names them."""
