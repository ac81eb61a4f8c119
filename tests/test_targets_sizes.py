"""Sizes as users write them, and the commands and configurations that come of them."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path

import pytest

from surgery.errors import BadInput, Refused
from surgery.targets import choose
from surgery.targets.build import Step, line
from surgery.targets.sizes import FREE, Dim, Port, parse, read_profiles, settle

IMAGE = Port("x", "float32", ("batch", 3, "height", "width"))


def steps(target: str, *shapes: str, ports: tuple[Port, ...] = (IMAGE,), name: str = "m") -> list[Step]:
    chosen = choose(target)
    sizes = settle(ports, [parse(shape) for shape in shapes], chosen)
    return import_module(f"surgery.targets.{chosen.name}").build(chosen, sizes, name)  # type: ignore[no-any-return]


def flags(target: str, *shapes: str, ports: tuple[Port, ...] = (IMAGE,)) -> list[str]:
    (step,) = steps(target, *shapes, ports=ports)
    return list(step.command)


# ---------------------------------------------------------------- reading


def test_forms_of_a_dim() -> None:
    (shape,) = parse("x:1,1~8,-1,?,2~4~16,5~-1").values()
    assert shape == (Dim(1, 1, 1), Dim(1, None, 8), FREE, FREE, Dim(2, 4, 16), Dim(5, None, None))
    assert [str(d) for d in shape] == ["1", "1~8", "-1", "-1", "2~16", "5~-1"]


def test_several_inputs_and_a_scalar() -> None:
    assert parse("a:1,3,48,320;b:") == {"a": tuple(Dim(d, d, d) for d in (1, 3, 48, 320)), "b": ()}
    assert list(parse("input:0:1,3")) == ["input:0"]  # a name may hold a colon


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", ":1,3", "x:1,b", "x:1,-2", "x:8~1", "x:1~9~8", "x:1x3", "x:1.5", "x:1,,3", "x:1,3,", "x:1;x:2"),
        *("x:0,3", "x:0~8", "x:3000000000", "x:99999999999999999999"),
    ],
)
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


def test_a_file_of_profiles(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    for text in ('["x:1,3", "x:2,3"]', '[{"x": [1, 3]}, {"x": [2, 3]}]', '{"profiles": ["x:1,3", {"x": [2, 3]}]}'):
        file.write_text(text)
        assert [shape["x"][0].low for shape in read_profiles(file)] == [1, 2]
    file.write_text('["x:1,3"]', encoding="utf-8-sig")  # as Windows writes it
    assert len(read_profiles(file)) == 1
    for text in ("", "[]", "{}", "[[1, 3]]", "3", '[{"x": 5}]', '[{"x": "12,3"}]', "[null]", '[{"x": [1, null]}]'):
        file.write_text(text)
        with pytest.raises(BadInput):
            read_profiles(file)
    with pytest.raises(BadInput):
        read_profiles(tmp_path / "none.json")


def test_what_is_left_out_is_as_the_model_has_it() -> None:
    mask = Port("mask", "float32", ("batch", 40))
    sizes = settle((IMAGE, mask), [parse("x:2,3,32,100")], choose("atc"))
    assert [d.low for d in sizes.profiles[0]["mask"]] == [2, 40]  # the symbol that both have
    assert sizes.static and sizes.concrete() == [{"x": [2, 3, 32, 100], "mask": [2, 40]}]


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("x:1,4,32,32", "dim 1 is 3"),
        ("x:1,3,32", "give 4 sizes"),
        ("x:1,1~3,32,32", "dim 1 is 3"),
        ("x:1,-1,32,32", "dim 1 is 3"),
    ],
)
def test_what_contradicts_the_model_is_refused_by_the_rule(shape: str, says: str) -> None:
    with pytest.raises(Refused, match="contradicts the model") as error:
        steps("atc", shape)
    assert error.value.status == 3 and "A23" in error.value.cure and says in error.value.cure


def test_profiles_of_an_input_have_one_rank() -> None:
    with pytest.raises(BadInput, match="3 dims, and 4 in another"):  # of a MINDIR file no rank is known
        settle((Port("x", "float32", None),), [parse("x:1,3,8,8"), parse("x:1,3,8")], choose("converter_lite"))


def test_an_unknown_input_lists_what_there_is() -> None:
    with pytest.raises(BadInput, match="it has x"):
        steps("atc", "y:1,3")


# ---------------------------------------------------------------- atc


def test_atc_as_documented() -> None:
    # H and W are a pair: W is free, too, though it is one number here.
    assert flags("atc:precision=force_fp32", "x:1,3,736,1280", "x:1,3,768,1280") == shlex.split(
        "atc --model=m.onnx --framework=5 --output=m --soc_version=Ascend310P3 --input_format=ND "
        '--input_shape="x:1,3,-1,-1" --dynamic_dims="736,1280;768,1280" --precision_mode=force_fp32 --log=error'
    )
    # Not where the model has a number for it.
    text = flags("atc", "x:1,3,48,320", "x:1,3,48,480", ports=(Port("x", "float32", ("N", 3, 48, "W")),))
    assert "--input_shape=x:1,3,48,-1" in text and "--dynamic_dims=320;480" in text


def test_atc_static() -> None:
    text = flags("atc", "x:1,3,736,1280")
    assert "--input_shape=x:1,3,736,1280" in text
    assert not any(flag.startswith("--dynamic") for flag in text)
    assert "--precision_mode=force_fp16" in text


def test_atc_ranges() -> None:
    port = Port("actual_input_1", "float32", (None, 3, None, None))
    assert "--input_shape=actual_input_1:1,3,128~2048,128~2048" in flags(
        "atc:version=8.0,soc=Ascend910B3", "actual_input_1:1,3,128~2048,128~2048", ports=(port,)
    )
    old = flags("atc:version=5.0.4,soc=Ascend910A", "x:1~8,3,-1,-1")
    assert "--input_shape_range=x:[1~8,3,-1,-1]" in old and not any(f.startswith("--input_shape=") for f in old)
    assert "--input_shape=x:-1,3,-1,-1" in flags("atc")  # nothing given: as free as the model
    for soc in ("Ascend310", "Ascend310B1"):
        with pytest.raises(Refused, match="fixed sizes and profiles") as error:
            flags(f"atc:soc={soc}", "x:1~8,3,32,32")
        assert "A22.range" in error.value.cure


def test_atc_batches() -> None:
    text = flags("atc", "x:1,3,48,320", "x:4,3,48,320", "x:8,3,48,320")
    assert "--dynamic_batch_size=1,4,8" in text and "--input_shape=x:-1,3,48,320" in text


def test_atc_image_sizes() -> None:
    text = flags("atc:profiles=image", "x:1,3,736,1280", "x:1,3,768,1280")
    assert "--dynamic_image_size=736,1280;768,1280" in text
    assert "--input_shape=x:1,3,-1,-1" in text and "--input_format=NCHW" in text


def test_atc_batch_and_size_in_one() -> None:
    text = flags("atc", "x:1,3,640,640", "x:4,3,640,640", "x:1,3,1280,1280")
    assert "--dynamic_dims=1,640,640;4,640,640;1,1280,1280" in text and "--input_shape=x:-1,3,-1,-1" in text


def test_atc_several_inputs() -> None:
    ports = (Port("a", "float32", (1, None, None)), Port("b", "float32", (1, None)), Port("c", "float32", ()))
    text = flags("atc", "a:1,32,32;b:1,24", "a:1,64,64;b:1,36", ports=ports)
    assert "--input_shape=a:1,-1,-1;b:1,-1;c:" in text and "--dynamic_dims=32,32,24;64,64,36" in text


@pytest.mark.parametrize(
    ("target", "shapes", "rule"),
    [
        ("atc", [f"x:1,3,{32 * i},32" for i in range(1, 102)], "A22"),
        ("atc:soc=Ascend950", [f"x:1,3,{32 * i},32" for i in range(1, 258)], "A22"),
        ("atc:profiles=dims", ["x:1,3,32,32"], "A22"),
        ("atc", ["x:1,3,32,32", "x:4096,3,32,32"], "A22"),
        ("atc", ["x:1,3,32,32", "x:1~8,3,32,32"], "A22.forms"),
        ("atc:profiles=batch", ["x:1,3,32,32", "x:1,3,64,32"], "A22.forms"),
        ("atc:profiles=image", ["x:1,3,32,32", "x:2,3,64,32"], "A22.forms"),
        ("converter_lite", [f"x:1,3,{32 * i},32" for i in range(1, 102)], "L3"),
        ("converter_lite", ["x:1~8,3,32,32"], "L4"),
        ("converter_lite", [], "L4"),
        ("tensorrt", ["x:-1,3,32,32"], "T12"),
        ("tensorrt", [], "T12"),
        ("ncnn", [], "N1"),
    ],
)
def test_sizes_that_a_target_does_not_take(target: str, shapes: list[str], rule: str) -> None:
    with pytest.raises(Refused) as error:
        steps(target, *shapes)
    assert error.value.status == 3
    assert f"rule {rule}:" in error.value.cure and "[" in error.value.cure


def test_limits_are_of_the_version_and_the_chip() -> None:
    many = [f"x:1,3,{32 * i},32" for i in range(1, 202)]
    assert flags("atc:soc=Ascend950", *many)
    ports = (Port("x", "float32", (None,) * 5),)
    assert flags("atc:version=8.0", "x:1,1,1,1,1", "x:2,2,2,2,3", ports=ports)
    with pytest.raises(Refused, match="5 dims"):
        flags("atc:version=7.0", "x:1,1,1,1,1", "x:2,2,2,2,3", ports=ports)


@pytest.mark.parametrize("target", ["atc", "converter_lite", "tensorrt"])
def test_a_static_model_has_no_profiles(target: str) -> None:
    static = Port("x", "float32", (1, 3, 32, 32))
    with pytest.raises(Refused, match="contradicts"):
        steps(target, "x:1,3,32,32", "x:1,3,64,32", ports=(static,))


# ---------------------------------------------------------------- converter_lite


def test_lite_dynamic_size() -> None:
    (step,) = steps("converter_lite", "x:1,3,736,1280", "x:1,3,768,1280")
    assert step.files["config.txt"].splitlines() == [
        "[ascend_context]",
        "input_format=NCHW",
        "input_shape=x:[1,3,-1,-1]",
        "dynamic_dims=[736,1280],[768,1280]",
        "precision_mode=enforce_fp16",
    ]
    assert step.command[:3] == ("converter_lite", "--fmk=ONNX", "--saveType=MINDIR")
    assert {"--modelFile=m.onnx", "--outputFile=m", "--configFile=config.txt", "--optimize=ascend_oriented"} <= set(
        step.command
    )


def test_lite_older_has_a_device() -> None:
    (step,) = steps("converter_lite:version=2.3", "x:1,3,736,1280")
    assert {"--NoFusion=false", "--device=Ascend"} <= set(step.command)
    assert "input_shape=x:[1,3,736,1280]" in step.files["config.txt"]


def test_lite_static_shape_is_in_the_command() -> None:
    (step,) = steps("converter_lite", "x:1,3,736,1280")
    assert "--inputShape=x:1,3,736,1280" in step.command and "input_shape" not in step.files["config.txt"]


def test_lite_nd() -> None:
    ports = (Port("a", "float32", (1, None, None)), Port("b", "float32", (1, None)))
    (step,) = steps("converter_lite:format=ND", "a:1,32,32;b:1,24", "a:1,64,64;b:1,36", ports=ports)
    config = step.files["config.txt"]
    assert '[acl_build_options]\ninput_format="ND"\ninput_shape="a:1,-1,-1;b:1,-1"\n' in config
    assert 'ge.dynamicDims="32,32,24;64,64,36"' in config
    (plain,) = steps("converter_lite", "a:1,32,32;b:1,24", "a:1,64,64;b:1,36", ports=ports)
    assert "dynamic_dims=[32,32],[64,64];[24],[36]" in plain.files["config.txt"]


def test_lite_batches() -> None:
    (step,) = steps("converter_lite", "x:1,3,48,320", "x:2,3,48,320", "x:8,3,48,320")
    assert "input_shape=x:[-1,3,48,320]\ndynamic_dims=[1],[2],[8]" in step.files["config.txt"]


def test_lite_batch_and_size_is_a_model_a_batch() -> None:
    made = steps("converter_lite", "x:1,3,640,640", "x:4,3,640,640", "x:1,3,1280,1280")
    assert [step.name for step in made] == ["m_b1", "m_b4"]
    assert "dynamic_dims=[640,640],[1280,1280]" in made[0].files["config_b1.txt"]
    assert "--inputShape=x:4,3,640,640" in made[1].command
    assert made[0].profiles == (0, 2) and made[1].profiles == (1,)


@pytest.mark.parametrize("mode", ["enforce_fp16", "preferred_fp32", "preferred_optimal", "enforce_fp32"])
def test_lite_precision(mode: str) -> None:
    (step,) = steps(f"converter_lite:precision={mode}", "x:1,3,32,32")
    assert f"precision_mode={mode}" in step.files["config.txt"]


# ---------------------------------------------------------------- tensorrt


def test_trtexec_as_documented() -> None:
    assert flags("tensorrt", "x:1~8~8,3,48,32~320~960") == shlex.split(
        "trtexec --onnx=m.onnx --minShapes=x:1x3x48x32 --optShapes=x:8x3x48x320 --maxShapes=x:8x3x48x960 "
        "--saveEngine=m.plan --memPoolSize=workspace:1024 --builderOptimizationLevel=3"
    )


def test_trtexec_one_size_and_several_profiles() -> None:
    one = flags("tensorrt", "x:1,3,48,320")
    assert "--optShapes=x:1x3x48x320" in one and not any("minShapes" in flag for flag in one)
    two = flags("tensorrt", "x:1,3,48,32~320", "x:8,3,48,320~960")
    at = [two.index(f"--profile={i}") for i in (0, 1)]
    assert two[at[0] + 1 : at[1]] == ["--minShapes=x:1x3x48x32", "--optShapes=x:1x3x48x320", "--maxShapes=x:1x3x48x320"]
    assert two[at[1] + 1] == "--minShapes=x:8x3x48x320"
    static = flags("tensorrt", ports=(Port("x", "float32", (1, 3, 32, 32)),))
    assert not any("Shapes" in flag for flag in static)  # trtexec takes none for a fixed model


def test_trtexec_precision_is_a_flag_to_10_only() -> None:
    assert "--fp16" in flags("tensorrt:version=10,precision=fp16", "x:1,3,48,320")
    assert "--fp16" not in flags("tensorrt:version=11,precision=fp16", "x:1,3,48,320")
    assert flags("tensorrt:version=10", "x:1,3,48,320")[-1] == "--builderOptimizationLevel=3"


# ---------------------------------------------------------------- the others


def test_ovc() -> None:
    assert flags("openvino", "x:1~8,3,32~1280,-1") == shlex.split(
        'ovc m.onnx --input "x[1..8,3,32..1280,?]" --output_model m.xml --compress_to_fp16=False'
    )
    assert "x[1..4,3,32,100]" in flags("openvino", "x:1,3,32,100", "x:4,3,32,100")
    assert "--compress_to_fp16=True" in flags("openvino:precision=fp16")


def test_pnnx_is_given_two_sizes() -> None:
    assert flags("ncnn", "x:1,3,48,320", "x:1,3,48,480") == [
        *("pnnx", "m.onnx", "inputshape=[1,3,48,320]f32", "inputshape2=[1,3,48,480]f32", "fp16=0", "optlevel=2")
    ]
    assert "inputshape2=[4,3,32,480]f32" in flags("ncnn:precision=fp16", "x:1,3,32,320", "x:1,3,32,480", "x:4,3,32,320")
    assert not any(f.startswith("inputshape2") for f in flags("ncnn", "x:1,3,48,320"))


def test_mnn_and_onnxruntime() -> None:
    assert flags("mnn:precision=fp16")[-1] == "--fp16"
    assert flags("mnn")[:6] == ["MNNConvert", "-f", "ONNX", "--modelFile", "m.onnx", "--MNNModel"]
    assert flags("onnxruntime:style=Runtime,platform=arm") == [
        *("python", "-m", "onnxruntime.tools.convert_onnx_models_to_ort", "m.onnx"),
        *("--optimization_style", "Runtime", "--target_platform", "arm"),
    ]


def test_a_script_has_the_words_of_the_command() -> None:
    (step,) = steps("atc", "x:1,3,736,1280", "x:1,3,768,1312")
    assert tuple(shlex.split(line(step.command).replace("\\\n", ""))) == step.command
