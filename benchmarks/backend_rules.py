"""How well the rules of the targets tell what real backends do, over a folder of measured cases.

The folder holds NAME.onnx for every case, and verdicts.tsv: a header ``case group onnxruntime
openvino mnn ncnn``, and a row a case with ok, wrong, refused or crashed (or an archive cases.zip
of the models).

python -m benchmarks.backend_rules FOLDER [--backend NAME] [--list]
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx

from benchmarks._measure import Figures
from surgery.targets.check import check
from surgery.targets.finding import Finding

BACKENDS = ("openvino", "mnn", "ncnn")


def cases(folder: Path) -> Iterator[tuple[dict[str, str], onnx.ModelProto]]:
    """Every case: its row of the verdicts, and its model."""
    archive = zipfile.ZipFile(folder / "cases.zip") if (folder / "cases.zip").exists() else None
    with open(folder / "verdicts.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            name = f"{row['case']}.onnx"
            data = archive.read(name) if archive is not None else (folder / name).read_bytes()
            yield row, onnx.ModelProto.FromString(data)


def blocking(model: onnx.ModelProto, backend: str) -> list[Finding]:
    """What keeps a model from the backend."""
    return [finding for finding in check(model, backend) if finding.blocking]


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
    measured = list(cases(Path(arguments.folder)))
    for backend in arguments.backend or BACKENDS:
        found: list[str] = []
        missed: list[str] = []
        wrongly: list[str] = []
        passing = 0
        for row, model in measured:
            rules = sorted({finding.rule for finding in blocking(model, backend)})
            line = f"    {row['case']:32} {row[backend]:8} {' '.join(rules)}"
            if row[backend] == "ok":
                passing += 1
                wrongly += [line] if rules else []
            else:
                (found if rules else missed).append(line)
        failing = len(found) + len(missed)
        print(f"{backend}: {len(found)} of {failing} failing cases found; {len(wrongly)} of {passing} passing flagged")
        figures.amount("  failing, missed", len(missed), 0, "")
        print("\n".join(missed), end="\n" if missed else "")
        figures.amount("  passing, flagged", len(wrongly), 0, "")
        print("\n".join(wrongly), end="\n" if wrongly else "")
        if arguments.list:
            print("\n".join(["  found", *found]))
    return figures.status


if __name__ == "__main__":
    sys.exit(main())
