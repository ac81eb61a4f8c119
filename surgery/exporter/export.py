"""Export a torch module to ONNX with rewriters in force, and hold the file against the module."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from surgery import engine, equivalence
from surgery.contract import Changes
from surgery.draft import Draft
from surgery.equivalence.compare import RULES, Rule, distance, precision
from surgery.equivalence.subject import Subject
from surgery.errors import BadInput, Missing, Refused
from surgery.exporter import inputs as given
from surgery.exporter.context import EXPORTERS, InForce, patched
from surgery.exporter.dims import name_dims
from surgery.exporter.inputs import Case, Dynamic
from surgery.exporter.locate import first_difference
from surgery.report import SCHEMA, Verification, to_json
from surgery.rewriting import Rewriter

if TYPE_CHECKING:
    import torch

OPSETS = {"torchscript": 17, "dynamo": 18}  # by default
LEAST = 18  # that the dynamo exporter writes: what is older is converted

AGAIN = (
    "the module itself gives other results when it is run again on the same inputs: "
    "it draws at random, or keeps something from call to call"
)
FIXED = "TorchScript holds for constant what Python computes while it traces; the dynamo exporter may not"


@dataclass
class Exported:
    """The result of one export.

    Args:
        path: the file; None if nothing was written.
        rewriters: those in force, and what they did.
        verify: what was compared, and what came of it.
        moved: by how much rewriters that change results moved each output, absolute.
        nodes: of the model.
        dims: of its inputs and outputs, as declared.
    """

    path: Path | None
    rewriters: list[InForce] = field(default_factory=list)
    verify: Verification = field(default_factory=Verification)
    moved: dict[str, float] = field(default_factory=dict)
    nodes: int = 0
    dims: dict[str, list[int | str]] = field(default_factory=dict)
    opset: int = 0
    exporter: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the file was written."""
        return self.path is not None

    def to_json(self) -> dict[str, Any]:
        """The document of ``--json``."""
        verify = to_json(self.verify)
        verify.pop("schema")
        return {
            "schema": SCHEMA,
            "output": None if self.path is None else str(self.path),
            "exporter": self.exporter,
            "opset": self.opset,
            "rewriters": [one.to_json() for one in self.rewriters],
            "dims": self.dims,
            "nodes": self.nodes,
            "verify": verify,
            "moved": self.moved,
            "verdict": self.verify.verdict,
            "seconds": self.seconds,
        }


def export(
    module: torch.nn.Module,
    args: Any,
    path: str | os.PathLike[str],
    *,
    dynamic: Dynamic | None = None,
    opset: int | None = None,
    exporter: str = "torchscript",
    backend: str | None = None,
    rewrites: Sequence[str | Rewriter] = (),
    registered: bool = True,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    verify: bool = True,
    allow_unverified: bool = False,
    progress: Callable[[str], None] | None = None,
    look: Callable[[Path, Case, Sequence[str]], None] | None = None,
) -> Exported:
    """Export a module, verify the file against it, and write it.

    The file is compared with the module as it is without rewriters, on the inputs given and, where
    dims are dynamic, at other sizes: each dim alone and all together. Where a rewriter in force
    changes results, the module under the rewriters is what is compared with, and by how much
    results moved is reported.

    Args:
        module: in evaluation mode; its forward takes and gives tensors (tuples, lists and dicts of them).
        args: a tensor, a tuple of them, or a dict by the names of forward's arguments.
        path: the file to write.
        dynamic: of each input the axes whose size is to be free, and their names:
            ``{"x": {0: "batch", 3: "width"}}``. Dims of outputs are named after them.
        opset: 17 by default with TorchScript, 18 with dynamo. The dynamo exporter writes 18 and
            later; the pass ``opset`` converts that to an older one.
        exporter: "torchscript" or "dynamo".
        backend: the compiler that the model is for, as rewriters name it.
        rewrites: rewriters, by name with options, or as objects.
        registered: whether those of the registry that do not change results are in force, too.
        inputs: names of the inputs, in place of those of forward's arguments.
        outputs: names of the outputs, in place of ``output`` or ``output_0``, ``output_1``, ....
        rtol: relative tolerance of an element; by default 1e-4, where float32 takes part.
        atol: absolute tolerance; by default 1e-5 of an output's largest element, where float32 takes part.
        seed: of the noise in inputs of other sizes.
        verify: whether to compare at all.
        allow_unverified: whether to write a file that the runtime can't run.
        progress: is told in a few words what goes on.
        look: is shown the file, the case of the inputs given and the names of the outputs, before it is judged.

    Returns:
        What was done; `path` is None where the model differs, and nothing is written.

    Raises:
        BadInput: the module is in training mode or rejects its inputs; names that do not exist.
        Refused: a rewriter does not fit what is installed, or one that was named was never called;
            the exporter can't export the module.
        Missing: torch, or what the exporter needs, is not installed.
    """
    tell = progress or (lambda text: None)
    started = time.perf_counter()
    if exporter not in EXPORTERS:
        raise BadInput(f"there is no exporter {exporter!r}", cure=f"there is: {', '.join(EXPORTERS)}")
    opset = OPSETS[exporter] if opset is None else opset
    dynamic = dynamic or {}
    feeds, keywords = given.named(module, args, inputs)
    _check_mode(module)
    given.check(feeds, dynamic)
    context = patched(*rewrites, backend=backend, opset=opset, exporter=exporter, module=module, registered=registered)
    result = Exported(None, exporter=exporter, opset=opset)
    with Draft(Path(path)) as draft:
        tell("running the module")
        truth = given.cases(module, feeds, dynamic, seed, keywords)
        with context as result.rewriters:
            changed = any(isinstance(one.rewriter.contract, Changes) for one in result.rewriters)
            tell("exporting")
            names = list(outputs) or _output_names(len(truth[0].outputs))
            model = _export(module, truth, dynamic, opset, exporter, names, draft.path)
            cases = truth
            if changed:
                cases = [replace(case, outputs=case.run(module)) for case in truth]
                _check_shapes(truth, cases)
        name_dims(model, dynamic, cases)
        draft.path.write_bytes(model.SerializeToString())
        result.nodes = len(model.graph.node)
        result.dims = _dims(model)
        result.moved = _moved(truth, cases, names) if changed else {}
        if look is not None:
            look(draft.path, cases[0], names)
        if verify:
            tell("verifying")
            result.verify = _verify(draft.path, cases, names, rtol, atol, seed, tell)
            if changed and result.verify.verdict == "equal":
                result.verify.verdict = "changed"
            if result.verify.verdict == "different":
                tell("looking for where it begins")
                with context if changed else contextlib.nullcontext():
                    first = _locate(draft.path, module, cases, names, result.verify, rtol, atol)
                result.verify.first_difference = first
                if dynamic and exporter == "torchscript" and AGAIN not in result.verify.notes:
                    result.verify.notes.append(FIXED)
        else:
            result.verify.mode = "none"
        if result.verify.ok or not verify or (allow_unverified and result.verify.verdict == "unverified"):
            result.path = draft.commit()
    result.seconds = time.perf_counter() - started
    return result


def _check_mode(module: torch.nn.Module) -> None:
    for name, part in module.named_modules():
        if part.training:
            which = f"the part {name!r} of the module" if name else "the module"
            raise BadInput(
                f"{which} is in training mode ({type(part).__name__})",
                cure="call module.eval() first: Dropout and BatchNorm compute something else in training",
            )


def _output_names(number: int) -> list[str]:
    return ["output"] if number == 1 else [f"output_{i}" for i in range(number)]


def _export(
    module: torch.nn.Module,
    cases: Sequence[Case],
    dynamic: Dynamic,
    opset: int,
    exporter: str,
    outputs: Sequence[str],
    path: Path,
) -> onnx.ModelProto:
    """The model as the exporter writes it."""
    import torch

    if len(outputs) != len(cases[0].outputs):
        raise BadInput(f"{len(outputs)} names are given for {len(cases[0].outputs)} outputs")
    # A dim of size 1 is taken for a constant by dynamo: it is traced where none is.
    case = max(cases, key=_smallest) if exporter == "dynamo" else cases[0]
    written = max(opset, LEAST) if exporter == "dynamo" else opset
    settings: dict[str, Any] = {
        "opset_version": written,
        "input_names": list(case.feeds),
        "output_names": list(outputs),
    }
    if exporter == "dynamo":
        free = torch.export.Dim.DYNAMIC
        shapes: tuple[Any, ...] = tuple(dict.fromkeys(dynamic.get(name, {}), free) for name in case.feeds)
        if (beyond := _beyond(module)) is not None and not case.keywords:  # what *args takes is one argument
            shapes = (*shapes[:beyond], shapes[beyond:])
        settings |= {"dynamo": True, "dynamic_shapes": shapes, "external_data": False, "verbose": False}
    else:
        axes = {name: dict(a) for name, a in dynamic.items()}
        ranks = {name: value.ndim for name, value in zip(outputs, case.outputs, strict=True)}
        # All axes of the outputs, for the tracer would fix them at the sizes that it saw.
        free_axes = {name: {i: f"{name}_{i}" for i in range(rank)} for name, rank in ranks.items()} if dynamic else {}
        settings |= {"dynamo": False, "dynamic_axes": {**free_axes, **axes}}
    try:
        args, kwargs = case.arguments()
        with _quiet(), _recurrent(), _spelt_out(), given.kept(module), torch.no_grad():
            if exporter == "dynamo" or not kwargs:
                torch.onnx.export(module, args, str(path), kwargs=kwargs, **settings)
            else:
                with _by_place(module, len(args), list(kwargs)):
                    torch.onnx.export(module, (*args, *kwargs.values()), str(path), **settings)
    except ModuleNotFoundError as error:
        raise Missing(f"the exporter needs {error.name}", cure="pip install 'onnx-surgery[torch]'") from error
    except (Refused, BadInput, Missing):
        raise
    except Exception as error:  # the exporters raise whatever they come upon
        raise Refused(
            f"the {exporter} exporter can't export the module: {_cause(error)}",
            cure="a newer opset (the pass `opset` converts the file down), the other exporter (--exporter), "
            "or a rewriter for the code named may help",
        ) from error
    model = onnx.load(path, load_external_data=False)
    return model if written == opset else _converted(model, opset)


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model at an older opset; what became of it is held against the module later."""
    import onnx_ir as ir

    try:
        made = engine.apply(model, [f"opset:to={opset}"], verify="none").model
    except Refused as error:
        raise Refused(
            f"the dynamo exporter writes opset {LEAST} and later, and {error.what}",
            where=error.where,
            cure=f"{error.cure}; TorchScript writes opset {opset} itself (--exporter torchscript)",
        ) from error
    assert made is not None  # it was not judged
    return ir.to_proto(made)


def _smallest(case: Case) -> int:
    return min(case.sizes.values(), default=0)


@contextlib.contextmanager
def _recurrent() -> Iterator[None]:
    """Let the dynamo exporter have LSTM and GRU of dynamic length more than once in a process.

    It puts a form of theirs in place that is a loop, but torch 2.13 goes on with the kernel that it once looked up:
    a second export, or one after any torch.export, has the length fixed.
    """
    import torch

    kernels = [getattr(op, "_dispatch_cache", {}) for op in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input)]
    for cache in kernels:
        cache.clear()
    try:
        yield
    finally:
        for cache in kernels:
            cache.clear()


@contextlib.contextmanager
def _spelt_out() -> Iterator[None]:
    """Have Transformers computed by operators that can be exported.

    Where no gradients are asked for torch has kernels of its own for attention and for whole layers.
    """
    import torch

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextlib.contextmanager
def _by_place(module: torch.nn.Module, number: int, names: Sequence[str]) -> Iterator[None]:
    """Have forward take all arguments by place, those after `number` being `names`; TorchScript traces no others."""
    forward, own = module.forward, vars(module).get("forward")
    # Of a module the attribute, not the method of its class: others of that class stay as they are.
    module.forward = lambda *args: forward(*args[:number], **dict(zip(names, args[number:], strict=True)))
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def _beyond(module: torch.nn.Module) -> int | None:
    """How many parameters forward has before its ``*args``; None if it has no such."""
    kinds = [p.kind for p in inspect.signature(module.forward).parameters.values()]
    varied = inspect.Parameter.VAR_POSITIONAL
    return kinds.index(varied) if varied in kinds else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of every constant that they hold, and print their progress, or their graph when they fail."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
        held = [os.dup(1), os.dup(2)]
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)  # the graph is printed by C++, and warnings are
        try:
            yield
        finally:
            for number, there in enumerate(held, 1):
                os.dup2(there, number)
                os.close(there)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _cause(error: BaseException) -> str:
    """The error at the root: the exporters wrap it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:400]}" if lines else type(error).__name__


def _verify(
    path: Path,
    cases: Sequence[Case],
    names: Sequence[str],
    rtol: float | None,
    atol: float | None,
    seed: int,
    tell: Callable[[str], None],
) -> Verification:
    """Hold the file against what the module gave."""
    arrays: dict[str, np.ndarray] = {}
    subject = Subject.read(path)
    taken = {port.name for port in subject.inputs}
    for i, case in enumerate(cases):
        arrays |= {f"{name}.{i}": value for name, value in case.arrays().items() if name in taken}
        arrays |= {f"{name}.{i}": value for name, value in zip(names, case.outputs, strict=True)}
    stored = path.with_name("reference.npz")  # in the draft's folder, which is removed
    np.savez(stored, **arrays)  # type: ignore[arg-type]
    rule = _rule(subject, cases, rtol, atol)
    found = equivalence.verify_reference(path, stored, rtol=rule.rtol, atol=rule.atol, seed=seed, on_progress=tell)
    for probe in found.probes:
        probe.kind = "the module's own"
    found.notes = [n.replace("the reference", "the module") for n in found.notes if "agrees with the ref" not in n]
    if idle := [name for name in cases[0].feeds if name not in taken]:
        found.notes.append(f"nothing depends on {', '.join(map(repr, idle))}, which the exporter has left out")
    if not any(all(a.sizes[s] != b.sizes[s] for s in a.sizes) for a, b in itertools.combinations(cases, 2)):
        found.notes.append("the module rejects other sizes of all dynamic dims at once: each was compared alone")
    return found


def _rule(subject: Subject, cases: Sequence[Case], rtol: float | None, atol: float | None) -> Rule:
    """The tolerance: the user's, or one that suits the output with the smallest values."""
    if rtol is not None or atol is not None:
        return Rule(rtol or 0.0, 0.0, atol or 0.0)
    peaks = [
        max((float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in column), default=0.0)
        for column in zip(*(case.outputs for case in cases), strict=True)
        if column[0].dtype.kind == "f"
    ]
    usual = RULES[precision(subject)]
    return Rule(usual.rtol, 0.0, usual.scale * min(peaks, default=0.0))


def _locate(
    path: Path,
    module: torch.nn.Module,
    cases: Sequence[Case],
    names: Sequence[str],
    result: Verification,
    rtol: float | None,
    atol: float | None,
) -> Any:
    """Where the difference begins, on the smallest case that shows it."""
    from surgery.equivalence.session import Failed, Session

    subject = Subject.read(path)
    rule = _rule(subject, cases, rtol, atol)
    via = {port.name: port.via for port in subject.outputs}
    taken = {port.name for port in subject.inputs}
    session = None
    for case in sorted(cases, key=lambda case: sum(value.numel() for value in case.feeds.values())):
        try:
            session = session or Session(subject)
            values = session.run({n: a for n, a in case.arrays().items() if n in taken})
        except Failed:
            break  # the notes have the node
        gaps = [distance(a, values[via[name]], rule) for name, a in zip(names, case.outputs, strict=True)]
        if not all(gap.ok for gap in gaps):
            sizes = ", ".join(f"{name} {size}" for name, size in case.sizes.items())
            result.notes.append(f"the smallest inputs on which they differ are those at {sizes or 'the size traced'}")
            again = case.run(module)
            if not all(distance(a, b, rule).ok for a, b in zip(case.outputs, again, strict=True)):
                result.notes.append(AGAIN)
                return None
            return first_difference(path, module, case, rule)
    return None


def _check_shapes(before: Sequence[Case], after: Sequence[Case]) -> None:
    for a, b in zip(before, after, strict=True):
        shapes = [[x.shape for x in case.outputs] for case in (a, b)]
        if shapes[0] != shapes[1]:
            raise Refused(f"a rewriter changes the shapes of the module's results from {shapes[0]} to {shapes[1]}")


def _moved(before: Sequence[Case], after: Sequence[Case], names: Sequence[str]) -> dict[str, float]:
    return {
        name: max(
            float(np.abs(a.outputs[i].astype(np.float64) - b.outputs[i]).max(initial=0.0))
            for a, b in zip(before, after, strict=True)
        )
        for i, name in enumerate(names)
    }


def _dims(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
