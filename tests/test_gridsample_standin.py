"""The pass `gridsample-standin`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import fixtures
import surgery
from rewrites.passes.gridsample import GridSample
from rewrites.passes.gridsample_standin import GridSampleStandin
from surgery.model import from_proto
from surgery.passes import run_pass

FOLDER = os.environ.get("SURGERY_MODELS", "")
FIXTURES = ("sampler_standin", "sampler_standin_pir")
HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'
# What optimizers leave of it; the last one is what onnxsim makes of Reshape and Unsqueeze.
SHORT = """standin (float[N, 3, 5, 7] x, float[N, 5, 7, 2] g) => (float[N, 3, 5, 7] y)
<int64[10] pads = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, float zero = {0.0}, int64[1] two = {2}> {
    u = Unsqueeze (g, two)
    p = Pad (u, pads, zero)
    s = Squeeze (p, two)
    t = Transpose <perm = [0, 3, 1, 2]> (s)
    y = Add (x, t)
}"""
FUSED = """standin (float[N, 3, 5, 7] x, float[N, 5, 7, 2] g) => (float[N, 3, 5, 7] y) {
    y = GridSample <align_corners = 1> (x, g)
}"""


def sampled(proto: onnx.ModelProto, one: GridSampleStandin | None = None) -> onnx.ModelProto:
    model, report = run_pass(from_proto(proto), one or GridSampleStandin())
    assert report.places == 1 and not report.skipped
    return ir.to_proto(model)


def run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, feeds)[0]
    return result


def around(*attributes: str) -> onnx.ModelProto:
    """The fixtures' net, with the sampler in its place."""
    from fixtures._standin import around

    how = 'mode = "bilinear", padding_mode = "zeros", align_corners = 1'
    model = around(f"sampled = com.microsoft.GridSample <{', '.join(attributes) or how}> (image, grid)")
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return model


@pytest.mark.parametrize("name", FIXTURES)
def test_samples_in_both_exporters_forms(name: str) -> None:
    before = fixtures.build(name)
    after = sampled(before)
    # Nothing of what stood in is left, nor of what came along.
    assert sorted(n.op_type for n in after.graph.node) == sorted(n.op_type for n in around().graph.node)
    used = {i for n in after.graph.node for i in n.input}
    assert {t.name for t in after.graph.initializer} <= used
    for which in fixtures.runs(name):
        feeds = fixtures.feeds(which)
        np.testing.assert_allclose(run(after, feeds), run(around(), feeds), atol=1e-5)
        assert np.abs(run(before, feeds) - run(around(), feeds)).max() > 0.1


def test_ends_without_gridsample_at_opset_11_and_the_reference_decides(tmp_path: Path) -> None:
    fixtures.write("sampler_standin_pir", tmp_path / "m.onnx")
    stored: dict[str, np.ndarray] = {}
    for i, which in enumerate(fixtures.runs("sampler_standin_pir")[:2]):
        feeds = fixtures.feeds(which)
        stored |= {f"x.{i}": feeds["x"], f"y.{i}": run(around(), feeds)}
    np.savez(tmp_path / "right.npz", **stored)
    passes = ["gridsample-standin", "gridsample"]
    result = surgery.apply(tmp_path / "m.onnx", passes, reference=tmp_path / "right.npz")
    assert result.ok and result.report.verdict == "changed"
    assert result.model.opset_imports[""] == 11
    assert "GridSample" not in {n.op_type for n in result.model.graph}
    # Another sampler than the one that made the stored results is told apart from it.
    passes[0] += ":align_corners=false"
    result = surgery.apply(tmp_path / "m.onnx", passes, reference=tmp_path / "right.npz")
    assert not result.ok and result.report.verdict == "different"


def test_the_options_say_what_the_model_called() -> None:
    one = GridSampleStandin(mode="cubic", padding="border", align_corners=False)
    after = sampled(fixtures.build("sampler_standin"), one)
    wish = around('mode = "bicubic"', 'padding_mode = "border"', "align_corners = 0")
    feeds = fixtures.feeds({"x": (2, 3, 12, 20)})
    np.testing.assert_allclose(run(after, feeds), run(wish, feeds), atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("int64[10] pads = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}", "int64[10] pads = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0}"),
        ("y = Add (x, t)", "y = Add (t, x)"),
        ("    u = Unsqueeze (g, two)\n", "    i = Identity (g)\n    u = Unsqueeze (i, two)\n"),
    ],
    ids=["as it is", "in front", "swapped", "identity"],
)
def test_is_found_by_its_shape(assert_rewrite, old: str, new: str) -> None:
    assert_rewrite(GridSampleStandin(), before=SHORT.replace(old, new) if old else SHORT, after=FUSED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("zero = {0.0}", "zero = {1.0}"),
        ("0, 0, 0, 0, 1}", "0, 0, 0, 0, 0}"),
        ("0, 0, 0, 0, 1}", "0, 0, 1, 0, 1}"),
        ("perm = [0, 3, 1, 2]", "perm = [0, 3, 2, 1]"),
        ("y = Add (x, t)", "y = Mul (x, t)"),
        ("Pad (u", 'Pad <mode = "edge"> (u'),
    ],
)
def test_near_misses_are_left(old: str, new: str) -> None:
    model = onnx.parser.parse_model(HEADER + SHORT.replace(old, new))
    _, report = run_pass(from_proto(model), GridSampleStandin())
    assert not report.places


def test_says_why_a_grid_padded_to_other_channels_is_left(assert_rewrite) -> None:
    text = SHORT.replace("x, float[N", "x, float[M").replace("float[N, 3, 5, 7] x", "float[N, 1, 5, 7] x")
    assert_rewrite(GridSampleStandin(), before=text, skips="is not of the 3 channels")


@pytest.mark.parametrize("name", ["rare_standin", "rare_standin_pir"])
def test_gives_the_stored_results(name: str) -> None:
    path = Path(FOLDER) / f"{name}.onnx"
    if not FOLDER or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    model, report = run_pass(surgery.load(path), GridSampleStandin())
    assert report.places == 1
    model, report = run_pass(model, GridSample())
    assert report.places == 1
    proto = ir.to_proto(model)
    assert not any("GridSample" in n.op_type or n.op_type == "Pad" for n in proto.graph.node)
    stored = np.load(path.with_suffix(".npz"))
    (source,), (target,) = proto.graph.input, proto.graph.output
    for case in ("0", "1"):
        result = run(proto, {source.name: stored[f"{source.name}.{case}"]})
        np.testing.assert_allclose(result, stored[f"{target.name}.{case}"], rtol=0, atol=1e-4)


def test_then_gridsample_is_not_taken_for_wrong(tmp_path):
    """A pass that is to change nothing, behind one that does: held to it, and no false alarm."""
    folder = os.environ.get("SURGERY_MODELS", "")
    path = Path(folder, "rare_standin.onnx")
    if not folder or not path.exists():
        pytest.skip("SURGERY_MODELS names no folder with this model")
    passes = ["gridsample-standin", "gridsample"]
    report = surgery.apply(path, passes, reference=path.with_suffix(".npz")).report
    assert report.verdict == "changed", str(report.verify)
