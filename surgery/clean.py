"""Take out of a model what does nothing, and fold what is constant, without growing the file.

    tidy(model)    identities, dead nodes, equal constants, constant arithmetic; bit for bit

Each step walks the model once. Weights stay where they are: a constant that goes is never
read unless another could be equal to it, and one that stays is never copied.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import onnx_ir as ir

from surgery import fold
from surgery.edit import Edit
from surgery.model import graphs

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGE = 1024  # bytes; what shares a weight of this size is folded together or not at all
_PREFIX = 64  # bytes that tell most constants apart
_NAME = 16  # bytes that a stored constant takes beside its name and its data
_Key = tuple[object, ...]


def tidy(model: ir.Model) -> int:
    """Remove identities and dead nodes, share equal constants, fold constant nodes.

    Inputs and outputs keep their names, types and order. A constant is folded only where the
    model does not get larger by it. In the main graph, ``Constant`` nodes become initializers.

    Args:
        model: edited in place, sub-graphs and functions too.

    Returns:
        How many nodes and constants went; 0 if nothing changed.
    """
    edit = Edit(model, "cleanup")
    gone = _drop_identities(model, edit) + drop_dead(model) + _share(model, edit)
    folded = _fold(model, edit)
    if folded:
        gone += folded + drop_dead(model) + _share(model, edit)
    return gone


def drop_dead(model: ir.Model) -> int:
    """Remove nodes, and initializers, that no output depends on; the number of both."""
    edit, gone, noted = Edit(model), 0, _annotating(model)
    for graph in list(graphs(model)):
        before = len(graph)
        for node in reversed(list(graph)):
            if node.graph is graph and not any(v.uses() or v.is_graph_output() for v in node.outputs):
                edit.remove([node])
        gone += before - len(graph)
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input() or name in noted):
                del graph.initializers[name]
                gone += 1
    return gone


# ------------------------------------------------------------------------- identities


def _drop_identities(model: ir.Model, edit: Edit) -> int:
    gone = 0
    inside = {g: f.opset_imports for f in model.functions.values() for g in (f.graph, *f.subgraphs())}
    for graph in list(graphs(model)):
        version = inside.get(graph, model.opset_imports).get("", 1)
        for node in list(graph):
            source = _identical(node, version, edit)
            if source is not None and _pass_by(node, source):
                graph.remove(node, safe=True)
                gone += 1
    return gone


def _identical(node: ir.Node, version: int, edit: Edit) -> ir.Value | None:
    """The input that the node's one used output always equals."""
    if node.domain != "" or not node.inputs or any(a.is_ref() for a in node.attributes.values()):
        return None
    source = node.inputs[0]
    same = False
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
        element = edit.shapes.element(source)
        same = element is not None and element.value == node.attributes["to"].as_int()
    return source if same else None


def _pass_by(node: ir.Node, source: ir.Value) -> bool:
    """Let all that reads the node's first output read `source`; whether that could be."""
    out = node.outputs[0]
    if out.is_graph_output():
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
    out.replace_all_uses_with(source)
    return True


# -------------------------------------------------------------------------- constants


def _share(model: ir.Model, edit: Edit) -> int:
    """Make equal constants of the main graph one, and its ``Constant`` nodes initializers."""
    graph, noted = model.graph, _annotating(model)
    lifts = (model.ir_version or 4) >= 4  # before, an initializer had to be an input as well
    alike: dict[_Key, list[tuple[ir.Value, ir.TensorProtocol]]] = defaultdict(list)
    for value in [*graph.initializers.values(), *(n.outputs[0] for n in graph if n.op_type == "Constant")]:
        tensor = fold.constant(value, model.ir_version)
        if tensor is not None:
            alike[_glance(tensor)].append((value, tensor))
    gone, lifted = 0, []
    for group in alike.values():
        known: dict[_Key, ir.Value] = {}
        for value, tensor in group:
            first = known.setdefault(_content(tensor) if len(group) > 1 else (), value)
            keep = value.is_graph_output() or value.is_graph_input() or value.name in noted
            if first is not value and not keep:
                value.replace_all_uses_with(first)
                gone += 1
                producer = value.producer()
                if producer is not None:
                    graph.remove(producer, safe=True)
                else:
                    del graph.initializers[value.name or ""]
            elif lifts and value.producer() is not None and not keep:
                lifted.append((value, tensor))
    for value, tensor in lifted:
        producer = value.producer()
        assert producer is not None
        _store(graph, value, tensor)
        graph.remove(producer, safe=True)
    return gone + len(lifted)


def _store(graph: ir.Graph, value: ir.Value, tensor: ir.TensorProtocol) -> None:
    """Let an initializer have the name and the readers of `value`, a node's output that is `tensor`."""
    kind, shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
    name, value.name = value.name, None
    stored = ir.Value(name=name, type=kind, shape=shape, const_value=tensor, doc_string=value.doc_string)
    stored.metadata_props.update(value.metadata_props)
    graph.register_initializer(stored)
    value.replace_all_uses_with(stored)


def _glance(tensor: ir.TensorProtocol) -> _Key:
    """What tells most constants apart without reading them."""
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


# ---------------------------------------------------------------------------- folding


def _fold(model: ir.Model, edit: Edit) -> int:
    """Compute what is constant in graphs outside of functions; the number of nodes that went."""
    bodies = {g for f in model.functions.values() for g in (f.graph, *f.subgraphs())}
    return sum(_fold_graph(model, graph, edit) for graph in list(graphs(model)) if graph not in bodies)


def _fold_graph(model: ir.Model, graph: ir.Graph, edit: Edit) -> int:
    before = len(graph)
    groups = _groups(model, graph)
    few = [g for g in groups if sum(t.nbytes for t in _leaves(g, model).values()) < LARGE]
    known = _computed(model, [n for g in few for n in g]) if len(few) > 1 else {}
    for group in groups:
        if not _fold_group(model, group, edit, known):
            for node in group if len(group) > 1 else ():  # what of it can be had for nothing
                _fold_group(model, [node], edit, {})
    return before - len(graph)


def _groups(model: ir.Model, graph: ir.Graph) -> list[list[ir.Node]]:
    """The constant nodes, those together that one may have to be folded with the other to gain by it."""
    parent: dict[object, object] = {}

    def root(of: object) -> object:
        while parent.setdefault(of, of) is not of:
            parent[of] = of = parent[parent[of]]
        return of

    found: list[ir.Node] = []
    inside: set[ir.Node] = set()
    for node in graph:
        if node.op_type == "Constant" or not fold.foldable(node) or not any(v is not None for v in node.inputs):
            continue
        joins: list[object] = []
        for value in node.inputs:
            if value is None:
                continue
            producer = value.producer()
            tensor = None if producer in inside else fold.constant(value, model.ir_version)
            if producer not in inside and (tensor is None or tensor.dtype == ir.DataType.STRING):
                break
            if producer in inside:
                joins.append(producer)
            elif tensor is not None and tensor.nbytes >= LARGE:
                joins.append(value)
        else:
            if any(v.is_graph_output() for v in node.outputs):
                continue
            inside.add(node)
            found.append(node)
            for other in joins:
                parent[root(node)] = root(other)
    groups: dict[object, list[ir.Node]] = defaultdict(list)
    for node in found:
        groups[root(node)].append(node)
    return list(groups.values())


def _leaves(group: Sequence[ir.Node], model: ir.Model) -> dict[ir.Value, ir.TensorProtocol]:
    """The constants that a group starts from."""
    inside = set(group)
    values = dict.fromkeys(v for n in group for v in n.inputs if v is not None and v.producer() not in inside)
    found = ((v, fold.constant(v, model.ir_version)) for v in values)
    return {v: tensor for v, tensor in found if tensor is not None}


def _results(group: Sequence[ir.Node]) -> list[ir.Value]:
    """What is read of a group outside of it."""
    inside = set(group)
    return [v for n in group for v in n.outputs if any(use.node not in inside for use in v.uses())]


def _computed(model: ir.Model, nodes: Sequence[ir.Node]) -> dict[ir.Value, ir.TensorProtocol]:
    """The results of constant nodes; nothing if the runtime can't compute one of them."""
    wanted = _results(nodes)
    if not wanted:
        return {}
    opset = nodes[0].version or model.opset_imports.get("", 1)
    arrays = fold.evaluate(nodes, _leaves(nodes, model), wanted, opset, model.ir_version)
    return {} if arrays is None else {v: ir.tensor(a) for v, a in zip(wanted, arrays, strict=True)}


def _fold_group(
    model: ir.Model, group: Sequence[ir.Node], edit: Edit, known: dict[ir.Value, ir.TensorProtocol]
) -> bool:
    """Put the results of a group in its place, if that makes the model no larger."""
    wanted = _results(group)
    if not all(v in known for v in wanted):
        known = _computed(model, group)
    if not wanted or not all(v in known for v in wanted):
        return False
    inside = set(group)
    freed = sum(ir.to_proto(node).ByteSize() for node in group)
    for value, tensor in _leaves(group, model).items():
        if not value.is_graph_output() and all(use.node in inside for use in value.uses()):
            freed += tensor.nbytes + len(value.name or "") + _NAME
    distinct: dict[_Key, int] = {}
    for value in wanted:
        tensor = known[value]
        key = (*_glance(tensor)[:2], *_content(tensor))
        distinct[key] = tensor.nbytes + len(value.name or "") + _NAME
    if sum(distinct.values()) > freed:
        return False
    for value in wanted:
        if value.graph is model.graph and (model.ir_version or 4) >= 4:
            _store(model.graph, value, known[value])  # equal ones are shared later
        else:
            value.replace_all_uses_with(edit.constant(known[value], value.name or "", value.graph))
    edit.remove(group)
    return True
