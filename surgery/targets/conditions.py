"""Hold conditions of rules, which are expressions, against the names of a place or a port."""

from __future__ import annotations

import math
import types
from functools import cache
from typing import Any

# What conditions may call besides.
PLAIN: dict[str, Any] = {"__builtins__": {}} | {
    f.__name__: f for f in (abs, all, any, len, max, min, set, str, sum, tuple, zip, range, math.prod, math.isinf)
}


def holds(condition: str, names: dict[str, Any]) -> bool:
    """Whether a condition holds; what can't be told does not.

    Args:
        condition: an expression; the empty one always holds.
        names: what it can name, `PLAIN` among them; a subclass may look others up.
    """
    if not condition:
        return True
    try:
        return bool(eval(_compiled(condition), names))
    except (TypeError, IndexError, ZeroDivisionError):  # a rank, a dim or a constant is not known
        return False


@cache
def _compiled(condition: str) -> types.CodeType:
    """A condition, ready to be held."""
    return compile(condition, f"<{condition}>", "eval")
