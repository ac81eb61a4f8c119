"""Export a torch module to ONNX with rewriters in force, and hold the file against the module."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from surgery.contract import Changes
from surgery.draft import Draft
from surgery.errors import BadInput, Refused
from surgery.exporter import inputs as given
from surgery.exporter.context import EXPORTERS, InForce, patched
from surgery.exporter.dims import name_dims
from surgery.exporter.inputs import Case, Dynamic
from surgery.exporter.verify import AGAIN, locate, verify_export
from surgery.exporter.write import write
from surgery.report import SCHEMA, Verification, to_json
from surgery.rewriting import Rewriter

if TYPE_CHECKING:
    import torch

OPSETS = {"torchscript": 17, "dynamo": 18}  # by default

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
            model = write(module, truth, dynamic, opset, exporter, names, draft.path)
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
            result.verify = verify_export(draft.path, cases, names, rtol, atol, seed, tell)
            if changed and result.verify.verdict == "equal":
                result.verify.verdict = "changed"
            if result.verify.verdict == "different":
                tell("looking for where it begins")
                with context if changed else contextlib.nullcontext():
                    first = locate(draft.path, module, cases, names, result.verify, rtol, atol)
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
