"""Rewriters in force: chosen, checked, put in place, and taken back on any exit."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from surgery import registry
from surgery.contract import Changes
from surgery.errors import BadInput, Refused
from surgery.exporter import targets
from surgery.rewriting import Rewriter

if TYPE_CHECKING:
    import torch

EXPORTERS = ("torchscript", "dynamo")
# Compilers that rewriters may be for; names that rewriters declare are known besides.
BACKENDS = ("atc", "mindspore", "mnn", "ncnn", "onnxruntime", "openvino", "tensorrt")


@dataclass
class InForce:
    """A rewriter in force, and what it did.

    Args:
        rewriter: the instance.
        named: whether it was asked for; else the registry has it.
        calls: how often each of its targets was called, by path.
        altered: how many attributes of the module it has set.
    """

    rewriter: Rewriter
    named: bool
    calls: dict[str, int] = field(default_factory=dict)
    altered: int = 0

    @property
    def used(self) -> bool:
        """Whether it did anything."""
        return bool(self.altered or any(self.calls.values()))

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        made = self.rewriter
        return {
            "name": made.name,
            "options": made.options,
            "contract": str(made.contract),
            "calls": self.calls,
            "altered": self.altered,
        }


class patched:
    """A context in which rewriters are in force.

        with surgery.patched("panet-fp16:shift=5", backend="tensorrt", opset=17):
            torch.onnx.export(...)

    In force are the rewriters named, and those of the registry that replace code that is loaded,
    fit backend, opset and exporter, and do not change results. Functions are restored on any exit.
    It may be nested and entered again. Other threads see the replacements, too, while it is in
    force, and their calls count: export in one thread.

    What rewriters change in the module that is exported they change when it is known: at once where
    `module` is given, else while ``torch.onnx.export`` runs within the context.

    Args:
        rewrites: rewriters, by name with options, or as objects.
        backend: the compiler that the model is for, as rewriters name it.
        opset: the opset that is exported.
        exporter: "torchscript" or "dynamo".
        module: the module that is exported.
        registered: whether those of the registry that were not named are in force, too.

    Raises:
        BadInput: no such rewriter, option, backend or exporter; two for one function without a priority.
        Missing: a rewriter that was named needs a package that is not installed.
        Refused: a path leads to something else than the rewriter expects; or a rewriter that was
            named was never called (raised on leaving).
    """

    def __init__(
        self,
        *rewrites: str | Rewriter,
        backend: str | None = None,
        opset: int | None = None,
        exporter: str | None = None,
        module: torch.nn.Module | None = None,
        registered: bool = True,
    ) -> None:
        if exporter is not None and exporter not in EXPORTERS:
            raise BadInput(f"there is no exporter {exporter!r}", cure=f"there is: {', '.join(EXPORTERS)}")
        self._backend, self._opset, self._exporter = backend, opset, exporter
        self._named = rewrites
        self._module = module
        self._registered = registered
        self._stacks: list[tuple[ExitStack, list[InForce]]] = []
        self._choose()  # what is wrong with the names is to be known before `with`

    def __enter__(self) -> list[InForce]:
        chosen = self._choose()
        plan = _plan(chosen)
        with ExitStack() as stack:
            for path, one in plan:
                targets.replace(*_function(path, one), stack)
            if self._module is not None:
                _alter(chosen, self._module, stack)
            elif any(type(one.rewriter).alter is not Rewriter.alter for one in chosen):
                _alter_in_export(chosen, stack)
            self._stacks.append((stack.pop_all(), chosen))
        return chosen

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        stack, chosen = self._stacks.pop()
        stack.close()
        if kind is None:
            _see_used(chosen)

    def loose(self) -> Loose:
        """What would be in force, for a program that puts functions in place itself."""
        return Loose(self._choose())

    def _choose(self) -> list[InForce]:
        named = [registry.make_rewriter(r) if isinstance(r, str) else r for r in self._named]
        if len({one.name for one in named}) < len(named):
            twice = next(one.name for i, one in enumerate(named) if one.name in {n.name for n in named[:i]})
            raise BadInput(f"rewriter {twice!r} is named twice")
        held: dict[str, type[Rewriter]] = {
            name: registry.load(entry) for name, entry in registry.entries("rewriter").items() if not entry.error
        }
        declared: list[Rewriter | type[Rewriter]] = [*held.values(), *named]
        backends = {*BACKENDS, *(b for one in declared for b in one.backends)}
        if self._backend is not None and self._backend not in backends:
            raise BadInput(f"there is no backend {self._backend!r}", cure=f"there is: {', '.join(sorted(backends))}")
        for one in named:
            if misfit := self._misfit(one):
                raise BadInput(f"rewriter {one.name!r} {misfit}", cure="leave it out, or export for what it is for")
        found = [InForce(one, True) for one in named]
        if self._registered:
            taken = {one.name for one in named}
            found += [InForce(made(), False) for name, made in held.items() if name not in taken and self._joins(made)]
        return found

    def _joins(self, rewriter: type[Rewriter]) -> bool:
        """Whether a rewriter is in force though it was not named."""
        return not (
            isinstance(rewriter.contract, Changes)
            or (rewriter.backends and self._backend is None)
            or self._misfit(rewriter)
            or any(not hasattr(rewriter, name) for name in rewriter.fields())
        ) and any(map(targets.is_loaded, rewriter.targets()))

    def _misfit(self, rewriter: Rewriter | type[Rewriter]) -> str:
        """Why a rewriter is not for this export; empty if it is."""
        if rewriter.backends and self._backend is not None and self._backend not in rewriter.backends:
            return f"is for {', '.join(rewriter.backends)}, not for {self._backend}"
        if rewriter.exporters and self._exporter is not None and self._exporter not in rewriter.exporters:
            return f"is for the exporter {', '.join(rewriter.exporters)}, not for {self._exporter}"
        if rewriter.opsets is not None and self._opset is not None and self._opset not in rewriter.opsets:
            return f"is for opsets {rewriter.opsets.start} to {rewriter.opsets.stop - 1}, not for {self._opset}"
        return ""


def _plan(chosen: Sequence[InForce]) -> list[tuple[str, InForce]]:
    """What is to be replaced by whom, in that order; everything is checked before anything is replaced.

    Of several for one function the one with the highest priority comes last: it is called first.
    """
    plan: dict[str, list[InForce]] = {}
    for one in chosen:
        who = f"rewriter {one.rewriter.name!r}"
        for path, method in one.rewriter.targets().items():
            if not one.named and not targets.is_loaded(path):
                continue
            targets.check_signature(targets.find(path, who), getattr(one.rewriter, method), who)
            plan.setdefault(path, []).append(one)
    for path, holders in plan.items():
        holders.sort(key=lambda one: one.rewriter.priority)
        for one, other in itertools.pairwise(holders):
            if one.rewriter.priority == other.rewriter.priority:
                raise BadInput(
                    f"rewriters {one.rewriter.name!r} and {other.rewriter.name!r} both replace {path}",
                    cure="leave one out, or give one of the classes a higher `priority`: it is called first",
                )
    return [(path, one) for path, holders in plan.items() for one in holders]


def _function(path: str, one: InForce, inner: Any = None) -> tuple[targets.Target, Any]:
    """A target and what to put in its place; `inner` stands for what is there, if it is given."""
    one.calls[path] = 0

    def called() -> None:
        one.calls[path] += 1

    method = getattr(one.rewriter, one.rewriter.targets()[path])
    target = targets.find(path, one.rewriter.name)
    return target, targets.wrap(target, method, called, inner or targets.plain(target))


def _see_used(chosen: Sequence[InForce]) -> None:
    idle = [one.rewriter.name for one in chosen if one.named and not one.used]
    if idle:
        raise Refused(
            f"{'rewriter' if len(idle) == 1 else 'rewriters'} {', '.join(map(repr, idle))} "
            "had nothing to replace: what was exported does not call it",
            cure="leave it out, or see by 'surgery show' what it is for",
        )


class Loose:
    """Rewriters as plain functions, for a program that has a way of its own to replace functions.

    Args:
        chosen: the rewriters.

    Raises:
        Refused: a path leads to something else than a rewriter expects.
        BadInput: two replace one function without a priority.
    """

    def __init__(self, chosen: Sequence[InForce]) -> None:
        self.chosen = chosen
        made: dict[str, Any] = {}
        for path, one in _plan(chosen):
            _, made[path] = _function(path, one, made.get(path))
        self.functions = made
        """The path of each function, and what is to stand in its place; a method takes the module first."""

    @contextmanager
    def altered(self, module: Any) -> Iterator[None]:
        """Have the module changed as rewriters ask."""
        with ExitStack() as stack:
            _alter(self.chosen, module, stack)
            yield

    def check(self) -> None:
        """See that each rewriter that was named did something.

        Raises:
            Refused: one did not.
        """
        _see_used(self.chosen)


def _alter(chosen: Sequence[InForce], module: torch.nn.Module, stack: ExitStack) -> None:
    for one in chosen:
        one.rewriter.alter(module, functools.partial(_set, stack, one))


def _set(stack: ExitStack, one: InForce, owner: Any, name: str, value: Any) -> None:
    """Set an attribute of a module, and put it back with `stack`: the very object that was there."""
    import torch

    if not hasattr(owner, name):
        raise BadInput(
            f"rewriter {one.rewriter.name!r} changes {name!r} of {type(owner).__name__}, which has none",
            cure="the rewriter is for another version of the package",
        )
    stack.callback(setattr, owner, name, getattr(owner, name))
    is_parameter = isinstance(owner, torch.nn.Module) and name in owner._parameters
    if is_parameter and isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        value = torch.nn.Parameter(value.detach(), requires_grad=False)
    setattr(owner, name, value)
    one.altered += 1


def _alter_in_export(chosen: Sequence[InForce], stack: ExitStack) -> None:
    """Let ``torch.onnx.export`` change the module that it is given, for as long as it runs."""
    import torch

    original = torch.onnx.export

    @functools.wraps(original)
    def export(model: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as inner:
            if isinstance(model, torch.nn.Module):
                _alter(chosen, model, inner)
            return original(model, *args, **kwargs)

    stack.callback(setattr, torch.onnx, "export", original)
    torch.onnx.export = export
