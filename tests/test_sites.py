"""Site verification catches what is wrong in a corner, refuses nothing that is right, and says what it saw."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from _sites import verify
from planted.corner import WRONG
from planted.pairs import Case, ints, scalar
from planted.parts import CONV, HEAD, MAP, PLAIN, STEM
from planted.right import RIGHT

import surgery
from surgery.draft import Copied
from surgery.equivalence.sites.constants import Constants

BY_NAME = {case.name: case for case in (*WRONG, *RIGHT)}
NOT_REACHED = {"softmax-behind-tanh", "root-of-a-square"}  # right only for what comes there


def test_there_are_enough():
    assert len(WRONG) >= 60
    assert len(RIGHT) >= 60
    assert len({case.kind for case in WRONG}) >= 12
    assert len({case.name for case in WRONG}) == len(WRONG)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_wrong_is_caught(case, tmp_path):
    report = verify(case, tmp_path)
    assert report.sites.verdict == "different"
    first = next(finding for finding in report.sites.findings if finding.outcome == "different")
    assert first.tensor.split(" ")[0] == case.tensor


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_right_is_not_refused(case, tmp_path):
    report = verify(case, tmp_path)
    assert report.sites.verdict == "equal", report.sites.findings
    outcomes = {finding.outcome for finding in report.sites.findings}
    assert outcomes == ({"not reached"} if case.name in NOT_REACHED else set())
    assert report.sites.verified == report.sites.structures


@pytest.mark.parametrize("name", ["commuted", "shared-branch", "identities-gone", "dead-branch", "branch-renamed"])
def test_what_is_congruent_is_no_claim(name, tmp_path):
    report = verify(BY_NAME[name], tmp_path)
    assert report.sites.count == 0
    assert report.sites.families == {}


def test_all_names_lost_need_few_claims(tmp_path):
    after = "q = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) k = Max (q, zero) y = Conv <pads = [1, 1, 1, 1]> (k, w2, b2)"
    case = Case("lost", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD, after, "", CONV, {"zero": scalar(0)})
    report = verify(case, tmp_path)
    # By its values k is r, and what follows is congruent then.
    assert (report.sites.count, report.sites.verdict) == (1, "equal")


def test_a_fault_among_lost_names_is_found_where_it_is(tmp_path):
    after = "q = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) k = LeakyRelu (q) y = Conv <pads = [1, 1, 1, 1]> (k, w2, b2)"
    report = verify(Case("lost", "convolutions", MAP, STEM + "r = Relu (c)" + HEAD, after, "", CONV), tmp_path)
    assert report.sites.verdict == "different"
    assert report.sites.findings[0].tensor == "y"


def test_evidence_is_counted_by_family(tmp_path):
    report = verify(BY_NAME["sigmoid-by-exp"], tmp_path)
    assert report.sites.count == report.sites.structures == report.sites.verified == 1
    assert {"real", "normal", "nan", "inf", "ties", "size", "1e30"} <= set(report.sites.families)
    assert set(report.sites.families.values()) == {1}


def test_sites_of_one_structure_are_attacked_once(tmp_path):
    before = " ".join(f"a{i + 1} = Relu (a{i})" for i in range(6)).replace("(a0)", "(x)") + " y = Neg (a6)"
    before, after = (
        " ".join(f"h{i} = Tanh ({'x' if i == 0 else f'r{i - 1}'}) r{i} = {op}" for i in range(4)) + " y = Neg (r3)"
        for op in ("Relu (h{})", "Max (h{}, zero)")
    )
    for i in range(4):
        before, after = (text.replace("(h{}", f"(h{i}", 1) for text in (before, after))
    report = verify(Case("kinds", "elementwise", PLAIN, before, after, "", {}, {"zero": scalar(0)}), tmp_path)
    assert (report.sites.count, report.sites.structures, report.sites.verified) == (4, 1, 1)
    assert report.sites.families["normal"] == 1


def test_a_counterexample_from_the_inputs_is_a_proof(tmp_path):
    (finding,) = verify(BY_NAME["softmax-without-maximum"], tmp_path).sites.findings
    assert finding.proved
    assert finding.family == "x100"
    assert finding.before == "Softmax y"
    assert finding.after == "Div y"


def test_outside_of_the_domain_nothing_is_promised(tmp_path):
    case = BY_NAME["products-merged"]
    assert verify(replace(case, domain={}), tmp_path).sites.verdict == "different"
    assert verify(case, tmp_path).sites.verdict == "equal"


def test_a_domain_holds_for_inner_tensors(tmp_path):
    # The grid is made within the cut: what takes it outside of the domain is no evidence.
    case = BY_NAME["outside-of-the-grid"]
    inner = {
        "before": 'g = Mul (grid, k) y = GridSample <padding_mode = "zeros"> (x, g)',
        "after": 'h = Mul (k, grid) z = Add (h, nought) y = GridSample <padding_mode = "border"> (x, z)',
        "constants": {"k": scalar(0.5), "nought": scalar(0)},
    }
    case = replace(case, **inner)
    assert verify(case, tmp_path).sites.verdict == "different"
    report = verify(replace(case, domain={"grid": (-0.5, 0.5), "X": (-1e30, 1e30)}), tmp_path)
    assert report.sites.verdict in ("equal", "unverified")


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_a_domain_holds_for_the_runtimes_own_spelling(tmp_path: Path, domain: str) -> None:
    # Zero times NaN is NaN: gridsample promises nothing of an image that is not finite.
    opset, home = (16, "GridSample") if not domain else (11, "com.microsoft.GridSample")
    text = f"""<ir_version: 8, opset_import: ["": {opset}, "com.microsoft": 1]>
    g (float[n,3,8,9] x, float[n,4,5,2] g0) => (float[n,3,4,5] y) <float two = {{2}}> {{ b = Mul (g0, two)
    c = {home} <align_corners = 1> (x, b)  y = Neg (c) }}"""
    report = surgery.apply(onnx.parser.parse_model(text), ["gridsample"]).report
    assert report.verdict == report.verify.sites.verdict == "equal", str(report.verify)


@pytest.mark.parametrize("made", ["", "r = Relu (x)"])
def test_a_domain_holds_within_bodies(tmp_path: Path, made: str) -> None:
    # Zero times NaN is NaN: resize-matmul promises nothing of an image that is not finite.
    image = "r" if made else "x"
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    g (float[n,3,8,9] x, bool c) => (float[n,3,h,w] y) <float[4] two = {{1.0, 1.0, 2.0, 1.5}}> {{
        y = If <then_branch = t () => (float[n,3,h,w] a) {{ {made} a = Resize <mode = "cubic"> ({image},, two) }},
                else_branch = e () => (float[n,3,h,w] b) {{ b = Resize <mode = "linear"> (x,, two) }}> (c) }}"""
    report = surgery.apply(onnx.parser.parse_model(text), ["resize-matmul"]).report
    assert report.verdict == report.verify.sites.verdict == "equal", str(report.verify)


def test_a_chain_that_each_model_cuts_elsewhere_is_opened_to_its_beginning(tmp_path: Path) -> None:
    # Before, a state has an axis more, and is what the next is made of; after, it is made to be read elsewhere.
    before, after = ["r0 = Unsqueeze (x, zero)"], ["t0 = Identity (x)"]
    for i in range(8):
        before.append(f"r{i + 1} = Tanh (r{i}) t{i + 1} = Squeeze (r{i + 1}, zero)")
        scaled = [f"a{i}_{k + 1} = Mul (a{i}_{k}, {'two' if k < 8 else 'half'})" for k in range(16)]
        after.append(f"a{i}_0 = Mul (t{i}, two) {' '.join(scaled)} b{i} = Mul (a{i}_16, half) t{i + 1} = Tanh (b{i})")
        after.append(f"r{i + 1} = Unsqueeze (t{i + 1}, zero)")
    read = [f"{name} = Sum ({', '.join(f'{name[0]}{i + 1}' for i in range(8))})" for name in ("r", "t")]
    constants = {"zero": ints(0), "two": scalar(2), "half": scalar(0.5)}
    signature = "(float[n,3] x) => (float[1,n,3] r, float[n,3] t)"
    case = Case("chain", "chain", signature, " ".join(before + read), " ".join(after + read), constants=constants)
    assert verify(case, tmp_path).sites.verdict == "equal"


def test_random_operators_are_excluded_in_words(tmp_path):
    before = "u = RandomNormalLike (x) v = RandomNormalLike (x) a = Add (x, u) y = Mul (a, v)"
    after = "u = RandomNormalLike (x) v = RandomUniformLike (x) a = Add (x, u) y = Mul (a, v)"
    report = verify(Case("random", "random", PLAIN, before, after), tmp_path)
    assert {finding.outcome for finding in report.sites.findings} == {"random"}
    assert any("random operators" in note for note in report.notes)


def test_tolerance_is_that_of_the_contract(tmp_path):
    case = BY_NAME["tanh-by-sigmoid"]
    assert verify(replace(case, atol=0.0), tmp_path).sites.verdict == "different"
    assert verify(case, tmp_path).sites.verdict == "equal"


@pytest.mark.parametrize("name", ["neg-by-sub", "division-by-product"])
def test_exact_asks_for_the_same_bits(name, tmp_path):
    assert verify(replace(BY_NAME[name], exact=True), tmp_path).sites.verdict == "different"


def test_a_reproduction_needs_numpy_and_onnxruntime_alone(tmp_path):
    (finding,) = verify(BY_NAME["seldom-branch"], tmp_path, repro=tmp_path / "repro").sites.findings
    folder = tmp_path / "repro" / "y"
    assert finding.repro == str(folder)
    assert {path.name for path in folder.iterdir()} == {"before.onnx", "after.onnx", "inputs.npz", "show.py"}
    for name in ("before.onnx", "after.onnx"):
        onnx.checker.check_model(onnx.load(folder / name))
    assert max(finding.nodes) <= 10
    done = _alone(folder / "show.py")
    assert done.returncode == 0, done.stderr
    assert "before float32[" in done.stdout
    assert " elements differ" in done.stdout
    assert " became " in done.stdout


@pytest.mark.parametrize("name", ["axis-of-gather", "tanh-by-exp"])  # does not run; NaN
def test_a_reproduction_shows_what_is_no_number(name, tmp_path):
    found = verify(BY_NAME[name], tmp_path, repro=tmp_path / "repro").sites.findings
    done = _alone(Path(found[0].repro) / "show.py")
    assert "does not run" in done.stderr or "became nan" in done.stdout


def _alone(script):
    """Run a script where neither this project nor onnx can be imported."""
    code = "import sys; sys.modules['onnx'] = sys.modules['surgery'] = None; import runpy; runpy.run_path(sys.argv[1])"
    return subprocess.run([sys.executable, "-I", "-c", code, str(script)], capture_output=True, text=True)


def test_copied_weights_are_not_compared(tmp_path):
    """What was copied is known to be the same; what was not is compared with it."""
    for name in ("before", "after"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 8 + bytes(2048))
    (tmp_path / "after").write_bytes(b"?" * 2048 + bytes(2048))

    def tensor(file, offset):
        made = onnx.TensorProto(data_type=onnx.TensorProto.UINT8, dims=[2048], data_location=onnx.TensorProto.EXTERNAL)
        for key, value in (("location", file), ("offset", offset), ("length", 2048)):
            made.external_data.add(key=key, value=str(value))
        return made

    paths = [str((tmp_path / name).resolve()) for name in ("after", "before")]
    constants = Constants([Copied(paths[0], 0, 2048, paths[1], 0)])
    first, second = (constants.number(tensor("before", at), tmp_path) for at in (0, 2048))
    assert first != second
    assert constants.number(tensor("after", 0), tmp_path) == first  # though the bytes are other ones
    assert constants.number(tensor("after", 2048), tmp_path) == second
    constants.close()


def test_large_weights_stay_in_their_files(tmp_path):
    weights = {"w1": (64, 3, 3, 3), "b1": (64,), "w2": (4, 64, 3, 3), "b2": (4,)}
    case = replace(BY_NAME["one-weight-off-by-1e-3"], weights=weights, changed={})
    assert verify(case, tmp_path).sites.count == 0
    stale = case.models()[0].graph.initializer
    changed = {t.name: onnx.numpy_helper.to_array(t).copy() for t in stale if t.name == "w2"}
    changed["w2"][3, 63, 2, 2] += np.float32(0.5)
    assert verify(replace(case, changed=changed), tmp_path).sites.verdict == "different"
