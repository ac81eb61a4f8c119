"""Choose passes: hold the model against the target's rules, apply what cures, look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surgery import registry
from surgery.errors import BadInput, Refused
from surgery.model import load
from surgery.passes import run_pass
from surgery.targets.check import check
from surgery.targets.finding import Finding
from surgery.targets.rule import Chosen
from surgery.targets.sizes import Port, Sizes

if TYPE_CHECKING:
    import onnx_ir as ir

# Passes that make others' work possible come first; the rest in the order of the findings.
_FIRST = ("fix-dims", "inline-functions", "unroll", "cleanup", "opset", "explicit-attributes")
_ROUNDS = 10  # a cure may need a cure, or make another possible

_Try = tuple[str, str, str, int]  # a rule, a node, a cure, and how many passes had matched before


@dataclass
class Plan:
    """What is to be done to a model for a target.

    ``passes`` are those that matched, with options, in order. ``found`` is what was found at
    first, ``left`` what no pass cured, with the cures that were not tried on it; ``absent`` names
    cures that no installed package has, and ``failed`` those that refused, with the reason. ``inputs`` are those of the
    model then; ``folded`` tells that what depends on its fixed dims alone was made constant as a last resort.
    """

    passes: list[str] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    inputs: tuple[Port, ...] = ()
    folded: bool = False

    @property
    def blocking(self) -> list[Finding]:
        """What keeps the model from the compiler."""
        return [finding for finding in self.left if finding.blocking]


def plan(path: Path, chosen: Chosen, sizes: Sizes, progress: Callable[[str], None] = lambda text: None) -> Plan:
    """Choose the passes that make a model fit for a target.

    Args:
        path: the model's file.
        chosen: the target.
        sizes: what it is to be compiled for; dims that all profiles share are fixed.
        progress: called with a line of text when a step begins.

    Raises:
        BadInput: the model can't be read.
        Refused: it can't have these sizes.
    """
    known = {name for name, entry in registry.entries().items() if entry.kind == "pass"}
    result = Plan(found=check(path, chosen))
    model = load(path)
    bound = fixed(sizes)
    if bound and "fix-dims" in known:
        progress("fix-dims")
        model, done = run_pass(model, registry.make(bound))
        result.passes += [bound] if done.places else []
    tried: set[_Try] = set()
    result.left = check(model, chosen) if result.passes else result.found
    for _ in range(_ROUNDS):
        wanted = _wanted(result, known, tried, chosen, sizes) or _last(result, known, sizes)
        if not wanted:
            break
        for text in wanted:
            progress(text)
            model = _run(path, model, text, result)
        result.left = check(model, chosen)
    # A cure that was tried is none; but of several sizes one by itself may be fixed.
    vain = {(rule, node, cure) for rule, node, cure, _ in tried if cure != "fix-dims" or sizes.static}
    result.left = [
        finding._replace(cures=tuple(c for c in finding.cures if (finding.rule, finding.node, c) not in vain))
        for finding in result.left
    ]
    result.absent = sorted({c for f in result.left for c in f.cures if c.partition(":")[0] not in known})
    result.inputs = ports(model)
    return result


def ports(model: ir.Model) -> tuple[Port, ...]:
    """The inputs of a model that are fed."""
    return tuple(
        Port(
            value.name or "",
            "" if value.dtype is None else value.dtype.numpy().name,
            None
            if value.shape is None
            else tuple((d if d >= 0 else None) if isinstance(d, int) else d.value for d in value.shape),
        )
        for value in model.graph.inputs
        if value.const_value is None
    )


def fixed(sizes: Sizes, *, all: bool = False) -> str:
    """The pass that fixes the dims that all profiles share; "" where the model has them already, unless `all`."""
    shapes = []
    for port in sizes.inputs:
        common = [dim.fixed for dim in sizes.common()[port.name]]
        has = port.dims or (None,) * len(common)
        if common and (
            all or any(d is not None and not isinstance(old, int) for d, old in zip(common, has, strict=True))
        ):
            shapes.append(f"{port.name}={'x'.join('?' if d is None else str(d) for d in common)}")
    return f"fix-dims:shape={';'.join(shapes)}" if shapes else ""


def _wanted(
    result: Plan, known: set[str], tried: set[tuple[str, str, str, int]], chosen: Chosen, sizes: Sizes
) -> list[str]:
    """For every finding the first cure that there is and that was not tried on it since another pass last matched."""
    wanted: dict[str, None] = {}
    for finding in result.left:
        for cure in finding.cures:
            key = (finding.rule, finding.node, cure, len(result.passes))
            text = _with_options(cure, chosen, sizes)
            if cure.partition(":")[0] in known and key not in tried and text not in result.failed:
                tried.add(key)
                wanted[text] = None
                break
    rank = {name: index for index, name in enumerate(_FIRST)}
    return sorted(wanted, key=lambda text: rank.get(text.partition(":")[0], len(_FIRST)))


def _last(result: Plan, known: set[str], sizes: Sizes) -> list[str]:
    """Where cures found a size that is computed: of fixed dims, which the model may have had before, it is a number."""
    text = fixed(sizes, all=True)
    if not result.blocking or not text or "fix-dims" not in known or result.folded:
        return []
    result.folded = True
    return [text] if text not in result.passes else []


def _with_options(cure: str, chosen: Chosen, sizes: Sizes) -> str:
    """A cure as it is called: the converter of opsets is told which, and what folds shapes the dims to go by."""
    if cure == "fix-dims":
        return fixed(sizes, all=True) or cure
    accepted = chosen.opset_range()
    if cure != "opset" or accepted is None:
        return cure
    whole = (
        [option.name for option in registry.find(cure, "pass").options if option.type == "int"] if _has(cure) else []
    )
    return f"{cure}:{whole[0]}={accepted.high}" if whole else cure


def _has(name: str) -> bool:
    return name in registry.entries()


def _run(path: Path, model: ir.Model, text: str, result: Plan) -> ir.Model:
    try:
        model, done = run_pass(model, registry.make(text))
    except (Refused, BadInput) as error:
        # It may have stopped half way.
        result.failed[text] = " ".join(str(error).split())
        model = load(path)
        for earlier in result.passes:
            model, _ = run_pass(model, registry.make(earlier))
        return model
    result.passes += [text] if done.places else []
    return model
