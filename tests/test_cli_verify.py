"""``surgery verify``: a model against another, and against stored results."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from _commands import TWO, UNKNOWN, Shell, shell, site

__all__ = ["shell", "site"]


def test_equal(shell: Shell) -> None:
    shell.model(TWO.replace("y = HardSwish (b)", "s = HardSigmoid <alpha=0.16666667> (b) y = Mul (b, s)"), "b.onnx")
    done = shell.run("verify", "two.onnx", "b.onnx")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("two.onnx  =>  b.onnx\n")
    assert done.out.splitlines()[-1].startswith("equal, ")
    document = shell.run("verify", "two.onnx", "b.onnx", "--json").document
    assert (document["before"], document["after"], document["verdict"]) == ("two.onnx", "b.onnx", "equal")
    assert document["outputs"][0]["verdict"] == "equal"


def test_different(shell: Shell) -> None:
    shell.model(TWO.replace("0.9", "0.95"), "b.onnx")
    done = shell.run("verify", "two.onnx", "b.onnx")
    assert done.status == 1
    assert done.err.startswith("different")
    assert "begins   tensor a" in done.err
    assert shell.run("verify", "two.onnx", "b.onnx", "--rtol", "0", "--atol", "10").status == 0
    assert shell.run("verify", "two.onnx", "b.onnx", "--json").document["verdict"] == "different"


def test_what_fails_is_written_down(shell: Shell) -> None:
    shell.model(TWO.replace("y = HardSwish (b)", "y = Sigmoid (b)"), "b.onnx")
    done = shell.run("verify", "two.onnx", "b.onnx", "--repro", "repro")
    assert done.status == 1
    assert "reproduction in" in done.err
    assert (shell.folder / "repro" / "y" / "show.py").exists()


@pytest.mark.parametrize("option", ["--report", "--show", "--repro"])
def test_a_file_that_is_something_else_stays(shell: Shell, option: str) -> None:
    other = shell.model(TWO.replace("0.9", "0.95"), "b.onnx")
    content = other.read_bytes()
    done = shell.run("verify", "two.onnx", "b.onnx", option, "b.onnx")
    assert (done.status, other.read_bytes()) == (2, content)
    assert "b.onnx" in done.err


def test_unverified(shell: Shell) -> None:
    shell.model(UNKNOWN, "a.onnx")
    shell.model(UNKNOWN.replace("Whirl", "Swirl"), "b.onnx")
    done = shell.run("verify", "a.onnx", "b.onnx")
    assert done.status == 1
    assert done.err.startswith("unverified")
    assert shell.run("verify", "a.onnx", "b.onnx", "--allow-unverified").status == 0
    # The same computation is equal, whoever can run it.
    assert shell.run("verify", "a.onnx", "a.onnx").status == 0


def test_a_model_with_dims_fixed_says_at_which_sizes_to_compare(shell: Shell) -> None:
    assert shell.run("apply", "two.onnx", "--pass", "fix-dims:dims=batch=2", "-o", "b.onnx").status == 0
    done = shell.run("verify", "two.onnx", "b.onnx")
    assert done.status == 1
    assert "--probe compares at sizes that both take, x [2, 4]" in done.err
    assert shell.run("verify", "two.onnx", "b.onnx", "--probe", "x:2,4").status == 0


def test_other_names_pair_by_position(shell: Shell) -> None:
    renamed = TWO.replace("] x)", "] image)").replace("(x, w)", "(image, w)").replace("] y)", "] scores)")
    shell.model(renamed.replace("y = Hard", "scores = Hard"), "b.onnx")
    done = shell.run("verify", "two.onnx", "b.onnx")
    assert done.status == 2
    assert "--match position" in done.err
    assert shell.run("verify", "two.onnx", "b.onnx", "--match", "position").status == 0


PAIR = """<ir_version: 8, opset_import: ["" : 17]>
pair (float[n, 4] x, float[n, 4] z) => (float[n, 4] y, float[n, 4] u) { y = Relu (x) u = Neg (z) }"""
ORDER = PAIR.replace("(float[n, 4] y, float[n, 4] u)", "(float[n, 4] u, float[n, 4] y)")
FEWER = PAIR.replace(", float[n, 4] z)", ")").replace(", float[n, 4] u)", ")").replace("u = Neg (z)", "")
LOST = PAIR.replace("x", "i").replace("z", "j")


def test_models_that_do_not_pair_are_told_apart_in_words(shell: Shell) -> None:
    for name, text in (("a", PAIR), ("order", ORDER), ("fewer", FEWER), ("lost", LOST)):
        shell.model(text, f"{name}.onnx")
    assert shell.run("verify", "a.onnx", "order.onnx", "--match", "name").status == 0
    other = shell.run("verify", "a.onnx", "order.onnx")
    assert other.status == 2 and "another order" in other.err and "--match name" in other.err
    assert shell.run("verify", "a.onnx", "order.onnx", "--match", "position").status == 1
    assert shell.run("verify", "a.onnx", "lost.onnx", "--match", "position").status == 0
    none = shell.run("verify", "a.onnx", "fewer.onnx", "--match", "position")
    assert none.status == 2 and "has 2 inputs, the model after 1" in none.err and "--match" not in none.err
    for words, what in (
        (("lost.onnx",), "the model before has no input 'i', 'j'; only the other has 'x', 'z'"),
        (("fewer.onnx",), "the model after has no output 'u'"),
        (("fewer.onnx", "--match", "position"), "the model before has 2 inputs, the model after 1"),
    ):
        done = shell.run("verify", "a.onnx", *words)
        assert (done.status, what in done.err) == (2, True), done.err


def test_data_that_fits_one_model_only(shell: Shell) -> None:
    shell.model(PAIR, "a.onnx")
    shell.model(LOST, "b.onnx")
    rows = np.ones((2, 4), np.float32)
    np.savez(shell.folder / "first.npz", x=rows, z=rows)
    np.savez(shell.folder / "second.npz", i=rows, j=rows)
    how = ("verify", "a.onnx", "b.onnx", "--match", "position", "--inputs")
    assert shell.run(*how, "first.npz").status == 0
    done = shell.run(*how, "second.npz")
    assert done.status == 2
    assert "no input or output 'i'" in done.err
    assert "Inputs: 'x', 'z'" in done.err


def test_against_stored_results(shell: Shell) -> None:
    x = np.linspace(-2, 3, 8, dtype=np.float32).reshape(2, 4)
    w = onnx.numpy_helper.to_array(onnx.parser.parse_model(TWO).graph.initializer[0])
    b = np.maximum(x @ w, 0)
    y = (b * np.clip(b / 6 + 0.5, 0, 1)).astype(np.float32)
    np.savez(shell.folder / "good.npz", x=x, y=y)
    np.savez(shell.folder / "bad.npz", x=x, y=y * 1.05)
    done = shell.run("verify", "two.onnx", "--reference", "good.npz")
    assert done.status == 0, done.err
    assert done.out.startswith("two.onnx  =>  good.npz\n")
    assert shell.run("verify", "two.onnx", "--reference", "bad.npz").status == 1


@pytest.mark.parametrize("option", ["--reference", "--inputs"])
def test_pickled_objects_are_refused(shell: Shell, option: str) -> None:
    np.savez(shell.folder / "evil.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    words = ["verify", "two.onnx", *(["two.onnx"] if option == "--inputs" else []), option, "evil.npz"]
    done = shell.run(*words)
    assert done.status == 2
    assert "Python objects" in done.err


def test_what_is_no_npz(shell: Shell) -> None:
    done = shell.run("verify", "two.onnx", "--reference", "two.onnx")
    assert done.status == 2
    assert "npz" in done.err


def test_the_same_seed_gives_the_same(shell: Shell) -> None:
    shell.model(TWO.replace("0.9", "0.95"), "b.onnx")

    def gaps(seed: str) -> list[float]:
        document = shell.run("verify", "two.onnx", "b.onnx", "--seed", seed, "--json").document
        return [output["max_abs"] for output in document["outputs"]]

    assert gaps("3") == gaps("3")
    assert gaps("3") != gaps("4")
