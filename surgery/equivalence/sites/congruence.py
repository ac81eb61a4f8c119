"""Which tensors of two models are equal, shown without running either: value numbering.

Every tensor gets a class; equal classes mean equal values. The class of a result follows from
what makes it: the operator, in the version that the model's opset means; its attributes,
defaults written out; the classes of its inputs. Names do not count. A sub-graph is numbered
like the graph around it, its inputs being parameters, and stands for the classes of its
outputs; so does a function. What the model after makes otherwise, but under a name that the
model before has too, is a claim: it has the class of that tensor, if the claim holds, and the
claims are what is left to verify. The rest is fresh.

By induction along the order of the model after, the claims together imply equal outputs.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import AttributeProto, NodeProto, defs

from surgery.draft import Copied
from surgery.equivalence.pairing import Pairs
from surgery.equivalence.sites.constants import Constants, of_attribute
from surgery.equivalence.subject import Subject
from surgery.protos import all_nodes, live_nodes

Scope = MutableMapping[str, int]  # the class of every tensor that is in sight, by name

ABSENT = 0  # the class of an optional input that is not given

_COMMUTE = {"Add", "Mul", "And", "Or", "Xor", "Equal"}  # bit for bit, unlike Max of 0 and -0
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


class Numbering:
    """The classes, shared by both models: one number for each key that was ever seen."""

    def __init__(self, copied: Iterable[Copied] = ()) -> None:
        self.constants = Constants(copied)
        self._classes: dict[Hashable, int] = {("absent",): ABSENT}

    def of(self, key: Hashable) -> int:
        """The class of `key`."""
        return self._classes.setdefault(key, len(self._classes))


class Dialect(NamedTuple):
    """What names mean in a graph or in the body of a function."""

    versions: Mapping[str, int]  # of opsets, by domain
    functions: Mapping[tuple[str, str, str], onnx.FunctionProto]
    folder: Path  # of external data


class Keys:
    """Makes keys for the nodes of one model."""

    def __init__(self, subject: Subject, numbering: Numbering) -> None:
        self.numbering = numbering
        self.functions = {(_domain(f.domain), f.name, f.overload): f for f in subject.proto.functions}
        self.dialect = self._dialect(subject.proto.opset_import, subject.path.parent)
        self._bodies: dict[tuple[str, str, str], Hashable] = {}

    def _dialect(self, imports: Iterable[onnx.OperatorSetIdProto], folder: Path) -> Dialect:
        return Dialect({_domain(o.domain): o.version for o in imports}, self.functions, folder)

    def constant(self, tensor: onnx.TensorProto) -> int:
        """The class of a constant tensor."""
        return self.numbering.of(("constant", self.numbering.constants.number(tensor, self.dialect.folder)))

    def node(self, node: NodeProto, scope: Scope, dialect: Dialect, depth: int = 0) -> Hashable:
        """What a node computes. Outputs add their index to it.

        Args:
            node: the node.
            scope: the classes of what it reads.
            dialect: of the graph that it stands in.
            depth: how many graphs that have parameters are around it.
        """
        domain = _domain(node.domain)
        inputs = [self._read(name, scope) for name in _trimmed(node.input)]
        if node.op_type in _COMMUTE and not domain:
            inputs.sort()
        outputs = tuple(bool(name) for name in _trimmed(node.output))
        callee = (domain, node.op_type, node.overload)
        if callee in dialect.functions:
            meaning: Hashable = self._body(callee)
            defaults = {a.name: a for a in dialect.functions[callee].attribute_proto}
        else:
            version, known = _schema(node.op_type, domain, dialect.versions.get(domain, 1))
            meaning, defaults = version, dict(known)
        written = defaults | {a.name: a for a in node.attribute}
        attributes = tuple((name, self._attribute(a, scope, dialect, depth)) for name, a in sorted(written.items()))
        return domain, node.op_type, meaning, attributes, tuple(inputs), outputs

    def number(self, nodes: Iterable[NodeProto], scope: Scope, dialect: Dialect, depth: int) -> None:
        """Enter the results of `nodes` into `scope`."""
        for node in nodes:
            for name, number in self.results(node, scope, dialect, depth):
                scope[name] = number

    def results(self, node: NodeProto, scope: Scope, dialect: Dialect, depth: int = 0) -> list[tuple[str, int]]:
        """The outputs of a node, with their classes."""
        if node.op_type == "Identity" and not node.domain:
            return [(node.output[0], self._read(node.input[0], scope))]
        if node.op_type == "Constant" and (tensor := of_attribute(node)) is not None:
            return [(node.output[0], self.constant(tensor))]
        key = self.node(node, scope, dialect, depth)
        return [(name, self.numbering.of((key, i))) for i, name in enumerate(node.output) if name]

    def _read(self, name: str, scope: Scope) -> int:
        if not name:
            return ABSENT
        if name not in scope:  # nothing makes it: equal to nothing but itself
            scope[name] = self.numbering.of(("unknown", id(self), name))
        return scope[name]

    def _attribute(self, a: AttributeProto, scope: Scope, dialect: Dialect, depth: int) -> Hashable:
        if a.ref_attr_name:  # in a function: what the caller gives
            return "ref", a.ref_attr_name, a.type
        if a.type == AttributeProto.GRAPH:
            return self._graph(a.g, scope, dialect, depth)
        if a.type == AttributeProto.GRAPHS:
            return tuple(self._graph(g, scope, dialect, depth) for g in a.graphs)
        if a.type == AttributeProto.TENSOR:
            return self.constant(a.t)
        if a.type == AttributeProto.TENSORS:
            return tuple(self.constant(t) for t in a.tensors)
        plain: dict[int, Hashable] = {
            AttributeProto.INT: a.i,
            AttributeProto.FLOAT: a.f,
            AttributeProto.STRING: a.s,
        }
        if a.type in plain:
            return a.type, plain[a.type]
        for values in (a.ints, a.floats, a.strings):
            if values:
                return a.type, tuple(values)
        bare = AttributeProto()
        bare.CopyFrom(a)
        bare.ClearField("doc_string")
        return bytes(bare.SerializeToString(deterministic=True))

    def _graph(self, graph: onnx.GraphProto, scope: Scope, dialect: Dialect, depth: int) -> Hashable:
        """A graph as a function of its inputs, which are told apart by depth and position."""
        inner: Scope = ChainMap({}, scope)
        for i, value in enumerate(graph.input):
            inner[value.name] = self.numbering.of(("parameter", depth, i))
        for tensor in graph.initializer:
            inner[tensor.name] = self.constant(tensor)
        self.number(graph.node, inner, dialect, depth + 1)
        return len(graph.input), tuple(self._read(value.name, inner) for value in graph.output)

    def _body(self, callee: tuple[str, str, str]) -> Hashable:
        if callee not in self._bodies:
            function = self.functions[callee]
            scope: Scope = {name: self.numbering.of(("parameter", 0, i)) for i, name in enumerate(function.input)}
            dialect = self._dialect(function.opset_import, self.dialect.folder)
            self.number(function.node, scope, dialect, 1)
            outputs = tuple(self._read(name, scope) for name in function.output)
            self._bodies[callee] = len(function.input), tuple(sorted(function.attribute)), outputs
        return self._bodies[callee]


@dataclass
class Side:
    """One of the two models, numbered."""

    subject: Subject
    keys: Keys
    nodes: list[NodeProto]  # those that an output depends on, in order
    makers: dict[str, NodeProto] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    random: bool = False  # it holds operators that draw numbers

    @classmethod
    def of(cls, subject: Subject, numbering: Numbering) -> Side:
        """Gather the live nodes of a model, and number what is given: its constants."""
        nodes = live_nodes(subject.proto.graph)
        side = cls(subject, Keys(subject, numbering), nodes)
        side.makers = {name: node for node in nodes for name in node.output if name}
        return side

    def given(self, inputs: Mapping[str, int]) -> dict[str, int]:
        """The classes before any node: of inputs, and of the constants that are read."""
        classes = {name: self.keys.constant(tensor) for name, tensor in self.subject.weights.items()}
        return classes | dict(inputs)

    def makes(self, name: str) -> str:
        """What makes a tensor, in words: the operator and the node's own name."""
        node = self.makers.get(name)
        if node is None:
            return "a constant" if name in self.subject.weights else "an input"
        return f"{node.op_type} {self.subject.explain(node.name)}"


@dataclass(frozen=True)
class Claim:
    """That the tensor `after` of the model after equals `before` of the model before."""

    before: str
    after: str

    def __str__(self) -> str:
        return self.before if self.before == self.after else f"{self.before} (now {self.after})"


@dataclass
class Congruence:
    """Both models numbered, and what is left to verify.

    Args:
        before: the model before.
        after: the model after.
        pairs: their inputs and outputs.
    """

    before: Subject
    after: Subject
    pairs: Pairs
    settled: dict[str, str | None] = field(default_factory=dict)  # tensor after -> before; None: no claim
    claims: list[Claim] = field(default_factory=list)  # in the order of the model after
    fresh: list[str] = field(default_factory=list)  # tensors after
    copied: tuple[Copied, ...] = ()  # weights of the model after that are known to be the same

    def __post_init__(self) -> None:
        self.numbering = Numbering(self.copied)
        self.a = Side.of(self.before, self.numbering)
        self.b = Side.of(self.after, self.numbering)
        self.names: dict[int, str] = {}  # class -> the first tensor before that has it
        self._number_before()
        self.number_after()

    def _number_before(self) -> None:
        inputs = {p.via: self.numbering.of(("input", p.name)) for p in self.before.inputs}
        scope = self.a.classes = self.a.given(inputs)
        self.names = {number: name for name, number in reversed(list(scope.items()))}
        for node in self.a.nodes:
            for name, number in self.a.keys.results(node, scope, self.a.keys.dialect):
                scope[name] = number
                self.names.setdefault(number, name)

    def number_after(self) -> None:
        """Number the model after, by the claims that `settled` leaves; done again when that has changed."""
        via = {port.name: port.via for port in self.after.inputs}
        inputs = {via[b]: self.numbering.of(("input", a)) for b, a in self.pairs.inputs.items()}
        scope = self.b.classes = self.b.given(inputs)
        self.claims, self.fresh = [], []
        for node in self.b.nodes:
            for name, number in self.b.keys.results(node, scope, self.b.keys.dialect):
                scope[name] = number if number in self.names else self._unknown(name, number)
        for port_a, port_b in self.pairs.outputs:
            claim = Claim(port_a.via, port_b.via)
            if self.a.classes.get(claim.before) != scope.get(claim.after) and claim not in self.claims:
                self.claims.append(claim)

    def _unknown(self, name: str, number: int) -> int:
        """The class of a tensor that the model before makes otherwise, or not at all."""
        counterpart = self.settled.get(name, name)
        if counterpart is None or counterpart not in self.a.classes:
            self.fresh.append(name)
            return number
        self.claims.append(Claim(counterpart, name))
        return self.a.classes[counterpart]

    @property
    def shared(self) -> set[int]:
        """The classes that a cut may have as inputs: those of both models."""
        return {number for number in self.b.classes.values() if number in self.names}

    @property
    def only_before(self) -> list[str]:
        """The tensors that only the model before makes."""
        shared = self.shared
        return [name for name in self.a.makers if self.a.classes[name] not in shared]


def draws(nodes: Iterable[NodeProto]) -> bool:
    """Whether any of the nodes, or of those within, draws random numbers."""
    for outer in nodes:
        for node in all_nodes(onnx.GraphProto(node=[outer])) if outer.attribute else (outer,):
            if node.op_type in _RANDOM:
                return True
            if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
                return True
    return False


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _trimmed(names: Iterable[str]) -> list[str]:
    """Names without the empty ones at their end."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return kept


@cache
def _schema(op_type: str, domain: str, version: int) -> tuple[Hashable, tuple[tuple[str, AttributeProto], ...]]:
    """The version in which an operator came to mean what it does, and its attributes' defaults."""
    try:
        schema = defs.get_schema(op_type, version, domain)
    except defs.SchemaError:  # an operator of others: all that is known is the version of its set
        return ("opset", version), ()
    defaults = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.name}
    return schema.since_version, tuple(defaults.items())
