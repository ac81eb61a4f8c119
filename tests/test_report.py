"""The report as text: what a script or a notebook shows when it prints one."""

from __future__ import annotations

from pathlib import Path

import onnx

import surgery
from surgery.report import OutputReport, PassReport, Report, Skip, Verification
from surgery.testing import parse

TEXT = "(float[n, 4] x) => (float[n, 4] y) { a = Relu (x) y = HardSwish (a) }"


def test_a_report_prints_what_was_done_and_proven(tmp_path: Path) -> None:
    onnx.save(parse(TEXT), tmp_path / "m.onnx")
    result = surgery.apply(tmp_path / "m.onnx", ["hardswish", "gridsample"], tmp_path / "n.onnx")
    lines = str(result.report).splitlines()
    assert lines[0] == f"{tmp_path / 'm.onnx'}: 2 nodes before, 3 after"
    assert lines[1] == "  hardswish: 1 place, 0 left as they are; close (rtol 1e-05, atol 1e-06)"
    assert lines[2].startswith("  gridsample: 0 places")
    assert lines[3].startswith("  equal: ")
    assert any(line.strip().startswith("y: equal, max |d| ") for line in lines)
    assert lines[-1] == f"wrote {tmp_path / 'n.onnx'}"


def test_a_report_of_nothing() -> None:
    done = PassReport("one", skipped=[Skip(f"n{i}", f"reason {i}") for i in range(9)])
    text = str(Report("m.onnx", passes=[done], verify=Verification(verdict="untouched"), verdict="untouched"))
    assert text.splitlines()[-2:] == ["  untouched", "nothing written"]
    assert text.count("reason") == 5


def test_what_has_no_distance_has_none() -> None:
    shape = OutputReport("y", outside=1.0, verdict="different", note="the shape [1] became [2]")
    assert (shape.moved, OutputReport("y").moved, OutputReport("y", 0.25, outside=0.5).moved) == ("-", "0", "0.25")
    assert "max |d| -" in str(Verification(verdict="different", outputs=[shape], notes=["it differs"]))
