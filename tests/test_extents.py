"""Dims that are followed through a graph, and whole numbers that are made of them."""

from __future__ import annotations

import onnx
import pytest

from surgery import Contradiction, Edit, Extents
from surgery.model import from_proto


def follow(text: str, opset: int = 17, **inputs: tuple[int | str | None, ...]) -> Extents:
    """Follow the nodes, strictly."""
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}'))
    for value in model.graph.outputs:
        value.shape = None
    extents = Extents(Edit(model), {v: inputs[v.name or ""] for v in model.graph.inputs if v.name in inputs})
    extents.walk(strict=True)
    return extents


def outcome(text: str, opset: int = 17, **inputs: tuple[int | str | None, ...]) -> list[object]:
    extents = follow(text, opset, **inputs)
    return [extents.dims(v) for v in extents.edit.model.graph.outputs]


@pytest.mark.parametrize(
    ("body", "dims"),
    [
        ("y = Relu (x)", ("n", 4, 6)),
        ("y = Transpose <perm = [2, 0, 1]> (x)", (6, "n", 4)),
        ("y = Reshape (x, keep)", ("n", 24)),
        ("y = Reshape (x, rest)", ("n", 4, 6)),
        ("y = Reshape (x, mixed)", (None, 12)),
        ("s = Shape (x)  y = Reshape (x, s)", ("n", 4, 6)),
        ("s = Shape (x)  b = Gather (s, i)  t = Concat <axis = 0> (b, last)  y = Reshape (x, t)", ("n", 24)),
        ("s = Shape (x)  b = Slice (s, i, j)  t = Concat <axis = 0> (j, b)  y = ConstantOfShape (t)", (1, "n")),
        ("s = Shape (x)  b = Slice (s, i, j)  z = Expand (one, b)  y = Relu (z)", ("n",)),
        ("s = Shape (x)  d = Mul (s, j)  y = ConstantOfShape (d)", ("n", 4, 6)),
        ("s = Shape (x)  d = Add (s, j)  y = ConstantOfShape (d)", (None, 5, 7)),
        ("s = Shape <start = -2> (x)  y = ConstantOfShape (s)", (4, 6)),
        ("y = Slice (x, i, far, i)", ("n", 4, 6)),
        ("y = Slice (x, i, j, i)", (None, 4, 6)),
    ],
)
def test_symbols_pass_where_they_can(body: str, dims: tuple[object, ...]) -> None:
    constants = """<int64[2] keep = {0, -1}, int64[3] rest = {-1, 4, 6}, int64[2] mixed = {-1, 12}, int64[1] i = {0},
        int64[1] j = {1}, int64[1] last = {24}, int64[1] far = {9223372036854775807}, float[1] one = {1.0}>"""
    assert outcome(f"(float[n, 4, 6] x) => (float[q] y) {constants} {{ {body} }}") == [dims]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("[at] y = Reshape (x, t)", r"\[2, 3\] can't be reshaped to \[5\]"),
        ("[at] y = Expand (x, t)", r"can't be expanded"),
        ("[at] y = Add (x, k)", "Incompatible dimensions"),
        ("[at] y = MatMul (x, x)", "."),
        ("r = Unsqueeze (x, i)  [at] y = Conv (r, w)", "for 4 channels, and it gets 2"),
    ],
)
def test_a_contradiction_names_the_node(body: str, why: str) -> None:
    constants = "<int64[1] t = {5}, float[4] k = {1, 2, 3, 4}, int64[1] i = {0}, float[1, 4, 1] w = {1, 2, 3, 4}>"
    with pytest.raises(Contradiction, match=why) as caught:
        outcome(f"(float[a, b] x) => (float[q] y) {constants} {{ {body} }}", x=(2, 3))
    assert caught.value.node.name == "at"


def test_the_branch_that_is_taken_is_followed() -> None:
    text = """(float[n, 1] x) => (float[q] y) <int64 i = {1}, int64 one = {1}, int64[1] axis = {1}> {
        s = Shape (x)  d = Gather (s, i)  c = Equal (d, one)
        y = If (c) <
            then_branch = t () => (float[r] a) { a = Squeeze (x, axis) },
            else_branch = e () => (float[r, p] b) { b = Identity (x) }
        >
    }"""
    assert outcome(text) == [("n",)]
