"""The pytest fixture `assert_rewrite`: what a pass does, as ONNX text before and after.

Put ``pytest_plugins = ["surgery.testing"]`` into the ``conftest.py`` at the root of the tests:

    def test_spells_it_out(assert_rewrite):
        assert_rewrite(
            HardSwish(),
            before="(float[n, 4] x) => (float[n, 4] y) { y = HardSwish (x) }",
            after=\"\"\"(float[n, 4] x) => (float[n, 4] y) {
                gate = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)
                y = Mul (x, gate)
            }\"\"\",
        )

The text is that of ``onnx.parser``. It may begin with the inputs, as here; the graph's name
and the header with the versions are then put in front. A constant may be written as an
initializer or as a ``Constant`` node, whatever the pass made of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx.parser
import onnx.printer
import pytest
from onnx import AttributeProto, helper, numpy_helper

from surgery.contract import Changes, Exact
from surgery.errors import Refused
from surgery.passes import run_pass
from surgery.report import PassReport

if TYPE_CHECKING:
    from surgery.authoring import Pass

__all__ = ["assert_rewrite", "check_rewrite", "parse"]


@pytest.fixture
def assert_rewrite() -> Callable[..., None]:
    """`check_rewrite`, as a fixture."""
    return check_rewrite


def check_rewrite(
    one: Pass,
    before: str | onnx.ModelProto,
    after: str | onnx.ModelProto | None = None,
    *,
    skips: str = "",
    refuses: str = "",
    opset: int | Mapping[str, int] = 17,
    ir_version: int = 8,
    verify: bool = True,
) -> None:
    """Assert what a pass does to a model.

    With `after`: the graph is that, up to the names of inner tensors and nodes; the full
    checker finds no fault; the contract holds on seeded inputs of several sizes; a second
    run changes nothing. With `skips` or `refuses`: the reason holds that text, and the model
    is as it was.

    Args:
        one: the pass.
        before: the model.
        after: what it becomes.
        skips: part of the reason why a place is left as it is.
        refuses: part of what the pass refuses with.
        opset: of a text without header; several domains as a mapping.
        ir_version: of a text without header.
        verify: whether to run both models; False where no runtime loads the one before.
    """
    old = parse(before, opset, ir_version)
    if refuses:
        with pytest.raises(Refused) as caught:
            _run(one, old)
        assert refuses in str(caught.value), f"it refuses with another reason:\n{caught.value}"
        return
    new, report = _run(one, old)
    if skips:
        reasons = [skip.why for skip in report.skipped]
        assert any(skips in why for why in reasons), f"{skips!r} is not among the reasons: {reasons}"
        after = old if after is None else after
    if after is None:
        raise TypeError("say what comes of it: after=, skips= or refuses=")
    wanted = parse(after, opset, ir_version)
    why = difference(new, wanted)
    if why:
        raise AssertionError(f"{why}\n\ncame out:\n{_text(new)}\n\nwanted:\n{_text(wanted)}")
    if report.places:
        onnx.checker.check_model(new, full_check=True)
        if verify:
            _verify(one, old, new)
    again, second = _run(one, new)
    why = difference(again, new)
    assert not second.places and not why, f"a second run changes it again: {why}\n\n{_text(again)}"


def parse(text: str | onnx.ModelProto, opset: int | Mapping[str, int] = 17, ir_version: int = 8) -> onnx.ModelProto:
    """A model from ONNX text, which may begin with the inputs of the graph."""
    if isinstance(text, onnx.ModelProto):
        return text
    text = text.strip()
    if not text.startswith("<"):
        imports = {"": opset} if isinstance(opset, int) else opset
        versions = ", ".join(f'"{domain}" : {version}' for domain, version in imports.items())
        name = "graph " if text.startswith("(") else ""
        text = f"<ir_version: {ir_version}, opset_import: [{versions}]>\n{name}{text}"
    model: onnx.ModelProto = onnx.parser.parse_model(text)
    return model


def difference(one: onnx.ModelProto, other: onnx.ModelProto) -> str:
    """Where two models differ, up to the names of inner tensors and nodes; empty if they do not."""
    for field in ("input", "output"):
        ours, theirs = ([_signature(v) for v in getattr(m.graph, field)] for m in (one, other))
        if ours != theirs:
            return f"the {field}s differ: {ours} and {theirs}"
    versions = [{o.domain or "ai.onnx": o.version for o in m.opset_import} for m in (one, other)]
    if versions[0].get("ai.onnx") != versions[1].get("ai.onnx"):
        return f"the opsets differ: {versions[0]} and {versions[1]}"
    defaults = versions[0]
    why = _Pair(one.graph, other.graph, defaults).difference()
    functions = [{(f.domain, f.name, f.overload): f for f in m.functions} for m in (one, other)]
    if not why and functions[0].keys() != functions[1].keys():
        why = f"the functions differ: {sorted(functions[0])} and {sorted(functions[1])}"
    for key in functions[0] if not why else ():
        ours_, theirs_ = functions[0][key], functions[1][key]
        why = why or _Pair(_body(ours_), _body(theirs_), defaults).difference()
    return why


class _Pair:
    """Two graphs, walked side by side from their outputs.

    Args:
        one: a graph.
        other: another.
        versions: the opsets, for the defaults of attributes.
        outer: what stands for what in the graphs around them.
    """

    def __init__(
        self,
        one: onnx.GraphProto,
        other: onnx.GraphProto,
        versions: Mapping[str, int],
        outer: Mapping[str, str] | None = None,
    ) -> None:
        self.graphs = one, other
        self.versions = versions
        self.inner = outer is not None
        self.same: dict[str, str] = dict(outer or {})
        self.same.update(zip((v.name for v in one.input), (v.name for v in other.input), strict=False))
        self.makers = [{name: n for n in g.node for name in n.output if name} for g in self.graphs]
        self.constants = [_constants(g) for g in self.graphs]
        self.outside: list[tuple[str, str]] = []  # what is read from the graphs around

    def difference(self) -> str:
        one, other = self.graphs
        if len(one.input) != len(other.input) or len(one.output) != len(other.output):
            return "a graph has another number of inputs or outputs"
        for a, b in zip(one.output, other.output, strict=True):
            if why := self.values(a.name, b.name):
                return why
        counts = [sum(n.op_type != "Constant" for n in g.node) for g in self.graphs]
        return f"there are {counts[0]} nodes, where {counts[1]} were wanted" if counts[0] != counts[1] else ""

    def values(self, a: str, b: str) -> str:
        """Compare two tensors, and what they are made of."""
        stack = [(a, b)]
        while stack:
            a, b = stack.pop()
            if a == b == "":  # an input that both leave out
                continue
            if self.same.get(a) == b:
                continue
            if a in self.same:
                return f"{a!r} stands for {self.same[a]!r} and for {b!r}"
            ours, theirs = self.constants[0].get(a), self.constants[1].get(b)
            if ours is not None or theirs is not None:
                if ours != theirs:
                    return f"{a!r} is {_show(ours)}, where {b!r} is {_show(theirs)}"
                self.same[a] = b
                continue
            one, other = self.makers[0].get(a), self.makers[1].get(b)
            if one is None and other is None and self.inner:
                self.outside.append((a, b))
                continue
            if one is None or other is None:
                return f"{a!r} is not {b!r}"
            if why := self.nodes(one, other, stack):
                return why
            for x, y in zip(one.output, other.output, strict=True):
                self.same[x] = y
            if self.same.get(a) != b:
                return f"{a!r} is another output of {one.op_type} than {b!r}"
            stack += zip(one.input, other.input, strict=True)
        return ""

    def nodes(self, one: onnx.NodeProto, other: onnx.NodeProto, more: list[tuple[str, str]]) -> str:
        """Compare two nodes by themselves; `more` gets what their sub-graphs read."""
        if (one.domain, one.op_type) != (other.domain, other.op_type):
            return f"{one.output[0]!r} comes from {one.op_type}, where {other.op_type} was wanted"
        where = f"{one.op_type} ({one.output[0]!r})"
        for field in ("input", "output"):
            present = [[bool(name) for name in getattr(n, field)] for n in (one, other)]
            if present[0] != present[1]:
                return f"{where} has other {field}s: {getattr(one, field)} and {getattr(other, field)}"
        ours, theirs = (_attributes(n, self.versions) for n in (one, other))
        if ours.keys() != theirs.keys():
            return f"{where} has the attributes {sorted(ours)}, where {sorted(theirs)} were wanted"
        for name, value in ours.items():
            wish = theirs[name]
            if isinstance(value, onnx.GraphProto) and isinstance(wish, onnx.GraphProto):
                inner = _Pair(value, wish, self.versions, self.same)
                if why := inner.difference():
                    return f"{name} of {where}: {why}"
                more += inner.outside
            elif value != wish:
                return f"{name} of {where} is {_show(value)}, where {_show(wish)} was wanted"
        return ""


def _attributes(node: onnx.NodeProto, versions: Mapping[str, int]) -> dict[str, Any]:
    """The attributes in a form that compares, with the schema's defaults."""
    found = {}
    try:
        known = onnx.defs.get_schema(node.op_type, versions.get(node.domain or "ai.onnx", 1), node.domain)
        found = {
            name: _plain(attribute.default_value)
            for name, attribute in known.attributes.items()
            if attribute.default_value.type != AttributeProto.UNDEFINED
        }
    except onnx.defs.SchemaError:
        pass
    return found | {a.name: ("@", a.ref_attr_name) if a.ref_attr_name else _plain(a) for a in node.attribute}


def _plain(attribute: AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return _content(value)
    if isinstance(value, (str, bytes, int, float, onnx.GraphProto)):
        return value
    return [v if isinstance(v, (str, bytes, int, float)) else v.SerializeToString() for v in value]


def _content(tensor: onnx.TensorProto) -> tuple[Any, ...]:
    array = numpy_helper.to_array(tensor)
    return tensor.data_type, array.shape, array.tolist() if array.dtype == object else array.tobytes()


def _constants(graph: onnx.GraphProto) -> dict[str, tuple[Any, ...]]:
    inputs = {v.name for v in graph.input}
    found = {t.name: _content(t) for t in graph.initializer if t.name not in inputs}
    for node in graph.node:
        if node.op_type == "Constant" and not any(a.ref_attr_name for a in node.attribute):
            (attribute,) = node.attribute
            value = helper.get_attribute_value(attribute)
            if not isinstance(value, onnx.TensorProto):
                floats = attribute.name.startswith("value_float")
                value = numpy_helper.from_array(_array(value, floats))
            found[node.output[0]] = _content(value)
    return found


def _array(value: Any, floats: bool) -> Any:
    import numpy as np

    return np.asarray(value, np.float32 if floats else None)


def _body(function: onnx.FunctionProto) -> onnx.GraphProto:
    names: Iterable[Iterable[str]] = (function.input, function.output)
    inputs, outputs = ([onnx.ValueInfoProto(name=name) for name in some] for some in names)
    return onnx.GraphProto(node=function.node, input=inputs, output=outputs)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, bytes]:
    return value.name, value.type.SerializeToString(deterministic=True)


def _show(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 3:
        return f"a constant of type {onnx.TensorProto.DataType.Name(value[0])} and shape {list(value[1])}"
    return "no constant" if value is None else repr(value)


def _text(model: onnx.ModelProto) -> str:
    return str(onnx.printer.to_text(model))


def _run(one: Pass, proto: onnx.ModelProto) -> tuple[onnx.ModelProto, PassReport]:
    """Run the pass on a copy."""
    import onnx_ir as ir

    from surgery.model import from_proto

    whole = proto.SerializeToString(deterministic=True)
    model, report = run_pass(from_proto(proto), one)
    assert proto.SerializeToString(deterministic=True) == whole, "the model that was given has changed"
    return ir.to_proto(model), report


def _verify(one: Pass, old: onnx.ModelProto, new: onnx.ModelProto) -> None:
    from surgery.equivalence import Verifier

    with tempfile.TemporaryDirectory(prefix="surgery-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(old, before)
        onnx.save(new, after)
        with Verifier(before) as verifier:
            verdict = verifier.compare(
                after,
                exact=isinstance(one.contract, Exact),
                changes=isinstance(one.contract, Changes),
                interface=frozenset(one.interface),
            )
    assert verdict.ok, f"the contract ({one.contract}) does not hold:\n{verdict}"
