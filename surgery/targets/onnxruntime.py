"""ONNX Runtime: the model as it is, or in its ORT format for phones."""

from __future__ import annotations

from surgery.targets.build import Step
from surgery.targets.rule import NEGATIVE_DIMS, Chosen, Opsets, Option, Rule, Target
from surgery.targets.sizes import Sizes

MEASURED = "measured, onnxruntime 1.31.1"

RULES = (
    Rule(
        "O1",
        "*",
        (
            "since is None and not local_function and domain not in ('com.microsoft', 'com.microsoft.nchwc', "
            "'ai.onnx.ml', 'com.ms.internal.nhwc')"
        ),
        happens="refused",
        why="there is no such operator",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "O2",
        "LSTM GRU RNN",
        "layout == 1",
        happens="refused",
        why="batches first are not computed",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "O3",
        "Relu Resize DepthToSpace",
        "dtype(0) == 'int64'",
        happens="refused",
        why="it is not computed for int64",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "O4",
        "Conv ConvTranspose",
        "dtype(0) == 'float64'",
        happens="refused",
        why="it is not computed for float64",
        cure="",
        source=MEASURED,
    ),
    NEGATIVE_DIMS,
)

TARGET = Target(
    name="onnxruntime",
    versions=("1.31.1",),
    differs=(),
    opsets=(Opsets("", 1, 26, MEASURED),),
    options=(
        Option("style", ("Fixed", "Runtime"), "Fixed", "--optimization_style"),
        Option("platform", ("arm", "amd64"), "amd64", "--target_platform"),
    ),
    rules=RULES,
    command=(
        "python -m onnxruntime.tools.convert_onnx_models_to_ort . --optimization_style Fixed --target_platform amd64"
    ),
    packages=("onnxruntime",),
    install="pip install onnxruntime",
)


def build(chosen: Chosen, sizes: Sizes, name: str) -> list[Step]:
    """The command that writes the ORT format, for the ONNX file runs as it is."""
    command = ["python", "-m", "onnxruntime.tools.convert_onnx_models_to_ort", f"{name}.onnx"]
    command += ["--optimization_style", chosen.options["style"], "--target_platform", chosen.options["platform"]]
    return [Step(name, tuple(command), profiles=tuple(range(len(sizes.profiles))))]
