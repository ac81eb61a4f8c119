"""What a pass says that it changes of inputs and outputs is allowed, compared, and nothing else is."""

import onnx
import pytest

import surgery
from surgery import Changes, Close, Pass
from surgery.equivalence.runner import Verifier, verify
from surgery.errors import BadInput

NET = """<ir_version: 8, opset_import: ["": 17]>
net (float[n,3] x, float[n,3] unused) => (float[n,3] y, float[n,3] z)
<float[1] w = {2.0}> { a = Mul(x, w) b = Exp(a) y = Neg(b) z = Abs(a) }"""


def save(folder, name, text):
    path = folder / name
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def compare(folder, after, interface, before=NET, **how):
    first, second = save(folder, "a.onnx", before), save(folder, "b.onnx", after)
    with Verifier(first, **how) as verifier:
        return verifier.compare(second, interface=None if interface is None else frozenset(interface))


def test_an_unknown_word_is_an_error():
    with pytest.raises(TypeError, match="dims, names, dtypes"):
        type("Bad", (Pass,), {"apply": lambda self, model: 0, "interface": ("shapes",)})


@pytest.mark.parametrize("allowed", [True, False])
def test_inputs_that_go(tmp_path, allowed):
    after = NET.replace(", float[n,3] unused", "")
    result = compare(tmp_path, after, ["inputs"] if allowed else [])
    assert result.verdict == ("equal" if allowed else "different")
    assert any("unused" in note for note in result.notes)


def test_where_nothing_is_known_an_input_that_went_is_told(tmp_path):
    result = compare(tmp_path, NET.replace(", float[n,3] unused", ""), None)
    assert result.verdict == "equal"
    assert "input 'unused' is only in the model before" in result.notes


def test_an_input_with_a_default_that_went_is_told(tmp_path):
    before = NET.replace("float[n,3] unused)", "float[n,3] unused, float[1] w)")
    result = compare(tmp_path, NET, None, before)
    assert result.verdict == "equal"
    assert "input 'w', which has a default, can't be fed any more" in result.notes


def test_names_pair_by_their_order(tmp_path):
    after = NET.replace(" x,", " image,").replace("(x, w)", "(image, w)").replace("float[n,3] y", "float[n,3] out")
    after = after.replace("y = Neg", "out = Neg")
    assert compare(tmp_path, after, ["names"]).verdict == "equal"
    assert compare(tmp_path, after, []).verdict == "different"
    wrong = after.replace("Neg(b)", "Neg(a)")
    assert compare(tmp_path, wrong, ["names"]).verdict == "different"


def test_outputs_that_are_new_are_tensors_before(tmp_path):
    cut = NET.replace("(float[n,3] y, float[n,3] z)", "(float[n,3] b)").replace("y = Neg(b) z = Abs(a)", "")
    result = compare(tmp_path, cut, ["outputs"])
    assert result.verdict == "equal" and [o.name for o in result.outputs] == ["b"]
    assert compare(tmp_path, cut, []).verdict == "different"
    assert compare(tmp_path, cut.replace("Exp(a)", "Exp(x)"), ["outputs"]).verdict == "different"


def test_an_output_that_is_no_tensor_before_is_a_difference(tmp_path):
    after = NET.replace("float[n,3] y, float[n,3] z", "float[n,3] q").replace("y = Neg(b) z = Abs(a)", "q = Neg(b)")
    result = compare(tmp_path, after, ["outputs"])
    assert result.verdict == "different"
    assert any("'q' is new, and there is no such tensor before" in note for note in result.notes)


@pytest.mark.parametrize(
    "passes",
    [
        ["rename:tensors=y=z;z=y"],
        ["rename:tensors=x=unused;unused=x"],
        ["cut:outputs=a", "rename:tensors=a=logits"],
        ["cut:outputs=b", "rename:tensors=x=image"],
        ["rename:tensors=b=inner", "cut:outputs=inner"],
        ["rename:tensors=b=inner", "cut:outputs=inner;z", "rename:tensors=z=inner;inner=z"],
        ["cut:outputs=b;z", "cast-io:outputs=*=float16"],
        ["cut:outputs=b;y", "cast-io:outputs=b=float16", "rename:tensors=y=b;b=y", "fix-dims:dims=n=2"],
    ],
    ids=" ".join,
)
def test_names_are_followed_through_several_passes(tmp_path, passes):
    path = save(tmp_path, "a.onnx", NET)
    result = surgery.apply(path, passes)
    assert result.report.verdict == "equal", str(result.report.verify)


@pytest.mark.parametrize(("name", "wrong"), [("y", "z"), ("z", "y"), ("logits", "a")])
def test_a_fault_under_another_name_is_caught(tmp_path, name, wrong):
    class Fault(Pass):
        interface = ("names", "outputs")

        def apply(self, model):
            given = {v.name: v for node in model.graph for v in node.outputs}
            given[wrong].name, given[name if name in given else "b"].name = "p", "q"
            given[wrong].name = name
            model.graph.outputs[:] = [given[wrong]]
            first = next(iter(model.graph))
            first.replace_input_with(1, first.inputs[0])  # a = x * x
            return 1

    assert surgery.apply(save(tmp_path, "a.onnx", NET), [Fault()]).report.verdict == "different"


def test_dtypes_are_cast_for_the_comparison(tmp_path):
    after = """<ir_version: 8, opset_import: ["": 17]>
    net (float16[n,3] x, float[n,3] unused) => (float16[n,3] y, float[n,3] z)
    <float[1] w = {2.0}>
    { f = Cast<to=1>(x) a = Mul(f, w) b = Exp(a) g = Neg(b) y = Cast<to=10>(g) z = Abs(a) }"""
    result = compare(tmp_path, after, ["dtypes"])
    assert result.verdict == "equal", str(result)
    assert compare(tmp_path, after, []).verdict == "different"
    assert compare(tmp_path, after.replace("Neg(b)", "Neg(a)"), ["dtypes"]).verdict == "different"


def test_dims_are_compared_where_the_model_after_takes_them(tmp_path):
    after = NET.replace("float[n,3] x", "float[1,3] x")
    result = compare(tmp_path, after, ["dims"])
    assert result.verdict == "equal", str(result)
    assert {tuple(probe.shapes["x"]) for probe in result.probes} == {(1, 3)}
    assert compare(tmp_path, after, []).verdict == "different"
    assert compare(tmp_path, after.replace("Neg(b)", "Neg(a)"), ["dims"]).verdict == "different"


def test_another_order_is_asked_about(tmp_path):
    swapped = NET.replace("(float[n,3] y, float[n,3] z)", "(float[n,3] z, float[n,3] y)")
    first, second = save(tmp_path, "a.onnx", NET), save(tmp_path, "b.onnx", swapped)
    with pytest.raises(BadInput, match="another order"):
        verify(first, second)
    result = verify(first, second, match="name")
    assert result.verdict == "equal" and any("another order" in note for note in result.notes)
    assert verify(first, second, match="position").verdict == "different"
    assert compare(tmp_path, swapped, []).verdict == "different"


ROWS = """<ir_version: 8, opset_import: ["": 17]>
net (%s) => (%s)
<int64[1] i = {0}, int64[1] j = {1}, int64[3] t = {1, 3, 8}, float[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}> { %s }"""
FIRST = "r = Slice (x, i, j, i) s = Shape (x) x0 = Expand (r, s) "  # the first row, for all


@pytest.mark.parametrize(
    ("kind", "result", "nodes"),
    [
        ("int64[%s, 3] x", "float[%s, 3, 2] y", "y = Gather (w, x)"),
        ("float[%s, 4] x", "float[%s, 4] y", "a = Mul (x, x) b = ReduceSum (a, j) y = Div (a, b)"),
    ],
    ids=["whole numbers", "scale does not matter"],
)
def test_rows_of_a_freed_batch_are_unlike(tmp_path, kind, result, nodes):
    before = ROWS % (kind % 1, result % 1, nodes)
    after = ROWS % (kind % "N", result % "N", nodes)
    wrong = ROWS % (kind % "N", result % "N", FIRST + nodes.replace("x", "x0"))
    assert compare(tmp_path, after, ["dims"], before).verdict == "equal"
    assert compare(tmp_path, wrong, ["dims"], before).verdict == "different"


def test_a_freed_dim_must_take_another_size(tmp_path):
    nodes = "a = Relu (x) y = Reshape (a, t)"
    before = ROWS % ("float[1, 3, 4, 2] x", "float[1, 3, 8] y", nodes)
    stuck = ROWS % ("float[1, 3, 4, W] x", "float[1, 3, P] y", nodes)
    free = stuck.replace("{1, 3, 8}", "{1, 3, -1}")
    result = compare(tmp_path, stuck, ["dims"], before)
    assert result.verdict == "different"
    assert any("at any other size" in note for note in result.notes)
    assert compare(tmp_path, free, ["dims"], before).verdict == "equal"
    assert compare(tmp_path, stuck, None, before).verdict == "equal"  # where it is not known that it is to


def test_freed_dims_may_go_together_only(tmp_path):
    before = ROWS % ("float[1, 4] x, float[1, 4] z", "float[1, 4] y", "y = Add (x, z)")
    after = ROWS % ("float[1, A] x, float[1, B] z", "float[1, A] y", "y = Add (x, z)")
    assert compare(tmp_path, after, ["dims"], before).verdict == "equal"


def test_sites_alone_do_not_say_that_the_model_was_compared(tmp_path):
    path = save(tmp_path, "a.onnx", NET)
    found = surgery.apply(path, ["cast-io:outputs=*=float16"], verify="sites").report.verify
    assert found.verdict == "unverified"
    assert any("sites alone can't be verified" in note for note in found.notes)


class Louder(Pass):
    operator = "Exp"
    contract = Changes("another function")

    def rewrite(self, op, node):
        return op.Sinh(node.inputs[0])


class Spoilt(Pass):
    operator = "Abs"
    contract = Close()
    wrong: bool = True

    def rewrite(self, op, node):
        (x,) = node.inputs
        return op.Mul(x, op.Sign(op.Add(x, 0.25) if self.wrong else x))


@pytest.mark.parametrize("order", [1, -1])
def test_a_pass_that_changes_results_excuses_no_other(tmp_path, order):
    path = save(tmp_path, "a.onnx", NET)
    report = surgery.apply(path, [Louder(), Spoilt()][::order]).report
    assert (report.verdict, report.verify.guilty) == ("different", Spoilt().name)
    assert surgery.apply(path, [Louder(), Spoilt(wrong=False)][::order]).report.verdict == "changed"
