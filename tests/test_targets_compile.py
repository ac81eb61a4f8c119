"""compile: on ONNX Runtime, and with stand-ins for the compilers of chips; those of tests/backends need more."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

import surgery
from surgery import targets
from surgery.cli import main
from surgery.targets.agreement import Range, compare
from surgery.targets.compile import LOG, RESULT

NET = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[batch,3,height,width] x) => (float[batch,3,1,1] y, int64[batch,1,height,width] best)
    { c = Tanh(x)  y = GlobalAveragePool(c)  best = ArgMax<axis=1>(c) }"""
SIZES = ["--input-shape", "x:1,3,8,12", "--input-shape", "x:2,3,8,20"]


def save(path: Path, text: str = NET) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def prepared(tmp_path: Path, target: str = "onnxruntime") -> Path:
    out = tmp_path / "out"
    assert main(["prepare", str(save(tmp_path / "net.onnx")), "--target", target, *SIZES, "-o", str(out)]) == 0
    return out


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_is_compiled_and_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    before = files(folder)
    capsys.readouterr()
    assert main(["compile", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["verdict"] == "equal"
    assert [(one["probe"], one["output"]) for one in document["outputs"]] == [
        (probe, name) for probe in (0, 1) for name in ("y", "best")
    ]
    assert files(folder) - before == {LOG, RESULT, *document["made"]} and "net.ort" in document["made"]


def test_a_model_is_prepared_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(save(tmp_path / "net.onnx")), "--target", "onnxruntime", *SIZES]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith(": equal") and "1x3x8x12" in out and "2x3x8x20" in out
    assert (tmp_path / "net.onnxruntime" / "net.ort").is_file()


def test_what_can_not_be_prepared_is_not_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = NET.replace("Tanh(x)", "acme.Whirl(x)").replace('"" : 13', '"" : 13, "acme" : 1')
    assert main(["compile", str(save(tmp_path / "net.onnx", text)), "--target", "onnxruntime", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "refused" and [one["rule"] for one in document["prepared"]["left"]] == ["O1"]
    assert not (tmp_path / "net.onnxruntime").exists()


def test_a_model_that_has_changed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    save(folder / "net.onnx", NET.replace("Tanh(x)", "Sigmoid(x)"))
    before = files(folder)
    assert main(["compile", str(folder)]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith("wrong: other values than the model before gave")
    assert files(folder) - before == {LOG, RESULT}


def test_what_is_refused_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    save(folder / "net.onnx", NET.replace("Tanh(x)", "acme.Whirl(x)").replace('"" : 13', '"" : 13, "acme" : 1'))
    assert main(["compile", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert ": refused: " in out and "Whirl" in err and "Whirl" in (folder / LOG).read_text()


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    result = surgery.compile(folder, seconds=0.01)
    assert result.verdict == "crashed" and "did not end within 0.01 s" in result.why
    assert not list(folder.glob(".compile.*"))


def test_times_as_a_table_over_batches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    capsys.readouterr()
    assert main(["compile", str(folder), "--benchmark"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("milliseconds, on 1 thread")
    assert lines[start + 1].split() == [
        "batch",
        "inputs",
        "runs",
        *["min", "max", "mean", "median", "p99"],
        "samples/s",
    ]
    for line, batch in zip(lines[start + 2 : start + 4], (1, 2), strict=True):
        low, high, mean, median, p99, throughput = map(float, line.split()[-6:])
        assert int(line.split()[0]) == batch and low <= median <= p99 <= high
        assert throughput > 0 and low <= mean <= high


def test_no_probes_prove_nothing(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    record = json.loads((folder / "prepare.json").read_text())
    (folder / "prepare.json").write_text(json.dumps({**record, "cases": []}))
    assert surgery.compile(folder).verdict == "unverified"


# ---------------------------------------------------------------------------- compilers of chips

COMPILERS = {
    "atc:version=8.0,soc=Ascend310P3": ("atc", "--output=", ".om"),
    "converter_lite": ("converter_lite", "--outputFile=", ".mindir"),
    "tensorrt:version=10.1": ("trtexec", "--saveEngine=", ""),
}
STAND_IN = """#!{python}
import json, sys
open({record!r}, "a").write(json.dumps(sys.argv[1:]) + "\\n")
print("the last words of it")
out = next(a.partition("=")[2] for a in sys.argv if a.startswith({flag!r})) + {suffix!r}
{code}
"""
WRITES = 'open(out, "w").write("made")'


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, code: str = WRITES) -> Path:
    """A program on PATH that records its arguments and runs `code`."""
    name, flag, suffix = COMPILERS[target]
    script = tmp_path / "bin" / name
    script.parent.mkdir()
    record = tmp_path / "calls"
    script.write_text(STAND_IN.format(python=sys.executable, record=str(record), flag=flag, suffix=suffix, code=code))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    return record


@pytest.mark.parametrize("target", COMPILERS)
def test_the_command_of_prepare_is_run(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepared(tmp_path, target)
    calls = stand_in(tmp_path, monkeypatch, target)
    capsys.readouterr()
    assert main(["compile", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    steps = json.loads((folder / "prepare.json").read_text())["steps"]
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [step["command"][1:] for step in steps]
    assert document["verdict"] == "compiled" and document["outputs"] == []
    assert len(document["made"]) == len(steps) and all(
        (folder / name).read_text() == "made" for name in document["made"]
    )
    assert "the last words of it" in (folder / LOG).read_text()


@pytest.mark.parametrize(
    "code, verdict, why",
    [
        ("sys.exit(3)", "refused", "atc ended with status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "atc was ended by SIGSEGV"),
        ("", "refused", "atc ended with status 0 and wrote nothing"),
    ],
)
def test_a_compiler_that_fails(
    code: str,
    verdict: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = next(iter(COMPILERS))
    folder = prepared(tmp_path, target)
    stand_in(tmp_path, monkeypatch, target, f"sys.stdout.flush()\n{code}")
    before = files(folder)
    assert main(["compile", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith(f"{verdict}: {why}") and "the last words of it" in err
    assert files(folder) - before == {LOG, RESULT}


@pytest.mark.parametrize("target", COMPILERS)
def test_a_compiler_that_is_not_here(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path, target)
    name = COMPILERS[target][0]
    assert main(["compile", str(folder)]) == 4
    err = capsys.readouterr().err
    assert f"{name} is not on PATH" in err and f"{name} --" in err and "\\n" not in err
    assert LOG not in files(folder)


def test_what_runs_on_a_chip_is_not_measured_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path, "tensorrt")
    assert main(["compile", str(folder), "--benchmark"]) == 2
    assert "does not run here" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["openvino", "mnn", "ncnn"])
def test_a_backend_that_is_not_installed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = targets.get(name)
    if all(find_spec(package) for package in target.packages):
        pytest.skip(f"{name} is installed")
    assert main(["compile", str(save(tmp_path / "net.onnx")), "--target", name]) == 4
    err = capsys.readouterr().err
    assert f"{name} is not installed" in err and f"onnx-surgery[{name}]" in err


# ---------------------------------------------------------------------------- bad input


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, model = prepared(tmp_path), tmp_path / "net.onnx"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "prepare.json").write_text("{}")
    cases: dict[str, list[str | Path]] = {
        "no target is named": [model],
        "there is no target 'nope'": [model, "--target", "nope"],
        "no prepare.json": [tmp_path / "empty"],
        "not what prepare writes": [tmp_path / "broken"],
        "it was prepared for onnxruntime": [folder, "--target", "openvino"],
        "prepared for onnxruntime:version": [folder, "--target", "onnxruntime:platform=arm"],
        "was prepared: its sizes are set": [folder, "--input-shape", "x:1,3,8,8"],
        "a tolerance is a number": [folder, "--tolerance", "-1"],
        "nothing.onnx": [tmp_path / "nothing.onnx", "--target", "onnxruntime"],
    }
    for words, arguments in cases.items():
        assert main(["compile", *map(str, arguments)]) == 2, words
        assert words in capsys.readouterr().err
    assert main(["compile", str(folder), "--target", "onnxruntime:platform=amd64"]) == 0


# ---------------------------------------------------------------------------- what agrees

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    "expected, found, equal",
    [
        ([0.0, 1.0], [0.0, 1.0009], True),
        ([0.0, 1.0], [0.0, 1.0011], False),
        ([0.0, 1e-6], [0.0, 2e-6], False),  # small values are no excuse
        ([0.0, 1e6], [900.0, 1e6], True),
        ([5.0], [5.004], True),  # one value: its size is the range
        ([5.0], [5.006], False),
        ([1000.0, 1000.01], [1000.02, 1000.01], True),  # what float32 rounds off
        ([1000.0, 1001.0], [1000.5, 1001.0], False),
        ([0.0, 0.0], [0.0, 0.0], True),
        ([0.0, 0.0], [0.0, 1e-9], False),
        ([NAN, 1.0, INF], [NAN, 1.0, INF], True),
        ([NAN, 1.0, INF], [1.0, NAN, INF], False),
        ([1.0, INF], [1.0, -INF], False),
        ([1.0, 2.0], [1.0, NAN], False),
    ],
)
def test_what_agrees(expected: list[float], found: list[float], equal: bool) -> None:
    wanted, got = np.array(expected, "float32"), np.array(found, "float32")
    assert compare("y", wanted, got, 1e-3, Range.of([wanted])).equal == equal


def test_the_range_is_that_of_all_probes() -> None:
    empty, full = np.full(5, 3e-8, "float32"), np.array([0, 0.5, 1], "float32")
    within = Range.of([empty, full])
    assert within == Range(pytest.approx(1), 1)
    assert compare("y", empty, np.zeros(5, "float32"), 1e-3, within).equal


def test_integers_are_the_same_or_not() -> None:
    values = np.arange(1000)
    assert compare("y", values, values.astype("int32"), 1e-3, Range.of([values])).equal
    assert not compare("y", values, np.where(values == 7, 8, values), 0.5, Range.of([values])).equal


def test_dims_of_one_come_and_go_and_are_noted() -> None:
    values = np.arange(6, dtype="float32")
    within = Range.of([values])
    one = compare("y", values.reshape(1, 6), values.reshape(1, 6, 1, 1), 1e-3, within)
    assert one.equal and one.note == "1x6x1x1 in place of 1x6"
    assert not compare("y", values.reshape(2, 3), values.reshape(3, 2), 1e-3, within).equal
