"""From somebody else's graph to ours: the only files that import torch or onnx."""
