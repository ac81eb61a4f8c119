"""Site verification of real models against what optimizers and conversions made of them.

    python -m benchmarks.sites [--models DIR] [--made DIR] [NAME ...]

First the planted faults (`benchmarks.planted`). Then, for each model and each of onnxslim, onnxsim,
onnxoptimizer, onnxscript's optimizer, and opsets 13, 17, 18 and 21, as far as they are installed and succeed:
claims, kinds, what came of them, seconds and elements. Right results must not be refused. Of onnxslim its wall
time is judged, too. ``--made`` holds what one of them made, under the names of the models, in place of all that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import planted
from benchmarks._measure import Figures, surgery, tool
from surgery.equivalence.pairing import pair
from surgery.equivalence.probes import Prober
from surgery.equivalence.promise import Promise
from surgery.equivalence.session import Session
from surgery.equivalence.sites.verifier import Asked, SiteReport, SiteVerifier
from surgery.equivalence.subject import Subject

NAMES = ("ppocr_cls", "ppocrv4_rec", "ppocrv4_det", "det_v4", "starnet", "rare", "panet")
MOST = {"ppocr_cls": 3, "ppocrv4_rec": 3, "ppocrv4_det": 3, "starnet": 6, "rare": 6}  # times onnxslim's own time
_HEAD = "import onnx, sys; m = onnx.load(sys.argv[1])"
_CODE = {
    "onnxoptimizer": "import onnxoptimizer as o; r = o.optimize(m, o.get_fuse_and_elimination_passes())",
    "onnxscript": "import onnxscript.optimizer as o; r = o.optimize(m)",
    **{
        f"opset {to}": f"from onnx import version_converter as c; assert m.opset_import[0].version < {to};"
        f" r = c.convert_version(m, {to})"
        for to in (13, 17, 18, 21)
    },
}
MAKERS = ("onnxslim", "onnxsim", *_CODE)


def make(maker: str, model: Path, made: Path) -> float | None:
    """Have one of `MAKERS` make a model of another; its seconds, or None if it does not."""
    if maker in _CODE:
        code = f"{_HEAD}; {_CODE[maker]}; onnx.save(r, sys.argv[2])"
        command = [sys.executable, "-c", code]
    elif path := tool(maker):
        command = [path]
    else:
        return None
    start = time.monotonic()
    done = subprocess.run([*command, str(model), str(made)], capture_output=True)
    return time.monotonic() - start if done.returncode == 0 and made.exists() else None


def verify(before: Path, after: Path, repro: Path | None = None) -> SiteReport:
    """Find inputs that `before` runs on, and verify the cuts between the two models."""
    subject, other = Subject.read(before), Subject.read(after)
    session, prober = Session(subject), Prober(subject, 0)
    cases = prober.guesses() or prober.search(lambda feeds, seconds: session.run(feeds, seconds=seconds))
    feeds = [case.feeds for case in cases]
    pairs = pair(subject, other, "name")
    return SiteVerifier(subject, other, pairs, feeds, Promise(each=True), Asked(repro=repro)).run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--models", type=Path, default=os.environ.get("SURGERY_MODELS"))
    parser.add_argument("--made", type=Path)
    parser.add_argument("--repro", type=Path)
    arguments = parser.parse_args()
    figures, refused, pairs = Figures(), 0, 0
    if arguments.made is None:
        planted.run(figures)
    if arguments.models is None:
        print("sites: not measured on real models, for there are none (SURGERY_MODELS)")
        return figures.status
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            model = Path(arguments.models) / f"{name}.onnx"
            for maker in ("given",) if arguments.made else MAKERS:
                made = (arguments.made or Path(folder)) / f"{name}.onnx"
                peer = 0.0 if arguments.made else make(maker, model, made)
                if peer is None:
                    print(f"{name:12} {maker:13} not installed, or it fails", flush=True)
                    continue
                start = time.monotonic()
                report = verify(model, made, arguments.repro and arguments.repro / name / maker)
                _show(name, maker, report, time.monotonic() - start)
                pairs += 1
                refused += report.sites.verdict != "equal"
                if maker == "onnxslim" and name in MOST:
                    seconds = _command(model, made)
                    figures.ratio(f"surgery verify {name} / onnxslim", seconds, peer, MOST[name], "s")
                if not arguments.made:
                    made.unlink()
    figures.amount(f"refused of {pairs} right results", refused, 0, "")
    return figures.status


def _command(model: Path, made: Path) -> float:
    """The wall time of ``surgery verify``."""
    start = time.monotonic()
    subprocess.run([*surgery(), "verify", str(model), str(made)], capture_output=True)
    return time.monotonic() - start


def _show(name: str, maker: str, report: SiteReport, seconds: float) -> None:
    sites = report.sites
    print(
        f"{name:12} {maker:13} claims {sites.count:4} kinds {sites.structures:4} {sites.verdict:10} "
        f"sites {sites.seconds:5.1f} s, with probes {seconds:5.1f} s, {report.elements / 1e6:7.1f} M elements",
        flush=True,
    )
    for finding in sites.findings:
        print("   ", finding)
    for note in report.notes:
        print("   ", note)


if __name__ == "__main__":
    sys.exit(main())
