"""What a target states: rules, as data that a reader can check, and what `surgery show` prints.

Nothing here imports more than the language: a target is listed and shown without loading ONNX.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Happens = Literal["refused", "wrong", "crash", "slow", "fp16", "untested"]

# Words for what happens where a rule holds.
HAPPENS = {
    "refused": "the compiler, or the runtime that loads its result, rejects the model",
    "wrong": "it compiles, and gives other numbers or shapes, silently",
    "crash": "the compiler or the program that runs the result dies",
    "slow": "it works, on a slow path",
    "fp16": "it is computed in half precision: see that its range is enough",
    "untested": "no document lists it as supported, and nobody has tried",
}
# With these left, a model is not handed to the compiler.
BLOCKING = frozenset({"refused", "wrong", "crash"})


class Rule(NamedTuple):
    """One thing that a target does not take, or does not take as it is written.

    Args:
        id: the name that findings and documents use.
        on: the operators, by a space; or ``*`` (every node), ``input``, ``output``, ``model``; or
            ``sizes`` (held where sizes are given) and ``use`` (held by the command that is written).
        when: a condition over the vocabulary of `surgery.targets.places`; "" holds always.
        happens: a word of `HAPPENS`.
        why: one clause on what is and what is not taken.
        cure: the passes that cure it, in order of preference, by a space; "" where there is none.
        source: document and version, or the version that it was measured at.
        versions: those that it holds for, as ``<8.3`` or ``>=8.0,<9``; "" is every version.
    """

    id: str
    on: str
    when: str
    happens: Happens
    why: str
    cure: str
    source: str
    versions: str = ""

    @property
    def cures(self) -> tuple[str, ...]:
        """The passes that cure it."""
        return tuple(self.cure.split())


# Of every target: what Paddle2ONNX's optimiser writes for a free dim.
NEGATIVE_DIMS = Rule(
    "R1",
    "model",
    "negative_dims",
    happens="untested",
    why=(
        "dims are declared as negative numbers: the sizes noted inside are stale, and once made static "
        "the model fails to run"
    ),
    cure="fix-dims",
    source="measured, paddle2onnx 1.3.1 and onnxruntime 1.31.1",
)


class Opsets(NamedTuple):
    """The opsets of the standard domain that versions of a target take."""

    versions: str
    low: int
    high: int
    source: str


class Option(NamedTuple):
    """An option of a target, ``soc=Ascend310P3``: its values (none: any text), and the one without it."""

    name: str
    values: tuple[str, ...]
    default: str
    meaning: str


class Target(NamedTuple):
    """A backend compiler: what differs between its versions, what it takes, and its rules.

    ``versions`` are in order, the newest last. ``command`` and ``config`` show how it is called
    in words; what is written for a model comes from the function ``build`` of the target's module.
    ``folds`` tells whether its converter computes what depends on constants and fixed shapes alone,
    so that no rule concerns it; ``one_data_file`` whether weights beside the model have to lie in the file
    MODEL.onnx.data; ``pairs`` whether H and W of an image are given together. ``packages``
    are those with which it compiles and runs on this machine, and ``install`` what gets them; without any,
    its command is what compiles, where it is on PATH.
    """

    name: str
    versions: tuple[str, ...]
    differs: tuple[str, ...]
    opsets: tuple[Opsets, ...]
    options: tuple[Option, ...]
    rules: tuple[Rule, ...]
    command: str
    notes: tuple[str, ...] = ()
    folds: bool = False
    one_data_file: bool = False
    pairs: bool = False
    packages: tuple[str, ...] = ()
    install: str = ""


class Chosen(NamedTuple):
    """A target as the user names it, with version and options: ``atc:version=8.0,soc=Ascend310P3``."""

    target: Target
    version: str
    options: dict[str, str]

    @property
    def name(self) -> str:
        """``atc``."""
        return self.target.name

    def __str__(self) -> str:
        given = ",".join(f"{k}={v}" for k, v in {"version": self.version, **self.options}.items() if v)
        return f"{self.target.name}:{given}"

    def rules(self) -> list[Rule]:
        """The rules that hold for this version."""
        return [rule for rule in self.target.rules if within(self.version, rule.versions)]

    def rule(self, id: str) -> Rule:
        """The rule of that name."""
        return next(rule for rule in self.target.rules if rule.id == id)

    def opset_range(self) -> Opsets | None:
        """The opsets that this version takes; None where nothing is known."""
        return next((o for o in self.target.opsets if within(self.version, o.versions)), None)


def number(version: str) -> tuple[int, ...]:
    """``8.0.RC2`` -> (8, 0): a release candidate has what its release has."""
    digits = version.upper().partition("RC")[0].strip(".")
    return tuple(int(part) for part in digits.split(".") if part.isdecimal())


def within(version: str, versions: str) -> bool:
    """Whether ``8.0`` is in ``>=7.0,<8.3``; in "" is every version."""
    mine = _padded(number(version))
    for bound in filter(None, versions.split(",")):
        sign = bound[: len(bound) - len(bound.lstrip("<>="))]
        other = _padded(number(bound[len(sign) :]))
        if not {
            "<": mine < other,
            "<=": mine <= other,
            ">": mine > other,
            ">=": mine >= other,
            "": mine == other,
        }[sign]:
            return False
    return True


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (*numbers, 0, 0, 0, 0)[:4]
