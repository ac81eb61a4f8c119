"""What the ONNX standard says of operators: schemas, attributes, types, by opset.

Source: the operator schemas of the installed onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import defs, helper

from surgery.errors import Refused


def refusal(op_type: str, opset: int, since: int = 0) -> Refused:
    """That the operator can't be written at an opset, as it is asked for.

    Args:
        op_type: a standard operator.
        opset: where it was to be written.
        since: the first opset at which it can be; by default the first that has the operator.
    """
    while not since or schema(op_type, since) is None:
        since = max(since, opset) + 1
    return Refused(
        f"{op_type} as it is needed here can't be written at opset {opset}",
        cure=f"convert the model to opset {since} or newer first",
    )


@cache
def schema(op_type: str, opset: int | None, domain: str = "") -> defs.OpSchema | None:
    """The schema of an operator at an opset, or its newest; None if there is none."""
    try:
        return defs.get_schema(op_type, domain) if opset is None else defs.get_schema(op_type, opset, domain)
    except defs.SchemaError:
        return None


@cache
def parameters(op_type: str) -> list[tuple[str, np.dtype | None]]:
    """For every formal input its type variable, and the dtype that a literal there has by itself."""
    newest = schema(op_type, None)
    found: list[tuple[str, np.dtype | None]] = []
    for formal in newest.inputs if newest else ():
        only: np.dtype | None = None
        if formal.types <= {"tensor(int64)", "tensor(int32)"}:
            only = np.dtype(np.int64 if "tensor(int64)" in formal.types else np.int32)
        elif formal.types == {"tensor(float)"}:
            only = np.dtype(np.float32)
        found.append((formal.type_str, only))
    return found


@cache
def kinds(op_type: str, opset: int | None, domain: str = "") -> dict[str, str]:
    """The types of an operator's attributes (``INTS``) by name, at an opset or of its newest version."""
    found: Any = schema(op_type, opset, domain)
    return {name: attribute.type.name for name, attribute in found.attributes.items()} if found else {}


@cache
def wrong_type(
    op_type: str, opset: int, inputs: tuple[ir.DataType | None, ...], outputs: tuple[ir.DataType | None, ...]
) -> str:
    """Which of the element types, as far as they are known, the operator does not have at an opset; or nothing."""
    found = schema(op_type, opset)
    for verb, given, formal in (
        ("take", inputs, found.inputs if found else []),
        ("give", outputs, found.outputs if found else []),
    ):
        for i, element in enumerate(given if formal else ()):
            if element is not None and f"tensor({_type_name(element)})" not in formal[min(i, len(formal) - 1)].types:
                return f"{verb} {_type_name(element)}"
    return ""


def typed(op_type: str, opset: int, attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as the operator has them: 1 for a float is 1.0, and an empty list has its type."""
    known = kinds(op_type, opset)
    made: dict[str, Any] = {}
    for name, value in attributes.items():
        kind = known.get(name, "")
        plain = _PLAIN.get(kind.removesuffix("S"))
        if plain is not None:
            try:
                value = [plain(v) for v in value] if kind.endswith("S") else plain(value)
            except (TypeError, ValueError):
                raise TypeError(f"attribute {name!r} of {op_type} is {kind.lower()}, not {value!r}") from None
            value = ir.Attr(name, ir.AttributeType[kind], value)
        made[name] = value
    return made


_PLAIN: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str}


@cache
def outputs(op_type: str) -> int:
    """How many outputs an operator has that leaves none of them open."""
    newest = schema(op_type, None)
    return max(newest.min_output, 1) if newest else 1


def _type_name(element: ir.DataType) -> str:
    """An element type as schemas write it, ``float16`` in ``tensor(float16)``."""
    return element.name.lower()


def default(found: defs.OpSchema, name: str) -> Any:
    """The default of an attribute; None if it has none."""
    value = found.attributes[name].default_value
    if value.type == onnx.AttributeProto.UNDEFINED:
        return None
    plain = helper.get_attribute_value(value)
    return plain.decode() if isinstance(plain, bytes) else plain
