"""What real backends make of a folder of cases, as they are and after the cures; written to docs/backends.md.

The folder holds cases.zip (NAME.onnx; NAME.npz with inputs INPUT.k and ONNX Runtime's OUTPUT.k) and verdicts.tsv, a
header ``case group onnxruntime openvino mnn ncnn`` and a row a case. For every case and backend: is it refused by
`check`, what does the plan of `prepare` apply, is the result verified, and does it then compile, run and match, each
time in a process of its own. A case with two sizes is prepared for both in one model; where the rules ask for fixed
dims, once for each size.

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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks._drivers import served
from surgery.engine import apply
from surgery.errors import SurgeryError
from surgery.model import load
from surgery.targets import choose
from surgery.targets.plan import Plan, plan, ports
from surgery.targets.sizes import Dim, settle

BACKENDS = ("openvino", "mnn", "ncnn")
GOOD = ("worked", "cured", "refused beforehand")


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
    parser.add_argument("--verify", default="full", help="as of `surgery apply`; none is for a quick look")
    parser.add_argument("--as-is", action="store_true", help="measure the cases as they are anew, too")
    parser.add_argument("--write", type=Path, help="the document to write")
    parser.add_argument("--json", type=Path, help="every row, for a closer look")
    arguments = parser.parse_args()
    if not arguments.folder:
        parser.error("name the folder of the cases, or set SURGERY_BACKENDS")
    folder = Path(arguments.folder)
    with open(folder / "verdicts.tsv", newline="") as table:
        known = list(csv.DictReader(table, delimiter="\t"))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        cases = Path(scratch)
        zipfile.ZipFile(folder / "cases.zip").extractall(cases)
        for backend in arguments.backend or BACKENDS:
            with served(backend) as ask:
                for entry in known:
                    if arguments.case and entry["case"] not in arguments.case:
                        continue
                    if arguments.failing and entry[backend] == "ok":
                        continue
                    if arguments.working and entry[backend] != "ok":
                        continue
                    row = examine(cases, entry["case"], backend, entry[backend], ask, arguments)
                    rows.append(row)
                    line = f"{backend:9} {row.case:34} {row.before:8} {row.outcome:24}"
                    print(f"{line} {' '.join(row.passes)} {','.join(row.left)} {row.why}", flush=True)
    print("\n".join(summary(rows)))
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(row) | {"outcome": row.outcome} for row in rows], indent=1))
    if arguments.write:
        arguments.write.write_text(document(rows))
    return 0 if all(row.outcome in GOOD for row in rows) else 1


def examine(
    cases: Path, name: str, backend: str, before: str, ask: Callable[..., tuple[str, str]], how: argparse.Namespace
) -> Row:
    """Take one case through it all."""
    row = Row(name, backend, before)
    model, feeds = cases / f"{name}.onnx", cases / f"{name}.npz"
    if how.as_is:
        seen = [ask(model, feeds)[0] for _ in range(how.times)]
        row.before = next((v for v in seen if v != "ok"), "ok")
    together = sizes_of(feeds)
    made = prepared(row, model, feeds, together, how.verify)
    if row.left and len(together) > 1 and any(cure == "fix-dims" for f in made.left for cure in f.cures):
        tried, row.left, row.passes = (row.left, row.passes), [], []
        parts = [part(feeds, k, cases) for k in range(len(together))]
        for one, sizes in zip(parts, together, strict=True):
            prepared(row, model, one, [sizes], how.verify)
        row.fixed = True
        if row.left:
            row.left, row.passes = tried
            row.fixed = False
    else:
        parts = [feeds]
    if row.left:
        return row
    row.after = []
    for one in parts:
        ready = one.with_suffix(".ready.onnx")
        for _ in range(how.times):
            verdict, why = ask(ready, one)
            row.after.append(verdict)
            row.why = row.why or why
    return row


def prepared(row: Row, model: Path, feeds: Path, shapes: list[dict[str, tuple[int, ...]]], verify: str) -> Plan:
    """Plan and apply; the model lies beside the feeds then."""
    chosen = choose(row.backend)
    profiles = [{n: tuple(Dim(d, d, d) for d in shape) for n, shape in one.items()} for one in shapes]
    inputs = ports(load(model))
    given = [{port.name: profile[port.name] for port in inputs} for profile in profiles]
    made = plan(model, chosen, settle(inputs, given, chosen))
    row.found = sorted({finding.rule for finding in made.found if finding.blocking})
    row.left = sorted({*row.left, *(finding.rule for finding in made.blocking)})
    row.passes += [text for text in made.passes if text not in row.passes]
    ready = feeds.with_suffix(".ready.onnx")
    ready.write_bytes(model.read_bytes())
    if made.passes and not row.left:
        try:
            result = apply(model, made.passes, ready, verify=verify, force=True)
            row.verified = result.report.verdict if verify != "none" else "equal"
            if not result.ok:
                row.why = " ".join(str(result.report.verify).split())[:200]
        except SurgeryError as error:
            row.verified, row.why = "refused", str(error)[:200]
    return made


def sizes_of(feeds: Path) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of every input and output, case by case."""
    with np.load(feeds) as file:
        shapes = {key: file[key].shape for key in file}
    count = 1 + max(int(key.rpartition(".")[2]) for key in shapes)
    return [{key.rpartition(".")[0]: s for key, s in shapes.items() if key.endswith(f".{k}")} for k in range(count)]


def part(feeds: Path, k: int, folder: Path) -> Path:
    """The k-th case of a file, as a file of its own."""
    path = folder / f"{feeds.stem}.part{k}.npz"
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
