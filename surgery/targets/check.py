"""Hold a model against the rules of a target, node by node."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.targets import choose
from surgery.targets.finding import Finding
from surgery.targets.rule import Chosen, Rule

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def check(model: str | Path | ir.Model | onnx.ModelProto, target: str | Chosen) -> list[Finding]:
    """What a target would refuse, compute wrongly, or slowly.

    Args:
        model: a path, an ``onnx_ir.Model`` or a ``ModelProto``; it is not changed.
        target: ``atc:version=8.0,soc=Ascend310P3``; without a version, the newest that is known.

    Returns:
        The findings in the order of the graph, those of the model as a whole first.

    Raises:
        BadInput: the model can't be read, or there is no such target, version or option.
    """
    chosen = choose(target) if isinstance(target, str) else target
    proto = _proto(model)
    return [*_whole(proto, chosen), *_nodes(proto, chosen)]


def _proto(model: Any) -> onnx.ModelProto:
    if isinstance(model, (str, os.PathLike)):
        from surgery.reading import read_proto

        return read_proto(model)
    import onnx

    if isinstance(model, onnx.ModelProto):
        return model
    from surgery.model import skeleton

    return skeleton(model)


def _whole(proto: onnx.ModelProto, chosen: Chosen) -> list[Finding]:
    """Findings of the model as a whole, and of its inputs and outputs."""
    from surgery.targets.conditions import PLAIN, holds
    from surgery.targets.interface import negative_dims, ports

    found = []
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)
    accepted = chosen.opset_range()
    if accepted is not None and not accepted.low <= opset <= accepted.high:
        found.append(
            Finding(
                str(chosen),
                "opset",
                f"opset {opset}",
                "model",
                "refused",
                f"opsets {accepted.low} to {accepted.high} are accepted",
                ("opset",),
                accepted.source,
            )
        )
    inputs, outputs = ports(proto)
    words: dict[str, Any] = {**_shared(proto, chosen), "opset": opset, "negative_dims": negative_dims(proto)}
    words["alone"] = len(inputs) == 1
    words["float32"] = any(port["dtype"] == "float32" for port in inputs)
    for rule in chosen.rules():
        named = {"model": [{"name": proto.graph.name or "model"}], "input": inputs, "output": outputs}
        for port in named.get(rule.on, ()):
            if holds(rule.when, {**PLAIN, **words, **port}):
                found.append(_finding(chosen, rule, port["name"], rule.on))
    return found


def _nodes(proto: onnx.ModelProto, chosen: Chosen) -> list[Finding]:
    from surgery.targets.conditions import holds
    from surgery.targets.places import places

    by_operator: dict[str, list[Rule]] = defaultdict(list)
    for rule in chosen.rules():
        for operator in rule.on.split():
            by_operator[operator].append(rule)
    found = []
    shared = _shared(proto, chosen)
    for place in places(proto):
        rules = [*by_operator["*"], *by_operator[place.node.op_type]]
        if not rules or (chosen.target.folds and place.folded):
            continue
        names = place.names(shared)
        for rule in rules:
            standard = not names["domain"]
            if (standard or rule.on == "*") and holds(rule.when, names):
                found.append(_finding(chosen, rule, place.name, place.node.op_type))
    return found


def _shared(proto: onnx.ModelProto, chosen: Chosen) -> dict[str, Any]:
    """Words that mean the same wherever a condition is held."""
    return {**chosen.options, "operators": {node.op_type for node in proto.graph.node}}


def _finding(chosen: Chosen, rule: Rule, node: str, operator: str) -> Finding:
    return Finding(str(chosen), rule.id, node, operator, rule.happens, rule.why, rule.cures, rule.source)
