"""The page of --report: one file, nothing fetched, no name from a model gets out of its place."""

import re
from html.parser import HTMLParser
from pathlib import Path

import onnx
import pytest

from surgery.cli import main
from surgery.errors import BadInput
from surgery.render import html
from surgery.render.drawing import draw
from surgery.report import Step

NET = """<ir_version: 9, opset_import: ["": 17]>
net (float[n,4] x) => (float[n,4] y) { a = Exp(x)  b = HardSwish(a)  y = Neg(b) }"""
WICKED = '</title><script>alert(1)</script><img src=x onerror="alert(2)">\x1b[31m\u202e'
VOID = {"meta", "br", "path", "rect"}


class Tags(HTMLParser):
    """Reads a page; fails where a tag is closed that was not opened."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def model(tmp_path: Path) -> Path:
    proto = onnx.parser.parse_model(NET)
    proto.graph.node[1].name = WICKED
    proto.graph.node[1].input[0] = proto.graph.node[0].output[0] = WICKED
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    return path


def page(path: Path) -> tuple[str, Tags]:
    text = path.read_text(encoding="utf-8")
    tags = Tags(text)
    assert not tags.open
    return text, tags


def test_apply_writes_a_page(model, tmp_path, capsys):
    out = tmp_path / "r.html"
    assert main(["apply", str(model), "--pass", "hardswish", "--report", str(out)]) == 0
    text, tags = page(out)
    assert "hardswish" in text and "HardSigmoid" in text and "12 of 12" not in text  # no weights here
    names = {tag for tag, _ in tags.seen}
    assert "svg" in names and "script" not in names and "img" not in names
    assert not re.search(r"https?:|url\(|@import", text)
    assert "\x1b" not in text and "\u202e" not in text and "&lt;script&gt;" in text
    assert not any(key.startswith("on") or key in ("src", "href") for _, attributes in tags.seen for key in attributes)


def test_verify_writes_a_page_of_a_difference(model, tmp_path, capsys):
    wrong = onnx.load(model)
    wrong.graph.node[2].op_type = "Abs"
    onnx.save(wrong, tmp_path / "wrong.onnx")
    out = tmp_path / "r.html"
    assert main(["verify", str(model), str(tmp_path / "wrong.onnx"), "--report", str(out)]) == 1
    text, _ = page(out)
    assert "Where it begins" in text and "different" in text


def test_a_page_replaces_a_page_and_nothing_else(model, tmp_path, capsys):
    assert main(["apply", str(model), "--pass", "hardswish", "--report", str(model)]) == 2
    assert not list(tmp_path.glob("*.surgery.onnx"))
    for bad in (tmp_path, tmp_path / "none" / "r.html"):
        with pytest.raises(BadInput):
            html.writable(bad)
    old = tmp_path / "old.html"
    old.write_text("<!DOCTYPE html><p>before")
    html.writable(old)
    html.write(old, "<!doctype html>after")
    assert old.read_text() == "<!doctype html>after"
    assert not list(tmp_path.glob("*.partial"))


def test_a_drawing_has_a_box_for_every_node_and_end():
    steps = [Step("Mul", ["x", "s"], ["t"]), Step("Relu", ["t"], ["y"]), Step("Split", ["t"], ["u", "v"])]
    boxes = Tags(draw(steps, "cut")).seen
    kinds = [attributes["class"] for tag, attributes in boxes if tag == "g"]
    assert sorted(kinds) == ["input"] * 2 + ["node"] * 3 + ["output"] * 3
    rects = [attributes for tag, attributes in boxes if tag == "rect"]
    for i, a in enumerate(rects):  # none on another
        for b in rects[:i]:
            apart = abs(float(a["y"]) - float(b["y"])) >= 30
            left, right = sorted([a, b], key=lambda r: float(r["x"]))
            assert apart or float(left["x"]) + float(left["width"]) <= float(right["x"])
    assert draw([], "nothing").startswith("<svg")
