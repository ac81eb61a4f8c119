"""TensorRT: NVIDIA's trtexec, from ONNX to a plan."""

from __future__ import annotations

from collections.abc import Callable

from surgery.targets.build import Step, spellable
from surgery.targets.rule import NEGATIVE_DIMS, Chosen, Opsets, Option, Rule, Target, within
from surgery.targets.sizes import Dim, Profile, Sizes, refuse

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
        "precision != 'fp32' and float32",
        happens="refused",
        why="there are no flags of precision any more: the model itself must have it",
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
        why="sizes are those of the model; one with fixed dims has no others: export it again with free dims",
        cure="",
        source=FLAGS,
    ),
    Rule(
        "T14",
        "sizes",
        "",
        happens="refused",
        why="flags name inputs, with commas and quotes between: names can't hold these",
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


def build(chosen: Chosen, sizes: Sizes, name: str) -> list[Step]:
    """The command for these sizes: a profile each.

    Raises:
        Refused: a free dim has no end.
    """
    spellable(chosen, sizes, "T14")
    command = ["trtexec", f"--onnx={name}.onnx"]
    free = any(not isinstance(d, int) for port in sizes.inputs for d in port.dims or (None,))
    if not free and sizes.varying:
        refuse(chosen, "T13", "profiles are asked for")
    for index, profile in enumerate(sizes.profiles if free else ()):
        if len(sizes.profiles) > 1:
            command.append(f"--profile={index}")
        command += _profile(chosen, sizes, profile)
    command += [f"--saveEngine={name}.plan", "--memPoolSize=workspace:1024", "--builderOptimizationLevel=3"]
    precision = chosen.options["precision"]
    if precision != "fp32" and within(chosen.version, "<11"):
        command.append(f"--{precision}")
    return [Step(name, tuple(command), profiles=tuple(range(len(sizes.profiles))))]


def _profile(chosen: Chosen, sizes: Sizes, profile: Profile) -> list[str]:
    if any(dim.high is None for shape in profile.values() for dim in shape):
        refuse(chosen, "T12", "a free dim has no end: write 1~4~8")
    if all(dim.fixed is not None for shape in profile.values() for dim in shape):
        return [f"--optShapes={_shapes(sizes, profile, lambda d: d.low)}"]
    return [
        f"--minShapes={_shapes(sizes, profile, lambda d: d.low)}",
        f"--optShapes={_shapes(sizes, profile, _best)}",
        f"--maxShapes={_shapes(sizes, profile, lambda d: d.high or d.low)}",
    ]


def _best(dim: Dim) -> int:
    return dim.best if dim.best is not None else dim.high or dim.low


def _shapes(sizes: Sizes, profile: Profile, which: Callable[[Dim], int]) -> str:
    return ",".join(f"{p.name}:{'x'.join(str(which(d)) for d in profile[p.name])}" for p in sizes.inputs)


def run(
    chosen: Chosen,
    sizes: Sizes,
    step: Step,
    feeds: dict[str, list[int]],
    files: list[str],
    room: list[int],
    case: int,
    profile: int,
) -> tuple[str, ...]:
    """How trtexec runs the result on one probe; results go to ``chip/CASE.json``."""
    command = ["trtexec", f"--loadEngine={step.name}.plan"]
    if any(flag.startswith("--optShapes") for flag in step.command):
        command.append("--shapes=" + ",".join(f"{n}:{'x'.join(map(str, dims))}" for n, dims in feeds.items()))
    if len(sizes.profiles) > 1:
        command.append(f"--useProfile={profile}")
    command.append("--loadInputs=" + ",".join(f"{n}:{file}" for n, file in zip(feeds, files, strict=True)))
    return (*command, "--iterations=1", "--warmUp=0", "--duration=0", f"--exportOutput=chip/{case}.json")
