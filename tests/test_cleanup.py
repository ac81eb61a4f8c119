"""The pass `cleanup`: our own tidying, the engines, and what is mended after them."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

import fixtures
import surgery
from rewrites.passes.cleanup import Cleanup
from surgery import Missing
from surgery.cli import main
from surgery.testing import parse

ENGINES = {"own": "surgery", "onnxslim": "onnxslim", "onnxsim": "onnxsim", "graphsurgeon": "onnx_graphsurgeon"}
MODELS = os.environ.get("SURGERY_MODELS", "")
Check = Callable[..., None]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(ENGINES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def written(name: str, folder: Path) -> Path:
    path = folder / "model.onnx"
    fixtures.write(name, path)
    return path


# ------------------------------------------------------------------------------- own


def test_identities_go(assert_rewrite: Check) -> None:
    assert_rewrite(
        Cleanup(engine="own"),
        before="""(float[n, 4] x) => (float[n, 4] y, float[n, 4] z) {
            a = Identity (x) b = Dropout (a) c = Transpose <perm = [0, 1]> (b) d = Cast <to = 1> (c)
            e = Relu (d) y = Identity (e) f = Concat <axis = 0> (e) z = Neg (f)
        }""",
        after="(float[n, 4] x) => (float[n, 4] y, float[n, 4] z) { y = Relu (x) z = Neg (y) }",
    )


@pytest.mark.parametrize(
    "body",
    [
        "(float[n, 4] x) => (float[n, 4] y) { y = Identity (x) }",
        "(float[n, 4] x) => (float[n, 4] y, float[n, 4] z) { y = Relu (x) z = Identity (y) }",
        "(float[n, 4] x) => (float[n, 4] y) <bool yes = {1}, float half = {0.5}> { y = Dropout (x, half, yes) }",
        "(float[n, 4] x) => (float[4, n] y) { y = Transpose <perm = [1, 0]> (x) }",
        "(float[n, 4] x) => (float[n, 4] y) { r = RandomNormalLike (x) y = Add (x, r) }",
        "(float[n, 4] x) => (float[4096, 4] y) <int64[2] d = {4096, 4}> { y = ConstantOfShape (d) a = Neg (y) }",
    ],
    ids=["port", "two names", "training", "transpose", "random", "output"],
)
def test_near_misses_stay(body: str) -> None:
    before = parse(body)
    result = surgery.apply(before, [Cleanup(engine="own")], verify="none")
    assert result.model is not None
    kept = Counter(node.op_type for node in before.graph.node if node.op_type != "Neg")
    assert Counter(node.op_type for node in result.model.graph) == kept


def test_dead_nodes_go_with_their_weights(assert_rewrite: Check) -> None:
    assert_rewrite(
        Cleanup(engine="own"),
        before="""(float[n, 4] x) => (float[n, 4] y) <float[4] w = {1, 2, 3, 4}, float[2] idle = {1, 2}> {
            a = Mul (x, w) b, c = TopK (a, k) k = Constant <value_ints = [1]> () y = Relu (x) }""".replace(
            "a = Mul (x, w) b, c = TopK (a, k) k = Constant <value_ints = [1]> ()",
            "k = Constant <value_ints = [1]> () a = Mul (x, w) b, c = TopK (a, k)",
        ),
        after="(float[n, 4] x) => (float[n, 4] y) { y = Relu (x) }",
    )


@pytest.mark.parametrize("dtype", ["float", "float16", "double", "int32"])
def test_equal_constants_are_one(dtype: str) -> None:
    text = """(float[n, 2] x) => (float[n, 2] y) <float[2] a = {1, 2}, float[2] b = {1, 2}, float[2] c = {1, 3}> {
        d = Constant <value = float[2] {1, 2}> () p = Add (x, a) q = Add (p, b) r = Add (q, c) y = Add (r, d) }"""
    result = surgery.apply(parse(text.replace("float", dtype)), [Cleanup(engine="own")])
    assert result.model is not None and set(result.model.graph.initializers) == {"a", "c"}
    assert [n.inputs[1].name for n in result.model.graph if n.inputs[1]] == ["a", "a", "c", "a"]


def test_zeros_of_two_signs_and_shapes_are_not_equal() -> None:
    text = """(float[n, 2] x) => (float[n, 2] y) <float[1] a = {0.0}, float b = {0.0}, int32[1] c = {0}> {
        m = Constant <value = float[1] {-0.0}> () p = Div (x, a) q = Div (p, m) r = Add (q, b)
        s = Cast <to = 1> (c) y = Add (r, s) }"""
    result = surgery.apply(parse(text), [Cleanup(engine="own")])
    assert result.model is not None and len(result.model.graph.initializers) == 3


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 22])
def test_constants_are_folded_where_that_does_not_grow(opset: int) -> None:
    text = """(float[n, 8, 2] x) => (float[n, 2, 8] y) {
        two = Constant <value = int64[1] {2}> () four = Constant <value = int64[1] {4}> () eight = Mul (two, four)
        free = Constant <value = int64[1] {-1}> () dims = Concat <axis = 0> (free, two, eight)
        big = Constant <value = int64[2] {64, 8}> () table = ConstantOfShape (big) row = ReduceMax (table)
        z = Reshape (x, dims) y = Add (z, row) }"""
    text = text.replace("row = ReduceMax", "row = ReduceMax" if opset >= 18 else "row = ReduceMax <axes = [0, 1]>")
    result = surgery.apply(parse(text, opset), [Cleanup(engine="own")])
    assert result.model is not None and result.report.verdict == "equal"
    assert [n.op_type for n in result.model.graph] == ["Reshape", "Add"]


def test_large_results_are_not_stored() -> None:
    text = """(float[1, 1] x) => (float[256, 256] y) {
        dims = Constant <value_ints = [256, 256]> () zeros = ConstantOfShape (dims) y = Add (x, zeros) }"""
    result = surgery.apply(parse(text), [Cleanup(engine="own")])
    assert result.model is not None
    assert [n.op_type for n in result.model.graph] == ["ConstantOfShape", "Add"]


@pytest.mark.parametrize("name", ["if_sample", "loop_sample", "function_sample", "tps", "crnn"])
def test_sub_graphs_and_functions(name: str, tmp_path: Path) -> None:
    result = surgery.apply(written(name, tmp_path), ["cleanup:engine=own"], tmp_path / "out.onnx")
    assert result.ok, result.report
    onnx.checker.check_model(tmp_path / "out.onnx", full_check=True)
    assert (tmp_path / "out.onnx").stat().st_size <= (tmp_path / "model.onnx").stat().st_size


# ---------------------------------------------------------------------------- engines


def test_tied_weights_are_stored_once(engine: str, tmp_path: Path) -> None:
    path, out = written("gru_decoder", tmp_path), tmp_path / "out.onnx"
    result = surgery.apply(path, [Cleanup(engine=engine)], out)
    assert result.report.verdict == "equal", result.report
    before, after = onnx.load(path), onnx.load(out)
    onnx.checker.check_model(after, full_check=True)
    assert out.stat().st_size <= path.stat().st_size
    assert len(after.graph.node) <= 92 and "Identity" not in {n.op_type for n in after.graph.node}
    sizes = Counter(tuple(sorted(t.dims)) for t in after.graph.initializer)
    assert sizes[8, 72] == sizes[24, 72] == 1 and (8, 16) not in sizes
    assert after.metadata_props == before.metadata_props and after.producer_name == "fixtures"
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert after.opset_import == before.opset_import and after.ir_version == before.ir_version
    again = surgery.apply(out, [Cleanup(engine=engine)], verify="none")
    assert again.report.verdict == "untouched", again.report


def test_external_data_stays_outside_and_the_screen_clean(
    engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = written("external_data", tmp_path), tmp_path / "out.onnx"
    model = onnx.load(path)
    (first,) = model.graph.input
    model.graph.node.insert(0, onnx.helper.make_node("Identity", [first.name], ["same"]))
    for node in model.graph.node[1:]:
        node.input[:] = ["same" if name == first.name else name for name in node.input]
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=256)
    assert main(["apply", str(path), "--pass", f"cleanup:engine={engine}", "-o", str(out), "--quiet"]) == 0
    done = capfd.readouterr()
    assert done.err == "" and len(done.out.splitlines()) == 1
    kept = onnx.load(out, load_external_data=False).graph.initializer
    assert any(t.data_location == onnx.TensorProto.EXTERNAL for t in kept)
    onnx.checker.check_model(out, full_check=True)


def test_a_float_written_as_an_attribute() -> None:
    """Onnxslim alone makes a double of it, which no Mul of floats takes."""
    if importlib.util.find_spec("onnxslim") is None:
        pytest.skip("onnxslim is not installed")
    text = "(float[n, 4] x) => (float[n, 4] y) { k = Constant <value_float = 2.0> () a = Identity (x) y = Mul (a, k) }"
    result = surgery.apply(parse(text), [Cleanup()])
    assert result.report.verdict == "equal" and result.model is not None
    onnx.checker.check_model(ir.to_proto(result.model), full_check=True)
    assert len(result.model.graph) == 1


def test_an_engine_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxslim", None)
    path = written("gru_decoder", tmp_path)
    assert main(["apply", str(path), "--pass", "cleanup"]) == 4
    assert "onnx-surgery[slim]" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


# What takes the place of onnxslim in the child process.
WRONG = """
import onnx
def slim(path, **how):
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2:
            array = onnx.numpy_helper.to_array(tensor) * 1.02
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype("float32"), tensor.name))
    del model.graph.value_info[:]
    return model
"""
BROKEN = {
    "wrong": (WRONG, ""),
    "ends": ("import os\nprint('a word')\nos._exit(3)", "a word"),
    "killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    "raises": ("def slim(path, **how): raise ValueError('of its own')", "of its own"),
    "renames": (
        "import onnx\ndef slim(path, **how):\n m = onnx.load(path)\n m.graph.node[-1].output[0] = 'other'\n"
        " m.graph.output[0].name = 'other'\n return m",
        "the outputs were",
    ),
    "unsound": (
        "import onnx\ndef slim(path, **how):\n m = onnx.load(path)\n"
        " m.graph.node[1].output[:] = m.graph.node[0].output\n return m",
        "can't be used",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_engine_that_goes_wrong(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("onnxslim") is None:
        pytest.skip("onnxslim is not installed")
    code, said = BROKEN[fault]
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "onnxslim.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "planted"))
    path, out = written("gru_decoder", tmp_path), tmp_path / "out.onnx"
    if fault == "wrong":
        result = surgery.apply(path, ["cleanup"], out)
        assert (
            result.model is None and result.report.verdict == "different" and result.report.verify.guilty == "cleanup"
        )
    else:
        with pytest.raises(Missing, match="onnxslim failed") as caught:
            surgery.apply(path, ["cleanup"], out)
        assert said in str(caught.value)
    assert not out.exists()


# ------------------------------------------------------------------------ real models


@pytest.mark.parametrize(
    ("name", "nodes"), [("rare", 954), ("ppocr_cls", 179), ("ppocrv4_rec", 393), ("det_v4_pir", 278)]
)
def test_no_more_nodes_than_the_engine_leaves_and_no_larger_file(name: str, nodes: int, tmp_path: Path) -> None:
    path, out = Path(MODELS) / f"{name}.onnx", tmp_path / "out.onnx"
    if not MODELS or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    if importlib.util.find_spec("onnxslim") is None:
        pytest.skip("onnxslim is not installed")
    result = surgery.apply(path, ["cleanup"], out, verify="none")
    assert result.report.nodes["after"] <= nodes
    assert out.stat().st_size <= path.stat().st_size
