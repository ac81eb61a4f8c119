"""converter_lite: MindSpore Lite's converter, from ONNX (or a MINDIR file) to MINDIR for Ascend."""

from __future__ import annotations

from surgery.targets import atc
from surgery.targets.rule import Opsets, Option, Rule, Target

DOCUMENT = "mindspore-ai/docs, converter_tool_ascend, r2.7"

# Of [ascend_context]; each is one of atc's --precision_mode. The first is the tool's default.
PRECISIONS = {
    "enforce_fp16": "force_fp16",
    "preferred_fp32": "allow_fp32_to_fp16",
    "preferred_optimal": "allow_mix_precision",
    "enforce_fp32": "force_fp32",
    "enforce_origin": "must_keep_origin_dtype",
}

RULES = (
    Rule(
        "L1",
        "input",
        "dtype == 'int64'",
        happens="refused",
        why="inputs of int64 are not taken: cast them outside",
        cure="",
        source="MindSpore Lite operator list, r2.10",
    ),
    Rule(
        "L1.node",
        "*",
        "not of_shape(0) and not is_const(0) and dtype(0) == 'int64'",
        happens="refused",
        why="operators do not take int64, unless KEEP_ORIGIN_DTYPE=1 is set",
        cure="int32-indices",
        source="MindSpore Lite operator list, r2.10",
    ),
    Rule(
        "L2",
        "sizes",
        "",
        happens="refused",
        why="batch and size can't both be free: one model a batch is written",
        cure="",
        source="mindspore-lab/mindocr 6dd7792, deploy",
    ),
    Rule(
        "L3",
        "sizes",
        "",
        happens="refused",
        why="2 to 100 profiles are taken, batches from 1 to 2048; every input has as many",
        cure="",
        source=DOCUMENT,
    ),
    Rule(
        "L4",
        "sizes",
        "",
        happens="refused",
        why="ranges are not taken: only sizes among the profiles run",
        cure="",
        source=DOCUMENT,
    ),
    # The converter hands the graph to CANN: its operators are the same.
    *(
        rule._replace(
            when=rule.when.replace("'force_fp16'", "'enforce_fp16'")
            .replace(
                "'force_fp32', 'cube_fp16in_fp32out', 'must_keep_origin_dtype'", "'enforce_fp32', 'enforce_origin'"
            )
            .replace("'must_keep_origin_dtype'", "'enforce_origin'"),
            versions="",
        )
        for rule in atc.RULES
        if rule.id[:3] not in ("A21", "A22") and not (rule.versions and rule.versions[0] == "<")
    ),
)

TARGET = Target(
    name="converter_lite",
    versions=("2.3", "2.4", "2.7"),
    differs=("from 2.4 input_shape of the config is for free dims only; a fixed model has --inputShape",),
    opsets=(Opsets("", 9, 18, f"that of CANN: {atc.OPTIONS}"),),
    options=(
        Option("precision", tuple(PRECISIONS), "enforce_fp16", "precision_mode of [ascend_context]"),
        Option("format", ("NCHW", "NHWC", "ND"), "NCHW", "input_format; ND is written into [acl_build_options]"),
        Option("soc", atc.SOCS, "Ascend310P3", "the chip, for the rules that hold for one"),
    ),
    rules=RULES,
    command=(
        "converter_lite --fmk=ONNX --saveType=MINDIR --optimize=ascend_oriented --modelFile=model.onnx "
        "--outputFile=model --configFile=config.txt"
    ),
    notes=(
        "Operators are those of atc, CANN 8 and later.",
        "A MINDIR file is handed on as it is, with config and command.",
        "Only sizes among the profiles run.",
    ),
)
