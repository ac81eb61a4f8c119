"""Sites as part of verifying two files: the verdict that joins both, what can't run, reproductions."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest
from planted.corner import WRONG
from planted.pairs import Case, scalar
from planted.parts import PLAIN
from planted.right import RIGHT

from surgery import Changes, Close, Exact
from surgery.equivalence import verify
from surgery.equivalence.promise import Promise

GRID = """<ir_version: 8, opset_import: ["" : 16]>
net (float[n, 2, h, w] x, float[n, p, q, 2] grid) => (float[n, 2, p, q] y) { y = GridSample (x, grid) }"""

BY_NAME = {case.name: case for case in (*WRONG, *RIGHT)}


@pytest.fixture
def saved(tmp_path):
    """Saves the two models of a case; gives their paths."""

    def save(case):
        paths = tmp_path / "before.onnx", tmp_path / "after.onnx"
        for path, proto in zip(paths, case.models(), strict=True):
            onnx.save(proto, path)
        return paths

    return save


def test_right_is_equal_twice(saved):
    result = verify(*saved(BY_NAME["folded-batch-normalization"]), promise=Promise())
    assert result.verdict == "equal"
    assert (result.sites.count, result.sites.verified, result.sites.verdict) == (1, 1, "equal")


def test_what_the_outputs_do_not_show_the_sites_do(saved):
    before, after = saved(BY_NAME["minus-0"])
    assert verify(before, after).verdict == "equal"
    result = verify(before, after, promise=Promise())
    assert result.verdict == "different"
    assert result.first_difference.tensor == "y"
    assert result.first_difference.before == "Div y"
    assert any("on -0 values" in note for note in result.notes)


def test_a_reproduction_is_written_where_asked(saved, tmp_path):
    result = verify(*saved(BY_NAME["minus-0"]), promise=Promise(), repro=tmp_path / "repro")
    assert (tmp_path / "repro" / "y" / "show.py").exists()
    assert any("reproduction in" in note for note in result.notes)


UNRUNNABLE = "(float[n, c] x) => (float[n, c] y)", "a = Tanh (x) b = other.Unknown (a) c = Relu (b) y = Neg (c)"


@pytest.mark.parametrize(("relu", "verdict"), [("Max (b, zero)", "equal"), ("LeakyRelu (b)", "different")])
def test_what_does_not_run_is_proven_by_its_sites(relu, verdict, tmp_path):
    signature, body = UNRUNNABLE
    for name, nodes in (("before", body), ("after", body.replace("Relu (b)", relu))):
        text = f'<ir_version: 8, opset_import: ["" : 17, "other" : 1]> net {signature} {{ {nodes} }}'
        proto = onnx.parser.parse_model(text)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(scalar(0), "zero"))
        # Inference can't pass the unknown operator: the file has to say what it gives.
        value = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, ["n", "c"])
        proto.graph.value_info.append(value)
        onnx.save(proto, tmp_path / f"{name}.onnx")
    paths = tmp_path / "before.onnx", tmp_path / "after.onnx"
    assert verify(*paths).verdict == "unverified"
    result = verify(*paths, promise=Promise())
    assert result.verdict == verdict, result.notes


def test_sites_alone_run_no_whole_model(saved):
    result = verify(*saved(BY_NAME["folded-batch-normalization"]), promise=Promise(), whole=False)
    assert result.probes == []
    # The folded Conv bears a name that lies, which only a run would tell.
    assert result.verdict == "different"
    result = verify(*saved(BY_NAME["hardswish-spelled-out"]), promise=Promise(), whole=False)
    assert result.verdict == "equal"
    assert result.sites.count == 1


def test_outputs_pair_by_position(tmp_path, saved):
    case = Case("position", "elementwise", PLAIN, "y = Relu (x)", "y = Max (x, zero)", "", {}, {"zero": scalar(0)})
    before, after = saved(case)
    proto = onnx.load(after)
    proto.graph.node[0].output[0] = proto.graph.output[0].name = "renamed"
    onnx.save(proto, after)
    result = verify(before, after, promise=Promise(), match="position")
    assert result.verdict == "equal", result.notes
    assert result.sites.count == 1


def test_several_promises_make_one():
    promise = Promise.of(
        [
            (Close(1e-5, 1e-6), {"grid": (-1000.0, 5.0)}),
            (Exact(), {}),
            (Close(1e-4, 0.0), {"grid": (-6.0, 6.0), "X": (0.0, 1.0)}),
            (Changes("on purpose"), {}),
        ]
    )
    assert (promise.rtol, promise.atol) == (1e-4, 1e-6)
    assert promise.domain == {"grid": (-6.0, 5.0), "X": (0.0, 1.0)}
