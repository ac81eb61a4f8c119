"""Models of mmocr with weights from a seed, their statistics as if they had been trained."""

from __future__ import annotations

from typing import Any

import torch

from rewrites.mmocr import build, exportable

CONFIGS = {
    "dbnet_r18": "dbnet_resnet18_fpnc_1200e_icdar2015",
    "dbnet_r50": "dbnet_resnet50_1200e_icdar2015",
    "dbnetpp": "dbnetpp_resnet50_fpnc_1200e_icdar2015",
    "psenet": "psenet_resnet50_fpnf_600e_icdar2015",
    "panet": "panet_resnet18_fpem-ffm_600e_icdar2015",
    "panet_r50": "panet_resnet50_fpem-ffm_600e_icdar2017",
    "crnn": "crnn_mini-vgg_5e_mj",
}


def net(name: str) -> tuple[Any, Any]:
    """The model and its config."""
    torch.manual_seed(0)
    made, config = build(CONFIGS[name])
    generator = torch.Generator().manual_seed(1)
    for part in made.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.copy_(0.1 * torch.randn(part.running_mean.shape, generator=generator))
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
    if name == "crnn":  # untrained, all classes are as likely whatever the image
        with torch.no_grad():
            for weight in made.decoder.parameters():
                weight *= 5
    return made, config


def image(name: str, *sizes: int) -> torch.Tensor:
    """An input: batch, height and width."""
    batch, height, width = sizes or ((1, 32, 100) if name == "crnn" else (1, 96, 128))
    channels = 1 if name == "crnn" else 3
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(2))


def example(name: str) -> tuple[Any, torch.Tensor, dict[str, dict[int, str]]]:
    """What is exported: the module, an input, the dynamic dims."""
    made, _ = net(name)
    module, dynamic = exportable(made)
    return module, image(name), dynamic
