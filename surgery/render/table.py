"""Tables, by rich: it knows how wide text is in every script, and folds what is too long."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence

from surgery.render.screen import Stream
from surgery.render.text import escape

Cell = str | tuple[str, str]  # text, or text and style


def table(stream: Stream, headers: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> str:
    """A table as text.

    Args:
        stream: where it will be printed; gives width and colour.
        headers: the columns.
        rows: the cells; what they hold is escaped, and markup in it is not interpreted.
        right: the columns that are set to the right: numbers.
    """
    # Here, and not above: of the verbs, only those that print a table are to pay for it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for header in headers:
        grid.add_column(header, justify="right" if header in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(escape(c)) if isinstance(c, str) else Text(escape(c[0]), style=c[1]) for c in row))
    console = Console(
        file=io.StringIO(),
        width=stream.width,
        force_terminal=stream.colour,
        no_color=not stream.colour,
        color_system="standard" if stream.colour else None,
    )
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
