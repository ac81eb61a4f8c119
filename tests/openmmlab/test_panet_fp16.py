"""panet-fp16 beside the published cure, on PANets whose backbone leaves half precision."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import surgery
from fixtures import _mmocr as nets
from rewrites.mmocr import exportable
from surgery import Exact, Refused, Rewriter, patched, replaces

FACTOR = 32


class Published(Rewriter):
    """The cure as it is published, with the classes of mmocr 1.x: in the last block, late, with a flag outside."""

    contract = Exact()
    enabled = False

    @replaces("mmdet.models.backbones.resnet.BasicBlock.forward")
    def block(self, original, module, x):
        if module.conv1.in_channels < 400:
            return original(x)
        out = module.conv2(torch.relu(module.norm1(module.conv1(x))))
        if torch.max(module.norm2(out)) < 65504:  # decided while it is traced
            return original(x)
        type(self).enabled = True
        norm = module.norm2
        weight = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias - norm.running_mean * weight
        out = out * (weight / FACTOR).view(1, -1, 1, 1) + (bias.view(1, -1, 1, 1) + x) / FACTOR
        return torch.relu(out)

    @replaces("mmocr.models.textdet.necks.fpem_ffm.FPEM_FFM.forward")
    def neck(self, original, module, x):
        conv = module.reduce_conv_c5[0]
        if not self.enabled:
            return original(x)
        plain, conv.weight = conv.weight, torch.nn.Parameter(conv.weight * FACTOR)
        try:
            return original(x)
        finally:
            conv.weight = plain


def drive(net, number: int, x: torch.Tensor, mean: bool, raw: bool) -> None:
    """Let norm2 of a block of layer4 reach 2e5, the gain spread over weights below 1500."""
    block = net.backbone.layer4[number]
    seen = {}
    parts = ("conv2", "norm2")
    hooks = [
        getattr(block, part).register_forward_hook(lambda m, i, o, part=part: seen.update({part: float(o.abs().max())}))
        for part in parts
    ]
    with torch.no_grad():
        net.extract_feat(x)
        for hook in hooks:
            hook.remove()
        if raw:
            gain = 2e5 / seen["conv2"]
            for value in (block.norm1.weight, block.norm1.bias, block.conv2.weight):
                value *= gain**0.5
            block.norm2.running_mean *= gain
        else:
            gain = (2e5 / seen["norm2"]) ** (1 / 3)
            for value in (block.norm1.weight, block.norm1.bias, block.conv2.weight, block.norm2.weight):
                value *= gain
            if mean:
                block.norm2.running_mean *= gain**2


X = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(5))
MODELS = ("A", "A0", "B", "Araw", "r50")


def model(kind: str):
    net, _ = nets.net("panet_r50" if kind == "r50" else "panet")
    with torch.no_grad():
        net.neck.reduce_conv_c5[0].weight /= 3e4  # the head is to stay in range
        if kind == "r50":
            for block in (net.backbone.layer4[0], net.backbone.layer4[2]):
                block.norm3.weight *= 800
                block.conv3.weight *= 20
        elif kind == "B":  # both blocks go beyond
            net.backbone.layer4[1].conv1.weight /= 3000
            drive(net, 0, X, True, False)
            drive(net, 1, X, True, False)
        else:
            drive(net, 1, X, kind == "A", kind == "Araw")
    return exportable(net)[0]


@pytest.fixture(scope="module", params=MODELS)
def panet(request: pytest.FixtureRequest):
    module = model(request.param)
    with torch.no_grad():
        return request.param, module, module.net.backbone(X)[3], module(X)


def half(module) -> tuple[int, int, torch.Tensor]:
    """In half precision: how much of c5 and of the head is not finite; and the head."""
    with torch.no_grad():
        narrow = copy.deepcopy(module).half()
        c5, head = narrow.net.backbone(X.half())[3], narrow(X.half())
    return int((~c5.isfinite()).sum()), int((~head.isfinite()).sum()), head.float()


def test_the_plain_model_overflows(panet) -> None:
    _, module, c5, head = panet
    assert c5.abs().max() > 65504
    beyond_c5, beyond_head, _ = half(module)
    assert beyond_c5 > 0
    assert beyond_head == head.numel()


@pytest.mark.parametrize("how", ["shift", "images"])
def test_ours(panet, tmp_path: Path, how: str) -> None:
    kind, module, c5, head = panet
    np.savez(tmp_path / "x.npz", x=X.numpy())
    shift = 9 if kind == "r50" else 6
    option = f"shift={shift}" if how == "shift" else f"images={tmp_path / 'x.npz'}"
    before = {name: (value, value.clone()) for name, value in module.state_dict(keep_vars=True).items()}
    with patched(f"panet-fp16:{option}", backend="tensorrt", module=module), torch.no_grad():
        assert torch.equal(module(X), head), "not the same bits in float32"
        small = module.net.backbone(X)[3]
        scale = float(c5.abs().max() / small.abs().max())
        assert np.log2(scale) == round(np.log2(scale))
        assert torch.equal(small * scale, c5)
        beyond_c5, beyond_head, narrow = half(module)
    assert (beyond_c5, beyond_head) == (0, 0)
    assert (narrow - head).abs().max() < 1e-2 * head.abs().max()
    for name, value in module.state_dict(keep_vars=True).items():
        assert value is before[name][0]
        assert torch.equal(value, before[name][1])


def test_the_published_cure(panet) -> None:
    """It cures A0 alone."""
    kind, module, _, _ = panet
    Published.enabled = False
    with patched(Published()), torch.no_grad():
        if kind != "r50":
            module(X)  # the flag is set by running the model, here in float32
            assert Published.enabled
        beyond_c5, beyond_head, _ = half(module)
    assert (beyond_c5 == 0) == (beyond_head == 0) == (kind == "A0")


def test_the_flag_of_the_published_cure_is_read_before_it_is_set() -> None:
    """What a copy of its globals does to it: the block divides, the neck does not multiply; nothing is said."""
    module = model("A0")
    with torch.no_grad():
        head = module(X)

    class Lost(Published):
        @property
        def enabled(self):
            return False

        @replaces("mmdet.models.backbones.resnet.BasicBlock.forward")
        def block(self, original, module, x):
            if module.conv1.in_channels < 400:
                return original(x)
            return original(x) / FACTOR

    with patched(Lost()), torch.no_grad():
        assert (module(X) - head).abs().max() > 0.01 * head.abs().max()


def test_no_node_is_added(tmp_path: Path) -> None:
    module, x, dynamic = nets.example("panet")
    done = surgery.export(
        module, x, tmp_path / "m.onnx", dynamic=dynamic, opset=11, backend="tensorrt", rewrites=["panet-fp16"]
    )
    assert (done.verify.verdict, done.nodes) == ("equal", 370)


def test_refuses(tmp_path: Path) -> None:
    plain, x, _ = nets.example("panet")
    with pytest.raises(Refused, match="a weight would become"), patched("panet-fp16:shift=30", module=plain):
        pytest.fail("entered")
    np.savez(tmp_path / "x.npz", x=x.numpy())
    with (
        pytest.raises(Refused, match="no stage goes beyond"),
        patched(f"panet-fp16:images={tmp_path / 'x.npz'}", module=plain),
    ):
        pytest.fail("entered")
    with (
        pytest.raises(surgery.BadInput, match="can't be read as an npz"),
        patched(f"panet-fp16:images={tmp_path / 'none.npz'}", module=plain),
    ):
        pytest.fail("entered")
    with pytest.raises(surgery.BadInput, match="is for atc, mindspore, tensorrt, not for ncnn"):
        patched("panet-fp16", backend="ncnn")
