"""What the authors of passes and rewriters write with.

A pass is a class in a file of its own; the file's name is the pass's, its docstring the
page, its annotated fields the options:

    class HardSwish(Pass):
        operator = "HardSwish"
        contract = Close(rtol=1e-5, atol=1e-6)
        form: Literal["hardsigmoid", "clip"] = "hardsigmoid"

        def rewrite(self, op, node): ...
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, ClassVar

from surgery.contract import INTERFACE, Changes, Close, Contract, Exact
from surgery.errors import BadInput, Refused, nearest

if TYPE_CHECKING:
    import onnx_ir as ir

    from surgery.op import Op
    from surgery.views import Node, Value


class Rewrite:
    """What passes and rewriters share: a name, options, a contract.

    Args:
        options: values for the annotated fields.

    Raises:
        BadInput: an option that there is not, or a value of another type; or one that is needed
            is not given.
    """

    _kind: ClassVar[str]  # "pass" or "rewriter"; `kind` is free for an option
    contract: ClassVar[Contract] = Exact()

    def __init__(self, **options: Any) -> None:
        fields = self.fields()
        for name, value in options.items():
            if name not in fields:
                names = f"{', '.join(fields)}: 'surgery show {self.name}'"
                has = f"{nearest(name, fields)}it has {names}" if fields else "it has none"
                raise BadInput(f"{self._kind} {self.name!r} has no option {name!r}", cure=has)
            try:
                setattr(self, name, check(value, fields[name], f"option {name!r} of {self._kind} {self.name!r}"))
            except BadInput as error:
                error.cure = error.cure or f"'surgery show {self.name}' says what it can be"
                raise
        for name in fields:
            if not hasattr(self, name):
                raise BadInput(
                    f"{self._kind} {self.name!r} needs option {name!r}",
                    cure=f"write {self.name}:{name}=..., or {name}= in Python",
                )

    @property
    def name(self) -> str:
        """The name: that of the file, with hyphens."""
        module = type(self).__module__.rpartition(".")[2]
        return module.replace("_", "-") if module != "__main__" else type(self).__name__.lower()

    @classmethod
    def fields(cls) -> dict[str, Any]:
        """The options: name to type."""
        return {
            name: kind
            for name, kind in typing.get_type_hints(cls).items()
            if typing.get_origin(kind) is not ClassVar and not name.startswith("_")
        }

    @property
    def options(self) -> dict[str, Any]:
        """The options as they are set."""
        return {name: getattr(self, name) for name in self.fields() if hasattr(self, name)}

    @property
    def given(self) -> list[str]:
        """The names of the options that were set, in the order of the fields."""
        return [name for name in self.fields() if name in vars(self)]

    def note(self, text: str) -> None:
        """Tell the user something of this run; it stands in the report."""
        self.__dict__.setdefault("_notes", []).append(text)

    def told(self) -> list[str]:
        """What was noted since this was last asked."""
        notes: list[str] = self.__dict__.pop("_notes", [])
        return notes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"


class Pass(Rewrite):
    """A rewrite of ONNX graphs.

    A subclass defines one of three:

    - ``operator``, one or several (``"GridSample"``, ``"com.microsoft::GridSample"``), and
      ``rewrite(self, op, node)``: a node is replaced. Where the node only leads to what is to be
      replaced, a dict from those tensors to the new ones says so. A method ``after(self, model)``
      is called once there was a place, with all of them done, for what concerns the whole model;
    - ``pattern(self, op, x, ...)`` and ``rewrite(self, op, match)``: several nodes are;
    - ``apply(self, model) -> int``: the whole graph, as an ``onnx_ir.Model`` or, with
      ``graphsurgeon = True``, as an ``onnx_graphsurgeon.Graph``; the number of places.

    ``rewrite`` returns the new value, or a list of them, or ``op.skip("why")``, without a reason
    where the node was no place at all; it raises
    `Refused` where what was asked can't be done rightly.

    Args:
        options: values for the annotated fields.

    Raises:
        BadInput: an option that the pass lacks, or a value of another type; or one that it needs
            is not given.
    """

    _kind = "pass"
    operator: ClassVar[str | tuple[str, ...]] = ()
    domain: ClassVar[dict[str, tuple[float, float]]] = {}
    graphsurgeon: ClassVar[bool] = False
    interface: ClassVar[tuple[str, ...]] = ()  # what it changes of the inputs and outputs, see `contract.INTERFACE`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        kinds = [bool(cls.operator), hasattr(cls, "pattern"), hasattr(cls, "apply")]
        if sum(kinds) != 1:
            raise TypeError(f"{cls.__name__} must define one of operator, pattern and apply")
        if not kinds[2] and not hasattr(cls, "rewrite"):
            raise TypeError(f"{cls.__name__} has no rewrite")
        if unknown := set(cls.interface) - set(INTERFACE):
            raise TypeError(
                f"{cls.__name__}.interface can't hold {sorted(unknown)}; it can hold {', '.join(INTERFACE)}"
            )

    if TYPE_CHECKING:

        def rewrite(self, op: Op, node: Node) -> Value | list[Value] | Any:
            """See the class."""

        def apply(self, model: ir.Model) -> int:
            """See the class."""

        def after(self, model: ir.Model) -> None:
            """See the class."""


def check(value: Any, kind: Any, what: str) -> Any:
    """`value`, if it is of the annotated type `kind`.

    Raises:
        BadInput: it is not.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if value not in args:
            raise BadInput(f"{what} can't be {value!r}", cure=f"it can be {', '.join(map(str, args))}")
        return value
    if origin in (typing.Union, getattr(__import__("types"), "UnionType", None)):
        for one in args:
            try:
                return check(value, one, what)
            except BadInput:
                continue
        raise BadInput(f"{what} can't be {value!r}")
    plain = origin or kind
    if plain is type(None):
        if value is not None:
            raise BadInput(f"{what} can't be {value!r}")
        return None
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise BadInput(f"{what} must be {plain.__name__}, not {value!r}")
    if plain is list and args:
        return [check(v, args[0], what) for v in value]
    if plain is dict and args:
        return {check(k, args[0], what): check(v, args[1], what) for k, v in value.items()}
    return value


__all__ = ["Changes", "Close", "Exact", "Pass", "Refused"]
