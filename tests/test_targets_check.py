"""Rules of targets: what they are written in, what they find, and that each finding has a source."""

from __future__ import annotations

import ast
import json
import os
from functools import cache
from pathlib import Path

import onnx
import pytest

import surgery
from surgery import registry, targets
from surgery.cli import main
from surgery.errors import BadInput
from surgery.targets import conditions, places
from surgery.targets.rule import HAPPENS, Rule, number, within

ALL = list(targets.SUMMARIES)
RULES = [(name, rule) for name in ALL for rule in targets.get(name).rules]
WORDS = {
    *conditions.PLAIN,
    *places._WORDS,
    *places._ASKED,
    *("opset", "since", "domain", "local_function", "op_type", "ins", "outs", "inside", "operators"),
}
PORTS = {"name", "dtype", "shape", "rank", "is_const", "is_input", "is_twin", "alone", "maker", "operators"}
PORTS |= {"negative_dims", "float32", "opset"}


@cache
def attributes() -> dict[str, set[str]]:
    """Of every operator, the attributes that it has or had."""
    known: dict[str, set[str]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        known.setdefault(schema.name, set()).update(schema.attributes)
    return known


def model(text: str, opset: int = 17, imports: str = "") -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}{imports}]> {text}')


def found(text: str, target: str, opset: int = 17, imports: str = "") -> dict[str, surgery.Finding]:
    return {one.rule: one for one in surgery.check(model(text, opset, imports), target)}


def resize(mode: str, coordinates: str = "half_pixel", nearest: str = "round_prefer_floor") -> str:
    return (
        "g (float[1,3,8,10] x) => (float[1,3,16,20] y) <float[4] s = {1, 1, 2, 2}> { y = Resize<"
        f'mode="{mode}", coordinate_transformation_mode="{coordinates}", nearest_mode="{nearest}">(x, , s) }}'
    )


# ---------------------------------------------------------------- the rules themselves


@pytest.mark.parametrize(("target", "rule"), RULES, ids=[f"{name}-{rule.id}" for name, rule in RULES])
def test_a_rule_says_what_why_and_whence(target: str, rule: Rule) -> None:
    assert rule.happens in HAPPENS
    assert rule.why and rule.source
    assert any(c.isdigit() for c in rule.source) or "issues" in rule.source or rule.source.startswith("hiascend"), (
        "a source has a version"
    )
    if not rule.when:
        return
    names = {node.id for node in ast.walk(ast.parse(rule.when)) if isinstance(node, ast.Name)}
    bound = {
        node.target.id
        for node in ast.walk(ast.parse(rule.when))
        if isinstance(node, ast.comprehension) and isinstance(node.target, ast.Name)
    }
    options = {option.name for option in targets.get(target).options}
    unknown = names - bound - options - WORDS
    if rule.on in ("model", "input", "output"):
        assert unknown <= PORTS
        return
    operators = [] if rule.on == "*" else rule.on.split()
    assert set(operators) <= set(attributes()), "there is no such operator"
    assert unknown <= set().union(*(attributes()[operator] for operator in operators)), (
        "neither of the vocabulary nor an attribute"
    )


@pytest.mark.parametrize("target", ALL)
def test_every_cure_is_a_pass_with_these_options(target: str) -> None:
    for cure in {cure for rule in targets.get(target).rules for cure in rule.cures}:
        # It is told which by what the target takes.
        registry.make(f"{cure}:to=17" if cure == "opset" else cure)
        assert cure != "opset" or targets.get(target).opsets


@pytest.mark.parametrize("target", ALL)
def test_ids_are_unique(target: str) -> None:
    ids = [rule.id for rule in targets.get(target).rules]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("atc", [f"A{i}" for i in range(1, 25) if i != 19]),  # A19 is of the opsets
        ("converter_lite", ["L1", "L2"]),
        ("tensorrt", [f"T{i}" for i in range(1, 10)]),
        ("openvino", ["V1", "V2", "V3", "V4.gridsample", "V4.resize", "V4.pad", "V4.deform", "V5"]),
        ("ncnn", ["N9", "N1", "N2", "N3.modes", "N3.antialias", "N3.wrap", "N4", "N5", "N6"]),
        ("mnn", ["K1", "K2.cubic", "K2.nearest", "K3.gathernd", "K3.mod", "K3.scatter", "K4.dilation", "K5.wrap"]),
    ],
)
def test_what_is_known_of_the_compilers_is_there(target: str, ids: list[str]) -> None:
    assert set(ids) <= {rule.id for rule in targets.get(target).rules}
    assert any(rule.id == "R1" for rule in targets.get(target).rules)


def test_versions_are_compared_as_numbers() -> None:
    assert number("8.0.RC2") == (8, 0)
    assert within("8.10", ">=8.3") and not within("8.0", ">=8.3")
    assert within("7.0", ">=7.0,<8") and not within("8", ">=7.0,<8") and within("9.1", "")


# ---------------------------------------------------------------- naming a target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("atx", "atc, converter_lite, tensorrt"),
        ("atc:version=12", "5.0.4"),
        ("atc:soc=Ascend999", "Ascend310P3"),
        ("atc:chip=x", "soc"),
        ("atc:precision", "name=value"),
        ("tensorrt:version=9", "10.1"),
        ("atc:version=8.0,version=9.0", "given twice"),
    ],
)
def test_an_unknown_target_lists_what_there_is(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as error:
        targets.choose(text)
    assert error.value.status == 2


def test_a_version_may_be_short_and_a_release_candidate() -> None:
    assert targets.choose("tensorrt:version=10").version == "10.16"
    assert targets.choose("atc:version=8.0.RC2").version == "8.0"
    assert targets.choose("atc").version == targets.get("atc").versions[-1]


# ---------------------------------------------------------------- findings

GRID = 'g (float[1,3,8,10] x, float[1,6,7,2] g) => (float[1,3,6,7] y) { y = GridSample<mode="%s">(x, g) }'


@pytest.mark.parametrize(
    ("target", "rule", "text", "opset"),
    [
        ("atc:version=5.0.4", "A1", GRID % "bilinear", 13 + 3),
        ("atc:version=8.5", "A1.opset", GRID % "linear", 20),
        ("atc:version=8.5", "A2", GRID % "bicubic", 16),
        ("atc:version=8.5,soc=Ascend310P3", "A3", GRID % "bilinear", 16),
        ("atc", "A4", resize("cubic"), 17),
        ("atc:version=8.3", "A6", resize("nearest", "asymmetric", "floor"), 13),
        ("tensorrt", "T2", resize("cubic"), 17),
        ("mnn", "K2.cubic", resize("cubic"), 17),
        ("ncnn", "N2", resize("nearest", "asymmetric", "ceil"), 17),
        ("ncnn", "N3.modes", resize("linear", "asymmetric"), 17),
        ("mnn", "K4.strides", "g (float[1,3,8,9] x) => (y) { y = MaxPool<kernel_shape=[2,2]>(x) }", 13),
        ("openvino", "V1", "g (float[1,3,8,10] x) => (y) { y = Softmax<axis=1>(x) }", 11),
        ("openvino", "V7", "g (float[2,5,6] x) => (y) { y = ReduceL1<axes=[1]>(x) }", 17),
        ("mnn", "K10", "g (float[2,5,6] x) => (y) <int64[1] a = {1}> { y = ReduceL1(x, a) }", 18),
        ("ncnn", "N4.eye", "g (float[2,5] x) => (y) { y = EyeLike(x) }", 17),
        ("ncnn", "N26.output", "g (float[2,5] x) => (int64[2,1] y) { y = ArgMax<axis=1>(x) }", 17),
        ("mnn", "K14", "g (bool[2,3] c, float[2,3] a, float[1,3] b) => (y) { y = Where(c, a, b) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float big = {1e9}> { y = Sub(x, big) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float big = {1e9}> { y = Max(x, big) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float low = {1e9}, float high = {2e9}> { y = Clip(x, low, high) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float big = {1e9}> { b = Identity(big) y = Mul(x, b) }", 17),
        ("atc", "A21", "g (int64[2] x) => (y) { y = Cast<to=1>(x) }", 17),
        ("tensorrt:version=11,precision=fp16", "T9", "g (float[2] x) => (y) { y = Relu(x) }", 17),
    ],
)
def test_finds(target: str, rule: str, text: str, opset: int) -> None:
    finding = found(text, target, opset)[rule]
    assert finding.source and finding.node and finding.target.startswith(target.partition(":")[0])


@pytest.mark.parametrize(
    ("target", "rule", "text", "opset"),
    [
        ("atc:version=8.5,soc=Ascend310P3,precision=force_fp32", "A3", GRID % "bilinear", 16),
        ("atc:version=8.5,soc=Ascend910B", "A3", GRID % "bilinear", 16),
        ("atc:version=8.0", "A6", resize("nearest", "asymmetric", "floor"), 13),
        ("ncnn", "N2", resize("nearest", "asymmetric", "floor"), 17),
        ("mnn", "K2.cubic", resize("cubic", "asymmetric"), 17),
        ("openvino", "V1", "g (float[1,3,8,10] x) => (y) { y = Softmax<axis=1>(x) }", 13),
        ("openvino", "V1", "g (float[N,10] x) => (y) { y = Softmax<axis=1>(x) }", 11),
        ("openvino", "V1", "g (float[N,10,1,1] x) => (y) { y = Softmax<axis=1>(x) }", 11),
        ("mnn", "K14", "g (bool[2,3] c, float[2,3] a) => (y) <float b = {0}> { y = Where(c, a, b) }", 17),
        ("atc", "A24", "g (float[2] x) => (bool[2] y) <float big = {1e9}> { b = Identity(big) y = Less(x, b) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float big = {1e9}> { y = Min(x, big) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float low = {-1e9}> { y = Max(low, x) }", 17),
        ("atc", "A24", "g (float[2] x) => (y) <float low = {-1e9}, float high = {2e9}> { y = Clip(x, low, high) }", 17),
        ("atc:precision=force_fp32", "A24", "g (float[2] x) => (y) <float big = {1e9}> { y = Sub(x, big) }", 17),
        ("tensorrt:version=10,precision=fp16", "T9", "g (float[2] x) => (y) { y = Relu(x) }", 17),
        ("ncnn", "N23", "g (float[1,8,w] x) => (y) { s = Shape(x)  y = Reshape(x, s) }", 17),
    ],
)
def test_leaves_alone(target: str, rule: str, text: str, opset: int) -> None:
    assert rule not in found(text, target, opset)


def test_an_attribute_of_a_function_is_not_known() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[1,3,8,9] x) => (y) { y = my.Pool<k=[2,2]>(x) }
        <domain: "my", opset_import: ["" : 17]> Pool <k> (x) => (y) { y = MaxPool<kernel_shape: ints = @k>(x) }"""
    rules = {one.rule for one in surgery.check(onnx.parser.parse_model(text), "mnn")}
    assert {"K38", "K4.strides"} <= rules  # the call, and the node inside


def test_sub_graphs_are_checked() -> None:
    text = """g (float[1,3,8,9] x, bool c) => (y) {
        y = If (c) <then_branch = t () => (float[1,3,7,8] a) { a = MaxPool<kernel_shape=[2,2]>(x) },
                    else_branch = e () => (float[1,3,7,8] b) { b = AveragePool<kernel_shape=[2,2]>(x) }> }"""
    nodes = [one.operator for one in surgery.check(model(text), "mnn") if one.rule == "K4.strides"]
    assert sorted(nodes) == ["AveragePool", "MaxPool"]


def test_the_opset_has_to_be_accepted() -> None:
    text = "g (float[2] x) => (y) { y = Relu(x) }"
    (finding,) = surgery.check(model(text, 18), "atc:version=6.0.1")
    assert finding.rule == "opset" and "9 to 13" in finding.why and finding.cures == ("opset",)
    assert not surgery.check(model(text, 18), "atc:version=7.0")


def test_a_foreign_domain_has_no_parser() -> None:
    assert "A20" in found("g (float[2] x) => (y) { y = my.Own(x) }", "atc", imports=', "my" : 1')
    assert "O1" in found("g (float[2] x) => (y) { y = my.Own(x) }", "onnxruntime", imports=', "my" : 1')


def test_negative_dims_are_found() -> None:
    proto = model("g (float[2] x) => (y) { y = Relu(x) }")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    for target in ALL:
        assert "R1" in {one.rule for one in surgery.check(proto, target)}


# ---------------------------------------------------------------- the command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model(resize("cubic")), path)
    assert main(["check", str(path), "--target", "atc:version=8.0"]) == 1
    text = capsys.readouterr().out
    assert "resize-matmul" in text and "hiascend" in text and "A4" in text
    assert main(["check", str(path), "--target", "atc:version=8.0", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["version"] == "8.0"
    (one,) = document["findings"]
    assert one["rule"] == "A4" and one["cures"] == ["resize-matmul"] and one["blocking"] and one["source"]
    assert main(["check", str(path), "--target", "onnxruntime"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["check", str(path), "--target", "nothing"]) == 2
    assert main(["check", str(tmp_path / "none.onnx"), "--target", "atc"]) == 2


def test_show_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ALL:
        assert main(["show", name]) == 0
        text = capsys.readouterr().out
        for rule in targets.get(name).rules:
            assert rule.id in text and rule.why in text and rule.source in text
        assert main(["show", name, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["rules"]) == len(targets.get(name).rules)
    assert main(["list", "--kind", "target"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ALL


# ---------------------------------------------------------------- against what backends do


@pytest.mark.parametrize("backend", ["openvino", "mnn", "ncnn"])
def test_tells_what_backends_do(backend: str, tmp_path: Path) -> None:
    folder = os.environ.get("SURGERY_BACKENDS")
    if not folder:
        pytest.skip("SURGERY_BACKENDS names no folder of measured cases")
    from benchmarks.backend_rules import blocking, cases

    wrongly = []
    for row, proto in cases(Path(folder), tmp_path):
        if row[backend] == "ok":
            wrongly += [row["case"]] if blocking(proto, backend) else []
        else:
            assert blocking(proto, backend), f"{row['case']} is {row[backend]}, and passes the check"
    # Right by chance, on MNN: no number lies below 1, where it cuts floats to integers before it casts them to bool;
    # what it reads beyond its memory is 0 in most runs; at these sizes no place lies half way.
    chance = {"reducemax_bool20", "rs_3d_linear", "max_multi", "rs_near_asymmetric_round_prefer_ceil"}
    assert set(wrongly) == (chance if backend == "mnn" else set())


@pytest.mark.parametrize(
    ("name", "target"), [("ppocrv4_det", "openvino"), ("ppocrv4_det", "mnn"), ("ppocrv4_det", "ncnn"),
                         ("ppocrv4_rec", "openvino"), ("ppocrv4_rec", "mnn"), ("starnet", "mnn"),
                         ("det_v4", "ncnn"), ("srn", "mnn"), ("rare", "openvino")]
)  # fmt: skip
def test_real_models_that_work_pass(name: str, target: str) -> None:
    path = Path(os.environ.get("SURGERY_MODELS", "")) / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"SURGERY_MODELS has no {name}.onnx")
    assert not [one for one in surgery.check(path, target) if one.blocking]
