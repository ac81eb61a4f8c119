"""The logits of a model: a saturated Sigmoid or Softmax hides what lies before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from surgery.protos import attribute

# They change the layout of what they hand on, or its type.
RELAYS = {"Identity", "Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Flatten"}
_SQUASHERS = {"Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Hardmax", "ArgMax", "TopK"}
_PICKERS = {"ArgMax", "TopK", "Hardmax"}
# What exports put behind a choice: an offset, a look-up, a mask, a threshold.
_CARRIERS = {"Add", "Sub", "Mul", "Div", "Mod", "Neg", "Gather", "GatherElements", "GatherND", "OneHot", "Where"}
_CARRIERS |= {"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or", "Slice", "Split"}
_CARRIERS |= {"ReduceMax", "ReduceSum", "Max", "Min", "Clip", "Expand", "Tile", "Pad", "CumSum", "ScatterElements"}
MOST = 64  # logits of an output
FAR = 1000  # nodes that are looked at for them


@dataclass(frozen=True)
class Tap:
    """The input of the Softmax, Sigmoid, ArgMax, ... that an output ends in, or of the choice it is made from.

    ``axis`` says what the operator works over: None is elementwise. ``picks`` is the tensor
    of indices where the operator gives some and only its layout changes on the way to the
    output, else empty.
    """

    output: str
    tensor: str
    op: str
    axis: int | None = None
    flat: bool = False  # Softmax before opset 13 works over all axes from `axis` on
    picks: str = ""
    keepdims: bool = True


def find_taps(proto: onnx.ModelProto) -> Iterator[Tap]:
    """The logits behind each output, through changes of layout and Concat; `MOST` of them.

    Behind what is computed from a choice (ArgMax, TopK) they are looked for, too: an index tells
    nothing of by how much it won, wherever it was added to or looked up.
    """
    makers = {name: node for node in proto.graph.node for name in node.output}
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
    for value in proto.graph.output:
        todo, done, seen = [(value.name, True, False)], set[str](), 0
        while todo and seen < MOST and len(done) < FAR:
            name, plain, carried = todo.pop(0)
            node = makers.get(name)
            if node is None or not node.input or name in done:
                continue
            done.add(name)
            if node.op_type == "Concat":
                todo = [*((source, False, carried) for source in node.input), *todo]
            elif node.op_type in RELAYS:
                todo.insert(0, (node.input[0], plain and node.op_type != "Transpose", carried))
            elif node.op_type in (_PICKERS if carried else _SQUASHERS):
                seen += 1
                yield _tap(value.name, name, node, makers, opset, plain and not carried)
            elif node.op_type in _CARRIERS:
                todo += [(source, False, True) for source in node.input if source]


def _tap(
    output: str, name: str, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto], opset: int, plain: bool
) -> Tap:
    picks = ""
    if plain and (node.op_type == "ArgMax" or (node.op_type == "TopK" and name in node.output[1:2])):
        picks = name
    axis: int | None = None
    if "igmoid" not in node.op_type:
        axis = attribute(node, "axis", {"ArgMax": 0, "TopK": -1}.get(node.op_type, -1 if opset >= 13 else 1))
    flat = opset < 13 and node.op_type in ("Softmax", "LogSoftmax", "Hardmax")
    keepdims = node.op_type != "ArgMax" or bool(attribute(node, "keepdims", 1))
    return Tap(output, node.input[0], node.op_type, axis, flat, picks, keepdims)
