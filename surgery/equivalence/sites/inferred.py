"""Values for inner tensors of a model that does not run, or is too large to: drawn, on inferred shapes.

Floats are drawn. Whole numbers and booleans mostly are sizes and indices: those that follow from
shapes are computed, others left out. A cut that has one of these as input goes on through what makes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from surgery.equivalence.probes import Prober
from surgery.equivalence.session import Failed, Values
from surgery.equivalence.sites.congruence import draws
from surgery.equivalence.sites.cuts import Half
from surgery.equivalence.sites.recorder import Feeds
from surgery.equivalence.sites.trial import Runnable
from surgery.equivalence.subject import Subject
from surgery.protos import attribute, live_nodes, reads
from surgery.reading import read_proto

_SIZES = ((2, 64, 12), (1, 96, 24), (3, 32, 16))  # batch, picture, sequence
_FEW = 1024  # elements of a value that is followed
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
        self._known = [_infer(subject, fed, declared) for fed in self._feeds]
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
            elif name in self._known[run].values:
                yield name, self._known[run].values[name]
            elif (known := self._known[run].tensor(name)) and known[0] in _FLOATS:
                elem, shape = known
                count = int(np.prod(shape, dtype=np.int64))
                if count <= self._most:
                    begin = zlib.crc32(f"{run} {name}".encode()) % (self._drawn.size - count)
                    window = self._drawn[begin : begin + count].reshape(shape)
                    yield name, window.astype(helper.tensor_dtype_to_np_dtype(elem), copy=False)

    @cached_property
    def _drawn(self) -> np.ndarray:
        """Of which every tensor is a window: to draw each anew, whenever it is asked for, takes longer than to run."""
        drawn = np.random.default_rng(self._seed).standard_normal(2 * self._most, np.float32)
        drawn.flags.writeable = False
        return drawn


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


def _infer(subject: Subject, feeds: Feeds, declared: Sequence[onnx.ValueInfoProto]) -> _Known:
    """What is known of each tensor, for inputs of given shapes."""
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
        return _Known(subject)
    known = _Known(subject)
    for value in (*proto.graph.input, *inferred.value_info, *inferred.output):
        known.types[value.name] = value.type
    for name, tensor in subject.weights.items():
        known.types[name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        if tensor.data_location != onnx.TensorProto.EXTERNAL and int(np.prod(tensor.dims)) <= _FEW:
            known.values[name] = numpy_helper.to_array(tensor)
    for node in live_nodes(proto.graph):
        known.follow(node)
    return known


class _Known:
    """Types of tensors, and the values of those that follow from shapes: sizes, pads, axes.

    onnx infers whole graphs as well, but gives up where a shape is computed by more than a few
    operators, which exports of free sizes are full of. Here each node is inferred once what it
    reads is known, with the values of small inputs.
    """

    def __init__(self, subject: Subject) -> None:
        self._opsets = list(subject.proto.opset_import)
        self._versions = {o.domain: o.version for o in self._opsets}
        self._functions = {(f.domain, f.name) for f in subject.proto.functions}
        self._ir_version = subject.proto.ir_version
        self.types: dict[str, onnx.TypeProto] = {}
        self.values: dict[str, np.ndarray] = {}

    def tensor(self, name: str) -> tuple[int, tuple[int, ...]] | None:
        """Element type and shape of a tensor; None where an axis is not known."""
        tensor = self.types[name].tensor_type if name in self.types else None
        if tensor is None or not tensor.HasField("shape"):
            return None
        dims = tensor.shape.dim
        return (
            (tensor.elem_type, tuple(d.dim_value for d in dims)) if all(d.HasField("dim_value") for d in dims) else None
        )

    def follow(self, node: onnx.NodeProto) -> None:
        """Learn what a node gives."""
        if (node.domain, node.op_type) in self._functions:
            return
        if any(name and self.tensor(name) is None for name in node.output):
            self._infer(node)
        self._evaluate(node)

    def _infer(self, node: onnx.NodeProto) -> None:
        if not all(name in self.types for name in node.input if name):
            return
        try:
            schema = onnx.defs.get_schema(node.op_type, self._versions.get(node.domain, 1), node.domain)
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in reads(node) if name in self.types},
                {name: numpy_helper.from_array(self.values[name], name) for name in node.input if name in self.values},
                opset_imports=self._opsets,
                ir_version=self._ir_version,
            )
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, KeyError, RuntimeError):
            return
        self.types |= {name: type_ for name, type_ in found.items() if self.tensor(name) is None}

    def _evaluate(self, node: onnx.NodeProto) -> None:
        """The values of a node that reads nothing but small known ones, or shapes."""
        if node.op_type in ("Shape", "Size") and not node.domain and (known := self.tensor(node.input[0])):
            shape = known[1]
            start, end = attribute(node, "start", 0), attribute(node, "end", len(shape))
            given = shape[start:end] if node.op_type == "Shape" else int(np.prod(shape, dtype=np.int64))
            self.values[node.output[0]] = np.asarray(given, np.int64)
            return
        own = [name for name in reads(node) if name]
        few = [self.tensor(name) for name in node.output if name]
        if not own or draws([node]) or not all(name in self.values for name in own):
            return
        if any(known is None or int(np.prod(known[1], dtype=np.int64)) > _FEW for known in few):
            return
        graph = helper.make_graph(
            [node],
            "one",
            [],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
            [numpy_helper.from_array(self.values[name], name) for name in dict.fromkeys(own)],
        )
        proto = helper.make_model(graph, opset_imports=self._opsets, ir_version=self._ir_version)
        names = tuple(name for name in node.output if name)
        try:
            made = Runnable(Half(proto, Path(), [])).run({}, names=names)
        except Failed:
            return
        self.values |= {name: value for name, value in zip(names, made, strict=True) if isinstance(value, np.ndarray)}
