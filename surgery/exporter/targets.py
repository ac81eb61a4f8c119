"""The functions that rewriters replace: found, checked, replaced, put back."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from surgery.errors import Missing, Refused

_ABSENT = object()


@dataclass
class Target:
    """A function and where it is.

    Args:
        path: as the rewriter has it.
        owner: the module or class that holds it.
        name: by which the owner does.
        held: what the owner holds itself, a descriptor for one; `_ABSENT` if it is inherited.
        function: what is called.
        kind: "function", "method", "static" or "class".
    """

    path: str
    owner: Any
    name: str
    held: Any
    function: Callable[..., Any]
    kind: str


def is_loaded(path: str) -> bool:
    """Whether the module that a path begins with is imported; nothing is imported to tell."""
    return _module_of(path) is not None


def find(path: str, who: str) -> Target:
    """What a path leads to.

    Raises:
        Missing: the package is not installed.
        Refused: the path leads nowhere, or to what is defined elsewhere under another name.
    """
    module = _module_of(path) or _import(path, who)
    inner = path.removeprefix(module.__name__ + ".").split(".")
    owner: Any = module
    for depth, part in enumerate(inner):
        if not hasattr(owner, part):
            at = ".".join([module.__name__, *inner[:depth]])
            raise Refused(f"{who} replaces {path}, but {at} has no {part!r}", cure=_cure(module))
        if depth + 1 < len(inner):
            owner = getattr(owner, part)
    name = inner[-1]
    if len(inner) > 1 and not isinstance(owner, type):
        raise Refused(f"{who} replaces {path}, but {path.rpartition('.')[0]} is no class", cure=_cure(module))
    for there, qualified in ((owner, inner[:-1]), (getattr(owner, name), inner)):
        _check_home(there, module.__name__, ".".join(qualified), owner, who, path)
    held = vars(owner).get(name, _ABSENT)
    kind = "function" if not isinstance(owner, type) else "method"
    if isinstance(owner, type):
        raw = inspect.getattr_static(owner, name)
        kind = {staticmethod: "static", classmethod: "class"}.get(type(raw), "method")
    function = getattr(owner, name)
    if not callable(function) or isinstance(function, type):
        raise Refused(f"{who} replaces {path}, which is no function but {function!r}", cure=_cure(module))
    return Target(path, owner, name, held, function, kind)


def check_signature(target: Target, replacement: Callable[..., Any], who: str) -> None:
    """See that a replacement, bound to its rewriter, has the parameters of what it replaces.

    Raises:
        Refused: it has others; both are told.
    """
    try:
        theirs = list(inspect.signature(target.function).parameters.values())
    except ValueError:
        return  # torch's built-in functions tell nothing of theirs
    ours = list(inspect.signature(replacement).parameters.values())[1:]  # without `original`
    if target.kind == "method":
        theirs = theirs[1:]
    if target.kind in ("method", "class") and (not ours or ours[0].kind is inspect.Parameter.VAR_POSITIONAL):
        ours = ours or [inspect.Parameter("", inspect.Parameter.POSITIONAL_ONLY)]
    elif target.kind in ("method", "class"):
        ours = ours[1:]
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in ours) and any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in ours
    ):
        return
    if [_essence(p) for p in ours] != [_essence(p) for p in theirs]:
        raise Refused(
            f"{who} replaces {target.path} with the parameters ({_spelt(ours)}), "
            f"but the one installed has ({_spelt(theirs)})",
            cure=_cure(sys.modules.get(target.path.partition(".")[0])),
        )


def wrap(
    target: Target, replacement: Callable[..., Any], called: Callable[[], None], inner: Callable[..., Any]
) -> Callable[..., Any]:
    """A function to put in the place of a target.

    Args:
        target: what is replaced.
        replacement: called with `original` and the arguments.
        called: is told of each call.
        inner: what `original` calls: a plain function that takes the module or class first, if any.
    """

    @functools.wraps(inner)
    def function(*args: Any, **kwargs: Any) -> Any:
        called()
        original = functools.partial(inner, args[0]) if target.kind in ("method", "class") else inner
        return replacement(original, *args, **kwargs)

    return function


def plain(target: Target) -> Callable[..., Any]:
    """The function of a target, out of its ``staticmethod`` or ``classmethod``."""
    if target.kind == "function":
        return target.function
    raw = inspect.getattr_static(target.owner, target.name)
    function: Callable[..., Any] = getattr(raw, "__func__", raw)
    return function


def replace(target: Target, function: Callable[..., Any], stack: ExitStack) -> None:
    """Put a function in the place of a target until `stack` is closed.

    A function of a module is replaced in every module that imported it by name, too; not in tuples,
    partials, default arguments and closures.
    """
    if target.kind != "function":
        wrapped: Any = {"static": staticmethod, "class": classmethod}.get(target.kind, lambda f: f)(function)
        if target.held is _ABSENT:
            stack.callback(_remove, target.owner, target.name)
        else:
            stack.callback(setattr, target.owner, target.name, target.held)
        setattr(target.owner, target.name, wrapped)
        return
    places = {(id(target.owner), target.name): target.owner}
    for module in list(sys.modules.values()):
        if isinstance(module, type(sys)):
            for name, value in list(vars(module).items()):
                if value is target.function:
                    places[id(module), name] = module
    for (_, name), module in places.items():
        stack.callback(setattr, module, name, target.function)
        setattr(module, name, function)


def _remove(owner: Any, name: str) -> None:
    if name in vars(owner):
        delattr(owner, name)


def _module_of(path: str) -> Any:
    """The innermost module of a path that is loaded."""
    parts = path.split(".")
    if parts[0] not in sys.modules:
        return None
    for length in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None:
            # `a.b.f` where a.b is a module that is not loaded must not be looked for in a.
            return module if length == len(parts) - 1 or hasattr(module, parts[length]) else None
    return None


def _import(path: str, who: str) -> Any:
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # `name` or a parent of it is no module: look further up; else something that it imports.
            if not (error.name and (name == error.name or name.startswith(error.name + "."))):
                raise Missing(f"{who} needs {name}, which can't be imported: {error}") from error
    raise Missing(
        f"{who} replaces {path}, but {parts[0]!r} is not installed", cure=f"pip install {parts[0]}, or leave it out"
    )


def _check_home(found: Any, module: str, qualified: str, owner: Any, who: str, path: str) -> None:
    """See that a class or function is the one that its path names, and not one imported there."""
    if not qualified or isinstance(found, type(sys)):
        return
    if not isinstance(found, type) and isinstance(owner, type):
        return  # a method may be inherited: its class was checked
    found = inspect.unwrap(found)  # an outer context may have replaced it
    home, name = getattr(found, "__module__", None), getattr(found, "__qualname__", qualified)
    if home is None or (not isinstance(found, type) and not inspect.isfunction(found)):
        home, name = module, name.rpartition(".")[2] if "." not in qualified else name  # torch's built-in ones
    if (home, name) != (module, qualified):
        raise Refused(
            f"{who} replaces {path}, but that leads to {home}.{name}",
            cure="the path is to be that of the definition; if that was moved, the rewriter is for another version",
        )


def _essence(parameter: inspect.Parameter) -> tuple[Any, ...]:
    default = parameter.default
    return parameter.name, parameter.kind, default if default is inspect.Parameter.empty else repr(default)


def _spelt(parameters: list[inspect.Parameter]) -> str:
    return ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)


def _cure(module: Any) -> str:
    package = getattr(module, "__name__", "").partition(".")[0]
    version = getattr(sys.modules.get(package), "__version__", None)
    installed = f" ({package} {version} is installed)" if version else ""
    return f"the rewriter is for another version of {package or 'the package'}{installed}"
