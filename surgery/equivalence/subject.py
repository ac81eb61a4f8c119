"""From a model file, the copy that a runtime runs and probes.

The copy computes what the model computes. It differs in what is convenient for looking on:

- nodes are named n0, n1, ..., so that a run that fails says where (`Subject.explain`);
- top-level Constants are initializers: ONNX Runtime maps those from the file in place;
- logits are found (`Tap`), since a saturated Sigmoid or Softmax hides what lies before it;
- some weights are inputs with defaults, so that a fault can be planted by feeding them;
- element types that numpy lacks (bfloat16, float8, int4) enter and leave as float32;
- random operators have seeds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from surgery.equivalence.ports import Port, port_of
from surgery.equivalence.taps import RELAYS, Tap, find_taps
from surgery.protos import RANDOM, all_nodes, live_nodes, read_weight, reads, subgraphs
from surgery.reading import read_proto

PLANTS = 12  # weights that faults can be planted in

_WEIGHTED = {"Conv", "ConvTranspose", "DeformConv", "MatMul", "Gemm", "Einsum"}  # inputs 0 and 1
_RECURRENT = {"LSTM", "GRU", "RNN"}  # inputs 1 and 2
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}


@dataclass
class Subject:
    """The copy of one model; `proto` is without its taps, which `serialise` adds."""

    path: Path
    proto: onnx.ModelProto
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)
    conditions: dict[str, str] = field(default_factory=dict)  # of each If: tensor -> node's own name
    plants: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # of node n<i>, in words
    defaults: list[str] = field(default_factory=list)  # initializers that may be fed in place of their values
    random: bool = False
    weights: dict[str, TensorProto] = field(default_factory=dict)  # top-level initializers

    @classmethod
    def read(cls, path: Path) -> Subject:
        """Read a model file and make its copy.

        Raises:
            BadInput: `path` is no readable model.
        """
        return cls.of(read_proto(path), path)

    @classmethod
    def of(cls, proto: onnx.ModelProto, path: Path) -> Subject:
        """Make `proto` into the copy; it is changed in place. `path` is where its weights lie."""
        self = cls(path=path, proto=proto)
        graph = proto.graph
        _lift_constants(graph)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        _skip_identities(graph, set(self.weights) - {value.name for value in graph.input})
        self._ports()
        self._name_nodes(graph)
        self._seed()
        live = live_nodes(graph)
        self.taps = list(find_taps(proto))
        self.conditions = {node.input[0]: self.labels[int(node.name[1:])] for node in live if node.op_type == "If"}
        self._plant(live)
        return self

    def serialise(self, extra: Sequence[str] = ()) -> bytes:
        """The copy as ONNX Runtime takes it, with the tensors `extra` as outputs too."""
        outputs = self.proto.graph.output
        count, known = len(outputs), {value.name for value in outputs}
        for name in extra:
            if name not in known:
                known.add(name)
                outputs.add().name = name  # the runtime infers the type
        try:
            return bytes(self.proto.SerializeToString())
        finally:
            del outputs[count:]

    def part(self, nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """A model of some of the nodes, with the weights that they read; its outputs are still to be named."""
        whole, needed = self.proto, {name for node in nodes for name in reads(node)}
        proto = onnx.ModelProto(ir_version=whole.ir_version)
        proto.opset_import.extend(whole.opset_import)
        proto.functions.extend(whole.functions)
        proto.graph.name = "part"
        proto.graph.node.extend(nodes)
        proto.graph.initializer.extend(tensor for name, tensor in self.weights.items() if name in needed)
        proto.graph.input.extend(inputs)
        return proto

    def upto(self, names: Sequence[str]) -> Subject:
        """What the tensors `names` are computed by, and nothing else; it has no outputs of its own."""
        nodes = live_nodes(self.proto.graph, names)
        needed = {name for node in nodes for name in reads(node)}
        inputs = [v for v in self.proto.graph.input if v.name in needed and v.name not in self.weights]
        return Subject(self.path, self.part(nodes, inputs), self.inputs, labels=self.labels, random=self.random)

    def weight(self, name: str) -> np.ndarray:
        """The values of a top-level initializer."""
        return read_weight(self.weights[name], self.path.parent)

    def explain(self, text: str) -> str:
        """`text` of the runtime with the nodes' own names in place of n0, n1, ..."""
        return re.sub(r"\bn(\d+)\b", lambda m: self._label(int(m[1])), text)

    def _label(self, index: int) -> str:
        return self.labels[index] if index < len(self.labels) else f"n{index}"

    def _ports(self) -> None:
        graph = self.proto.graph
        inputs = [value for value in graph.input if value.name not in self.weights]
        if self.proto.ir_version >= 4:  # below it every initializer had to be listed
            self.defaults = [value.name for value in graph.input if value.name in self.weights]
        self.inputs = [port_of(value) for value in inputs]
        self.outputs = [port_of(value) for value in graph.output]
        casts_in, casts_out = [], []
        for value, port in zip(inputs, self.inputs, strict=True):
            if port.via != port.name:
                casts_in.append(helper.make_node("Cast", [port.via], [port.name], to=port.elem))
                value.name = port.via
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for value, port in zip(graph.output, self.outputs, strict=True):
            if port.via != port.name:
                casts_out.append(helper.make_node("Cast", [port.name], [port.via], to=TensorProto.FLOAT))
                value.name = port.via
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        if casts_in or casts_out:
            nodes = [*casts_in, *graph.node, *casts_out]
            del graph.node[:]
            graph.node.extend(nodes)
        del graph.input[:]
        graph.input.extend(inputs)
        # Shapes that the file promises for inner tensors or outputs but that a run does not
        # keep only make the runtime warn; with types alone it infers them itself.
        del graph.value_info[:]
        self.proto.ir_version = max(self.proto.ir_version, 4)  # an initializer need not be an input

    def _name_nodes(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            own = node.name or (node.output[0] if node.output else "")
            node.name = f"n{len(self.labels)}"
            self.labels.append(own or node.op_type)
            for inner in subgraphs(node):
                self._name_nodes(inner)

    def _seed(self) -> None:
        """Give random operators seeds by their order, so that two runs of one model agree."""
        counts: dict[str, int] = {}
        for node in all_nodes(self.proto.graph):
            training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
            if node.op_type not in RANDOM and not training:
                continue
            self.random = True
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
            if not any(a.name == "seed" for a in node.attribute):
                seed = counts[node.op_type]
                node.attribute.append(helper.make_attribute("seed", seed if training else float(seed)))

    def _plant(self, live: list[onnx.NodeProto]) -> None:
        makers = {name: node for node in self.proto.graph.node for name in node.output}
        main = [name for node in live if node.op_type in _WEIGHTED for name in node.input[:2]]
        gates = [name for node in live if node.op_type in _RECURRENT for name in node.input[1:3]]
        candidates: list[str] = []
        for names in (main, gates, [name for node in live for name in node.input]):
            if len(candidates) < PLANTS // 2:  # few or no operators that have weights: take what there is
                found = (self._origin(name, makers) for name in names)
                candidates = list(dict.fromkeys([*candidates, *filter(None, found)]))
        picks = {round(i * (len(candidates) - 1) / (PLANTS - 1)) for i in range(PLANTS)}
        self.plants = [candidates[i] for i in sorted(picks) if candidates]
        for name in self.plants:
            weight = self.weights[name]
            self.proto.graph.input.append(helper.make_tensor_value_info(name, weight.data_type, list(weight.dims)))

    def _origin(self, name: str, makers: dict[str, onnx.NodeProto]) -> str:
        """The float weight of more than one element that `name` is, but for its layout; or ""."""
        for _ in range(8):
            if weight := self.weights.get(name):
                return name if weight.data_type in _FLOATS and np.prod(weight.dims) > 1 else ""
            node = makers.get(name)
            if node is None or not node.input:
                return ""
            if node.op_type == "DequantizeLinear":
                name = node.input[1]  # the scale is the part that can be off by a little
            elif node.op_type in RELAYS:
                name = node.input[0]
            else:
                return ""
        return ""


def _lift_constants(graph: onnx.GraphProto) -> None:
    """Turn the Constants of the main graph into initializers."""
    nodes = list(graph.node)
    kept = [node for node in nodes if node.op_type != "Constant" or not _lift(node, graph)]
    if len(kept) < len(nodes):
        del graph.node[:]
        graph.node.extend(kept)


def _skip_identities(graph: onnx.GraphProto, constant: set[str]) -> None:
    """Read a constant itself where its Identity was read.

    Exports of unrolled decoders hold an Identity of each weight at each step; run as they are, 50
    copies of the weights of aster.onnx live at once, 0.8 of 1.5 GB.
    """
    outputs = {value.name for value in graph.output}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        source = same.get(node.input[0], node.input[0]) if node.op_type == "Identity" else ""
        if source in constant and node.output[0] not in outputs:
            same[node.output[0]] = source
        else:
            kept.append(node)
    if not same:
        return
    nodes = list(kept)
    del graph.node[:]
    graph.node.extend(nodes)
    for node in all_nodes(graph):
        for i, name in enumerate(node.input):
            if name in same:
                node.input[i] = same[name]
        for inner in subgraphs(node):
            for value in inner.output:  # a branch may give what it only captures
                value.name = same.get(value.name, value.name)


def _lift(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    if node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return False
    value = node.attribute[0]
    if value.name == "value":
        tensor = graph.initializer.add()
        tensor.CopyFrom(value.t)
    elif value.name in ("value_float", "value_floats"):
        data = np.asarray(value.f if value.name == "value_float" else list(value.floats), np.float32)
        tensor = graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(data))
    elif value.name in ("value_int", "value_ints"):
        ints = np.asarray(value.i if value.name == "value_int" else list(value.ints), np.int64)
        tensor = graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(ints))
    else:
        return False  # strings and sparse tensors stay
    tensor.name = node.output[0]
    return True
