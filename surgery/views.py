"""What the author of a pass sees of the graph: nodes and values, with what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from surgery.schemas import kinds

if TYPE_CHECKING:
    from surgery.edit import Edit
    from surgery.shapes import Dims


class Value:
    """A tensor of the graph. Two views of one tensor are equal.

    ``ir`` is the ``onnx_ir.Value`` itself.
    """

    __slots__ = ("_edit", "ir")

    def __init__(self, value: ir.Value, edit: Edit) -> None:
        self.ir = value
        self._edit = edit

    @property
    def name(self) -> str:
        """The tensor's name."""
        return self.ir.name or ""

    @property
    def dtype(self) -> np.dtype | None:
        """The numpy dtype (of ml_dtypes for bfloat16, float8 and int4); None if unknown."""
        return self._edit.shapes.dtype(self.ir)

    @property
    def shape(self) -> Dims | None:
        """The dims: int, the name of a symbol, or None if unknown; None if the rank is unknown."""
        return self._edit.shapes.shape(self.ir)

    @property
    def constant(self) -> np.ndarray | None:
        """What the tensor always is, or None if it depends on the model's inputs."""
        tensor = self._edit.tensor(self.ir)
        return None if tensor is None else tensor.numpy()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and other.ir is self.ir

    def __hash__(self) -> int:
        return hash(self.ir)

    def __repr__(self) -> str:
        return f"Value({self.name!r})"


class Node:
    """A node that a pass looks at. ``ir`` is the ``onnx_ir.Node`` itself."""

    __slots__ = ("_edit", "_opset", "inputs", "ir", "outputs")

    def __init__(self, node: ir.Node, edit: Edit, opset: int) -> None:
        self.ir = node
        self._edit = edit
        self._opset = opset
        self.inputs: list[Value | None] = [None if v is None else Value(v, edit) for v in node.inputs]
        self.outputs: list[Value] = [Value(v, edit) for v in node.outputs]

    @property
    def op_type(self) -> str:
        """The operator."""
        return self.ir.op_type

    @property
    def domain(self) -> str:
        """The operator's domain; the standard one is the empty string."""
        return self.ir.domain

    @property
    def name(self) -> str:
        """The node's name, or that of its first output if it has none (as in Paddle's exports)."""
        return label(self.ir)

    @property
    def shape(self) -> Dims | None:
        """The dims of the first output, which a replacement must have too."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the first output, which a replacement must have too."""
        return self.outputs[0].dtype

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute as int, float, str, list, or (tensors) numpy array; else the schema's default.

        Raises:
            Skip: it is a parameter of the function around this node, so not known here; or of another
                type than the operator's schema says.
        """
        return attribute(self.ir, name, self._opset, default)

    def constant(self, index: int) -> np.ndarray | None:
        """What input `index` always is; None if it is absent or not constant."""
        value = self.inputs[index] if index < len(self.inputs) else None
        return None if value is None else value.constant

    def __repr__(self) -> str:
        return f"Node({self.op_type} {self.name!r})"


def label(node: ir.Node) -> str:
    """What a user knows a node by: its name, its first output or, for want of both, its operator."""
    return node.name or (node.outputs[0].name if node.outputs else "") or node.op_type


class Skip(Exception):
    """A place is left as it is; the text says why."""


def attribute(node: ir.Node, name: str, opset: int, default: Any = None) -> Any:
    """See `Node.attr`; `opset` is the version of the node's domain, for the defaults."""
    found = node.attributes.get(name)
    if found is None:
        known = defaults(node.domain, node.op_type, opset)
        return known.get(name, default)
    if found.is_ref():
        raise Skip(f"attribute {name!r} is a parameter of the function")
    wanted = kinds(node.op_type, opset, node.domain).get(name)
    has = onnx.AttributeProto.AttributeType.Name(int(found.type))
    if wanted != has and (wanted or has in ("GRAPH", "GRAPHS")):
        what = f", not {wanted.lower()}, as the operator has it" if wanted else ""
        raise Skip(f"attribute {name!r} is of the type {has.lower()}{what}")
    if found.type == ir.AttributeType.TENSOR:
        return found.value.numpy()
    if found.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS):
        return list(found.value)
    return found.value


_defaults: dict[tuple[str, str, int], dict[str, Any]] = {}


def defaults(domain: str, op_type: str, opset: int) -> dict[str, Any]:
    """The schema's attribute defaults; none where the operator has no schema."""
    key = (domain, op_type, opset)
    if key not in _defaults:
        found = {}
        try:
            for name, attr in onnx.defs.get_schema(op_type, opset, domain).attributes.items():
                if attr.default_value.type != onnx.AttributeProto.UNDEFINED:
                    value = onnx.helper.get_attribute_value(attr.default_value)
                    found[name] = value.decode() if isinstance(value, bytes) else value
        except onnx.defs.SchemaError:
            pass
        _defaults[key] = found
    return _defaults[key]
