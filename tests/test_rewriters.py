"""Rewriters of torch's own functions, and the plugins where their packages are absent."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx
import pytest

torch = pytest.importorskip("torch")

import surgery  # noqa: E402


class Pool(torch.nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.pools = torch.nn.ModuleList(torch.nn.AdaptiveAvgPool2d(size) for size in sizes)

    def forward(self, x):
        return [pool(x) for pool in self.pools]


EXPORTERS = [("torchscript", 11), ("torchscript", 17), ("dynamo", 18)]


@pytest.mark.parametrize(("exporter", "opset"), EXPORTERS)
def test_adaptive_avg_pool(tmp_path: Path, exporter: str, opset: int) -> None:
    module = Pool(3, (4, 2), 1, (None, 5), (1, 12), (7, 10)).eval()
    x = torch.randn(2, 2, 7, 10)
    dynamic = {"x": {0: "batch", 2: "height", 3: "width"}}
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter, opset=opset)
    assert done.verify.verdict == "equal"
    assert done.dims["output_0"] == ["batch", 2, 3, 3]
    (used,) = [one for one in done.rewriters if one.rewriter.name == "adaptive-avg-pool"]
    assert not used.named
    assert sum(used.calls.values()) >= 6


@pytest.mark.parametrize(("exporter", "opset"), EXPORTERS)
@pytest.mark.parametrize(
    ("size", "nodes"),
    [
        ((3, 5), ["AveragePool"]),
        ((None, 5), ["AveragePool"]),
        ((6, 4), ["MatMul"]),
        ((4, 3), ["MatMul", "MatMul"]),
        ((9, 13), ["MatMul", "MatMul"]),
    ],
)
def test_adaptive_avg_pool_of_a_known_size(
    tmp_path: Path, size: tuple[int | None, int], nodes: list[str], exporter: str, opset: int
) -> None:
    module, x, dynamic = Pool(size).eval(), torch.randn(2, 2, 6, 10), {"x": {0: "batch"}}
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter, opset=opset)
    assert done.verify.verdict == "equal"
    assert [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node if n.op_type != "Constant"] == nodes


@pytest.mark.parametrize(
    ("exporter", "opset", "nodes"), [("torchscript", 17, ["GlobalAveragePool"]), ("dynamo", 18, ["ReduceMean"])]
)
def test_adaptive_avg_pool_leaves_what_torch_exports(
    tmp_path: Path, exporter: str, opset: int, nodes: list[str]
) -> None:
    module, x, dynamic = Pool(1).eval(), torch.randn(2, 2, 8, 8), {"x": {0: "batch", 2: "height", 3: "width"}}
    surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter, opset=opset)
    assert [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node] == nodes


class Attend(torch.nn.Module):
    def forward(self, q, k, mask):
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(q, k, k), attend(q, k, k, is_causal=True), attend(q, k, k, mask), attend(q, k, k, scale=0.3)


@pytest.mark.parametrize(("opset", "used"), [(11, True), (17, False)])
def test_attention(tmp_path: Path, opset: int, used: bool) -> None:
    q, k = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 7, 8)
    mask = torch.ones(5, 7, dtype=torch.bool).tril(1)
    args, dynamic = {"q": q, "k": k, "mask": mask}, {"q": {0: "batch"}, "k": {0: "batch"}}
    done = surgery.export(Attend().eval(), args, tmp_path / "m.onnx", dynamic=dynamic, opset=opset)
    assert done.verify.verdict == "equal"
    assert any(one.rewriter.name == "attention" for one in done.rewriters) == used


@pytest.mark.skipif(importlib.util.find_spec("mmdeploy") is not None, reason="mmdeploy is installed")
def test_without_mmdeploy_it_is_said_what_to_install() -> None:
    with pytest.raises(surgery.Missing, match=r"(?s)mmdeploy can't be imported.*make mmdeploy"):
        importlib.import_module("rewrites.mmdeploy")
    with pytest.raises(surgery.Missing, match=r"(?s)mmocr can't be imported.*make mmdeploy"):
        importlib.import_module("rewrites.mmocr").build("crnn")
    with pytest.raises(surgery.Missing, match="'mmocr' is not installed"), surgery.patched("upsample-mode"):
        pytest.fail("entered")
