"""Models of mmocr for ``surgery export "mmocr:CONFIG,CHECKPOINT,IMAGE" -o OUT``.

CONFIG is a config file, or the name of one that mmocr ships (``dbnet_resnet18_fpnc_1200e_icdar2015``);
CHECKPOINT the weights; IMAGE an image, which is prepared by the config's own test pipeline. What is
exported takes the normalised image (batch, 3, height, width) as ``input``, and gives as ``output``
what the head gives: a detector's maps, a recogniser's probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rewrites import _openmmlab
from surgery import BadInput, Missing

INSTALL = "make mmdeploy in a checkout of onnx-surgery does it; docs/mmocr.md has the recipe"


def factory(*given: str) -> tuple[Any, Any, dict[str, dict[int, str]]]:
    """The module, its input, and its dynamic dims.

    Args:
        given: CONFIG, CHECKPOINT and IMAGE.

    Raises:
        BadInput: a file can't be read, or the weights do not fit the config.
        Missing: mmocr, or what it needs, is not installed.
    """
    if len(given) != 3 or not all(given):
        raise BadInput(
            "a model of mmocr is named by three parts",
            where=",".join(given),
            cure="write mmocr:CONFIG,CHECKPOINT,IMAGE",
        )
    config, checkpoint, image = given
    net, settings = build(config)
    load(net, checkpoint)
    module, dynamic = exportable(net)
    return module, {"input": prepare(net, settings, image)}, dynamic


def build(config: str) -> tuple[Any, Any]:
    """The model of a config, in evaluation mode and with the weights that torch's seed gives; and the config.

    Weights that a config would download are not: a checkpoint holds them all.

    Raises:
        BadInput: there is no such config, or it can't be built.
        Missing: mmocr, or what it needs, is not installed.
    """
    _openmmlab.repair(_openmmlab.FOR_MMOCR)
    try:
        import mmocr
        import mmocr.datasets
        import mmocr.models
        from mmengine.config import Config
        from mmengine.registry import init_default_scope
        from mmocr.registry import MODELS
    except ImportError as error:
        raise Missing(f"mmocr can't be imported: {error}", cure=INSTALL) from error
    path = Path(config)
    if not path.is_file():
        shipped = Path(mmocr.__file__).parent.glob(f".mim/configs/**/{path.stem}.py")
        found = next(iter(sorted(shipped)), None)
        if found is None:
            raise BadInput("there is no such file, nor has mmocr a config of that name", where=config)
        path = found
    try:
        settings = Config.fromfile(path)
        _forget_downloads(settings.get("model", {}))
        init_default_scope("mmocr")
        return MODELS.build(settings.model).eval(), settings
    except Exception as error:  # a config is code
        raise BadInput(f"can't be built: {type(error).__name__}: {error}", where=str(path)) from error


def load(net: Any, checkpoint: str) -> None:
    """Load weights; every one that the model has must be there.

    Raises:
        BadInput: the file can't be read, or does not fit.
    """
    import pickle

    import torch

    try:
        held = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            "the checkpoint holds more than weights, which torch does not load from a file that may be anyone's",
            where=checkpoint,
            cure='If you trust it, keep the weights alone: python -c "import torch; '
            f"torch.save(torch.load({checkpoint!r}, 'cpu', weights_only=False)['state_dict'], 'weights.pth')\"",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput(f"can't be read: {error}", where=checkpoint) from error
    weights = held.get("state_dict", held) if isinstance(held, dict) else held
    if not isinstance(weights, dict) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise BadInput("the checkpoint holds no weights by name", where=checkpoint)
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    own = net.state_dict()
    missing = [name for name in own if name not in weights and not name.startswith("data_preprocessor.")]
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if missing or other:
        what = f"lacks {len(missing)} weights" if missing else f"has {len(other)} weights of another shape"
        raise BadInput(
            f"the checkpoint {what}, {(missing or other)[0]!r} first", where=checkpoint, cure="is it of this config?"
        )
    net.load_state_dict({name: value for name, value in weights.items() if name in own}, strict=False)


def prepare(net: Any, settings: Any, image: str) -> Any:
    """An image as the model gets it: (1, 3, height, width), normalised and padded.

    Raises:
        BadInput: the image can't be read.
    """
    from mmengine.dataset import Compose

    if not Path(image).is_file():
        raise BadInput("there is no such image", where=image)
    steps = settings.get("test_pipeline") or settings.test_dataloader.dataset.pipeline
    steps = [step for step in steps if step["type"] not in ("LoadOCRAnnotations", "LoadAnnotations")]
    try:
        data = Compose(steps)({"img_path": image})
        return net.data_preprocessor({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]})["inputs"]
    except Exception as error:  # of OpenCV, or of a transform
        raise BadInput(f"can't be prepared: {type(error).__name__}: {error}", where=image) from error


def exportable(net: Any) -> tuple[Any, dict[str, dict[int, str]]]:
    """The part of a model that is exported, from the normalised image to what the head gives; its dynamic dims."""
    import torch

    class Exportable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, input: torch.Tensor) -> Any:
            found = self.net(input, _samples(self.net, input), mode="tensor")
            # PSENet's and PANet's heads may give several maps by name.
            return torch.stack(list(found.values()), 1) if isinstance(found, dict) else found

    axes = {0: "batch"}
    if type(net).__name__ != "ABINet":  # its tables of positions are of one width
        axes[3] = "width"
    if hasattr(net, "det_head"):
        axes[2] = "height"
    return Exportable().eval(), {"input": dict(sorted(axes.items()))}


def _samples(net: Any, input: Any) -> list[Any] | None:
    """What tells a model of each image how much of it is padding: nothing of it is.

    The transformers among the recognisers do not run without. NRTR takes an empty list for no padding, and
    SATRN would mask all for one.
    """
    kind = type(net).__name__
    if kind != "SATRN":
        return [] if kind == "NRTR" else None
    from mmocr.structures import TextRecogDataSample

    return [TextRecogDataSample(metainfo={"valid_ratio": 1.0}) for _ in range(len(input))]


def _forget_downloads(settings: Any) -> None:
    if isinstance(settings, dict):
        start = settings.get("init_cfg")
        if isinstance(start, dict) and start.get("type") == "Pretrained":
            settings["init_cfg"] = None
        for value in settings.values():
            _forget_downloads(value)
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            _forget_downloads(value)
