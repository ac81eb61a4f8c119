"""Draw a small graph as SVG: values flow from the top to the bottom, one row of nodes a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from surgery.render.text import name
from surgery.report import Step

_ROW, _GAP, _HEIGHT = 58, 14, 30  # pixels from row to row, between boxes, of a box
_LETTER = 7.2  # pixels of a letter in a box
_SHORT = 26  # letters in a box


@dataclass(eq=False)
class _Box:
    text: str
    hint: str
    kind: str  # "input", "node" or "output"
    row: int = 0
    x: float = 0.0
    above: list[_Box] = field(default_factory=list)

    @property
    def width(self) -> float:
        return len(self.text) * _LETTER + 22

    @property
    def y(self) -> float:
        return self.row * _ROW + 8.0


def draw(steps: Sequence[Step], title: str) -> str:
    """The SVG of a graph.

    Args:
        steps: its nodes, in topological order.
        title: what it is, for readers that do not see it.
    """
    boxes = _boxes(steps)
    rows = [[box for box in boxes if box.row == row] for row in range(max((b.row for b in boxes), default=-1) + 1)]
    widths = [sum(box.width for box in row) + _GAP * (len(row) - 1) for row in rows]
    whole = max(widths, default=0.0)
    for row, width in zip(rows, widths, strict=True):
        row.sort(key=lambda box: sum(b.x for b in box.above) / len(box.above) if box.above else 0.0)
        x = (whole - width) / 2
        for box in row:
            box.x = x + box.width / 2
            x += box.width + _GAP
    height = len(rows) * _ROW - _ROW + _HEIGHT + 16
    parts = [
        f'<svg viewBox="-4 0 {whole + 8:.0f} {height}" width="{whole + 8:.0f}" role="img" aria-label="{escape(title)}">'
    ]
    parts += [_edge(above, box) for box in boxes for above in box.above]
    parts += [_shape(box) for box in boxes]
    return "".join([*parts, "</svg>"])


def _boxes(steps: Sequence[Step]) -> list[_Box]:
    makers: dict[str, _Box] = {}
    made = {output for step in steps for output in step.outputs}
    read = {value for step in steps for value in step.inputs}
    boxes: list[_Box] = []
    for step in steps:
        for value in step.inputs:
            if value not in made and value not in makers and value:
                makers[value] = _Box(_short(value), value, "input")
                boxes.append(makers[value])
        above = list(dict.fromkeys(makers[value] for value in step.inputs if value in makers))
        box = _Box(_short(step.op), f"{step.op} {step.note}".strip(), "node", above=above)
        box.row = 1 + max((b.row for b in above), default=0)
        boxes.append(box)
        makers.update((output, box) for output in step.outputs)
    for step in steps:
        for output in step.outputs:
            if output and output not in read:
                maker = makers[output]
                boxes.append(_Box(_short(output), output, "output", maker.row + 1, above=[maker]))
    for box in boxes:  # an input stands right above its first reader
        if box.kind == "input":
            box.row = min((b.row for b in boxes if box in b.above), default=1) - 1
    return boxes


def _short(text: str) -> str:
    text = name(text)
    return text if len(text) <= _SHORT else f"{text[: _SHORT // 2]}…{text[-_SHORT // 2 :]}"


def _edge(above: _Box, box: _Box) -> str:
    x1, y1, x2, y2 = above.x, above.y + _HEIGHT, box.x, box.y
    middle = (y1 + y2) / 2
    return f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"/>'


def _shape(box: _Box) -> str:
    return (
        f'<g class="{box.kind}"><title>{escape(name(box.hint))}</title>'
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y:.0f}" width="{box.width:.1f}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{box.x:.1f}" y="{box.y + 19.5:.1f}">{escape(box.text)}</text></g>'
    )
