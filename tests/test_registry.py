"""The registry: what is listed without being imported, and what text makes of options."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import surgery
from surgery import BadInput, Missing, Pass, registry
from surgery.authoring import check
from surgery.passes import run_pass

GOOD = '''
"""Do nothing, well.

Why: to be found.
"""
import typing
from typing import ClassVar, Literal
from surgery import Close, Pass

class Good(Pass):
    operator = "Abs"
    contract = Close(rtol=1e-3)
    table: ClassVar[dict] = {}
    other: typing.ClassVar[int] = 3
    _hidden: int = 3
    how: Literal["fast", "slow", 3] = "fast"  # which way
    count: int = 3
    ratio: float = 0.5
    deep: bool = False
    title: str = "a"
    sizes: list[int] = [1, 2]
    dims: dict[str, int] = {}
    most: int | None = None
    names: list[str] | None = None

    def rewrite(self, op, node):
        return op.Neg(node.inputs[0])
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the modules of an installed package, `thing`."""
    folder = tmp_path / "thing"
    for part in ("", "passes", "functions"):
        (folder / part).mkdir(parents=True)
        (folder / part / "__init__.py").write_text("raise RuntimeError('this is not to be imported')")
    metadata = tmp_path / "thing-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[onnx_surgery.rewrites]\nthing = thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    registry.forget()
    yield folder
    registry.forget()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "thing":
            del sys.modules[name]
    importlib.invalidate_caches()


def importable(package: Path) -> None:
    for part in ("", "passes", "functions"):
        (package / part / "__init__.py").write_text("")


def test_is_listed_without_being_imported(package: Path) -> None:
    (package / "good_one.py").write_text(GOOD + "\nraise RuntimeError('nor is this')")
    (package / "passes" / "inner.py").write_text(GOOD)
    (package / "functions" / "rewriter.py").write_text("from surgery import Rewriter\nclass R(Rewriter):\n    pass\n")
    (package / "helper.py").write_text("raise RuntimeError('nor this')")
    (package / "_private.py").write_text(GOOD)
    found = {n: e for n, e in registry.entries().items() if e.module.startswith("thing")}
    assert sorted(found) == ["good-one", "inner", "rewriter"]
    assert "thing" not in sys.modules
    assert (found["rewriter"].kind, found["inner"].module) == ("rewriter", "thing.passes.inner")
    entry = found["good-one"]
    assert (entry.summary, entry.contract, entry.kind) == ("Do nothing, well.", "Close(rtol=0.001)", "pass")
    assert [o.name for o in entry.options] == [
        "how", "count", "ratio", "deep", "title", "sizes", "dims", "most", "names",
    ]  # fmt: skip
    assert (entry.options[0].type, entry.options[0].default, entry.options[0].comment) == (
        "Literal['fast', 'slow', 3]",
        "'fast'",
        "which way",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("good", {}),
        ("good:", {}),
        ("good:how=slow", {"how": "slow"}),
        ("good:how=3", {"how": 3}),
        ("good:count=-7,ratio=2,deep=true", {"count": -7, "ratio": 2.0, "deep": True}),
        ("good:ratio=1e-3,deep=No", {"ratio": 1e-3, "deep": False}),
        ("good:title=a=b;c", {"title": "a=b;c"}),
        ("good:sizes=1;2;3", {"sizes": [1, 2, 3]}),
        ("good:sizes=", {"sizes": []}),
        ("good:dims=batch=1;width=320", {"dims": {"batch": 1, "width": 320}}),
        ("good:most=3", {"most": 3}),
        ("good:most=none", {"most": None}),
        ("good:names=a;b", {"names": ["a", "b"]}),
    ],
)
def test_options_from_text(package: Path, text: str, expected: dict[str, Any]) -> None:
    importable(package)
    (package / "good.py").write_text(GOOD)
    made = registry.make(text)
    assert {k: v for k, v in made.options.items() if k in expected} == expected
    assert {k: type(made.options[k]) for k in expected} == {k: type(v) for k, v in expected.items()}
    assert (made.name, made.options["count"] if "count" not in expected else 3) == ("good", 3)
    assert "_hidden" not in made.options


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nope", "no pass 'nope'\n.*there is: .*good"),
        ("good:nope=1", "no option 'nope'\nit has how, count"),
        ("good:how=other", "can't be 'other'\nit can be fast, slow, 3"),
        ("good:count=1.5", "'count' of pass 'good' must be int, not '1.5'"),
        ("good:ratio=much", "must be float, not 'much'"),
        ("good:deep=maybe", "must be bool, not 'maybe'"),
        ("good:sizes=1;x", "must be int, not 'x'"),
        ("good:dims=batch", "must be dict, not 'batch'"),
        ("good:dims=batch=x", "must be int, not 'x'"),
        ("good:most=x", "can't be 'x'"),
        ("good:count", "written name=value, not 'count'"),
        ("good:=3", "written name=value"),
    ],
)
def test_what_is_wrong_with_options(package: Path, text: str, why: str) -> None:
    importable(package)
    (package / "good.py").write_text(GOOD)
    with pytest.raises(BadInput, match=f"(?s){why}"):
        registry.make(text)


def test_a_name_taken_twice_names_both(package: Path) -> None:
    (package / "good.py").write_text(GOOD)
    (package / "passes" / "good.py").write_text(GOOD)
    with pytest.raises(BadInput, match="two rewrites have the name 'good'") as caught:
        registry.entries()
    assert str(package / "good.py") in caught.value.where
    assert str(package / "passes" / "good.py") in caught.value.where


@pytest.mark.parametrize(
    "content", [b"class Broken(:\n", b"\xff\xfe\x00", b"x = '\x00'\n"], ids=["syntax", "bytes", "nul"]
)
def test_a_broken_file_is_listed_with_its_error(package: Path, content: bytes) -> None:
    importable(package)
    (package / "good.py").write_text(GOOD)
    (package / "passes" / "broken.py").write_bytes(content)
    entry = registry.entries()["broken"]
    assert entry.summary.startswith("can't be read: ")
    assert registry.make("good").name == "good"
    with pytest.raises(BadInput, match="can't be read") as caught:
        registry.make("broken")
    assert caught.value.where.endswith("broken.py")


@pytest.mark.parametrize(
    ("body", "error", "why"),
    [
        ("import nowhere_to_be_found", Missing, "nowhere_to_be_found"),
        ("1 / 0", BadInput, "ZeroDivisionError"),
        ("class P(Pass):\n    operator = 'Abs'\n    apply = pattern = rewrite = None", BadInput, "must define one of"),
        ("class P(Pass):\n    operator = 'Abs'", BadInput, "has no rewrite"),
        ("class P(Pass):\n    pass", BadInput, "must define one of"),
        ("class P(Pass):\n    apply = None\nclass Q(Pass):\n    apply = None", BadInput, "defines 2 passes"),
        ("class P(Pass):\n    apply = None\n    x: 'Nope' = 3", BadInput, "options of 'bad' can't be read"),
    ],
)
def test_a_file_that_can_not_be_loaded(package: Path, body: str, error: type[Exception], why: str) -> None:
    importable(package)
    ending = "" if "class" in body else "class P(Pass):\n    apply = None\n"
    (package / "bad.py").write_text(f"from surgery import Pass\n{body}\n{ending}")
    with pytest.raises(error, match=why):
        registry.make("bad")


def test_classes_of_two_kinds_are_rejected() -> None:
    for body in (
        {},
        {"operator": "Abs"},
        {"operator": "Abs", "apply": lambda self, model: 0},
        {"operator": "Abs", "pattern": None, "rewrite": None},
        {"pattern": None},
    ):
        with pytest.raises(TypeError):
            type("Bad", (Pass,), dict(body))


class Needs(Pass):
    size: int
    kind: Literal["a", "b"] = "a"
    table: dict[str, int] = {}

    def apply(self, model):
        return 0


def test_options_as_values() -> None:
    made = Needs(size=3, table={"x": 1})
    assert made.options == {"size": 3, "kind": "a", "table": {"x": 1}}
    assert repr(made) == "Needs(size=3, kind='a', table={'x': 1})"
    assert Needs.table == {}
    for options, why in (
        ({}, "needs option 'size'"),
        ({"size": "3"}, "must be int, not '3'"),
        ({"size": True}, "must be int, not True"),
        ({"size": 1, "kind": "c"}, "can't be 'c'"),
        ({"size": 1, "table": {"x": "y"}}, "must be int, not 'y'"),
        ({"size": 1, "tabel": {}}, "no option 'tabel'"),
    ):
        with pytest.raises(BadInput, match=why):
            Needs(**options)
    assert check(3, float, "it") == 3.0
    assert check(None, int | None, "it") is None


@pytest.mark.parametrize(
    ("passes", "why"),
    [
        ([None], "None is no pass"),
        ([3], "3 is no pass"),
        ([Needs], "give a pass: Needs()"),
        ([object], "is no pass"),
        (None, "passes are a list, not None"),
        ("hardswish", "passes are a list, not 'hardswish'"),
    ],
)
def test_what_is_no_pass(passes: Any, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        registry.resolve(passes)
    assert why in str(caught.value)
    assert caught.value.cure


@pytest.mark.parametrize("model", [None, 3, b"abc", ["a.onnx"]])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(BadInput, match="is no model"):
        surgery.apply(model, ["hardswish"])


def test_names_that_are_nearly_right() -> None:
    for text, hint in (
        ("hard_swish:form=clip", "did you mean 'hardswish'?"),
        ("hardswich", "did you mean 'hardswish'?"),
        ("Grid_Sample", "did you mean 'gridsample'?"),
        ("hardswish:From=clip", "did you mean 'form'?"),
        ("hardswish:form", "surgery show hardswish"),
    ):
        with pytest.raises(BadInput) as caught:
            registry.make(text)
        assert hint in caught.value.cure


def test_hyphens_and_underscores_are_one(package: Path) -> None:
    importable(package)
    (package / "passes" / "good_one.py").write_text(GOOD.replace("deep: bool", "very_deep: bool"))
    for text in ("good-one:very-deep=yes", "good_one:very_deep=yes"):
        assert registry.make(text).options["very_deep"] is True
    assert registry.find("good_one").name == "good-one"


def test_the_registry_s_own() -> None:
    from surgery.model import from_proto
    from surgery.testing import parse

    assert {"hardswish", "gridsample"} <= set(registry.entries())
    (one,) = registry.resolve(["hardswish:form=clip"])
    model, report = run_pass(from_proto(parse("(float[2] x) => (float[2] y) { y = HardSwish(x) }")), one)
    assert (report.name, report.options, report.places) == ("hardswish", {"form": "clip"}, 1)
    assert len(model.graph) == 4


def test_functions_are_not_read_and_nothing_is_missed() -> None:
    found = registry.listed()
    outline, registry._outline = registry._outline, ast.parse
    registry.forget()
    try:
        assert registry.listed() == found
    finally:
        registry._outline = outline
        registry.forget()
