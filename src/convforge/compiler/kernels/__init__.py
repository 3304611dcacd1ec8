"""Kernel families, one a file: what each accepts, costs, packs and emits."""
