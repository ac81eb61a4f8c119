"""Find the first tensor that differs between two models."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from surgery.equivalence.compare import Distance, Rule, distance
from surgery.equivalence.session import Failed, Session, Values
from surgery.equivalence.subject import Subject
from surgery.report import Difference

_CHUNK = 48  # tensors held at a time, of each model


def first_difference(
    before: Subject,
    after: Subject,
    feeds: Mapping[str, Any],
    feeds_after: Mapping[str, Any],
    rule: Rule,
    until: float,
) -> Difference | None:
    """The first tensor, in the order of `before`, that bears one name in both and differs.

    Tensors within If, Loop and Scan are left out. A pass that gives a changed value its old
    name is found out here, and named as the culprit.

    Args:
        before: one model.
        after: the other.
        feeds: inputs of `before` on which the results differ.
        feeds_after: the same by the names of `after`.
        rule: what counts as different.
        until: the time (`time.monotonic`) at which to give up.
    """
    makers_a = {name: node for node in before.proto.graph.node for name in node.output if name}
    makers_b = {name: node for node in after.proto.graph.node for name in node.output if name}
    common = [name for name in makers_a if name in makers_b]
    for start in range(0, len(common), _CHUNK):
        if time.monotonic() > until:
            return None
        names = common[start : start + _CHUNK]
        a, b = fetch(before, feeds, names), fetch(after, feeds_after, names)
        for name in names:
            if name in a and name in b and not (gap := distance(a[name], b[name], rule)).ok:
                return _difference(name, gap, before, after, makers_a[name], makers_b[name])
    return None


def where_it_stops(before: Subject, after: Subject, node: str) -> Difference | None:
    """The place at which `after` does not run: the output of its node `node`, by the name in the copy."""
    failed = next((n for n in after.proto.graph.node if n.name == node and n.output), None)
    if failed is None:
        return None
    name = failed.output[0]
    maker = next((n for n in before.proto.graph.node if name in n.output), None)
    was = "" if maker is None else f"{maker.op_type} {before.explain(maker.name)}"
    where = after.explain(failed.name)
    return Difference(name, where, float("inf"), before=was, after=f"{failed.op_type} {where}: it does not run")


def _difference(name: str, gap: Distance, before: Subject, after: Subject, node_a: Any, node_b: Any) -> Difference:
    where = before.explain(node_a.name)
    return Difference(
        name,
        where,
        gap.max_abs,
        before=f"{node_a.op_type} {where}",
        after=f"{node_b.op_type} {after.explain(node_b.name)}" + (f": {gap.why}" if gap.structural else ""),
    )


def fetch(subject: Subject, feeds: Mapping[str, Any], names: list[str]) -> Values:
    """The tensors `names`, those left out that can't be had: of a type that numpy lacks, for one."""
    try:
        return Session(subject, names, only=True).run(feeds, names)
    except Failed:
        if len(names) == 1:
            return {}
        half = len(names) // 2
        return {**fetch(subject, feeds, names[:half]), **fetch(subject, feeds, names[half:])}
