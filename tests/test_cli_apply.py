"""``surgery apply``: what it writes, when it writes nothing, and what it says of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from _commands import TWO, UNKNOWN, Shell, shell, site
from onnx import TensorProto, helper, numpy_helper

__all__ = ["shell", "site"]

QUICK = ("--verify", "none")
KEYS = {"schema", "model", "output", "data", "passes", "verify", "nodes", "verdict", "seconds", "peak_bytes"}


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_a_model_is_rewritten_verified_and_written(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish")
    assert (done.status, done.err) == (0, "")
    assert operators(shell.folder / "two.surgery.onnx") == ["MatMul", "Relu", "HardSigmoid", "Mul"]
    lines = done.out.splitlines()
    assert lines[0] == "two.onnx  3 nodes"
    assert lines[1] == "  hardswish  1 place  at y"
    assert lines[2].startswith("  verify  equal on ")
    assert lines[-1].startswith("wrote two.surgery.onnx  4 nodes, ")
    (row,) = [line for line in lines if line.split()[:1] == ["y"]]
    assert row.split()[-1] == "equal"


def test_json(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish:form=clip", "--json", "-o", "out.onnx")
    assert (done.status, done.err) == (0, "")
    report = done.document
    assert set(report) == KEYS
    assert (report["model"], report["output"], report["verdict"]) == ("two.onnx", "out.onnx", "equal")
    (one,) = report["passes"]
    assert (one["name"], one["options"], one["places"], one["at"]) == ("hardswish", {"form": "clip"}, 1, ["y"])
    assert report["nodes"] == {"before": 3, "after": 6}
    assert report["verify"]["probes"] and report["verify"]["outputs"][0]["name"] == "y"


def test_a_wrong_pass_is_named_and_nothing_is_written(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "--pass", "wrong")
    assert done.status == 1
    assert "wrote" not in done.out
    assert done.err.startswith("different: nothing written\n")
    assert "by pass  wrong" in done.err
    assert "begins   tensor b" in done.err
    assert shell.files == {"two.onnx"}


def test_a_negative_verdict_in_json_is_the_report(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "wrong", "--json")
    assert (done.status, done.err) == (1, "")
    report = done.document
    assert (report["verdict"], report["output"], report["verify"]["guilty"]) == ("different", None, "wrong")


def test_what_can_not_be_run_is_unverified(shell: Shell) -> None:
    shell.model(UNKNOWN, "unknown.onnx")
    done = shell.run("apply", "unknown.onnx", "--pass", "hardswish")
    assert done.status == 1
    assert done.err.startswith("unverified: nothing written\n")
    assert "--allow-unverified" in done.err
    assert shell.files == {"two.onnx", "unknown.onnx"}

    done = shell.run("apply", "unknown.onnx", "--pass", "hardswish", "--allow-unverified")
    assert done.status == 0
    assert "unverified" in done.out.splitlines()[-1]
    assert "unknown.surgery.onnx" in shell.files


def test_without_verification(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "wrong", *QUICK)
    assert done.status == 0
    assert "unverified" in done.out.splitlines()[-1]


def test_where_nothing_matches_the_bytes_stay(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "gridsample", "--provenance")
    assert (done.status, done.err) == (0, "")
    assert "nothing changed" in done.out
    assert (shell.folder / "two.surgery.onnx").read_bytes() == (shell.folder / "two.onnx").read_bytes()


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_must_match(shell: Shell, options: tuple[str, ...]) -> None:
    words = ("apply", "two.onnx", "--pass", "hardswish", "--pass", "gridsample", "--must-match", *QUICK)
    done = shell.run(*words, *options)
    assert done.status == 1
    assert "gridsample" in done.err and "hardswish" not in done.err
    assert shell.files == {"two.onnx"}
    assert shell.run("apply", "two.onnx", "--pass", "hardswish", "--must-match", *QUICK, *options).status == 0


def test_dry_run_says_what_would_match(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "--pass", "picky", "--dry-run")
    assert (done.status, done.err) == (0, "")
    assert "1 place  at y" in done.out
    assert "left as it is: b: it is of the wrong colour" in done.out
    assert "nothing written" in done.out
    assert shell.files == {"two.onnx"}


def test_many_places_are_not_all_listed(shell: Shell) -> None:
    nodes = "".join(f"r{i} = Relu (x)\n" for i in range(9))
    shell.model(TWO.replace("b = Relu (a)", nodes + "b = Relu (a)"), "many.onnx")
    words = ("apply", "many.onnx", "--pass", "picky", "--dry-run")
    assert "r0, r1, r2 and 7 more: it is" in shell.run(*words).out
    assert "r7, r8, b: it is" in shell.run(*words, "--verbose").out


def test_the_model_itself_is_replaced_by_force_only(shell: Shell) -> None:
    before = (shell.folder / "two.onnx").read_bytes()
    assert shell.run("apply", "two.onnx", "--pass", "hardswish", "-o", "./two.onnx", *QUICK).status == 2
    assert (shell.folder / "two.onnx").read_bytes() == before
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "-o", "two.onnx", "--force")
    assert done.status == 0, done.err
    assert "HardSigmoid" in operators(shell.folder / "two.onnx")
    assert shell.files == {"two.onnx"}


def test_what_was_there_stays_on_failure(shell: Shell) -> None:
    precious = shell.model(UNKNOWN, "out.onnx").read_bytes()
    assert shell.run("apply", "two.onnx", "--pass", "wrong", "-o", "out.onnx").status == 1
    assert (shell.folder / "out.onnx").read_bytes() == precious


@pytest.mark.parametrize("content", ["precious\n", "[[pass]]\nname = 'hardswish'\n", "PK\3\4", "\x08"])
def test_a_file_that_is_no_model_is_replaced_by_force_only(shell: Shell, content: str) -> None:
    words = ("apply", "two.onnx", "--pass", "hardswish", "-o", "notes", *QUICK)
    (shell.folder / "notes").write_text(content)
    done = shell.run(*words)
    assert (done.status, "is no ONNX model" in done.err) == (2, True)
    assert (shell.folder / "notes").read_text() == content
    assert shell.run(*words, "--force").status == 0
    assert "HardSigmoid" in operators(shell.folder / "notes")
    assert shell.run(*words).status == 0  # a model is replaced, as a second run replaces the first one's
    (shell.folder / "notes").write_text("")
    assert shell.run(*words).status == 0


@pytest.mark.parametrize(("output", "why"), [("-", "standard output"), ("new/", "is a folder"), (".", "is a folder")])
def test_an_output_that_can_not_be_meant(shell: Shell, output: str, why: str) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "-o", output, *QUICK)
    assert (done.status, why in done.err) == (2, True)
    assert shell.files == {"two.onnx"}


def test_the_report_is_not_the_model(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "-o", "out.onnx", "--report", "./out.onnx", *QUICK)
    assert done.status == 2 and "can't be one file" in done.err
    assert not (shell.folder / "out.onnx").exists()


def test_the_data_file_is_named(shell: Shell) -> None:
    weight = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("HardSwish", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.save(model, shell.folder / "big.onnx", save_as_external_data=True, location="big.bin", size_threshold=0)
    done = shell.run("apply", "big.onnx", "--pass", "hardswish", *QUICK)
    (data,) = [name for name in shell.files if name.endswith(".data")]
    assert done.out.splitlines()[-1].startswith(f"wrote big.surgery.onnx, {data}  3 nodes")
    report = shell.run("apply", "big.onnx", "--pass", "hardswish", "--json", *QUICK).document
    assert report["data"] == [data]


def test_only_options_that_were_given_are_shown(shell: Shell) -> None:
    words = ("apply", "two.onnx", "--dry-run", "--pass")
    assert "  hardswish:form=hardsigmoid  1 place" in shell.run(*words, "hardswish:form=hardsigmoid").out
    assert "  hardswish  1 place" in shell.run(*words, "hardswish").out
    assert "  hardswish:form=hardsigmoid  1 place" in shell.run(*words, "hardswish", "--verbose").out
    assert shell.run(*words, "hardswish", "--json").document["passes"][0]["options"] == {"form": "hardsigmoid"}


def test_options_are_shown_as_they_are_given(shell: Shell) -> None:
    given = "typed:count=2,dims=batch=1;width=320"
    assert f"  {given}  " in shell.run("apply", "two.onnx", "--dry-run", "--pass", given).out


def test_changed_says_what_changes(shell: Shell) -> None:
    done = shell.run("apply", "two.onnx", "--pass", "softer")
    assert done.status == 0, done.err
    assert "changes: negative values are kept, a hundredth of them" in done.out


def test_reasons_are_not_endless(shell: Shell) -> None:
    nodes = "".join(f"[relu{i}] a{i + 1} = Relu (a{i}) " for i in range(30))
    text = f'<ir_version: 8, opset_import: ["" : 16]> g (float[4] a0) => (float[4] a30) {{ {nodes} }}'
    shell.model(text, "many.onnx")
    words = ("apply", "many.onnx", "--pass", "wordy", "--dry-run")
    assert shell.run(*words).out.count("left as it is") == 10
    assert "left as they are for 20 more reasons" in shell.run(*words).out
    assert shell.run(*words, "--verbose").out.count("left as it is") == 30


@pytest.mark.parametrize("name", ["taller", "nowhere"])
def test_what_has_no_distance_is_not_said_to_be_0(shell: Shell, name: str) -> None:
    done = shell.run("apply", "two.onnx", "--pass", name, "--verify", "model")
    assert done.status == 1
    assert "max |d| 0," not in done.err and "max |d| 0\n" not in done.err
    rows = [line.split() for line in done.out.splitlines() if line.split()[:1] == ["y"]]
    assert all(row[1] == "-" for row in rows), done.out


# ----------------------------------------------------------------------------- recipes


def recipe(shell: Shell, text: str) -> Path:
    path = shell.folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_is_followed_in_order_then_the_passes_named(shell: Shell) -> None:
    text = """
    [[pass]]
    name = "typed"
    count = 3
    share = 1
    firm = true
    dims = { batch = 1, width = 320 }
    names = ["a", "b;c"]

    [[pass]]
    name = "hardswish"
    form = "clip"
    """
    path = recipe(shell, text)
    done = shell.run("apply", "two.onnx", "--recipe", str(path), "--pass", "picky", "--json", *QUICK)
    assert done.status == 0, done.out
    typed, hardswish, picky = done.document["passes"]
    assert (hardswish["options"], picky["name"]) == ({"form": "clip"}, "picky")
    assert typed["options"] == {
        "count": 3,
        "share": 1.0,
        "firm": True,
        "dims": {"batch": 1, "width": 320},
        "names": ["a", "b;c"],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[pass]]\nname = "hardswish\n', "line 2"),
        ('[[pass]]\nname = "nothing"\n', "there is no pass 'nothing'"),
        ('[[pass]]\nname = "hardswish"\n[[pass]]\nname = "hardswish"\nlength = 3', "pass 2"),
        ('[[pass]]\nname = "typed"\ncount = 1.5', "must be int"),
        ('[[pass]]\nname = "typed"\ncount = true', "must be int"),
        ('[[pass]]\nname = "typed"\ndims = { batch = "one" }', "must be int"),
        ('[[pass]]\nname = "typed"\nfirm = 1979-05-27', "must be bool"),
        ('[[pass]]\nform = "clip"', "has no name"),
        ("[[pass]]\nname = 3", "has no name"),
        ('[pass]\nname = "hardswish"', "no passes"),
        ('pass = ["hardswish"]', "has no name"),
        ("", "no passes"),
        ('[[step]]\nname = "hardswish"', "'step'"),
        ("a = " + "[" * 5000, "TOML"),
    ],
)
def test_a_recipe_that_is_none(shell: Shell, text: str, said: str) -> None:
    done = shell.run("apply", "two.onnx", "--recipe", str(recipe(shell, text)), *QUICK)
    assert done.status == 2
    assert said in done.err or "too deeply" in done.err
    assert "recipe.toml" in done.err
    assert shell.files == {"two.onnx", "recipe.toml"}


def test_a_recipe_of_random_bytes(shell: Shell) -> None:
    (shell.folder / "recipe.toml").write_bytes(b"\xff\x00\xfe")
    assert shell.run("apply", "two.onnx", "--recipe", "recipe.toml", *QUICK).status == 2


# ------------------------------------------------------------------------- user's data


def save(shell: Shell, name: str, **arrays: object) -> str:
    np.savez(shell.folder / name, **arrays)  # type: ignore[arg-type]
    return str(shell.folder / name)


def truth(x: np.ndarray) -> np.ndarray:
    w = onnx.numpy_helper.to_array(onnx.parser.parse_model(TWO).graph.initializer[0])
    b = np.maximum(x @ w, 0)
    y: np.ndarray = b * np.clip(b / 6 + 0.5, 0, 1)
    return y.astype(np.float32)


def test_inputs_and_reference(shell: Shell) -> None:
    x = np.linspace(-2, 3, 8, dtype=np.float32).reshape(2, 4)
    good = save(shell, "good.npz", x=x, y=truth(x))
    bad = save(shell, "bad.npz", x=x, y=truth(x) + 0.1)
    inputs = save(shell, "inputs.npz", **{"x.0": x, "x.1": x[:1] * 2})
    words = ("apply", "two.onnx", "--pass", "hardswish", "--inputs", inputs, "--json")
    probes = shell.run(*words).document["verify"]["probes"]
    assert sum(probe["kind"] == "user" for probe in probes) == 2
    assert shell.run(*words, "--reference", good).status == 0
    assert shell.run(*words, "--reference", bad).status == 1


def test_a_reference_with_pickled_objects_is_refused(shell: Shell) -> None:
    path = save(shell, "evil.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "--reference", path)
    assert done.status == 2
    assert "Python objects" in done.err
    assert shell.files == {"two.onnx", "evil.npz"}


def test_probes_and_tolerances(shell: Shell) -> None:
    words = ("apply", "two.onnx", "--pass", "wrong", "--json", "--probe", "x:5,4", "--probe", "x:7,4")
    done = shell.run(*words)
    shapes = {tuple(probe["shapes"]["x"]) for probe in done.document["verify"]["probes"]}
    assert (done.status, shapes) == (1, {(5, 4), (7, 4)})
    assert shell.run(*words, "--pass", "hardswish", "--rtol", "0.5", "--atol", "0.5").status in (0, 1)


# -------------------------------------------------------------------------- provenance


def history(path: Path) -> list[dict[str, object]]:
    (entry,) = [e for e in onnx.load(path).metadata_props if e.key == "surgery"]
    entries: list[dict[str, object]] = json.loads(entry.value)
    return entries


def test_provenance(shell: Shell) -> None:
    words = ("apply", "two.onnx", "--pass", "hardswish", "--pass", "gridsample", "--provenance", "-o")
    assert shell.run(*words, "one.onnx").status == 0
    assert shell.run(*words, "same.onnx").status == 0
    one = shell.folder / "one.onnx"
    assert one.read_bytes() == (shell.folder / "same.onnx").read_bytes()
    onnx.checker.check_model(one, full_check=True)
    assert history(one) == [
        {
            "pass": "hardswish",
            "version": "0.1.0",
            "options": {"form": "hardsigmoid"},
            "sites": 1,
            "contract": "close (rtol 1e-05, atol 1e-06)",
            "verdict": "equal",
            "sha256": hashlib.sha256((shell.folder / "two.onnx").read_bytes()).hexdigest(),
        }
    ]


def test_provenance_grows(shell: Shell) -> None:
    shell.run("apply", "two.onnx", "--pass", "hardswish", "--provenance", "-o", "one.onnx")
    done = shell.run("apply", "one.onnx", "--pass", "wrong", "--provenance", "-o", "two.onnx", *QUICK)
    assert done.status == 0, done.err
    entries = history(shell.folder / "two.onnx")
    assert [(e["pass"], e["verdict"]) for e in entries] == [("hardswish", "equal"), ("wrong", "unverified")]
    assert "verdict unverified" in shell.run("inspect", "two.onnx").out


def test_nothing_is_noted_unasked(shell: Shell) -> None:
    shell.run("apply", "two.onnx", "--pass", "hardswish")
    assert not onnx.load(shell.folder / "two.surgery.onnx").metadata_props


def test_an_entry_of_others_is_not_overwritten(shell: Shell) -> None:
    model = onnx.load(shell.folder / "two.onnx")
    helper.set_model_props(model, {"surgery": "of the knee"})
    onnx.save(model, shell.folder / "two.onnx")
    done = shell.run("apply", "two.onnx", "--pass", "hardswish", "--provenance")
    assert done.status == 3
    assert shell.run("apply", "two.onnx", "--pass", "hardswish").status == 0
    assert shell.run("inspect", "two.onnx", "--json").document["history"] == []


# ------------------------------------------------------------------------------- names

HOSTILE = "\x1b[31mred\r\n[bold]\u202e[/bold]\x07"


def hostile() -> onnx.ModelProto:
    """A model whose every name would take a terminal over."""
    nodes = [
        helper.make_node("Relu", [f"x{HOSTILE}"], [f"h{HOSTILE}"], name=f"first{HOSTILE}"),
        helper.make_node("HardSwish", [f"h{HOSTILE}"], [f"y{HOSTILE}"], name=f"second{HOSTILE}"),
    ]
    x, y = (helper.make_tensor_value_info(f"{name}{HOSTILE}", TensorProto.FLOAT, [f"n{HOSTILE}", 3]) for name in "xy")
    graph = helper.make_graph(nodes, f"g{HOSTILE}", [x], [y])
    opsets = [helper.make_opsetid("", 16), helper.make_opsetid(f"d{HOSTILE}", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name=HOSTILE)
    helper.set_model_props(model, {f"k{HOSTILE}": HOSTILE, "surgery": json.dumps([{"pass": HOSTILE}])})
    return model


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("apply", "bad.onnx", "--pass", "hardswish"), 0),
        (("apply", "bad.onnx", "--pass", "hardswish", "--provenance", "--verbose"), 0),
        (("apply", "bad.onnx", "--pass", "picky", "--dry-run"), 0),
        (("apply", "bad.onnx", "--pass", "wrong"), 1),
        (("apply", "bad.onnx", "--pass", "refusing"), 3),
        (("apply", "bad.onnx", "--pass", "broken"), 70),
        (("apply", "bad.onnx", "--pass", "hardswish", "--probe", "z:1,3"), 2),
        (("apply", "bad.onnx", "--pass", HOSTILE), 2),
        (("verify", "bad.onnx", "two.onnx"), 2),
        (("verify", "bad.onnx", "bad.onnx"), 0),
        (("inspect", "bad.onnx"), 0),
        (("inspect", "bad.onnx", "--node", "*"), 0),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else None,
)
def test_hostile_names(shell: Shell, words: tuple[str, ...], status: int) -> None:
    onnx.save(hostile(), shell.folder / "bad.onnx")
    done = shell.run(*words)
    assert done.status == status, done.err
    shown = done.out + done.err
    assert all(c == "\n" or c.isprintable() for c in shown), repr(shown)
    assert "Traceback" not in shown
    if "[bold]" in shown:
        assert "[/bold]" in shown  # markup is shown, not interpreted

    plain = shell.run(*words, "--json")
    assert plain.status == status
    assert plain.out.isascii()
    assert plain.document["schema"] == 1
