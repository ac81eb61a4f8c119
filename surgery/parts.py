"""Take a part out of a model: what lies between some tensors and others."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from surgery.clean import drop_dead
from surgery.edit import Edit
from surgery.errors import BadInput, Refused
from surgery.lookup import find_tensor, tensors
from surgery.order import read


def extract(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Leave of `model` what makes `outputs` of `inputs`.

    Args:
        model: edited in place; its weights stay where they are.
        inputs: tensors of the main graph that become the inputs, in this order.
        outputs: tensors of the main graph that become the outputs, in this order.

    Raises:
        BadInput: a tensor does not exist, or can't be an input or an output; the outputs need
            more than these inputs, or none of one.
        Refused: the element type of one of them can't be inferred.
    """
    edit, graph = Edit(model, "extract"), model.graph
    sources = [_tensor(model, name) for name in dict.fromkeys(inputs)]
    targets = [_tensor(model, name) for name in dict.fromkeys(outputs)]
    for value in sources:
        if edit.tensor(value) is not None:
            raise BadInput("it is a constant, which is a part of the model anyway", where=value.name or "")
    for value in targets:
        if value in sources or value.producer() is None:
            raise BadInput("no node between makes it", where=value.name or "", cure="--to names what nodes make")
    for value in (*sources, *targets):
        _describe(value, edit)
    before = [v for v in graph.inputs if v not in sources]
    ports = [_as_input(value) for value in sources]
    graph.outputs[:] = targets
    graph.inputs[:] = []
    graph.inputs.extend([*ports, *before])
    drop_dead(model)
    _check(before, ports, targets)
    # Initializers that are inputs, too: IR versions below 4 want them so, and later ones call them defaults.
    graph.inputs[:] = [*ports, *(v for v in before if v.uses())]


def read_names(model: ir.Model, texts: Sequence[str]) -> list[str]:
    """The names in texts as ``a,b``; what is itself the name of a tensor is not taken apart."""
    known = tensors(model)
    return [name for text in texts for name in ([text] if text in known else text.split(","))]


def _tensor(model: ir.Model, name: str) -> ir.Value:
    value = find_tensor(model, name)
    if value.graph is not model.graph:
        raise BadInput("it lies inside a sub-graph or a function", where=name, cure="name a tensor of the main graph")
    return value


def _describe(value: ir.Value, edit: Edit) -> None:
    """Give a value the type and the dims that it has."""
    dtype, dims = edit.shapes.dtype(value), edit.shapes.shape(value)
    if dtype is not None:
        value.type = ir.TensorType(ir.DataType.from_numpy(dtype))
    if value.type is None:
        raise Refused(
            "its element type can't be inferred", where=value.name or "", cure="cut where standard operators meet"
        )
    if dims is not None:
        value.shape = ir.Shape(dims)


def _as_input(value: ir.Value) -> ir.Value:
    """The value as an input of the graph; what made it is cut off."""
    if value.is_graph_input():
        return value
    name, value.name = value.name, None
    port = ir.Value(name=name, type=value.type, shape=value.shape, doc_string=value.doc_string)
    value.replace_all_uses_with(port)
    return port


def _check(before: Sequence[ir.Value], ports: Sequence[ir.Value], targets: Sequence[ir.Value]) -> None:
    needed = [v for v in before if v.const_value is None and v.uses()]
    if needed:
        beside, made = _beside(needed, ports)
        for value in targets:
            if value not in made:
                raise BadInput(
                    f"it depends on none of {', '.join(repr(v.name) for v in ports)}",
                    where=value.name or "",
                    cure="--from names tensors before it, --to tensors behind them",
                )
        value, reader = next(iter(beside.items()))
        more = f", and {len(beside) - 1} more" if len(beside) > 1 else ""
        raise BadInput(
            f"the cut is incomplete: {value.name!r} is needed, too{more}",
            where=reader.name or reader.outputs[0].name or "",
            cure=f"--from {','.join(v.name or '' for v in (*ports, *beside))}, or tensors before them",
        )
    for port in ports:
        if not port.uses():
            raise BadInput("none of the outputs depends on it", where=port.name or "", cure="leave it out of --from")


def _beside(needed: Sequence[ir.Value], ports: Sequence[ir.Value]) -> tuple[dict[ir.Value, ir.Node], set[ir.Value]]:
    """What `needed` makes that meets what `ports` make, each with its first reader; and what `ports` make."""
    from_ports, from_needed = set(ports), set(needed)
    graph = needed[0].graph
    assert isinstance(graph, ir.Graph)
    beside: dict[ir.Value, ir.Node] = {}
    for node in graph:
        values = read(node)
        if any(value in from_ports for value in values):
            from_ports.update(node.outputs)
            for value in values:
                if value in from_needed and value not in from_ports:
                    beside.setdefault(value, node)
        elif any(value in from_needed for value in values):
            from_needed.update(node.outputs)
    return beside, from_ports
