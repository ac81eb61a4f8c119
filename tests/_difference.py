"""Compare two models field by field, but for what means nothing (see `surgery.losses`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

SORTED = ("metadata_props", "value_info", "quantization_annotation", "quant_parameter_tensor_names")


def differences(one: onnx.ModelProto, other: onnx.ModelProto) -> list[str]:
    """Every field that the two have not alike, by its path."""
    return list(_differences(one, other, "model"))


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    names = [f.name for f in one.DESCRIPTOR.fields]
    for name in names:
        a, b = _value(one, name), _value(other, name)
        if isinstance(a, list):
            if len(a) != len(b):
                yield f"{path}.{name}: {len(a)} and {len(b)}"
                continue
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                yield from (
                    _differences(x, y, f"{path}.{name}[{i}]")
                    if hasattr(x, "DESCRIPTOR")
                    else _plain(x, y, f"{path}.{name}[{i}]")
                )
        elif hasattr(a, "DESCRIPTOR") and hasattr(b, "DESCRIPTOR"):
            yield from _differences(a, b, f"{path}.{name}")
        else:
            yield from _plain(a, b, f"{path}.{name}")


def _plain(a: Any, b: Any, path: str) -> Iterator[str]:
    if a != b and not (a != a and b != b):
        yield f"{path}: {str(a)[:80]!r} and {str(b)[:80]!r}"


def _value(message: Any, name: str) -> Any:
    """A field's value, the default and "not set" being one."""
    value = getattr(message, name)
    if name == "domain" and value == "ai.onnx":
        return ""
    if hasattr(value, "DESCRIPTOR"):  # a message: set or not counts where it is one of several
        return value if message.HasField(name) else None
    if not isinstance(value, (str, bytes, int, float)):
        items = list(value)
        return sorted(items, key=lambda m: m.SerializeToString()) if name in SORTED else items
    return value
