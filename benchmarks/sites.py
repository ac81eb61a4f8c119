"""Site verification of real models against what an optimizer made of them.

    python -m benchmarks.sites [--models DIR] [--made DIR] [NAME ...]

Prints, for each model: claims, kinds, what came of them, seconds and elements. ``--made`` holds the
results of the optimizer, under the names of the models; without it onnxslim makes them first, and its
wall time is printed beside ours. Right results must not be refused: the exit status is 1 if one is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._measure import tool
from surgery.equivalence.pairing import pair
from surgery.equivalence.probes import Prober
from surgery.equivalence.session import Session
from surgery.equivalence.sites import SiteReport, SiteVerifier
from surgery.equivalence.subject import Subject

NAMES = ("ppocr_cls", "ppocrv4_rec", "ppocrv4_det", "det_v4", "starnet", "rare", "panet")


def verify(before: Path, after: Path, repro: Path | None = None) -> SiteReport:
    """Find inputs that `before` runs on, and verify the cuts between the two models."""
    subject, other = Subject.read(before), Subject.read(after)
    session, prober = Session(subject), Prober(subject, 0)
    cases = prober.guesses() or prober.search(lambda feeds, seconds: session.run(feeds, seconds=seconds))
    feeds = [case.feeds for case in cases]
    return SiteVerifier(subject, other, pair(subject, other, "name"), feeds, repro=repro).run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--models", type=Path, default=os.environ.get("SURGERY_MODELS"))
    parser.add_argument("--made", type=Path)
    parser.add_argument("--repro", type=Path)
    arguments = parser.parse_args()
    slim = tool("onnxslim")
    if arguments.models is None or (slim is None and arguments.made is None):
        print("sites: not measured, for there are no models, or no onnxslim")
        return 0
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            model, peer = Path(arguments.models) / f"{name}.onnx", 0.0
            made = (arguments.made or Path(folder)) / f"{name}.onnx"
            if arguments.made is None:
                start = time.monotonic()
                subprocess.run([str(slim), str(model), str(made)], check=True, capture_output=True)
                peer = time.monotonic() - start
            start = time.monotonic()
            report = verify(model, made, arguments.repro and arguments.repro / name)
            whole, sites = time.monotonic() - start, report.sites
            refused += sites.verdict != "equal"
            print(
                f"{name:12} claims {sites.count:4} kinds {sites.structures:4} {sites.verdict:10} "
                f"sites {report.sites.seconds:5.1f} s, with probes {whole:5.1f} s, onnxslim {peer:5.1f} s, "
                f"{report.elements / 1e6:7.1f} M elements",
                flush=True,
            )
            for finding in report.sites.findings:
                print("   ", finding)
            for note in report.notes:
                print("   ", note)
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())
