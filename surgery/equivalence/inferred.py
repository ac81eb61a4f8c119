"""Values for inner tensors of a model that does not run, or is too large to: drawn, on inferred shapes.

Floats are drawn; whole numbers and booleans are left out, for most are sizes and indices that
only a run could tell. A cut that has one as input goes on through what makes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from surgery.equivalence.probes import Prober
from surgery.equivalence.recorder import Feeds
from surgery.equivalence.session import Values
from surgery.equivalence.subject import Subject
from surgery.reading import read_proto

_SIZES = ((2, 64, 12), (1, 96, 24), (3, 32, 16))  # batch, picture, sequence
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}


def guesses(subject: Subject, seed: int = 0, given: Sequence[Mapping[str, Sequence[int]]] = ()) -> list[Feeds]:
    """Inputs that a model may take, at three sizes that differ in every free axis; nothing is run.

    Args:
        subject: the model.
        seed: of all chance.
        given: the user's own shapes, in place of guessed ones.
    """
    prober = Prober(subject, seed, given)
    if not (cases := prober.guesses()):
        symbols = prober.symbols
        prober.found = [(symbols, symbols.all(batch, size, length)) for batch, size, length in _SIZES]
        cases = [prober.case(i, "normal") for i in range(len(_SIZES))]
    return [case.feeds for case in cases]


class Inferred:
    """Draws values on the shapes that onnx infers for given inputs; see `recorder.Source`.

    Args:
        subject: the model.
        feeds: inputs that it should take, by its names; each gives a set of shapes.
        seed: of all chance.
        most: elements of one tensor; larger ones are left out, and what makes them is looked at.
    """

    real = False

    def __init__(self, subject: Subject, feeds: Sequence[Feeds], seed: int = 0, most: int = 1 << 22) -> None:
        via = {port.name: port.via for port in subject.inputs}
        self._subject = subject
        self._feeds = [{via.get(name, name): value for name, value in fed.items()} for fed in feeds]
        declared = _declared(subject)
        self._types = [_infer(subject, fed, declared) for fed in self._feeds]
        self._seed, self._most = seed, most

    def values(self, names: Iterable[str]) -> Sequence[Values]:
        """The same for the same name and run, whenever asked for."""
        wanted = list(dict.fromkeys(names))
        return [dict(self._draw(run, wanted)) for run in range(len(self._feeds))]

    def _draw(self, run: int, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        for name in names:
            if name in self._feeds[run]:
                yield name, self._feeds[run][name]
            elif name in self._subject.weights:
                yield name, self._subject.weight(name)
            elif (known := self._types[run].get(name)) and known[0] in _FLOATS:
                elem, shape = known
                if int(np.prod(shape, dtype=np.int64)) <= self._most:
                    rng = np.random.default_rng([self._seed, run, zlib.crc32(name.encode())])
                    drawn = rng.standard_normal(shape, np.float32)
                    yield name, np.asarray(drawn, helper.tensor_dtype_to_np_dtype(elem))


def _declared(subject: Subject) -> list[onnx.ValueInfoProto]:
    """What the file says of its inner tensors. Past an operator of others it is all there is; a subject lacks it."""
    made = {name for node in subject.proto.graph.node for name in node.output}
    return [value for value in read_proto(subject.path).graph.value_info if value.name in made]


def _at(value: onnx.ValueInfoProto, sizes: Mapping[str, int]) -> onnx.ValueInfoProto:
    """A declaration with symbols replaced by sizes."""
    fixed = onnx.ValueInfoProto()
    fixed.CopyFrom(value)
    for dim in fixed.type.tensor_type.shape.dim:
        if dim.dim_param in sizes:
            dim.dim_value = sizes[dim.dim_param]
    return fixed


def _infer(
    subject: Subject, feeds: Feeds, declared: Sequence[onnx.ValueInfoProto]
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape of each tensor whose every axis is known."""
    sizes = {
        dim: size
        for port in subject.inputs
        for dim, size in zip(port.dims or (), np.shape(feeds.get(port.via, ())), strict=False)
        if isinstance(dim, str)
    }
    proto = onnx.ModelProto()
    proto.CopyFrom(subject.proto)
    for value in proto.graph.input:
        if isinstance(fed := feeds.get(value.name), np.ndarray):
            elem = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, elem, fed.shape))
    proto.graph.value_info.extend(_at(value, sizes) for value in declared)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    except onnx.shape_inference.InferenceError:  # the sizes do not suit the model
        return {}
    types = {}
    for value in inferred.value_info:
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            types[value.name] = tensor.elem_type, tuple(d.dim_value for d in dims)
    return types
