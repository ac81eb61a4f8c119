"""Apply passes to a model, verify the result, and keep it or drop it.

What is verified is the very file that is then put in place: the edited model is written
beside its target, compared with the model before in a child process, and renamed only if
it was found to hold what the passes promise.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery import provenance as history
from surgery import registry
from surgery.contract import Changes, Close, Exact
from surgery.equivalence.promise import Promise
from surgery.equivalence.runner import Verifier, peak_memory
from surgery.errors import BadInput
from surgery.names import Names
from surgery.passes import run_pass
from surgery.report import PassReport, Report, Verification

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from surgery.authoring import Pass
    from surgery.draft import Copied, Draft

Progress = Callable[[str], None]


@dataclass
class Result:
    """What came of `apply`: the model (None if it did not hold), and the report."""

    model: ir.Model | None
    report: Report

    @property
    def ok(self) -> bool:
        """Whether the model holds what was promised."""
        return self.model is not None


def apply(
    model: str | Path | ir.Model | onnx.ModelProto,
    passes: Sequence[str | Pass],
    output: str | Path | None = None,
    *,
    verify: str = "full",
    allow_unverified: bool = False,
    dry_run: bool = False,
    force: bool = False,
    must_match: bool = False,
    provenance: bool = False,
    progress: Progress = lambda text: None,
    **how: Any,
) -> Result:
    """Run passes over a model and verify what they did.

    Args:
        model: a path, an ``onnx_ir.Model`` (edited in place), or a ``ModelProto`` (left alone).
        passes: names with options (``"gridsample"``, ``"fix-dims:dims=batch=1"``) or `Pass` objects.
        output: where to write the model; None writes no file.
        verify: "full" (sites and model), "model", "sites" or "none".
        allow_unverified: keep a result that could be neither proven nor disproven.
        dry_run: say what would match; nothing is changed or written.
        force: allow `output` to be the model's own file, or one that is no model.
        must_match: a pass that matches nothing is a negative verdict.
        provenance: write what was done into the model's metadata, see `surgery.provenance`.
        progress: called with a line of text when a step begins.
        how: how to verify, see `surgery.equivalence.Verifier`: ``rtol``, ``atol``, ``probes``,
            ``seed``, ``inputs``, ``reference``.

    Returns:
        The result; its model is None if the verdict is negative, and the report says why.

    Raises:
        BadInput: the model, a pass or an option can't be used.
        Refused: a pass refused.
    """
    started = time.perf_counter()
    if verify not in ("full", "model", "sites", "none"):
        raise BadInput(f"there is no verification {verify!r}", cure="there is: full, model, sites, none")
    given = path = _path(model)
    target = None if output is None else Path(output)
    if target is not None:
        _check_output(str(output), path, force)
    verified = verify != "none" and not dry_run

    with contextlib.ExitStack() as stack:
        # First of all: the child makes the baseline while this process imports, reads and edits.
        how = {**how, "whole": verify != "sites"}
        verifier = _start(stack, path, how, progress) if path is not None and verified else None
        chosen = registry.resolve(passes)
        progress("reading")
        subject, before = _open(model)
        if path is None and verified:
            # The model in memory is about to be edited; the child needs it as it is now.
            path = _spill(stack, subject)
            verifier = _start(stack, path, how, progress)
        report = Report(model="<memory>" if given is None else str(given))
        report.nodes["before"] = before
        names = Names()
        for one in chosen:
            progress(one.name)
            subject, done = _run(subject, one, names)
            report.passes.append(done)
        report.nodes["after"] = count_nodes(subject)
        touched = any(p.places for p in report.passes)
        missed = must_match and not all(p.places for p in report.passes)

        noted = history.take(subject.metadata_props) if provenance and touched and not dry_run else []
        made: Draft | None = None
        if touched and not dry_run and (verified or target is not None):
            progress("writing")
            made = stack.enter_context(_draft(stack, subject, target))
        if not touched:
            report.verify = Verification(mode=verify, verdict="untouched")
        elif dry_run or not verified:
            report.verify = Verification(mode="none", verdict="unverified")
        else:
            assert verifier is not None and made is not None and path is not None
            report.verify = _verify(verifier, path, made, chosen, report, verify, names.of_ports(subject), how)
        report.verdict = report.verify.verdict
        for done in report.passes:
            done.verdict = report.verdict if done.places else "untouched"

        accepted = report.verify.ok or verify == "none" or (allow_unverified and report.verdict == "unverified")
        keep = accepted and not missed and not dry_run
        if keep and provenance and touched:
            noted = history.extended(noted, report.passes, given)
            history.give(subject.metadata_props, noted, None if made is None else made.path)
        if keep and target is not None:
            if made is None:
                made = stack.enter_context(_unchanged(given, subject, target))
            report.output = str(made.commit())
            report.data = made.placed
    # The child has ended by now, so its memory is known, too.
    report.seconds = time.perf_counter() - started
    report.peak_bytes = max(peak_memory(), 0 if verifier is None else verifier.peak_bytes)
    return Result(subject if keep else None, report)


def _path(model: Any) -> Path | None:
    """Where the model is, if it is given by that; else None.

    Raises:
        BadInput: it is no model.
    """
    if isinstance(model, (str, os.PathLike)):
        return Path(model)
    import onnx
    import onnx_ir as ir

    if not isinstance(model, (ir.Model, onnx.ModelProto)):
        raise BadInput(f"{model!r} is no model", cure="give a path, an onnx_ir.Model or an onnx.ModelProto")
    return None


def _check_output(output: str, model: Path | None, force: bool) -> None:
    """Refuse to write where it can't be meant."""
    target = Path(output)
    if output == "-":
        raise BadInput("a model is not written to the standard output", cure="name a file")
    if output.endswith(os.sep) or target.is_dir():
        name = "model.surgery.onnx" if model is None else f"{model.name.removesuffix('.onnx')}.surgery.onnx"
        raise BadInput("the output is a folder", where=output, cure=f"name a file in it: {target / name}")
    if force:
        return
    from surgery.reading import is_model

    if model is not None and _same_file(model, target):
        raise BadInput("the output is the model itself", where=output, cure="name another file, or use --force")
    if target.is_file() and target.stat().st_size and not is_model(target):
        raise BadInput(
            "the output is there already and is no ONNX model",
            where=output,
            cure="name another file, or use --force to replace it",
        )


def count_nodes(model: ir.Model) -> int:
    """The nodes of the main graph, its sub-graphs, and functions."""
    from surgery.nested import graphs

    return sum(len(graph) for graph in graphs(model))


def _run(model: ir.Model, one: Pass, names: Names) -> tuple[ir.Model, PassReport]:
    """Run a pass, and follow the names that it gives."""
    gives = "names" in one.interface
    if gives:
        names.before(model)
    model, done = run_pass(model, one)
    if gives:
        names.after(model)
    return model, done


# -------------------------------------------------------------------------- verifying


def _start(stack: contextlib.ExitStack, path: Path, how: dict[str, Any], progress: Progress) -> Verifier:
    verifier = stack.enter_context(Verifier(path, on_progress=progress, **how))
    verifier.start()
    return verifier


def _verify(
    verifier: Verifier,
    before: Path,
    made: Draft,
    chosen: list[Pass],
    report: Report,
    mode: str,
    names: dict[str, str],
    how: dict[str, Any],
) -> Verification:
    active = [one for one, done in zip(chosen, report.passes, strict=True) if done.places]
    result = verifier.compare(made.path, locate=True, names=names, **_promised(active, mode, made.copied))
    result.mode = mode
    # Where it is only a reference that disagrees, with the model before as well, no pass is to blame.
    same = bool(result.outputs) and all(o.verdict == "equal" for o in result.outputs)
    if result.verdict == "different" and not (same and result.first_difference is None):
        result.guilty = active[0].name if len(active) == 1 else _guilty(verifier, before, active, mode)
    mixed = {isinstance(one.contract, Changes) for one in active} == {True, False}
    return _beside_changes(result, before, active, mode, how) if mixed and result.ok else result


def _beside_changes(
    result: Verification, before: Path, active: list[Pass], mode: str, how: dict[str, Any]
) -> Verification:
    """Hold the passes that change nothing to it, though others do: each run of them by itself.

    Returns:
        `result`, or the verification that found one of them wrong.
    """
    from surgery.model import draft, load

    how = {name: how[name] for name in ("seed", "rtol", "atol", "whole") if name in how}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="surgery-")))
        model, start = load(before), before
        for changes, several in itertools.groupby(active, key=lambda one: isinstance(one.contract, Changes)):
            passes, names = list(several), Names()
            for one in passes:
                model, _ = _run(model, one, names)
            made = stack.enter_context(draft(model, folder / f"{passes[-1].name}.onnx"))
            if not changes:
                verifier = stack.enter_context(Verifier(start, **how))
                promised = _promised(passes, mode, made.copied)
                found = verifier.compare(made.path, locate=True, names=names.of_ports(model), **promised)
                verifier.close()
                if found.verdict == "different":
                    found.mode = mode
                    found.guilty = passes[0].name if len(passes) == 1 else _guilty(verifier, start, passes, mode)
                    found.notes.append(
                        "the other passes change results; this one is not to, and was compared by itself"
                    )
                    return found
            start = made.path
    return result


def _promised(active: list[Pass], mode: str, copied: Sequence[Copied] = ()) -> dict[str, Any]:
    """What several passes together promise, as `Verifier.compare` takes it."""
    contracts = [one.contract for one in active]
    close = [c for c in contracts if isinstance(c, Close)]
    return {
        "exact": all(isinstance(c, Exact) for c in contracts),
        "changes": any(isinstance(c, Changes) for c in contracts),
        "least": (max((c.rtol for c in close), default=0.0), max((c.atol for c in close), default=0.0)),
        "interface": frozenset(word for one in active for word in one.interface),
        "promise": None if mode == "model" else Promise.of(((one.contract, one.domain) for one in active), copied),
    }


def _guilty(verifier: Verifier, before: Path, active: list[Pass], mode: str) -> str | None:
    """Replay the passes one by one until the result is wrong; the last one is guilty."""
    from surgery.model import draft, load

    with tempfile.TemporaryDirectory(prefix="surgery-") as folder:
        model, names = load(before), Names()
        for count, one in enumerate(active, 1):
            model, _ = _run(model, one, names)
            so_far = active[:count]
            with draft(model, Path(folder) / "replay.onnx") as made:
                promised = _promised(so_far, mode, made.copied)
                verdict = verifier.compare(made.path, names=names.of_ports(model), **promised).verdict
            if verdict == "different":
                return one.name
    return None


def _open(model: str | Path | ir.Model | onnx.ModelProto) -> tuple[ir.Model, int]:
    import onnx_ir as ir

    from surgery.model import from_proto, load

    if isinstance(model, (str, os.PathLike)):
        subject = load(model)
    elif isinstance(model, ir.Model):
        subject = model
    else:
        subject = from_proto(model)
    return subject, count_nodes(subject)


def _spill(stack: contextlib.ExitStack, model: ir.Model) -> Path:
    from surgery.model import save

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="surgery-"))
    return save(model, Path(folder) / "before.onnx")


@contextlib.contextmanager
def _draft(stack: contextlib.ExitStack, model: ir.Model, target: Path | None) -> Iterator[Draft]:
    from surgery.model import draft

    if target is None:
        target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="surgery-"))) / "after.onnx"
    with draft(model, target) as made:
        yield made


def _unchanged(given: Path | None, model: ir.Model, target: Path) -> Draft:
    """Nothing matched: the file as it was read, or the model as it is in memory."""
    from surgery.model import copy_draft, draft

    return draft(model, target) if given is None else copy_draft(model, target)


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.exists() and one.samefile(other)
