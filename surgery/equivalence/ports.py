"""Inputs and outputs of a model, as its copy has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

Dim = int | str | None
Kind = Literal["tensor", "sequence", "optional", "other"]

# Element types that numpy lacks: they enter and leave the copy as float32.
_FOREIGN = {
    code
    for name, code in TensorProto.DataType.items()
    if name.startswith(("BFLOAT", "FLOAT8", "FLOAT4", "INT4", "UINT4", "INT2", "UINT2"))
}


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    ``elem`` is a ``TensorProto.DataType``, of the elements where `kind` is a sequence or an
    optional. ``dims`` holds an int, a symbol's name, or None for each axis; it is None itself
    where not even the rank is known. ``via`` is the name in the copy.
    """

    name: str
    kind: Kind
    elem: int
    dims: tuple[Dim, ...] | None
    via: str

    @property
    def dtype(self) -> str:
        """The element type in the spelling of ONNX, lower case: "float", "int64", ..."""
        return TensorProto.DataType.Name(self.elem).lower() if self.elem else "unknown"

    @property
    def element(self) -> np.dtype:
        """The dtype of its elements, of ml_dtypes where numpy lacks it."""
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.elem)) if self.elem else np.dtype(object)

    @property
    def numpy(self) -> np.dtype:
        """The dtype of the arrays that the copy takes or gives for it."""
        if self.elem in _FOREIGN:
            return np.dtype(np.float32)
        return self.element

    def __str__(self) -> str:
        dims = "?" if self.dims is None else ",".join("?" if d is None else str(d) for d in self.dims)
        return f"{self.name} {self.dtype}[{dims}]"


def port_of(value: onnx.ValueInfoProto) -> Port:
    """What a model declares of an input or output."""
    kind: Kind = "tensor"
    type_ = value.type
    for wrapper in ("sequence", "optional"):
        if type_.WhichOneof("value") == f"{wrapper}_type":
            kind = "sequence" if wrapper == "sequence" else "optional"
            type_ = getattr(type_, f"{wrapper}_type").elem_type
    if type_.WhichOneof("value") != "tensor_type":
        return Port(value.name, "other", 0, None, value.name)
    tensor = type_.tensor_type
    dims: tuple[Dim, ...] | None = None
    if tensor.HasField("shape"):
        dims = tuple(
            d.dim_value if d.WhichOneof("value") == "dim_value" else (d.dim_param or None) for d in tensor.shape.dim
        )
    foreign = kind == "tensor" and tensor.elem_type in _FOREIGN
    return Port(value.name, kind, tensor.elem_type, dims, f"{value.name}:float32" if foreign else value.name)
