"""The nodes of a model as conditions of rules see them: the words that those are written in.

A condition is an expression: ``mode == 'cubic' and rank(0) == 4``. In it

- the name of an attribute is its value, or the schema's default, or None, as is ``attr('size')`` where the name is
  a word of its own here; ``given('strides')`` tells whether the file has it;
- ``has(i)``, ``rank(i)``, ``shape(i)``, ``size(i)``, ``dtype(i)``, ``fixed(i)`` are of input `i`: is it
  there, its rank, its dims (a symbol or None where free), its number of elements, its element type
  (``'float32'``), whether all dims are numbers; ``is_const(i)`` tells whether it is stored in the
  model, and ``const(i)`` its elements in a flat list; ``of_shape(i)`` whether it comes from shapes
  and constants alone, ``settled(i)`` whether those shapes are all numbers, too; ``free(i, k)``
  whether dim `k` is not known as a number, ``signed(i)`` whether its integers may be negative,
  ``leads(i)`` whether it is a Concat whose beginning is settled, ``packed(i)`` whether it is one of parts
  with several elements, ``plain(i)`` whether each part is settled or follows free dims, several of them not as
  scalars, ``product(i)`` whether a part follows several as scalars and the first is not stored;
  ``maker(i)`` is the operator that gives it;
- ``out_rank(i)``, ``out_shape(i)``, ``out_dtype(i)`` are of output `i`; ``named(i)`` tells whether it has a name,
  ``used(i)`` whether anything takes it, ``readers(i)`` the operators that do, ``is_output(i)`` whether it is the
  model's;
- ``ins``, ``outs`` count inputs and outputs; ``opset`` is the model's, ``since`` the version of the
  operator; ``domain``, ``local_function``, ``branches_differ`` (of If: in rank), ``flattens(axis)``
  (a dim behind `axis` is not 1), ``window_in_pad`` (of a pool that rounds up: the last one; where dims are free, at
  some size), ``window_over`` (its last one that is kept reaches over the end), ``ragged`` (that, or is left out),
  ``floors_apart`` (of Resize by sizes: a quotient, and the product by its inverse, fall on two sides of a whole
  number), ``parts_padded`` (of Pad: how many parts of the shape, from the first dim that is padded on, where
  neighbours that are not count as one), ``beyond(v)`` (a stored
  float has an element larger than `v`; with ``beyond(v, 'int')`` an integer), ``overflows(v)`` (such a
  float is not only compared with, or a bound that no smaller number reaches);
- ``operators`` are those of the model's graph; of a rule on ``input``, ``alone`` tells whether it is the only one, of
  one on ``output`` ``is_twin`` whether another output is a copy of the same value;
- the options of the target by their names: ``soc``, ``precision``.

What is not known is None; where that leaves a condition without an answer, it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx

from surgery.protos import subgraphs
from surgery.targets.conditions import PLAIN
from surgery.targets.scope import STANDARD, Dims, Scope, elements

_ERRORS = (onnx.shape_inference.InferenceError, ValueError, RuntimeError, TypeError)
_IMAGE = 1 << 20  # elements along an axis; no image is longer
_COMPARE = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"})
_BOUNDS = {"Min": (1,), "Max": (-1,), "Clip": (0, -1, 1)}


class Names(dict[str, Any]):
    """The names of one place; those that are not of the vocabulary are attributes."""

    def __init__(self, place: Place, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self._place = place

    def __missing__(self, name: str) -> Any:
        return getattr(self._place, name) if name in _ASKED else self._place.attr(name)


class Place:
    """One node, as conditions see it."""

    def __init__(self, node: onnx.NodeProto, scope: Scope, opsets: Mapping[str, int], functions: set[Any]) -> None:
        self.node = node
        self.scope = scope
        self._domain = "" if node.domain in STANDARD else node.domain
        self._opset = opsets.get(self._domain, opsets.get("", 1))
        self._attributes = {a.name: a for a in node.attribute}
        self._local = (node.domain, node.op_type) in functions
        self._model_opset = opsets.get("", 1)

    @property
    def name(self) -> str:
        """The node's name, or that of its first output."""
        return self.node.name or next((n for n in self.node.output if n), "") or self.node.op_type

    @property
    def folded(self) -> bool:
        """Whether all that it gives depends on constants and fixed shapes alone."""
        return all(self.scope.settled(name) for name in self.node.output if name)

    def names(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The vocabulary at this place."""
        words: dict[str, Any] = {
            **PLAIN,
            **options,
            "opset": self._model_opset,
            "since": _since(self._domain, self.node.op_type, self._opset),
            "domain": self._domain,
            "local_function": self._local,
            "op_type": self.node.op_type,
            "ins": len(self.node.input),
            "outs": len(self.node.output),
            "inside": self.scope.inside,
        }
        for word in _WORDS:
            words[word] = getattr(self, word)
        return Names(self, words)

    # ------------------------------------------------------------------ the vocabulary

    def attr(self, name: str) -> Any:
        """An attribute, the schema's default, or None."""
        found = self._attributes.get(name)
        if found is None:
            return _defaults(self._domain, self.node.op_type, self._opset).get(name)
        if found.ref_attr_name:
            return None
        return _words(onnx.helper.get_attribute_value(found))

    def given(self, name: str) -> bool:
        """Whether the file has the attribute."""
        return name in self._attributes

    def has(self, i: int) -> bool:
        """Whether input `i` is there."""
        return self._input(i) != ""

    def rank(self, i: int) -> int | None:
        """The rank of input `i`."""
        return self.scope.rank(self._input(i))

    def shape(self, i: int) -> Dims | None:
        """The dims of input `i`."""
        return self.scope.types.get(self._input(i), (None, None))[1]

    def size(self, i: int) -> int | None:
        """The number of elements of input `i`."""
        shape = self.shape(i)
        if shape is None or not all(isinstance(d, int) for d in shape):
            return None
        return math.prod(d for d in shape if isinstance(d, int))

    def dtype(self, i: int) -> str | None:
        """The element type of input `i`."""
        return self.scope.types.get(self._input(i), (None, None))[0]

    def fixed(self, i: int) -> bool:
        """Whether all dims of input `i` are numbers."""
        return self.size(i) is not None

    def is_const(self, i: int) -> bool:
        """Whether input `i` is stored in the model."""
        return self._input(i) in self.scope.stored

    def const(self, i: int) -> list[Any] | None:
        """The elements of input `i`, if it is stored."""
        tensor = self.scope.stored.get(self._input(i))
        return None if tensor is None else elements(tensor)

    def of_shape(self, i: int) -> bool:
        """Whether input `i` comes from shapes and constants alone."""
        return self.scope.of_shape(self._input(i))

    def settled(self, i: int) -> bool:
        """Whether it does, and those shapes are numbers."""
        return self.scope.settled(self._input(i))

    def free(self, i: int, axis: int) -> bool:
        """Whether dim `axis` of input `i` is not known as a number."""
        shape = self.shape(i)
        return shape is None or not isinstance(shape[axis], int)

    def leads(self, i: int) -> bool:
        """Whether input `i` is a Concat that begins with what is settled."""
        node = self.scope.makers.get(self._input(i))
        return node is not None and node.op_type == "Concat" and self.scope.settled(node.input[0])

    def plain(self, i: int) -> bool:
        """Whether input `i` is a Concat of parts that are settled or follow free dims, not as scalars."""
        node = self.scope.makers.get(self._input(i))
        if node is None or node.op_type != "Concat":
            return False
        return all(self.scope.settled(n) or (self.scope.follows(n) and not self._scalars(n)) for n in node.input)

    def product(self, i: int) -> bool:
        """Whether input `i` is a Concat that begins with what is not stored, and has a part computed of scalars."""
        node = self.scope.makers.get(self._input(i))
        if node is None or node.op_type != "Concat" or node.input[0] in self.scope.stored:
            return False
        return any(self._scalars(name) for name in node.input)

    def _scalars(self, name: str) -> bool:
        """Whether a length follows several free dims, and was a scalar."""
        node = self.scope.makers.get(name)
        return node is not None and node.op_type == "Unsqueeze" and self.scope.follows(name) > 1

    def packed(self, i: int) -> bool:
        """Whether input `i` is a Concat of which a part has several elements."""
        node = self.scope.makers.get(self._input(i))
        if node is None or node.op_type != "Concat":
            return False
        lengths = [(self.scope.types.get(name, (None, None))[1] or (1,))[0] for name in node.input]
        return any(isinstance(length, int) and length > 1 for length in lengths)

    def signed(self, i: int) -> bool:
        """Whether integers of input `i` may be negative, as far as is seen."""
        return self.scope.signed(self._input(i))

    def maker(self, i: int) -> str:
        """The operator that gives input `i`."""
        node = self.scope.makers.get(self._input(i))
        return "" if node is None else node.op_type

    def out_rank(self, i: int = 0) -> int | None:
        """The rank of output `i`."""
        shape = self.out_shape(i)
        return None if shape is None else len(shape)

    def out_shape(self, i: int = 0) -> Dims | None:
        """The dims of output `i`."""
        return self.scope.types.get(self._output(i), (None, None))[1]

    def out_dtype(self, i: int = 0) -> str | None:
        """The element type of output `i`."""
        return self.scope.types.get(self._output(i), (None, None))[0]

    def named(self, i: int) -> bool:
        """Whether output `i` has a name."""
        return self._output(i) != ""

    def used(self, i: int) -> bool:
        """Whether anything takes output `i`."""
        return bool(self._output(i)) and (bool(self.readers(i)) or self.is_output(i))

    def readers(self, i: int = 0) -> set[str]:
        """The operators that take output `i`."""
        return self.scope.readers.get(self._output(i), set())

    def is_output(self, i: int = 0) -> bool:
        """Whether output `i` is the model's."""
        return self._output(i) in self.scope.outputs

    def flattens(self, axis: int) -> bool:
        """Whether a dim of the first input behind `axis` is not 1."""
        shape = self.shape(0)
        if shape is None:
            raise TypeError
        return any(d != 1 for d in shape[axis % len(shape) + 1 :])

    @property
    def branches_differ(self) -> bool:
        """Whether the branches of If give tensors of unlike rank."""
        ranks = []
        for graph in subgraphs(self.node):
            scope = Scope(self.scope)
            scope.read(graph)
            ranks.append([scope.rank(output.name) for output in graph.output])
        return any(a is not None and b is not None and a != b for a, b in zip(*ranks, strict=False)) if ranks else False

    @property
    def ragged(self) -> bool:
        """Whether the last window of a pool that rounds up may reach over the end of the padded data."""
        return any(
            stride > 1 and (size is None or (size + before + after - reach) % stride != 0)
            for size, before, after, reach, stride in self._rounded_up()
        )

    @property
    def window_in_pad(self) -> bool:
        """Whether a pool that rounds up starts its last window behind the data; where a dim is free, at some size."""
        return any(
            reach - after < stride
            if size is None
            else -((size + before + after - reach) // -stride) * stride >= size + before
            for size, before, after, reach, stride in self._rounded_up()
        )

    @property
    def window_over(self) -> bool:
        """Whether a pool that rounds up keeps a window that reaches over the end; where a dim is free, at some size."""
        return any(
            0 < over < reach - after
            for size, before, after, reach, stride in self._rounded_up()
            for over in (range(stride) if size is None else [(reach - size - before - after) % stride])
        )

    def _rounded_up(self) -> Iterator[tuple[int | None, int, int, int, int]]:
        """Of each axis of a pool that rounds up: its size, pads before and after, the window's reach, the stride."""
        shape, kernel = self.shape(0), self.attr("kernel_shape")
        if not self.attr("ceil_mode") or kernel is None:
            return
        n = len(kernel)
        pads, strides = self.attr("pads") or [0] * 2 * n, self.attr("strides") or [1] * n
        spread = self.attr("dilations") or [1] * n
        for i, size in enumerate((None,) * n if shape is None else shape[2:]):
            reach = (kernel[i] - 1) * spread[i] + 1
            yield size if isinstance(size, int) else None, pads[i], pads[i + n], reach, strides[i]

    @property
    def floors_apart(self) -> bool:
        """Whether the floors of place / (out / in) and place * (in / out) differ in float32, in a Resize by sizes."""
        shape, made = self.shape(0), self.out_shape(0)
        if shape is None or made is None or not self.has(3):
            return False
        half = np.float32(0.5 if "half_pixel" in str(self.attr("coordinate_transformation_mode")) else 0)
        for size, after in zip(shape[2:], made[2:], strict=True):
            if isinstance(size, int) and isinstance(after, int) and size and 0 < after <= _IMAGE:
                place, a, b = np.arange(after, dtype=np.float32), np.float32(size), np.float32(after)
                quotient, product = (place + half) / (b / a) - half, place * (a / b) + (half * (a / b) - half)
                if (np.floor(quotient) != np.floor(product)).any():
                    return True
        return False

    @property
    def parts_padded(self) -> int | None:
        """Into how many parts dims fall for Pad, from the first that is padded on: neighbours that are not are one."""
        pads, rank = self.attr("pads") or self.const(1), self.rank(0)
        if pads is None or rank is None or len(pads) != 2 * rank:
            return None
        padded = [bool(pads[axis] or pads[axis + rank]) for axis in range(rank)]
        return sum(any(padded[: axis + 1]) and (here or padded[axis - 1]) for axis, here in enumerate(padded))

    def beyond(self, value: float, kind: str = "float") -> bool:
        """Whether a stored input of that kind of type has an element larger than `value`."""
        return any(
            math.isfinite(v) and abs(v) > value
            for i in range(len(self.node.input))
            if kind in (self.dtype(i) or "") and self.dtype(i) != "string"
            for v in self.const(i) or ()
        )

    def overflows(self, value: float) -> bool:
        """Whether a stored float larger than `value` means something else once it is infinite.

        To compare with it, and to be bounded by it from the far side, means the same: no number of the type
        is beyond it either way. What Identity hands on counts where it is taken.
        """
        operator = "" if self._domain else self.node.op_type
        if operator in _COMPARE or (operator == "Identity" and not self.is_output()):
            return False
        far = _BOUNDS.get(operator, ())  # of every input, the sign of numbers that bound nothing
        return any(
            math.isfinite(v) and abs(v) > value and v * (far[min(i, len(far) - 1)] if far else 0) <= 0
            for i in range(len(self.node.input))
            if "float" in (self.dtype(i) or "")
            for v in self.const(i) or ()
        )

    def _input(self, i: int) -> str:
        return self.node.input[i] if i < len(self.node.input) else ""

    def _output(self, i: int) -> str:
        return self.node.output[i] if i < len(self.node.output) else ""


_WORDS = (
    *(
        "attr",
        "given",
        "has",
        "rank",
        "shape",
        "size",
        "dtype",
        "fixed",
        "is_const",
        "const",
        "of_shape",
        "settled",
        "free",
        "leads",
        "plain",
        "product",
        "packed",
        "signed",
        "maker",
    ),
    *("out_rank", "out_shape", "out_dtype", "named", "used", "readers", "is_output", "flattens", "beyond", "overflows"),
)
_ASKED = ("branches_differ", "floors_apart", "parts_padded", "ragged", "window_in_pad", "window_over")


def places(model: onnx.ModelProto) -> Iterator[Place]:
    """Every node of a model, those of sub-graphs and functions among them, with what is known there."""
    model = inferred(model)
    functions = {(f.domain, f.name) for f in model.functions}
    opsets = _opsets(model.opset_import)
    scope = Scope()
    scope.read(model.graph)
    yield from _walk(model.graph, scope, opsets, functions)
    for function in model.functions:
        body = Scope()
        body.inside = True
        body.read(function)
        yield from _walk(function, body, {**opsets, **_opsets(function.opset_import)}, functions)


def _walk(graph: Any, scope: Scope, opsets: Mapping[str, int], functions: set[Any]) -> Iterator[Place]:
    for node in graph.node:
        yield Place(node, scope, opsets, functions)
        for within in subgraphs(node):
            here = Scope(scope)
            here.read(within)
            yield from _walk(within, here, opsets, functions)


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what onnx infers; as it is where it infers nothing."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except _ERRORS:
        return model


def _opsets(imports: Any) -> dict[str, int]:
    return {"" if o.domain in STANDARD else o.domain: o.version for o in imports}


@cache
def _since(domain: str, operator: str, opset: int) -> int | None:
    try:
        return int(onnx.defs.get_schema(operator, opset, domain).since_version)
    except onnx.defs.SchemaError:
        return None


@cache
def _defaults(domain: str, operator: str, opset: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        attributes = onnx.defs.get_schema(operator, opset, domain).attributes
    except onnx.defs.SchemaError:
        return found
    for name, attribute in attributes.items():
        if attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            found[name] = _words(onnx.helper.get_attribute_value(attribute.default_value))
    return found


def _words(value: Any) -> Any:
    """A value of an attribute, with text as text and lists as lists."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_words(v) for v in value] if isinstance(value, (list, tuple)) else value
