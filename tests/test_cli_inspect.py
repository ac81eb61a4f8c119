"""``surgery inspect``, ``list`` and ``show``: what is in a model, and in the registry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from _commands import ROOT, Shell, shell, site
from onnx import TensorProto, helper, numpy_helper

__all__ = ["shell", "site"]

NESTED = """
<ir_version: 9, producer_name: "exporter", producer_version: "2.0", opset_import: ["" : 17, "local" : 1, "acme" : 3]>
nested (float[batch, ?, 3] x, bool c, seq(float[2]) s) => (float[batch, ?, 3] y, float16[] z)
<float16 half = {15360}>
{
    y = If (c) <
        then_branch = then () => (float[batch, ?, 3] a) { a = local.Twice (x) },
        else_branch = other () => (float[batch, ?, 3] b) { n = Neg (x) b = acme.Whirl <speed = 0.1, way = "left"> (n) }
    >
    [copy] z = Identity (half)
}
<domain: "local", opset_import: ["" : 17]>
Twice (p) => (q) { q = Add (p, p) }
"""


def test_contents(shell: Shell) -> None:
    shell.model(NESTED, "nested.onnx")
    document = shell.run("inspect", "nested.onnx", "--json").document
    assert document["schema"] == 1
    assert document["opsets"] == {"ai.onnx": 17, "local": 1, "acme": 3}
    assert (document["ir_version"], document["producer"]) == (9, "exporter 2.0")
    assert document["inputs"] == [
        {"name": "x", "type": "float", "dims": ["batch", None, 3]},
        {"name": "c", "type": "bool", "dims": []},
        {"name": "s", "type": "sequence of float", "dims": [2]},
    ]
    assert document["outputs"][1] == {"name": "z", "type": "float16", "dims": None}
    assert document["weights"] == {"tensors": 1, "elements": 1, "bytes": 2}
    assert document["operators"] == {
        "Add": 1,
        "Identity": 1,
        "If": 1,
        "Neg": 1,
        "acme::Whirl": 1,
        "local::Twice": 1,
    }
    assert (document["nodes"], document["functions"]) == (6, {"local::Twice": 1})
    shown = shell.run("inspect", "nested.onnx").out
    assert "float[batch,?,3]" in shown and "acme::Whirl" in shown and "1 element, 2 bytes" in shown


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("copy", ["Identity"]),
        ("z", ["Identity"]),
        ("Neg", ["Neg"]),
        ("*Tw*", ["local::Twice"]),
        ("none", []),
        ("whir", ["acme::Whirl"]),
        ("T?ICE", ["local::Twice"]),
        ("wic?", []),
    ],
)
def test_nodes(shell: Shell, pattern: str, found: list[str]) -> None:
    shell.model(NESTED, "nested.onnx")
    document = shell.run("inspect", "nested.onnx", "--node", pattern, "--json").document
    assert [node["operator"] for node in document["found"]] == found
    done = shell.run("inspect", "nested.onnx", "--node", pattern)
    assert done.status == 0
    assert bool(done.err) == (not found)


def test_a_node_with_its_attributes(shell: Shell) -> None:
    shell.model(NESTED, "nested.onnx")
    shown = shell.run("inspect", "nested.onnx", "--node", "Whirl").out
    assert "acme::Whirl" in shown and "inside If" in shown
    assert "with speed=0.1, way=left" in shown
    (found,) = shell.run("inspect", "nested.onnx", "--node", "If", "--json").document["found"]
    assert found["attributes"]["then_branch"] == "graph 'then' of 1 nodes"


def test_a_name_with_characters_of_patterns(shell: Shell) -> None:
    shell.model(NESTED.replace("[copy]", '["/m/conv[0]"]'), "nested.onnx")
    done = shell.run("inspect", "nested.onnx", "--node", "/m/conv[0]", "--json")
    assert [node["name"] for node in done.document["found"]] == ["/m/conv[0]"]


def test_weights_are_not_read(shell: Shell, tmp_path: Path) -> None:
    size = 200 << 20
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[size // 4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="w.data")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [size // 4])],
        [weight],
    )
    onnx.save(helper.make_model(graph), tmp_path / "large.onnx")
    with open(tmp_path / "w.data", "wb") as file:
        file.truncate(size)
    script = "import surgery.cli, surgery.equivalence.runner as runner\n"
    script += "print(surgery.cli.main(['inspect', 'large.onnx']), runner.peak_memory())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "52,428,800 elements, 209.7 MB" in done.stdout, done.stderr
    status, peak = map(int, done.stdout.split()[-2:])
    assert status == 0 and peak < 150e6


def test_constants_are_shown_if_they_are_small(shell: Shell) -> None:
    nodes = [
        helper.make_node("Constant", [], ["a"], value=numpy_helper.from_array(np.array([1, 2, 3]))),
        helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(np.zeros((5, 9), np.float32))),
    ]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("a", TensorProto.INT64, [3])])
    onnx.save(helper.make_model(graph), shell.folder / "constants.onnx")
    document = shell.run("inspect", "constants.onnx", "--node", "Constant", "--json").document
    assert [node["attributes"]["value"] for node in document["found"]] == [[1, 2, 3], "tensor float[5, 9]"]


def test_list(shell: Shell) -> None:
    done = shell.run("list")
    assert (done.status, done.err) == (0, "")
    assert any(line.split()[:2] == ["gridsample", "pass"] for line in done.out.splitlines())
    names = [entry["name"] for entry in shell.run("list", "--json").document["rewrites"]]
    assert names == sorted(names) and "hardswish" in names
    assert shell.run("list", "--kind", "pass", "--json").document["rewrites"]


def test_show(shell: Shell) -> None:
    shown = shell.run("show", "typed").out
    assert "The pass 'typed'." in shown
    (row,) = [line for line in shown.splitlines() if line.split()[:1] == ["count"]]
    assert row.split() == ["count", "int", "default", "1", "how", "often"]
    document = shell.run("show", "hardswish", "--json").document
    assert document["contract"].startswith("Close(")
    assert document["options"][0]["default"] == "'hardsigmoid'"
    assert document["page"].startswith("Spell HardSwish")
