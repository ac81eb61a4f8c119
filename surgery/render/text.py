"""Small pieces of text that the views share; `escape` is what every name from a model goes through."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

_LONGEST_NAME = 200  # characters of one name on the screen; --json has all of it


def escape(text: object) -> str:
    r"""Make text from a file harmless on a terminal, and one line: ESC becomes ``\x1b``, and so on.

    Whatever is not a printable character or a plain space is written as its escape: control
    characters, line ends, marks that turn the direction of text, characters without width.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def name(text: object) -> str:
    """A name from a model: escaped, its middle left out if it is absurdly long."""
    shown = escape(text)
    half = _LONGEST_NAME // 2
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:half]}…{shown[-half:]}"


def count(number: int, noun: str) -> str:
    """``1 place``, ``1,234 places``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def some(names: Sequence[str], most: int) -> str:
    """Names joined by commas; of more than `most`, the first and how many are left out."""
    shown = ", ".join(map(name, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def size(bytes_: int) -> str:
    """``512 bytes``, ``1.5 kB``, ``42.0 MB``."""
    if bytes_ < 1000:
        return f"{bytes_} bytes"
    power = min(int(math.log10(bytes_)) // 3, 4)
    return f"{bytes_ / 1000**power:,.1f} {' kMGT'[power]}B"


def shapes(by_name: Mapping[str, Sequence[int]]) -> str:
    """``x 2x3x32x100, lengths 2``, as the command line writes shapes."""
    return ", ".join(f"{name(n)} {'x'.join(map(str, dims)) or 'scalar'}" for n, dims in by_name.items())


def attributes(values: Mapping[str, object]) -> str:
    """``axis=1, perm=[0, 2, 1]``."""
    return ", ".join(f"{name(key)}={name(value)}" for key, value in values.items())


def options(values: Mapping[str, object]) -> str:
    """``form=clip,dims=batch=1;width=320``: as the command line takes them; those that are empty are left out."""
    given = {key: _worded(value) for key, value in values.items()}
    return ",".join(f"{name(key)}={name(value)}" for key, value in given.items() if value)


def _worded(value: object) -> str:
    if isinstance(value, Mapping):
        return ";".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return ";".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def columns(rows: Iterable[Sequence[str]], indent: int = 0) -> str:
    """Rows with their columns aligned; for what must be printed quickly, else see `table`."""
    rows = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(" " * indent + line for line in lines)
