"""Sites as part of verifying two files: the verdict that joins both, what can't run, reproductions."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest
from planted.corner import WRONG
from planted.pairs import Case, floats, ints, scalar
from planted.parts import PLAIN
from planted.right import RIGHT

import surgery
from surgery import Changes, Close, Exact
from surgery.equivalence import verify
from surgery.equivalence.promise import Promise
from surgery.report import to_json

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


def test_any_two_models_are_compared_place_by_place(saved):
    result = surgery.verify(*saved(BY_NAME["minus-0"]))
    assert (result.mode, result.verdict) == ("full", "different")
    assert surgery.verify(*saved(BY_NAME["tanh-by-exp"])).verdict == "different"  # a NaN that inputs lead to
    assert surgery.verify(*saved(BY_NAME["folded-batch-normalization"])).sites.verified == 1


TRUNCATED = "k = Cast <to = 7> (x) f = Cast <to = 1> (k) a = Mul (f, two) b = Add (a, one) c = Neg (b) "


def test_of_strange_values_only_those_that_the_inputs_lead_to_count(saved):
    # What comes out of an integer is no NaN, whatever went in; of NaN alone Max and Where differ.
    after = TRUNCATED + "p = Greater (c, zero) y = Where (p, c, zero)"
    constants = {"zero": scalar(0), "one": scalar(1), "two": scalar(2)}
    case = Case("truncated", "elementwise", PLAIN, TRUNCATED + "y = Max (c, zero)", after, "", {}, constants)
    paths = saved(case)
    result = surgery.verify(*paths)
    assert result.verdict == "equal", result.notes
    assert any("not reached" in note for note in result.notes)
    # Of a pass it is asked that it keeps its promise wherever it is used.
    assert verify(*paths, promise=Promise(each=True)).verdict == "different"


def test_metadata_tell_what_was_promised(tmp_path):
    before, plain, noted = (tmp_path / f"{name}.onnx" for name in ("before", "plain", "noted"))
    onnx.save(onnx.parser.parse_model(GRID), before)
    for path, provenance in ((plain, False), (noted, True)):
        assert surgery.apply(before, ["gridsample"], path, provenance=provenance).ok
    assert surgery.verify(before, plain).verdict == "different"  # on an image of NaN
    result = surgery.verify(before, noted)
    assert result.verdict == "equal", result.notes
    assert any("gridsample promises" in note for note in result.notes)


def test_an_operator_that_the_opset_lacks_is_unverified(tmp_path):
    (tmp_path / "old.onnx").write_bytes(onnx.parser.parse_model(GRID.replace("16]", "11]")).SerializeToString())
    report = surgery.apply(tmp_path / "old.onnx", ["gridsample"], allow_unverified=True).report
    assert report.verdict == "unverified"
    assert any("the runtime does not take the cut" in note for note in report.verify.notes)


def test_the_users_tolerance_counts_at_places_too(saved):
    paths = saved(BY_NAME["one-weight-off-by-1e-3"])
    assert surgery.verify(*paths).verdict == "different"
    assert surgery.verify(*paths, rtol=0.0, atol=1.0).verdict == "equal"


def test_the_report_holds_what_each_place_rests_on(saved):
    result = surgery.verify(*saved(BY_NAME["minus-0"]))
    (finding,) = result.sites.findings
    assert (finding.tensor, finding.outcome, finding.family, finding.proved) == ("y", "different", "-0", True)
    document = to_json(surgery.verify(*saved(BY_NAME["sigmoid-by-exp"])))["sites"]
    assert (document["count"], document["structures"], document["verified"], document["verdict"]) == (1, 1, 1, "equal")
    assert {"real", "nan", "size"} <= set(document["families"])
    assert document["findings"] == []


def test_a_spent_budget_is_told(saved):
    result = verify(*saved(BY_NAME["sigmoid-by-exp"]), promise=Promise(budget=0.0))
    assert any(note.startswith("the budget of 0 s for sites is spent") for note in result.notes), result.notes


def test_shapes_that_are_computed_are_followed_where_nothing_runs(tmp_path):
    """The size of the middle follows from that of x by operators that onnx's own inference gives up on."""
    body = (
        "s = Shape (x) d = Slice (s, one, two) f = Cast <to = 1> (d) h = Div (f, half) g = Floor (h)"
        " k = Cast <to = 7> (g) e = ReduceProd <keepdims = 1> (k) n = Sub (e, e) m = Sub (n, one)"
        " t = Concat <axis = 0> (e, m) q = Concat <axis = 1> (x, x) r = Reshape (q, t) "
    )
    paths = tmp_path / "before.onnx", tmp_path / "after.onnx"
    constants = {"one": ints(1), "two": ints(2), "half": floats(2), "zero": scalar(0)}
    for path, last in zip(paths, ("y = Relu (r)", "y = Max (r, zero)"), strict=True):
        text = f'<ir_version: 8, opset_import: ["" : 17]> net (float[n, c] x) => (float[p, q] y) {{ {body} {last} }}'
        proto = onnx.parser.parse_model(text)
        proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
        onnx.save(proto, path)
    result = verify(*paths, promise=Promise(), whole=False)
    assert (result.verdict, result.sites.verified) == ("equal", 1), result.notes


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
