"""Find patterns in a graph, and say why a near miss is none.

A pattern is ONNX written in Python: ``pattern(self, op, x)`` is called once with an `op`
that records. Its parameters match any tensor (one with the default ``None`` also an absent
one); numbers match constants of that value at any rank; an attribute that is not written
has the schema's default; ``axis=op.any`` leaves it open. Operands of commutative operators
match in either order. Inner tensors must have no reader outside the match.

The search starts from the pattern's operator that is rarest in the graph, so that it costs
next to nothing where a pattern does not occur.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from surgery.views import Skip, Value, attribute, defaults, label

if TYPE_CHECKING:
    from surgery.edit import Edit
    from surgery.order import Order
    from surgery.shapes import Dims

COMMUTATIVE = {
    *("Add", "Mul", "And", "Or", "Xor", "Equal", "Max", "Min", "Sum", "Mean", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
}
_MOST_ORDERED = 4  # operands, whose 24 orders are tried
_ANY = object()


@dataclass(eq=False)
class Slot:
    """A tensor of the pattern: a parameter, or an output of one of its nodes."""

    name: str
    node: Step | None = None
    index: int = 0
    optional: bool = False


@dataclass(eq=False)
class Step:
    """A node of the pattern."""

    op_type: str
    domain: str
    inputs: list[Slot | np.ndarray | None]
    attributes: dict[str, Any]
    outputs: list[Slot] = field(default_factory=list)


class _Recorder:
    """The ``op`` that a pattern is written with."""

    any = _ANY

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        if not op_type[:1].isupper():
            raise AttributeError(op_type)

        def record(*inputs: Any, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
            operands = [x if x is None or isinstance(x, Slot) else np.asarray(x) for x in inputs]
            step = Step(op_type, domain, operands, attributes)
            step.outputs = [Slot(f"{op_type}.{i}", step, i) for i in range(outputs)]
            self.steps.append(step)
            return step.outputs[0] if outputs == 1 else step.outputs

        return record


class Pattern:
    """A pattern, from the method that writes it.

    Args:
        write: ``pattern`` of a pass, bound.
    """

    def __init__(self, write: Callable[..., Any]) -> None:
        recorder = _Recorder()
        parameters = list(inspect.signature(write).parameters.values())[1:]
        self.parameters = [Slot(p.name, optional=p.default is None) for p in parameters]
        result = write(recorder, *self.parameters)
        self.outputs: list[Slot] = list(result) if isinstance(result, (list, tuple)) else [result]
        self.steps = recorder.steps
        if not self.steps or not all(isinstance(s, Slot) and s.node is not None for s in self.outputs):
            raise TypeError("a pattern returns what its operators gave")
        self._check()

    def _check(self) -> None:
        """Refuse what could never match: steps that lead to no output, parts that do not hang together."""
        used = {x for step in self.steps for x in step.inputs if isinstance(x, Slot)} | set(self.outputs)
        for step in self.steps:
            if used.isdisjoint(step.outputs):
                raise TypeError(f"{step.op_type} in the pattern leads to none of its outputs")
        reached, more = {self.steps[0]}, True
        while more:
            slots = {s for step in reached for s in (*step.inputs, *step.outputs) if isinstance(s, Slot)}
            joined = {
                s for s in self.steps if not slots.isdisjoint(x for x in (*s.inputs, *s.outputs) if isinstance(x, Slot))
            }
            more, reached = not joined <= reached, reached | joined
        if len(reached) < len(self.steps):
            raise TypeError("the parts of the pattern share no tensor")
        if len(set(self.outputs)) < len(self.outputs):
            raise TypeError("the pattern returns one tensor twice")

    def anchor(self, counts: dict[tuple[str, str], int]) -> Step | None:
        """The step whose operator is rarest; None if one does not occur at all."""
        found = [(counts.get((s.domain, s.op_type), 0), i) for i, s in enumerate(self.steps)]
        rarest, index = min(found)
        return self.steps[index] if rarest else None


class Match:
    """A place where a pattern was found. The face of a node, and the pattern's parameters by name.

    ``inputs`` are the tensors of the parameters in their order, ``outputs`` those that the
    pattern returned, ``nodes`` the nodes of its operators in the order they were written.
    """

    def __init__(self, pattern: Pattern, found: _Found, edit: Edit, opsets: Mapping[str, int]) -> None:
        self._edit = edit
        self._opsets = opsets
        self.ir = [found.nodes[s] for s in pattern.steps]
        self.inputs: list[Value | None] = [self._view(found.values.get(p)) for p in pattern.parameters]
        self.outputs: list[Value] = [Value(_known(found.values[s]), edit) for s in pattern.outputs]
        self._named = {p.name: v for p, v in zip(pattern.parameters, self.inputs, strict=True)}

    def __getitem__(self, parameter: str) -> Value | None:
        return self._named[parameter]

    @property
    def end(self) -> ir.Node:
        """The node that gives the first output."""
        return _producer(self.outputs[0].ir)

    @property
    def name(self) -> str:
        """The name of the node that gives the first output."""
        return self.end.name or self.outputs[0].name

    @property
    def shape(self) -> Dims | None:
        """The dims of the first output."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the first output."""
        return self.outputs[0].dtype

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute `name` of the first node of the pattern whose operator has one."""
        for node in self.ir:
            opset = self._opsets.get(node.domain, 1)
            if name in node.attributes or name in defaults(node.domain, node.op_type, opset):
                return attribute(node, name, opset, default)
        return default

    def constant(self, index: int) -> np.ndarray | None:
        """What parameter `index` always is; None if it is absent or not constant."""
        value = self.inputs[index]
        return None if value is None else value.constant

    def _view(self, value: ir.Value | None) -> Value | None:
        return None if value is None else Value(value, self._edit)


@dataclass
class _Found:
    nodes: dict[Step, ir.Node] = field(default_factory=dict)
    values: dict[Slot, ir.Value | None] = field(default_factory=dict)

    def copy(self) -> _Found:
        return _Found(dict(self.nodes), dict(self.values))


class Finder:
    """Looks for one pattern in one graph.

    Args:
        pattern: what to look for.
        edit: the edit of the model, which knows constants.
        opsets: the versions of operators in this graph, by domain.
        order: the order of this graph's nodes, for patterns of several outputs.
    """

    def __init__(self, pattern: Pattern, edit: Edit, opsets: Mapping[str, int], order: Order | None = None) -> None:
        self._pattern = pattern
        self._order = order
        self._edit = edit
        self._opsets = opsets
        self._deepest = 0
        self._why = ""

    def at(self, anchor: Step, node: ir.Node) -> Match | Skip | None:
        """The match in which `node` is the anchor; a `Skip` with the reason if it is a near miss."""
        self._deepest, self._why = 0, ""
        for found in self._search([(anchor, node)], _Found()):
            why = self._absent(found) or self._reader_outside(found) or self._way_round(found)
            if not why:
                return Match(self._pattern, found, self._edit, self._opsets)
            self._note(len(found.nodes) + 1, why)
        # A near miss: more than the anchor alone was there.
        return Skip(self._why) if self._deepest >= min(2, len(self._pattern.steps)) else None

    def _search(self, agenda: list[tuple[Step, ir.Node]], found: _Found) -> Iterator[_Found]:
        if not agenda:
            yield from self._onward(found)
            return
        (step, node), rest = agenda[0], agenda[1:]
        if step in found.nodes:
            if found.nodes[step] is node:
                yield from self._search(rest, found)
            return
        if (node.op_type, node.domain) != (step.op_type, step.domain):
            self._note(len(found.nodes), f"{label(node)} is a {node.op_type}, where the pattern has {step.op_type}")
            return
        why = self._unlike(step, node)
        if why:
            # The operator is there and is set otherwise: of the first node, too, that is a near miss.
            self._note(len(found.nodes) + 2, f"{label(node)}: {why}")
            return
        for operands in self._orders(step, node):
            trial = found.copy()
            trial.nodes[step] = node
            more = self._bind(step, operands, node, trial)
            if more is not None:
                self._note(len(trial.nodes), self._why)
                yield from self._search([*rest, *more], trial)

    def _onward(self, found: _Found) -> Iterator[_Found]:
        """Go on from a tensor that is known to a reader of it that is not: of those, the one with fewest readers."""
        ways: list[tuple[tuple[int, bool], Step, int, ir.Value]] = []
        for step in self._pattern.steps:
            if step in found.nodes:
                continue
            for i, slot in enumerate(step.inputs):
                value = found.values.get(slot) if isinstance(slot, Slot) else None
                if value is not None:
                    ways.append(((len(value.uses()), step.inputs[i] in self._pattern.parameters), step, i, value))
        if not ways:
            if len(found.nodes) == len(self._pattern.steps):
                yield found
            return
        _, step, i, value = min(ways, key=lambda way: way[0])
        inside = next(iter(found.nodes.values())).graph
        for node in dict.fromkeys(u.node for u in value.uses() if _commutes(step) or u.idx == i):
            if node.graph is inside and node not in found.nodes.values():
                yield from self._search([(step, node)], found)

    def _unlike(self, step: Step, node: ir.Node) -> str:
        given = [v for v in node.inputs if v is not None]
        wanted = [x for x in step.inputs if x is not None]
        optional = sum(1 for x in wanted if isinstance(x, Slot) and x.optional)
        if not len(wanted) - optional <= len(given) <= len(wanted):
            return f"{len(given)} inputs, where the pattern has {len(wanted)}"
        opset = self._opsets.get(step.domain, 1)
        schema = defaults(step.domain, step.op_type, opset)
        for name in dict.fromkeys([*step.attributes, *node.attributes]):
            wish = step.attributes.get(name, schema.get(name))
            if wish is _ANY:
                continue
            try:
                has = attribute(node, name, opset)
            except Skip as skip:
                return str(skip)
            if not _same_attribute(has, list(wish) if isinstance(wish, tuple) else wish):
                return f"{name} is {_short(has)}, where the pattern has {_short(wish)}"
        return ""

    def _orders(self, step: Step, node: ir.Node) -> Iterator[Sequence[ir.Value | None]]:
        operands = list(node.inputs) + [None] * (len(step.inputs) - len(node.inputs))
        if _commutes(step) and len(operands) <= _MOST_ORDERED:
            yield from dict.fromkeys(itertools.permutations(operands))
        else:
            yield operands

    def _bind(
        self, step: Step, operands: Sequence[ir.Value | None], node: ir.Node, found: _Found
    ) -> list[tuple[Step, ir.Node]] | None:
        """Note what stands for what; the nodes to look at next, or None if it does not fit."""
        name = label(node)
        for given in step.outputs:
            value = node.outputs[given.index] if given.index < len(node.outputs) else None
            if found.values.setdefault(given, value) is not value:
                return None
        more = []
        for i, (slot, value) in enumerate(zip(step.inputs, operands, strict=False)):
            if slot is None:
                continue
            if isinstance(slot, np.ndarray):
                tensor = None if value is None else self._edit.tensor(value)
                if value is None or tensor is None or not _same_constant(slot, tensor):
                    why = f"{name}: input {i} is not the constant {_short(slot.tolist())}"
                    self._note(len(found.nodes) + (tensor is not None), why)
                    return None
                if len(tensor.shape) > slot.ndim and self._widens(node, value, len(tensor.shape)):
                    self._note(
                        len(found.nodes) + 1, f"{name}: the constant's rank may be more than that of what it meets"
                    )
                    return None
                continue
            if value is None and not slot.optional:
                self._note(len(found.nodes), f"{name}: input {i} is absent")
                return None
            if found.values.setdefault(slot, value) is not value:
                self._note(len(found.nodes), f"{name}: input {i} is another tensor than elsewhere in the pattern")
                return None
            if slot.node is not None and slot.node not in found.nodes:
                producer = value.producer() if value is not None else None
                if producer is None or producer.graph is not node.graph:
                    self._note(len(found.nodes), f"{name}: input {i} does not come from a {slot.node.op_type}")
                    return None
                more.append((slot.node, producer))
        return more

    def _widens(self, node: ir.Node, constant: ir.Value, rank: int) -> bool:
        """Whether a constant of more dims than were written may give the result more than the pattern says."""
        others = [v for v in node.inputs if v is not None and v is not constant]
        declared = [None if v.shape is None else len(v.shape) for v in others]
        if any(r is not None and r >= rank for r in declared):
            return False
        if rank == 1 and None in declared:
            return False  # scalars are rare: inferring a whole graph to tell them is too dear
        dims = [self._edit.shapes.shape(v) for v in others]
        return not any(d is not None and len(d) >= rank for d in dims)

    def _note(self, depth: int, why: str) -> None:
        if depth > self._deepest or (depth == self._deepest and not self._why):
            self._deepest, self._why = depth, why

    def _absent(self, found: _Found) -> str:
        """Whether a node leaves out an output that the pattern gives."""
        for slot in self._pattern.outputs:
            value = found.values[slot]
            if (value is None or not value.name) and slot.node is not None:
                return f"{label(found.nodes[slot.node])}: output {slot.index}, which the pattern gives, is absent"
        return ""

    def _reader_outside(self, found: _Found) -> str:
        inside, given = set(found.nodes.values()), set(self._pattern.outputs)
        for step in self._pattern.steps:
            for slot in step.outputs:
                value = found.values[slot]
                if slot in given or value is None:
                    continue
                if value.is_graph_output():
                    return f"{value.name!r} inside the pattern is an output of the graph"
                for use in value.uses():
                    if use.node not in inside:
                        reader = use.node.name or use.node.op_type
                        return f"{value.name!r} inside the pattern is also read by {reader!r}"
        return ""

    def _way_round(self, found: _Found) -> str:
        """Whether a node lies between those of the match: to put all in one place would make a circle."""
        if self._order is None or not self._order.knows(found.nodes.values()):
            return ""
        node = self._order.between(found.nodes.values())
        return "" if node is None else f"{node.name or node.op_type!r} lies between two nodes of the pattern"


def _known(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value


def _producer(value: ir.Value) -> ir.Node:
    producer = value.producer()
    assert producer is not None
    return producer


def _commutes(step: Step) -> bool:
    return step.domain == "" and step.op_type in COMMUTATIVE


def _same_attribute(has: Any, wish: Any) -> bool:
    if isinstance(has, np.ndarray) or isinstance(wish, np.ndarray):
        return np.array_equal(has, wish)
    if isinstance(has, list) and isinstance(wish, list):
        return len(has) == len(wish) and all(map(_same_attribute, has, wish))
    if isinstance(has, float) or isinstance(wish, float):
        return has is not None and wish is not None and bool(np.float32(has) == np.float32(wish))
    return bool(has == wish)


def _same_constant(wish: np.ndarray, tensor: ir.TensorProtocol) -> bool:
    """Whether a constant has the value that was written, whatever its rank and dtype."""
    if wish.size != tensor.size or tensor.dtype == ir.DataType.STRING:
        return False
    has = tensor.numpy().reshape(wish.shape)
    if has.dtype.kind in "iub":
        return bool(np.array_equal(has, wish))
    with np.errstate(over="ignore"):
        near = wish.astype(has.dtype)
    return bool(np.array_equal(has.astype(np.float64), near.astype(np.float64), equal_nan=True))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
