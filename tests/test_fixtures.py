"""The fixtures are what they say: each loads, or is refused, and runs at several sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import fixtures

ROOT = Path(__file__).parent.parent
FOLDER = Path(fixtures.__file__).parent
TORCH = {n for n in fixtures.names() if "import torch" in (FOLDER / f"{n}.py").read_text(encoding="utf-8")}


@pytest.fixture(params=fixtures.names())
def name(request: pytest.FixtureRequest) -> str:
    if request.param in TORCH:
        pytest.importorskip("torch", reason="torch exports this fixture")
    return str(request.param)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def test_runs_at_every_size(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    fixtures.write(name, path)
    if not fixtures.loads(name):
        with pytest.raises(Exception, match=r"not a registered|No Op registered|Fatal error"):
            session(path)
        return
    onnx.checker.check_model(path, full_check=True)
    net = session(path)
    (output,) = net.get_outputs()
    batches = set()
    for run in fixtures.runs(name):
        (result,) = net.run(None, fixtures.feeds(run))
        batches.add(next(iter(run.values()))[0])
        assert np.isfinite(result).all()
        assert result.size and np.ptp(result) > 1e-3
        assert result.ndim == len(output.shape)
    assert {1, 2} <= batches


def test_is_the_same_each_time(name: str) -> None:
    assert fixtures.build(name).SerializeToString() == fixtures.build(name).SerializeToString()


def test_is_small(name: str, tmp_path: Path) -> None:
    fixtures.write(name, tmp_path / "model.onnx")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 600_000


def test_weights_lie_outside(tmp_path: Path) -> None:
    for _ in range(2):  # the second time over what the first has left
        fixtures.write("external_data", tmp_path / "model.onnx")
    kept = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.initializer
    assert [t.name for t in kept if t.data_location == onnx.TensorProto.EXTERNAL] == [
        "flow_w1",
        "flow_w2",
        "feature_w",
        "out_w",
    ]


def test_grid_follows_the_picture_and_leaves_it() -> None:
    """Else a rewrite of the rectifier's GridSample could go wrong unseen."""
    model = fixtures.build("tps")
    model.graph.output.append(onnx.helper.make_tensor_value_info("grid", onnx.TensorProto.FLOAT, None))
    net = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    grid = net.run(["grid"], fixtures.feeds({"x": (2, 3, 32, 100)}))[0]
    assert np.ptp(grid[0] - grid[1]) > 0.01
    assert 0.005 < (np.abs(grid) > 1).mean() < 0.5


def test_only_some_need_torch() -> None:
    """The demo's model, above all, is made with the core dependencies alone."""
    code = (
        "import sys, fixtures; sys.modules['torch'] = None\n"
        f"for name in set(fixtures.names()) - {TORCH!r}: fixtures.build(name)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 0, "tps "),
        (["tps", "tps.onnx"], 0, ""),
        (["typo", "out.onnx"], 2, "no fixture 'typo'"),
        (["tps"], 2, "usage"),
    ],
)
def test_command(arguments: list[str], status: int, said: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / a) if a.endswith(".onnx") else a for a in arguments]
    done = subprocess.run([sys.executable, "-m", "fixtures", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert (tmp_path / "tps.onnx").exists() == (status == 0 and bool(arguments))
