"""atc: the converter of Huawei's CANN, from ONNX to an .om file for an Ascend chip."""

from __future__ import annotations

from surgery.targets.build import Step, dims_text, shape_text, spellable
from surgery.targets.rule import NEGATIVE_DIMS, Chosen, Opsets, Option, Rule, Target, within
from surgery.targets.sizes import Sizes, refuse

OPTIONS = "hiascend, ATC options, CANN 8.0, 8.5 and 9.1"
OPERATORS = "hiascend, Supported ONNX Operators"

# Of --precision_mode. The first is atc's own default.
PRECISIONS = (
    "force_fp16",
    "force_fp32",
    "cube_fp16in_fp32out",
    "allow_fp32_to_fp16",
    "must_keep_origin_dtype",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
)
_HALF = "precision in ('force_fp16', '')"
_WHOLE = "precision in ('force_fp32', 'cube_fp16in_fp32out', 'must_keep_origin_dtype')"

# "Ascend" and the Name of `npu-smi info`.
SOCS = (
    "Ascend310",
    "Ascend310B1",
    "Ascend310B2",
    "Ascend310B3",
    "Ascend310B4",
    "Ascend310P1",
    "Ascend310P3",
    "Ascend310P5",
    "Ascend310P7",
    "Ascend910A",
    "Ascend910B",
    "Ascend910ProA",
    "Ascend910ProB",
    "Ascend910PremiumA",
    "Ascend910B1",
    "Ascend910B2",
    "Ascend910B2C",
    "Ascend910B3",
    "Ascend910B4",
    "Ascend910B4-1",
    "Ascend910_9391",
    "Ascend910_9392",
    "Ascend910_9381",
    "Ascend910_9382",
    "Ascend910_9372",
    "Ascend910_9362",
    "Ascend950",
)
# Those without ranges of sizes: Atlas 200/300/500, and 200I/500 A2.
WITHOUT_RANGES = ("Ascend310", "Ascend310B1", "Ascend310B2", "Ascend310B3", "Ascend310B4")

RULES = (
    Rule(
        "A1",
        "GridSample",
        "",
        happens="refused",
        why="the operator is not in the list",
        cure="gridsample",
        source=f"{OPERATORS}, CANN 5.0.4",
        versions="<8.0",
    ),
    Rule(
        "A1.opset",
        "GridSample",
        "since != 16",
        happens="refused",
        why="GridSample of opset 16 is taken only",
        cure="gridsample",
        source=f"{OPERATORS}, CANN 8.0.RC2",
        versions=">=8.0",
    ),
    Rule(
        "A2",
        "GridSample",
        "rank(0) == 5 or mode in ('bicubic', 'cubic')",
        happens="refused",
        why="images of 4 dims, bilinear and nearest, are sampled only",
        cure="gridsample",
        source=f"{OPERATORS}, GridSample, CANN 8.5",
        versions=">=8.0",
    ),
    Rule(
        "A3",
        "GridSample",
        f"soc[:10] == 'Ascend310P' and {_HALF}",
        happens="refused",
        why="on a 310P its kernel takes fp32 only",
        cure="gridsample",
        source="cann/ops-cv, issues",
        versions=">=8.0",
    ),
    Rule(
        "A4",
        "Resize",
        "mode == 'cubic'",
        happens="refused",
        why="nearest and linear are taken",
        cure="resize-matmul",
        source=f"{OPERATORS}, Resize",
    ),
    Rule(
        "A5",
        "Resize",
        "has(2) and not is_const(2) and size(2) != 0 or has(3) and not is_const(3)",
        happens="refused",
        why="scales and sizes must be stored",
        cure="fix-dims",
        source=f"{OPERATORS}, Resize",
    ),
    Rule(
        "A6",
        "Resize",
        "mode == 'nearest' and nearest_mode != 'round_prefer_ceil'",
        happens="refused",
        why="nearest is implemented with round_prefer_ceil only (not tried on a chip)",
        cure="resize-repeat:form=expand resize-repeat:form=ceil resize-matmul:all=true",
        source=f"{OPERATORS}, Resize, CANN 8.3",
        versions=">=8.3",
    ),
    Rule(
        "A7",
        "Resize",
        (
            "rank(0) == 5 and not (mode == 'linear' and coordinate_transformation_mode in ('align_corners', "
            "'pytorch_half_pixel'))"
        ),
        happens="refused",
        why="5 dims are taken with linear, align_corners or pytorch_half_pixel",
        cure="resize-repeat:form=expand resize-matmul:all=true",
        source=f"{OPERATORS}, Resize",
    ),
    Rule(
        "A8",
        "Pad",
        "mode == 'constant' and (has(2) and (not is_const(2) or any(const(2))) or value not in (None, 0))",
        happens="refused",
        why="the constant must be 0",
        cure="pad-lower",
        source=f"{OPERATORS}, Pad, CANN 5.0 to 9.0",
    ),
    Rule(
        "A9",
        "Pad",
        "mode == 'wrap' or since < 11",
        happens="refused",
        why="mode wrap, and Pad below opset 11, are not taken",
        cure="pad-lower opset",
        source=f"{OPERATORS}, Pad",
    ),
    Rule(
        "A10",
        "ConvTranspose",
        "rank(0) == 3 or any(d != 1 for d in dilations or [1]) or auto_pad[:4] == 'SAME'",
        happens="refused",
        why="3 dims, dilations and auto_pad SAME are not taken",
        cure="explicit-attributes",
        source=f"{OPERATORS}, ConvTranspose, to CANN 8.0.RC2",
        versions="<=8.0",
    ),
    Rule(
        "A11",
        "ConvTranspose LSTM",
        _WHOLE,
        happens="fp16",
        why="it is computed in fp16 only: check its range",
        cure="",
        source=f"{OPERATORS}, ConvTranspose and LSTM",
    ),
    Rule(
        "A12",
        "MaxPool AveragePool",
        ("any(k > 255 for k in kernel_shape) or prod(kernel_shape) > 256 or any(s > 63 for s in strides or [1])"),
        happens="slow",
        why="kernels over 255 a side or 256 in all, and strides over 63, run on the AI CPU",
        cure="",
        source=f"{OPERATORS}, MaxPool and AveragePool",
    ),
    Rule(
        "A13",
        "MaxPool",
        "any(d != 1 for d in dilations)",
        happens="refused",
        why="dilations are not taken",
        cure="pool-lower",
        source=f"{OPERATORS}, MaxPool",
    ),
    Rule(
        "A14",
        "AveragePool",
        "count_include_pad == 1 and any(pads)",
        happens="refused",
        why="count_include_pad is not taken",
        cure="pool-lower",
        source=f"{OPERATORS}, AveragePool, CANN 9.0",
    ),
    Rule(
        "A15",
        "AveragePool",
        "auto_pad == 'SAME_LOWER'",
        happens="refused",
        why="SAME_LOWER is not taken",
        cure="pool-lower explicit-attributes",
        source=f"{OPERATORS}, AveragePool, CANN 9.0",
    ),
    Rule(
        "A16",
        "AveragePool",
        "dtype(0) == 'float32' and precision == 'must_keep_origin_dtype'",
        happens="refused",
        why="float32 is not taken in mode must_keep_origin_dtype: choose another",
        cure="",
        source=f"{OPERATORS}, AveragePool, CANN 9.0",
    ),
    Rule(
        "A17",
        "NonMaxSuppression",
        "",
        happens="wrong",
        why="the result has a fixed number of rows, those left over are -1: they have to be filtered",
        cure="",
        source=f"{OPERATORS}, NonMaxSuppression, CANN 8.0.RC3",
    ),
    Rule(
        "A17.most",
        "NonMaxSuppression",
        "const(2)[0] > 700",
        happens="refused",
        why="at most 700 boxes are taken of a class",
        cure="",
        source=f"{OPERATORS}, NonMaxSuppression, CANN 8.0.RC3",
    ),
    Rule(
        "A18",
        "Loop Scan",
        "",
        happens="refused",
        why="the operator is not in the list; If is",
        cure="unroll",
        source=f"{OPERATORS}, CANN 5.0.4",
        versions="<7.0",
    ),
    Rule(
        "A18.later",
        "Loop Scan",
        "",
        happens="untested",
        why="CANN 5.0.4 does not list the operator; later lists were not seen",
        cure="unroll",
        source=f"{OPERATORS}, CANN 5.0.4",
        versions=">=7.0",
    ),
    Rule(
        "A20",
        "*",
        "domain and not local_function",
        happens="refused",
        why="E19010: there is no parser for the domain",
        cure="",
        source="open-mmlab/mmagic issue 1068",
    ),
    Rule(
        "A21",
        "input",
        "dtype not in ('float32', 'float16', 'uint8')",
        happens="refused",
        why="inputs are FP32, FP16 or UINT8: cast outside",
        cure="",
        source=OPTIONS,
    ),
    Rule(
        "A21.empty",
        "input",
        "any(d == 0 for d in shape)",
        happens="refused",
        why="no dim may be 0",
        cure="",
        source=OPTIONS,
    ),
    Rule(
        "A22",
        "sizes",
        "",
        happens="refused",
        why=(
            "2 to 100 profiles are taken (256 on an Ascend950), batches from 1 to 2048; to CANN 7.0 a profile"
            " has at most 4 dims"
        ),
        cure="",
        source=OPTIONS,
    ),
    Rule(
        "A22.range",
        "sizes",
        "",
        happens="refused",
        why="ranges of sizes are not taken on Atlas 200/300/500 and 200I/500 A2",
        cure="",
        source=OPTIONS,
    ),
    Rule(
        "A22.forms",
        "sizes",
        "",
        happens="refused",
        why=(
            "dynamic_batch_size is of axis 0 alone, dynamic_image_size of H and W of NCHW; of the forms of "
            "profiles one is taken"
        ),
        cure="",
        source=OPTIONS,
    ),
    Rule(
        "A22.names",
        "sizes",
        "",
        happens="refused",
        why="flags name inputs, with commas, semicolons and quotes between: names can't hold these",
        cure="",
        source=OPTIONS,
    ),
    Rule(
        "A23",
        "sizes",
        "",
        happens="refused",
        why="sizes are those of the model; one with fixed dims has no others: export it again with free dims",
        cure="",
        source="PaddleOCR models with atc 8.0, as users report",
    ),
    Rule(
        "A24",
        "*",
        f"{_HALF} and overflows(65504)",
        happens="fp16",
        why=(
            "the default is fp16, where a stored number beyond 65504 is infinite: choose --precision_mode or "
            "--keep_dtype, or train or export with smaller weights; no pass rescales them"
        ),
        cure="",
        source=OPTIONS,
    ),
    NEGATIVE_DIMS,
)

TARGET = Target(
    name="atc",
    versions=("5.0.4", "6.0.1", "7.0", "8.0", "8.3", "8.5", "9.0", "9.1"),
    differs=(
        "to 7.0 a dim of -1 without profiles is 1 or more; from 8.0 it may be 0",
        "to 7.0 dynamic_dims has at most 4 dims in a profile",
        "5.0.4 writes ranges by --input_shape_range, later by 1~8 in --input_shape",
        "GridSample comes with 8.0.RC2",
    ),
    opsets=(
        Opsets("<7.0", 9, 13, f"{OPTIONS}; 5.0.4 and 6.0.1"),
        Opsets(">=7.0", 9, 18, f"{OPTIONS}; from 8.0 each operator has its own"),
    ),
    options=(
        Option("soc", SOCS, "Ascend310P3", "--soc_version: Ascend, and the Name of npu-smi info"),
        Option("precision", PRECISIONS, "force_fp16", "--precision_mode"),
        Option("profiles", ("auto", "dims", "image", "batch"), "auto", "the form of several sizes"),
    ),
    rules=RULES,
    command=(
        "atc --model=model.onnx --framework=5 --output=model --soc_version=Ascend310P3 --input_format=ND "
        '--input_shape="x:1,3,-1,-1" --dynamic_dims="736,1280;768,1280" --precision_mode=force_fp32 --log=error'
    ),
    notes=(
        "A flag is --k=v or --k v: a space after = loses the value.",
        "profiles=auto: where only batches differ --dynamic_batch_size, else --dynamic_dims (N, H, W vary in one .om).",
        "Only sizes among the profiles run; quantised models have none.",
        "--keep_dtype, --modify_mixlist and --op_precision_mode set the precision of single operators.",
    ),
    pairs=True,
)


def build(chosen: Chosen, sizes: Sizes, name: str) -> list[Step]:
    """The command for these sizes.

    Raises:
        Refused: atc does not take them.
    """
    options = chosen.options
    spellable(chosen, sizes, "A22.names")
    command = ["atc", f"--model={name}.onnx", "--framework=5", f"--output={name}", f"--soc_version={options['soc']}"]
    command += _shapes(chosen, sizes)
    command += [f"--precision_mode={options['precision']}", "--log=error"]
    return [Step(name, tuple(command), profiles=tuple(range(len(sizes.profiles))))]


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
    """How ais_bench runs the result on one probe; results go to ``chip/CASE``.

    Of sizes without profiles it does not know how large outputs are: `room` is, of each, enough bytes.
    """
    command = ["python3", "-m", "ais_bench", "--model", f"{step.name}.om", "--input", ",".join(files)]
    command += ["--output", "chip", "--output_dirname", str(case), "--outfmt", "BIN"]
    dims = shape_text(sizes, {n: tuple(map(str, d)) for n, d in feeds.items()})
    flags = {flag.partition("=")[0] for flag in step.command}
    if "--dynamic_dims" in flags:
        command += ["--dymDims", dims]
    elif "--dynamic_image_size" in flags:
        command += ["--dymHW", ",".join(str(d) for d in next(d for d in feeds.values() if len(d) == 4)[2:])]
    elif "--dynamic_batch_size" in flags:
        command += ["--dymBatch", str(feeds[sizes.varying[0][0]][0])]
    elif sizes.varying:
        command += ["--dymShape", dims, "--outputSize", ",".join(map(str, room))]
    return tuple(command)


def _shapes(chosen: Chosen, sizes: Sizes) -> list[str]:
    form = chosen.options["profiles"]
    many = len(sizes.profiles) > 1
    if not many and form != "auto":
        refuse(chosen, "A22", f"profiles={form} is asked for, and there is one size: give another --input-shape")
    if not many and not sizes.static:
        return _ranges(chosen, sizes)
    if not many:
        return ["--input_format=ND", f"--input_shape={shape_text(sizes, dims_text(sizes))}"]
    if sizes.ranges:
        refuse(chosen, "A22.forms", "profiles and ranges don't go together: give fixed sizes, or one range")
    check_profiles(chosen, sizes, "A22", 256 if chosen.options["soc"] == "Ascend950" else 100)
    where, tuples = sizes.varying, sizes.tuples()
    batches = all(axis == 0 for _, axis in where) and all(len(set(t)) == 1 for t in tuples)
    images = {name for name, _ in where}
    image = len(images) == 1 and {axis for _, axis in where} <= {2, 3} and len(sizes.profiles[0][where[0][0]]) == 4
    if form == "auto":
        form = "batch" if batches else "dims"
    free = dims_text(sizes)
    if form == "batch":
        if not batches:
            refuse(chosen, "A22.forms", "dynamic_batch_size is asked for, and other dims than the batch vary")
        return [
            "--input_format=ND",
            f"--input_shape={shape_text(sizes, free)}",
            f"--dynamic_batch_size={','.join(str(t[0]) for t in tuples)}",
        ]
    if form == "image":
        if not image:
            refuse(chosen, "A22.forms", "dynamic_image_size is asked for, and other dims than H and W vary")
        (name,) = images
        free[name] = (*free[name][:2], "-1", "-1")
        pairs = ";".join(f"{p[name][2]},{p[name][3]}" for p in sizes.profiles)
        return ["--input_format=NCHW", f"--input_shape={shape_text(sizes, free)}", f"--dynamic_image_size={pairs}"]
    if len(where) > 4 and within(chosen.version, "<=7.0"):
        refuse(chosen, "A22", f"a profile has {len(where)} dims; to CANN 7.0 it may have 4")
    return [
        "--input_format=ND",
        f"--input_shape={shape_text(sizes, free)}",
        f"--dynamic_dims={';'.join(','.join(map(str, t)) for t in tuples)}",
    ]


def check_profiles(chosen: Chosen, sizes: Sizes, rule: str, most: int) -> None:
    """Refuse profiles that are too many, or of batches that are too large."""
    if len(sizes.profiles) > most:
        refuse(chosen, rule, f"{len(sizes.profiles)} profiles are given")
    for (_, axis), numbers in zip(sizes.varying, zip(*sizes.tuples(), strict=True), strict=True):
        if axis == 0 and not all(1 <= n <= 2048 for n in numbers):
            refuse(chosen, rule, f"a batch of {max(numbers)} is given")


def _ranges(chosen: Chosen, sizes: Sizes) -> list[str]:
    """Any size, or any within bounds, without profiles."""
    if chosen.options["soc"] in WITHOUT_RANGES:
        refuse(
            chosen,
            "A22.range",
            f"{chosen.options['soc']} takes fixed sizes and profiles, and a dim is a range, or free",
        )
    (profile,) = sizes.profiles
    texts = {name: tuple(map(str, shape)) for name, shape in profile.items()}
    if within(chosen.version, "<6.0"):
        bounded = shape_text(sizes, {name: (f"[{','.join(dims)}]",) for name, dims in texts.items()})
        return ["--input_format=ND", f"--input_shape_range={bounded}"]
    return ["--input_format=ND", f"--input_shape={shape_text(sizes, texts)}"]
