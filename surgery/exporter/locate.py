"""Find the first module whose result the exported model does not have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from surgery.equivalence.compare import Rule, distance
from surgery.equivalence.session import Failed, Session
from surgery.equivalence.subject import Subject
from surgery.exporter.inputs import Case, array, flat, kept
from surgery.report import Difference

if TYPE_CHECKING:
    import torch

LIMIT = 1 << 30  # bytes of results that are held


def first_difference(path: Path, module: torch.nn.Module, case: Case, rule: Rule) -> Difference | None:
    """The first module, in the order in which they end, whose result no tensor of the model has.

    An exporter folds a BatchNormalization into the Conv before it, whose own result is then gone
    though nothing is wrong. So a module alone does not count: the one that ends after it must
    lack its result, too.

    Args:
        path: of the exported model.
        module: what it was exported from.
        case: inputs on which the two differ.
        rule: what counts as different.
    """
    subject = Subject.read(path)
    nodes = {name: node for node in subject.proto.graph.node for name in node.output if name}
    values = _fetch(subject, case.arrays(), list(nodes))
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            by_shape.setdefault(value.shape, []).append(name)

    missing: list[tuple[str, float, str]] = []
    for name, truth in _results(module, case):
        gaps = {other: distance(truth, values[other], rule) for other in by_shape.get(truth.shape, ())}
        if any(gap.ok for gap in gaps.values()):
            missing = []
            continue
        nearest = min(gaps, key=lambda other: gaps[other].max_abs, default="")
        missing.append((name, gaps[nearest].max_abs if nearest else float("inf"), nearest))
        if len(missing) == 2:
            break
    if not missing:
        return None
    name, gap, nearest = missing[0]
    node = _of_scope(subject, name) or nodes.get(nearest)
    after = f"{node.op_type} {subject.explain(node.name)}" if node is not None else "no node of this module"
    kind = type(module.get_submodule(name)).__name__
    return Difference(name or kind, name, gap, before=f"module {name} ({kind})", after=after)


def _results(module: torch.nn.Module, case: Case) -> list[tuple[str, np.ndarray]]:
    """What each sub-module gives, in the order in which they end; of several tensors the first."""
    import torch

    found: list[tuple[str, np.ndarray]] = []
    held = 0

    def keep(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            nonlocal held
            tensors = [t for t in flat(output) if isinstance(t, torch.Tensor)]
            if tensors and tensors[0].is_floating_point() and held < LIMIT:
                found.append((name, array(tensors[0]).copy()))
                held += found[-1][1].nbytes

        return hook

    hooks = [part.register_forward_hook(keep(name)) for name, part in module.named_modules()]
    try:
        args, kwargs = case.arguments()
        with torch.no_grad(), kept(module):
            module(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _of_scope(subject: Subject, name: str) -> onnx.NodeProto | None:
    """The last node that the exporter named after a module: /neck/reduce/reduce.0/Conv for neck.reduce.0."""
    scope = name.rpartition(".")[0].replace(".", "/")
    node: onnx.NodeProto
    for node in reversed(subject.proto.graph.node):
        label = subject.explain(node.name)
        metadata = {p.key: p.value for p in node.metadata_props}
        if f"/{name}/" in label or (scope and f"/{name.rpartition('.')[2]}/" in label and f"/{scope}" in label):
            return node
        if f"'{name}'" in metadata.get("pkg.torch.onnx.name_scopes", ""):
            return node
    return None


def _fetch(subject: Subject, feeds: Mapping[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    taken = {port.name for port in subject.inputs}
    try:
        return Session(subject, names).run({name: value for name, value in feeds.items() if name in taken})
    except Failed:
        return {}
