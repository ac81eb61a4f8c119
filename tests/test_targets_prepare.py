"""prepare: cured, verified, written; and what a chip gives is read back."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from surgery.cli import main

SAMPLER = """<ir_version: 8, opset_import: ["" : 16]>
    g (float[batch,3,height,width] x, float[batch,5,6,2] grid) => (float[batch,3,5,6] y)
    { c = Tanh(x)  y = GridSample<mode="bilinear", padding_mode="zeros">(c, grid) }"""
PLAIN = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[batch,3,height,width] x) => (float[batch,3,1,1] y, int64[batch,1,height,width] best)
    { c = Tanh(x)  y = GlobalAveragePool(c)  best = ArgMax<axis=1>(c) }"""
CUBIC = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,3,8,10] x) => (float[1,3,16,20] y) <float[4] s = {1, 1, 2, 2}> { y = Resize<mode="cubic">(x, , s) }"""
ATC = "atc:version=8.0,soc=Ascend310P3"


def save(text: str, path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def ops(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def prepare(*words: str | Path) -> int:
    return main(["prepare", *map(str, words)])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A model without findings, prepared for atc at two sizes."""
    model = save(PLAIN, tmp_path / "net.onnx")
    out = tmp_path / "out"
    shapes = ["--input-shape", "x:1,3,8,12", "--input-shape", "x:2,3,16,20"]
    assert prepare(model, "--target", ATC, *shapes, "-o", out) == 0
    return out


def test_cures_verifies_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(SAMPLER, tmp_path / "net.onnx")
    out = tmp_path / "out"
    assert prepare(model, "--target", ATC, "--input-shape", "x:2,3,8,12", "-o", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [finding["rule"] for finding in document["found"]] == ["A3"] and {
        one["rule"] for one in document["left"]
    } <= {"A24"}
    assert "gridsample" in [text.partition(":")[0] for text in document["passes"]]
    assert document["verdict"] == "equal" and document["probes"] == 1
    assert "GridSample" not in ops(out / "net.onnx")
    assert "--input_shape=x:2,3,8,12;grid:2,5,6,2" in document["steps"][0]["command"]


def test_what_a_cure_brings_with_it_does_not_hide_what_it_cured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save(SAMPLER, tmp_path / "net.onnx")
    assert prepare(model, "--target", ATC, "--input-shape", "x:2,3,8,12", "-o", tmp_path / "out") == 0
    assert "found    1 finding, 1 cured" in capsys.readouterr().out


def test_writes_what_the_compiler_and_the_chip_need(made: Path) -> None:
    record = json.loads((made / "prepare.json").read_text())
    assert record["schema"] == 1 and record["target"] == "atc" and len(record["cases"]) == 2
    with np.load(made / "expected.npz") as expected:
        for index, case in enumerate(record["cases"]):
            (port,) = case["inputs"]
            value = expected[f"x.{index}"]
            assert list(value.shape) == port["shape"] == [[1, 3, 8, 12], [2, 3, 16, 20]][index]
            assert (np.fromfile(made / port["file"], port["dtype"]).reshape(port["shape"]) == value).all()
            session = ort.InferenceSession(made / "net.onnx")
            for name, found in zip(("y", "best"), session.run(None, {"x": value}), strict=True):
                assert np.allclose(found, expected[f"{name}.{index}"], atol=1e-6)
    script = (made / "build.sh").read_text()
    assert os.stat(made / "build.sh").st_mode & stat.S_IXUSR
    assert "--dynamic_dims=1,8,12;2,16,20" in script and "surgery verify net.onnx --reference chip" in script
    assert subprocess.run(["sh", "-n", made / "build.sh"]).returncode == 0


def stand_in(folder: Path, name: str, code: str) -> None:
    """A program on PATH that records its arguments and runs `code`."""
    folder.mkdir(exist_ok=True)
    script = folder / name
    record = f"import json, os, sys\nopen({str(folder / 'calls')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    script.write_text(f"#!{sys.executable}\n{record}{code}")
    script.chmod(0o755)


COPY = """
import numpy as np
value = lambda flag: sys.argv[sys.argv.index(flag) + 1]
case = value('--output_dirname')
os.makedirs(f'chip/{case}')
expected = np.load('expected.npz')
for i, name in enumerate(('y', 'best')):
    expected[f'{name}.{case}'].tofile(f'chip/{case}/input0_{i}.bin')
"""


def test_the_script_runs_and_closes_the_loop(made: Path, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    stand_in(bin_, "atc", "")
    stand_in(bin_, "python3", COPY)  # of ais_bench
    (bin_ / "surgery").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from surgery.cli import main; raise SystemExit(main())' \"$@\"\n"
    )
    (bin_ / "surgery").chmod(0o755)
    environment = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([made / "build.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls = [json.loads(line) for line in (bin_ / "calls").read_text().splitlines()]
    assert "--dynamic_dims=1,8,12;2,16,20" in calls[0] and "--soc_version=Ascend310P3" in calls[0]
    assert calls[1][:4] == ["-m", "ais_bench", "--model", "net.om"]
    assert [call[call.index("--dymDims") + 1] for call in calls[1:]] == ["x:1,3,8,12", "x:2,3,16,20"]
    assert "equal" in done.stdout


@pytest.mark.parametrize("kind", ["bin", "half", "npy", "txt", "trtexec", "nan"])
def test_reads_what_tools_write(made: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    chip = made / "chip"
    chip.mkdir()
    with np.load(made / "expected.npz") as expected:
        for index in (0, 1):
            outputs = {name: expected[f"{name}.{index}"] for name in ("y", "best")}
            if kind in ("trtexec", "nan"):
                text = as_trtexec(outputs)
                (chip / f"{index}.json").write_text(text if kind == "trtexec" else text.replace(": [ ", ": [ nan, ", 1))
                continue
            (chip / str(index) / "2026").mkdir(parents=True)
            for place, value in enumerate(outputs.values()):
                file = chip / str(index) / "2026" / f"input0_{place}.{'bin' if kind == 'half' else kind}"
                if kind == "bin":
                    value.tofile(file)
                elif kind == "half":
                    value.astype("float32" if value.dtype.kind == "f" else "int32").tofile(file)
                elif kind == "npy":
                    np.save(file, value)
                else:
                    np.savetxt(file, value.reshape(-1))
    status = main(["verify", str(made / "net.onnx"), "--reference", str(chip)])
    if kind == "nan":  # one element too many
        assert status == 2 and "'y'" in capsys.readouterr().err
    else:
        assert status == 0 and "equal" in capsys.readouterr().out


def as_trtexec(outputs: dict[str, np.ndarray]) -> str:
    parts = [
        f'{{ "name" : "{name}"\n  , "dimensions" : "{"x".join(map(str, value.shape))}"\n'
        f'  , "values" : [ {", ".join(map(str, value.reshape(-1).tolist()))} ]\n }}'
        for name, value in outputs.items()
    ]
    return "[\n  " + "\n, ".join(parts) + "\n]\n"


def test_a_wrong_chip_is_told(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip = made / "chip"
    verify = ["verify", str(made / "net.onnx"), "--reference", str(chip)]
    with np.load(made / "expected.npz") as expected:
        for probe in ("0", "1"):
            (chip / probe).mkdir(parents=True)
            (expected[f"y.{probe}"] * 1.05).tofile(chip / probe / "input0_0.bin")
            assert main(verify) == 2, "an output that is not there proves nothing, nor does a probe"
            assert "no results of 'best'" in capsys.readouterr().err
            expected[f"best.{probe}"].tofile(chip / probe / "input0_1.bin")
    assert main(verify) == 1
    assert "different" in capsys.readouterr().out


def test_what_is_no_result_is_told(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip = made / "chip"
    (chip / "0").mkdir(parents=True)
    verify = ["verify", str(made / "net.onnx"), "--reference"]
    assert main([*verify, str(chip)]) == 2
    assert "no results" in capsys.readouterr().err
    (chip / "0" / "input0_0.bin").write_bytes(b"12345")
    assert main([*verify, str(chip)]) == 2
    assert "5 bytes" in capsys.readouterr().err
    (chip / "0.json").write_text("{")
    assert main([*verify, str(chip)]) == 2
    (tmp_path / "elsewhere").mkdir()
    assert main([*verify, str(tmp_path / "elsewhere")]) == 2
    assert "prepare.json" in capsys.readouterr().err
    for record in ("{}", "[1", '{"cases": [{"inputs": 1}]}'):
        (made / "prepare.json").write_text(record)
        assert main([*verify, str(chip)]) == 2
        assert "not what prepare writes" in capsys.readouterr().err


def test_trtexec_runs_each_probe_in_its_profile(tmp_path: Path) -> None:
    model = save(PLAIN, tmp_path / "net.onnx")
    out = tmp_path / "out"
    shapes = ["--input-shape", "x:1~2,3,8,12", "--input-shape", "x:4,3,16,20~24"]
    assert prepare(model, "--target", "tensorrt", *shapes, "-o", out) == 0
    script = (out / "build.sh").read_text().replace("\\\n", "")
    runs = [line.split() for line in script.splitlines() if "--loadEngine" in line]
    assert len(runs) == 4  # two ends of two profiles
    assert [word for run in runs for word in run if word.startswith("--useProfile")] == [
        *("--useProfile=0", "--useProfile=0", "--useProfile=1", "--useProfile=1")
    ]
    assert "--loadInputs=x:probes/0/input0.bin" in runs[0] and "--exportOutput=chip/0.json" in runs[0]


def test_what_no_pass_cures_is_not_handed_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(SAMPLER.replace("Tanh", "my.Own").replace('"" : 16', '"" : 16, "my" : 1'), tmp_path / "net.onnx")
    out = tmp_path / "out"
    words = [model, "--target", ATC, "--input-shape", "x:1,3,8,8", "-o", out]
    assert prepare(*words) == 1
    shown = capsys.readouterr()
    assert "A20" in shown.out and "mmagic" in shown.out and "nothing written" in shown.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx"]


def test_findings_may_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(PLAIN.replace("axis=1", "axis=1, select_last_index=1"), tmp_path / "net.onnx")
    words = [model, "--target", "mnn", "--input-shape", "x:1,3,8,8", "-o", tmp_path / "out"]
    assert prepare(*words) == 1
    assert prepare(*words, "--allow-findings") == 0
    assert "K19" in capsys.readouterr().out and (tmp_path / "out" / "net.onnx").is_file()


def test_another_folder_is_left_alone(tmp_path: Path, made: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    words = [tmp_path / "net.onnx", "--target", "onnxruntime", "-o"]
    assert prepare(*words, tmp_path / "mine") == 2
    assert prepare(*words, tmp_path / "net.onnx") == 2
    assert prepare(*words, made) == 0  # its own folder is written anew
    assert json.loads((made / "prepare.json").read_text())["target"] == "onnxruntime"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "net.onnx", "out"]


def test_a_mindir_file_is_handed_on(tmp_path: Path) -> None:
    (tmp_path / "net.mindir").write_bytes(b"mindir")
    words = [tmp_path / "net.mindir", "-o", tmp_path / "out", "--target"]
    assert prepare(*words, "converter_lite") == 2  # no sizes
    assert prepare(*words, "atc", "--input-shape", "x:1,3,8,8") == 2
    assert prepare(*words, "converter_lite", "--input-shape", "x:1,3,8,8", "--input-shape", "x:1,3,8,16") == 0
    assert (tmp_path / "out" / "net.mindir").read_bytes() == b"mindir"
    assert "dynamic_dims=[8,8],[8,16]" in (tmp_path / "out" / "config.txt").read_text()
    script = (tmp_path / "out" / "build.sh").read_text()
    assert "--fmk=MINDIR" in script and "--modelFile=net.mindir" in script


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--target", "atx"], 2),
        (["--target", "atc:soc=Ascend1"], 2),
        (["--target", "atc", "--input-shape", "x:1,4,8,8"], 3),
        (["--target", "atc", "--input-shape", "z:1,4,8,8"], 2),
        (["--target", "atc:profiles=dims", "--input-shape", "x:1,3,8,8"], 3),
        (["--target", "ncnn"], 3),
        (["--target", "atc", "--profile", "none.json"], 2),
    ],
)
def test_bad_input(tmp_path: Path, words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(PLAIN, tmp_path / "net.onnx")
    assert prepare(model, *words, "-o", tmp_path / "out") == status
    assert "error" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_that_can_not_run_has_no_probes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PLAIN.replace("Tanh", "my.Own").replace('"" : 13', '"" : 13, "my" : 1')
    model = save(text, tmp_path / "net.onnx")
    words = [model, "--target", "openvino", "--input-shape", "x:1,3,8,8", "-o", tmp_path / "out"]
    assert prepare(*words, "--allow-unverified") == 0
    assert "no probes" in capsys.readouterr().err
    assert "surgery verify" not in (tmp_path / "out" / "build.sh").read_text()


def paddle(path: Path) -> Path:
    """What Paddle2ONNX's optimiser writes: free dims as -1, and stale sizes inside."""
    proto = onnx.parser.parse_model(PLAIN)
    for dim in proto.graph.input[0].type.tensor_type.shape.dim:
        if dim.dim_param:
            dim.dim_value = -1
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("c", 1, [-1, 3, 32, 32]))
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize("target", ["atc", "tensorrt", "openvino", "mnn", "onnxruntime"])
def test_what_paddle_writes_is_taken(tmp_path: Path, target: str) -> None:
    model = paddle(tmp_path / "net.onnx")
    words = [model, "--target", target, "--input-shape", "x:1,3,8,8", "--input-shape", "x:2,3,16,8"]
    assert prepare(*words, "-o", tmp_path / "out") == 0


REAL = ("det_v4", "ppocrv4_det", "ppocrv4_rec", "ppocr_cls")


@pytest.mark.parametrize("name", REAL)
def test_real_models(name: str, tmp_path: Path) -> None:
    path = Path(os.environ.get("SURGERY_MODELS", "")) / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"SURGERY_MODELS has no {name}.onnx")
    size = "x:1,3,48,192" if name == "ppocr_cls" else "x:1,3,64,96" if "det" in name else "x:1,3,48,160"
    for target in ("tensorrt", "openvino", "mnn"):
        assert prepare(path, "--target", target, "--input-shape", size, "-o", tmp_path / target) == 0
    record: dict[str, Any] = json.loads((tmp_path / "mnn" / "prepare.json").read_text())
    assert record["probes"] == 1 and record["verdict"] in ("equal", "untouched")


def test_dims_fixed_on_the_way_are_verified_at_the_sizes_given(tmp_path: Path) -> None:
    before = save(PLAIN, tmp_path / "before.onnx")
    after = save(PLAIN.replace("height", "16").replace("width", "8"), tmp_path / "after.onnx")
    assert main(["verify", str(before), str(after), "--probe", "x:1,3,16,8", "--probe", "x:4,3,16,8"]) == 0


def test_probes_bring_something_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the first values leave an output all but constant, others are drawn; it is told if none helps."""
    text = """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,3,16,16] x) => (float[1,3,16,16] y) <float[1] low={8}, float[1] steep={10}>
        { d = Sub(x, low)  e = Mul(d, steep)  y = Sigmoid(e) }"""
    out = tmp_path / "out"
    assert prepare(save(text, tmp_path / "net.onnx"), "--target", "onnxruntime", "-o", out) == 0
    with np.load(out / "expected.npz") as expected:
        assert np.ptp(expected["y.0"]) > 0.9
    assert "all but constant" not in capsys.readouterr().err
    flat = save(text.replace("low={8}", "low={1000}"), tmp_path / "flat.onnx")
    assert prepare(flat, "--target", "onnxruntime", "-o", out) == 0
    assert "probe 0 leaves an output all but constant: it proves little" in capsys.readouterr().err


def test_what_fixed_dims_settle_is_folded(tmp_path: Path) -> None:
    """A branch that depends on a length known from the start."""
    text = """<ir_version: 8, opset_import: ["" : 13]>
        g (float[batch,4,1,6] x) => (float[batch,4,6] y) <int64[1] two={2}, int64 at={2}, int64 one={1}>
        { c = Relu(x)  s = Shape(c)  n = Gather(s, at)  b = Equal(n, one)
          y = If(b) <then_branch = t () => (float[batch,4,6] p) { p = Squeeze(c, two) },
                     else_branch = e () => (float[batch,4,1,6] q) { q = Identity(c) }> }"""
    model, out = save(text, tmp_path / "net.onnx"), tmp_path / "out"
    shapes = ["--input-shape", "x:1,4,1,6", "--input-shape", "x:2,4,1,6"]
    assert prepare(model, "--target", "tensorrt", *shapes, "-o", out) == 0
    assert "If" not in ops(out / "net.onnx") and "Squeeze" in ops(out / "net.onnx")


def test_inputs_of_the_user_are_the_probes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(PLAIN, tmp_path / "net.onnx")
    x = np.random.default_rng(3).normal(size=(2, 3, 16, 20)).astype("float32")
    np.savez(tmp_path / "mine.npz", x=x)
    words = [model, "--target", ATC, "--inputs", tmp_path / "mine.npz", "-o", tmp_path / "out"]
    sizes = ["--input-shape", "x:1,3,8,12", "--input-shape", "x:2,3,16,20"]
    assert prepare(*words, *sizes) == 0
    with np.load(tmp_path / "out" / "expected.npz") as expected:
        assert np.array_equal(expected["x.0"], x)
        assert expected["x.1"].shape == (1, 3, 8, 12), "made at the size that the user's do not have"
        assert np.allclose(expected["y.0"], np.tanh(x).mean((2, 3), keepdims=True), atol=1e-6)
    assert [case["profile"] for case in json.loads((tmp_path / "out" / "prepare.json").read_text())["cases"]] == [1, 0]
    capsys.readouterr()
    assert prepare(*words, "--input-shape", "x:1,3,8,12", "--input-shape", "x:1,3,16,20") == 2
    assert "x:2,3,16,20 is none of the sizes asked for" in capsys.readouterr().err


def test_says_what_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(save(PLAIN, tmp_path / "net.onnx"), "--target", "onnxruntime", "-o", tmp_path / "plain") == 0
    out = capsys.readouterr().out
    assert "no pass changed the model: there is nothing to compare" in out
    assert "build.sh compiles, expected.npz has 1 probe to prove the result by" in out
    assert prepare(save(CUBIC, tmp_path / "net.onnx"), "--target", "mnn", "-o", tmp_path / "cubic") == 0
    assert "verify   equal, before and after, on " in capsys.readouterr().out


def test_a_cure_that_was_tried_and_did_not_help_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,3,8,10] x) => (float[1,3,8,10] y) <float z = {0}> { q = Greater(x, z)  y = Cast<to=1>(q) }"""
    model = save(text, tmp_path / "net.onnx")
    assert main(["check", str(model), "--target", "ncnn", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["cures"] == ["where-arithmetic:form=arithmetic"]
    assert prepare(model, "--target", "ncnn", "-o", tmp_path / "out", "--json") == 1
    assert [finding["cures"] for finding in json.loads(capsys.readouterr().out)["left"]] == [[]]


# ---------------------------------------------------------------- names, folders, and what has no probes


@pytest.mark.parametrize("name", ["a\ntouch BAD\n.onnx", "-m.onnx", "$(touch BAD).onnx", "it's `touch BAD`.onnx"])
def test_a_script_runs_nothing_of_a_file_name(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare(save(PLAIN, tmp_path / name), "--target", ATC, "--input-shape", "x:1,3,8,8", "-o", out) == 0
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("atc", "python3", "surgery"):
        (tools / tool).write_text('#!/bin/sh\nfor word in "$@"; do echo "$word" >> words; done\n')
        (tools / tool).chmod(0o755)
    ran = subprocess.run(["sh", out / "build.sh"], env={"PATH": f"{tools}:{os.environ['PATH']}"}, capture_output=True)
    assert ran.returncode == 0 and not ran.stderr
    assert not list(tmp_path.rglob("BAD"))
    written = next(file.name for file in out.glob("*.onnx"))
    assert not written.startswith("-") and f"--model={written}" in (out / "words").read_text()


def renamed(old: str, new: str, path: Path) -> Path:
    """PLAIN with an input of another name."""
    model = onnx.parser.parse_model(PLAIN)
    model.graph.input[0].name = new
    model.graph.node[0].input[0] = new
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("target", ["atc", "converter_lite", "tensorrt"])
@pytest.mark.parametrize("name", ['a"b', "a\n[ascend_context]", "it's"])
def test_a_name_that_flags_can_not_hold_is_refused(
    target: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = renamed("x", name, tmp_path / "net.onnx")
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps([{name: [1, 3, 8, 8]}]))
    words = [model, "--target", target, "-o", tmp_path / "out"]
    assert prepare(*words, "--profile", sizes) == 3
    assert not (tmp_path / "out").exists() and "pass rename" in capsys.readouterr().err
    assert prepare(renamed("x", "a:0", tmp_path / "net.onnx"), *words[1:], "--input-shape", "a:0:1,3,8,8") == 0


def test_a_name_that_shapes_can_not_hold_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a=b", "a,b"):
        model = renamed("x", name, tmp_path / "net.onnx")
        words = [model, "--target", "mnn", "--input-shape", f"{name}:1,3,8,8", "-o", tmp_path / "out"]
        assert prepare(*words) == 2
        assert "rename" in capsys.readouterr().err


def test_every_output_gets_room_where_sizes_are_free(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--target", "atc:soc=Ascend910B1", "--input-shape", "x:1~2,3,8~16,12", "-o", out]
    assert prepare(save(PLAIN, tmp_path / "net.onnx"), *words) == 0
    runs = [line for line in (out / "build.sh").read_text().replace("\\\n", "").splitlines() if "ais_bench" in line]
    assert len(runs) == 2
    for run in runs:
        words = run.split()
        assert len(words[words.index("--outputSize") + 1].split(",")) == 2  # y and best


def test_a_folder_that_one_is_in_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save(PLAIN, tmp_path / "net.onnx")
    (tmp_path / "out" / "chip").mkdir(parents=True)
    for here, folder in (("out/chip", "."), ("out/chip", "..")):
        monkeypatch.chdir(tmp_path / here)
        assert prepare(model, "--target", "atc", "--input-shape", "x:1,3,8,8", "-o", folder) == 2
        assert "you are in this folder" in capsys.readouterr().err


def test_what_is_no_tensor_has_no_probes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2, 4] x) => (seq(float[1, 4]) y) { y = SplitToSequence(x) }'
    )
    assert prepare(save(text, tmp_path / "net.onnx"), "--target", "onnxruntime", "-o", tmp_path / "out") == 0
    assert "'y' is no tensor" in capsys.readouterr().err
    assert not (tmp_path / "out" / "expected.npz").exists()


def test_a_size_that_nothing_runs_at_is_told_where_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save(PLAIN, tmp_path / "net.onnx")
    words = ["--target", "openvino", "--input-shape", "x:1,3,1000000,1000000", "-o", tmp_path / "out"]
    assert prepare(model, *words) == 2
    assert "at --input-shape" in capsys.readouterr().err


def test_a_size_computed_of_fixed_dims_is_folded_for_a_cure(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,8,10] x) => (float[1,3,A,B] y)
        <int64[2] size = {13, 17}, int64[1] begin = {0}, int64[1] end = {2}>
        { s = Shape(x)  n = Slice(s, begin, end)  w = Concat<axis=0>(n, size)  y = Resize<mode="cubic">(x, , , w) }"""
    out = tmp_path / "out"
    assert prepare(save(text, tmp_path / "net.onnx"), "--target", "mnn", "-o", out) == 0
    assert "Resize" not in ops(out / "net.onnx")


def test_weights_beside_the_model_go_where_pnnx_looks(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,64] x) => (float[1,64] y) { y = MatMul(x, w) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((64, 64), "float32"), "w"))
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="w.bin")
    out = tmp_path / "out"
    assert prepare(tmp_path / "net.onnx", "--target", "ncnn", "-o", out) == 0
    assert sorted(file.name for file in out.iterdir() if "net" in file.name) == ["net.onnx", "net.onnx.data"]
    assert np.array_equal(
        onnx.numpy_helper.to_array(onnx.load(out / "net.onnx").graph.initializer[0]), np.ones((64, 64))
    )
