"""Convert the model to another version of the standard operators.

    opset 12:  x ── Squeeze axes=[0] ── y          =>          x ────── Squeeze ── y
                                                   opset 13:   [0] ──────┘

Down to opset 11 each operator is spelt as `op` spells it for passes there; most stay as they are. Up, and down below
11, by onnx's own version converter. It gets the graph without its large weights, so that a model of any size is
converted at the cost of its nodes, and what it loses is put back: metadata, documentation, functions.

Why: a backend, or another pass, wants a newer operator (LayerNormalization, 17) or knows only older ones. Down, onnx
1.23's converter has no way for Relu, Add or Shape below opset 14, and gives Softmax over another than the last axis
another meaning below 13. Up, it leaves Resize of opset 10 and Upsample to the defaults of opset 11, where the middle of
an element is half an element further: here they are told to keep to its corner (asymmetric, floor).
Numbers: an operator has the same meaning, though other kernels may round otherwise. Below opset 14 a Reshape whose
shape is computed has no allowzero, which is the same for every tensor that has elements.
Refuses: an operator that the converter can't convert, by node; operators of another meaning inside functions, which
it does not look into.
"""

import re

import onnx
import onnx_ir as ir
from onnx import version_converter

from surgery import BadInput, Close, Edit, Pass, Refused, graphs, respell

LEAST = 11  # before it, names say other things than they do today
LARGE = 1024  # bytes; adapters read small constants only: axes, scales, targets of Reshape


class Opset(Pass):
    contract = Close(rtol=1e-5, atol=1e-6)
    to: int  # the version wanted

    def apply(self, model):
        newest, have = onnx.defs.onnx_opset_version(), model.opset_imports.get("", 0)
        if not 1 <= self.to <= newest:
            raise BadInput(f"there is no opset {self.to}", cure=f"onnx {onnx.__version__} has 1 to {newest}")
        if have in (0, self.to):  # 0: no standard operator at all
            return 0
        look_into_functions(model, have, self.to)
        if LEAST <= self.to < have:
            return max(respell(model, self.to, self.name), 1)
        weights = take_out(model)
        places = changed(model, have, self.to)
        proto = ir.to_proto(model)
        try:
            converted = version_converter.convert_version(proto, self.to)
        except Exception as error:  # of C++, as RuntimeError and others
            raise refusal(proto, self.to, error) from error
        put_back(model, ir.from_proto(converted), weights)
        if have < LEAST <= self.to:
            keep_corners(model)
        model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(converted.opset_import, True))
        return max(places, 1)


def changed(model, have: int, to: int) -> int:
    """How many nodes have another schema in the new opset."""
    return sum(
        not same_schema(node.op_type, have, to) for graph in graphs(model) for node in graph if node.domain == ""
    )


def same_schema(op_type: str, have: int, to: int) -> bool:
    """Whether an operator is the same in two opsets."""
    try:
        one, other = (onnx.defs.get_schema(op_type, version, "").since_version for version in (have, to))
    except onnx.defs.SchemaError:
        return False
    return one == other


def look_into_functions(model, have: int, to: int) -> None:
    """Let functions be of the new opset, where that means the same."""
    for function in model.functions.values():
        if "" not in function.opset_imports:
            continue
        for node in (n for g in (function.graph, *function.subgraphs()) for n in g):
            if node.domain == "" and not same_schema(node.op_type, function.opset_imports[""], to):
                raise Refused(
                    f"{node.op_type} in the function {function.name!r} differs between opset {have} and {to}, and "
                    "functions are not converted",
                    where=node.name or node.outputs[0].name,
                    cure="inline-functions puts what a function does in the place of its calls",
                )
        function.opset_imports[""] = to


def keep_corners(model) -> None:
    """Let each Resize sample where it did before opset 11, when it had no attribute for it."""
    edit = Edit(model, "opset")
    for graph in (model.graph, *model.graph.subgraphs()):
        for node in graph:
            if node.op_type == "Resize" and node.domain == "":
                scales = edit.tensor(node.inputs[2]) if node.inputs[2] else None
                # Opset 10 does not say how; ONNX Runtime rounds up where it makes an image smaller.
                smaller = scales is not None and scales.numpy().min(initial=1) < 1 >= scales.numpy().max(initial=1)
                nearest = "ceil" if smaller else "floor"
                node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
                node.attributes.add(ir.AttrString("nearest_mode", nearest))
                region = node.inputs[1]  # read by tf_crop_and_resize alone, and pnnx stumbles over it
                if region is not None and edit.opset(node) >= 13:  # before, it must be there
                    node.replace_input_with(1, None)
                    edit.drop([region])


def take_out(model):
    """Make every large weight an input of the graph; the tensors by name."""
    edit, graph = Edit(model, "opset"), model.graph
    bodies = {g for f in model.functions.values() for g in (f.graph, *f.subgraphs())}
    for one in [g for g in graphs(model) if g not in bodies]:
        for node in [n for n in one if n.op_type == "Constant"]:
            tensor = edit.tensor(node.outputs[0])
            if tensor is not None and large(tensor) and not node.outputs[0].is_graph_output():
                node.outputs[0].replace_all_uses_with(stored(graph, edit, tensor, node.outputs[0].name))
                one.remove(node, safe=True)
    weights = {}
    for name, value in list(graph.initializers.items()):
        if large(value.const_value):
            weights[name] = value.const_value, value.is_graph_input()
            del graph.initializers[name]
            value.const_value = None
            if not weights[name][1]:
                graph.inputs.append(value)
    return weights


def large(tensor):
    """Whether the converter is not to see it."""
    return tensor is not None and tensor.dtype != ir.DataType.STRING and tensor.nbytes >= LARGE


def stored(graph, edit, tensor, name):
    """An initializer that is `tensor`."""
    kind, shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
    value = ir.Value(name=edit.unique(name), type=kind, shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def put_back(model, new, weights) -> None:
    """Give the model the new graph, with its weights and with what the converter has lost."""
    old, graph = model.graph, new.graph
    for value in list(graph.inputs):
        if value.name in weights:
            tensor, was_input = weights[value.name]
            if not was_input:
                graph.inputs.remove(value)
            value.const_value = tensor
            graph.register_initializer(value)
    nodes = {node.outputs[0].name: node for node in old if node.outputs}
    values = {v.name: v for node in old for v in node.outputs} | {v.name: v for v in (*old.inputs, *old.outputs)}
    for node in graph:
        same = nodes.get(node.outputs[0].name) if node.outputs else None
        if same is not None and same.op_type == node.op_type:
            node.name, node.doc_string = same.name, same.doc_string
            node.metadata_props.update(same.metadata_props)
    for value in (*graph.inputs, *graph.outputs, *(v for node in graph for v in node.outputs)):
        same = values.get(value.name)
        value.type, value.shape = (None, None) if same is None else (same.type, same.shape and same.shape.copy())
        if same is not None:
            value.doc_string = same.doc_string
            value.metadata_props.update(same.metadata_props)
            value.meta.update(same.meta)
    graph.name, graph.doc_string = old.name, old.doc_string
    graph.metadata_props.update(old.metadata_props)
    graph.opset_imports.update({d: v for d, v in old.opset_imports.items() if d != ""})
    model.graph = graph


def refusal(proto, to: int, error: Exception) -> Refused:
    """What the converter can't convert, by node: each kind of node is converted by itself."""
    told = str(error).strip().splitlines()[0]
    said = re.search(r"(?:No (?:Previous Version|Adapter).*? (?:of|for) |Op)(\w+)", told)
    for node in proto.graph.node:
        if node.domain in ("", "ai.onnx") and (not said or node.op_type == said[1]):
            if not fails(proto, node, to):
                continue
            where = node.name or node.output[0]
            return Refused(f"{node.op_type} can't be converted to opset {to}", where=where, cure=reason(told))
    where = said[1] if said else ""
    return Refused(f"the model can't be converted to opset {to}", where=where, cure=reason(told))


def fails(proto, node, to: int) -> bool:
    """Whether the converter fails on a model of this node alone."""
    weights = {t.name: t for t in proto.graph.initializer}
    made = {o: n for n in proto.graph.node if n.op_type == "Constant" for o in n.output}
    known = {v.name: v for v in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output)}
    names = [name for name in node.input if name]
    graph = onnx.GraphProto(name="one", node=[*(made[n] for n in names if n in made), node])
    graph.initializer.extend(weights[n] for n in names if n in weights)
    graph.input.extend(known.get(n, onnx.ValueInfoProto(name=n)) for n in names if n not in weights and n not in made)
    graph.output.extend(known.get(n, onnx.ValueInfoProto(name=n)) for n in node.output if n)
    alone = onnx.ModelProto(ir_version=proto.ir_version, graph=graph, opset_import=proto.opset_import)
    try:
        version_converter.convert_version(alone, to)
    except Exception:
        return True
    return False


def reason(told: str) -> str:
    """The converter's words without the place in its source."""
    return f"onnx says: {told.rpartition('failed: ')[2] or told}"
