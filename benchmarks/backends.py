"""What real backends make of a folder of cases, as they are and after the cures; written to docs/backends.md.

The folder holds cases.zip (NAME.onnx; NAME.npz with inputs INPUT.k and ONNX Runtime's OUTPUT.k) and verdicts.tsv, a
header ``case group onnxruntime openvino mnn ncnn`` and a row a case. Every case goes through `prepare` and `compile`
for every backend, as a user's model does: is it refused by `check`, what is applied, is the result verified, and does
it then compile, run and match, each time in a process of its own. A case with two sizes is prepared for both in one
model; where the rules ask for fixed dims, once for each size.

python -m benchmarks.backends FOLDER [--backend NAME] [--case NAME] [--times 3] [--as-is] [--write docs/backends.md]
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import os
import sys
import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx

from benchmarks._raw import fixed, lay_out
from surgery.errors import SurgeryError
from surgery.targets import choose
from surgery.targets.cases import Case
from surgery.targets.compile import compile
from surgery.targets.plan import Plan
from surgery.targets.prepare import prepare

BACKENDS = ("openvino", "mnn", "ncnn")
GOOD = ("worked", "cured", "refused beforehand")
SECONDS = 120.0  # in which a case is compiled and run


@dataclass
class Row:
    """A case at a backend: what it did as it is, what was found and applied, and what it does then."""

    case: str
    backend: str
    before: str
    found: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    passes: list[str] = field(default_factory=list)
    verified: str = ""
    after: list[str] = field(default_factory=list)
    why: str = ""
    fixed: bool = False

    @property
    def outcome(self) -> str:
        """What comes of it: the last word for the user."""
        if self.left:
            return "flagged though it works" if self.before == "ok" else "refused beforehand"
        if set(self.after) == {"ok"}:
            return "worked" if self.before == "ok" else "cured"
        if self.verified and self.verified not in ("equal", "untouched"):
            return f"not verified: {self.verified}"
        return "broken" if self.before == "ok" else f"slips through: {max(self.after)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("SURGERY_BACKENDS"))
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--case", action="append", help="these cases only")
    parser.add_argument("--failing", action="store_true", help="only pairs that fail as they are")
    parser.add_argument("--working", action="store_true", help="only pairs that work as they are")
    parser.add_argument("--times", type=int, default=3, help="how often each is run")
    parser.add_argument("--as-is", action="store_true", help="measure the cases as they are anew, too")
    parser.add_argument("--write", type=Path, help="the document to write")
    parser.add_argument("--json", type=Path, help="every row, for a closer look")
    arguments = parser.parse_args()
    if not arguments.folder:
        parser.error("name the folder of the cases, or set SURGERY_BACKENDS")
    folder = Path(arguments.folder)
    with open(folder / "verdicts.tsv", newline="") as table:
        known = list(csv.DictReader(table, delimiter="\t"))
    pairs = [
        (entry["case"], backend, entry[backend])
        for backend in arguments.backend or BACKENDS
        for entry in known
        if (not arguments.case or entry["case"] in arguments.case)
        and not (arguments.failing and entry[backend] == "ok")
        and not (arguments.working and entry[backend] != "ok")
    ]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        zipfile.ZipFile(folder / "cases.zip").extractall(scratch)
        for row in pool.map(partial(examine, Path(scratch), arguments.times, arguments.as_is), pairs):
            rows.append(row)
            line = f"{row.backend:9} {row.case:34} {row.before:8} {row.outcome:24}"
            print(f"{line} {' '.join(row.passes)} {','.join(row.left)} {row.why}", flush=True)
    print("\n".join(summary(rows)))
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(row) | {"outcome": row.outcome} for row in rows], indent=1))
    if arguments.write:
        arguments.write.write_text(document(rows))
    return 0 if all(row.outcome in GOOD for row in rows) else 1


def examine(cases: Path, times: int, as_is: bool, pair: tuple[str, str, str]) -> Row:
    """Take one case through it all."""
    name, backend, before = pair
    row = Row(name, backend, before)
    model, feeds = cases / f"{name}.onnx", cases / f"{name}.npz"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if as_is:
            raw = lay_out(model, backend, stored(model, feeds), folder / "raw")
            seen = [verdict(raw)[0] for _ in range(times)]
            row.before = next((v for v in seen if v != "ok"), "ok")
        made = prepared(row, model, feeds, folder / "all")
        ready = [folder / "all"]
        count = len(stored(model, feeds))
        if row.left and count > 1 and any(cure == "fix-dims" for f in made.left for cure in f.cures):
            tried, row.left, row.passes = (row.left, row.passes), [], []
            ready = [folder / str(k) for k in range(count)]
            for k, one in enumerate(ready):
                prepared(row, model, part(feeds, k, folder), one)
            row.fixed = not row.left
            if row.left:
                row.left, row.passes = tried
        if row.left or (row.verified and row.verified not in ("equal", "untouched")):
            return row
        for one in ready:
            for _ in range(times):
                said, why = verdict(one)
                row.after.append(said)
                row.why = row.why or why
    return row


def prepared(row: Row, model: Path, feeds: Path, folder: Path) -> Plan:
    """Prepare the case for the sizes of its inputs, which are its probes."""
    profiles = [fixed({name: v.shape for name, v in case.feeds.items()}) for case in stored(model, feeds)]
    try:
        result = prepare(model, choose(row.backend), profiles, folder, inputs=[feeds])
    except SurgeryError as error:
        row.verified, row.why = "refused", str(error)[:200]
        return Plan()
    row.found = sorted({finding.rule for finding in result.plan.found if finding.blocking})
    row.left = sorted({*row.left, *(finding.rule for finding in result.plan.blocking)})
    row.passes += [text for text in result.plan.passes if text not in row.passes]
    if result.report is not None:
        row.verified = result.report.verdict
        if result.folder is None:
            row.why = " ".join(str(result.report.verify).split())[:200]
    return result.plan


def verdict(folder: Path) -> tuple[str, str]:
    """What a backend makes of a folder, in the words of the table; and why."""
    result = compile(folder, seconds=SECONDS)
    return "ok" if result.ok else result.verdict, " ".join(result.why.split())[:200]


def stored(model: Path, feeds: Path) -> list[Case]:
    """The cases of a file."""
    graph = onnx.load(model).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in weights]
    outputs = [value.name for value in graph.output]
    with np.load(feeds) as file:
        count = 1 + max(int(key.rpartition(".")[2]) for key in file)
        return [
            Case({n: file[f"{n}.{k}"] for n in inputs}, {n: file[f"{n}.{k}"] for n in outputs}, k) for k in range(count)
        ]


def part(feeds: Path, k: int, folder: Path) -> Path:
    """The k-th case of a file, as a file of its own."""
    path = folder / f"{feeds.stem}.{k}.npz"
    with np.load(feeds) as file:
        np.savez(path, **{f"{key.rpartition('.')[0]}.0": file[key] for key in file if key.endswith(f".{k}")})
    return path


def summary(rows: list[Row]) -> list[str]:
    """How many of each outcome, backend by backend."""
    lines = []
    for backend in dict.fromkeys(row.backend for row in rows):
        for failing in (True, False):
            mine = [row for row in rows if row.backend == backend and (row.before != "ok") == failing]
            counts = collections.Counter(row.outcome for row in mine)
            told = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
            lines.append(f"{backend}: of {len(mine)} that {'fail' if failing else 'work'}: {told}")
    return lines


def document(rows: list[Row]) -> str:
    """The table of docs/backends.md."""
    from surgery.targets import get

    versions = ", ".join(f"{b} {get(b).versions[-1]}" for b in dict.fromkeys(row.backend for row in rows))
    failing = [row for row in rows if row.before != "ok"]
    lines = [
        "# Backends, as they are and after the cures",
        "",
        f"Written by `python -m benchmarks.backends`, with {versions}. {len({row.case for row in rows})} small models,",
        "each run three times in a process of its own; right means within 1e-3 of the range of ONNX Runtime's results.",
        "",
        "| backend | fail as they are | cured | refused beforehand | slip through | work as they are | still work |",
        "|---|---|---|---|---|---|---|",
    ]
    for backend in dict.fromkeys(row.backend for row in rows):
        counts = collections.Counter(
            (row.before != "ok", row.outcome.partition(":")[0]) for row in rows if row.backend == backend
        )
        bad = sum(n for (fails, _), n in counts.items() if fails)
        good = sum(n for (fails, _), n in counts.items() if not fails)
        cured, refused = counts[True, "cured"], counts[True, "refused beforehand"]
        missed, still = bad - cured - refused, counts[False, "worked"]
        lines.append(f"| {backend} | {bad} | {cured} | {refused} | {missed} | {good} | {still} |")
    lines += [
        "",
        "Every pair that fails as it is:",
        "",
        "| case | backend | as it is | cures | then |",
        "|---|---|---|---|---|",
    ]
    for row in failing:
        cures = " ".join(f"`{text}`" for text in row.passes) if row.outcome == "cured" else ""
        then = "right, a model for each size" if row.outcome == "cured" and row.fixed else row.outcome
        if row.outcome == "refused beforehand":
            then = f"refused beforehand: {', '.join(row.left)}"
        lines.append(f"| {row.case} | {row.backend} | {row.before} | {cures} | {then.replace('cured', 'right')} |")
    changed = [row for row in rows if row.before == "ok" and (row.passes or row.outcome != "worked")]
    lines += ["", "Pairs that work as they are, and of which a rule holds:", "", "| case | backend | cures | then |"]
    lines += ["|---|---|---|---|"]
    for row in changed:
        lines.append(f"| {row.case} | {row.backend} | {' '.join(row.passes)} | {row.outcome} {', '.join(row.left)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
