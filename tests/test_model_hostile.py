"""Whatever a file holds, it is read, or refused in words; at bounded cost, and nothing is written."""

from __future__ import annotations

import itertools
import os
import random
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import surgery
from surgery import BadInput, Refused
from surgery.cli import main
from surgery.model import from_proto
from surgery.reading import read_proto
from surgery.wire import _header

HUGE = 2**62


def model() -> onnx.ModelProto:
    """A small model with most that a model can have."""
    weight = numpy_helper.from_array(np.arange(600, dtype=np.float32), "w")
    body = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["out"])],
        "body",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [600])],
    )
    function = helper.make_function(
        "d", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph(
        [
            helper.make_node("If", ["c"], ["i"], then_branch=body, else_branch=body),
            helper.make_node("F", ["i"], ["f"], domain="d"),
            helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(3, np.int64))),
            helper.make_node("Custom", ["f", "k"], ["y"], domain="d", name="custom", s="text", ints=[1, 2]),
        ],
        "main",
        [helper.make_tensor_value_info("x", 1, ["n"]), helper.make_tensor_value_info("c", 9, [])],
        [helper.make_tensor_value_info("y", 1, None)],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8)


def refused(path: Path, capsys: pytest.CaptureFixture[str], words: str = "", kind: type = BadInput) -> None:
    """`path` is refused by every way in, with its name and `words`, and nothing is written."""
    before = sorted(os.listdir(path.parent))
    for read in (surgery.load, *([read_proto] if kind is BadInput else [])):
        with pytest.raises(kind) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: ")
        assert words in str(raised.value)
        assert str(raised.value).replace("\n", "").isprintable()
        assert len(str(raised.value)) < 1000
    out = str(path.parent / "out.onnx")
    for verb in (["apply", str(path), "--pass", "hardswish", "--verify", "none", "-o", out], ["inspect", str(path)]):
        status = main(verb)
        said = capsys.readouterr()
        if verb[0] == "inspect" and kind is Refused:
            continue  # to look at it loses nothing
        assert status == kind.status, said  # type: ignore[attr-defined]
        assert "Traceback" not in said.err and path.name in said.err
    assert sorted(os.listdir(path.parent)) == before


# ------------------------------------------------------------------------- no model


def missing(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unreadable(path: Path) -> None:
    path.write_bytes(model().SerializeToString())
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")


def sparse_gigabytes(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(64 << 30)


def long_varint(path: Path) -> None:
    path.write_bytes(b"\x3a" + b"\xff" * 100_000)


def absurd_length(path: Path) -> None:
    path.write_bytes(_header(7, HUGE) + b"a" * 100)


def other_protobuf(path: Path) -> None:
    path.write_bytes(helper.make_node("Relu", ["x"], ["y"], doc_string="a" * 100).SerializeToString())


def deep(path: Path) -> None:
    """Sub-graphs in sub-graphs, 10,000 of them."""
    pieces: list[bytes] = [b"a" * 2000]
    size = 2000
    for _ in range(10_000):
        for field in (6, 5, 1):  # the graph of an attribute of a node of a graph
            pieces.append(_header(field, size))
            size += len(pieces[-1])
    path.write_bytes(b"".join([_header(7, size), *reversed(pieces)]))


def forty_deep(path: Path) -> None:
    """As `deep`, of a size that only protobuf itself looks into."""
    graph = b""
    for _ in range(40):
        for field in (6, 5, 1):
            graph = _header(field, len(graph)) + graph
    path.write_bytes(_header(7, len(graph)) + graph)


def name_that_is_not_text(path: Path) -> None:
    path.write_bytes(model().SerializeToString().replace(b"custom", b"\xff\xfe\xfdtom"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "No such file"),
        (folder, "not a file"),
        (os.mkfifo, "not a file"),
        (device, "not a file"),
        (unreadable, "Permission denied"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"\0" * 5000), "whole ONNX model"),
        (lambda path: path.write_text("ir_version: 8\n" * 300), "whole ONNX model"),
        (lambda path: path.write_text("hello"), "whole ONNX model"),
        (lambda path: path.write_bytes(random.Random(1).randbytes(100_000)), "whole ONNX model"),
        (lambda path: path.write_bytes(b"PK\3\4" + b"\0" * 3000), "--reference FILE.npz"),
        (lambda path: path.write_bytes(b"\x08\x08"), "holds no graph"),
        (sparse_gigabytes, "whole ONNX model"),
        (long_varint, "whole ONNX model"),
        (absurd_length, "whole ONNX model"),
        (other_protobuf, ""),
        (deep, "whole ONNX model"),
        (forty_deep, "whole ONNX model"),
        (name_that_is_not_text, "is not UTF-8"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_no_model(
    make: Callable[[Path], object], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "m.onnx")
    refused(tmp_path / "m.onnx", capsys, words)


@pytest.mark.parametrize("name", ["a\0b.onnx", "x" * 300])
def test_no_name_of_a_file(name: str) -> None:
    with pytest.raises(BadInput):
        surgery.load(name)


# ---------------------------------------------------------------------- unsound models


def cycle(m: onnx.ModelProto) -> None:
    m.graph.node[1].input[0] = "y"


def cycle_of_one(m: onnx.ModelProto) -> None:
    m.graph.node[3].input[0] = "y"


def cycle_through_a_branch(m: onnx.ModelProto) -> None:
    m.graph.node[0].attribute[0].g.node[0].input[1] = "i"


def calls_itself(m: onnx.ModelProto) -> None:
    m.functions[0].node[0].op_type, m.functions[0].node[0].domain = "F", "d"


def call_each_other(m: onnx.ModelProto) -> None:
    count = 5000
    for i in range(count):
        node = helper.make_node(f"F{(i + 1) % count}", ["a"], ["b"], domain="d")
        m.functions.append(helper.make_function("d", f"F{i}", ["a"], ["b"], [node], [helper.make_opsetid("d", 1)]))


def typed(name: str, kind: int, dims: list[int], **data: list[object]) -> Callable[[onnx.ModelProto], object]:
    return lambda m: m.graph.initializer.append(TensorProto(name=name, data_type=kind, dims=dims, **data))


def double_forty_times(m: onnx.ModelProto) -> None:
    names = [f"f{i}" for i in range(41)]
    for name, inner in itertools.pairwise(names):
        made = m.functions.add(name=name, domain="f", input=["a"], output=["c"])
        made.opset_import.add(domain="", version=17)
        made.opset_import.add(domain="f", version=1)
        for source, target in ("ab", "bc"):
            made.node.add(op_type=inner, domain="f", input=[source], output=[target])
    last = m.functions.add(name=names[-1], domain="f", input=["a"], output=["b"])
    last.opset_import.add(domain="", version=17)
    last.node.add(op_type="Relu", input=["a"], output=["b"])
    m.opset_import.add(domain="f", version=1)


def dims(*values: int) -> Callable[[onnx.ModelProto], object]:
    def change(m: onnx.ModelProto) -> None:
        m.graph.initializer[0].dims[:] = values

    return change


def opset(version: int) -> Callable[[onnx.ModelProto], object]:
    return lambda m: setattr(m.opset_import[0], "version", version)


def port(*values: int) -> Callable[[onnx.ModelProto], object]:
    def change(m: onnx.ModelProto) -> None:
        m.graph.input[0].CopyFrom(helper.make_tensor_value_info(m.graph.input[0].name, TensorProto.FLOAT, values))

    return change


UNSOUND: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "cycle": (cycle, "cycle"),
    "cycle of one": (cycle_of_one, "cycle"),
    "cycle through a branch": (cycle_through_a_branch, "cycle"),
    "recursion": (calls_itself, "calls itself"),
    "long recursion": (call_each_other, "calls itself"),
    "doubling": (double_forty_times, "its calls written out"),
    "two outputs": (lambda m: m.graph.node[1].output.append("i"), "two tensors have the name 'i'"),
    "two outputs of a node": (lambda m: m.graph.node[3].output.append("y"), "two tensors have the name 'y'"),
    "output is input": (lambda m: m.graph.node[1].output.append("x"), "two tensors have the name 'x'"),
    "output is weight": (lambda m: m.graph.node[1].output.append("w"), "two tensors have the name 'w'"),
    "two weights": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "two initializers have the name 'w'"),
    "two inputs": (lambda m: m.graph.input.append(m.graph.input[0]), "two inputs have the name 'x'"),
    "two functions": (lambda m: m.functions.append(m.functions[0]), "two functions have the name 'd'::'F'::''"),
    "two attributes": (
        lambda m: m.graph.node[3].attribute.append(m.graph.node[3].attribute[0]),
        "two attributes of node 'custom' have the name",
    ),
    "two opsets": (lambda m: m.opset_import.add(domain="ai.onnx", version=18), "two opset imports"),
    "no opsets": (lambda m: m.ClearField("opset_import"), "does not say of which opset"),
    "opset 0": (opset(0), "asks for opset 0 of 'ai.onnx'"),
    "opset -1": (opset(-1), "asks for opset -1 "),
    "opset 9999": (opset(9999), "asks for opset 9999 "),
    "opset 2**62": (opset(HUGE), f"asks for opset {HUGE} "),
    "opset 0 of a function": (
        lambda m: setattr(m.functions[0].opset_import[0], "version", 0),
        "asks for opset 0 of 'ai.onnx'",
    ),
    "opset 2**62 of a domain": (
        lambda m: m.opset_import.add(domain="q", version=HUGE),
        f"asks for opset {HUGE} of 'q'",
    ),
    "absurd input": (port(HUGE, 4), f"'x' has dims [{HUGE}, 4], more than"),
    "absurd inputs together": (port(2**24, 2**24), "'x' has dims [16777216, 16777216], more than"),
    "two in a branch": (
        lambda m: m.graph.node[0].attribute[1].g.node[0].output.append("out"),
        "two tensors have the name 'out'",
    ),
    "no operator": (lambda m: m.graph.node[3].ClearField("op_type"), "node 'custom' has no operator"),
    "no such output": (lambda m: m.graph.output.add(name="none"), "makes its output 'none'"),
    "outer output": (
        lambda m: m.graph.node[0].attribute[0].g.output[0].CopyFrom(m.graph.input[0]),
        "nothing in 'body' makes its output 'x'",
    ),
    "no output of a function": (lambda m: m.functions[0].output.append("none"), "nothing in 'F' makes its output"),
    "attribute without type": (lambda m: m.graph.node[3].attribute.add(name="q"), "attribute 'q' has no type"),
    "absurd dims": (dims(HUGE, HUGE), "'w' of dims"),
    "dims beyond": (dims(601), "needs 2404 bytes and has 2400"),
    "dims below": (dims(599), "needs 2396 bytes and has 2400"),
    "negative dims": (dims(-1), "dims [-1]"),
    "twice negative dims": (dims(-20, -30), "dims [-20, -30]"),
    "absurd typed dims": (typed("t", 1, [HUGE], float_data=[1.0]), "'t'"),
    "no data": (typed("t", 1, [2**40]), "needs 1099511627776 values and has 0"),
    "few strings": (typed("t", 8, [2**40], string_data=[b"a"]), "'t'"),
    "few nibbles": (typed("t", TensorProto.INT4, [5], int32_data=[1, 2]), "'t'"),
    "unknown type": (typed("t", 999, [1], float_data=[1.0]), "999"),
    "long name": (lambda m: m.graph.output.add(name="n" * 10**6), "'nnnn"),
    "name of control characters": (lambda m: m.graph.output.add(name="\x1b[2J\0\n"), r"'\x1b[2J\x00\n'"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = UNSOUND[case]
    proto = model()
    change(proto)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    if "cycle" in case or case == "unknown type":  # seen when the graph is made of it, not before
        with pytest.raises(BadInput, match=words):
            surgery.load(path)
    else:
        refused(path, capsys, words)
    data = proto.SerializeToString()
    with pytest.raises(BadInput):
        from_proto(proto)
    assert proto.SerializeToString() == data


def test_what_would_be_lost_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = model()
    proto.training_info.add()
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    refused(tmp_path / "m.onnx", capsys, "training_info", Refused)


def test_an_unsorted_graph_is_sorted(tmp_path: Path) -> None:
    proto = model()
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    loaded = surgery.load(tmp_path / "m.onnx")
    assert [n.op_type for n in loaded.graph].index("If") < [n.op_type for n in loaded.graph].index("Custom")
    saved = onnx.load(surgery.save(loaded, tmp_path / "n.onnx"))
    made = {"x", "c", "w"}
    for node in saved.graph.node:
        assert made.issuperset(node.input)
        made.update(node.output)


# ----------------------------------------------------------------------- external data


def external(path: Path, **entries: object) -> None:
    """A model whose weight has these entries in place of the right ones."""
    proto = model()
    weight = proto.graph.initializer[0]
    (path.parent / "w.bin").write_bytes(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", **entries}.items():
        if value is not None:
            weight.external_data.add(key=key, value=str(value))
    path.write_bytes(proto.SerializeToString())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for a model, with a file of interest beside it and links of many kinds in it."""
    (tmp_path / "secret").write_bytes(b"s" * 2400)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "w.bin").write_bytes(b"s" * 2400)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to("../secret")
    (inside / "absolute").symlink_to(tmp_path / "secret")
    (inside / "way").symlink_to("../other")
    (inside / "chain").symlink_to("link")
    (inside / "circle").symlink_to("circle")
    (inside / "null").symlink_to("/dev/zero")
    (inside / "sub").mkdir()
    os.mkfifo(inside / "pipe")
    return inside / "m.onnx"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"location": "../secret"}, "outside"),
        ({"location": "sub/../../secret"}, "outside"),
        ({"location": "sub/../w.bin"}, "outside"),
        ({"location": "{}/secret"}, "outside"),
        ({"location": "/dev/zero"}, "outside"),
        ({"location": "link"}, "outside"),
        ({"location": "absolute"}, "outside"),
        ({"location": "chain"}, "outside"),
        ({"location": "way/w.bin"}, "outside"),
        ({"location": "null"}, "outside"),
        ({"location": "circle"}, "can't be read"),
        ({"location": "pipe"}, "not a file"),
        ({"location": "sub"}, "not a file"),
        ({"location": "."}, "not a file"),
        ({"location": "none.bin"}, "No such file"),
        ({"location": ""}, "outside"),
        ({"location": None}, "outside"),
        ({"location": "a\0b"}, "can't be read"),
        ({"location": "x" * 5000}, "can't be read"),
        ({"location": "\x1b[2J"}, "x1b[2J"),
        ({"offset": 1}, "bytes 1 to 2401"),
        ({"offset": -1}, "bytes -1"),
        ({"offset": HUGE}, "does not fit"),
        ({"offset": "1e3"}, "no sound reference"),
        ({"offset": "\u0663"}, "no sound reference"),
        ({"offset": "1_0"}, "no sound reference"),
        ({"length": " 2400"}, "no sound reference"),
        ({"offset": "9" * 5000}, "no sound reference"),
        ({"length": HUGE}, "does not fit"),
        ({"length": 2399}, "does not fit"),
        ({"length": -2400}, "does not fit"),
        ({"offset": 4, "length": 2400}, "does not fit"),
        ({"offset": HUGE, "length": -HUGE}, "does not fit"),
    ],
    ids=str,
)
def test_external_data(entries: dict[str, object], words: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    location = entries.get("location")
    if isinstance(location, str):
        entries = {"location": location.format(place.parent.parent)}
    external(place, **entries)
    refused(place, capsys, words)


def test_sound_external_data(place: Path) -> None:
    for entries in ({}, {"offset": 0, "length": 2400}, {"checksum": "0" * 40}, {"location": "./w.bin"}):
        external(place, **entries)
        weight = surgery.load(place).graph.initializers["w"].const_value
        assert weight is not None and weight.numpy()[-1] == 599


def test_external_strings_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    external(place)
    proto = onnx.load(place, load_external_data=False)
    proto.graph.initializer[0].data_type = TensorProto.STRING
    place.write_bytes(proto.SerializeToString())
    refused(place, capsys, "has no external data")


def test_a_model_in_memory_reads_no_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    external(place)
    monkeypatch.chdir(place.parent)
    with pytest.raises(BadInput, match=r"lies in a file, 'w\.bin'"):
        from_proto(onnx.load(place, load_external_data=False))


def test_external_data_wherever_a_tensor_can_be(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensor = TensorProto(name="t", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    for attribute in (helper.make_attribute("t", tensor), helper.make_attribute("t", [tensor, tensor])):
        for holder in (
            lambda m: m.graph.node[3].attribute,
            lambda m: m.graph.node[0].attribute[0].g.node[0].attribute,
            lambda m: m.functions[0].node[0].attribute,
            lambda m: m.functions[0].attribute_proto,
        ):
            proto = model()
            holder(proto).append(attribute)
            place.write_bytes(proto.SerializeToString())
            refused(place, capsys, "outside the model's folder")


# ----------------------------------------------------------------------------- at random


def test_damaged_models(tmp_path: Path) -> None:
    """Cut, flipped, shuffled, doubled: each is read or refused, and what is read can be written."""
    draw = random.Random(11)
    whole = model().SerializeToString()
    path, out = tmp_path / "m.onnx", tmp_path / "out.onnx"
    read = 0
    for step in range(600):
        data = bytearray(whole)
        kind = step % 4
        if kind == 0:
            data = data[: draw.randrange(len(data))]
        elif kind == 1:
            for _ in range(draw.randint(1, 4)):
                # Most bytes are those of the weight, of which each is as good as any.
                at = draw.choice([draw.randrange(len(data)), draw.randrange(500), len(data) - draw.randint(1, 300)])
                data[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            at, size = draw.randrange(len(data)), draw.randint(1, 40)
            data[at : at + size] = draw.randbytes(draw.randint(0, 40))
        else:
            at, to, size = draw.randrange(len(data)), draw.randrange(len(data)), draw.randint(1, 200)
            data[to:to] = data[at : at + size]
        path.write_bytes(data)
        try:
            loaded = surgery.load(path)
        except (BadInput, Refused) as error:
            assert str(error).startswith(f"{path}: ")
            continue
        read += 1
        try:
            surgery.save(loaded, out)
        except BadInput as error:  # words that are not UTF-8, where no name is
            assert str(error).startswith(f"{out}: the model can't be written: 'utf-8' codec")
            continue
        surgery.load(out)
        out.unlink()
    assert 20 < read < 580
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_cost_is_bounded(tmp_path: Path) -> None:
    """Each of these is refused within seconds and 400 MB, as a process of its own."""
    makers = (sparse_gigabytes, deep, long_varint)
    for make in makers:
        make(tmp_path / f"{make.__name__}.onnx")
    external(tmp_path / "external.onnx", offset=HUGE)
    for name, change in (("dims", dims(HUGE, HUGE)), ("none", typed("t", 1, [2**40])), ("calls", call_each_other)):
        proto = model()
        change(proto)
        (tmp_path / f"{name}.onnx").write_bytes(proto.SerializeToString())
    code = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))
        import surgery
        for path in sys.argv[1:]:
            try:
                surgery.load(path)
            except surgery.BadInput as error:
                print(error)
    """
    names = sorted(str(path) for path in tmp_path.glob("*.onnx"))
    run = [sys.executable, "-c", textwrap.dedent(code), *names]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [name for name in names if f"{name}: " not in done.stdout] == []
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime < 10


@pytest.mark.parametrize("verify", ["none", "full"])
def test_the_command_as_a_process(verify: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model().SerializeToString()[:-100])
    run = [sys.executable, "-m", "surgery", "apply", str(tmp_path / "m.onnx"), "--pass", "hardswish"]
    done = subprocess.run([*run, "--verify", verify], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "m.onnx" in done.stderr and "not a whole ONNX model" in done.stderr and "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["m.onnx"]
