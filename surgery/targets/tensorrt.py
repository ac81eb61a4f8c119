"""TensorRT: NVIDIA's trtexec, from ONNX to a plan."""

from __future__ import annotations

from surgery.targets.rule import NEGATIVE_DIMS, Opsets, Option, Rule, Target

OPERATORS = "onnx-tensorrt, docs/operators.md, 10.1-GA"
FLAGS = "NVIDIA/TensorRT, release branches, sampleOptions.cpp, 10.16 and 11.0"
MIGRATION = "TensorRT, migration guide from 10 to 11"

RULES = (
    Rule(
        "T1",
        "GridSample",
        "rank(0) is not None and rank(0) != 4",
        happens="refused",
        why="images of 4 dims are sampled only",
        cure="gridsample",
        source=OPERATORS,
    ),
    Rule(
        "T2",
        "Resize",
        "mode == 'cubic' or antialias == 1 or coordinate_transformation_mode == 'tf_crop_and_resize'",
        happens="refused",
        why="cubic, antialias and tf_crop_and_resize are not taken",
        cure="resize-matmul",
        source=OPERATORS,
    ),
    Rule(
        "T3",
        (
            "Squeeze Unsqueeze ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 "
            "ReduceSumSquare ReduceLogSum ReduceLogSumExp"
        ),
        "has(1) and not is_const(1) and not of_shape(1)",
        happens="refused",
        why="axes must be stored",
        cure="fix-dims",
        source=OPERATORS,
    ),
    Rule(
        "T3.slice",
        "Slice",
        "has(3) and not is_const(3)",
        happens="refused",
        why="axes must be stored",
        cure="fix-dims",
        source=OPERATORS,
    ),
    Rule(
        "T4",
        "TopK",
        "const(1)[0] >= 3840 or sorted == 0",
        happens="refused",
        why="K is below 3840, and the result sorted",
        cure="",
        source=OPERATORS,
    ),
    Rule(
        "T5",
        "MaxPool",
        "used(1)",
        happens="refused",
        why="the indices are not taken",
        cure="pool-lower",
        source=OPERATORS,
    ),
    Rule(
        "T5.dilation",
        "MaxPool AveragePool LpPool",
        "any(d != 1 for d in dilations)",
        happens="refused",
        why="dilations are not taken",
        cure="pool-lower",
        source=OPERATORS,
    ),
    Rule(
        "T6",
        "If",
        "branches_differ",
        happens="refused",
        why="both branches must give tensors of one rank",
        cure="fix-dims unroll",
        source=OPERATORS,
    ),
    Rule(
        "T6.scan",
        "Loop Scan",
        "any(out_shape(i) is None for i in range(outs))",
        happens="refused",
        why="outputs that are collected must have known sizes",
        cure="unroll",
        source=OPERATORS,
    ),
    Rule(
        "T7",
        "LSTM GRU RNN",
        "layout == 1 or input_forget == 1",
        happens="refused",
        why="layout 1 and input_forget are not taken",
        cure="rnn-forms",
        source=OPERATORS,
    ),
    Rule(
        "T8",
        "ScatterND",
        "reduction not in (None, 'none')",
        happens="refused",
        why="reductions are not taken",
        cure="scatter-matmul",
        source=OPERATORS,
    ),
    Rule(
        "T9",
        "model",
        "precision == 'fp16' and float32",
        happens="refused",
        why="there is no --fp16 any more: the model itself must be fp16",
        cure="",
        source=MIGRATION,
        versions=">=11",
    ),
    Rule(
        "T10",
        "input",
        "dtype == 'float64'",
        happens="fp16",
        why="DOUBLE is cast to FLOAT",
        cure="",
        source=OPERATORS,
    ),
    Rule(
        "T11",
        "*",
        "dtype(0) == 'uint8' and op_type not in ('Cast', 'DequantizeLinear', 'Identity')",
        happens="refused",
        why="UINT8 is for inputs and outputs alone",
        cure="",
        source=OPERATORS,
    ),
    Rule(
        "T12",
        "sizes",
        "",
        happens="refused",
        why="of every free dim min <= opt <= max is given in every profile",
        cure="",
        source=FLAGS,
    ),
    Rule(
        "T13",
        "sizes",
        "",
        happens="refused",
        why="a model with fixed dims has no profiles: export it again with free dims",
        cure="",
        source=FLAGS,
    ),
    NEGATIVE_DIMS,
)

TARGET = Target(
    name="tensorrt",
    versions=("10.1", "10.16", "11.0"),
    differs=(
        "to 10.16: --fp16 --bf16 --int8 --fp8 --int4 --best, --precisionConstraints, --stronglyTyped",
        "from 11.0 always strongly typed, without flags of precision: fp16 has to be in the ONNX",
    ),
    opsets=(Opsets("", 9, 20, OPERATORS),),
    options=(Option("precision", ("fp32", "fp16", "bf16", "int8", "fp8", "int4", "best"), "fp32", "a flag, to 10.16"),),
    rules=RULES,
    command=(
        "trtexec --onnx=model.onnx --minShapes=x:1x3x48x32 --optShapes=x:8x3x48x320 --maxShapes=x:8x3x48x960 "
        "--saveEngine=model.plan --memPoolSize=workspace:1024 --builderOptimizationLevel=3"
    ),
    notes=(
        "--optShapes alone: min, opt and max are one.",
        "Several profiles: --profile=0 --minShapes=.. --profile=1 ..",
        "INT64 is native from 9.0.",
    ),
)
