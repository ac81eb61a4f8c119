"""Prepare a model for a compiler: cure, verify, and write the model, its commands and a proof.

A folder that was written holds

    NAME.onnx       the model, verified to give what it gave before
    config.txt      configuration, where the compiler reads one
    build.sh        compiles, runs the probes, and compares
    expected.npz    the probes and what the model gave for them before: x.0, y.0, x.1, ...
    probes/0/..     the inputs of probe 0, as ais_bench and trtexec read them: input0.bin, ...
    prepare.json    what was done, and what the files hold
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from surgery.engine import apply
from surgery.errors import BadInput
from surgery.report import SCHEMA, Report
from surgery.targets.build import Step, line
from surgery.targets.cases import Case, cases, given
from surgery.targets.plan import Plan, plan, ports
from surgery.targets.rule import Chosen
from surgery.targets.sizes import Port, Profile, Sizes, settle

RECORD = "prepare.json"
EXPECTED = "expected.npz"
_PROBES = 8  # at most are made; a profile each, and the ends of ranges

Progress = Callable[[str], None]


@dataclass
class Prepared:
    """What came of `prepare`. ``folder`` is None where nothing was written, and ``plan`` or ``report`` say why."""

    target: Chosen
    plan: Plan = field(default_factory=Plan)
    report: Report | None = None
    steps: list[Step] = field(default_factory=list)
    folder: Path | None = None
    probes: int = 0
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it, and as it is kept beside the model."""
        return {
            "target": self.target.name,
            "version": self.target.version,
            "options": self.target.options,
            "passes": self.plan.passes,
            "found": [finding.to_json() for finding in self.plan.found],
            "left": [finding.to_json() for finding in self.plan.left],
            "not_installed": self.plan.absent,
            "failed": self.plan.failed,
            "steps": [{"name": s.name, "command": list(s.command), "files": list(s.files)} for s in self.steps],
            "verdict": None if self.report is None else self.report.verdict,
            "folder": None if self.folder is None else str(self.folder),
            "probes": self.probes,
            "notes": self.notes,
        }


def prepare(
    model: str | os.PathLike[str],
    chosen: Chosen,
    profiles: Sequence[Profile],
    folder: Path,
    *,
    allow_findings: bool = False,
    allow_unverified: bool = False,
    progress: Progress = lambda text: None,
    **how: Any,
) -> Prepared:
    """Cure a model for a target, verify it, and write all that its compiler needs.

    Args:
        model: the ONNX file; for ``converter_lite`` a MINDIR file, too, which is handed on.
        chosen: the target.
        profiles: the sizes to compile for; none: those that the model has.
        folder: where to write; made, or replaced if it was written by this function.
        allow_findings: write even what the target is known to refuse or to compute wrongly.
        allow_unverified: write what could be neither proven nor disproven.
        progress: called with a line of text when a step begins.
        how: as for `surgery.apply`: ``seed``, ``rtol``, ``atol``, and ``inputs``, which are probes for the chip, too.

    Raises:
        BadInput: the model, a size or the folder can't be used.
        Refused: the target does not take these sizes, or a pass refused.
    """
    path = Path(model)
    _usable(folder)
    if path.suffix == ".mindir":
        return _hand_on(path, chosen, profiles, folder)
    from surgery.model import load

    progress("reading")
    sizes = settle(ports(load(path)), profiles, chosen)
    name = _name(path)
    backend = import_module(f"surgery.targets.{chosen.name}")
    # What is refused is refused before any work.
    backend.build(chosen, sizes, name)
    mine = given(path, sizes, how["inputs"]) if how.get("inputs") else []
    result = Prepared(chosen, plan(path, chosen, sizes, progress))
    if result.plan.blocking and not allow_findings:
        return result
    with _draft(folder) as draft:
        shapes = sizes.concrete()[:_PROBES]
        try:
            applied = apply(
                path,
                list(result.plan.passes),
                draft / f"{name}.onnx",
                allow_unverified=allow_unverified,
                progress=progress,
                **{**how, **({"probes": shapes} if shapes else {})},
            )
        except BadInput as error:
            if error.where == "--probe":  # that is where `apply` is given sizes
                raise BadInput(error.what, where="--input-shape", cure=error.cure) from error
            raise
        result.report = applied.report
        result.report.output = str(folder / f"{name}.onnx")
        if not applied.ok:
            return result
        if chosen.target.one_data_file:
            _gather(draft, f"{name}.onnx")
        result.steps = backend.build(chosen, sizes._replace(inputs=result.plan.inputs or sizes.inputs), name)
        progress("probes")
        probes = cases(path, sizes, shapes, how.get("seed", 0), mine, result.notes)
        result.folder = folder
        write(draft, result, sizes, probes, f"{name}.onnx")
        _put(draft, folder)
    return result


def _hand_on(path: Path, chosen: Chosen, profiles: Sequence[Profile], folder: Path) -> Prepared:
    """A MINDIR file: config and command alone, for what is inside can't be read here."""
    if chosen.name != "converter_lite":
        raise BadInput("only converter_lite takes a MINDIR file", where=str(path), cure="--target converter_lite")
    if not profiles:
        raise BadInput("the sizes of a MINDIR file can't be read", where=str(path), cure="give them by --input-shape")
    if not path.is_file():
        raise BadInput("there is no such file", where=str(path))
    names = dict.fromkeys(name for profile in profiles for name in profile)
    sizes = settle([Port(name, "float32", None) for name in names], profiles, chosen)
    backend = import_module(f"surgery.targets.{chosen.name}")
    result = Prepared(chosen, steps=backend.build(chosen, sizes, _name(path), "MINDIR"), folder=folder)
    result.notes.append("a MINDIR file is handed on as it is: nothing was checked or verified")
    with _draft(folder) as draft:
        shutil.copyfile(path, draft / f"{_name(path)}.mindir")
        write(draft, result, sizes, [], f"{_name(path)}.mindir")
        _put(draft, folder)
    return result


def _gather(draft: Path, name: str) -> None:
    """Put weights that lie beside the model into NAME.data, the one file that the compiler looks for."""
    import onnx

    beside = [file for file in draft.iterdir() if file.name != name]
    if beside:
        model = onnx.load(draft / name)
        for file in beside:
            file.unlink()
        onnx.save(model, draft / name, save_as_external_data=True, location=f"{name}.data")


# ---------------------------------------------------------------------------- writing


def write(draft: Path, result: Prepared, sizes: Sizes, cases: Sequence[Case], model: str) -> None:
    """Write all that lies beside a model in a folder.

    Args:
        draft: the folder.
        result: its steps say what compiles the model.
        sizes: that it is compiled for.
        cases: the probes.
        model: the file's name.
    """
    backend = import_module(f"surgery.targets.{result.target.name}")
    result.probes = len(cases)
    for step in result.steps:
        for name, text in step.files.items():
            (draft / name).write_text(text, encoding="utf-8")
    arrays: dict[str, np.ndarray] = {}
    record: list[dict[str, Any]] = []
    runs: list[tuple[str, ...]] = []
    for index, case in enumerate(cases):
        folder = draft / "probes" / str(index)
        folder.mkdir(parents=True)
        files = []
        for place, value in enumerate(case.feeds.values()):
            file = folder / f"input{place}.bin"  # ais_bench names results after it, to the first dot
            np.ascontiguousarray(value).tofile(file)
            files.append(str(file.relative_to(draft)))
        arrays |= {f"{name}.{index}": value for name, value in (case.feeds | case.outputs).items()}
        record.append(
            {
                "profile": case.profile,
                "inputs": [_described(n, v, file) for (n, v), file in zip(case.feeds.items(), files, strict=True)],
                "outputs": [_described(n, v) for n, v in case.outputs.items()],
            }
        )
        if hasattr(backend, "run"):
            step = next((s for s in result.steps if case.profile in s.profiles), result.steps[0])
            shapes = {name: list(value.shape) for name, value in case.feeds.items()}
            room = [2 * value.nbytes for value in case.outputs.values()]
            runs.append(backend.run(result.target, sizes, step, shapes, files, room, index, case.profile))
    if arrays:
        np.savez(draft / EXPECTED, **arrays)  # type: ignore[arg-type]
    document = {"schema": SCHEMA, **result.to_json(), "folder": None, "model": model, "cases": record}
    (draft / RECORD).write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
    script = draft / "build.sh"
    script.write_text(_script(result, model, runs), encoding="utf-8")
    script.chmod(0o755)


def _described(name: str, value: np.ndarray, file: str = "") -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": value.dtype.name}
    return described | ({"file": file} if file else {})


def _script(result: Prepared, model: str, runs: list[tuple[str, ...]]) -> str:
    """The shell script that compiles, runs the probes and compares."""
    lines = ["#!/bin/sh", f"# For {result.target}.", "set -e", 'cd "$(dirname "$0")"', "", "# Compile."]
    lines += [line(step.command) for step in result.steps]
    if result.probes:
        verify = line(("surgery", "verify", model, "--reference", "chip"))
        lines += ["", "# Run the probes; what comes out goes to chip/."]
        if runs:
            lines += ["mkdir -p chip", *(line(run) for run in runs)]
        elif result.target.target.packages:
            lines += ["# On this machine: surgery compile .  (it compiles, runs and compares). Elsewhere:"]
        if not runs:
            lines += [
                "# Feed probes/K/input0.bin, input1.bin, ... to the result, and write its outputs to chip/K/:",
                "# _0.bin, _1.bin, ... in the order of the model's outputs (prepare.json has names, shapes and types).",
            ]
        compare = [
            "",
            "# Does the chip give what the model gives? This needs surgery, here or where this folder is copied to.",
            "# Results in half precision are held to a tolerance of yours: add --rtol 0.01 --atol 0.01, say.",
            verify,
        ]
        lines += compare if runs else [*compare[:-1], f"# {verify}"]
    return "\n".join(lines) + "\n"


def _name(path: Path) -> str:
    """What the files made of a model are called: as it is, without what a program would take for an option."""
    stem = path.name.removesuffix(".onnx").removesuffix(".mindir")
    return "".join(filter(str.isprintable, stem)).lstrip("-.") or "model"


def _usable(folder: Path) -> None:
    if Path.cwd().is_relative_to(folder.resolve()):
        raise BadInput(
            "you are in this folder, which is written anew as a whole", where=str(folder), cure="name another"
        )
    if folder.exists() and not folder.is_dir():
        raise BadInput("this is a file", where=str(folder), cure="name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise BadInput("the folder holds other files", where=str(folder), cure="name a folder that is empty or new")


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, removed unless it was put in its place."""
    draft = folder.parent / f".{folder.name}.{secrets.token_hex(8)}"
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise BadInput(f"can't be written: {error.strerror or error}", where=str(folder)) from error
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, folder: Path) -> None:
    old = folder.parent / f".{folder.name}.{secrets.token_hex(8)}"
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
