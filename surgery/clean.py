"""Take out of a model what does nothing, and fold what is constant, without growing the file.

    tidy(model)    identities, dead nodes, equal constants, constant arithmetic; bit for bit

Each step walks the model once. Weights stay where they are: a constant is read only if
another could be equal to it, or if it is computed on, and none is copied.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import onnx_ir as ir

from surgery import fold
from surgery.edit import Edit
from surgery.nested import functions, graphs

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGE = 1024  # bytes; nodes that read the same weight of this size are folded together or not at all
_PREFIX = 64  # values that tell most constants apart
_NAME = 16  # bytes that a stored constant takes beside its name and its data
_CONSTANT = len("Constant") + len("value") + 9  # bytes by which a node that holds a constant takes more, at least
_Key = tuple[object, ...]
_Tensors = dict[ir.Value, ir.TensorProtocol]


def tidy(model: ir.Model, room: int = 0) -> int:
    """Remove identities and dead nodes, share equal constants, fold constant nodes.

    Inputs and outputs keep their names, types and order. As much is folded as leaves the model no
    larger than it was. In the main graph, ``Constant`` nodes become initializers.

    Args:
        model: edited in place, sub-graphs and functions too.
        room: bytes by which it may get larger.

    Returns:
        How many nodes and constants went or moved; 0 if nothing changed.
    """
    work = _Tidy(model, room)
    work.drop_identities()
    work.drop_dead()
    work.share()
    if work.fold():
        work.drop_dead()
        work.share()
    return work.gone


def drop_dead(model: ir.Model) -> int:
    """Remove nodes, and initializers, that no output depends on; the number of both."""
    work = _Tidy(model)
    work.drop_dead()
    return work.gone


class _Tidy:
    """The work on one model. ``gone`` counts nodes and constants, ``saved`` the bytes that the file is smaller."""

    def __init__(self, model: ir.Model, room: int = 0) -> None:
        self.model = model
        self.gone, self.saved = 0, room
        self._edit = Edit(model, "cleanup")
        self._noted = _annotating(model)
        self._lifts = (model.ir_version or 4) >= 4  # before, an initializer had to be an input as well

    # --------------------------------------------------------------------- identities

    def drop_identities(self) -> None:
        inside = functions(self.model)
        for graph in list(graphs(self.model)):
            version = inside.get(graph, self.model).opset_imports.get("", 1)
            for node in list(graph):
                source = self._identical(node, version)
                if source is not None and _pass_by(node, source):
                    self._count(node)
                    graph.remove(node, safe=True)

    def _identical(self, node: ir.Node, version: int) -> ir.Value | None:
        """The input that the node's one used output always equals."""
        if node.domain != "" or not node.inputs or any(a.is_ref() for a in node.attributes.values()):
            return None
        source, same = node.inputs[0], False
        if node.op_type == "Identity":
            same = True
        elif node.op_type == "Dropout" and version >= 7:  # without training_mode it is one of inference
            same = len(node.inputs) < 3 and not any(v.uses() or v.is_graph_output() for v in node.outputs[1:])
        elif node.op_type == "Transpose" and "perm" in node.attributes:
            perm = list(node.attributes["perm"].as_ints())
            same = perm == sorted(perm)
        elif node.op_type == "Concat":
            same = len(node.inputs) == 1
        elif node.op_type == "Cast" and source is not None:
            element = self._edit.shapes.element(source)
            same = element is not None and element.value == node.attributes["to"].as_int()
        return source if same else None

    # --------------------------------------------------------------------- dead nodes

    def drop_dead(self) -> None:
        for graph in list(graphs(self.model)):
            for node in reversed(list(graph)):
                if node.graph is graph and not any(v.uses() or v.is_graph_output() for v in node.outputs):
                    self._count(node)
                    self._edit.remove([node])
            for name, value in list(graph.initializers.items()):
                if not (value.uses() or value.is_graph_output() or value.is_graph_input() or name in self._noted):
                    self._count(value)
                    del graph.initializers[name]

    # ---------------------------------------------------------------------- constants

    def share(self) -> None:
        """Make equal constants of the main graph one, and its ``Constant`` nodes initializers."""
        graph = self.model.graph
        alike: dict[_Key, list[tuple[ir.Value, ir.TensorProtocol]]] = defaultdict(list)
        for value in [*graph.initializers.values(), *(n.outputs[0] for n in graph if n.op_type == "Constant")]:
            tensor = fold.constant(value, self.model.ir_version)
            if tensor is not None:
                alike[glance(tensor)].append((value, tensor))
        lifted = []
        for group in alike.values():
            known: dict[_Key, ir.Value] = {}
            for value, tensor in group:
                first = known.setdefault(_content(tensor) if len(group) > 1 else (), value)
                keep = value.is_graph_output() or value.is_graph_input() or value.name in self._noted
                producer = value.producer()
                if first is not value and not keep:
                    self._count(value)
                    value.replace_all_uses_with(first)
                    if producer is not None:
                        graph.remove(producer, safe=True)
                    else:
                        del graph.initializers[value.name or ""]
                elif self._lifts and producer is not None and not keep:
                    lifted.append((value, tensor))
        for value, tensor in lifted:
            producer = value.producer()
            assert producer is not None
            self.gone += 1
            self.saved += _CONSTANT
            self._store(value, tensor)
            graph.remove(producer, safe=True)

    def _store(self, value: ir.Value, tensor: ir.TensorProtocol) -> None:
        """Let an initializer have the name and the readers of `value`, a node's output that is `tensor`."""
        kind, shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
        name, value.name = value.name, None
        stored = ir.Value(name=name, type=kind, shape=shape, const_value=tensor, doc_string=value.doc_string)
        stored.metadata_props.update(value.metadata_props)
        self.model.graph.register_initializer(stored)
        value.replace_all_uses_with(stored)

    # ------------------------------------------------------------------------ folding

    def fold(self) -> bool:
        """Compute what is constant outside of functions; whether anything was."""
        inside = functions(self.model)
        before, costly = self.gone, []
        for graph in list(graphs(self.model)):
            if graph in inside:
                continue
            groups = _groups(self.model, graph)
            few = [g for g in groups if sum(t.nbytes for t in self._leaves(g).values()) < LARGE]
            known = self._computed([n for g in few for n in g]) if len(few) > 1 else {}
            for group in groups:
                results = _results(group)
                found = known if all(v in known for v in results) else self._computed(group)
                if results and all(v in found for v in results):
                    costly.append((self._growth(group, found), group, found))
        # What saves most comes first, and pays for what comes later.
        for growth, group, found in sorted(costly, key=lambda one: one[0]):
            if growth <= self.saved:
                self._replace(group, found)
                self.saved -= growth
                self.gone += len(group)
        return self.gone > before

    def _leaves(self, group: Sequence[ir.Node]) -> _Tensors:
        """The constants that a group starts from."""
        inside = set(group)
        values = dict.fromkeys(v for n in group for v in n.inputs if v is not None and v.producer() not in inside)
        found = ((v, fold.constant(v, self.model.ir_version)) for v in values)
        return {v: tensor for v, tensor in found if tensor is not None}

    def _computed(self, nodes: Sequence[ir.Node]) -> _Tensors:
        """The results of constant nodes; nothing if the runtime can't compute one of them."""
        wanted = _results(nodes)
        if not wanted:
            return {}
        opset = nodes[0].version or self.model.opset_imports.get("", 1)
        arrays = fold.evaluate(nodes, self._leaves(nodes), wanted, opset, self.model.ir_version)
        return {} if arrays is None else {v: ir.tensor(a) for v, a in zip(wanted, arrays, strict=True)}

    def _growth(self, group: Sequence[ir.Node], found: _Tensors) -> int:
        """By how many bytes the results of a group are larger than itself and what it alone reads."""
        inside = set(group)
        growth = -sum(ir.to_proto(node).ByteSize() for node in group)
        for value, tensor in self._leaves(group).items():
            if not value.is_graph_output() and all(use.node in inside for use in value.uses()):
                growth -= tensor.nbytes + len(value.name or "") + _NAME
        distinct: dict[_Key, int] = {}
        for value in _results(group):
            tensor = found[value]
            key = tensor.dtype, tuple(tensor.shape.numpy()), *_content(tensor)
            distinct[key] = tensor.nbytes + len(value.name or "") + _NAME
        return int(growth + sum(distinct.values()))

    def _replace(self, group: Sequence[ir.Node], found: _Tensors) -> None:
        """Put the results of a group in its place."""
        for value in _results(group):
            if value.graph is self.model.graph and self._lifts:
                self._store(value, found[value])  # equal ones are shared later
            else:
                value.replace_all_uses_with(self._edit.constant(found[value], value.name or "", value.graph))
        self._edit.remove(group)

    def _count(self, gone: ir.Node | ir.Value) -> None:
        """Note that a node or a constant goes, before it does."""
        self.gone += 1
        node = gone if isinstance(gone, ir.Node) else gone.producer()
        if node is None or node.op_type == "Constant":
            value = node.outputs[0] if node is not None else gone
            assert isinstance(value, ir.Value)
            tensor = fold.constant(value, self.model.ir_version)
            self.saved += (0 if tensor is None else tensor.nbytes) + len(value.name or "") + _NAME
        else:  # to write it out would take longer than all else; this is the least that it takes
            names = [node.op_type, node.name, *(v.name for v in (*node.inputs, *node.outputs) if v is not None)]
            self.saved += 2 + sum(2 + len(name) for name in names if name)
            self.saved += sum(9 + len(name) for name in node.attributes)


def _pass_by(node: ir.Node, source: ir.Value) -> bool:
    """Let all that reads the node's first output read `source`; whether that could be."""
    out = node.outputs[0]
    if not out.is_graph_output():
        out.replace_all_uses_with(source)
        return True
    # The output's name has to stay, and a name stands for one value: that of the node before,
    # unless it is an output already, an input or a constant, or made outside of this graph.
    producer = source.producer()
    if producer is None or producer.graph is not node.graph or source.is_graph_output():
        return False
    out.replace_all_uses_with(source, replace_graph_outputs=True)
    name, out.name = out.name, None
    source.name = name
    source.type, source.shape = out.type or source.type, out.shape or source.shape
    source.doc_string = out.doc_string or source.doc_string
    source.metadata_props.update(out.metadata_props)
    return True


def _groups(model: ir.Model, graph: ir.Graph) -> list[list[ir.Node]]:
    """The constant nodes, those together that one may have to be folded with the other to gain by it."""
    parent: dict[object, object] = {}

    def root(of: object) -> object:
        while parent.setdefault(of, of) is not of:
            parent[of] = of = parent[parent[of]]
        return of

    inside: dict[ir.Node, None] = {}
    for node in graph:
        joins = None if node.op_type == "Constant" else _joins(node, inside, model)
        if joins is not None:
            inside[node] = None
            for other in joins:
                parent[root(node)] = root(other)
    groups: dict[object, list[ir.Node]] = defaultdict(list)
    for node in inside:
        groups[root(node)].append(node)
    return list(groups.values())


def _joins(node: ir.Node, inside: dict[ir.Node, None], model: ir.Model) -> list[object] | None:
    """What a constant node is grouped by: constant nodes that it reads, and large weights; None if it is none."""
    if not fold.foldable(node) or any(v.is_graph_output() for v in node.outputs):
        return None
    found: list[object] = []
    inputs = [v for v in node.inputs if v is not None]
    for value in inputs:
        producer = value.producer()
        if producer in inside:
            found.append(producer)
            continue
        tensor = fold.constant(value, model.ir_version)
        if tensor is None or tensor.dtype == ir.DataType.STRING:
            return None
        if tensor.nbytes >= LARGE:
            found.append(value)
    return found if inputs else None


def _results(group: Sequence[ir.Node]) -> list[ir.Value]:
    """What is read of a group outside of it."""
    inside = set(group)
    return [v for n in group for v in n.outputs if any(use.node not in inside for use in v.uses())]


def glance(tensor: ir.TensorProtocol) -> _Key:
    """Dtype, shape and first values, which tell most constants apart."""
    head: object = ()
    if tensor.dtype != ir.DataType.STRING and tensor.dtype.bitwidth >= 8 and tensor.size:
        head = tensor.numpy().reshape(-1)[:_PREFIX].tobytes()
    return tensor.dtype, tuple(tensor.shape.numpy()), head


def _content(tensor: ir.TensorProtocol) -> _Key:
    """The bytes, for the sign of zero and the payload of NaN count."""
    if tensor.dtype == ir.DataType.STRING:
        return tuple(tensor.numpy().ravel())
    array = tensor.numpy()
    if tensor.dtype.bitwidth >= 8 and array.flags.c_contiguous and array.size:
        return (hashlib.sha256(array.reshape(-1).view("u1").data).digest(),)  # without a copy
    return (hashlib.sha256(tensor.tobytes()).digest(),)


def _annotating(model: ir.Model) -> set[str]:
    """Constants that quantization annotations name: scales and zero points, which no node need read."""
    values = (v for g in graphs(model) for v in (*g.inputs, *g.initializers.values(), *_made(g)))
    return {name for v in values if v.meta for name in v.meta.get("quant_parameter_tensor_names", {}).values()}


def _made(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        yield from node.outputs
