"""Dims of every tensor, followed through a graph from those of its inputs; numbers and symbols alike.

    extents = Extents(edit, {x: ("batch", 3, 32, 100)})
    extents.walk()
    extents.dims(y)          ("batch", 25, 38)
    extents.elements(s)      [batch, 3] where s = Slice(Shape(x), 0, 2)

How an operator makes dims of dims is `inference`, node by node; whole numbers that are computed from
dims, of which some are known and others are symbols, are `partial`. What comes of constants and
known dims alone is constant, and computed when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from surgery import fold, partial
from surgery.inference import MOST, UNKNOWN, Contradiction, Kind, infer
from surgery.shapes import Dims, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from surgery.edit import Edit

# What is large, in bytes.
LARGE = 1 << 20
_WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)


class Extents:
    """See the module.

    Args:
        edit: the edit of the model.
        inputs: the dims of the main graph's inputs: int, the name of a symbol, or None; an input
            that is not there has the dims it declares.
        declared: whether dims may come from what the model declares, and from inference of the
            whole model, where a node by itself tells nothing. They may not where `inputs` are
            other than the declared ones.
    """

    def __init__(self, edit: Edit, inputs: Mapping[ir.Value, Dims], *, declared: bool = True) -> None:
        self.edit = edit
        self.declared = declared
        self.faults: list[Contradiction] = []
        self._kinds: dict[ir.Value, Kind] = {}
        self._elements: dict[ir.Value, partial.Elements] = {}
        self._fixed: dict[ir.Value, ir.Node] = {}  # outputs of nodes that read constants alone
        self._by_dims: set[ir.Value] = set()  # those of them that are so by the dims of something
        self._tensors: dict[ir.Value, ir.TensorProtocol | None] = {}
        for value in edit.model.graph.inputs:
            element = edit.shapes.element(value)
            if element is not None:
                self._kinds[value] = element.value, inputs.get(value, edit.shapes.shape(value))

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.edit.model.opset_imports.get("", 1)

    def walk(self, *, strict: bool = False) -> None:
        """Follow all nodes of the main graph.

        Raises:
            Contradiction: a node can't take what it gets; if not `strict`, it is put into `faults`.
        """
        for node in self.edit.model.graph:
            try:
                self.step(node)
            except Contradiction as fault:
                if strict:
                    raise
                self.faults.append(fault)

    def step(self, node: ir.Node) -> None:
        """Follow one node, whose inputs are known already.

        Raises:
            Contradiction: it can't take what it gets.
        """
        if node.op_type == "Constant" and node.domain == "":
            return
        if node.op_type == "If" and node.domain == "" and self._branch(node):
            return
        sound = node.domain == "" and fold.foldable(node)
        inputs = [v for v in node.inputs if v is not None]
        if sound and inputs and all(self.is_constant(v) for v in inputs):
            self._fixed.update(dict.fromkeys(node.outputs, node))
            if any(v in self._elements or v in self._by_dims for v in inputs):
                self._by_dims.update(node.outputs)
        kinds = infer(node, self) if sound else [UNKNOWN] * len(node.outputs)
        self._kinds |= {value: kind for value, kind in zip(node.outputs, kinds, strict=True) if kind[0]}
        # What is constant is computed whole when it is asked for; the dims of a constant are at hand.
        if sound and (node.outputs[0] not in self._fixed or node.op_type in ("Shape", "Size")):
            self._elements |= partial.learn(node, self)

    def _branch(self, node: ir.Node) -> bool:
        """Follow the branch of an If that is always taken, if that is known."""
        condition = None if node.inputs[0] is None else self.elements(node.inputs[0])
        if condition is None or not all(isinstance(e, int) for e in condition.flat):
            return False
        graph = node.attributes["then_branch" if condition.all() else "else_branch"].as_graph()
        for inner in graph:
            self.step(inner)
        self._kinds |= {v: self.kind(w) for v, w in zip(node.outputs, graph.outputs, strict=True)}
        return True

    # ---- what is known ----------------------------------------------------------------------

    def dims(self, value: ir.Value) -> Dims | None:
        """The dims of a tensor; None if its rank is unknown."""
        return self.kind(value)[1]

    def is_constant(self, value: ir.Value) -> bool:
        """Whether `value` is the same whatever the inputs hold, as far as their dims go."""
        return (
            value in self._fixed
            or self.edit.is_constant(value)
            or (value in self._elements and all(isinstance(e, int) for e in self._elements[value].flat))
        )

    def elements(self, value: ir.Value) -> partial.Elements | None:
        """The elements of a small whole-number tensor: int, the name of a symbol, or None if unknown.

        None in place of all: nothing is known of them.
        """
        if value in self._elements:
            return self._elements[value]
        tensor = self.tensor(value) if self.is_small(value) else None
        return None if tensor is None else tensor.numpy().astype(object)

    def tensor(self, value: ir.Value) -> ir.TensorProtocol | None:
        """The tensor that `value` always is, computed if need be; None if there is none or it can't be computed."""
        if value not in self._tensors:
            self._tensors[value] = self._compute([value])[0]
        return self._tensors[value]

    def kind(self, value: ir.Value) -> Kind:
        """Element type, 0 if it is unknown, and dims of a tensor, None if its rank is unknown."""
        if value in self._kinds:
            return self._kinds[value]
        tensor = fold.constant(value, self.edit.model.ir_version)
        if tensor is not None:
            found: Kind = tensor.dtype.value, tuple(tensor.shape.numpy())
        elif not self.declared:
            element = self.edit.shapes.element(value)
            found = 0 if element is None else element.value, None
        else:
            dtype = self.edit.shapes.dtype(value)
            element = None if dtype is None else ir.DataType.from_numpy(dtype)
            found = 0 if element is None else element.value, self.edit.shapes.shape(value)
        self._kinds[value] = found
        return found

    def is_small(self, value: ir.Value) -> bool:
        """Whether a tensor is of whole numbers, and no larger than a shape may be."""
        element, dims = self.kind(value)
        size = count(dims) if element in _WHOLE else None
        return size is not None and size <= MOST

    # ---- constants --------------------------------------------------------------------------

    def settled(self) -> dict[ir.Value, ir.TensorProtocol]:
        """What nodes compute and is constant, as far as others read it that are not, with its tensors.

        Large tensors are left out that would be constant whatever the dims.
        """
        model = self.edit.model
        wanted = []
        for node in model.graph:
            if node.op_type == "Constant" and node.domain == "":
                continue
            for value in node.outputs:
                if not value.name or not self.is_constant(value) or self._large(value):
                    continue
                readers = [use.node for use in value.uses()]
                inner = any(r.graph is not model.graph for r in readers)
                if inner or value.is_graph_output() or any(not self._all_constant(r) for r in readers):
                    wanted.append(value)
        found = zip(wanted, self._compute(wanted), strict=True)
        return {value: tensor for value, tensor in found if tensor is not None}

    def _large(self, value: ir.Value) -> bool:
        element, dims = self.kind(value)
        if value in self._by_dims or value in self._elements:
            return False
        size = count(dims)
        return size is None or not element or size * ir.DataType(element).itemsize > LARGE

    def _all_constant(self, node: ir.Node) -> bool:
        return all(not v.name or self.is_constant(v) for v in node.outputs)

    def _compute(self, values: Sequence[ir.Value]) -> list[ir.TensorProtocol | None]:
        """The tensors of `values`, in one run if that goes."""
        found = [self._at_hand(v) for v in values]
        missing = [v for v, tensor in zip(values, found, strict=True) if tensor is None and v in self._fixed]
        if missing:
            arrays = self._evaluate(missing)
            at = dict(zip(missing, arrays, strict=True))
            self._tensors |= {v: None if a is None else ir.tensor(a) for v, a in at.items()}
            found = [
                self._tensors.get(v) if tensor is None else tensor for v, tensor in zip(values, found, strict=True)
            ]
        return found

    def _evaluate(self, values: list[ir.Value]) -> Sequence[np.ndarray | None]:
        cone = fold.cone(values, self._at_hand, self._fixed.get)
        arrays = None if cone is None else self.evaluate(*cone, values)
        if arrays is not None:
            return arrays
        return [None] if len(values) == 1 else [self._evaluate([v])[0] for v in values]

    def evaluate(
        self, nodes: Sequence[ir.Node], given: Mapping[ir.Value, ir.TensorProtocol], wanted: Sequence[ir.Value]
    ) -> list[np.ndarray] | None:
        """What nodes of the graph make of `given`; see `fold.evaluate`."""
        return fold.evaluate(nodes, given, wanted, self.opset, self.edit.model.ir_version or 8)

    def _at_hand(self, value: ir.Value) -> ir.TensorProtocol | None:
        if self._tensors.get(value) is not None:
            return self._tensors[value]
        elements = self._elements.get(value)
        if elements is not None and all(isinstance(e, int) for e in elements.flat):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(self.kind(value)[0])
            return ir.tensor(elements.astype(dtype))
        return fold.constant(value, self.edit.model.ir_version)
