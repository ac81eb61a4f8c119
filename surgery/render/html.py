"""A Report as one HTML file for people: self-contained, light and dark, for wide and narrow screens.

Names come from the model; every one is escaped for HTML, and what is not printable is spelt out.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from surgery.render import files
from surgery.render.drawing import draw
from surgery.render.text import count, name, options, shapes
from surgery.report import PassReport, Report, SiteKind, Verification

_DRAWN = 60  # nodes; of more, only the numbers by operator are told
_OPENING = b"<!doctype html>"


def writable(path: Path) -> None:
    """Make sure that a page can be written to `path`, see `files.writable`."""
    files.writable(path, "report", _OPENING)


def write(path: Path, text: str) -> None:
    """Put a page in place, whole or not at all."""
    files.write(path, text.encode())


def report_page(report: Report) -> str:
    """The page of one ``apply``."""
    head = [
        _lead(report.verdict, _sentence(report)),
        f"<p>{count(report.nodes['before'], 'node')} before, {report.nodes['after']:,} after; {report.seconds:.1f} s, "
        f"{report.peak_bytes / 1e6:,.0f} MB at most.</p>",
    ]
    rows = [
        [
            f"<td><code>{_name(one.name)}</code>{_set(one)}</td>",
            f'<td class="n">{one.places:,}</td>',
            f"<td>{_name(one.contract)}</td>",
            _verdict_cell(one.verdict),
            f'<td class="n">{one.seconds:.2f} s</td>',
        ]
        for one in report.passes
    ]
    head += ["<h2>Passes</h2>", _table(["pass", "#places", "promises", "verdict", "#time"], rows)]
    head += [_places(one) for one in report.passes]
    return _page(f"surgery apply: {report.model}", [*head, *_verification(report.verify)])


def verification_page(result: Verification, before: str, after: str, seconds: float) -> str:
    """The page of one ``verify``."""
    lead = _lead(result.verdict, f"{_name(before)} and {_name(after)}, {seconds:.1f} s")
    return _page(f"surgery verify: {before}", [lead, *_verification(result)])


def _sentence(report: Report) -> str:
    if report.output is not None:
        return f"written to <code>{_name(report.output)}</code>"
    return "nothing was written"


def _set(one: PassReport) -> str:
    return f' <span class="soft">{escape(words)}</span>' if (words := options(one.options)) else ""


def _places(one: PassReport) -> str:
    parts = []
    if one.at:
        parts.append(_details(f"{one.name}: {count(one.places, 'place')}", (_name(node) for node in one.at)))
    if one.skipped:
        skipped = (f"{_name(skip.node)}: {_name(skip.why)}" for skip in one.skipped)
        parts.append(_details(f"{one.name}: {count(len(one.skipped), 'place')} left as it was", skipped))
    return "".join(parts)


def _verification(result: Verification) -> list[str]:
    if result.mode == "none" or result.verdict == "untouched":
        return []
    evidence = f"evidence: {result.evidence}" + (", which is weak" if result.evidence.weak else "")
    parts = ["<h2>Outputs</h2>", f"<p>On {count(len(result.probes), 'probe')}; {escape(evidence)}.</p>"]
    rows = [
        [
            f"<td>{_name(o.name)}" + (f'<br><span class="soft">{_name(o.note)}</span>' if o.note else "") + "</td>",
            *(f'<td class="n">{text}</td>' for text in (f"{o.max_abs:.3g}", f"{o.max_rel:.3g}", f"{o.cosine:.6f}")),
            f'<td class="n">{o.outside:.2%}</td>',
            _verdict_cell(o.verdict),
        ]
        for o in result.outputs
    ]
    parts.append(_table(["output", "#max |d|", "#max rel", "#cosine", "#outside", "verdict"], rows))
    if first := result.first_difference:
        parts += ["<h2>Where it begins</h2>", f"<p>Tensor <code>{_name(first.tensor)}</code>, max |d| "]
        parts += [f"{first.max_abs:.3g}.<br>Before: {_name(first.before or first.node)}<br>"]
        parts += [f"After: {_name(first.after)}</p>"]
    if result.guilty:
        parts.append(f"<p>It comes from pass <code>{_name(result.guilty)}</code>.</p>")
    if result.notes:
        parts += ["<h2>Notes</h2><ul>", *(f"<li>{_name(note)}</li>" for note in result.notes), "</ul>"]
    if result.probes:
        probes = [[f"<td>{_name(p.kind)}</td>", f"<td>{escape(shapes(p.shapes))}</td>"] for p in result.probes]
        parts += ["<h2>Probes</h2>", _table(["values", "shapes"], probes)]
    return [*parts, *_sites(result)]


def _sites(result: Verification) -> list[str]:
    sites = result.sites
    if not sites.count:
        return []
    verdict = f'<span class="verdict {sites.verdict}">{sites.verdict}</span>'
    parts = [
        "<h2>Sites</h2>",
        f"<p>{verdict}: {sites.verified:,} of {count(sites.structures, 'structure')}, {count(sites.count, 'claim')}: "
        "each a tensor after that is to equal one before. Drawn is what makes it, between what both models share.</p>",
    ]
    return [*parts, *map(_kind, sites.kinds)]


def _kind(kind: SiteKind) -> str:
    title = f"<h3><code>{_name(kind.tensor)}</code>"
    title += f' <span class="soft">and {kind.places - 1:,} more of its kind</span>' if kind.places > 1 else ""
    title += f' <span class="verdict {kind.verdict}">{kind.verdict}</span></h3>'
    sides = [("before", kind.before), ("after", kind.after)]
    cells = []
    for when, steps in sides:
        if not steps:
            text = '<p class="soft">no node: it is an input or a constant</p>'
        elif len(steps) > _DRAWN:
            text = f"<p>{escape(_counted([step.op for step in steps]))}</p>"
        else:
            text = f'<div class="wide">{draw(steps, f"{kind.tensor} {when}")}</div>'
        cells.append(f'<div><p class="soft">{when}: {count(len(steps), "node")}</p>{text}</div>')
    return f'{title}<div class="pair">{"".join(cells)}</div>'


def _counted(ops: Sequence[str]) -> str:
    return ", ".join(f"{ops.count(op)} {op}" for op in dict.fromkeys(ops))


def _page(title: str, body: Iterable[str]) -> str:
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_name(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{css}</style></head>\n<body><h1>{_name(title)}</h1>\n"
        + "\n".join(body)
        + f'\n<p class="soft">onnx-surgery {importlib.metadata.version("onnx-surgery")}</p></body></html>\n'
    )


def _lead(verdict: str, text: str) -> str:
    return f'<p class="lead {verdict}"><span class="verdict">{verdict}</span>: {text}</p>'


def _verdict_cell(verdict: str) -> str:
    return f'<td class="verdict {verdict}">{verdict}</td>'


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a header that begins with # is over numbers."""
    head = "".join(f'<th class="n">{h[1:]}</th>' if h.startswith("#") else f"<th>{h}</th>" for h in headers)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _details(title: str, items: Iterable[str]) -> str:
    return f"<details><summary>{_name(title)}</summary><ul>{''.join(f'<li>{i}</li>' for i in items)}</ul></details>"


def _name(text: object) -> str:
    return escape(name(text))
