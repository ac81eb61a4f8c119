"""Give inputs and outputs another element type; the model inside stays as it is.

    ids int64 ── Gather ── y float          =>      ids int32 ── Cast ── Gather ── Cast ── y float16

``inputs=ids=int32``, ``outputs=*=float16``: by name, with ``*`` and ``?`` as in names of files.

Why: devices and their runtimes lack int64 or take float16 only, and images come as uint8.
Numbers: with the values that the new type of an input can hold, every tensor inside is bit for bit what it was; an
output is rounded once, at its end.
Refuses: two types for one tensor; a type that Cast does not take at the model's opset; what is no tensor.
"""

import fnmatch

import onnx
import onnx_ir as ir

from surgery import BadInput, Edit, Exact, Pass, Refused, missing

ALIASES = {"float32": "FLOAT", "float64": "DOUBLE"}


class CastIo(Pass):
    contract = Exact()
    interface = ("dtypes",)
    inputs: dict[str, str] = {}  # name=dtype; * and ? as in names of files
    outputs: dict[str, str] = {}  # name=dtype

    def apply(self, model):
        if not (self.inputs or self.outputs):
            raise BadInput("nothing is named", cure="inputs=NAME=DTYPE or outputs=NAME=DTYPE")
        edit, graph = Edit(model, self.name), model.graph
        inputs = chosen(self.inputs, [v for v in graph.inputs if v.const_value is None], "input", edit)
        outputs = chosen(self.outputs, list(graph.outputs), "output", edit)
        for value, to in inputs.items():
            cast_input(value, to, edit)
        for value, to in outputs.items():
            cast_output(value, to, edit)
        return len(inputs) + len(outputs)


def chosen(wishes, values, kind, edit):
    """The values that are to get another type, with that type."""
    found = dict[ir.Value, ir.DataType]()
    for pattern, name in wishes.items():
        to = element(name, edit)
        named = [v for v in values if v.name == pattern or fnmatch.fnmatchcase(v.name, pattern)]
        if not named:
            raise missing(kind, pattern, (v.name for v in values))
        for value in named:
            if found.setdefault(value, to) != to:
                raise Refused(
                    f"two edits contradict each other: {kind} {value.name!r} is to be {found[value].name.lower()} "
                    f"and {to.name.lower()}",
                    where=value.name or "",
                )
    for value, to in found.items():
        if not isinstance(value.type, ir.TensorType):
            raise Refused(f"{kind} {value.name!r} is no tensor", where=value.name or "")
        if ir.DataType.STRING in (value.dtype, to) and value.dtype != to:
            raise Refused("text is not cast", where=value.name or "")
        if value.is_graph_output() and value.producer() is None and value.dtype != to:
            raise Refused("it is an input and an output at once", where=value.name or "")
    return {value: to for value, to in found.items() if value.dtype != to}


def element(name: str, edit) -> ir.DataType:
    """The element type of that name, if Cast takes it."""
    opset = edit.model.opset_imports.get("", 1)
    schema = onnx.defs.get_schema("Cast", opset)
    kinds = next(c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == "T2")
    known = [kind.removeprefix("tensor(").removesuffix(")") for kind in kinds]
    wanted = ALIASES.get(name.lower(), name.upper())
    if wanted.lower() not in known:
        raise missing("element type", name, known, f"Cast at opset {opset}")
    return ir.DataType[wanted]


def cast_input(value, to, edit) -> None:
    """Let an input be of another type; what reads it reads a Cast."""
    inside = value.type
    uses = list(value.uses())
    cast = edit.node("Cast", [value], {"to": inside.dtype.value}, base=value.name)
    out = cast.outputs[0]
    out.type, out.shape = inside, value.shape
    for use in uses:
        use.node.replace_input_with(use.idx, out)
    value.graph.insert_before(value.graph[0], cast)
    value.type = ir.TensorType(to)


def cast_output(value, to, edit) -> None:
    """Let an output be of another type; what reads it inside goes on to do so."""
    uses = list(value.uses())
    cast = edit.node("Cast", [value], {"to": to.value}, base=value.name)
    out = edit.insert_after(value, cast)
    out.type = ir.TensorType(to)
    for use in uses:  # within the model it stays as it is
        use.node.replace_input_with(use.idx, value)
