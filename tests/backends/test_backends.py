"""compile on backends that are installed: `make backends` runs these in an environment that has all of them.

Where one is missing its tests skip.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import surgery
from surgery import targets
from surgery.cli import main
from surgery.targets.compile import LOG, RESULT

BACKENDS = ("openvino", "mnn", "ncnn")
NET = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[batch,3,height,width] x) => (float[batch,4,height,width] y)
    { c = Conv<pads=[1,1,1,1], strides=[1,1], kernel_shape=[3,3]>(x, w)  y = Sigmoid(c) }"""
SIZES = ["x:1,3,8,12", "x:2,3,8,20"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return here(request.param)


def here(name: str) -> str:
    for package in targets.get(name).packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return name


def net(path: Path, text: str = NET, factor: float = 1.0) -> Path:
    model = onnx.parser.parse_model(text)
    if any("w" in node.input for node in model.graph.node):
        weights = np.random.default_rng(7).normal(size=(4, 3, 3, 3)).astype("float32") * factor
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, path)
    return path


def prepared(backend: str, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    shapes = [word for size in SIZES for word in ("--input-shape", size)]
    assert main(["prepare", str(net(tmp_path / "net.onnx")), "--target", backend, *shapes, "-o", str(out)]) == 0
    return out


def test_is_equal_at_every_size(backend: str, tmp_path: Path) -> None:
    folder = prepared(backend, tmp_path)
    result = surgery.compile(folder)
    assert result.ok and result.verdict == "equal", result.why
    assert [probe for probe, _ in result.outputs] == [0, 1]
    assert all(one.share is not None and one.share < 1e-5 for _, one in result.outputs)
    assert result.made and all((folder / name).is_file() for name in result.made)
    assert any(result.versions.values())
    # Once more, over what is there.
    assert surgery.compile(folder).made == result.made


def test_a_model_that_has_changed_is_told(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(backend, tmp_path)
    net(folder / "net.onnx", factor=1.05)
    capsys.readouterr()
    assert main(["compile", str(folder), "--json"]) == 1
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "wrong" and not any(one["equal"] for one in document["outputs"])
    assert document["made"] == [] and not list(folder.glob("net.mnn")) + list(folder.glob("net.xml"))
    assert main(["compile", str(folder), "--tolerance", "0.5"]) == 0


def test_what_the_backend_refuses_is_told_in_its_words(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepared(backend, tmp_path)
    text = NET.replace("Sigmoid(c)", "acme.Whirl(c)").replace('"" : 13', '"" : 13, "acme" : 1')
    net(folder / "net.onnx", text)
    assert main(["compile", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert ": refused: " in out or ": crashed: " in out
    assert "Whirl" in out + err and "Whirl" in (folder / LOG).read_text()
    assert json.loads((folder / RESULT).read_text())["verdict"] in ("refused", "crashed")


def test_times_are_measured_for_every_batch(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(backend, tmp_path)
    capsys.readouterr()
    assert main(["compile", str(folder), "--benchmark", "--json"]) == 0
    times = json.loads(capsys.readouterr().out)["times"]
    assert times["threads"] == 1 and [row["batch"] for row in times["sizes"]] == [1, 2]
    for row in times["sizes"]:
        assert row["min"] <= row["median"] <= row["p99"] <= row["max"] and row["runs"] >= 20
        assert row["throughput"] == pytest.approx(1000 * row["batch"] / row["mean"])


def test_a_crash_is_told_in_words(tmp_path: Path) -> None:
    """MNN divides by the strides of a pool, which are not written."""
    folder = prepared(here("mnn"), tmp_path)
    pool = NET.replace("Sigmoid(c)", "MaxPool<kernel_shape=[2,2], pads=[0,0,1,1]>(c)")
    net(folder / "net.onnx", pool)
    result = surgery.compile(folder)
    assert result.verdict == "crashed" and "was ended by SIGFPE" in result.why and "while " in result.why
    assert not list(folder.glob(".compile.*")) and (folder / LOG).is_file()


def test_several_inputs_and_outputs(backend: str, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,3,4,6] a, float[1,3,4,6] b) => (float[1,3,4,6] less, float[1,3,4,6] more)
        { less = Sub(a, b)  s = Tanh(b)  more = Add(a, s) }"""
    result = surgery.compile(net(tmp_path / "two.onnx", text), backend, tmp_path / "out")
    assert result.verdict == "equal" and [one.output for _, one in result.outputs] == ["less", "more"]


def test_any_name_of_a_file(backend: str, tmp_path: Path) -> None:
    """pnnx writes other names than it is given."""
    result = surgery.compile(net(tmp_path / "net-v1.5 b.onnx"), backend, tmp_path / "out", input_shapes=SIZES)
    assert result.verdict == "equal", result.why


def test_weights_in_half_precision(backend: str, tmp_path: Path) -> None:
    """What was asked for is what is compiled: half precision is further off."""
    shares = {}
    for precision in ("fp32", "fp16"):
        result = surgery.compile(
            net(tmp_path / "net.onnx"), f"{backend}:precision={precision}", tmp_path / precision, input_shapes=SIZES
        )
        assert result.verdict == "equal"
        shares[precision] = max(one.share or 0 for _, one in result.outputs)
    assert shares["fp16"] > 10 * shares["fp32"]


def test_importing_openvino_reports_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its telemetry leaves an id in the home folder before it sends."""
    folder = prepared(here("openvino"), tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert surgery.compile(folder).ok
    assert not list((tmp_path / "home").rglob("openvino*"))


SIZED = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[batch,3,h,w] x, float[batch,3,a,b] t) => (float[batch,3,a,b] y)
    <int64[1] o={0}, int64[1] two={2}, int64[1] four={4}>
    { c = Relu(x)  d = Relu(t)  s = Shape(c)  u = Shape(d)  p = Slice(s, o, two)  q = Slice(u, two, four)
      z = Concat<axis=0>(p, q)
      y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(c, , , z) }"""


@pytest.mark.parametrize(
    "sizes, rules",
    [
        (["x:1,3,8,10;t:1,3,16,20", "x:1,3,8,12;t:1,3,16,24"], {"N23.resize"}),
        (["x:1,3,8,10;t:1,3,16,20", "x:2,3,8,10;t:2,3,16,20"], set()),
        (["x:1,3,8,10;t:1,3,16,20"], set()),
    ],
)
def test_computed_sizes_on_ncnn(sizes: list[str], rules: set[str], tmp_path: Path) -> None:
    """The rule N23.resize is right: where it is found, and allowed, ncnn refuses; where it is cured, it does not."""
    model = net(tmp_path / "net.onnx", SIZED)
    result = surgery.compile(model, here("ncnn"), tmp_path / "out", input_shapes=sizes, allow_findings=True)
    record = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert {finding["rule"] for finding in record["left"]} == rules
    assert result.verdict == ("refused" if rules else "equal"), result.why
