"""Pairs of small models, before and after a rewrite, written as ONNX text.

A case states what both have in common once: the signature, weights, and, in `before` and `after`,
the nodes. What is rewritten stands between nodes that are not, where it matters to a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from fixtures._text import drawn

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One rewrite. ``tensor`` is the first tensor that a wrong one gets wrong."""

    name: str
    kind: str  # of model
    signature: str
    before: str
    after: str
    tensor: str = "y"
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # drawn, the same for both
    constants: Arrays = field(default_factory=dict)
    changed: Arrays = field(default_factory=dict)  # constants of the model after that differ
    opsets: tuple[int, int] = (17, 17)
    functions: tuple[str, str] = ("", "")
    exact: bool = False
    atol: float = 0.0
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def models(self) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        """The two models."""
        shared = drawn(3, self.weights) | dict(self.constants)
        before = self._model(self.before, self.opsets[0], self.functions[0], shared)
        return before, self._model(self.after, self.opsets[1], self.functions[1], shared | dict(self.changed))

    def _model(self, body: str, opset: int, function: str, weights: Arrays) -> onnx.ModelProto:
        imports = f'"" : {opset}' + (', "my" : 1' if function else "")
        text = f"<ir_version: 8, opset_import: [{imports}]>\nnet {self.signature} {{ {body} }}\n{function}"
        proto = onnx.parser.parse_model(text)
        used = {name for node in proto.graph.node for name in _reads(node)}
        proto.graph.initializer.extend(numpy_helper.from_array(w, n) for n, w in weights.items() if n in used)
        return proto


def _reads(node: onnx.NodeProto) -> set[str]:
    names = set(node.input)
    for a in node.attribute:
        for inner in a.g.node:
            names |= _reads(inner)
    return names


def ints(*values: int) -> np.ndarray:
    """A list of int64."""
    return np.asarray(values, np.int64)


def floats(*values: float) -> np.ndarray:
    """A list of float32."""
    return np.asarray(values, np.float32)


def scalar(value: float) -> np.ndarray:
    """One float32."""
    return np.asarray(value, np.float32)
