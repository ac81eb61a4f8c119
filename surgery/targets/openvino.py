"""OpenVINO: models are converted by `ovc`, or read as ONNX by the runtime itself."""

from __future__ import annotations

from surgery.targets.build import Step
from surgery.targets.rule import NEGATIVE_DIMS, Chosen, Option, Rule, Target
from surgery.targets.sizes import Sizes

MEASURED = "measured, openvino 2026.4.1"

RULES = (
    Rule(
        "V1",
        "Softmax",
        "since < 13 and flattens(axis)",
        happens="wrong",
        why="below opset 13 Softmax is over all dims from axis on; here it is over axis alone",
        cure="softmax-flatten",
        source=MEASURED,
    ),
    Rule(
        "V2",
        "Resize",
        "antialias == 1",
        happens="wrong",
        why="antialias is ignored",
        cure="resize-matmul",
        source=MEASURED,
    ),
    Rule(
        "V3",
        "Add Sub Mul Div Mod Pow Max Min Where Equal Greater Less GreaterOrEqual LessOrEqual",
        "beyond(2**31 - 1, 'int')",
        happens="wrong",
        why="integers beyond 2**31 are saturated",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V4.gridsample",
        "GridSample",
        "rank(0) == 5",
        happens="refused",
        why="only images of 4 dims are sampled",
        cure="gridsample",
        source=MEASURED,
    ),
    Rule(
        "V4.resize",
        "Resize",
        "coordinate_transformation_mode in ('tf_crop_and_resize', 'half_pixel_symmetric')",
        happens="refused",
        why="this coordinate mode is not converted",
        cure="resize-matmul",
        source=MEASURED,
    ),
    Rule(
        "V4.pad",
        "Pad",
        "mode == 'wrap'",
        happens="refused",
        why="mode wrap is not converted",
        cure="pad-lower",
        source=MEASURED,
    ),
    Rule(
        "V4.deform",
        "DeformConv",
        "",
        happens="refused",
        why="the operator is not converted",
        cure="",
        source="ONNX forms of DeformConv, " + MEASURED,
    ),
    Rule(
        "V5",
        "use",
        "",
        happens="wrong",
        why="a CPU with avx512_bf16 computes in bf16 unless INFERENCE_PRECISION_HINT is f32",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V6",
        "Resize",
        "keep_aspect_ratio_policy not in (None, 'stretch') or exclude_outside == 1",
        happens="wrong",
        why="keep_aspect_ratio_policy and exclude_outside are ignored",
        cure="resize-matmul",
        source=MEASURED,
    ),
    Rule(
        "V7",
        "ReduceL1 ReduceLogSum ReduceLogSumExp",
        "given('axes')",
        happens="wrong",
        why="with axes as an attribute all axes are reduced",
        cure="reduce-forms",
        source=MEASURED,
    ),
    Rule(
        "V8",
        "GatherElements",
        ("rank(0) != rank(1) or any(shape(0)[k] != shape(1)[k] for k in range(rank(0)) if k != axis % rank(0))"),
        happens="refused",
        why="indices must have the dims of the data, but for axis",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V9",
        "AveragePool",
        "ceil_mode == 1 and count_include_pad == 1 and any(pads)",
        happens="wrong",
        why="the last window counts what lies behind the padding when ceil_mode and count_include_pad meet",
        cure="pool-lower",
        source=MEASURED,
    ),
    Rule(
        "V10",
        "MaxPool",
        "window_in_pad",
        happens="wrong",
        why="a last window that starts in the padding is kept",
        cure="pool-lower",
        source=MEASURED,
    ),
    Rule(
        "V11",
        "MaxUnpool Det",
        "",
        happens="refused",
        why="the operator is not converted",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V11.constant",
        "MelWeightMatrix",
        "",
        happens="refused",
        why="the operator is not converted; of constants it need not be",
        cure="constant-tables",
        source=MEASURED,
    ),
    Rule(
        "V12",
        "*",
        "local_function",
        happens="refused",
        why="functions of the model are not converted",
        cure="inline-functions",
        source=MEASURED,
    ),
    Rule(
        "V13",
        "If",
        "branches_differ",
        happens="refused",
        why="the branches give tensors of unlike rank, which is taken only where the condition is known",
        cure="fix-dims unroll",
        source=MEASURED,
    ),
    NEGATIVE_DIMS,
)

TARGET = Target(
    name="openvino",
    versions=("2026.4.1",),
    differs=(),
    opsets=(),
    options=(Option("precision", ("fp32", "fp16"), "fp32", "of the weights that are stored"),),
    rules=RULES,
    command='ovc model.onnx --input "x[1..8,3,32..1280,?]" --output_model model.xml --compress_to_fp16=False',
    notes=(
        "ovc halves the weights to fp16 by default; --compress_to_fp16=False is written unless precision is fp16.",
        "Free dims stay free: bounds (1..8), ? and -1 are accepted.",
    ),
    packages=("openvino",),
    install="pip install 'onnx-surgery[openvino]'",
)


def build(chosen: Chosen, sizes: Sizes, name: str) -> list[Step]:
    """The command for these sizes: every dim from the least to the most that occurs."""
    shapes = []
    for port in sizes.inputs:
        dims = []
        for axis in range(len(sizes.profiles[0][port.name])):
            here = [p[port.name][axis] for p in sizes.profiles]
            highs = [d.high for d in here if d.high is not None]
            low = min(d.low for d in here)
            if len(highs) < len(here):
                dims.append("?" if low <= 1 else f"{low}..")
            else:
                dims.append(str(low) if low == max(highs) else f"{low}..{max(highs)}")
        shapes.append(f"{port.name}[{','.join(dims)}]")
    half = chosen.options["precision"] == "fp16"
    command = ("ovc", f"{name}.onnx", "--input", ",".join(shapes), "--output_model", f"{name}.xml")
    return [Step(name, (*command, f"--compress_to_fp16={half}"), profiles=tuple(range(len(sizes.profiles))))]
