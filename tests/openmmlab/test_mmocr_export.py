"""DBNet, DBNet++, PSENet, PANet and CRNN of mmocr, exported by both exporters, equal at sizes not traced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import surgery
from fixtures import _mmocr as nets
from surgery.cli import main

NAMES = ("dbnet_r18", "dbnet_r50", "dbnetpp", "psenet", "panet", "crnn")


@pytest.fixture(scope="module", params=NAMES)
def example(request: pytest.FixtureRequest):
    return request.param, nets.example(request.param)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_is_equal(tmp_path: Path, example, exporter: str, opset: int) -> None:
    name, (module, x, dynamic) = example
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, exporter=exporter, opset=opset)
    assert done.verify.verdict == "equal", done.verify
    assert max(o.max_abs for o in done.verify.outputs) <= 1e-5
    shapes = [tuple(probe.shapes["input"]) for probe in done.verify.probes]
    assert len({s[0] for s in shapes}) >= 2
    assert len({s[2:] for s in shapes}) >= 3
    assert not done.verify.evidence.weak
    wanted = {"crnn": ["batch", "out_width", 37]}.get(name, ["out_height", "out_width"])
    assert done.dims["output"][-len(wanted) :] == wanted
    assert done.dims["output"][0] == "batch"


@pytest.mark.parametrize("name", ["panet", "dbnet_r18", "psenet"])
def test_upsample_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module, x, dynamic = nets.example(name)
    done = surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, opset=11, rewrites=["upsample-mode"])
    assert (done.ok, done.verify.verdict) == (True, "changed")
    assert done.moved["output"] > 1e-6
    resizes = [n for n in onnx.load(tmp_path / "m.onnx").graph.node if n.op_type == "Resize"]
    modes = {onnx.helper.get_node_attr_value(n, "mode") for n in resizes}
    assert modes == {b"linear"}
    # In these three every nearest interpolate is one of the neck's.
    plain = torch.nn.functional.interpolate

    def bilinear(input, size=None, scale_factor=None, mode="nearest", align_corners=None, **rest):
        if mode == "nearest":
            mode, align_corners = "bilinear", False
        return plain(input, size, scale_factor, mode, align_corners, **rest)

    monkeypatch.setattr(torch.nn.functional, "interpolate", bilinear)
    session = onnx_session(tmp_path / "m.onnx")
    for sizes in ((1, 96, 128), (2, 128, 64)):
        x = nets.image(name, *sizes)
        with torch.no_grad():
            truth = module(x).numpy()
        assert np.abs(session.run(None, {"input": x.numpy()})[0] - truth).max() <= 1e-5


def onnx_session(path: Path):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options)


@pytest.mark.parametrize(("name", "resizes"), [("panet", 12), ("dbnet_r18", 7), ("psenet", 6)])
def test_the_pass_on_the_plain_export_gives_the_same(tmp_path: Path, name: str, resizes: int) -> None:
    module, x, dynamic = nets.example(name)
    surgery.export(module, x, tmp_path / "plain.onnx", dynamic=dynamic, opset=11)
    surgery.export(module, x, tmp_path / "ours.onnx", dynamic=dynamic, opset=11, rewrites=["upsample-mode"])
    done = surgery.apply(tmp_path / "plain.onnx", ["upsample-mode"], tmp_path / "passed.onnx")
    assert (done.ok, done.report.passes[0].places) == (True, resizes)
    assert surgery.verify(tmp_path / "ours.onnx", tmp_path / "passed.onnx").verdict == "equal"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, one that holds more than weights, one of another model, and an image."""
    import cv2

    folder = tmp_path_factory.mktemp("files")
    net, _ = nets.net("crnn")
    torch.save({"state_dict": net.state_dict(), "meta": {"epoch": 5}}, folder / "crnn.pth")
    torch.save({"state_dict": net.state_dict(), "meta": Path("x")}, folder / "more.pth")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, folder / "other.pth")
    (folder / "text.pth").write_text("no checkpoint")
    cv2.imwrite(str(folder / "i.png"), np.random.default_rng(0).integers(0, 255, (40, 120, 3), np.uint8))
    return folder


def test_by_config_checkpoint_and_image(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = f"mmocr:{nets.CONFIGS['crnn']},{files / 'crnn.pth'},{files / 'i.png'}"
    words = ["export", source, "-o", str(tmp_path / "m.onnx"), "--json", "--show", str(tmp_path / "m.png")]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["dims"]["input"]) == ("equal", ["batch", 1, 32, "width"])
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("config", "checkpoint", "image", "why"),
    [
        ("no_such_config", "crnn.pth", "i.png", "nor has mmocr a config of that name"),
        ("crnn_mini-vgg_5e_mj", "none.pth", "i.png", "can't be read"),
        ("crnn_mini-vgg_5e_mj", "more.pth", "i.png", "holds more than weights"),
        ("crnn_mini-vgg_5e_mj", "other.pth", "i.png", "lacks"),
        ("crnn_mini-vgg_5e_mj", "text.pth", "i.png", "holds more than weights|can't be read"),
        ("crnn_mini-vgg_5e_mj", "crnn.pth", "none.png", "no such image"),
        ("crnn_mini-vgg_5e_mj", "crnn.pth", "text.pth", "can't be prepared"),
        ("dbnet_resnet18_fpnc_1200e_icdar2015", "crnn.pth", "i.png", "lacks"),
    ],
)
def test_bad_input(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, checkpoint: str, image: str, why: str
) -> None:
    import re

    source = f"mmocr:{config},{files / checkpoint},{files / image}"
    assert main(["export", source, "-o", str(tmp_path / "m.onnx")]) == 2
    said = capsys.readouterr().err
    assert re.search(why, said)
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("parts", ["crnn_mini-vgg_5e_mj,crnn.pth", "a,b,c,d", "a,,c"])
def test_other_than_three_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: str) -> None:
    assert main(["export", f"mmocr:{parts}", "-o", str(tmp_path / "m.onnx")]) == 2
    assert "write mmocr:CONFIG,CHECKPOINT,IMAGE" in capsys.readouterr().err


def test_a_name_that_resolves_to_another_class() -> None:
    """As the published cure for PANet has it: it leads to the recogniser's BasicBlock."""
    nets.net("crnn")

    class Seed(surgery.Rewriter):
        @surgery.replaces("mmocr.models.backbones.resnet.BasicBlock.forward")
        def block(self, original, module, x):
            return original(x)

    why = "leads to mmocr.models.textrecog.layers.conv_layer.BasicBlock"
    with pytest.raises(surgery.Refused, match=why), surgery.patched(Seed()):
        pytest.fail("entered")


def test_named_and_never_called(tmp_path: Path) -> None:
    module, x, dynamic = nets.example("crnn")
    for name in ("upsample-mode", "panet-fp16"):
        with pytest.raises(surgery.Refused, match=f"'{name}' had nothing to replace"):
            surgery.export(module, x, tmp_path / "m.onnx", dynamic=dynamic, rewrites=[name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nrtr", "satrn", "abinet"])
def test_a_recogniser_takes_images_without_padding(name: str) -> None:
    module, _, dynamic = nets.example(name)
    assert (3 in dynamic["input"]) == (name != "abinet")  # which is of one width
    height, width = nets.RECOGNISERS[name]
    x = nets.image(name, 2, height, width)
    with torch.no_grad():
        both, single = module(x), torch.cat([module(x[:1]), module(x[1:])])
    assert torch.isfinite(both).all()
    assert torch.allclose(both, single, atol=1e-6)
