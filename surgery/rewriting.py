"""What the authors of rewriters write with: replacements of torch functions, in force while a model is exported.

class UpsampleMode(Rewriter):
    contract = Changes("bilinear instead of nearest")

    @replaces("mmocr.models.textdet.necks.fpn_cat.FPNC.forward")
    def neck(self, original, module, inputs):
        return original(inputs)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from surgery.authoring import Rewrite

if TYPE_CHECKING:
    import torch

_Method = TypeVar("_Method", bound=Callable[..., Any])
_MARK = "__replaces__"


class Change(Protocol):
    """How `Rewriter.alter` sets what is put back after the export."""

    def __call__(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute: a parameter (a tensor will do), a buffer, a sub-module, or any other."""


def replaces(*paths: str) -> Callable[[_Method], _Method]:
    """Mark a method of a `Rewriter` as the replacement of functions.

    The method is called as ``(self, original, ...)`` with the arguments of the function, the module
    first if it is a method; `original` is what it replaces, already bound to the module. After
    these it has the parameters of the function, names and defaults alike, or ``*args, **kwargs``
    where it has no interest in them: a function that has others is not replaced, which is an error.

    Args:
        paths: ``package.module.function`` or ``package.module.Class.method``, as it is defined
            there and not where it is imported to.
    """

    def mark(method: _Method) -> _Method:
        setattr(method, _MARK, (*paths, *getattr(method, _MARK, ())))
        return method

    return mark


class Rewriter(Rewrite):
    """A rewrite of torch code, in force while a module is exported, and only then.

    A subclass marks methods with `replaces`, or defines ``alter(self, module, change)``, or both.
    There is one instance an export: what one replacement is to tell another is kept in ``self``.

    ``alter`` may change parameters and sub-modules of the exported module, each by
    ``change(owner, name, value)``; all are put back. It sees no input: what depends on values
    would be decided by one image.

    Class attributes, all of them filters but the last:

    - ``backends``: the compilers it is for; empty for all;
    - ``exporters``: "torchscript", "dynamo"; empty for both;
    - ``opsets``: a range, or None for all;
    - ``priority``: of two that replace one function, the one with more is called first, and its
      `original` is the other. Equal ones are an error.

    A rewriter whose contract is `Changes` is in force only where it is named. Any other is, too,
    if the code that it replaces is loaded.

    Args:
        options: values for the annotated fields.

    Raises:
        BadInput: an option that it lacks, or a value of another type.
    """

    _kind = "rewriter"
    backends: ClassVar[tuple[str, ...]] = ()
    exporters: ClassVar[tuple[str, ...]] = ()
    opsets: ClassVar[range | None] = None
    priority: ClassVar[int] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.targets() and cls.alter is Rewriter.alter:
            raise TypeError(f"{cls.__name__} replaces nothing and has no alter")

    @classmethod
    def targets(cls) -> dict[str, str]:
        """What it replaces: the path to the name of the method that does.

        Raises:
            TypeError: two methods replace one function.
        """
        found: dict[str, str] = {}
        for name in dir(cls):
            for path in getattr(getattr(cls, name, None), _MARK, ()):
                if path in found:
                    raise TypeError(f"{cls.__name__} replaces {path} by {found[path]} and by {name}")
                found[path] = name
        return found

    def alter(self, module: torch.nn.Module, change: Change) -> None:
        """Change the module that is exported; see the class."""
