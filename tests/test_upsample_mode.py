"""The pass `upsample-mode`, held against torch in the other mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import fixtures
import surgery
from rewrites.passes.upsample_mode import UpsampleMode
from surgery import BadInput
from surgery.model import from_proto
from surgery.passes import run_pass
from surgery.report import PassReport


def switch(proto: onnx.ModelProto, **options: Any) -> tuple[onnx.ModelProto, PassReport]:
    model, report = run_pass(from_proto(proto), UpsampleMode(**options))
    made = ir.to_proto(model)
    onnx.checker.check_model(made, full_check=True)
    assert run_pass(from_proto(made), UpsampleMode(**options))[1].places == 0
    return made, report


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


TORCH = {
    "nearest": ("nearest", {}),
    "linear": ("bilinear", {"align_corners": False}),
    "linear corners": ("bilinear", {"align_corners": True}),
    "cubic": ("bicubic", {"align_corners": False}),
    "cubic corners": ("bicubic", {"align_corners": True}),
}


def options(name: str) -> dict[str, Any]:
    mode, _, corners = name.partition(" ")
    return {"mode": mode, "align_corners": bool(corners)}


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("name", [n for n in TORCH if n != "nearest"])
def test_a_neck_is_what_torch_makes_in_the_other_mode(name: str, opset: int) -> None:
    torch = pytest.importorskip("torch")
    from fixtures.neck import build, neck

    mode, how = TORCH[name]
    proto = build(opset)
    made, report = switch(proto, **options(name))
    assert report.places == (2 if name.startswith("linear") else 3)
    wanted = neck(mode, **how)
    if name.startswith("cubic"):  # the third Resize, which was linear, is switched too
        made, report = switch(proto, **options(name), nodes="/Resize")
        second, _ = switch(made, **options(name), nodes="/Resize_1")
        made = second
    for shape in ((1, 3, 32, 48), (2, 3, 40, 24), (3, 3, 36, 52)):
        x = np.random.default_rng(1).standard_normal(shape, np.float32)
        with torch.no_grad():
            truth = wanted(torch.from_numpy(x)).numpy()
        assert abs(run(proto, x) - truth).max() > 1e-3, "the modes have to differ"
        np.testing.assert_allclose(run(made, x), truth, atol=1e-5)


@pytest.mark.parametrize("opset", [11, 13, 17, 19])
@pytest.mark.parametrize(
    ("before", "name"), [(b, n) for b in ("nearest", "linear", "cubic") for n in TORCH if b != n.split()[0]]
)
def test_scales_are_what_torch_makes(before: str, name: str, opset: int) -> None:
    torch = pytest.importorskip("torch")
    proto = resize(before, opset, "float[4] scales = {1.0, 1.0, 2.0, 1.5}", "x, , scales")
    made, report = switch(proto, **options(name))
    assert report.places == 1
    x = np.random.default_rng(2).standard_normal((2, 3, 6, 10)).astype(np.float32)
    mode, how = TORCH[name]
    truth = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=(2.0, 1.5), mode=mode, **how).numpy()
    if "corners" in name:  # torch goes by the size, 9 and not 10 steps, as ONNX does
        assert truth.shape == (2, 3, 12, 15)
    np.testing.assert_allclose(run(made, x), truth, atol=1e-5)


def resize(mode: str, opset: int, constants: str, inputs: str, dtype: str = "float", rank: int = 4) -> onnx.ModelProto:
    dims = ", ".join("NCHWD"[:rank])
    wished = ", ".join(f"q{i}" for i in range(rank))
    coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
    if opset < 13:  # there the input may not be left out
        constants, inputs = f"float[0] roi = {{}}, {constants}", inputs.replace(", ,", ", roi,", 1)
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : {opset}]>
        g ({dtype}[{dims}] x) => ({dtype}[{wished}] y) <{constants}> {{
            [up] y = Resize <mode = "{mode}", coordinate_transformation_mode = "{coordinates}",
                nearest_mode = "floor", cubic_coeff_a = -0.75> ({inputs})
        }}""")


@pytest.mark.parametrize("rank", [3, 5])
@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_other_ranks_and_dtypes(rank: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    scales = ", ".join(["1.0", "1.0", *["2.0"] * (rank - 2)])
    proto = resize("nearest", 17, f"float[{rank}] scales = {{{scales}}}", "x, , scales", dtype, rank)
    made, _ = switch(proto)
    if dtype != "float":  # ONNX Runtime interpolates no others on this rank
        return
    x = np.random.default_rng(3).standard_normal((2, 3, 4, 5, 6)[:rank]).astype(np.float32)
    mode = {3: "linear", 5: "trilinear"}[rank]
    truth = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=2, mode=mode).numpy()
    np.testing.assert_allclose(run(made, x), truth, atol=1e-5)


def test_nodes_are_chosen_by_name() -> None:
    pytest.importorskip("torch")
    proto = fixtures.build("neck")
    made, report = switch(proto, nodes="/Resize_1")
    modes = [next(a.s for a in n.attribute if a.name == "mode") for n in made.graph.node if n.op_type == "Resize"]
    assert report.places == 1 and sorted(modes) == [b"linear", b"linear", b"nearest"]
    with pytest.raises(BadInput, match=r"'/neck/\*'\nthere is: /Resize, /Resize_1, /Resize_2"):
        switch(proto, nodes="/neck/*")


def test_a_tensor_that_changes_gets_a_new_name() -> None:
    pytest.importorskip("torch")
    proto = fixtures.build("neck")
    made, _ = switch(proto)
    old, new = ({n.output[0] for n in m.graph.node if n.op_type == "Resize"} for m in (proto, made))
    assert len(old & new) == 1 and made.graph.output[0].name == "y"


SCALES = "float[4] scales = {1.0, 1.0, 2.0, 2.0}"


@pytest.mark.parametrize(
    ("proto", "wish", "why"),
    [
        (resize("nearest", 17, SCALES, "x, , scales", "uint8"), {}, "uint8 is not to be interpolated"),
        (resize("nearest", 17, "float[3] scales = {1.0, 1.0, 2.0}", "x, , scales", rank=3), {"mode": "cubic"}, "cubic"),
    ],
)
def test_what_is_left_and_why(proto: onnx.ModelProto, wish: dict[str, str], why: str) -> None:
    made, report = switch(proto, **wish)
    assert report.places == 0 and why in report.notes[0] and "up" in report.notes[0]
    assert made.graph.node[0].attribute == proto.graph.node[0].attribute


@pytest.mark.parametrize("opset", [9, 10])
def test_old_opsets_have_nearest_alone(opset: int) -> None:
    operator = "Upsample" if opset == 9 else "Resize"
    text = f"""<ir_version: 5, opset_import: ["" : {opset}]> g (float[N, C, H, W] x) => (float[a, b, c, d] y)
        <{SCALES}> {{ y = {operator} <mode = "%s"> (x, scales) }}"""
    _, report = switch(onnx.parser.parse_model(text % "nearest"))
    assert report.places == 0 and "opset 11" in report.notes[0]
    made, report = switch(onnx.parser.parse_model(text % "linear"), mode="nearest")
    assert report.places == 1
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(run(made, x), x.repeat(2, 2).repeat(2, 3))


def test_nearest_has_no_corners_to_align() -> None:
    with pytest.raises(BadInput, match="align_corners"):
        switch(resize("linear", 17, SCALES, "x, , scales"), mode="nearest", align_corners=True)


def test_the_report_says_changed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    fixtures.write("neck", tmp_path / "m.onnx")
    result = surgery.apply(tmp_path / "m.onnx", ["upsample-mode"], tmp_path / "out.onnx")
    assert result.report.verdict == "changed" and result.report.verify.outputs[0].max_abs > 1e-3


def test_a_switch_of_the_mode_alone_is_seen_by_a_reference(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from fixtures.neck import neck

    class Alone(UpsampleMode):
        def switch(self, node: ir.Node, opset: int, edit: surgery.Edit) -> None:
            node.attributes["mode"] = ir.AttrString("mode", self.mode)

    fixtures.write("neck", tmp_path / "m.onnx")
    x = np.random.default_rng(4).standard_normal((2, 3, 32, 48), np.float32)
    with torch.no_grad():
        np.savez(tmp_path / "r.npz", **{"x.0": x, "y.0": neck("bilinear")(torch.from_numpy(x)).numpy()})
    assert surgery.apply(tmp_path / "m.onnx", ["upsample-mode"], reference=tmp_path / "r.npz").ok
    assert not surgery.apply(tmp_path / "m.onnx", [Alone()], reference=tmp_path / "r.npz").ok
