"""Every planted fault is caught, and its pass and first wrong tensor are named."""

import onnx
import pytest
from planted import net
from planted.whole import PLANTED, TENSOR

import surgery
from surgery.registry import make


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    target = tmp_path_factory.mktemp("planted") / "net.onnx"
    onnx.save(net.build(), target)
    return target


@pytest.mark.parametrize("name", PLANTED)
def test_is_caught(path, tmp_path, name):
    out = tmp_path / "out.onnx"
    # A right pass before it: the guilty one has to be found. (Slope's own operator must be left to it.)
    before = [] if name == "Slope" else ["hardswish"]
    result = surgery.apply(path, [*before, PLANTED[name]()], out, verify="model")
    report = result.report
    assert report.passes[-1].places == 1
    assert report.verdict == "different", str(report.verify)
    assert not result.ok
    assert result.model is None
    assert list(tmp_path.iterdir()) == []
    assert report.verify.guilty == name
    assert report.verify.first_difference is not None
    assert report.verify.first_difference.tensor == TENSOR[name]


def test_right_passes_are_not(path, tmp_path):
    result = surgery.apply(path, ["gridsample", "hardswish"], tmp_path / "out.onnx", verify="model")
    assert result.report.verdict == "equal", str(result.report.verify)
    evidence = result.report.verify.evidence
    assert evidence.seen == evidence.planted > 0


def test_there_are_enough():
    assert len(PLANTED) >= 20
    assert make("hardswish").name == "hardswish"
