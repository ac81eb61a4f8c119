"""converter_lite: MindSpore Lite's converter, from ONNX (or a MINDIR file) to MINDIR for Ascend."""

from __future__ import annotations

from collections.abc import Iterable

from surgery.targets import atc
from surgery.targets.build import Step, dims_text, shape_text, spellable
from surgery.targets.rule import Chosen, Opsets, Option, Rule, Target, within
from surgery.targets.sizes import Sizes, refuse

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
        happens="untested",
        why="inputs of int64 are not supported: they become int32, unless KEEP_ORIGIN_DTYPE=1 is set",
        cure="",
        source="MindSpore Lite operator list, r2.10",
    ),
    Rule(
        "L1.node",
        "*",
        "not of_shape(0) and not is_const(0) and dtype(0) == 'int64'",
        happens="untested",
        why="int64 is not supported: it becomes int32, unless KEEP_ORIGIN_DTYPE=1 is set",
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
    Rule(
        "L5",
        "sizes",
        "",
        happens="refused",
        why="input_shape names inputs, with commas, semicolons and quotes between: names can't hold these",
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
        if rule.id != "A21" and rule.id[:3] != "A22" and not (rule.versions and rule.versions[0] == "<")
    ),
)

TARGET = Target(
    name="converter_lite",
    versions=("2.3", "2.4", "2.7"),
    differs=(
        "from 2.4 input_shape of the config is for free dims only; a fixed model has --inputShape",
        "to 2.4 --device=Ascend, later --optimize=ascend_oriented",
    ),
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
    pairs=True,
)


def build(chosen: Chosen, sizes: Sizes, name: str, kind: str = "ONNX") -> list[Step]:
    """The command and the config for these sizes: one of each for every batch, where sizes vary, too.

    Raises:
        Refused: converter_lite does not take them.
    """
    spellable(chosen, sizes, "L5")
    if sizes.ranges:
        refuse(chosen, "L4", "a dim is a range, or free: give every size by an --input-shape of its own")
    if len(sizes.profiles) > 1:
        atc.check_profiles(chosen, sizes, "L3", 100)
    batches = {axis == 0 for _, axis in sizes.varying}
    if batches != {True, False}:
        return [_step(chosen, sizes, name, name, "config.txt", range(len(sizes.profiles)), kind)]
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, profile in enumerate(sizes.profiles):
        groups.setdefault(tuple(profile[n][axis].low for n, axis in sizes.varying if axis == 0), []).append(index)
    return [
        _step(chosen, sizes, name, f"{name}_b{label}", f"config_b{label}.txt", indices, kind)
        for batch, indices in groups.items()
        for label in ("_".join(map(str, dict.fromkeys(batch))),)
    ]


def _step(chosen: Chosen, sizes: Sizes, model: str, made: str, config: str, indices: Iterable[int], kind: str) -> Step:
    sizes = sizes._replace(profiles=tuple(sizes.profiles[i] for i in indices))
    suffix = "mindir" if kind == "MINDIR" else "onnx"
    command = ["converter_lite", f"--fmk={kind}", "--saveType=MINDIR"]
    if within(chosen.version, "<2.7"):
        command += ["--NoFusion=false", "--device=Ascend"]
    else:
        command += ["--optimize=ascend_oriented"]
    command += [f"--modelFile={model}.{suffix}", f"--outputFile={made}", f"--configFile={config}"]
    whole = sizes.static and within(chosen.version, ">=2.4")
    if whole:
        command += [f"--inputShape={shape_text(sizes, dims_text(sizes))}"]
    return Step(made, tuple(command), {config: _config(chosen, sizes, whole)}, tuple(indices))


def _config(chosen: Chosen, sizes: Sizes, whole: bool) -> str:
    """The file of --configFile; `whole`: the command has the shapes."""
    form, free = chosen.options["format"], dims_text(sizes)
    lines = ["[ascend_context]"]
    if form != "ND":
        lines.append(f"input_format={form}")
        if not whole:
            lines.append(f"input_shape={shape_text(sizes, {n: (f'[{_joined(d)}]',) for n, d in free.items()})}")
        if sizes.varying:
            by_input = [[a for n, a in sizes.varying if n == port.name] for port in sizes.inputs]
            lines.append(
                "dynamic_dims="
                + ";".join(
                    ",".join(f"[{_joined(p[port.name][a].low for a in axes)}]" for p in sizes.profiles)
                    for port, axes in zip(sizes.inputs, by_input, strict=True)
                    if axes
                )
            )
    lines.append(f"precision_mode={chosen.options['precision']}")
    if form == "ND":
        lines += ["", "[acl_build_options]", 'input_format="ND"']
        if not whole:
            lines.append(f'input_shape="{shape_text(sizes, free)}"')
        if sizes.varying:
            lines.append(f'ge.dynamicDims="{";".join(_joined(t) for t in sizes.tuples())}"')
    return "\n".join(lines) + "\n"


def _joined(numbers: Iterable[object]) -> str:
    return ",".join(map(str, numbers))
