"""Cut a claim out of both models: two small models over the same inputs.

The cone of a tensor is what makes it, back to tensors that the other model has as well. Those
are the inputs of the cut, so both halves can be fed the same values; the tensor claimed is its
one output. An input that only one half has would be fed what the other does not know, and is
opened: the cones then go on through what makes it. To widen a cut is to open all its inputs.

Names in a cut are numbers in the order in which they are met (x0 is an input, c0 a constant,
t0 an inner tensor, y the output), so cuts of one structure have equal texts: their kind. If,
Loop and Scan are taken whole, with what their graphs read from around them as inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper

from surgery.equivalence.ports import Port
from surgery.equivalence.sites.congruence import Claim, Congruence, Side
from surgery.protos import all_nodes, reads, subgraphs
from surgery.report import Step

OUTPUT = "y"
_PLAIN = {AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT, AttributeProto.FLOATS, AttributeProto.STRING}
_LARGE = 60, 3000  # nodes of a half up to which inputs are opened that the other half lacks: at first, and widened
_SMALL = 64  # elements; kinds tell smaller constants apart by value


@dataclass
class Cone:
    """What makes one tensor, on one side.

    ``inputs`` and ``constants`` hold classes, in the order in which they were met.
    """

    root: str
    nodes: list[NodeProto] = field(default_factory=list)  # in topological order
    inputs: dict[int, str] = field(default_factory=dict)  # class -> a tensor of this side that has it
    constants: dict[int, str] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)  # the class of every input and constant, by name


def cone(side: Side, root: str, stop: Collection[int]) -> Cone:
    """The cone of the tensor `root`, back to classes of `stop`."""
    found, seen, todo = Cone(root), set[str](), [(root, False)]
    while todo:
        name, done = todo.pop()
        node = side.makers.get(name)
        if done:
            assert node
            found.nodes.append(node)
        elif node is None or (side.classes[name] in stop and name != root):
            number = side.classes[name]
            found.names[name] = number
            (found.constants if name in side.subject.weights else found.inputs).setdefault(number, name)
        elif node.name not in seen:  # nodes of a subject have names of their own
            seen.add(node.name)
            todo.append((name, True))
            todo += [(read, False) for read in reversed(_outer(node, side)) if read not in found.names]
    return found


def _outer(node: NodeProto, side: Side) -> list[str]:
    """What a node reads, without names that only its own sub-graphs know."""
    if not any(True for _ in subgraphs(node)):
        return [name for name in node.input if name]
    inner = {name for graph in subgraphs(node) for name in _local(graph)}
    read = dict.fromkeys(name for name in reads(node) if name)
    return [name for name in read if name in side.classes and (name in node.input or name not in inner)]


def _local(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from node.output
        for inner in subgraphs(node):
            yield from _local(inner)


@dataclass
class Half:
    """One of the two models of a cut, ready to run."""

    proto: onnx.ModelProto
    folder: Path  # of external data
    labels: list[str]  # of node n<i>: the operator and the node's own name

    @property
    def operators(self) -> set[str]:
        """The operators in it, those in sub-graphs and functions included."""
        return set(_operators(self.proto.graph.node)) | {
            op for function in self.proto.functions for op in _operators(function.node)
        }

    def widen(self) -> None:
        """Cast the output to float32, where it is a tensor."""
        last = self.proto.graph.node[-1]
        last.op_type = "Cast"
        last.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))


def _operators(nodes: Any) -> Iterator[str]:
    for node in nodes:
        yield node.op_type
        for graph in subgraphs(node):
            yield from _operators(graph.node)


@dataclass
class Cut:
    """A claim with its cones. ``inputs`` maps classes to tensors of the model before, x0 first."""

    match: Congruence
    claim: Claim
    before: Cone
    after: Cone
    opened: frozenset[int]
    inputs: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        match: Congruence,
        claim: Claim,
        shared: set[int],
        opened: frozenset[int] = frozenset(),
        large: int = _LARGE[0],
    ) -> Cut:
        """Cut out `claim`.

        Args:
            match: the models.
            claim: the claim.
            shared: ``match.shared``, which is slow to make.
            opened: classes that are no inputs.
            large: nodes of a half up to which inputs are opened that the other half lacks.
        """
        while True:
            stop = shared - opened if opened else shared
            before, after = cone(match.a, claim.before, stop), cone(match.b, claim.after, stop)
            lone = {c for c in before.inputs.keys() ^ after.inputs.keys() if _made(match, c)}
            if not lone or max(len(before.nodes), len(after.nodes)) > large:
                break
            opened |= lone
        numbers = dict.fromkeys([*before.inputs, *after.inputs])
        inputs = {number: match.names.get(number, "") for number in numbers}
        return cls(match, claim, before, after, opened, inputs)

    def widened(self, shared: set[int], only: Collection[int] | None = None) -> Cut | None:
        """The cut with its inputs opened, those of the classes `only` if given; None if they are the model's own."""
        more = {c for c in self.inputs if _made(self.match, c) and (only is None or c in only)}
        return Cut.of(self.match, self.claim, shared, self.opened | more, _LARGE[1]) if more else None

    @property
    def whole(self) -> bool:
        """Whether the cut begins at the inputs of the model, so that any value may be met."""
        return not any(_made(self.match, number) for number in self.inputs)

    def kind(self, ports: Mapping[int, Port]) -> Hashable:
        """Equal for cuts of one structure; `ports` are those of `inputs`, by class."""
        shape = tuple(
            (p.kind, p.elem, None if p.dims is None else len(p.dims)) for p in map(ports.get, self.inputs) if p
        )
        return shape, self._text(self.match.a, self.before), self._text(self.match.b, self.after)

    def halves(self, ports: Mapping[int, Port]) -> tuple[Half, Half]:
        """The two models."""
        return self._half(self.match.a, self.before, ports), self._half(self.match.b, self.after, ports)

    def steps(self) -> tuple[list[Step], list[Step]]:
        """The nodes of both halves, as drawings show them: constants in words."""
        return self._steps(self.match.a, self.before), self._steps(self.match.b, self.after)

    def _steps(self, side: Side, own: Cone) -> list[Step]:
        shown = {name: self.inputs.get(number, "") for name, number in own.names.items()}
        steps = []
        for node in own.nodes:
            inputs = [shown.get(name, name) for name in node.input]
            consts = [_in_words(side.subject.weights[name]) for name in node.input if name in side.subject.weights]
            attributes = [f"{a.name}={helper.get_attribute_value(a)}" for a in node.attribute if a.type in _PLAIN]
            steps.append(Step(node.op_type, inputs, list(node.output), ", ".join([*attributes, *consts])))
        return steps

    def _text(self, side: Side, own: Cone) -> Hashable:
        nodes = tuple(node.SerializeToString(deterministic=True) for node in self._nodes(side, own)[0])
        common = {c: i for i, c in enumerate(self.before.constants) if c in self.after.constants}
        constants = []
        for number, name in own.constants.items():
            tensor = side.subject.weights[name]
            large = int(np.prod(tensor.dims, dtype=np.int64)) > _SMALL
            # A large weight of one half alone counts by value: a stale one would be missed elsewhere.
            same = (common[number], tensor.data_type, tuple(tensor.dims)) if large and number in common else number
            constants.append(same)
        opsets = tuple(sorted((o.domain, o.version) for o in side.subject.proto.opset_import))
        return opsets, nodes, tuple(constants)

    def _nodes(self, side: Side, own: Cone) -> tuple[list[NodeProto], dict[int, str], list[str]]:
        """The nodes of a half under the names of a cut; the names of constants by class; labels."""
        inputs = {number: f"x{i}" for i, number in enumerate(self.inputs)}
        constants = {number: f"c{i}" for i, number in enumerate(own.constants)}
        names = {name: constants.get(number) or inputs[number] for name, number in own.names.items()}
        count = 0

        def fresh(name: str) -> None:
            nonlocal count
            if name and name not in names:
                names[name], count = f"t{count}", count + 1

        made, labels = [], []
        for i, node in enumerate(own.nodes):
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.name = f"n{i}"
            copy.ClearField("doc_string")
            copy.ClearField("metadata_props")
            for name in node.output:
                fresh(name)
            _rename(copy, names, fresh)
            made.append(copy)
            labels.append(side.subject.explain(node.name))
        made.append(helper.make_node("Identity", [names[own.root]], [OUTPUT], name=f"n{len(made)}"))
        return made, constants, [*labels, f"{OUTPUT} of the cut"]

    def _half(self, side: Side, own: Cone, ports: Mapping[int, Port]) -> Half:
        nodes, constants, labels = self._nodes(side, own)
        proto = onnx.ModelProto(ir_version=side.subject.proto.ir_version)
        proto.opset_import.extend(side.subject.proto.opset_import)
        proto.graph.name = "cut"
        proto.graph.node.extend(nodes)
        for i, number in enumerate(self.inputs):
            proto.graph.input.append(_value_info(f"x{i}", ports[number]))
        for number, name in own.constants.items():
            tensor = proto.graph.initializer.add()
            tensor.CopyFrom(side.subject.weights[name])
            tensor.name = constants[number]
        proto.graph.output.add().name = OUTPUT  # the runtime infers its type
        functions = {f.name for f in side.subject.proto.functions}
        if functions and not functions.isdisjoint(_operators(nodes)):
            proto.functions.extend(side.subject.proto.functions)
        return Half(proto, side.subject.path.parent, labels)


def _in_words(tensor: TensorProto) -> str:
    return f"{TensorProto.DataType.Name(tensor.data_type).lower()}{list(tensor.dims)}"


def _made(match: Congruence, number: int) -> bool:
    """Whether a node makes the tensors of a class on each side that has it."""
    name = match.names.get(number, "")
    return name in match.a.makers


def _rename(node: NodeProto, names: dict[str, str], fresh: Any) -> None:
    """Give a node and its sub-graphs other names: those of `names`, or what `fresh` enters there."""
    for graph in subgraphs(node):
        for name in _local(graph):
            fresh(name)
        _rename_graph(graph, names, fresh)
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]


def _rename_graph(graph: onnx.GraphProto, names: dict[str, str], fresh: Any) -> None:
    graph.name = "g"
    del graph.value_info[:]
    for inner in graph.node:
        inner.name = ""
        inner.ClearField("doc_string")
        inner.ClearField("metadata_props")
        _rename(inner, names, fresh)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)


def _value_info(name: str, port: Port) -> onnx.ValueInfoProto:
    if port.kind == "sequence":
        return helper.make_tensor_sequence_value_info(name, port.elem, None)
    return helper.make_tensor_value_info(name, port.elem, port.dims)


def guards(cut: Cut, half: Half, domain: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The tensors of the half before that a promise bounds, by their names there.

    Args:
        cut: the cut.
        half: its half before.
        domain: bounds by the formal name of an operator's input ("grid" of GridSample).
    """
    found: dict[str, tuple[float, float]] = {}
    if not domain:
        return found
    opsets = {o.domain: o.version for o in half.proto.opset_import}
    graph = half.proto.graph
    outside = {value.name for value in graph.input}.union(*(node.output for node in graph.node))
    for outer in graph.node:
        within = [node for body in subgraphs(outer) for node in all_nodes(body)]
        for node in (outer, *within):
            for formal, name in _formals(node, opsets):
                if formal in domain and name in outside:
                    found[name] = domain[formal]
                elif formal in domain and node is not outer and name and not name.startswith("c"):
                    # Made in a body, where nothing can be watched: what the body is made of is bounded in its place.
                    found |= {read: domain[formal] for read in reads(outer) if read in outside}
    return found


def _formals(node: NodeProto, opsets: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """The formal name of each input of a node, and the tensor it reads there."""
    # com.microsoft::GridSample has no schema here, and the inputs of the standard operator of its name.
    home = next((d for d in (node.domain, "") if onnx.defs.has(node.op_type, domain=d)), None)
    if home is None:
        return
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(home, 1), home)
    except onnx.defs.SchemaError:  # a file of an older opset than the operator's first
        schema = onnx.defs.get_schema(node.op_type, domain=home)
    yield from zip((formal.name for formal in schema.inputs), node.input, strict=False)


def port_of(values: list[Any]) -> Port | None:
    """What a cut's input is, by its values in several runs; None for what can't be fed.

    Dims are free, but for the one of a list of integers that is always of one length: the
    runtime takes sizes and the like from no other.
    """
    first = values[0]
    if isinstance(first, list):
        if not first or not isinstance(first[0], np.ndarray):
            return None
        return Port("", "sequence", helper.np_dtype_to_tensor_dtype(first[0].dtype), None, "")
    if not isinstance(first, np.ndarray):
        return None
    elem = TensorProto.STRING if first.dtype.kind in "OUS" else helper.np_dtype_to_tensor_dtype(first.dtype)
    lengths = {value.shape for value in values}
    fixed = first.ndim == 1 and first.dtype.kind in "iu" and len(lengths) == 1
    return Port("", "tensor", elem, first.shape if fixed else (None,) * first.ndim, "")
