"""mmdeploy with the plugin: what it exports is equal, and what its own rewriters get wrong is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import rewrites.mmdeploy as plugin  # before mmocr is imported
import surgery
from fixtures import _mmocr as nets

ROOT = Path(__file__).parents[2]


def gap(path: Path, module: Any, x: torch.Tensor) -> float:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with torch.no_grad():
        truth = module(x).numpy()
    found = ort.InferenceSession(str(path), options).run(None, {"input": x.numpy()})[0]
    assert found.shape == truth.shape
    return float(np.abs(found - truth).max())


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", ["dbnet_r18", "dbnet_r50", "dbnetpp", "panet", "psenet", "crnn"])
def test_is_equal(tmp_path: Path, name: str, opset: int) -> None:
    path, module = nets.by_mmdeploy(tmp_path, name, opset=opset)
    sizes = [(1, 32, 100), (2, 32, 164)] if name == "crnn" else [(1, 96, 128), (2, 128, 64)]
    for size in sizes:
        assert gap(path, module, nets.image(name, *size)) <= 1e-5


def test_rewriters_named_in_the_config(tmp_path: Path) -> None:
    path, module = nets.by_mmdeploy(tmp_path, "panet", rewrites=["upsample-mode"])
    modes = [onnx.helper.get_node_attr_value(n, "mode") for n in onnx.load(path).graph.node if n.op_type == "Resize"]
    assert set(modes) == {b"linear"}
    with surgery.patched("upsample-mode"):
        assert gap(path, module, nets.image("panet", 2, 128, 64)) <= 1e-5


def test_a_rewriter_that_has_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(surgery.Refused, match="'upsample-mode' had nothing to replace"):
        nets.by_mmdeploy(tmp_path, "crnn", rewrites=["upsample-mode"])
    assert len(plugin.PLUGIN._stack) == 0


def for_tensorrt(folder: Path, name: str, **settings: Any) -> tuple[Path, Any]:
    """In mmdeploy's own context, for its torch2onnx asks for a GPU where the backend is TensorRT."""
    import mmdeploy.codebase.mmocr.models  # noqa: F401 - registers its rewriters
    from mmdeploy.core import RewriterContext

    module, x, dynamic = nets.example(name)
    axes = dynamic | {"output": {0: "batch", 2: "out_height", 3: "out_width"}}
    if name.startswith("dbnet"):
        axes["output"] = {0: "batch", 1: "out_height", 2: "out_width"}
    with RewriterContext(nets.deploy(name, "tensorrt", **settings), backend="tensorrt", opset=11), torch.no_grad():
        names = {"input_names": ["input"], "output_names": ["output"]}
        torch.onnx.export(module, (x,), folder / "end.onnx", opset_version=11, dynamic_axes=axes, **names)
    return folder / "end.onnx", module


def test_for_tensorrt_with_panet_fp16(tmp_path: Path) -> None:
    path, module = for_tensorrt(tmp_path, "panet", rewrites=["panet-fp16:shift=5"])
    assert gap(path, module, nets.image("panet", 2, 128, 64)) <= 1e-5
    (tmp_path / "plain").mkdir()
    plain, _ = for_tensorrt(tmp_path / "plain", "panet")
    largest = [
        max(float(np.abs(w).max()) for w in weights(file) if w.shape == (128, 512, 1, 1)) for file in (path, plain)
    ]
    assert largest[0] / largest[1] == pytest.approx(32, rel=1e-4)
    assert len(onnx.load(path).graph.node) == len(onnx.load(plain).graph.node)


def weights(path: Path) -> list[np.ndarray]:
    return [onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer]


def test_dbnetpp_for_tensorrt_keeps_its_attention(tmp_path: Path) -> None:
    """mmdeploy's FPNC for TensorRT drops it: 0.236 off on outputs up to 0.53."""
    path, module = for_tensorrt(tmp_path, "dbnetpp")
    assert gap(path, module, nets.image("dbnetpp", 2, 128, 64)) <= 1e-5


VALUES = """
import json, sys, warnings
warnings.simplefilter("ignore")
if sys.argv[1] == "ours":
    import rewrites.mmdeploy
else:
    from rewrites import _openmmlab
    _openmmlab.repair(_openmmlab.ALL)
import torch
import torch.nn.functional as F
import mmdeploy.pytorch
from mmdeploy.core import RewriterContext
mask = torch.tensor([[True, False], [True, True]])
q = torch.arange(8.0).reshape(1, 1, 2, 4) / 8

def values():
    found = {
        "atan2": torch.atan2(torch.tensor([1.0]), torch.tensor([-1.0])),
        "linspace": torch.linspace(5, 0, 6),
        "adaptive_avg_pool2d": F.adaptive_avg_pool2d(torch.arange(49.0).reshape(1, 1, 7, 7), 3),
        "scale": F.scaled_dot_product_attention(q, q, q, scale=4.0),
        "is_causal": F.scaled_dot_product_attention(q, q, q, is_causal=True),
        "masked_fill": torch.zeros(2).masked_fill(torch.tensor([True, False]), float("-inf")),
    }
    return {name: value.flatten().tolist() for name, value in found.items()}

right = values()
config = {"backend_config": {"type": "onnxruntime"}, "onnx_config": {"type": "onnx", "opset_version": 11}}
with RewriterContext(config, backend="onnxruntime", opset=11):
    within = values()
print(json.dumps([right, within, values()]))
"""


def test_what_mmdeploy_gets_wrong_beside_ours() -> None:
    found = {}
    for who in ("stock", "ours"):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", VALUES, who], capture_output=True, text=True, env=environment, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        found[who] = json.loads(done.stdout.splitlines()[-1])
    right, stock, after = found["stock"]
    _, ours, after_ours = found["ours"]
    assert after == right
    assert after_ours == right
    for name in right:
        assert stock[name] != pytest.approx(right[name], rel=1e-4), f"mmdeploy's {name} is right by now"
        assert ours[name] == pytest.approx(right[name], rel=1e-6), name


def test_repairs_are_switched_by_the_environment() -> None:
    code = "import rewrites.mmdeploy as m; print(sorted(m.PLUGIN.repairs))"
    for text, status, said in (("torchscript,fx-wrapped", 0, "['fx-wrapped', 'torchscript']"), ("nope", 1, "'nope'")):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "SURGERY_REPAIRS": text},
        )
        assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr


def test_entering_and_leaving_is_quick() -> None:
    """At most 0.3 s of this process, with every rewriter in force; mmdeploy takes seconds."""
    import time

    nets.net("panet")
    module, *_ = nets.example("panet")
    named = ["upsample-mode", "panet-fp16"]
    with pytest.raises(surgery.Refused), surgery.patched(*named, backend="tensorrt", opset=11, module=module):
        pass  # what is imported and read once
    started = time.process_time()
    with pytest.raises(surgery.Refused), surgery.patched(*named, backend="tensorrt", opset=11, module=module):
        pass
    assert time.process_time() - started < 0.3
