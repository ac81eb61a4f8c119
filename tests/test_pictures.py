"""--show: a PNG of both results and their difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from surgery.cli import main

MODEL = """
<ir_version: 8, opset_import: ["" : 16]>
g (float[batch, 3, h, w] x) => (float[batch, 2, h, w] y, float[batch] z)
<float[2, 3, 1, 1] k = {0.5, 0.25, 0.25, -0.5, 1.0, %s}>
{
    y = Conv (x, k)
    m = ReduceMean <axes = [1, 2, 3], keepdims = 0> (y)
    z = Abs (m)
}
"""


def models(folder: Path) -> list[str]:
    for name, last in (("a", "0.5"), ("b", "0.6")):
        onnx.save(onnx.parser.parse_model(MODEL % last), folder / f"{name}.onnx")
    return [str(folder / "a.onnx"), str(folder / "b.onnx")]


def test_two_models(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    target = tmp_path / "m.png"
    assert main(["verify", *models(tmp_path), "--show", str(target)]) == 1
    with image.open(target) as picture:
        pixels = np.asarray(picture)
    assert pixels.ndim == 3
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_model_whose_batch_was_freed(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for name, batch in (("fixed", "1"), ("free", "batch")):
        text = (MODEL % "0.5").replace("[batch, 3, h, w] x", f"[{batch}, 3, 16, 20] x")
        onnx.save(onnx.parser.parse_model(text), tmp_path / f"{name}.onnx")
    words = ["verify", str(tmp_path / "fixed.onnx"), str(tmp_path / "free.onnx"), "--show", str(tmp_path / "m.png")]
    assert main(words) == 0
    assert (tmp_path / "m.png").exists()


def test_what_can_not_be_pictured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    from surgery import BadInput
    from surgery.render.pictures import picture

    with pytest.raises(BadInput, match="no output of two or more dims"):
        picture(tmp_path / "m.png", {"z": (np.zeros(3), np.zeros(3))}, ("a", "b"))
    odd = np.array([[np.nan, 1.0], [np.inf, 2.0]])
    picture(tmp_path / "m.png", {"\x1b[31m": (odd, odd), "one": (np.ones((1, 1)), np.ones((1, 1)))}, ("a", "b"))
    assert (tmp_path / "m.png").exists()
    with pytest.raises(BadInput, match="can't be written"):
        picture(tmp_path / "no" / "m.png", {"y": (odd, odd)}, ("a", "b"))
    np.savez(tmp_path / "r.npz", x=np.zeros((1, 3, 4, 4), np.float32), z=np.zeros(1, np.float32))
    words = ["verify", models(tmp_path)[0], "--reference", str(tmp_path / "r.npz"), "--show", str(tmp_path / "n.png")]
    assert main(words) == 2
    assert "pictures two models" in capsys.readouterr().err
