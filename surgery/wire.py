"""Take large weights out of a serialized model, and put them back, without parsing them.

A model file is a protobuf message; nearly all of its bytes are the ``raw_data`` of
a few hundred tensors. `lift` walks the message, leaves those bytes where they are and
puts a reference to their place in the file into the tensor, in the form that ONNX has
for external data. What is left is small, whatever the model's size. `lower` goes the
other way while a model is written.

Source of the field numbers: onnx.proto of ONNX 1.23 (IR version 14); of the encoding:
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import onnx

LARGE = 1024  # bytes; smaller weights are not worth a reference

_DEPTH = 100  # protobuf's own bound on nested messages
_MOST = 1 << 23  # fields looked at, for a bound on time; those of a million nodes are far fewer
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14
_TENSOR = "tensor"
# For every message that leads to a tensor: its fields that do, and what they hold.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: _TENSOR},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph"},
}


class Irregular(Exception):
    """The bytes are no message that this walker understands; protobuf is to judge them."""


class Weight(Protocol):
    """Bytes that `lower` puts into a tensor: anything that has a length and can write itself."""

    def __len__(self) -> int: ...

    def copy(self, file: BinaryIO) -> None:
        """Write the bytes to `file`."""


def lift(data: memoryview, location: str) -> bytes:
    """Replace every large ``raw_data`` of a model by a reference to its place.

    Args:
        data: the serialized model.
        location: the ``location`` that the references shall give: the file of `data`.

    Returns:
        The serialized model with external references, a few per cent of its size.

    Raises:
        Irregular: `data` is truncated or no such message.
    """
    left = _MOST

    def fields(start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        nonlocal left
        for field in _fields(data, start, end):
            left -= 1
            if left < 0:
                raise Irregular(f"more than {_MOST} fields")
            yield field

    def tensor(start: int, end: int) -> bytes | None:
        raw = [f for f in fields(start, end) if f[0] in (_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION)]
        if len(raw) != 1 or raw[0][0] != _RAW_DATA or raw[0][3] - raw[0][2] < LARGE:
            return None
        _, begin, first, last = raw[0]
        reference = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", str(first)), ("length", str(last - first))):
            reference.external_data.add(key=key, value=value)
        return b"".join((data[start:begin], data[last:end], reference.SerializeToString()))

    def message(kind: str, start: int, end: int, depth: int) -> bytes | None:
        if kind is _TENSOR:
            return tensor(start, end)
        if depth > _DEPTH:
            raise Irregular(f"messages nested deeper than {_DEPTH}")
        inner, done = _FIELDS[kind], start
        pieces: list[bytes | memoryview] = []
        for number, begin, first, last in fields(start, end):
            if last - first < LARGE or number not in inner:
                continue
            new = message(inner[number], first, last, depth + 1)
            if new is not None:
                pieces += [data[done:begin], _header(number, len(new)), new]
                done = last
        return b"".join([*pieces, data[done:end]]) if pieces else None

    found = message("model", 0, len(data), 0)
    return bytes(data) if found is None else found


def lower(skeleton: bytes, token: bytes, weight: Callable[[int], Weight]) -> list[bytes | Weight]:
    """Put weights back into a model whose references have `token` as location.

    Args:
        skeleton: the serialized model; ``offset`` in its references is the weight's number.
        token: bytes that occur in `skeleton` only as the location of such references.
        weight: gives the weight of a number.

    Returns:
        The pieces of the serialized model in order: bytes, and weights to be copied.
    """
    places: list[int] = []
    at = skeleton.find(token)
    while at >= 0:
        places.append(at)
        at = skeleton.find(token, at + 1)
    data = memoryview(skeleton)

    def tensor(start: int, end: int) -> list[bytes | Weight]:
        proto = onnx.TensorProto.FromString(data[start:end])
        bulk = weight(int(next(e.value for e in proto.external_data if e.key == "offset")))
        proto.ClearField("external_data")
        proto.ClearField("data_location")
        text = proto.SerializeToString()
        # Fields are in the order of their numbers: the weight goes before the first that follows it.
        cut = next((b for n, b, _, _ in _fields(memoryview(text), 0, len(text)) if n > _RAW_DATA), len(text))
        return [text[:cut] + _header(_RAW_DATA, len(bulk)), bulk, text[cut:]]

    def message(kind: str, start: int, end: int) -> list[bytes | Weight]:
        if kind is _TENSOR:
            return tensor(start, end)
        inner, pieces, done = _FIELDS[kind], [], start
        for number, begin, first, last in _fields(data, start, end):
            here = bisect_left(places, first)
            if number in inner and here < len(places) and places[here] < last:
                new = message(inner[number], first, last)
                size = sum(map(len, new))
                pieces += [bytes(data[done:begin]) + _header(number, size), *new]
                done = last
        return [*pieces, bytes(data[done:end])]

    return message("model", 0, len(data))


def fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a whole message; see `_fields`.

    Raises:
        Irregular: the bytes are no message.
    """
    return _fields(data, 0, len(data))


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Every field of a message: its number, its begin, and the bounds of its payload."""
    at = start
    while at < end:
        begin = at
        tag, at = _varint(data, at, end)
        if tag < 8:
            raise Irregular(f"field number 0 at byte {begin}")
        wire = tag & 7
        if wire == 2:
            length, first = _varint(data, at, end)
            at = first + length
        elif wire == 0:
            first = at
            _, at = _varint(data, at, end)
        elif wire == 5 or wire == 1:
            first, at = at, at + (4 if wire == 5 else 8)
        else:
            raise Irregular(f"wire type {wire} at byte {begin}")
        if at > end:
            raise Irregular(f"the field at byte {begin} ends at byte {at}, beyond the end of its message, {end}")
        yield tag >> 3, begin, first, at


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            break
    raise Irregular(f"a number that does not end at byte {at}")


def _header(number: int, length: int) -> bytes:
    out, value = bytearray(), 0
    for value in (number << 3 | 2, length):
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)
