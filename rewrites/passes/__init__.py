"""Passes: rewrites of ONNX graphs."""
