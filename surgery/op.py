"""``op``: write standard ONNX in its newest spelling, at whatever opset the model has.

    y = op.ReduceSum(op.Mul(x, 2.0), [1], keepdims=0)
    a, b = op.Split(x, num_outputs=2, axis=0)

Operands are values, or numbers and arrays, which become constants of the dtype that the
operator asks for beside its other operands. What depends on constants alone is computed
at once and becomes a constant. How older opsets spell things is in `surgery.spelling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from surgery import fold, schemas, spelling
from surgery.errors import Refused
from surgery.views import Skip, Value, label

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from surgery.edit import Edit

Operand = Value | int | float | bool | list[Any] | tuple[Any, ...] | np.ndarray | None


class Op:
    """Builds nodes in front of one node of the graph.

    Args:
        edit: the edit that the nodes belong to.
        at: the node before which they are put, and after which they are named.
        opsets: the versions of operators there, by domain; a domain that is written is added.
    """

    def __init__(self, edit: Edit, at: ir.Node, opsets: dict[str, int]) -> None:
        self.opset = opsets.get("") or _common_to(edit.model.ir_version)
        self._opsets = opsets
        self._edit = edit
        self._at = at
        self._base = label(at)
        self._nodes: list[ir.Node] = []

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        """The operator `op_type`; see `call`."""
        if not op_type[:1].isupper():
            raise AttributeError(op_type)
        return lambda *inputs, **attributes: self.call(op_type, inputs, attributes)

    def skip(self, why: str = "") -> Skip:
        """To be returned by ``rewrite``: the place stays as it is, and is reported with the reason.

        Without one it isn't: the node was no place at all.
        """
        return Skip(why)

    def call(self, op_type: str, inputs: Sequence[Operand], attributes: dict[str, Any]) -> Any:
        """A node of the standard operator `op_type`, as its newest version has it.

        Args:
            inputs: the operands in order; None for an optional one that is left out.
            attributes: by name; dtypes (``Cast``'s ``to``) as numpy dtypes. Two have a
                meaning of their own: ``domain`` takes an operator of another domain, as it
                is; ``outputs`` is the number of outputs where the operator leaves it open.

        Returns:
            A `Value`, or a list of them where there are several outputs.

        Raises:
            Refused: the operator can't be spelt at the model's opset.
        """
        attributes = {k: _attribute(v) for k, v in attributes.items() if v is not None}
        domain, count = attributes.pop("domain", ""), attributes.pop("outputs", None)
        if domain:
            values = [self._value(x, None) for x in inputs]
            return self.emit(op_type, values, attributes, count or 1, domain)
        newest = schemas.schema(op_type, None)
        if newest is None or newest.deprecated:
            raise TypeError(f"there is no standard operator {op_type!r}")
        known = schemas.kinds(op_type, None)
        unknown = sorted(attributes.keys() - known.keys())
        if unknown:
            has = ", ".join(sorted(known)) or "none"
            raise TypeError(f"{op_type} of opset {newest.since_version} has no attribute {unknown[0]!r}; it has {has}")
        if len(inputs) > newest.max_input:
            raise TypeError(
                f"{op_type} of opset {newest.since_version} has {newest.max_input} inputs, not {len(inputs)}"
            )
        values = self._operands(newest, op_type, inputs)
        if count is None:
            count = attributes.get("num_outputs") or schemas.outputs(op_type)
            if op_type == "Split" and len(values) > 1 and values[1] is not None:
                sizes = values[1].constant
                if sizes is None:
                    raise TypeError("Split needs outputs= where its sizes are not constant")
                count = len(sizes)
        return spelling.spell(self, op_type, values, attributes, count)

    def emit(
        self, op_type: str, inputs: Sequence[Value | None], attributes: dict[str, Any], count: int, domain: str = ""
    ) -> Any:
        """The node as it is given, in the spelling of the model's opset."""
        if not domain and schemas.schema(op_type, self.opset) is None:
            raise schemas.refusal(op_type, self.opset)
        kept = list(inputs)
        while kept and kept[-1] is None:
            kept.pop()
        node = self._edit.node(
            op_type,
            [None if v is None else v.ir for v in kept],
            attributes if domain else schemas.typed(op_type, self.opset, attributes),
            base=self._base,
            outputs=count,
            domain=domain,
        )
        node.version = self._opsets.get(domain, 1) if domain else self.opset
        self._nodes.append(node)
        self._edit.shapes.note(node)
        if not domain:
            self._check(node)
        if all(v is None or self._edit.is_constant(v.ir) for v in kept) and fold.foldable(node):
            self._edit.pending.add(node)
        values = [Value(v, self._edit) for v in node.outputs]
        return values[0] if count == 1 else values

    def body(self, op_type: str, inputs: Sequence[Operand], attributes: dict[str, Any], count: int = 1) -> Any:
        """The operators that ONNX defines `op_type` by, in place of a node of it.

        Returns:
            What `call` returns; None where the standard gives no body, or one with sub-graphs.
        """
        newest = schemas.schema(op_type, self.opset) or schemas.schema(op_type, None)
        if newest is None:
            raise TypeError(f"there is no standard operator {op_type!r}")
        values = self._operands(newest, op_type, inputs)
        return spelling.body(self, newest, values, attributes, count)

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant tensor, as a `Value`."""
        array = np.asarray(array, dtype=dtype)
        return Value(self._edit.pending.loose(array, f"{self._base}/constant"), self._edit)

    def count(self, values: Sequence[Value | None]) -> int:
        """How many nodes `values` need, once what is constant is folded."""
        return len(self._edit.pending.needed(self._nodes, [None if v is None else v.ir for v in values]))

    def finish(self, values: Sequence[Value | None], instead: Collection[ir.Node] = ()) -> list[ir.Value | None]:
        """Put the nodes that `values` need into the graph, constants folded; see `Edit.settle`.

        Raises:
            ValueError: one of them reads what a node of `instead`, which is to go, gives.
        """
        settled = self._edit.settle(self._nodes, [None if v is None else v.ir for v in values], self._at)
        for node in self._nodes:
            if node.graph is not None:
                self._opsets.setdefault(node.domain, node.version or 1)
                if any(v is not None and v.producer() in instead for v in node.inputs):
                    raise ValueError(f"{node.op_type} reads what it replaces")
        return settled

    def _operands(self, newest: onnx.defs.OpSchema, op_type: str, inputs: Sequence[Operand]) -> list[Value | None]:
        formal = schemas.parameters(op_type)
        if not formal:
            return [self._value(x, None) for x in inputs]
        kinds = [formal[min(i, len(formal) - 1)] for i in range(len(inputs))]
        typed: dict[str, Value] = {}
        for (kind, _), x in zip(kinds, inputs, strict=True):
            if isinstance(x, Value):
                typed.setdefault(kind, x)
        out: list[Value | None] = []
        for (kind, only), x in zip(kinds, inputs, strict=True):
            if x is None or isinstance(x, (Value, np.ndarray, np.generic)):
                out.append(self._value(x, None))
            elif kind in typed:
                dtype = typed[kind].dtype
                if dtype is None:
                    raise Skip(f"the element type of {typed[kind].name!r} is unknown")
                out.append(self._value(x, dtype))
            else:
                out.append(self._value(x, only))
        return out

    def _value(self, x: Operand, dtype: np.dtype | None) -> Value | None:
        if x is None or isinstance(x, Value):
            return x
        if isinstance(x, ir.Value):
            return Value(x, self._edit)
        array = np.asarray(x)
        if isinstance(x, (np.ndarray, np.generic)):
            return self.constant(array)
        if dtype is None:
            return self.constant(array, {"f": np.float32, "i": np.int64}.get(array.dtype.kind))
        if array.dtype.kind == "f" and array.size == 0:
            return self.constant(array, dtype)
        return self.constant(_cast(array, dtype))

    def _check(self, node: ir.Node) -> None:
        """Refuse a type that the operator does not take, or give, at this opset."""
        element = self._edit.shapes.element
        inputs = tuple(None if v is None else element(v) for v in node.inputs)
        wrong = schemas.wrong_type(node.op_type, self.opset, inputs, tuple(map(element, node.outputs)))
        if wrong:
            raise Refused(
                f"{node.op_type} of opset {self.opset} does not {wrong}",
                where=self._base,
                cure="convert the model to a newer opset first",
            )


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A literal in the dtype that its neighbours have.

    Raises:
        Skip: the dtype can't hold it: a fraction among integers, a number beyond its range.
    """
    if array.dtype.kind not in "fiub":
        return array
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
        back = cast.astype(array.dtype)
    exact = array.dtype.kind in "iub" or dtype.kind in "iub"
    held = np.array_equal(back, array) if exact else np.array_equal(np.isfinite(back), np.isfinite(array))
    if not held:
        raise Skip(f"{array.tolist()} can't be said in {dtype}")
    return cast


def _common_to(ir_version: int | None) -> int:
    """The standard operators for a model that imports none: those that whatever reads its IR version knows."""
    known = onnx.helper.OP_SET_ID_VERSION_MAP.items()
    return max(9, min((o for (domain, o), i in known if domain == "ai.onnx" and i == ir_version), default=9))


def _attribute(value: Any) -> Any:
    if isinstance(value, (np.dtype, type)):
        return ir.DataType.from_numpy(np.dtype(value)).value
    if isinstance(value, np.ndarray):
        return ir.tensor(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return list(value)
    return value
