"""`assert_rewrite` passes what is right, and fails on each thing that it promises to look at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rewrites.passes.hardswish import HardSwish
from surgery import Changes, Close, Exact, Pass, Refused
from surgery.testing import difference, parse

IO = "(float[n, 4] x) => (float[n, 4] y) "
Assert = Callable[..., None]


def test_what_is_right_passes(assert_rewrite: Assert) -> None:
    assert_rewrite(
        HardSwish(),
        before=IO + "{ y = HardSwish (x) }",
        after=IO + "{ gate = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul (x, gate) }",
    )
    assert_rewrite(
        HardSwish(form="clip"),
        before=IO + "{ y = HardSwish (x) }",
        after=IO
        + """<float three = {3}, float zero = {0}> {
            six = Constant <value_float = 6.0> ()
            a = Add (x, three) b = Clip (a, zero, six) c = Div (b, six) y = Mul (x, c)
        }""",
    )


class Broken(Pass):
    """Does what it is told."""

    operator = "Neg"
    contract = Exact()
    how: str = ""

    def rewrite(self, op, node):
        x = node.inputs[0]
        if self.how == "skip":
            return op.skip("it is Tuesday")
        if self.how == "refuse":
            raise Refused("never on a Tuesday")
        if self.how == "wrong":
            return op.Mul(x, -1.001)
        if self.how == "endless":
            return op.Neg(op.Neg(op.Neg(x)))
        if self.how == "illegal":
            return op.Mul(x, -1.0) if not node.name else op.Concat(x, x, axis=0)
        return op.Mul(x, -1.0)


AFTER = IO + "<float k = {-1}> { y = Mul (x, k) }"


def test_skips_and_refuses(assert_rewrite: Assert) -> None:
    assert_rewrite(Broken(), before=IO + "{ y = Neg (x) }", after=AFTER)
    assert_rewrite(Broken(how="skip"), before=IO + "{ y = Neg (x) }", skips="Tuesday")
    assert_rewrite(Broken(how="refuse"), before=IO + "{ y = Neg (x) }", refuses="on a Tuesday")
    with pytest.raises(AssertionError, match="is not among the reasons"):
        assert_rewrite(Broken(how="skip"), before=IO + "{ y = Neg (x) }", skips="Monday")
    with pytest.raises(AssertionError, match="another reason"):
        assert_rewrite(Broken(how="refuse"), before=IO + "{ y = Neg (x) }", refuses="Monday")
    with pytest.raises(pytest.fail.Exception):
        assert_rewrite(Broken(), before=IO + "{ y = Neg (x) }", refuses="Monday")
    with pytest.raises(TypeError, match="say what comes of it"):
        assert_rewrite(Broken(), before=IO + "{ y = Neg (x) }")


@pytest.mark.parametrize(
    ("how", "after", "why"),
    [
        ("wrong", IO + "<float k = {-1.001}> { y = Mul (x, k) }", "does not hold"),
        ("endless", IO + "{ a = Neg (x) b = Neg (a) y = Neg (b) }", "a second run"),
        ("", IO + "<float k = {-2}> { y = Mul (x, k) }", "is a constant of type FLOAT"),
        ("", IO + "<float[1] k = {-1}> { y = Mul (x, k) }", "is a constant of type FLOAT"),
        ("", IO + "<float k = {-1}> { y = Mul (k, x) }", "differ|is"),
        ("", IO + "<float k = {-1}> { a = Mul (x, k) y = Identity (a) }", "where Identity was wanted"),
        ("", IO + "{ y = Neg (x) }", "comes from Mul"),
    ],
)
def test_what_is_wrong_fails(assert_rewrite: Assert, how: str, after: str, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        assert_rewrite(Broken(how=how), before=IO + "{ y = Neg (x) }", after=after)


def test_a_contract_that_changes(assert_rewrite: Assert) -> None:
    class Other(Pass):
        operator = "Neg"
        contract = Changes("it doubles")

        def rewrite(self, op, node):
            return op.Mul(node.inputs[0], 2.0)

    assert_rewrite(Other(), before=IO + "{ y = Neg (x) }", after=IO + "<float k = {2}> { y = Mul (x, k) }")

    class Loose(Other):
        contract = Close(rtol=1e-3)

    with pytest.raises(AssertionError, match="does not hold"):
        assert_rewrite(Loose(), before=IO + "{ y = Neg (x) }", after=IO + "<float k = {2}> { y = Mul (x, k) }")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("{ a = Abs (x) y = Neg (a) }", "{ b = Abs (x) y = Neg (b) }", True),
        ("{ y = Softmax (x) }", "{ y = Softmax <axis = -1> (x) }", True),
        ("{ y = Softmax (x) }", "{ y = Softmax <axis = 0> (x) }", False),
        ("{ a = Abs (x) b = Abs (x) y = Add (a, b) }", "{ a = Abs (x) y = Add (a, a) }", False),
        ("{ a = Abs (x) b = Neg (x) y = Sub (a, b) }", "{ b = Neg (x) a = Abs (x) y = Sub (a, b) }", True),
        ("{ a = Abs (x) b = Neg (x) y = Sub (a, b) }", "{ b = Neg (x) a = Abs (x) y = Sub (b, a) }", False),
        ("{ y = Abs (x) }", "{ a = Neg (x) y = Abs (x) }", False),
        ("{ y, i = TopK (x, k) }", "{ y, j = TopK (x, k) }", True),
    ],
)
def test_difference(one: str, other: str, same: bool) -> None:
    ours, theirs = (parse(IO + "<int64[1] k = {4}> " + text) for text in (one, other))
    assert (difference(ours, theirs) == "") is same


def test_difference_in_sub_graphs_and_functions() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[4] x, bool c) => (float[4] y) {
        z = If (c) <
            then_branch = t () => (float[4] p) { p = Abs (x) },
            else_branch = e () => (float[4] q) { q = Sin (x) }
        >
        y = local.twice (z)
    }
    <domain: "local", opset_import: ["" : 17]>
    twice (a) => (b) { b = Add (a, a) }
    """
    assert difference(parse(text), parse(text.replace("p)", "r)").replace("p =", "r ="))) == ""
    assert "else_branch of If" in difference(parse(text), parse(text.replace("Sin", "Cos")))
    assert "Mul was wanted" in difference(parse(text), parse(text.replace("Add", "Mul")))
    assert difference(parse(text), parse(text.replace("float[4] x", "float[5] x")))
    assert "opsets" in difference(parse(text), parse(text.replace(": 17", ": 18")))


def test_headers() -> None:
    model = parse("(float[2] x) => (float[2] y) { y = acme.Thing (x) }", {"": 13, "acme": 2}, 7)
    assert model.ir_version == 7
    assert {o.domain: o.version for o in model.opset_import} == {"": 13, "acme": 2}
    assert parse("named (float[2] x) => (float[2] y) { y = Neg (x) }").graph.name == "named"
