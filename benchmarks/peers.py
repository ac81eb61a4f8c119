"""What other tools make of models, as `surgery verify` finds it.

    python -m benchmarks.peers -o docs/peers.md            all tools over all cases
    python -m benchmarks.peers --only TOOL:CASE --keep DIR one of them; before.onnx and after.onnx stay in DIR

Each tool runs at its defaults, through its documented entry point, in a child process. Cases are the models in the
folder that SURGERY_MODELS names, a seeded sample of the onnx wheel's backend-test models, and the small models of
`SMALL`. A result counts as a finding where the tool crashed or raised, or where what it made is no valid model while
the one before is, is not run, or computes something else. onnxoptimizer is not among the project's extras
(`pip install onnxoptimizer`); a tool that is not installed is left out, and the page says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from surgery.equivalence import verify
from surgery.equivalence.promise import Promise
from surgery.errors import SurgeryError
from surgery.render.text import escape

SAMPLE = 120
SECONDS = 300

SMALL = {
    "shared-convs": """<ir_version: 8, opset_import: ["": 17]>
g (float[n,2,5,6] x) => (float[n,2,5,6] y)
<float[2,2,1,1] w = {1, 2, 3, 4}, float[2] b = {1, 2}, float s = {2}, float t = {3}, float u = {5}, float v = {7}> {
  p = Conv(x, w, b)  q = Mul(p, s)  r = Add(q, t)  i = Conv(r, w, b)  j = Mul(i, u)  y = Add(j, v) }""",
    "value-float": """<ir_version: 8, opset_import: ["": 17]>
g (float[n,4] x) => (float[n,4] y) { c = Constant<value_float: float = 2.0>()  y = Mul(x, c) }""",
    "unused-input": """<ir_version: 8, opset_import: ["": 17]>
g (float[n,4] x, float[n] mask) => (float[n,4] y) { a = Identity(x)  y = Relu(a) }""",
    "pad-then-conv": """<ir_version: 8, opset_import: ["": 17]>
g (float[n,1,5,6] x) => (float[n,1,o,p] y)
<int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, float one = {1}, float[1,1,3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
  a = Pad(x, pads, one)  y = Conv(a, w) }""",
    "softmax-12": """<ir_version: 7, opset_import: ["": 12]>
g (float[n,3,4] x) => (float[n,3,4] y) { y = Softmax(x) }""",
    "empty-slice": """<ir_version: 8, opset_import: ["": 17]>
g (float[n,6] x) => (float[n,m] y) <int64[1] a = {4}, int64[1] b = {-9}, int64[1] one = {1}> {
  y = Slice(x, a, b, one) }""",
}


def onnxslim(before: Path, after: Path) -> None:
    """What `onnxslim IN OUT` does."""
    import onnxslim as tool

    tool.slim(str(before), str(after))


def onnxsim(before: Path, after: Path) -> None:
    """What `onnxsim IN OUT` does; its own check is said to the caller, who is expected to look."""
    import onnxsim as tool

    model, ok = tool.simplify(str(before))
    if not ok:
        raise RuntimeError("onnxsim's own check failed")
    onnx.save(model, after)


def onnxoptimizer(before: Path, after: Path) -> None:
    """Its default passes."""
    tool = importlib.import_module("onnxoptimizer")  # no extra of this project
    onnx.save(tool.optimize(onnx.load(before)), after)


def onnxscript(before: Path, after: Path) -> None:
    """`onnxscript.optimizer`, its default rewrite rules, and its rules that fold a scale into a Conv."""
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules import common

    model = rewriter.rewrite(optimizer.optimize(onnx.load(before)))
    onnx.save(rewriter.rewrite(model, [common.conv_affine_fusion_rule, common.affine_conv_fusion_rule]), after)


TOOLS: dict[str, Callable[[Path, Path], None]] = {
    tool.__name__: tool for tool in (onnxslim, onnxsim, onnxoptimizer, onnxscript)
}


@dataclass(frozen=True)
class Finding:
    """What was found of a tool's result for a case."""

    tool: str
    case: str
    kind: str
    why: str


def cases(folder: Path, sample: int) -> Iterator[tuple[str, Path]]:
    """All cases, by name and file; small ones are written to `folder`."""
    for name, text in SMALL.items():
        yield f"small/{name}", _saved(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    tests = _backend_tests()
    for name in random.Random(20).sample(sorted(tests), min(sample, len(tests))):
        yield f"onnx/{name}", _saved(tests[name], folder / f"{name}.onnx")
    models = os.environ.get("SURGERY_MODELS")
    for path in sorted(Path(models).glob("*.onnx")) if models else []:
        yield f"model/{path.stem}", path


def look(tool: str, case: str, before: Path, after: Path) -> Finding | None:
    """Run a tool on a case, and judge what it made."""
    status, words = _in_child(TOOLS[tool], before, after)
    valid = _fault(before) == ""
    if status < 0:
        return Finding(tool, case, "crashed", f"ended by signal {-status}")
    if status == SECONDS:
        return Finding(tool, case, "does not end", f"within {SECONDS} s")
    if words:
        return Finding(tool, case, "raised", words) if valid else None
    if not after.exists():
        return Finding(tool, case, "wrote nothing", "and said nothing")
    if (fault := _fault(after)) and valid:
        return Finding(tool, case, "invalid", fault)
    try:
        result = verify(before, after, promise=Promise(), match="name")
    except SurgeryError as error:
        return Finding(tool, case, "interface", error.what)
    if result.verdict == "different":
        first = result.first_difference
        where = f"{first.tensor}: {first.before} became {first.after}" if first else ""
        return Finding(tool, case, "different", where or "; ".join(result.notes) or str(result))
    return None


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def _backend_tests() -> dict[str, onnx.ModelProto]:
    from onnx.backend.test.case.model import collect_testcases as of_models
    from onnx.backend.test.case.node import collect_testcases as of_nodes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [*of_nodes(None), *of_models()]
    return {case.name: case.model for case in found if case.model is not None}


def _fault(path: Path) -> str:
    """What the full checker has against a model; empty if nothing."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # of several kinds
        return " ".join(str(error).split())
    return ""


def _in_child(tool: Callable[[Path, Path], None], before: Path, after: Path) -> tuple[int, str]:
    """The exit status, negative for a signal, and what was raised, if anything."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def work() -> None:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            tool(before, after)
        except BaseException as error:  # SystemExit, too
            theirs.send(f"{type(error).__name__}: {error}".strip().splitlines()[0][:300])
        os._exit(0)

    child = context.Process(target=work)
    child.start()
    child.join(SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
        return SECONDS, ""
    return child.exitcode or 0, ours.recv() if ours.poll() else ""


def page(findings: list[Finding], tried: Counter[str], missing: list[str]) -> str:
    """The page, in Markdown."""
    versions = {tool: importlib.metadata.version(tool) for tool in tried}
    kinds = list(dict.fromkeys(f.kind for f in findings))
    count = Counter((f.tool, f.kind) for f in findings)
    lines = [
        "# What `surgery verify` finds in the results of other tools",
        "",
        "Made by `python -m benchmarks.peers -o docs/peers.md`. Each tool ran at its defaults over the same models;",
        "its result was checked by `onnx.checker` (full) and by `surgery verify BEFORE AFTER`. What the name of a case",
        "means, and how to get the two files of a finding, is said at the top of `benchmarks/peers.py`. These are",
        "findings at the versions named, not judgements of the tools: most results are right.",
        "",
        f"| tool | version | models | {' | '.join(kinds)} |",
        f"|---|---|---|{'---|' * len(kinds)}",
    ]
    for tool, number in tried.items():
        cells = " | ".join(str(count[tool, kind] or "-") for kind in kinds)
        lines.append(f"| {tool} | {versions[tool]} | {number} | {cells} |")
    if missing:
        lines += ["", f"Not installed, and so not tried: {', '.join(missing)}."]
    for tool in tried:
        own = [f for f in findings if f.tool == tool]
        if own:
            lines += ["", f"## {tool}", "", "| case | what | why |", "|---|---|---|"]
            lines += [f"| {f.case} | {f.kind} | {_cell(f.why)} |" for f in own]
            lines += ["", f"    python -m benchmarks.peers --only {tool}:{own[0].case} --keep found"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return escape(text)[:300].replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="the page to write; else it is printed")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="of the backend-test models")
    parser.add_argument("--only", metavar="TOOL:CASE", help="one case of one tool")
    parser.add_argument("--keep", type=Path, help="where before.onnx and after.onnx are to stay")
    asked = parser.parse_args()
    missing = [tool for tool in TOOLS if not _installed(tool)]
    tools = [tool for tool in TOOLS if tool not in missing]
    findings, tried = [], Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if asked.only:
            tool, _, wanted = asked.only.partition(":")
            keep = asked.keep or Path()
            keep.mkdir(parents=True, exist_ok=True)
            found = {name: path for name, path in cases(folder, 10**6) if name == wanted}
            if tool not in tools or not found:
                sys.exit(f"there is no {asked.only}; tools: {', '.join(tools)}")
            before = _saved(onnx.load(found[wanted]), keep / "before.onnx")
            (keep / "after.onnx").unlink(missing_ok=True)
            print(look(tool, wanted, before, keep / "after.onnx") or "nothing found")
            return
        for case, before in cases(folder, asked.sample):
            for tool in tools:
                after = folder / "after.onnx"
                after.unlink(missing_ok=True)
                (folder / "after.onnx.data").unlink(missing_ok=True)
                tried[tool] += 1
                if found_one := look(tool, case, before, after):
                    findings.append(found_one)
                    print(found_one, file=sys.stderr, flush=True)
    text = page(findings, tried, missing)
    if asked.output:
        asked.output.write_text(text, encoding="utf-8")
    else:
        print(text)


def _installed(tool: str) -> bool:
    return importlib.util.find_spec(tool) is not None


if __name__ == "__main__":
    main()
