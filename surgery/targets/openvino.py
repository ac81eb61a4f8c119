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
        "given('axes') and rank(0) != 1",
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
        "count_include_pad == 1 and any(pads) and window_over",
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
        cure="pool-lower fix-dims",
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
        "branches_differ",  # though it works where shapes settle the condition: ONNX Runtime may not take that model
        happens="refused",
        why="the branches give tensors of unlike rank, which is taken only where the condition is known",
        cure="fix-dims unroll",
        source=MEASURED,
    ),
    Rule(
        "V14",
        "DequantizeLinear",
        "is_const(0) and not block_size and rank(0) == 2 and size(1) > 1 and axis % 2 == 0 and 'MatMul' in readers()",
        happens="wrong",
        why="a scale for each row of a matrix that MatMul multiplies by is not applied so",
        cure="qdq-arithmetic",
        source=MEASURED,
    ),
    Rule(
        "V15",
        "ConvTranspose",
        "(auto_pad[:4] == 'SAME' or given('output_shape')) and not fixed(0)",
        happens="wrong",
        why="where any dim of the image is free, auto_pad and output_shape do not set the size",
        cure="conv-transpose-pads fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V16",
        "LSTM",
        "has(7) or input_forget == 1",
        happens="wrong",
        why="peepholes and input_forget are not computed",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V16.gates",
        "LSTM GRU",
        "'HardSigmoid' in activations",
        happens="refused",
        why="the activation HardSigmoid is not taken",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V17",
        "GlobalLpPool",
        "not fixed(0)",
        happens="refused",
        why="the image must have fixed dims",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V18",
        "MatMul",
        (
            "is_const(1) and rank(1) == 3 and shape(1)[0] != 1 and not fixed(0) and (rank(0) == 2 or rank(0) == 3 and "
            "shape(0)[0] != shape(1)[0])"
        ),
        happens="wrong",
        why="one matrix of free dims, multiplied by several stored ones, gives an empty tensor or is refused",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V19",
        "Conv ConvTranspose",
        "not settled(1) and shape(1) is not None and not fixed(1)",
        happens="refused",
        why="weights that are computed must have fixed dims",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V20",
        "LRN PRelu",
        "free(0, 1) and (op_type == 'LRN' or size(1) != 1)",
        happens="wrong",
        why="a free number of channels gives an empty tensor",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V26",
        "Add Sub PRelu",
        (
            "any(maker(i) == 'MatMul' and is_const(1 - i) and size(1 - i) > 1 and size(1 - i) == out_shape()[-1] and "
            "shape(1 - i)[-1] != size(1 - i) for i in (0, 1)) and (op_type == 'PRelu' or not fixed(0) or not fixed(1))"
        ),
        happens="wrong",
        why="a stored tensor of as many elements as the product in front has columns is taken for a row",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V21",
        "Unique",
        "sorted == 0",
        happens="wrong",
        why="elements come in another order",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V22",
        "Compress",
        "axis is None and not fixed(0)",
        happens="refused",
        why="without an axis dims must be fixed",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V23",
        "RoiAlign",
        "mode == 'max'",
        happens="wrong",
        why="max is over other samples than in ONNX Runtime",
        cure="",
        source=MEASURED,
    ),
    Rule(
        "V24",
        "SplitToSequence",
        "free(0, axis)",
        happens="refused",
        why="the dim that is split must be fixed",
        cure="fix-dims",
        source=MEASURED,
    ),
    Rule(
        "V25",
        "Resize",
        (
            "rank(0) == 4 and not given('axes') and (not free(0, 0) and const(3)[0] != shape(0)[0] if is_const(3) "
            "else const(2)[0] != 1)"
        ),
        happens="refused",
        why="the batch is not resized",
        cure="resize-matmul",
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
