"""What verification sees, and whether it cries wolf, beside what a peer sees.

    SURGERY_MODELS=DIR python benchmarks/evidence.py [NAME ...]

For each model: planted faults of 1 % and of 0.1 % that the probes notice; faults of 0.1 % that
one uniform draw at free dims 1 notices with rtol = atol = 1e-3, as peers compare; and the
verdict on what onnxslim makes of the model, where it is installed. Two models that no runtime
loads are lowered by gridsample and held against stored outputs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import surgery
from surgery.equivalence import Verifier
from surgery.equivalence.evidence import faulty
from surgery.equivalence.session import Failed, Session
from surgery.equivalence.sizes import Symbols
from surgery.equivalence.subject import Subject
from surgery.report import Evidence

FULL = ("rare", "rare_1x", "starnet", "aster", "panet", "ppocr_cls", "ppocrv4_det", "ppocrv4_rec")
LOOSE = ("srn",)  # its own answers are partly garbage
STORED = ("rare_placeholder", "aster_mmdeploy_customop")  # no runtime loads them


def seen(model: Path, share: float) -> Evidence:
    """The faults of size `share` that a comparison of `model` with itself would notice."""
    with Verifier(model, share=share) as verifier:
        return verifier.compare(model).evidence


def peer(model: Path, share: float) -> Evidence:
    """The faults that one draw of U[0, 1) at free dims 1 and rtol = atol = 1e-3 notices."""
    subject = Subject.read(model)
    session = Session(subject)
    rng = np.random.default_rng(0)
    symbols = Symbols.of(subject.inputs, {}, {}, 1)
    feeds = {
        port.name: rng.random(symbols.shape(port.name, symbols.all(1, 1, 1))).astype(port.numpy)
        for port in subject.inputs
    }
    result = Evidence(planted=len(subject.plants))
    names = [port.via for port in subject.outputs]
    with contextlib.suppress(Failed):
        sound = session.run(feeds)
        for name in subject.plants:
            other = session.run({**feeds, name: faulty(subject, name, share, 0)})
            result.seen += not all(np.allclose(sound[n], other[n], 1e-3, 1e-3, equal_nan=True) for n in names)
    return result


def slimmed(model: Path, folder: Path) -> str:
    """The verdict on onnxslim's result, or why there is none."""
    try:
        import onnxslim
    except ImportError:
        return "onnxslim is not installed"
    target = folder / model.name
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        onnxslim.slim(str(model), str(target))
    with Verifier(model) as verifier:
        result = verifier.compare(target)
    target.unlink()
    return result.verdict if result.ok else str(result)


def stored(model: Path) -> tuple[Evidence, str]:
    """Evidence and verdict for a model that no runtime loads, lowered, by its stored outputs."""
    verify = surgery.apply(model, ["gridsample"], reference=model.with_suffix(".npz")).report.verify
    return verify.evidence, f"lowered: {verify.verdict}"


def main(names: list[str]) -> None:
    """Print a table, a model a line, and the sums."""
    folder = Path(os.environ.get("SURGERY_MODELS", ""))
    if not os.environ.get("SURGERY_MODELS") or not folder.is_dir():
        sys.exit("SURGERY_MODELS names no folder of models")
    print(f"{'model':26}{'1 %':>10}{'0.1 %':>10}{'peer 0.1 %':>12}   onnxslim's result   seconds")
    totals = np.zeros(4, int)
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or [*FULL, *LOOSE, *STORED]:
            start, model = time.perf_counter(), folder / f"{name}.onnx"
            if name in STORED:
                found, verdict = stored(model)
                print(f"{name:26}{f'{found.seen} of {found.planted}':>10}{'':22}   {verdict}", flush=True)
                continue
            large, small, other = seen(model, 0.01), seen(model, 0.001), peer(model, 0.001)
            verdict = slimmed(model, Path(scratch))
            totals += (large.seen, small.seen, other.seen, small.planted)
            cells = [f"{e.seen} of {e.planted}" for e in (large, small, other)]
            spent = time.perf_counter() - start
            print(f"{name:26}{cells[0]:>10}{cells[1]:>10}{cells[2]:>12}   {verdict:18}  {spent:8.1f}", flush=True)
    print(f"{'sum of ' + str(totals[3]):26}{totals[0]:>10}{totals[1]:>10}{totals[2]:>12}")


if __name__ == "__main__":
    main(sys.argv[1:])
