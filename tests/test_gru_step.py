"""A GRU of one step, spelt out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import surgery

NET = """<ir_version: 8, opset_import: ["" : OPSET]>
    g (float[1,batch,3] x, float[1,batch,4] h) => (float[1,1,batch,4] y, float[1,batch,4] last)
    { y, last = GRU<hidden_size=4>(x, w, r, b, , h) }"""


def model(
    opset: int = 14, reset: int = 1, bias: bool = True, dtype: str = "float32", text: str = NET
) -> onnx.ModelProto:
    text = text.replace("OPSET", str(opset)).replace("size=4", f"size=4, linear_before_reset={reset}")
    text = text if bias else text.replace("r, b, , h", "r, , , h")
    proto = onnx.parser.parse_model(text.replace("float[", {"float32": "float[", "float64": "double["}[dtype]))
    rng = np.random.default_rng(3)
    shapes = {"w": (1, 12, 3), "r": (1, 12, 4), **({"b": (1, 24)} if bias else {})}
    for name, shape in shapes.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(dtype), name))
    return proto


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize("opset", [7, 13, 22])
@pytest.mark.parametrize("reset", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_is_spelt_out(opset: int, reset: int, bias: bool, tmp_path: Path) -> None:
    before, after = tmp_path / "a.onnx", tmp_path / "b.onnx"
    onnx.save(model(opset, reset, bias), before)
    result = surgery.apply(before, ["gru-step"], after)
    assert result.ok and result.report.verdict == "equal" and "GRU" not in operators(after)
    assert surgery.apply(after, ["gru-step"]).report.verdict == "untouched"
    for batch in (1, 2, 5):
        rng = np.random.default_rng(batch)
        feeds = {n: rng.normal(size=(1, batch, k)).astype("float32") for n, k in (("x", 3), ("h", 4))}
        for a, b in zip(*(ort.InferenceSession(p).run(None, feeds) for p in (before, after)), strict=True):
            assert a.shape == b.shape and np.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "old, new",
    [
        ("float[1,batch,3] x", "float[2,batch,3] x"),
        ("float[1,batch,3] x", "float[time,batch,3] x"),
        ("r, b, , h", "r, b"),
        ("size=4>", "size=4, clip=0.5>"),
        ("size=4>", 'size=4, activations=["Sigmoid", "Relu"]>'),
        ("size=4>", 'size=4, direction="reverse">'),
    ],
)
def test_other_forms_are_left(old: str, new: str, tmp_path: Path) -> None:
    text = NET.replace(old, new)
    assert text != NET
    path = tmp_path / "a.onnx"
    onnx.save(model(text=text), path)
    assert surgery.apply(path, ["gru-step"], verify="none").report.passes[0].places == 0


def test_a_wrong_gate_is_caught(tmp_path: Path) -> None:
    a, b = tmp_path / "a.onnx", tmp_path / "b.onnx"
    onnx.save(model(), a)
    made = surgery.apply(a, ["gru-step"], b)
    assert made.ok
    proto = onnx.load(b)
    first = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    first.op_type = "Tanh"
    onnx.save(proto, b)
    assert not surgery.verify(a, b).ok
