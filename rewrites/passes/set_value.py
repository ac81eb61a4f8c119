"""Set an attribute, a constant input, or a stored constant.

    data ─┐                                data ─┐
    pads ─┼─ Pad ── y           =>         pads ─┼─ Pad ── y
    -0.01 ┘                                  38 ─┘

``node=Pad.0,field=constant_value,value=38`` sets one field of one node: an attribute, or an input that is constant, by
the name that ONNX has for it; other readers of that constant keep theirs. ``tensor=helper.constant.57,value=38`` sets
a constant for all that read it. ``value`` is a number, a text, or several: ``value=1;3;-1``. One number fills a
constant of any shape; a constant of rank 1 may get another length.

Why: exporters write wrong values, and no other pass can know the right one. Paddle2ONNX 2.1 with PaddlePaddle 3.3
stores uninitialised memory as the value of Pad in SRN, a text recogniser, where 38 was meant.
Numbers: results differ, as they are to; ``--reference`` decides whether the value is the right one.
Refuses: an input that is computed; a field that was set to another value before.
"""

import numpy as np
import onnx
import onnx_ir as ir

from surgery import BadInput, Changes, Edit, Pass, Refused, find_nodes, find_tensor, missing

KINDS = ir.AttributeType
SCALARS = {KINDS.INT: int, KINDS.FLOAT: float, KINDS.STRING: str}
LISTS = {KINDS.INTS: int, KINDS.FLOATS: float, KINDS.STRINGS: str}


class SetValue(Pass):
    contract = Changes("a value of the model is another one")
    value: str | int | float | list[str | int | float]  # a number or a text; several as 1;2;3
    node: str = ""  # whose field is set, by name, output or pattern
    field: str = ""  # an attribute or a constant input of the node
    tensor: str = ""  # or a constant, for all that read it

    def apply(self, model):
        edit = Edit(model, self.name)
        if bool(self.tensor) == bool(self.node) or bool(self.node) != bool(self.field):
            raise BadInput("say what to set", cure="either node= and field=, or tensor=")
        if self.tensor:
            value = find_tensor(model, self.tensor)
            return self.set_constant(value, edit, f"tensor {self.tensor!r}")
        return sum(self.set_field(node, edit) for node in find_nodes(model, self.node))

    def set_field(self, node, edit) -> int:
        where = node.name or node.outputs[0].name
        version = node.version or edit.model.opset_imports.get(node.domain, 1)
        try:
            schema = onnx.defs.get_schema(node.op_type, version, node.domain)
            inputs = [formal.name for formal in schema.inputs]
            attributes = {
                name: KINDS[str(attribute.type).rpartition(".")[2]] for name, attribute in schema.attributes.items()
            }
        except onnx.defs.SchemaError:
            inputs, attributes = [str(i) for i in range(len(node.inputs))], {}
        attributes |= {name: attribute.type for name, attribute in node.attributes.items()}
        if self.field in attributes:
            return self.set_attribute(node, attributes[self.field], where)
        if self.field not in inputs[: len(node.inputs)] or node.inputs[inputs.index(self.field)] is None:
            raise missing("field", self.field, [*attributes, *inputs[: len(node.inputs)]], where)
        index = inputs.index(self.field)
        value = node.inputs[index]
        old = edit.tensor(value)
        if old is None:
            raise Refused(f"{self.field!r} is not constant: {value.name!r} is computed", where=where)
        if len(value.uses()) > 1 or value.is_graph_output():  # others keep what they read
            new = self.array(old, f"{self.field!r} of {where!r}")
            if same(new, old):
                return 0
            node.replace_input_with(index, edit.constant(new, value.name, node.graph))
            return 1
        return self.set_constant(value, edit, f"{self.field!r} of {where!r}")

    def set_attribute(self, node, kind, where) -> int:
        what = f"attribute {self.field!r} of {where!r}"
        old = node.attributes.get(self.field)
        if kind == KINDS.TENSOR and old is not None:
            new = ir.AttrTensor(self.field, ir.tensor(self.array(old.value, what)))
            unchanged = same(new.value.numpy(), old.value)
        elif kind in SCALARS or kind in LISTS:
            items = [convert(item, SCALARS.get(kind) or LISTS[kind], what) for item in self.items()]
            if kind in SCALARS and len(items) != 1:
                raise BadInput(f"{what} is one value, not {len(items)}")
            new = ir.Attr(self.field, kind, items[0] if kind in SCALARS else items)
            unchanged = old is not None and not old.is_ref() and single(old.value) == single(new.value)
        else:
            raise BadInput(f"{what} is a {kind.name.lower()}, which can't be given as text")
        if unchanged:
            return 0
        self.once(node.meta, self.field, where)
        node.attributes[self.field] = new
        return 1

    def set_constant(self, value, edit, what) -> int:
        old = edit.tensor(value)
        if old is None:
            raise Refused(f"{what} is not constant", cure="only stored values can be set")
        new = self.array(old, what)
        if same(new, old):
            return 0
        self.once(value.meta, "value", what)
        tensor = ir.tensor(new, dtype=old.dtype, name=old.name)
        if value.producer() is None:
            value.const_value, value.shape = tensor, ir.Shape(new.shape)
        else:
            attributes = value.producer().attributes
            attributes.clear()
            attributes["value"] = ir.AttrTensor("value", tensor)
            value.shape = ir.Shape(new.shape)
        return 1

    def once(self, meta, field, where) -> None:
        """Refuse a second wish for what an earlier `set-value` has set."""
        wish = f"set-value {field}"
        if meta.get(wish, self.items()) != self.items():
            raise Refused(f"two edits contradict each other: it was set to {meta[wish]} before", where=where)
        meta[wish] = self.items()

    def items(self):
        """The values that are given."""
        if isinstance(self.value, str):
            return self.value.replace(";", " ").split() or [""]
        return self.value if isinstance(self.value, list) else [self.value]

    def array(self, old, what) -> np.ndarray:
        """What is given, as a tensor like `old`."""
        like = old.numpy()
        kind: type = bool if like.dtype == bool else int if old.dtype.is_integer() else float
        if old.dtype == ir.DataType.STRING:
            kind = str
        items = [convert(item, kind, what) for item in self.items()]
        try:
            with np.errstate(over="ignore"):
                array = np.array(items, object if kind is str else None).astype(like.dtype)
        except OverflowError:  # beyond 64 bits
            array = None
        if array is None or not all(map(holds, array.tolist(), items)):
            raise BadInput(f"{what} is {old.dtype.name.lower()}, which can't hold {self.value!r}")
        if len(items) == 1 and like.size != 1:
            return np.full(like.shape, array[0])
        if len(items) != like.size and like.ndim != 1:
            raise BadInput(f"{what} has {like.size} values, of shape {list(like.shape)}; {len(items)} are given")
        return array if like.ndim == 1 else array.reshape(like.shape)


def holds(stored, item) -> bool:
    """Whether a value has come through its conversion: whole numbers as they are, others not as infinite."""
    return bool(np.isfinite(stored) == np.isfinite(item) if isinstance(item, float) else stored == item)


def convert(item, kind, what):
    """`item` as a value of Python's type `kind`."""
    try:
        if kind is bool and isinstance(item, str):
            return {"true": True, "1": True, "false": False, "0": False}[item.lower()]
        if kind is int and isinstance(item, float):
            raise ValueError
        return kind(item)
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{what} takes {kind.__name__}, not {item!r}") from None


def single(value):
    """An attribute's value as the file will hold it: floats have 32 bits."""
    if isinstance(value, float):
        return np.float32(value)
    return [single(v) for v in value] if isinstance(value, list | tuple) else value


def same(new, old):
    """Whether an array is what a tensor holds."""
    return new.shape == tuple(old.shape.numpy()) and new.tobytes() == old.numpy().tobytes()
