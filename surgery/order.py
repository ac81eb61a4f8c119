"""The order of a graph's nodes, kept while several of them are replaced at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from surgery.nested import inner

if TYPE_CHECKING:
    from collections.abc import Collection


def read(node: ir.Node) -> list[ir.Value]:
    """What a node reads, also within its sub-graphs, of what lies outside them."""
    found = [value for value in node.inputs if value is not None]
    graphs = set(inner(node))
    for graph in graphs:
        found += [v for n in graph for v in n.inputs if v is not None and v.graph not in graphs]
        found += [v for v in graph.outputs if v.graph not in graphs]
    return found


class Order:
    """The places of the nodes of a sorted graph.

    Patterns of several outputs need it: their nodes may stand apart, with readers of the
    first between them. Nodes that come in later have no place.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._places: dict[ir.Node, tuple[int, ...]] = {node: (i,) for i, node in enumerate(graph)}
        self._owners = {g: node for node in self._places if node.attributes for g in inner(node)}

    def knows(self, nodes: Collection[ir.Node]) -> bool:
        """Whether all of `nodes` have a place."""
        return all(node in self._places for node in nodes)

    def last(self, nodes: Collection[ir.Node]) -> ir.Node:
        """The one of `nodes` that stands last."""
        return max(nodes, key=self._places.__getitem__)

    def between(self, nodes: Collection[ir.Node]) -> ir.Node | None:
        """A node that needs one of `nodes` and is needed by another; None if there is none."""
        inside, first = set(nodes), min(self._places[node] for node in nodes)
        stack, seen = list(inside), set(inside)
        while stack:
            node = stack.pop()
            for value in read(node):
                producer = value.producer()
                if producer is None or producer.graph is not self._graph:
                    continue
                if producer in inside:
                    if node not in inside:
                        return node
                elif producer not in seen and self._places.get(producer, first) >= first:
                    seen.add(producer)
                    stack.append(producer)
        return None

    def make_room(self, nodes: Collection[ir.Node]) -> ir.Node:
        """Move what needs any of `nodes` behind the last of them, which is returned."""
        last = self.last(nodes)
        behind = self._places[last]
        moving: set[ir.Node] = set()
        stack = list(nodes)
        while stack:
            for value in stack.pop().outputs:
                for use in value.uses():
                    reader = use.node
                    if reader.graph is not self._graph and reader.graph is not None:
                        reader = self._owners.get(reader.graph, reader)
                    if reader not in moving and reader not in nodes and self._places.get(reader, behind) < behind:
                        moving.add(reader)
                        stack.append(reader)
        moved = sorted(moving, key=self._places.__getitem__)
        self._graph.remove(moved)
        self._graph.insert_after(last, moved)
        for i, node in enumerate(moved):
            self._places[node] = (*behind, i)
        return last
