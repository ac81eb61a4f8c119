"""Targets: the compilers that a model is prepared for. One file a backend.

`rule` has the data that a target is made of; `places` the words that conditions are written in;
`check` holds a model against the rules and gives findings. `sizes` reads the sizes that a
model is compiled for; `plan` chooses passes, `prepare` applies them and writes what the compiler
needs; `proof` reads back what a chip has computed.

The targets themselves are plain data: to list and to show them loads no ONNX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from surgery.errors import BadInput

if TYPE_CHECKING:
    from surgery.targets.rule import Chosen, Target

# What each is, in a line: `surgery list` loads none of them.
SUMMARIES = {
    "atc": "Huawei Ascend: CANN's atc, from ONNX to .om",
    "converter_lite": "Huawei Ascend: MindSpore Lite's converter_lite, from ONNX to MINDIR",
    "tensorrt": "NVIDIA TensorRT: trtexec, from ONNX to a plan",
    "openvino": "Intel's OpenVINO: ovc, then the runtime",
    "ncnn": "Tencent's ncnn: pnnx, then the runtime",
    "mnn": "Alibaba's MNN: MNNConvert, then the runtime",
    "onnxruntime": "ONNX Runtime: the model as it is, or in the ORT format",
}


def get(name: str) -> Target:
    """The target of that name.

    Raises:
        BadInput: there is none; the message lists what there is.
    """
    if name not in SUMMARIES:
        raise BadInput(f"there is no target {name!r}", cure=f"there is: {', '.join(SUMMARIES)}")
    target: Target = importlib.import_module(f"surgery.targets.{name}").TARGET
    return target


def choose(text: str) -> Chosen:
    """A target with version and options: ``atc:version=8.0,soc=Ascend310P3,precision=force_fp16``.

    Without a version it is the newest that is known.

    Raises:
        BadInput: no such target, version, option or value; the message lists what there is.
    """
    from surgery.targets.rule import Chosen

    name, _, rest = text.partition(":")
    target = get(name)
    version = target.versions[-1]
    known = {option.name: option for option in target.options}
    options = {option.name: option.default for option in target.options}
    seen = set()
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise BadInput(f"an option is written name=value, not {item!r}", where=f"target {name!r}")
        if key in seen:
            raise BadInput(f"option {key!r} is given twice", where=f"target {name!r}")
        seen.add(key)
        if key == "version":
            version = _version(target, value)
        elif key not in known:
            raise BadInput(f"target {name!r} has no option {key!r}", cure=f"it has {', '.join(['version', *known])}")
        elif known[key].values and value not in known[key].values:
            raise BadInput(
                f"option {key!r} of target {name!r} can't be {value!r}",
                cure=f"there is: {', '.join(known[key].values)}",
            )
        else:
            options[key] = value
    return Chosen(target, version, options)


def _version(target: Target, text: str) -> str:
    """A version as the target writes it: ``8.0.RC2`` is 8.0, ``10`` the newest known 10."""
    from surgery.targets.rule import number

    asked = number(text)
    fits = [v for v in target.versions if asked and number(v)[: len(asked)] == asked]
    if not fits:
        raise BadInput(
            f"target {target.name!r} has no version {text!r}", cure=f"there is: {', '.join(target.versions)}"
        )
    return fits[-1] if text not in fits else text
