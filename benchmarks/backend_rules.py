"""How well the rules of the targets tell what real backends do, over a folder of measured cases.

The folder holds cases.zip (NAME.onnx; NAME.npz with inputs INPUT.k) and verdicts.tsv: a header ``case group
onnxruntime openvino mnn ncnn``, and a row a case with ok, wrong, refused or crashed.

Asked is that no failing case goes unflagged, and that no working one is turned away: flagged, and not cured at its
sizes. A working case that is flagged and cured costs a rewrite, not an answer; these are listed beside their cures,
for some work by chance, by what lies behind a tensor in memory, and for others a rule may be too wide.

python -m benchmarks.backend_rules FOLDER [--backend NAME] [--list]
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx

from benchmarks._measure import Figures
from benchmarks._raw import fixed
from benchmarks.backends import stored
from surgery.errors import SurgeryError
from surgery.model import load
from surgery.targets import choose
from surgery.targets.check import check
from surgery.targets.finding import Finding
from surgery.targets.plan import plan, ports
from surgery.targets.sizes import settle

BACKENDS = ("openvino", "mnn", "ncnn")


def cases(folder: Path, models: Path) -> Iterator[tuple[dict[str, str], onnx.ModelProto]]:
    """Every case: its row of the verdicts, and its model, which is unpacked beside its inputs."""
    zipfile.ZipFile(folder / "cases.zip").extractall(models)
    with open(folder / "verdicts.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            yield row, onnx.load(models / f"{row['case']}.onnx")


def blocking(model: onnx.ModelProto, backend: str) -> list[Finding]:
    """What keeps a model from the backend."""
    return [finding for finding in check(model, backend) if finding.blocking]


def left(model: Path, backend: str) -> tuple[list[str], list[str]]:
    """The passes that `prepare` would apply at the case's sizes, and the rules that block it even then."""
    chosen = choose(backend)
    known = stored(model, model.with_suffix(".npz"))
    profiles = [fixed({name: value.shape for name, value in case.feeds.items()}) for case in known]
    try:
        made = plan(model, chosen, settle(ports(load(model)), profiles, chosen))
    except SurgeryError as error:
        return [], [str(error)]
    return made.passes, sorted({finding.rule for finding in made.blocking})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("SURGERY_BACKENDS"))
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--list", action="store_true", help="name the cases found, too")
    arguments = parser.parse_args()
    if not arguments.folder:
        print("skipped: neither a folder of cases nor SURGERY_BACKENDS is given")
        return 0
    figures = Figures()
    scratch = tempfile.TemporaryDirectory()
    models = Path(scratch.name)
    measured = list(cases(Path(arguments.folder), models))
    for backend in arguments.backend or BACKENDS:
        found: list[str] = []
        missed: list[str] = []
        cured: list[str] = []
        away: list[str] = []
        passing = 0
        for row, model in measured:
            rules = sorted({finding.rule for finding in blocking(model, backend)})
            line = f"    {row['case']:32} {row[backend]:8} {' '.join(rules)}"
            if row[backend] == "ok":
                passing += 1
                if rules:
                    passes, blocked = left(models / f"{row['case']}.onnx", backend)
                    (away if blocked else cured).append(f"{line}: {' '.join(blocked or passes)}")
            else:
                (found if rules else missed).append(line)
        failing = len(found) + len(missed)
        flagged = f"{len(cured) + len(away)} of {passing} passing flagged, {len(cured)} of them cured"
        print(f"{backend}: {len(found)} of {failing} failing cases found; {flagged}")
        figures.amount("  failing, missed", len(missed), 0, "")
        print("\n".join(missed), end="\n" if missed else "")
        figures.amount("  passing, turned away", len(away), 0, "")
        print("\n".join(away), end="\n" if away else "")
        print("\n".join(["  passing, flagged and cured", *cured]) if cured else "", end="\n" if cured else "")
        if arguments.list:
            print("\n".join(["  found", *found]))
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
