"""Weights go out of a serialized model and come back, and nothing else changes."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from surgery import wire
from surgery.protos import proto_tensors

LARGE = np.arange(1000, dtype=np.float32)
SMALL = np.arange(10, dtype=np.float32)


class Weight:
    """Bytes as `wire.lower` takes them."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def copy(self, file) -> None:
        file.write(self.data)


def constant(array: np.ndarray, output: str) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [output], value=numpy_helper.from_array(array, f"{output}_value"))


def everywhere() -> onnx.ModelProto:
    """A model with a large and a small weight wherever there can be one."""
    branch = helper.make_graph(
        [constant(LARGE + 1, "in_branch"), helper.make_node("Add", ["in_branch", "own"], ["sum"])],
        "branch",
        [],
        [helper.make_tensor_value_info("sum", 1, [1000])],
        [numpy_helper.from_array(LARGE + 2, "own")],
    )
    several = helper.make_node("Several", ["x"], ["s"], domain="d")
    several.attribute.append(
        helper.make_attribute("tensors", [numpy_helper.from_array(LARGE + 3), numpy_helper.from_array(SMALL)])
    )
    function = helper.make_function(
        "d", "F", ["a"], ["b"], [constant(LARGE + 4, "c"), helper.make_node("Add", ["a", "c"], ["b"])],
        [helper.make_opsetid("", 17)], attributes=[], attribute_protos=[
            helper.make_attribute("default", numpy_helper.from_array(LARGE + 5))
        ],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            constant(LARGE, "c"),
            constant(SMALL, "k"),
            several,
            helper.make_node("If", ["cond"], ["y"], then_branch=branch, else_branch=branch),
            helper.make_node("F", ["y"], ["z"], domain="d"),
        ],
        "main",
        [helper.make_tensor_value_info("x", 1, [1000]), helper.make_tensor_value_info("cond", 9, [])],
        [helper.make_tensor_value_info("z", 1, [1000])],
        [numpy_helper.from_array(LARGE + 6, "w"), numpy_helper.from_array(SMALL, "v")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8)


def put_back(lifted: onnx.ModelProto, data: bytes, token: str) -> bytes:
    weights = []
    for tensor, _ in proto_tensors(lifted):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {e.key: e for e in tensor.external_data}
            offset, length = int(entries["offset"].value), int(entries["length"].value)
            entries["offset"].value = str(len(weights))
            weights.append(Weight(data[offset : offset + length]))
    file = io.BytesIO()
    for piece in wire.lower(lifted.SerializeToString(), token.encode(), weights.__getitem__):
        file.write(piece) if isinstance(piece, bytes) else piece.copy(file)
    return file.getvalue()


def test_every_large_weight_is_lifted_and_put_back() -> None:
    model = everywhere()
    data = model.SerializeToString()
    small = wire.lift(memoryview(data), "token")
    lifted = onnx.ModelProto.FromString(small)
    tensors = list(proto_tensors(model))
    places = [t for t, _ in proto_tensors(lifted) if t.data_location == onnx.TensorProto.EXTERNAL]
    assert len(tensors) == 12
    assert len(places) == sum(len(t.raw_data) >= wire.LARGE for t, _ in tensors) == 9
    assert len(small) < len(data) - 9 * LARGE.nbytes + 9 * 100
    for (old, _), (new, _) in zip(tensors, proto_tensors(lifted), strict=True):
        if new.data_location == onnx.TensorProto.EXTERNAL:
            entries = {e.key: e.value for e in new.external_data}
            first, count = int(entries["offset"]), int(entries["length"])
            assert data[first : first + count] == old.raw_data
            assert (entries["location"], new.name, list(new.dims)) == ("token", old.name, list(old.dims))
    assert put_back(lifted, data, "token") == data


def test_a_model_without_large_weights_stays_as_it_is() -> None:
    model = helper.make_graph([constant(SMALL, "y")], "g", [], [helper.make_tensor_value_info("y", 1, [10])])
    data = helper.make_model(model).SerializeToString()
    assert wire.lift(memoryview(data), "token") == data
    assert wire.lower(data, b"token", {}.__getitem__) == [data]


def test_a_tensor_that_is_external_already_stays_as_it_is() -> None:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1000], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="a" * 2000)
    graph = onnx.GraphProto(initializer=[tensor])
    data = onnx.ModelProto(graph=graph).SerializeToString()
    assert wire.lift(memoryview(data), "token") == data


@pytest.mark.parametrize(
    "data",
    [
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + b"a" * 2000,  # longer than there are bytes
        b"\xff" * 2000,  # a number that does not end
        b"\x3b" + b"a" * 2000,  # a group
        b"\x3a",  # a header without a length
        b"\x39abc",  # eight bytes of which three are there
    ],
)
def test_what_is_no_message_is_irregular(data: bytes) -> None:
    with pytest.raises(wire.Irregular):
        wire.lift(memoryview(data), "token")


def test_depth_is_bounded() -> None:
    graph = b"a" * 2000
    for _ in range(10_000):
        for field in (6, 5, 1):  # the graph of an attribute of a node of a graph
            graph = wire._header(field, len(graph)) + graph
    with pytest.raises(wire.Irregular, match="nested deeper"):
        wire.lift(memoryview(wire._header(7, len(graph)) + graph), "token")


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = memoryview(wire._header(7, 4000) + b"\x08\x08" * 2000)
    assert wire.lift(data, "token") == data
    monkeypatch.setattr(wire, "_MOST", 2000)
    with pytest.raises(wire.Irregular, match="more than 2000 fields"):
        wire.lift(data, "token")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_a_header_reads_back(value: int) -> None:
    data = memoryview(wire._header(9, value))
    tag, at = wire._varint(data, 0, len(data))
    assert (tag, wire._varint(data, at, len(data))) == (9 << 3 | 2, (value, len(data)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_judged_or_kept(data: st.DataObject) -> None:
    """Where protobuf can read what is damaged, it reads the same of it with its weights lifted."""
    whole = bytearray(everywhere().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])
    try:
        lifted = wire.lift(memoryview(damaged), "token")
    except wire.Irregular:
        assert not readable(damaged)
    else:
        assert readable(damaged) == readable(lifted)


def readable(data: bytes) -> bool:
    try:
        onnx.ModelProto.FromString(data)
    except DecodeError:
        return False
    return True
