"""The sizes that a model is compiled for: read from the command line, and held against the model.

    x:1,3,736,1280               fixed
    x:1~8,3,48,32~960            from, to
    x:1~8~8,3,48,32~320~960      from, mostly, to
    x:1,3,-1,-1                  free (? is the same)
    a:1,3,48,320;b:              several inputs; a scalar has no dims

Each text is one profile. A file of profiles is JSON: a list of texts, or of ``{"x": [1, 3, 736, 1280]}``, or a
document with such a list under ``profiles``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from surgery.errors import BadInput, Refused
from surgery.targets.rule import Chosen

if TYPE_CHECKING:
    from pathlib import Path

_FORM = 'write "NAME:1,3,736,1280", with 1~8 for a range and -1 for a free dim'
_DIM = re.compile(r"-1|\?|\d+(~(-1|\d+)){0,2}")
_MOST = 2**31 - 1  # of a dim
_FILE = 'write ["x:1,3,736,1280", ...] or [{"x": [1, 3, 736, 1280]}, ...]'


class Dim(NamedTuple):
    """A dim of a profile: from ``low`` to ``high`` (None: without end), mostly ``best``."""

    low: int
    best: int | None
    high: int | None

    @property
    def fixed(self) -> int | None:
        """The number, where it is one."""
        return self.low if self.low == self.high else None

    def __str__(self) -> str:
        if self.fixed is not None:
            return str(self.low)
        if self.high is None:
            return "-1" if self.low <= 1 else f"{self.low}~-1"
        return f"{self.low}~{self.high}"


FREE = Dim(1, None, None)
Shape = tuple[Dim, ...]
Profile = dict[str, Shape]


class Port(NamedTuple):
    """An input of the model: dims are a number, a symbol or None."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None


class Sizes(NamedTuple):
    """The inputs of a model in its order, and the profiles, in each of which every input has a shape."""

    inputs: tuple[Port, ...]
    profiles: tuple[Profile, ...]
    pairs: bool = False  # of an image with free H and W both vary if one does

    @property
    def varying(self) -> list[tuple[str, int]]:
        """The axes that are not one number in all profiles, in the order of the inputs."""
        found = []
        for port in self.inputs:
            dims = list(zip(*(profile[port.name] for profile in self.profiles), strict=True))
            moving = {axis for axis, here in enumerate(dims) if len(set(here)) > 1 or here[0].fixed is None}
            if self.pairs and len(dims) == 4 and moving & {2, 3}:
                moving |= {axis for axis in (2, 3) if port.dims is None or not isinstance(port.dims[axis], int)}
            found += [(port.name, axis) for axis in sorted(moving)]
        return found

    @property
    def ranges(self) -> bool:
        """Whether a profile has a dim that is no single number."""
        return any(dim.fixed is None for p in self.profiles for shape in p.values() for dim in shape)

    @property
    def static(self) -> bool:
        """Whether there is one size only."""
        return not self.varying

    def common(self) -> Profile:
        """A shape for every input: the dims that all profiles share, FREE elsewhere."""
        varying = set(self.varying)
        return {
            name: tuple(FREE if (name, axis) in varying else dim for axis, dim in enumerate(shape))
            for name, shape in self.profiles[0].items()
        }

    def tuples(self) -> list[tuple[int, ...]]:
        """Of every profile, the numbers of the axes that vary; the profiles have no ranges."""
        return [tuple(p[name][axis].low for name, axis in self.varying) for p in self.profiles]

    def concrete(self) -> list[dict[str, list[int]]]:
        """Shapes to run the model at: every profile as it is mostly, and at both ends; none where a dim is free."""
        found: list[dict[str, list[int]]] = []
        for profile in self.profiles:
            for which in ("best", "low", "high"):
                dims = {name: [_number(dim, which) for dim in shape] for name, shape in profile.items()}
                whole = {name: [d for d in shape if d is not None] for name, shape in dims.items()}
                if whole == dims and whole not in found:
                    found.append(whole)
        return found


def _number(dim: Dim, which: str) -> int | None:
    if dim.high is None:
        return None
    return {"low": dim.low, "best": dim.low if dim.best is None else dim.best, "high": dim.high}[which]


def parse(text: str, where: str = "--input-shape") -> Profile:
    """Read one profile.

    Raises:
        BadInput: `text` is nothing of the kind.
    """
    profile: Profile = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, colon, dims = part.rpartition(":")  # a name may hold a colon
        if not colon or not name:
            raise BadInput(f"{part!r} is no shape of an input", where=where, cure=_FORM)
        name = name.strip()
        if name in profile:
            raise BadInput(
                f"input {name!r} has two shapes in one profile", where=where, cure="give each profile by itself"
            )
        profile[name] = tuple(_dim(d.strip(), part, where) for d in dims.split(",")) if dims.strip() else ()
    if not profile:
        raise BadInput("no shape is given", where=where, cure=_FORM)
    return profile


def _dim(text: str, part: str, where: str) -> Dim:
    if not _DIM.fullmatch(text):
        raise BadInput(f"{text!r} in {part!r} is no dim", where=where, cure=_FORM)
    numbers = [None if n in ("-1", "?") else int(n) for n in text.split("~")]
    if not all(n is None or 1 <= n <= _MOST for n in numbers):
        raise BadInput(f"{text!r} in {part!r} is no dim", where=where, cure=f"a dim is from 1 to {_MOST:,}")
    if len(numbers) == 1:
        return FREE if numbers[0] is None else Dim(numbers[0], numbers[0], numbers[0])
    low, high = numbers[0] or 0, numbers[-1]
    best = numbers[1] if len(numbers) == 3 else None
    if (high is not None and high < low) or (best is not None and not low <= best <= (high or best)):
        raise BadInput(
            f"{text!r} in {part!r} does not rise", where=where, cure="write 1~8, or 1~4~8 with the most common"
        )
    return Dim(low, best, high)


def read_profiles(path: Path) -> list[Profile]:
    """Read a file of profiles.

    Raises:
        BadInput: it can't be read, or holds something else.
    """
    import json

    try:
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror or error}", where=str(path)) from error
    except ValueError as error:
        raise BadInput("this is no JSON", where=str(path), cure=_FILE) from error
    entries = document.get("profiles") if isinstance(document, dict) else document
    if not isinstance(entries, list) or not entries:
        raise BadInput("the file holds no profiles", where=str(path), cure=_FILE)
    profiles = []
    for entry in entries:
        if isinstance(entry, dict) and all(isinstance(dims, list) for dims in entry.values()):
            entry = ";".join(f"{name}:{','.join(map(str, dims))}" for name, dims in entry.items())
        if not isinstance(entry, str):
            raise BadInput(f"{entry!r} is no profile", where=str(path), cure=_FILE)
        profiles.append(parse(entry, str(path)))
    return profiles


def settle(inputs: Sequence[Port], given: Iterable[Profile], chosen: Chosen) -> Sizes:
    """Hold profiles against the model: what they leave out is as the model has it.

    Raises:
        BadInput: a profile names an input that the model lacks.
        Refused: a profile contradicts the model.
    """
    ports = {port.name: port for port in inputs}
    profiles: list[Profile] = []
    for profile in list(given) or [{}]:
        for name in profile:
            if name not in ports:
                raise BadInput(f"the model has no input {name!r}", cure=f"it has {', '.join(ports)}")
            if set(",=") & set(name):
                cure = "give it another by the pass rename, in a recipe"
                raise BadInput(f"input {name!r} can't be given a shape, for its name has a comma or =", cure=cure)
        symbols = _symbols(ports, profile)
        whole = {name: _settled(port, profile.get(name), symbols, chosen) for name, port in ports.items()}
        for name, shape in whole.items():
            if profiles and len(profiles[0][name]) != len(shape):
                raise BadInput(f"input {name!r} has {len(shape)} dims, and {len(profiles[0][name])} in another profile")
        if whole not in profiles:
            profiles.append(whole)
    return Sizes(tuple(inputs), tuple(profiles), chosen.target.pairs)


def _symbols(ports: Mapping[str, Port], profile: Profile) -> dict[str, Dim]:
    """What a profile says of the symbols that inputs share."""
    known: dict[str, Dim] = {}
    for name, shape in profile.items():
        for dim, size in zip(ports[name].dims or (), shape, strict=False):
            if isinstance(dim, str) and dim and dim != "?":
                known[dim] = size
    return known


def _settled(port: Port, shape: Shape | None, symbols: Mapping[str, Dim], chosen: Chosen) -> Shape:
    if shape is None:
        if port.dims is None:
            raise BadInput(f"the rank of input {port.name!r} is not known", cure=f"give its shape: {port.name}:...")
        return tuple(Dim(d, d, d) if isinstance(d, int) else symbols.get(d or "", FREE) for d in port.dims)
    if port.dims is None:
        return shape
    if len(port.dims) != len(shape):
        contradicts(chosen, port, shape)
    settled = []
    for dim, size in zip(port.dims, shape, strict=True):
        if isinstance(dim, int) and size.fixed != dim:
            contradicts(chosen, port, shape)
        settled.append(size)
    return tuple(settled)


def contradicts(chosen: Chosen, port: Port, shape: Shape) -> NoReturn:
    """Refuse a shape that the model does not have."""
    asked = ",".join(map(str, shape))
    has = ",".join("?" if d is None else str(d) for d in port.dims or ())
    dims = port.dims or ()
    if len(dims) != len(shape):
        reason = f"give {len(dims)} sizes, one a dim"
    else:
        axis = next(i for i, dim in enumerate(dims) if isinstance(dim, int) and shape[i].fixed != dim)
        reason = f"dim {axis} is {dims[axis]}: ask for that, or free it (pass free-dims)"
    rule = next((r for r in chosen.target.rules if r.id in ("A23", "T13")), None)
    if rule is not None:
        reason += f"; rule {rule.id}: {rule.why} [{rule.source}]"
    raise Refused(
        f"{port.name}:{asked} contradicts the model, which has {port.name}:{has}", where=str(chosen), cure=reason
    )


def refuse(chosen: Chosen, rule: str, what: str) -> NoReturn:
    """Refuse sizes that a target does not take, by the rule that says so."""
    known = chosen.rule(rule)
    raise Refused(what, where=str(chosen), cure=f"rule {known.id}: {known.why} [{known.source}]")
