"""The verb ``extract``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import fixtures
from surgery.cli import main

NET = """<ir_version: 8, opset_import: ["" : 17], metadata_props: ["kept" : "yes"]>
net (float[N, 4] x, float[N, 4] z) => (float[N, 4] y, float[N, 2] u)
<float[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}, float[4, 2] v = {1, 2, 3, 4, 5, 6, 7, 8}>
{
    [first] a = MatMul (x, w)
    b = Relu (a)
    [join] c = Add (b, z)
    d = Exp (b)
    y = Sub (c, d)
    u = MatMul (d, v)
}"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(NET), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def extract(model: Path, *words: str) -> int:
    return main(["extract", str(model), *words, "-o", str(model.with_name("part.onnx"))])


def test_a_part_computes_what_the_whole_does(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(model, "--from", "b,z", "--to", "y,u") == 0
    assert "input" in capsys.readouterr().out
    part = onnx.load(model.with_name("part.onnx"))
    onnx.checker.check_model(part, full_check=True)
    assert [v.name for v in part.graph.input] == ["b", "z"]
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in part.graph.input]
    assert dims == [["N", 4], ["N", 4]] and all(v.type.tensor_type.elem_type == 1 for v in part.graph.input)
    assert [t.name for t in part.graph.initializer] == ["v"] and part.metadata_props[0].value == "yes"
    x, z = np.random.default_rng(0).standard_normal((2, 3, 4), np.float32)
    whole = onnx.load(model)
    whole.graph.output.append(onnx.helper.make_tensor_value_info("b", 1, None))
    run = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    *wanted, b = run.run(None, {"x": x, "z": z})
    run = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    for ours, theirs in zip(run.run(None, {"b": b, "z": z}), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "bb", "--to", "y"), "there is: b"),
        (("--from", "b", "--to", "y"), "'z' is needed, too"),
        (("--from", "b,z", "--to", "u"), "none of the outputs depends on it"),
        (("--from", "w,x", "--to", "a"), "it is a constant"),
        (("--from", "x", "--to", "x"), "no node between"),
        (("--from", "x,z", "--to", "w"), "no node between"),
    ],
)
def test_says_what_is_wrong(words: tuple[str, ...], said: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(model, *words) == 2
    assert said in capsys.readouterr().err
    assert not model.with_name("part.onnx").exists()


def test_an_incomplete_cut_says_how_to_complete_it(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(model, "--from", "b", "--to", "y") == 2
    text = capsys.readouterr().err
    assert "join" in text and "--from b,z" in text
    assert extract(model, "--from", "b,z", "--to", "y") == 0


def test_an_incomplete_cut_names_what_joins_behind_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[N] x) => (float[N] y)
        { a = Relu (x) b = Abs (a) side = Neg (a) c = Exp (b) [join] y = Add (c, side) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    assert extract(tmp_path / "net.onnx", "--from", "b", "--to", "y") == 2
    text = capsys.readouterr().err
    assert "'side' is needed, too" in text and "at join" in text and "--from b,side" in text
    assert extract(tmp_path / "net.onnx", "--from", "b,side", "--to", "y") == 0


def test_a_cut_the_wrong_way_round(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(model, "--from", "d", "--to", "b") == 2
    assert "it depends on none of 'd'\n  at b" in capsys.readouterr().err


def test_does_not_write_over_the_model(model: Path) -> None:
    before = model.read_bytes()
    assert main(["extract", str(model), "--from", "x", "--to", "a", "-o", str(model)]) == 2
    assert model.read_bytes() == before


def test_unknown_types_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        net (float[N] x) => (float[N] y) { a = acme.F (x) y = Relu (a) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    assert extract(tmp_path / "net.onnx", "--from", "a", "--to", "y") == 3
    assert "element type can't be inferred" in capsys.readouterr().err


def test_weights_outside_stay_outside(tmp_path: Path) -> None:
    fixtures.write("external_data", tmp_path / "model.onnx")
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    last = [n for n in nodes if n.op_type == "Conv"][-1]
    assert extract(tmp_path / "model.onnx", "--from", last.input[0], "--to", last.output[0]) == 0
    part = onnx.load(tmp_path / "part.onnx", load_external_data=False)
    assert any(t.data_location == onnx.TensorProto.EXTERNAL for t in part.graph.initializer)
    assert len(part.graph.node) == 1
    onnx.checker.check_model(tmp_path / "part.onnx", full_check=True)


def test_the_document(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    assert extract(model, "--from", "x", "--to", "a", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["inputs"][0]["name"] == "x" and document["nodes"] == 1
