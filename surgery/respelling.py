"""Convert a model to an older opset by spelling its operators again, as `op` would write them there.

onnx's version converter knows few ways down below opset 14: it has none for Relu, Add or Shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surgery.edit import Edit
from surgery.errors import Refused
from surgery.nested import functions, graphs, subgraphs
from surgery.older import BY_BODY, OLDER
from surgery.op import Op
from surgery.schemas import kinds, refusal, schema, wrong_type
from surgery.spelling import fitting
from surgery.views import Skip, Value, attribute, label

if TYPE_CHECKING:
    import onnx_ir as ir


def respell(model: ir.Model, to: int, tag: str = "") -> int:
    """Convert the graph of a model, and its sub-graphs, to an older opset; functions are left alone.

    A node stays as it is where the older version of its operator takes the same and means the same.

    Args:
        model: is edited; after an error it is to be dropped.
        to: an opset older than that of the model; not before 11, where names say other things than today.
        tag: the name of the pass.

    Returns:
        How many nodes were spelt again.

    Raises:
        Refused: an operator can't be said there; it names the node.
    """
    have, places = model.opset_imports[""], 0
    edit = Edit(model, tag)
    bodies = functions(model)
    for graph in [g for g in graphs(model) if g not in bodies]:
        for node in [n for n in graph if n.domain == ""]:
            where = label(node)
            try:
                places += _respell(edit, node, have, to)
            except (Skip, Refused) as error:
                why = error.what if isinstance(error, Refused) else str(error)
                raise Refused(f"{node.op_type} can't be converted to opset {to}", where=where, cure=why) from error
    edit.shapes.forget()
    model.opset_imports[""] = to
    return places


def _respell(edit: Edit, node: ir.Node, have: int, to: int) -> bool:
    """Say one node at an older opset; whether it had to be spelt again."""
    op_type, old = node.op_type, schema(node.op_type, to)
    now = schema(op_type, have)
    if now is None or have < BY_BODY.get(op_type, 0) or (old is None and subgraphs(node)):
        raise refusal(op_type, to)
    if old is not None and (old.since_version == now.since_version or subgraphs(node)):
        return False
    inputs = [None if v is None else Value(v, edit) for v in node.inputs]
    given: dict[str, Any] = {name: attribute(node, name, have) for name in node.attributes}
    if op_type == "Reshape" and inputs[1] is not None and inputs[1].constant is None:
        # Exporters write it wherever a shape is computed. A 0 there fits only a tensor without elements.
        given.pop("allowzero", None)
    kept = fitting(op_type, to, inputs, given)
    if kept is None or any(to < below <= have for below, _ in OLDER.get(op_type, ())):
        if given.keys() - kinds(op_type, None).keys():
            raise refusal(op_type, to)
        op = Op(edit, node, {**edit.model.opset_imports, "": to})
        made = op.call(op_type, inputs, {**given, "outputs": len(node.outputs)})
        edit.replace(node, op.finish(made if isinstance(made, list) else [made], [node]))
        return True
    element = edit.shapes.element
    takes = tuple(None if v is None else element(v) for v in node.inputs)
    if wrong := wrong_type(op_type, to, takes, tuple(map(element, node.outputs))):
        raise Refused(f"{op_type} of opset {to} does not {wrong}")
    for name in given.keys() - kept.keys():
        del node.attributes[name]
    return False
