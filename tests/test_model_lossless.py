"""A model is the same after load and save, or is refused with what it would lose."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from _difference import differences
from _onnx_cases import cases
from onnx import TensorProto, helper, numpy_helper

import surgery
from surgery.model import from_proto
from surgery.sound import nbytes

SAMPLE = 200


def backend_models() -> list[tuple[str, bytes]]:
    return [(case.name, case.model.SerializeToString()) for case in cases()]


def again(model: onnx.ModelProto | bytes, folder: Path) -> onnx.ModelProto:
    """`model` from a file, loaded and saved."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "in.onnx").write_bytes(data)
    return onnx.load(surgery.save(surgery.load(folder / "in.onnx"), folder / "out.onnx"))


def check_backend_models(models: list[tuple[str, bytes]], folder: Path) -> None:
    wrong = {}
    for name, data in models:
        proto = onnx.ModelProto.FromString(data)
        wrong[name] = differences(proto, again(data, folder))
        assert proto.SerializeToString() == data
    assert {name: found for name, found in wrong.items() if found} == {}


def test_backend_models(tmp_path: Path) -> None:
    check_backend_models(random.Random(7).sample(backend_models(), SAMPLE), tmp_path)


@pytest.mark.backend_all
def test_all_backend_models(tmp_path: Path) -> None:
    assert len(backend_models()) >= 1900
    check_backend_models(backend_models(), tmp_path)


# ------------------------------------------------------------------------------ mended


def value(name: str, *dims: int | str | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(dims))


def weight(name: str, size: int = 4, **metadata: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.arange(size, dtype=np.float32), name)
    for key, text in metadata.items():
        tensor.metadata_props.add(key=key, value=text)
    return tensor


def model(ir_version: int = 10, functions: list[onnx.FunctionProto] | None = None) -> onnx.ModelProto:
    """An If around a Mul; its then-branch has a weight and a constant of its own."""
    then = helper.make_graph(
        [
            helper.make_node("Constant", [], ["k"], value=weight("k_value", stored="in a branch")),
            helper.make_node("Mul", ["x", "own"], ["xo"]),
            helper.make_node("Add", ["xo", "k"], ["then_out"]),
        ],
        "then",
        [],
        [value("then_out", 4)],
        [weight("own", stored="in a branch")],
    )
    otherwise = helper.make_graph([helper.make_node("Neg", ["x"], ["else_out"])], "else", [], [value("else_out", 4)])
    graph = helper.make_graph(
        [
            helper.make_node("If", ["cond"], ["i"], name="choice", then_branch=then, else_branch=otherwise),
            helper.make_node("Mul", ["i", "w"], ["y"], name="scale"),
        ],
        "main",
        [value("x", "n"), value("cond", kind=TensorProto.BOOL)],
        [value("y", "n")],
        [weight("w", stored="in the graph"), weight("large", 1000, stored="in the graph")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=functions or [])


def branch(proto: onnx.ModelProto) -> onnx.GraphProto:
    """The then-branch."""
    return next(a.g for a in proto.graph.node[0].attribute if a.name == "then_branch")


def annotated(graph: onnx.GraphProto, *names: str) -> None:
    for name in names:
        annotation = graph.quantization_annotation.add(tensor_name=name)
        annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
        annotation.quant_parameter_tensor_names.add(key="ZERO_POINT_TENSOR", value="w")


def function(**attributes: onnx.AttributeProto) -> onnx.FunctionProto:
    made = helper.make_function(
        "d",
        "Scale",
        ["a"],
        ["b"],
        [
            helper.make_node("Constant", [], ["c"], value=weight("c_value", 400, stored="in a function")),
            helper.make_node("Mul", ["a", "c"], ["b"]),
        ],
        [helper.make_opsetid("", 17)],
        attributes=["needed"],
        attribute_protos=list(attributes.values()),
        overload="v1",
        doc_string="words",
    )
    made.metadata_props.add(key="k", value="v")
    return made


def use_input_as_output(proto: onnx.ModelProto) -> None:
    proto.graph.output.append(value("x", "same_as_n"))
    proto.graph.output.append(value("w", 4))
    proto.graph.output.append(value("y", "other"))
    annotated(proto.graph, "x", "y", "w")


def describe_more(proto: onnx.ModelProto) -> None:
    proto.graph.value_info.extend([value("i", 4), value("w", 4), value("x", "n"), value("y", None), value("gone", 1)])
    proto.graph.value_info[0].doc_string = "of i"
    proto.graph.value_info[0].metadata_props.add(key="k", value="v")
    branch(proto).value_info.extend([value("x", 4), value("own", 4), value("then_out", "t"), value("xo", 4)])
    branch(proto).value_info.append(value("gone", 2))


def annotate_more(proto: onnx.ModelProto) -> None:
    annotated(proto.graph, "x", "i", "w", "large", "y", "gone")
    annotated(branch(proto), "own", "xo", "then_out", "x", "gone")


def leave_outputs_unnamed(proto: onnx.ModelProto) -> None:
    graph = proto.graph
    graph.node.append(helper.make_node("Split", ["x"], ["first", "", ""], axis=0))
    graph.node.append(helper.make_node("Split", ["x"], ["", "second", ""], axis=0))
    graph.node.append(helper.make_node("Aside", ["x"], ["", ""], domain="d"))
    branch(proto).node.append(helper.make_node("Split", ["x"], ["third", ""], axis=0))


def use_functions(proto: onnx.ModelProto) -> None:
    tensor = helper.make_attribute("default", weight("d_value", 400, stored="in a default"))
    several = helper.make_attribute("several", [weight("", 400), weight("", 4, stored="in a list")])
    made = function(tensor=tensor, several=several)
    made.value_info.extend([value("a", 4), value("b", 4), value("c", 400), value("gone", 3)])
    proto.functions.append(made)
    proto.functions.append(function())
    proto.functions[1].overload = "v2"


def use_functions_of_old(proto: onnx.ModelProto) -> None:
    """Before IR version 10 exporters put a function's value_info into the main graph."""
    proto.ir_version = 8
    proto.functions.append(function())
    proto.functions[0].overload = ""
    names = ("d::Scale/a", "d::Scale/b", "d::Scale/zz", "d::None/a")
    proto.graph.value_info.extend(value(name, 4) for name in names)


def use_lists_of_tensors(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Several", ["x"], ["s"], domain="d")
    tensors = [weight("a", 1000), weight("b", 4, stored="twice"), weight("c", 500)]
    node.attribute.append(helper.make_attribute("tensors", tensors, doc_string="words"))
    proto.graph.node.append(node)


def store_by_value(proto: onnx.ModelProto) -> None:
    for name, kind, count in (("f", "FLOAT", 1000), ("h", "FLOAT16", 500), ("j", "INT64", 3), ("z", "COMPLEX64", 300)):
        dims = [count]
        array = np.ones(dims, np.float32)
        proto.graph.initializer.append(helper.make_tensor(name, getattr(TensorProto, kind), dims, array))
        proto.graph.initializer[-1].doc_string = "words"


def use_every_type(proto: onnx.ModelProto) -> None:
    for name, code in TensorProto.DataType.items():
        if name in ("UNDEFINED", "STRING"):
            continue
        for count in (3, 3000):
            tensor = TensorProto(name=f"{name}{count}", data_type=code, dims=[count])
            tensor.raw_data = bytes(i % 2 for i in range(nbytes(tensor) or 0))
            proto.graph.initializer.append(tensor)
    strings = [b"caf\xc3\xa9", b"not \xff UTF-8", b"\x00"] * 500
    proto.graph.initializer.append(TensorProto(name="S", data_type=8, dims=[1500], string_data=strings))


def say_nothing_of_types(proto: onnx.ModelProto) -> None:
    """IR version 1 has attributes without types."""
    proto.ir_version = 1
    node = helper.make_node("Old", ["x"], ["o"], domain="d", i=1, f=1.0, s="s", ii=[1, 2], t=weight("t", 1000))
    proto.graph.node.append(node)
    for attribute in (*node.attribute, *proto.graph.node[0].attribute):
        attribute.ClearField("type")


def say_everything(proto: onnx.ModelProto) -> None:
    proto.producer_name, proto.producer_version, proto.domain = "producer", "1", "com.example"
    proto.model_version, proto.doc_string = -3, "words"
    proto.graph.doc_string = "more words"
    proto.graph.input[0].type.denotation = "IMAGE"
    proto.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    proto.graph.input[0].doc_string = "an image"
    for message in (proto, proto.graph, proto.graph.node[0], proto.graph.input[0], branch(proto)):
        message.metadata_props.add(key="b", value="2")
        message.metadata_props.add(key="a", value="1")
    proto.graph.node[0].doc_string = "a node"
    proto.graph.node[1].name = ""
    proto.graph.node[0].attribute[0].doc_string = "an attribute"
    proto.graph.input.append(onnx.ValueInfoProto(name="untyped"))
    proto.graph.input.append(value("odd", 0, -1, None, "?", "a b", "2*n+1", "batch_size.1", "名"))
    sequence = helper.make_tensor_type_proto(1, [None, "n"])
    for type_ in (helper.make_sequence_type_proto(sequence), helper.make_optional_type_proto(sequence)):
        proto.graph.input.append(helper.make_value_info(f"input{len(proto.graph.input)}", type_))
    sparse = helper.make_sparse_tensor_type_proto(1, [3, 3])
    proto.graph.input.append(helper.make_value_info("sparse", sparse))
    proto.graph.node.append(helper.make_node("Other", ["x", "", "i", ""], ["o"], domain="unknown", s=b"not \xff UTF-8"))
    proto.graph.node.append(helper.make_node("Optional", [], ["opt"], type=sequence))


def use_names_of_all_kinds(proto: onnx.ModelProto) -> None:
    """Names may hold anything; a model with NUL in one is a model still."""
    graph = proto.graph
    graph.node[1].output[0] = graph.output[0].name = "nul\0, bell\a, new line\n, \x1b[31m red, 名, \u202e"
    graph.node[1].name = "\0"
    graph.initializer.append(weight("\x01\x02", 1000))


def use_both_names_of_the_default_domain(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].domain = "ai.onnx"
    proto.opset_import[0].domain = "ai.onnx"


@pytest.mark.parametrize(
    "change",
    [
        lambda proto: None,
        use_input_as_output,
        describe_more,
        annotate_more,
        leave_outputs_unnamed,
        use_functions,
        use_functions_of_old,
        use_lists_of_tensors,
        store_by_value,
        use_every_type,
        say_nothing_of_types,
        say_everything,
        use_names_of_all_kinds,
        use_both_names_of_the_default_domain,
    ],
    ids=lambda change: change.__name__.strip("<>"),
)
def test_kept(change: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    proto = model()
    change(proto)
    data = proto.SerializeToString()
    expected = onnx.ModelProto.FromString(data)
    for attribute in (a for node in expected.graph.node for a in node.attribute if not a.type):
        attribute.type = {"f": 1, "i": 2, "s": 3, "t": 4, "g": 5, "ints": 7}[attribute.ListFields()[-1][0].name]
    first = again(data, tmp_path)
    assert differences(expected, first) == []
    assert differences(expected, again(first, tmp_path)) == [], "the second time"
    in_memory = from_proto(proto)
    surgery.save(in_memory, tmp_path / "memory.onnx")
    assert differences(expected, onnx.load(tmp_path / "memory.onnx")) == [], "from memory"
    assert proto.SerializeToString() == data
    surgery.save(in_memory.clone(), tmp_path / "clone.onnx")


def test_metadata_that_was_doubled_before_is_single_again(tmp_path: Path) -> None:
    doubled = ir.to_proto(ir.from_proto(model()))
    assert len(doubled.graph.initializer[0].metadata_props) == 2, "onnx-ir has mended this: mend it no more"
    for graph in (doubled.graph, branch(doubled)):
        del graph.value_info[:]
    assert differences(model(), again(doubled, tmp_path)) == []


def test_an_edited_value_loses_what_was_said_of_it(tmp_path: Path) -> None:
    """What is kept aside must not contradict what a pass has made of the graph."""
    proto = model()
    proto.graph.value_info.append(value("y", "n"))
    branch(proto).value_info.append(value("x", "n"))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    loaded = surgery.load(tmp_path / "m.onnx")
    for port in (loaded.graph.inputs[0], loaded.graph.outputs[0]):
        port.shape = ir.Shape([7])
        port.dtype = ir.DataType.FLOAT16
    surgery.save(loaded, tmp_path / "o.onnx")
    saved = onnx.load(tmp_path / "o.onnx")
    assert [v.name for v in saved.graph.value_info] == []
    assert [v.name for v in branch(saved).value_info] == []


def test_saving_does_not_change_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model().SerializeToString())
    loaded = surgery.load(tmp_path / "m.onnx")
    before = ir.to_proto(loaded).SerializeToString()
    surgery.save(loaded, tmp_path / "o.onnx")
    assert ir.to_proto(loaded).SerializeToString() == before
    surgery.save(loaded, tmp_path / "p.onnx")
    assert (tmp_path / "o.onnx").read_bytes() == (tmp_path / "p.onnx").read_bytes()


def test_a_proto_in_memory_is_left_alone_by_edits() -> None:
    proto = model()
    data = proto.SerializeToString()
    loaded = from_proto(proto)
    loaded.graph.initializers["w"].name = "renamed"
    ir.to_proto(loaded)
    assert proto.SerializeToString() == data


def test_a_model_that_onnx_ir_loaded_keeps_small_external_weights(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    proto = model()
    onnx.save(proto, tmp_path / "a" / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    expected = onnx.load(tmp_path / "a" / "m.onnx")
    surgery.save(ir.load(tmp_path / "a" / "m.onnx"), tmp_path / "b" / "m.onnx")
    saved = onnx.load(tmp_path / "b" / "m.onnx")
    assert [(t.name, t.raw_data) for t in saved.graph.initializer] == [
        (t.name, t.raw_data) for t in expected.graph.initializer
    ]


# ----------------------------------------------------------------------------- refused


def entries(message: object, *pairs: tuple[str, str]) -> None:
    for key, text in pairs:
        message.add(key=key, value=text)  # type: ignore[attr-defined]


def nothing_known(proto: onnx.ModelProto) -> None:
    proto.graph.MergeFromString(b"\xa2\x06\x03abc")


def deep_unknown(proto: onnx.ModelProto) -> None:
    branch(proto).node[0].MergeFromString(b"\xa2\x06\x03abc")


def sparse(name: str = "sp") -> onnx.SparseTensorProto:
    values = weight(name, 2)
    indices = numpy_helper.from_array(np.array([0, 1]), "")
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[4])


def opaque() -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name="o")
    info.type.opaque_type.name = "thing"
    return info


def map_type() -> onnx.ValueInfoProto:
    return helper.make_value_info("m", helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, [])))


def untyped() -> onnx.ValueInfoProto:
    info = value("u", 3)
    info.type.tensor_type.ClearField("elem_type")
    return info


REFUSED: dict[str, Callable[[onnx.ModelProto], object]] = {
    "training_info": lambda m: m.training_info.add(),
    "sparse_initializer": lambda m: m.graph.sparse_initializer.append(sparse()),
    "sparse_initializer ": lambda m: branch(m).sparse_initializer.append(sparse()),
    "a sparse tensor": lambda m: m.graph.node[1].attribute.append(helper.make_attribute("s", sparse())),
    "does not know": nothing_known,
    "does not know ": deep_unknown,
    "an initializer without a name": lambda m: m.graph.initializer[0].ClearField("name"),
    "an initializer without a name ": lambda m: branch(m).initializer[0].ClearField("name"),
    "is map, of 'm'": lambda m: m.graph.input.append(map_type()),
    "is opaque, of 'o'": lambda m: m.graph.input.append(opaque()),
    "without an element type, of 'u'": lambda m: m.graph.value_info.append(untyped()),
    "a segment of a tensor, 'w'": lambda m: m.graph.initializer[0].segment.SetInParent(),
    "strings that are not UTF-8 in 'choice'": lambda m: m.graph.node[0].attribute.append(
        helper.make_attribute("s", [b"\xff"])
    ),
    "two metadata entries of one key, of the model": lambda m: entries(m.metadata_props, ("k", "1"), ("k", "2")),
    "of node 'scale'": lambda m: entries(m.graph.node[1].metadata_props, ("k", "1"), ("k", "2")),
    "of tensor 'w'": lambda m: entries(m.graph.initializer[0].metadata_props, ("stored", "?")),
    "device configurations": lambda m: m.configuration.add(name="c", num_devices=1),
    "device configurations ": lambda m: m.graph.node[0].device_configurations.add(configuration_id="c"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused_by_name(words: str, tmp_path: Path) -> None:
    proto = model()
    REFUSED[words](proto)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(surgery.Refused) as raised:
        surgery.load(path)
    assert words.strip() in str(raised.value) and str(raised.value).startswith(f"{path}: ")
    with pytest.raises(surgery.Refused, match="would be lost"):
        from_proto(proto)


def test_device_configurations_of_newer_models_are_kept(tmp_path: Path) -> None:
    proto = model(ir_version=11)
    proto.configuration.add(name="c", num_devices=1)
    proto.graph.node[0].device_configurations.add(configuration_id="c", pipeline_stage=1)
    assert differences(proto, again(proto, tmp_path)) == []
