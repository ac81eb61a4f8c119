"""Find nodes and tensors of a model by what people call them; where there is none, say what there is."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from surgery.errors import BadInput
from surgery.nested import graphs

if TYPE_CHECKING:
    import onnx_ir as ir

_SHOWN = 8  # names in an error


def find_nodes(model: ir.Model, pattern: str) -> list[ir.Node]:
    """The nodes that `pattern` names, sub-graphs and functions included, in order.

    Args:
        model: the model.
        pattern: a name of a node or an output, or an operator; ``*``, ``?`` and ``[...]`` as in names of files.

    Raises:
        BadInput: there are none; the message has the closest names.
    """
    matches = re.compile(fnmatch.translate(pattern)).match
    nodes = [node for graph in graphs(model) for node in graph]
    exact = [node for node in nodes if pattern in (node.name, *(v.name for v in node.outputs))]
    found = exact or [node for node in nodes if any(matches(name) for name in _names(node) if name)]
    if not found:
        raise missing("node", pattern, (name for node in nodes for name in _names(node)[:2]))
    return found


def find_tensor(model: ir.Model, name: str) -> ir.Value:
    """The tensor of that name: an input, a weight, or what a node makes; the main graph's first.

    Raises:
        BadInput: there is none; the message has the closest names.
    """
    found = tensors(model)
    if name not in found:
        raise missing("tensor", name, found)
    return found[name]


def tensors(model: ir.Model) -> dict[str, ir.Value]:
    """Every tensor by its name."""
    found: dict[str, ir.Value] = {}
    for graph in graphs(model):
        made = (v for node in graph for v in node.outputs)
        for value in (*graph.inputs, *graph.initializers.values(), *made):
            if value.name:
                found.setdefault(value.name, value)
    return found


def missing(kind: str, name: str, known: Iterable[str | None], where: str = "") -> BadInput:
    """An error that says what there is, the closest names first.

    Args:
        kind: what was looked for, as "tensor".
        name: the name that was given.
        known: the names that there are.
        where: the node that it was looked for in.
    """
    names = list(dict.fromkeys(n for n in known if n))
    close = difflib.get_close_matches(name, names, _SHOWN, cutoff=0.5)
    shown = [*close, *(n for n in names if n not in close)][:_SHOWN]
    more = f" and {len(names) - len(shown)} more ('surgery inspect' shows the model)" if len(names) > len(shown) else ""
    cure = f"there is: {', '.join(shown)}{more}" if shown else "there is none"
    return BadInput(f"there is no {kind} {name!r}", where=where, cure=cure)


def _names(node: ir.Node) -> list[str | None]:
    return [node.name, *(v.name for v in node.outputs), node.op_type, f"{node.domain}::{node.op_type}"]
