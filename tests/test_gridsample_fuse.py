"""The pass `gridsample-fuse`: samplers by name, and arithmetic."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import fixtures
import surgery
from rewrites.passes import gridsample_fuse
from rewrites.passes._sampling import Sampling
from rewrites.passes.gridsample_fuse import GridSampleFuse
from surgery import BadInput, Refused
from surgery.passes import run_pass
from tests._fusing import fused, images_and_grids, runner

FOLDER = os.environ.get("SURGERY_MODELS", "")
IO = "g (float[N, 3, H, W] x, float[N, P, Q, 2] g) => (float[N, 3, P, Q] y)"
OLD = {"": 11, "com.microsoft": 1}


# ---- by name ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "opset", "after"),
    [
        (
            "y = mmdeploy.grid_sampler <interpolation_mode = 2, padding_mode = 1, align_corners = 1> (x, g)",
            {"": 11, "mmdeploy": 1},
            'y = com.microsoft.GridSample <mode = "bicubic", padding_mode = "border", align_corners = 1> (x, g)',
        ),
        (
            "y = mmcv.grid_sampler <interpolation_mode = 0, padding_mode = 2, align_corners = 0> (x, g)",
            {"": 16, "mmcv": 1},
            'y = GridSample <padding_mode = "reflection"> (x, g)',
        ),
        (
            "y = mmcv.grid_sampler <interpolation_mode = 2, padding_mode = 0, align_corners = 0> (x, g)",
            {"": 20, "mmcv": 1},
            'y = GridSample <mode = "cubic"> (x, g)',
        ),
        (
            'y = GridSample <mode = "nearest", align_corners = 1> (x, g)',
            {"": 11},
            'y = com.microsoft.GridSample <mode = "nearest", padding_mode = "zeros", align_corners = 1> (x, g)',
        ),
        (
            "y = GridSampler <interpolationmode = 1, paddingmode = 0, aligncorners = 0> (x, g)",
            {"": 13},
            'y = com.microsoft.GridSample <mode = "nearest", padding_mode = "zeros", align_corners = 0> (x, g)',
        ),
        (
            'y = com.microsoft.GridSample <mode = "bicubic", padding_mode = "border"> (x, g)',
            {"": 17, "com.microsoft": 1},
            'y = GridSample <mode = "bicubic", padding_mode = "border"> (x, g)',
        ),
    ],
)
def test_names_become_one(assert_rewrite, before: str, opset: dict[str, int], after: str) -> None:
    new = OLD | opset if "com.microsoft" in after else {"": opset[""]}
    text = f"{IO} {{ {before} }}"
    assert_rewrite(GridSampleFuse(), before=text, opset=opset, after=spelt(f"{IO} {{ {after} }}", new), verify=False)


def spelt(text: str, opset: dict[str, int]) -> onnx.ModelProto:
    imports = ", ".join(f'"{domain}" : {version}' for domain, version in opset.items())
    return onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{imports}]>\n{text}")


def test_bevformers_grid_is_turned_and_scaled() -> None:
    plugin = "GridSampler2DTRT <interpolation_mode = 0, padding_mode = 0, align_corners = 0>"
    text = "g (float[N, 3, H, W] x, float[N, 2, P, Q] g) => (float[N, 3, P, Q] y) { y = " + plugin + " (x, g) }"
    after, _ = fused(spelt(text, {"": 13}))
    whole, _ = fused(spelt(IO + "{ y = GridSample (x, g) }", {"": 11}))
    image, grid = images_and_grids(1, 2, 3, 5, 7, 4, 6)
    result = runner(after)(image, 10 * grid.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(result, runner(whole)(image, grid), atol=1e-5)


@pytest.mark.parametrize(
    ("line", "opset"),
    [
        ('y = GridSample <mode = "bicubic"> (x, g)', {"": 16}),
        ('y = com.microsoft.GridSample <mode = "bicubic"> (x, g)', OLD),
        ("i = Cast <to = 7> (g)  y = GatherND (x, i)", {"": 13}),
    ],
)
def test_what_is_right_already_is_left(line: str, opset: dict[str, int]) -> None:
    _, report = fused(spelt(f"{IO} {{ {line} }}", opset))
    assert not report.places and not report.skipped


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("y = mmcv.grid_sampler <interpolation_mode = 7> (x, g)", "has no interpolation_mode 7"),
        ("y = mmcv.grid_sampler (x)", "does not have the two inputs"),
    ],
)
def test_says_why_a_sampler_is_left(line: str, why: str) -> None:
    _, report = fused(spelt(f"{IO} {{ {line} }}", {"": 11, "mmcv": 1}))
    assert not report.places and why in report.skipped[0].why


def test_5d_waits_for_opset_20() -> None:
    text = "g (float[N, 3, D, H, W] x, float[N, O, P, Q, 3] g) => (float[N, 3, O, P, Q] y) { y = GridSample (x, g) }"
    _, report = fused(spelt(text, {"": 11}))
    assert not report.places and "opset 20" in report.skipped[0].why


# ---- arithmetic -------------------------------------------------------------------------


def one_sampler(before: onnx.ModelProto, wish: Sampling, free: bool = True) -> onnx.ModelProto:
    """Hold that a lone sampler becomes one node, the right one, with the results that it had."""
    after, report = fused(before)
    (node,) = after.graph.node
    opset = next(o.version for o in after.opset_import if not o.domain)
    assert (node.op_type, node.domain) == ("GridSample", "" if opset >= 16 else "com.microsoft")
    assert report.places == 1 and not report.skipped
    attributes = {a.name: a.s.decode() or a.i for a in node.attribute}
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = names.get(attributes["mode"], attributes["mode"])
    assert (mode, attributes["padding_mode"], attributes["align_corners"] == 1) == wish
    run, again = runner(before), runner(after)
    for sizes in ((2, 3, 8, 10, 6, 7), *([(1, 3, 5, 13, 9, 4), (3, 3, 16, 4, 5, 5)] if free else [])):
        feeds = images_and_grids(sum(sizes), *sizes)
        np.testing.assert_allclose(run(*feeds), again(*feeds), atol=1e-4)
    assert not fused(after)[1].places
    return after


@pytest.mark.parametrize("free", [True, False], ids=["dynamic", "static"])
@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("align_corners", [True, False])
def test_gathered_pixels(align_corners: bool, opset: int, free: bool) -> None:
    pytest.importorskip("torch", reason="torch exports this sampler")
    from fixtures._arithmetic import alone, gathered

    one_sampler(alone(gathered(align_corners), opset, free), Sampling("linear", "zeros", align_corners), free)


@pytest.mark.parametrize(
    ("mode", "padding", "align_corners", "opset", "free"),
    [
        ("linear", "zeros", False, 11, True),
        ("linear", "border", True, 17, False),
        ("nearest", "zeros", True, 17, False),
        ("nearest", "border", False, 11, True),
        ("cubic", "zeros", True, 17, False),
        ("cubic", "border", False, 11, True),
    ],
)
def test_torchs_decomposition(mode: str, padding: str, align_corners: bool, opset: int, free: bool) -> None:
    pytest.importorskip("torch", reason="torch exports this sampler")
    from fixtures._arithmetic import alone, decomposed

    numbers = ("linear", "nearest", "cubic").index(mode), ("zeros", "border").index(padding)
    before = alone(decomposed(*numbers, align_corners), opset, free)
    one_sampler(before, Sampling(mode, padding, align_corners), free)


@pytest.mark.parametrize(("mode", "align_corners"), [("linear", True), ("nearest", False)])
def test_torchs_decomposition_by_its_newer_exporter(mode: str, align_corners: bool) -> None:
    """Which alone exports reflection."""
    torch = pytest.importorskip("torch", reason="torch exports this sampler")
    pytest.importorskip("onnxscript", reason="torch's exporter needs it")
    from fixtures._arithmetic import Alone, decomposed

    module = Alone(decomposed(("linear", "nearest", "cubic").index(mode), 2, align_corners)).eval()
    example = torch.zeros(2, 3, 8, 10), torch.zeros(2, 6, 7, 2)
    program = torch.onnx.export(module, example, dynamo=True, opset_version=18, verbose=False)
    one_sampler(program.model_proto, Sampling(mode, "reflection", align_corners), free=False)


@pytest.mark.parametrize("optimizer", ["onnxslim", "onnxsim"])
@pytest.mark.parametrize("free", [True, False], ids=["dynamic", "static"])
def test_after_an_optimizer(optimizer: str, free: bool) -> None:
    pytest.importorskip("torch", reason="torch exports this sampler")
    module = pytest.importorskip(optimizer)
    from fixtures._arithmetic import alone, gathered

    before = alone(gathered(False), 11, free)
    before = module.slim(before) if optimizer == "onnxslim" else module.simplify(before)[0]
    one_sampler(before, Sampling("linear", "zeros", False), free)


@pytest.mark.parametrize("align_corners", [True, False])
def test_mmcvs_own_function(align_corners: bool) -> None:
    pytest.importorskip("torch", reason="torch exports this sampler")
    found = importlib.util.find_spec("mmcv")
    path = Path(found.submodule_search_locations[0]) / "ops" / "point_sample.py" if found else Path()
    if not path.is_file():
        pytest.skip("mmcv is not installed")
    from fixtures._arithmetic import alone

    # The file by itself: its package wants compiled operators.
    spec = importlib.util.spec_from_file_location("point_sample", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for opset, free in ((11, True), (11, False), (17, True), (17, False)):
        before = alone(lambda x, g: module.bilinear_grid_sample(x, g, align_corners), opset, free)
        one_sampler(before, Sampling("linear", "zeros", align_corners), free)


@pytest.mark.parametrize(
    ("name", "wish"),
    [("sampler_gathered", ("bilinear", "zeros", 0)), ("sampler_decomposed", ("bilinear", "border", 1))],
)
def test_in_a_net_and_verified(name: str, wish: tuple[str, str, int], tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch exports this fixture")
    fixtures.write(name, tmp_path / "m.onnx")
    result = surgery.apply(tmp_path / "m.onnx", ["gridsample-fuse"])
    assert result.ok and result.report.verdict == "equal", result.report
    assert result.report.verify.sites.verdict == "equal"
    (node,) = [n for n in result.model.graph if n.op_type == "GridSample"]
    assert (node.attributes["mode"].value, node.attributes["padding_mode"].value) == wish[:2]
    assert node.attributes["align_corners"].value == wish[2]
    # Three convolutions, Relu, Tanh, the factor of the grid, Transpose and the sampler: nothing else is left.
    ops = {n.op_type for n in result.model.graph}
    assert ops <= {"Conv", "Relu", "Tanh", "Constant", "Mul", "Transpose", "GridSample"}, ops


def test_shared_parts_serve_both_samplers() -> None:
    """Two images by one grid, whose arithmetic an optimizer has joined."""
    torch = pytest.importorskip("torch", reason="torch exports this sampler")
    slim = pytest.importorskip("onnxslim")
    from fixtures._arithmetic import gathered
    from fixtures._torch import export

    class Two(torch.nn.Module):
        def forward(self, image, grid):
            sample = gathered(True)
            return sample(image, grid) + sample(image.abs(), grid)

    example = {"image": torch.zeros(2, 3, 8, 10), "grid": torch.zeros(2, 6, 7, 2)}
    before = slim.slim(export(Two(), example, "y", {}, 11))
    assert sum(n.op_type == "Floor" for n in before.graph.node) == 2
    after, _ = fused(before)
    assert sorted(n.op_type for n in after.graph.node) == ["Abs", "Add", "GridSample", "GridSample"]
    feeds = images_and_grids(3, 2, 3, 8, 10, 6, 7)
    np.testing.assert_allclose(runner(before)(*feeds), runner(after)(*feeds), atol=1e-5)


def test_another_dtype_is_left_with_the_reason() -> None:
    torch = pytest.importorskip("torch", reason="torch exports this sampler")
    from fixtures._arithmetic import Alone, gathered
    from fixtures._torch import export

    example = {"image": torch.zeros(2, 3, 8, 10).double(), "grid": torch.zeros(2, 6, 7, 2).double()}
    _, report = fused(export(Alone(gathered(True)), example, "y", {}, 17))
    assert not report.places and all("float32" in skip.why for skip in report.skipped) and report.skipped


def test_a_wrong_sampler_would_be_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Should the trial ever let one through."""
    pytest.importorskip("torch", reason="torch exports this fixture")
    fixtures.write("sampler_gathered", tmp_path / "m.onnx")
    wrong = Sampling("linear", "border", False)
    monkeypatch.setattr(gridsample_fuse.Part, "sampling", lambda *_: wrong)
    result = surgery.apply(tmp_path / "m.onnx", ["gridsample-fuse"])
    assert not result.ok and result.report.verdict == "different"
    assert result.report.verify.guilty == "gridsample-fuse"


# ---- the whole model --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sampler_gathered", "sampler_mmdeploy", "sampler_placeholder", "sampler_contrib"])
@pytest.mark.parametrize("opset", [16, 20])
def test_the_whole_model_is_converted(name: str, opset: int) -> None:
    if name == "sampler_gathered":
        pytest.importorskip("torch", reason="torch exports this fixture")
    before = fixtures.build(name)
    after, report = fused(before, opset=opset)
    assert report.places == 1 if name != "sampler_contrib" else True
    onnx.checker.check_model(after, full_check=True)
    if not report.places:
        return
    assert {o.domain: o.version for o in after.opset_import}[""] == opset
    assert "com.microsoft" not in {o.domain for o in after.opset_import if o.domain}
    whole, _ = fused(before)
    for which in fixtures.runs(name):
        feeds = fixtures.feeds(which)
        np.testing.assert_allclose(runner(whole)(*feeds.values()), runner(after)(*feeds.values()), atol=1e-5)


def test_refuses_what_the_converter_does_not_know() -> None:
    text = IO + "{ h = Upsnample (x)  y = mmcv.grid_sampler (h, g) }"
    with pytest.raises(Refused, match="can't be converted to opset 16"):
        fused(spelt(text, {"": 11, "mmcv": 1}), opset=16)
    with pytest.raises(BadInput, match="opset 15 has no GridSample"):
        GridSampleFuse(opset=15)


# ---- what is none -----------------------------------------------------------------------

SAMPLERS = ("sampler_", "function_sample", "if_sample", "loop_sample")


@pytest.mark.parametrize("name", [n for n in fixtures.names() if not n.startswith(SAMPLERS)])
def test_other_models_are_left(name: str) -> None:
    try:
        before = fixtures.build(name)
    except ModuleNotFoundError:
        pytest.skip("torch exports this fixture")
    if before.graph.initializer and before.graph.initializer[0].external_data:
        return
    _, report = fused(before)
    assert not report.places


def models() -> list[Path]:
    return sorted(Path(FOLDER).glob("*.onnx")) if FOLDER else []


@pytest.mark.skipif(not models(), reason="SURGERY_MODELS names no folder with models")
@pytest.mark.parametrize("path", models(), ids=lambda p: p.stem)
def test_real_models(path: Path) -> None:
    model, report = run_pass(surgery.load(path), GridSampleFuse())
    assert report.places == (path.stem in ("rare_placeholder", "aster_mmdeploy_customop")), report.at
    if not report.places:
        return
    proto = ir.to_proto(model)
    # Stored results come from an optimised run.
    run, (source,), (target,) = runner(proto, optimised=True), proto.graph.input, proto.graph.output
    stored = np.load(path.with_suffix(".npz"))
    for case in ("0", "1"):
        result = run(stored[f"{source.name}.{case}"])
        np.testing.assert_allclose(result, stored[f"{target.name}.{case}"], rtol=0, atol=1e-4)
