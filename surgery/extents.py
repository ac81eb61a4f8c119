"""Dims of every tensor, followed through a graph from those of its inputs; numbers and symbols alike.

    extents = Extents(edit, {x: ("batch", 3, 32, 100)})
    extents.walk()
    extents.dims(y)          ("batch", 25, 38)
    extents.elements(s)      [batch, 3] where s = Slice(Shape(x), 0, 2)

How an operator makes dims of dims is onnx's own inference, asked node by node. What onnx loses is
followed here: whole numbers that are computed from dims, of which some are known and others are
symbols, and the shapes that Reshape, Expand and ConstantOfShape make of them.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from surgery import fold
from surgery.shapes import Dims
from surgery.views import attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from surgery.edit import Edit

# A tensor of more elements is no shape.
MOST = 256
# An end of a Slice that means the end of the tensor.
FAR = (1 << 31) - 1
# What is large, in bytes.
LARGE = 1 << 20
# They move elements and leave them as they are; only input 0 holds elements (Concat: all).
_MOVES = {
    *("Gather", "Slice", "Squeeze", "Unsqueeze", "Identity", "Reshape", "Concat", "Transpose", "Expand"),
    *("Tile", "Split", "Flatten", "GatherElements", "GatherND"),
}
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Neg", "Abs", "Floor", "Ceil", "Where", "Equal"}


class Contradiction(Exception):
    """A node can't take the shapes that it gets; ``node`` is it, the message says why."""

    def __init__(self, node: ir.Node, why: str) -> None:
        super().__init__(why)
        self.node = node


class Extents:
    """See the module.

    Args:
        edit: the edit of the model.
        inputs: the dims of the main graph's inputs: int, the name of a symbol, or None; an input
            that is not there has the dims it declares.
        declared: whether dims may come from what the model declares, and from inference of the
            whole model, where a node by itself tells nothing. They may not where `inputs` are
            other than the declared ones.
    """

    def __init__(self, edit: Edit, inputs: Mapping[ir.Value, Dims], *, declared: bool = True) -> None:
        self.edit = edit
        self.declared = declared
        self.faults: list[Contradiction] = []
        self._types: dict[ir.Value, tuple[int, Dims | None]] = {}
        self._elements: dict[ir.Value, np.ndarray] = {}  # of objects: int, str, or None
        self._fixed: dict[ir.Value, ir.Node] = {}  # outputs of nodes that read constants alone
        self._by_dims: set[ir.Value] = set()  # those of them that are so by the dims of something
        self._tensors: dict[ir.Value, ir.TensorProtocol | None] = {}
        for value in edit.model.graph.inputs:
            element = edit.shapes.element(value)
            if element is not None:
                self._types[value] = element.value, inputs.get(value, edit.shapes.shape(value))

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.edit.model.opset_imports.get("", 1)

    def walk(self, *, strict: bool = False) -> None:
        """Follow all nodes of the main graph.

        Raises:
            Contradiction: a node can't take what it gets; if not `strict`, it is put into `faults`.
        """
        for node in self.edit.model.graph:
            try:
                self.step(node)
            except Contradiction as fault:
                if strict:
                    raise
                self.faults.append(fault)

    def step(self, node: ir.Node) -> None:
        """Follow one node, whose inputs are known already.

        Raises:
            Contradiction: it can't take what it gets.
        """
        if node.op_type == "Constant" and node.domain == "":
            return
        if node.op_type == "If" and node.domain == "" and self._branch(node):
            return
        sound = node.domain == "" and fold.foldable(node)
        inputs = [v for v in node.inputs if v is not None]
        if sound and inputs and all(self.is_constant(v) for v in inputs):
            self._fixed.update(dict.fromkeys(node.outputs, node))
            if any(v in self._elements or v in self._by_dims for v in inputs):
                self._by_dims.update(node.outputs)
        for value, kind in zip(node.outputs, self._outputs(node, sound), strict=True):
            if kind[0]:
                self._types[value] = kind
        if sound:
            self._follow(node)

    def _branch(self, node: ir.Node) -> bool:
        """Follow the branch of an If that is always taken, if that is known."""
        condition = None if node.inputs[0] is None else self.elements(node.inputs[0])
        if condition is None or not all(isinstance(e, int) for e in condition.flat):
            return False
        graph = node.attributes["then_branch" if condition.all() else "else_branch"].as_graph()
        for inner in graph:
            self.step(inner)
        self._types |= {v: self._type(w) for v, w in zip(node.outputs, graph.outputs, strict=True)}
        return True

    # ---- what is known ----------------------------------------------------------------------

    def dims(self, value: ir.Value) -> Dims | None:
        """The dims of a tensor; None if its rank is unknown."""
        return self._type(value)[1]

    def is_constant(self, value: ir.Value) -> bool:
        """Whether `value` is the same whatever the inputs hold, as far as their dims go."""
        return (
            value in self._fixed
            or self.edit.is_constant(value)
            or (value in self._elements and all(isinstance(e, int) for e in self._elements[value].flat))
        )

    def elements(self, value: ir.Value) -> np.ndarray | None:
        """The elements of a small whole-number tensor: int, the name of a symbol, or None if unknown.

        None in place of all: nothing is known of them.
        """
        if value in self._elements:
            return self._elements[value]
        tensor = self.tensor(value) if self._small(value) else None
        return None if tensor is None else tensor.numpy().astype(object)

    def tensor(self, value: ir.Value) -> ir.TensorProtocol | None:
        """The tensor that `value` always is, computed if need be; None if there is none or it can't be computed."""
        if value not in self._tensors:
            self._tensors[value] = self._compute([value])[0]
        return self._tensors[value]

    def _type(self, value: ir.Value) -> tuple[int, Dims | None]:
        if value in self._types:
            return self._types[value]
        tensor = fold.constant(value, self.edit.model.ir_version)
        if tensor is not None:
            found: tuple[int, Dims | None] = tensor.dtype.value, tuple(tensor.shape.numpy())
        elif not self.declared:
            element = self.edit.shapes.element(value)
            found = 0 if element is None else element.value, None
        else:
            dtype = self.edit.shapes.dtype(value)
            element = None if dtype is None else ir.DataType.from_numpy(dtype)
            found = 0 if element is None else element.value, self.edit.shapes.shape(value)
        self._types[value] = found
        return found

    def _small(self, value: ir.Value) -> bool:
        element, dims = self._type(value)
        whole = element in (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
        return whole and dims is not None and all(isinstance(d, int) for d in dims) and math.prod(dims) <= MOST  # type: ignore[arg-type]

    # ---- shapes -----------------------------------------------------------------------------

    def _outputs(self, node: ir.Node, sound: bool) -> list[tuple[int, Dims | None]]:
        """Element type and dims of each output; the element type is 0 where nothing is told."""
        unknown: list[tuple[int, Dims | None]] = [(0, None)] * len(node.outputs)
        if not sound:
            return unknown
        own = self._own(node)
        if own is not None:
            return [own]
        _check_channels(node, [None if v is None else self.dims(v) for v in node.inputs], self.opset)
        types, data = {}, {}
        for value in node.inputs:
            if value is None:
                continue
            element, dims = self._type(value)
            if not element:
                return unknown
            types[value.name or ""] = onnx.helper.make_tensor_type_proto(element, dims)
            known = self._data(value)
            if known is not None:
                data[value.name or ""] = known
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opset, "")
            found = onnx.shape_inference.infer_node_outputs(
                schema, ir.to_proto(node), types, data, opset_imports=[onnx.helper.make_opsetid("", self.opset)]
            )
        except onnx.shape_inference.InferenceError as error:
            raise Contradiction(node, _plain(str(error))) from None
        except (onnx.defs.SchemaError, onnx.checker.ValidationError, ValueError, RuntimeError, TypeError):
            return unknown
        read = [_read(found[v.name]) if v.name in found else (0, None) for v in node.outputs]
        return [self._kept(node, *kind) for kind in read]

    def _kept(self, node: ir.Node, element: int, dims: Dims | None) -> tuple[int, Dims | None]:
        """The dims where onnx gives up on all of them, and the operator keeps some as they are."""
        x = None if node.inputs[0] is None else self.dims(node.inputs[0])
        if node.op_type == "ConvTranspose" and x and dims and len(x) == len(dims):
            return element, (x[0], *dims[1:])
        if node.op_type in ("Resize", "Upsample") and x:
            dims = dims if dims is not None and len(dims) == len(x) else (None,) * len(x)
            scales = self._floats(node, 1 if node.op_type == "Upsample" else 2, len(x))
            sizes = None if len(node.inputs) < 4 or node.inputs[3] is None else self.elements(node.inputs[3])
            if "axes" in node.attributes:
                return element, dims
            if sizes is not None and len(sizes) == len(x):
                return element, tuple(a if d is None else d for d, a in zip(dims, sizes, strict=True))
            if scales is not None:
                kept = zip(dims, x, scales, strict=True)
                return element, tuple(a if d is None and s == 1 else d for d, a, s in kept)
        if node.op_type == "Slice" and x and dims and len(x) == len(dims) and len(node.inputs) > 2:
            whole = self._whole(node, len(x))
            return element, tuple(
                a if d is None and i in whole else d for i, (a, d) in enumerate(zip(x, dims, strict=True))
            )
        return element, dims

    def _whole(self, node: ir.Node, rank: int) -> set[int]:
        """The axes of which a Slice takes all, however long they are."""
        starts, ends, axes, steps = (
            None if i >= len(node.inputs) or (v := node.inputs[i]) is None else self.elements(v) for i in range(1, 5)
        )
        if starts is None or ends is None:
            return set()
        axes = np.arange(len(starts)) if axes is None else axes
        steps = np.ones(len(starts), object) if steps is None else steps
        taken = zip(axes, starts, ends, steps, strict=True)
        part = {
            a % rank
            for a, start, end, step in taken
            if (start, step) != (0, 1) or not isinstance(end, int) or end < FAR
        }
        return set(range(rank)) - part

    def _floats(self, node: ir.Node, index: int, count: int) -> np.ndarray | None:
        value = node.inputs[index] if index < len(node.inputs) else None
        tensor = None if value is None or self.dims(value) != (count,) else self.tensor(value)
        return None if tensor is None else tensor.numpy()

    def _data(self, value: ir.Value) -> onnx.TensorProto | None:
        """A small constant, for the inference of dims that depend on it."""
        if value in self._elements:
            elements = self._elements[value]
            if not all(isinstance(e, int) for e in elements.flat):
                return None
            dtype = onnx.helper.tensor_dtype_to_np_dtype(self._type(value)[0])
            return onnx.numpy_helper.from_array(elements.astype(dtype), value.name)
        dims = self._type(value)[1]
        if dims is None or not all(isinstance(d, int) for d in dims) or math.prod(dims) > MOST:  # type: ignore[arg-type]
            return None
        tensor = self.tensor(value)
        if tensor is None or tensor.dtype == ir.DataType.STRING:
            return None
        return onnx.numpy_helper.from_array(tensor.numpy(), value.name)

    def _own(self, node: ir.Node) -> tuple[int, Dims | None] | None:
        """The operators whose dims are the elements of a tensor, which may be known in part."""
        if node.op_type not in ("Reshape", "Expand", "ConstantOfShape") or len(node.inputs) < 1:
            return None
        wanted = node.inputs[-1]
        elements = None if wanted is None else self.elements(wanted)
        if elements is None or node.inputs[0] is None:
            return None
        asked = list(elements.flat)
        if node.op_type == "ConstantOfShape":
            filler = node.attributes.get("value")
            element = onnx.TensorProto.FLOAT if filler is None else filler.as_tensor().dtype.value
            return element, tuple(asked)
        element, dims = self._type(node.inputs[0])
        if not element:
            return None
        if node.op_type == "Expand":
            return element, None if dims is None else _expand(node, dims, asked)
        return element, reshaped(node, dims, asked, bool(attribute(node, "allowzero", self.opset, 0)))

    # ---- elements ---------------------------------------------------------------------------

    def _follow(self, node: ir.Node) -> None:
        """Learn the elements of the outputs, where they are small and something of them is known."""
        if node.op_type in ("Shape", "Size") and node.inputs[0] is not None:
            dims = self.dims(node.inputs[0])
            if dims is not None and node.op_type == "Shape":
                start, end = (attribute(node, name, self.opset, None) for name in ("start", "end"))
                self._note(node.outputs[0], np.array([*dims[start or 0 : end], None], object)[:-1])
            elif dims is not None and all(isinstance(d, int) for d in dims):
                self._note(node.outputs[0], np.array(math.prod(dims), object))  # type: ignore[arg-type]
            return
        if node.outputs[0] in self._fixed or not all(v is None or self._small(v) for v in node.outputs):
            return
        if node.op_type == "Cast" and node.inputs[0] is not None:
            elements = self.elements(node.inputs[0])
            if elements is not None and self._small(node.inputs[0]):
                self._note(node.outputs[0], elements)
        elif node.op_type in _MOVES:
            self._move(node)
        elif node.op_type in _ELEMENTWISE:
            self._compute_elements(node)

    def _note(self, value: ir.Value, elements: np.ndarray) -> None:
        if value.name:
            self._elements[value] = np.vectorize(_as_int, otypes=[object])(elements) if elements.size else elements

    def _move(self, node: ir.Node) -> None:
        """Elements that are moved: the operator is run on their numbers."""
        held = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        pool: list[object] = []
        given: dict[ir.Value, ir.TensorProtocol] = {}
        for value in node.inputs:
            if value is None or value in given:
                continue
            if value in held:
                elements = self.elements(value)
                dims = self.dims(value)
                if elements is None:
                    if dims is None or not self._small(value):
                        return
                    elements = np.full(dims, None, object)  # type: ignore[arg-type]
                numbers = np.arange(len(pool), len(pool) + elements.size).reshape(elements.shape)
                pool += elements.flat
                given[value] = ir.tensor(numbers.astype(np.int64))
            else:
                tensor = self.tensor(value)
                if tensor is None:
                    return
                given[value] = tensor
        outputs = [v for v in node.outputs if v.name]
        moved = fold.evaluate([node], given, outputs, self.opset, self.edit.model.ir_version or 8)
        for value, numbers in zip(outputs, moved or (), strict=False):
            flat = np.empty(numbers.size, object)
            flat[:] = [pool[i] for i in numbers.flat]
            self._note(value, flat.reshape(numbers.shape))

    def _compute_elements(self, node: ir.Node) -> None:
        """Elements that are computed one by one: those of numbers alone are numbers."""
        operands = [None if v is None else self.elements(v) for v in node.inputs]
        if any(o is None for o in operands):
            return
        masks = np.broadcast_arrays(*(_is_int(o) for o in operands))
        known = np.logical_and.reduce(masks)
        given: dict[ir.Value, ir.TensorProtocol] = {}
        for value, operand in zip(node.inputs, operands, strict=True):
            assert value is not None and operand is not None
            dtype = onnx.helper.tensor_dtype_to_np_dtype(self._type(value)[0])
            given[value] = ir.tensor(np.where(_is_int(operand), operand, 1).astype(dtype))
        found = fold.evaluate([node], given, node.outputs, self.opset, self.edit.model.ir_version or 8)
        if found is None:
            return
        elements = np.where(known, found[0].astype(object), np.full(known.shape, None, object))
        if node.op_type == "Equal":  # a dim is not negative
            a, b = np.broadcast_arrays(*operands)  # type: ignore[arg-type]
            for one, other in ((a, b), (b, a)):
                elements = np.where(_each(one, lambda e: isinstance(e, str)) & _below_zero(other), 0, elements)
        if node.op_type == "Where":
            chosen, a, b = np.broadcast_arrays(*operands)  # type: ignore[arg-type]
            unknown = np.full(a.shape, None, object)
            elements = np.where(_is(chosen, 1), a, np.where(_is(chosen, 0), b, unknown))
        if node.op_type in ("Mul", "Add", "Div", "Sub"):  # x * 1 and x + 0 are x
            neutral = 1 if node.op_type in ("Mul", "Div") else 0
            a, b = np.broadcast_arrays(*operands)  # type: ignore[arg-type]
            elements = np.where(~known & _is(b, neutral), a, elements)
            if node.op_type in ("Mul", "Add"):
                elements = np.where(~known & _is(a, neutral), b, elements)
        self._note(node.outputs[0], elements)

    # ---- constants --------------------------------------------------------------------------

    def settled(self) -> dict[ir.Value, ir.TensorProtocol]:
        """What nodes compute and is constant, as far as others read it that are not, with its tensors.

        Large tensors are left out that would be constant whatever the dims.
        """
        model = self.edit.model
        wanted = []
        for node in model.graph:
            if node.op_type == "Constant" and node.domain == "":
                continue
            for value in node.outputs:
                if not value.name or not self.is_constant(value) or self._large(value):
                    continue
                readers = [use.node for use in value.uses()]
                inner = any(r.graph is not model.graph for r in readers)
                if inner or value.is_graph_output() or any(not self._all_constant(r) for r in readers):
                    wanted.append(value)
        found = zip(wanted, self._compute(wanted), strict=True)
        return {value: tensor for value, tensor in found if tensor is not None}

    def _large(self, value: ir.Value) -> bool:
        element, dims = self._type(value)
        if value in self._by_dims or value in self._elements:
            return False
        if dims is None or not all(isinstance(d, int) for d in dims) or not element:
            return True
        return math.prod(dims) * ir.DataType(element).itemsize > LARGE  # type: ignore[arg-type]

    def _all_constant(self, node: ir.Node) -> bool:
        return all(not v.name or self.is_constant(v) for v in node.outputs)

    def _compute(self, values: Sequence[ir.Value]) -> list[ir.TensorProtocol | None]:
        """The tensors of `values`, in one run if that goes."""
        found = [self._at_hand(v) for v in values]
        missing = [v for v, tensor in zip(values, found, strict=True) if tensor is None and v in self._fixed]
        if missing:
            arrays = self._evaluate(missing)
            at = dict(zip(missing, arrays, strict=True))
            self._tensors |= {v: None if a is None else ir.tensor(a) for v, a in at.items()}
            found = [
                self._tensors.get(v) if tensor is None else tensor for v, tensor in zip(values, found, strict=True)
            ]
        return found

    def _evaluate(self, values: list[ir.Value]) -> Sequence[np.ndarray | None]:
        nodes, given = self._cone(values)
        arrays = fold.evaluate(nodes, given, values, self.opset, self.edit.model.ir_version or 8)
        if arrays is not None:
            return arrays
        return [None] if len(values) == 1 else [self._evaluate([v])[0] for v in values]

    def _at_hand(self, value: ir.Value) -> ir.TensorProtocol | None:
        if self._tensors.get(value) is not None:
            return self._tensors[value]
        elements = self._elements.get(value)
        if elements is not None and all(isinstance(e, int) for e in elements.flat):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(self._type(value)[0])
            return ir.tensor(elements.astype(dtype))
        return fold.constant(value, self.edit.model.ir_version)

    def _cone(self, values: Sequence[ir.Value]) -> tuple[list[ir.Node], dict[ir.Value, ir.TensorProtocol]]:
        """The nodes that `values` come from, in order, and the tensors that these read."""
        cone: dict[ir.Node, None] = {}
        given: dict[ir.Value, ir.TensorProtocol] = {}
        stack = [(v, False) for v in values]
        while stack:
            value, done = stack.pop()
            if done:
                cone[self._fixed[value]] = None
                continue
            tensor = self._at_hand(value)
            if tensor is not None and value not in values:
                given[value] = tensor
            elif value in self._fixed and self._fixed[value] not in cone:
                stack.append((value, True))
                stack += [(v, False) for v in self._fixed[value].inputs if v is not None]
        return list(cone), given


def reshaped(node: ir.Node, dims: Dims | None, asked: Sequence[object], allowzero: bool) -> Dims:
    """The dims that Reshape makes of `dims` where `asked` is its target, known in part.

    Raises:
        Contradiction: the numbers of elements differ.
    """
    out: list[int | str | None] = []
    for i, dim in enumerate(asked):
        if dim == 0 and not allowzero:
            if dims is not None and i >= len(dims):
                raise Contradiction(node, f"its target {list(asked)} keeps axis {i}, which {list(dims)} lacks")
            out.append(None if dims is None else dims[i])
        else:
            out.append(dim if isinstance(dim, str) or (isinstance(dim, int) and dim >= 0) else None)
    if dims is None or None in dims:
        return tuple(out)
    rest = [i for i, dim in enumerate(asked) if dim == -1] or [i for i, dim in enumerate(out) if dim is None]
    others = [d for i, d in enumerate(out) if i not in rest]
    if len(rest) > 1 or None in others:
        return tuple(out)
    have, take = Counter(d for d in dims if isinstance(d, str)), Counter(d for d in others if isinstance(d, str))
    number = math.prod(d for d in dims if isinstance(d, int))
    taken = math.prod(d for d in others if isinstance(d, int))
    left = have - take
    fits = not take - have
    if fits and not left and (number % taken if rest and taken else number != taken and not rest):
        raise Contradiction(node, f"{list(dims)} can't be reshaped to {list(asked)}")
    if rest and fits and taken and number % taken == 0:
        names = list(left.elements())
        if not names:
            out[rest[0]] = number // taken
        elif len(names) == 1 and number == taken:
            out[rest[0]] = names[0]
    return tuple(out)


def _expand(node: ir.Node, dims: Dims, asked: Sequence[object]) -> Dims:
    rank = max(len(dims), len(asked))
    ours = [1] * (rank - len(dims)) + list(dims)
    theirs = [1] * (rank - len(asked)) + list(asked)
    out: list[int | str | None] = []
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, int) and isinstance(b, int) and 1 not in (a, b) and a != b:
            raise Contradiction(node, f"{list(dims)} can't be expanded to {list(asked)}")
        if a == 1 or (isinstance(b, int) and b != 1):
            out.append(b)  # type: ignore[arg-type]
        elif b == 1 or a == b or isinstance(a, int):
            out.append(a)
        else:
            out.append(None)
    return tuple(out)


def _check_channels(node: ir.Node, shapes: Sequence[Dims | None], opset: int) -> None:
    """A convolution's channels, which onnx does not look at."""
    if node.op_type not in ("Conv", "ConvTranspose") or len(shapes) < 2:
        return
    x, w = shapes[:2]
    if not x or not w or len(x) < 3 or len(w) < 3:
        return
    group = attribute(node, "group", opset, 1)
    takes = w[0] if node.op_type == "ConvTranspose" else (w[1] * group if isinstance(w[1], int) else None)
    if isinstance(x[1], int) and isinstance(takes, int) and x[1] != takes:
        raise Contradiction(node, f"its weights are for {takes} channels, and it gets {x[1]}")


def _read(proto: onnx.TypeProto) -> tuple[int, Dims | None]:
    tensor = proto.tensor_type
    if not tensor.elem_type:
        return 0, None
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    dims = tensor.shape.dim
    return tensor.elem_type, tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims)


def _plain(text: str) -> str:
    """An error of onnx without its kind and its place in onnx's source."""
    text = " ".join(text.split())
    for sign in ("[ShapeInferenceError]", "[TypeInferenceError]"):
        text = text.rpartition(sign)[2]
    return text.strip() or "its inputs do not fit"


def _as_int(element: object) -> object:
    return int(element) if isinstance(element, (int, np.integer, np.bool_)) else element


def _is_int(elements: np.ndarray | None) -> np.ndarray:
    return _each(elements, lambda e: isinstance(e, int))


def _is(elements: np.ndarray, number: int) -> np.ndarray:
    return _each(elements, lambda e: isinstance(e, int) and e == number)


def _below_zero(elements: np.ndarray) -> np.ndarray:
    return _each(elements, lambda e: isinstance(e, int) and e < 0)


def _each(elements: np.ndarray | None, test: Callable[[object], bool]) -> np.ndarray:
    assert elements is not None
    return np.array([test(e) for e in elements.flat], bool).reshape(elements.shape)
