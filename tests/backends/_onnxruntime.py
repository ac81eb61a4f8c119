"""ONNX Runtime's rules, each by models of a node or two."""

from __future__ import annotations

from _rows import Row

ROWS = {"O1": [Row("y = my.Whirl(x)", "y = Relu(x)", outs="float[1,3,8,10] y")]}
