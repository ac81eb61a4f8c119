"""Recipes: passes and their options in a TOML file.

[[pass]]
name = "gridsample"
indices = "int64"

[[pass]]
name = "hardswish"
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery import registry
from surgery.errors import BadInput

if TYPE_CHECKING:
    from surgery.authoring import Pass

_CURE = 'a pass is written as [[pass]], then name = "NAME", then its options'


def read_recipe(path: Path) -> list[Pass]:
    """The passes of a recipe, in its order.

    Raises:
        BadInput: the file can't be read, is no recipe, or names what there is not.
    """
    steps = _steps(path)
    passes = []
    for number, step in enumerate(steps, 1):
        where = f"{path}, pass {number}"
        if not isinstance(step, dict) or not isinstance(step.get("name"), str):
            raise BadInput("this pass has no name", where=where, cure=_CURE)
        options = {key: value for key, value in step.items() if key != "name"}
        try:
            passes.append(registry.build(step["name"], options))
        except BadInput as error:
            error.where = f"{where}: {error.where}" if error.where else where
            raise
    return passes


def _steps(path: Path) -> list[Any]:
    try:
        recipe = tomllib.loads(path.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:  # the first says line and column
        raise BadInput(f"this is not TOML: {error}", where=str(path)) from error
    except RecursionError as error:
        raise BadInput("it is nested too deeply", where=str(path)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"can't be read: {reason}", where=str(path), cure="name a TOML file that is there") from error
    steps = recipe.pop("pass", None)
    if recipe:
        raise BadInput(f"a recipe has no {next(iter(recipe))!r}", where=str(path), cure=_CURE)
    if not isinstance(steps, list) or not steps:
        raise BadInput("the recipe has no passes", where=str(path), cure=_CURE)
    return steps
