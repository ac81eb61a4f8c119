"""What fix-dims and free-dims are made of."""

from typing import Any

import onnx_ir as ir

Dim = int | str | None
Dims = tuple[Any, ...]  # of Dim; numbers are reckoned with where all are known


def dims_of(shape: ir.Shape | None) -> Dims | None:
    """The dims as the model has them, negative ones too; None where there is no shape."""
    return None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape)


def called(node: ir.Node) -> str:
    """What an error calls a node: its operator, and its name or that of its first output."""
    return f"{node.op_type} {(node.name or node.outputs[0].name)!r}"
