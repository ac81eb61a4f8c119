"""surgery.export and ``surgery export``: what is written, what is compared, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

import _net as net  # noqa: E402

import surgery  # noqa: E402
from surgery import BadInput, Changes, Refused, Rewriter, replaces  # noqa: E402
from surgery.cli import main  # noqa: E402
from surgery.exporter import inputs  # noqa: E402


class Bilinear(Rewriter):
    contract = Changes("bilinear instead of nearest")

    @replaces("_net.Neck.up")
    def up(self, original, module, x, factor=2.0):
        return torch.nn.functional.interpolate(x, scale_factor=factor, mode="bilinear")


class Wrong(Rewriter):
    """Promises what it does not keep."""

    @replaces("_net.Neck.up")
    def up(self, original, module, x, factor=2.0):
        return original(x, factor) * 1.01


def run(path: Path, x: Any) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    (found,) = ort.InferenceSession(str(path), options).run(None, {"x": x.numpy()})
    return found


@pytest.mark.parametrize(
    ("exporter", "opset"), [("torchscript", 11), ("torchscript", 17), ("dynamo", 18), ("dynamo", 17), ("dynamo", 11)]
)
def test_is_equal_at_sizes_that_were_not_traced(tmp_path: Path, exporter: str, opset: int) -> None:
    module, x, dynamic = net.example()
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter, opset=opset)
    assert (done.ok, done.verify.verdict, done.opset) == (True, "equal", opset)
    sizes = [tuple(probe.shapes["x"]) for probe in done.verify.probes]
    assert len({s[0] for s in sizes}) >= 2
    assert len({s[2:] for s in sizes}) >= 3
    assert done.verify.evidence.seen == done.verify.evidence.planted > 2
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import}[""] == opset
    assert done.dims == {
        "x": ["batch", 3, "height", "width"],
        "output": ["batch", 4, "out_height", "out_width"],
    }  # of 47 it makes 48
    other = torch.randn(3, 3, 40, 24)
    with torch.no_grad():
        assert np.abs(run(tmp_path / "m.onnx", other) - module(other).numpy()).max() < 1e-5
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    ("least", "multiple", "given", "small"),
    [
        (1, 1, (544, 736), (128, 160)),
        (1, 128, (512, 640), (256, 384)),
        (60, 1, (544, 720), (128, 176)),
        (200, 17, (544, 680), (272, 340)),  # a half
        (500, 1, (544, 736), None),  # nothing small is taken
    ],
)
def test_other_sizes_are_small_where_the_module_takes_small_ones(
    least: int, multiple: int, given: tuple[int, int], small: tuple[int, int] | None
) -> None:
    module, dynamic = net.Picky(least, multiple).eval(), net.example()[2]
    made = inputs.cases(module, {"x": torch.randn(1, 3, *given)}, dynamic, 0)
    sizes = [tuple(case.feeds["x"].shape) for case in made]
    assert sizes[:2] == [(1, 3, *given), (1, 3, *small) if small else (2, 3, *given)]
    around = sizes[1:] if small else sizes
    for axis in (0, 2, 3):
        assert len({size[axis] for size in around}) >= 2
    assert (min(size[2] * size[3] for size in around) < given[0] * given[1]) == bool(small)


def test_a_large_input_is_compared_and_so_are_small_ones(tmp_path: Path) -> None:
    module, _, dynamic = net.example()
    x = torch.randn(1, 3, 288, 321)
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic)
    assert (done.verify.verdict, done.dims["output"]) == ("equal", ["batch", 4, "out_height", "out_width"])
    sizes = [tuple(probe.shapes["x"]) for probe in done.verify.probes]
    assert sizes[0] == (1, 3, 288, 321)
    assert max(size[2] for size in sizes[1:]) < 288


def test_sizes_that_are_not_taken_all_at_once(tmp_path: Path) -> None:
    _, x, dynamic = net.example()
    done = surgery.export(net.Picky(either=(32, 48)).eval(), x, tmp_path / "m.onnx", dynamic=dynamic)
    assert done.verify.verdict == "equal"
    assert "all dynamic dims at once" in " ".join(done.verify.notes)
    assert len(done.verify.probes) >= 3


def test_another_size_is_another() -> None:
    class One(torch.nn.Module):
        def forward(self, x):
            return x.view(1, 4) + 1

    with pytest.raises(BadInput, match="rejects every other size of 'n'"):
        inputs.cases(One(), {"x": torch.randn(1, 4)}, {"x": {0: "n"}}, 0)


def test_masks_are_no_measurements(tmp_path: Path) -> None:
    """With noise, or one infinity among them, other sizes would be of NaN throughout."""

    class Masked(torch.nn.Module):
        def forward(self, x, mask):
            return torch.softmax(x + mask, -1) @ x.transpose(1, 2)

    mask = torch.zeros(1, 4, 6)
    mask[:, :, 3:] = float("-inf")
    args = {"x": torch.randn(1, 4, 6), "mask": mask}
    dynamic = {"x": {0: "n", 2: "w"}, "mask": {0: "n", 2: "w"}}
    seen = []

    def look(path: Path, case: Any, names: Any) -> None:
        seen.append(case)

    done = surgery.export(Masked().eval(), args, tmp_path / "m.onnx", dynamic=dynamic, look=look)
    assert done.verify.verdict == "equal"
    assert seen[0].sizes == {"n": 1, "w": 6}
    for case in inputs.cases(Masked(), args, dynamic, 0):
        assert set(case.feeds["mask"].unique().tolist()) == {0.0, float("-inf")}
        assert np.isfinite(case.outputs[0]).all()


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize(
    "names", [("bias", "x"), ("x", "scale"), ("mask", "scale", "x", "bias")], ids=lambda names: "-".join(names)
)
def test_a_dict_goes_to_the_arguments_of_its_names(tmp_path: Path, exporter: str, names: tuple[str, ...]) -> None:
    args = {name: torch.rand(2, 4) + 1 + i for i, name in enumerate(names)}
    dynamic = {name: {0: "n"} for name in names}
    done = surgery.export(net.Options().eval(), args, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter)
    assert done.verify.verdict == "equal", done.verify
    assert list(done.dims) == [n for n in ("x", "mask", "bias", "scale") if n in names] + ["output"]
    feeds = {name: torch.rand(3, 4) + 1 for name in names}
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), options)
    (found,) = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    assert np.allclose(found, net.Options()(**feeds).numpy(), atol=1e-6)
    assert "forward" not in vars(net.Options())


def test_what_star_args_take(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, first, *rest):
            return first + rest[0] * rest[1]

    args = tuple(torch.randn(2, 4) for _ in range(3))
    dynamic = {name: {0: "n"} for name in ("first", "input_1", "input_2")}
    for exporter in ("torchscript", "dynamo"):
        done = surgery.export(Sum().eval(), args, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter)
        assert (done.verify.verdict, done.dims["input_2"]) == ("equal", ["n", 4])


def test_the_module_and_its_inputs_stay_as_they_were(tmp_path: Path) -> None:
    module = net.example(net.Scribbling)[0]
    x = torch.randn(1, 3, 32, 48, requires_grad=True)
    before = x.detach().clone()
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic={"x": {0: "n"}})
    assert done.verify.verdict == "equal"
    assert torch.equal(x, before)
    assert module.calls == 0
    assert "forward" not in vars(module)


def test_a_module_that_draws_at_random_is_told(tmp_path: Path) -> None:
    module, x, dynamic = net.example(net.Noisy)
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic)
    assert (done.ok, done.verify.verdict) == (False, "different")
    assert "other results when it is run again on the same inputs" in " ".join(done.verify.notes)


def test_an_input_that_nothing_depends_on(tmp_path: Path) -> None:
    module, x, dynamic = net.example(net.Idle)
    done = surgery.export(module, (x, torch.zeros(1)), tmp_path / "m.onnx", dynamic=dynamic)
    assert (done.verify.verdict, list(done.dims)) == ("equal", ["x", "output"])
    assert done.verify.notes == ["nothing depends on 'y', which the exporter has left out"]


@pytest.mark.parametrize(("dtype", "verdict"), [(torch.float16, "equal"), (torch.bfloat16, "unverified")])
def test_narrow_types(tmp_path: Path, dtype: torch.dtype, verdict: str) -> None:
    """The runtime's Conv takes no bfloat16: that is said, and not that the module rejects its inputs."""
    module, x, dynamic = net.example()
    done = surgery.export(module.to(dtype), x.to(dtype), tmp_path / "m.onnx", dynamic=dynamic)
    assert done.verify.verdict == verdict, done.verify
    assert done.ok == (verdict == "equal")


def test_transformers(tmp_path: Path) -> None:
    """Without gradients torch runs kernels of its own, which no exporter knows."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    module = torch.nn.TransformerEncoder(layer, 1).eval()
    before = torch.backends.mha.get_fastpath_enabled()
    done = surgery.export(module, torch.randn(2, 5, 8), tmp_path / "m.onnx")
    assert done.verify.verdict == "equal"
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_size_that_values_decide_is_no_size_of_the_input(tmp_path: Path) -> None:
    x = torch.randn(3, 4)
    done = surgery.export(net.Some().eval(), x, tmp_path / "m.onnx", dynamic={"x": {0: "n"}}, exporter="dynamo")
    assert (done.verify.verdict, done.dims) == ("equal", {"x": ["n", 4], "output": ["output_dim0", 4]})


@pytest.mark.parametrize(
    ("value", "why"),
    [(3.0, "result 1 of the module is a float"), (torch.zeros(2, dtype=torch.complex64), "result 1 .* is complex")],
    ids=["number", "complex"],
)
def test_results_that_are_none(tmp_path: Path, value: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        surgery.export(net.Whatever(value).eval(), torch.zeros(2), tmp_path / "m.onnx")


def test_whole_numbers_are_other_ones_too(tmp_path: Path) -> None:
    """Where the module takes them; a mask stays one."""
    words = torch.nn.Embedding(50, 4).eval()
    ids = torch.randint(0, 40, (2, 6))
    made = inputs.cases(words, {"input": ids}, {"input": {0: "n", 1: "t"}}, 0)
    seen = {i for case in made for i in case.feeds["input"].flatten().tolist()}
    assert seen > set(ids.flatten().tolist())
    assert max(seen) <= 40

    class Sorted(torch.nn.Module):
        def forward(self, x, lengths, mask):
            assert lengths.tolist() == sorted(lengths.tolist(), reverse=True)
            assert mask.dtype == torch.bool
            return x + lengths[:, None]

    args = {"x": torch.randn(3, 4), "lengths": torch.tensor([4, 2, 1]), "mask": torch.tensor([True, True, False])}
    made = inputs.cases(Sorted(), args, {}, 0)
    assert len(made) == 2
    assert not torch.equal(made[0].feeds["x"], made[1].feeds["x"])
    assert torch.equal(made[1].feeds["mask"], args["mask"])


def test_recurrent_networks_more_than_once(tmp_path: Path) -> None:
    """torch alone fixes the length in every dynamo export of a process but the first."""
    module, x, dynamic = net.recurrent()
    for opset in (18, 11, 18):
        path = tmp_path / f"{opset}.onnx"
        done = surgery.export(module, x, path, dynamic=dynamic, exporter="dynamo", opset=opset)
        assert (done.verify.verdict, done.dims["output"]) == ("equal", ["width", "batch", 5]), done.verify


def test_without_dynamic_dims(tmp_path: Path) -> None:
    module, x, _ = net.example()
    done = surgery.export(module, x, tmp_path / "m.onnx")
    assert done.dims == {"x": [1, 3, 32, 48], "output": [1, 4, 32, 48]}
    assert len(done.verify.probes) == 2


def test_a_dim_that_follows_from_another_has_a_name_of_its_own(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=4, padding=1)).eval()
    dynamic = {"image": {0: "batch", 2: "height", 3: "width"}}
    done = surgery.export(module, torch.randn(1, 3, 32, 48), tmp_path / "m.onnx", dynamic=dynamic, inputs=["image"])
    assert done.dims["output"] == ["batch", 4, "out_height", "out_width"]


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, a, b):
            return {"sum": a + b, "rest": [a @ b.T, None]}

    args = {"a": torch.randn(2, 5), "b": torch.randn(2, 5)}
    dynamic = {"a": {0: "n"}, "b": {0: "n"}}
    done = surgery.export(Two().eval(), args, tmp_path / "m.onnx", dynamic=dynamic, outputs=["sum", "product"])
    assert done.dims == {"a": ["n", 5], "b": ["n", 5], "sum": ["n", 5], "product": ["n", "n"]}


def test_a_rewriter_that_changes_results(tmp_path: Path) -> None:
    module, x, dynamic = net.example()
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, rewrites=[Bilinear()])
    assert (done.ok, done.verify.verdict) == (True, "changed")
    assert done.moved["output"] > 1e-3
    assert [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node].count("Resize") == 1
    with torch.no_grad(), surgery.patched(Bilinear()):
        truth = module(x).numpy()
    assert np.abs(run(tmp_path / "m.onnx", x) - truth).max() < 1e-5


def test_a_rewriter_that_does_not_keep_its_promise(tmp_path: Path) -> None:
    module, x, dynamic = net.example()
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, rewrites=[Wrong()])
    assert (done.ok, done.verify.verdict) == (False, "different")
    assert done.verify.first_difference is not None
    assert done.verify.first_difference.tensor == "out"
    assert not list(tmp_path.iterdir())


def test_what_a_trace_gets_wrong_is_found_where_it_begins(tmp_path: Path) -> None:
    module, x, dynamic = net.by_batch()
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic)
    assert (done.ok, done.verify.verdict) == (False, "different")
    assert done.verify.first_difference is not None
    assert done.verify.first_difference.before == "module out (Conv2d)"
    assert "batch 2, height 32, width 48" in " ".join(done.verify.notes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "error", "why"),
    [
        ({"dynamic": {"y": {0: "n"}}}, BadInput, "no input 'y'"),
        ({"dynamic": {"x": {7: "n"}}}, BadInput, "has no axis 7"),
        ({"dynamic": {"x": {2: "n", 3: "n"}}}, BadInput, "dim 'n' is 32 and 48"),
        ({"exporter": "dynamo", "opset": 6}, Refused, "writes opset 18 and later, .* can't be converted to opset 6"),
        ({"exporter": "other"}, BadInput, "no exporter 'other'"),
        ({"opset": 3}, Refused, "can't export"),
        ({"backend": "none"}, BadInput, "no backend 'none'"),
        ({"rewrites": ["nothing"]}, BadInput, "no rewriter 'nothing'"),
        ({"inputs": ["a", "b"]}, BadInput, "2 names are given for 1 input"),
        ({"outputs": ["a", "b"]}, BadInput, "2 names are given for 1 output"),
        ({"args": (torch.zeros(1, 3, 8, 8), 3.0)}, BadInput, "is a float, not a tensor"),
        ({"args": {"y": torch.zeros(1, 3, 8, 8)}}, BadInput, "forward has no argument 'y'"),
        ({"dynamic": {"x": [0, 2]}}, BadInput, "dynamic dims of 'x' are a list"),
        ({"dynamic": ["x"]}, BadInput, "dynamic dims are a list"),
        ({"dynamic": {"x": {0: "the batch"}}}, BadInput, "'the batch' is no name for axis 0"),
    ],
)
def test_bad_input(tmp_path: Path, settings: dict[str, Any], error: type[Exception], why: str) -> None:
    module, x, dynamic = net.example()
    args = settings.pop("args", x)
    with pytest.raises(error, match=why):
        surgery.export(module, args, tmp_path / "m.onnx", **{"dynamic": dynamic, **settings})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("factory", "status", "why"),
    [
        ("_net:example", 0, ""),
        ("_net:by_batch", 1, "begins   tensor out"),
        ("_net:in_training", 2, "the module is in training mode (Neck)"),
        ("_net:odd", 2, "the module rejects its inputs: RuntimeError"),
        ("_net:rigid", 2, "rejects every other size of 'width'"),
        ("_net:broken", 2, "the factory fails: RuntimeError: no weights"),
        ("_net:leaves", 2, "the factory fails: SystemExit: 3"),
        ("_net:by_list", 2, "the dynamic dims are a list"),
        ("_net:alone", 2, "the factory gives a Neck"),
        ("_net:nothing", 2, "_net has no 'nothing'"),
        ("_net:NOISE", 2, "_net has no 'NOISE'"),
        ("no_such_module:make", 2, "there is no module 'no_such_module'"),
        ("_net.py:make", 2, "as in `import MODULE`"),
        ("_net", 2, "names no factory"),
    ],
)
def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], factory: str, status: int, why: str) -> None:
    assert main(["export", factory, "-o", str(tmp_path / "m.onnx")]) == status
    said = capsys.readouterr()
    assert why in said.err
    assert "Traceback" not in said.err
    assert [p.name for p in tmp_path.iterdir()] == ([] if status else ["m.onnx"])


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_what_the_exporters_print_is_not_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str], exporter: str) -> None:
    assert main(["export", "_net:foreign", "-o", str(tmp_path / "m.onnx"), "--exporter", exporter, "--json"]) == 3
    said = capfd.readouterr()
    assert "pinv" in json.loads(said.out)["error"]["what"]
    assert not said.err
    assert not list(tmp_path.iterdir())


def test_command_line_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dynamic", "x:n,3,h,48", "--opset", "11", "--show", str(tmp_path / "m.png"), "--json"]
    pytest.importorskip("PIL")
    assert main(["export", "_net:example", "-o", str(tmp_path / "m.onnx"), *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["opset"], said["verdict"]) == (1, 11, "equal")
    assert said["dims"] == {"x": ["n", 3, "h", 48], "output": ["n", 4, "out_h", 48]}
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("factory", "text", "why"),
    [
        ("_net:example", "x:n,3", "input 'x' has 4 dims, not 2"),
        ("_net:example", "x:n,5,h,w", "axis 1 of 'x' is 3, not 5"),
        ("_net:example", "y:n,3,h,w", "there is no input 'y'"),
        ("_net:function", "x:n", "is a function, not a torch.nn.Module"),
    ],
)
def test_dims_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factory: str, text: str, why: str
) -> None:
    assert main(["export", factory, "-o", str(tmp_path / "m.onnx"), "--dynamic", text]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "x:", ":a,b", "x:a,,b"])
def test_dims_that_can_not_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert main(["export", "_net:example", "-o", str(tmp_path / "m.onnx"), "--dynamic", text]) == 2
    assert "is no list of dims" in capsys.readouterr().err
