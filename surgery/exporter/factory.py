"""Call what makes the module that is to be exported.

``MODULE:FACTORY`` is a function without arguments that returns the module and its arguments, and,
if it likes, the dynamic dims. ``NAME:A,B,C`` calls ``factory(A, B, C)`` of the module NAME in a
package that provides rewrites, as ours does for mmocr.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from surgery import registry
from surgery.errors import BadInput, Missing, SurgeryError


def call(source: str) -> tuple[Any, Any, dict[str, dict[int, str]]]:
    """The module, its arguments and the dynamic dims that the factory names.

    Raises:
        BadInput: there is no such factory, or it fails, or gives something else.
        Missing: it needs a package that is not installed.
    """
    name, colon, rest = source.partition(":")
    if not colon or not name or not rest:
        raise BadInput(f"{source!r} names no factory", cure="write MODULE:FACTORY, or mmocr:CONFIG,CHECKPOINT,IMAGE")
    shipped = registry.factories().get(name)
    module = _import(shipped or name, source)
    if shipped:
        make, arguments = module.factory, rest.split(",")
    else:
        make, arguments = _attribute(module, rest, source), []
    try:
        made = make(*arguments)
    except SurgeryError:
        raise
    except ModuleNotFoundError as error:
        raise Missing(f"{source} needs {error.name!r}", cure=_install(error)) from error
    except (Exception, SystemExit) as error:  # it is the user's code
        raise BadInput(f"the factory fails: {type(error).__name__}: {error}", where=source) from error
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        raise BadInput(
            f"the factory gives a {type(made).__name__}",
            where=source,
            cure="it is to return (module, args), or (module, args, dynamic)",
        )
    return made[0], made[1], made[2] if len(made) == 3 else {}


def _install(error: ModuleNotFoundError) -> str:
    return "pip install 'onnx-surgery[torch]'" if error.name == "torch" else f"pip install {error.name}"


def _import(name: str, source: str) -> Any:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python -m` does: the user's file lies where he works
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise BadInput(
                f"there is no module {name!r}",
                where=source,
                cure="MODULE is as in `import MODULE`: net for net.py in this folder, acme.net for a package",
            ) from error
        raise Missing(f"{name} needs {error.name!r}", where=source, cure=_install(error)) from error
    except SurgeryError:
        raise
    except (Exception, SystemExit) as error:
        raise BadInput(f"{name} can't be imported: {type(error).__name__}: {error}", where=source) from error


def _attribute(module: Any, path: str, source: str) -> Callable[..., Any]:
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise BadInput(f"{module.__name__} has no {path!r}", where=source)
        found = getattr(found, part)
    if not callable(found):
        raise BadInput(f"{path} is a {type(found).__name__}, not a function", where=source)
    factory: Callable[..., Any] = found
    return factory
