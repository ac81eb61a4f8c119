"""The weights of a model in memory: where they are, and their bytes, copied from the file where they lie in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import onnx
import onnx_ir as ir

from surgery import wire
from surgery.errors import BadInput
from surgery.nested import graphs
from surgery.reading import Mapped, Origin
from surgery.sound import quoted

Put = Callable[[Any], None]  # puts another tensor in the place of one


class Bulk:
    """The bytes of one weight, copied from its file where it lies in one."""

    def __init__(self, tensor: ir.TensorProtocol, origin: Origin | None) -> None:
        self._tensor = tensor
        self._origin = origin

    def __len__(self) -> int:
        return self._tensor.nbytes

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The bytes, in pieces.

        Raises:
            BadInput: the file that they lie in can't be read, or was written to since.
        """
        try:
            array = self._array()
            inline = self._tensor.tobytes() if array is None else b""
        except OSError as error:  # of a tensor that others have mapped
            raise BadInput(
                f"the data of tensor {quoted(self._tensor.name or '')} can't be read: {error.strerror or error}"
            ) from error
        if array is None:
            yield inline
            return
        found = self.place()
        if found is None:
            yield array.reshape(-1).view(np.uint8).data
        else:
            mapped, at = found
            yield from mapped.chunks(at, len(self))

    def copy(self, file: BinaryIO) -> None:
        """Write the bytes to `file`; the same is raised."""
        found = self.place()
        if found is None:
            file.writelines(self.chunks())
        else:
            mapped, at = found
            mapped.copy(at, len(self), file)

    def place(self) -> tuple[Mapped, int] | None:
        """The file of the model's origin that the weight lies in, and where."""
        array = self._array() if self._origin else None
        if self._origin is not None and array is not None:
            for mapped in self._origin.files:
                at = mapped.offset(array)
                if at is not None:
                    return mapped, at
        return None

    def _array(self) -> np.ndarray | None:
        """The weight as an array that has its bytes, if there is one without a copy."""
        if isinstance(self._tensor, ir.PackedTensor):
            array = self._tensor.raw
        elif self._tensor.dtype.bitwidth >= 8 and not isinstance(self._tensor, ir.TensorProtoTensor):
            array = self._tensor.numpy()
        else:
            return None
        if not isinstance(array, np.ndarray) or array.dtype.byteorder == ">":
            return None
        return array if array.flags.c_contiguous and array.nbytes == len(self) else None


def tensors(model: ir.Model) -> Iterator[tuple[Put, ir.TensorProtocol]]:
    """Every stored tensor, with what puts another one in its place."""
    for graph in graphs(model):
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield partial(setattr, value, "const_value"), value.const_value
        for node in graph:
            if node.attributes:
                yield from _tensors_of(node.attributes)
    for function in model.functions.values():
        yield from _tensors_of(function.attributes)


def _tensors_of(attributes: Any) -> Iterator[tuple[Put, ir.TensorProtocol]]:
    for name, attribute in attributes.items():
        kind = attribute.type.value
        if kind == onnx.AttributeProto.TENSOR and not attribute.is_ref():
            yield partial(_put, attributes, name, None), attribute.value
        elif kind == onnx.AttributeProto.TENSORS and not attribute.is_ref():
            for i, tensor in enumerate(attribute.value):
                yield partial(_put, attributes, name, i), tensor


def _put(attributes: Any, name: str, index: int | None, tensor: Any) -> None:
    old = attributes[name]
    if index is None:
        attributes[name] = ir.AttrTensor(name, tensor, old.doc_string)
    else:
        several = [*old.value[:index], tensor, *old.value[index + 1 :]]
        attributes[name] = ir.AttrTensors(name, several, old.doc_string)


def is_bulk(tensor: ir.TensorProtocol) -> bool:
    """Whether a tensor is large enough to be referred to; strings have no bytes that could be."""
    return tensor.dtype.value != onnx.TensorProto.STRING and tensor.nbytes >= wire.LARGE


def reference(tensor: ir.TensorProtocol, location: str, number: int) -> ir.ExternalTensor:
    """What stands for a tensor while the graph is written: the weight of this number, at `location`."""
    return ir.ExternalTensor(
        location,
        number,
        tensor.nbytes,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )


def inline(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """A small tensor as onnx-ir writes it well: data of its own, and metadata not twice."""
    proto = onnx.TensorProto(name=tensor.name or "", doc_string=tensor.doc_string or "", data_type=tensor.dtype.value)
    if isinstance(tensor, ir.TensorProtoTensor):
        proto.CopyFrom(tensor.raw)
        del proto.metadata_props[:]
    else:
        proto.dims.extend(tensor.shape.numpy())
        proto.raw_data = tensor.tobytes()
    made = ir.TensorProtoTensor(proto)
    made.metadata_props.update(tensor.metadata_props)
    return made
