"""Tell rounding that a model amplifies from a fault.

Where a result meets Floor, a Cast to integers, 1/(y - 0.5), the last bit decides, and two right
models differ by far. So the difference is followed from the output towards the inputs, until
tensors are met that agree in both models. From these, as the model *after* has them, the model
*before* is run on. Does it come to the output of the model after, then both are right: up to
there they agree, and from there on they compute the same. A fault before that point moves these
tensors, and one behind it shows in the comparison.

Tensors pair by name, or by what reads them: an optimizer that folds two nodes into one leaves a
tensor without its name, but not its reader without an operand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from surgery.equivalence.compare import Rule, distance, slices
from surgery.equivalence.locate import fetch
from surgery.equivalence.pairing import Pairs, renamed
from surgery.equivalence.probes import Case
from surgery.equivalence.session import Failed, Session, Values
from surgery.equivalence.subject import Subject
from surgery.protos import reads

_AHEAD = (16, 64, 192)  # tensors fetched at a time, of each model
_STEPS = {
    "Round", "Floor", "Ceil", "Sign", "ArgMax", "ArgMin", "TopK", "Equal", "Less", "LessOrEqual", "Greater",
    "GreaterOrEqual", "QuantizeLinear", "DynamicQuantizeLinear", "NonMaxSuppression", "Hardmax", "Unique",
    "NonZero", "Mod", "Where", "Cast", "If", "Loop", "Scan",
}  # fmt: skip
_BITS = 2.0**-23  # a move of the last bit of a float32, relative


@dataclass
class Amplified:
    """Explains differences between two models, as far as rounding does.

    Args:
        before: the model before.
        after: the model after.
        pairs: what belongs to what.
        rule: what may differ.
        left: how many seconds there are, at any moment.
    """

    before: Subject
    after: Subject
    pairs: Pairs
    rule: Rule
    left: Callable[[], float]
    _makers: tuple[dict[str, onnx.NodeProto], dict[str, onnx.NodeProto]] = field(init=False)

    def __post_init__(self) -> None:
        graphs = (self.before.proto.graph, self.after.proto.graph)
        self._makers = tuple({name: n for n in g.node for name in n.output if name} for g in graphs)  # type: ignore[assignment]

    def explain(self, case: Case, ours: str, theirs: str, value: Any) -> str:
        """Where the rounding is that explains a difference, in words; "" if nothing was found to.

        Args:
            case: the probe.
            ours: the tensor that differs, in the model before.
            theirs: its counterpart in the model after.
            value: what the model after gave for it.
        """
        if self.rule.exact or self.before.random or self.after.random or not isinstance(value, np.ndarray):
            return ""
        walk = _Walk(self, case, ours, theirs)
        with contextlib.suppress(MemoryError):
            for most in _AHEAD:
                if self.left() < 1:
                    break
                walk.fetch(most)
                if walk.settled():
                    return walk.judge(value)
        return ""

    def agree(self, a: Any, b: Any) -> bool:
        """Whether two tensors are the same up to rounding: by their largest element, and in every slice."""
        gap = distance(a, b, replace(self.rule, rtol=0.0) if self.rule.scale else self.rule)
        return gap.ok and not slices(a, b, self.rule)


class _Walk:
    """From one tensor towards the inputs."""

    def __init__(self, models: Amplified, case: Case, ours: str, theirs: str) -> None:
        self.models = models
        self.start = (ours, theirs)
        self.feeds = (case.feeds, renamed(case.feeds, models.pairs))
        via = {port.name: port.via for port in models.before.inputs}
        self.given: Values = {via[name]: value for name, value in case.feeds.items()}
        self.values: tuple[Values, Values] = ({}, {})
        self.asked: tuple[set[str], set[str]] = (set(), set())
        self.cone: set[str] = set()  # names of nodes
        self.border: Values = {}
        self.inner: list[str] = []  # of the border, what is no input of the model

    def fetch(self, most: int) -> None:
        """Fetch the values of tensors that may be met next, at most that many."""
        wanted: tuple[dict[str, None], dict[str, None]] = ({}, {})
        todo, seen = [self.start], {self.start[0]}
        while todo and len(wanted[0]) < most:
            ours, theirs = todo.pop(0)
            for source, partners in self._operands(ours, theirs):
                if source in seen:
                    continue
                seen.add(source)
                if partners:
                    wanted[0][source] = None
                    wanted[1].update(dict.fromkeys(partners))
                if not self._border(source, partners):
                    todo.append((source, partners[0] if partners else ""))
        for values, asked, names, subject, feeds in zip(
            self.values, self.asked, wanted, (self.models.before, self.models.after), self.feeds, strict=True
        ):
            if new := [name for name in names if name not in asked]:
                asked.update(new)
                values.update(fetch(subject, feeds, new))

    def settled(self) -> bool:
        """Walk; whether all that was met could be looked at."""
        self.cone, self.border, self.inner = set(), dict(self.given), []
        todo, seen = [self.start], {self.start[0]}
        while todo:
            ours, theirs = todo.pop()
            node = self.models._makers[0].get(ours)
            if node is None:
                continue
            self.cone.add(node.name)
            for source, partners in self._operands(ours, theirs):
                if source in seen:
                    continue
                seen.add(source)
                if partners and source not in self.asked[0]:
                    return False
                found = self._border(source, partners)
                if found:
                    self.border[source] = self.values[1][found]
                    self.inner.append(source)
                else:
                    todo.append((source, partners[0] if partners else ""))
        return True

    def judge(self, value: np.ndarray) -> str:
        """Run the model before from the border on."""
        if not self.inner:
            return ""
        before, rule = self.models.before, self.models.rule
        nodes = [node for node in before.proto.graph.node if node.name in self.cone]
        needed = {name for node in nodes for name in reads(node)}
        fed = {name: v for name, v in self.border.items() if name in needed}
        try:
            ports = [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.asarray(v).dtype), None)
                for n, v in fed.items()
            ]
            session = Session(Subject(before.path, before.part(nodes, ports), labels=before.labels), [self.start[0]])
            again = session.run(fed, [self.start[0]])[self.start[0]]
            if not (distance(again, value, rule).ok and not slices(again, value, rule)) and not (
                _STEPS.isdisjoint(node.op_type for node in nodes) and _within_noise(session, self.start[0], fed, value)
            ):
                return ""
        except (Failed, TypeError, KeyError, ValueError):  # a type that can't be fed
            return ""
        return f"rounding up to {self.inner[0]!r}, which the model itself amplifies: from there both compute the same"

    def _operands(self, ours: str, theirs: str) -> Iterator[tuple[str, list[str]]]:
        """What the node reads that makes a tensor, weights aside, each with what it may be in the model after."""
        makers = self.models._makers
        node, other = makers[0].get(ours), makers[1].get(theirs)
        if node is None:
            return
        alike = other is not None and other.op_type == node.op_type and len(other.input) == len(node.input)
        aligned = dict(zip(node.input, other.input, strict=True)) if alike and other else {}
        for source in dict.fromkeys(reads(node)):
            if source in makers[0]:
                partners = dict.fromkeys(name for name in (aligned.get(source, ""), source) if name in makers[1])
                yield source, list(partners)

    def _border(self, source: str, partners: list[str]) -> str:
        """Which partner agrees, as far as values are known; or ""."""
        a = self.values[0].get(source)
        for name in partners:
            b = self.values[1].get(name)
            if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and self.models.agree(a, b):
                return name
        return ""


def _within_noise(session: Session, name: str, fed: Mapping[str, Any], value: np.ndarray) -> bool:
    """Whether `value` is no further off than moves of the last bit of what is fed take the result."""
    sound = session.run(fed, [name])[name]
    if sound.shape != value.shape or sound.dtype != value.dtype or sound.dtype.kind != "f":
        return False
    noise = np.zeros(sound.shape)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        moved = session.run({n: _jog(v, rng) for n, v in fed.items()}, [name])[name]
        with np.errstate(invalid="ignore"):
            noise = np.fmax(noise, np.abs(moved.astype(np.float64) - sound))
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(value.astype(np.float64) - sound) <= 8 * noise + 4 * _BITS * np.abs(sound)
    return bool((near | (value == sound) | (np.isnan(value) & np.isnan(sound))).all())


def _jog(value: Any, rng: np.random.Generator) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return np.asarray(value * (1 + _BITS * (rng.integers(0, 2, value.shape) * 2 - 1)), value.dtype)
