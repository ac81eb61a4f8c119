"""Have torch write a module: by either exporter, and with torch in the state that they need."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from surgery import engine
from surgery.errors import BadInput, Missing, Refused
from surgery.exporter import inputs as given
from surgery.exporter.inputs import Case, Dynamic

if TYPE_CHECKING:
    import torch

LEAST = 18  # that the dynamo exporter writes: what is older is converted


def write(
    module: torch.nn.Module,
    cases: Sequence[Case],
    dynamic: Dynamic,
    opset: int,
    exporter: str,
    outputs: Sequence[str],
    path: Path,
) -> onnx.ModelProto:
    """The model as the exporter writes it.

    Args:
        module: in evaluation mode, with rewriters in force.
        cases: inputs it runs on; the first are the user's.
        dynamic: names of the dynamic axes of inputs.
        opset: wanted; where the dynamo exporter does not write it, its file is converted down.
        exporter: ``torchscript`` or ``dynamo``.
        outputs: a name for each.
        path: a file that may be written to.

    Raises:
        BadInput: there are more or fewer names than outputs.
        Refused: the exporter can't export the module.
        Missing: what the exporter needs is not installed.
    """
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
