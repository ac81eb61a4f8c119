"""The graphs of a model: its own, those of its functions, and those within nodes."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir


def graphs(model: ir.Model) -> Iterator[ir.Graph]:
    """The main graph, the bodies of functions, and every sub-graph within, outermost first."""
    for root in (model.graph, *(f.graph for f in model.functions.values())):
        yield from _within(root)


def _within(graph: ir.Graph) -> Iterator[ir.Graph]:
    yield graph
    for node in graph:
        if node.attributes:
            for inner in subgraphs(node):
                yield from _within(inner)


def functions(model: ir.Model) -> dict[ir.Graph, ir.Function]:
    """Every graph inside a function, its body among them, with the function that it is in."""
    return {g: function for function in model.functions.values() for g in _within(function.graph)}


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """The graphs in a node's attributes."""
    # Four times as fast as Graph.subgraphs() of onnx-ir 1.1 where, as nearly always, there are none.
    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        kind = attribute.type.value
        if kind == onnx.AttributeProto.GRAPH and not attribute.is_ref():
            found.append(attribute.value)
        elif kind == onnx.AttributeProto.GRAPHS and not attribute.is_ref():
            found.extend(attribute.value)
    return found


def inner(node: ir.Node) -> Iterator[ir.Graph]:
    """The sub-graphs of a node, and theirs."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
            yield from attribute.as_graph().subgraphs()
        elif attribute.type == ir.AttributeType.GRAPHS:
            for graph in attribute.as_graphs():
                yield graph
                yield from graph.subgraphs()
