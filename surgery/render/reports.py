"""Views of what was done to a model, and of what was proven about it."""

from __future__ import annotations

from surgery.render.screen import Screen, Stream
from surgery.render.table import Cell, table
from surgery.render.text import count, escape, name, options, shapes, some
from surgery.report import PassReport, Report, Verification

STYLES = {
    "equal": "green",
    "changed": "yellow",
    "different": "red",
    "unverified": "yellow",
    "untouched": "dim",
}
_REASONS = 10  # why places are left, on lines of their own
_FEW = 3  # names in a line; --verbose shows all


def show_report(screen: Screen, report: Report, *, dry_run: bool) -> None:
    """The result of ``apply``."""
    if not screen.quiet:
        screen.say(f"{escape(report.model)}  {count(report.nodes['before'], 'node')}")
        for one in report.passes:
            _show_pass(screen, one)
        if report.verdict != "untouched" and report.verify.mode != "none":
            show_findings(screen, report.verify)
            if report.output is not None and report.verdict == "unverified":
                for note in report.verify.notes:
                    screen.say(f"  note: {escape(note)}")
    seconds = f"{report.seconds:.1f} s"
    files = ", ".join(map(escape, filter(None, [report.output, *report.data])))
    if dry_run:
        screen.say(f"dry run: nothing written, {count(report.nodes['after'], 'node')} after, {seconds}")
    elif report.output is not None:
        what = {
            "untouched": "nothing changed: the same bytes",
            "unverified": f"{count(report.nodes['after'], 'node')}, {_verdict(screen.out, 'unverified')}",
        }
        rest = what.get(report.verdict, count(report.nodes["after"], "node"))
        screen.say(f"{screen.out.paint('wrote', 'bold')} {files}  {rest}, {seconds}")


def show_verification(screen: Screen, result: Verification, before: str, after: str, seconds: float) -> None:
    """The result of ``verify``."""
    if not screen.quiet:
        screen.say(f"{escape(before)}  =>  {escape(after)}")
        show_findings(screen, result)
    if result.ok:
        screen.say(f"{_verdict(screen.out, result.verdict)}, {seconds:.1f} s")


def explain_missed(screen: Screen, report: Report) -> None:
    """Why ``--must-match`` does not hold."""
    idle = [one.name for one in report.passes if not one.places]
    screen.insist(f"{screen.err.paint('nothing written', 'red')}: no place for {some(idle, 10)} (--must-match)")


def explain(screen: Screen, result: Verification, consequence: str, cure: str) -> None:
    """Why a verdict is negative, for stderr.

    Args:
        screen: where to.
        result: the verification.
        consequence: what the user is left with.
        cure: what the user can do.
    """
    stream = screen.err
    screen.insist(f"{_verdict(stream, result.verdict)}: {consequence}")
    if result.guilty is not None:
        screen.insist(f"  by pass  {name(result.guilty)}")
    for output in result.outputs:
        if output.verdict == "different" and output.name:
            facts = [f"max |d| {output.moved}"] if output.moved != "-" or not output.note else []
            facts += [name(output.note)] if output.note else []
            screen.insist(f"  output   {name(output.name)}: {', '.join(facts)}")
    if first := result.first_difference:
        moved = f", max |d| {first.max_abs:.3g}" if first.max_abs else ""  # a shape or NaN has no distance
        screen.insist(f"  begins   tensor {name(first.tensor)}{moved}")
        screen.insist(f"           before: {name(first.before or first.node)}")
        screen.insist(f"           after:  {name(first.after)}")
    for note in result.notes:
        screen.insist(f"  note     {escape(note)}")
    if cure:
        screen.insist(f"  {cure}")


def _show_pass(screen: Screen, done: PassReport) -> None:
    most = len(done.at) if screen.verbose else _FEW
    given = {key: done.options[key] for key in (done.options if screen.verbose else done.given)}
    title = f"{name(done.name)}:{words}" if (words := options(given)) else name(done.name)
    at = f"  at {some(done.at, most)}" if done.at else ""
    screen.say(f"  {screen.out.paint(title, 'bold')}  {count(done.places, 'place')}{at}")
    if done.places and done.contract.startswith("changes:"):
        screen.say(f"    {escape(done.contract)}")
    reasons: dict[str, list[str]] = {}
    for skip in done.skipped:
        reasons.setdefault(skip.why, []).append(skip.node)
    listed = list(reasons.items())
    for why, nodes in listed if screen.verbose else listed[:_REASONS]:
        shown = some(nodes, len(nodes) if screen.verbose else _FEW)
        screen.say(f"    left as it is: {shown}: {escape(why)}")
    if len(listed) > _REASONS and not screen.verbose:
        screen.say(f"    left as they are for {len(listed) - _REASONS:,} more reasons: --verbose has them")
    for note in done.notes:
        screen.say(f"    note: {escape(note)}")


def show_findings(screen: Screen, result: Verification) -> None:
    """What was compared, on what, and what came of it."""
    by_shape: dict[str, list[str]] = {}
    for probe in result.probes:
        by_shape.setdefault(shapes(probe.shapes), []).append(name(probe.kind))
    basis = ""
    if result.probes:
        evidence = screen.out.paint("weak evidence", "yellow") if result.evidence.weak else "evidence"
        basis = f" on {count(len(result.probes), 'probe')}, {evidence}: {result.evidence}"
    screen.say(f"  verify  {_verdict(screen.out, result.verdict)}{basis}")
    listed = list(by_shape.items())
    most = len(listed) if screen.verbose else 2 * _FEW
    for shape, kinds in listed[:most]:
        screen.say(f"    at {shape}: {', '.join(dict.fromkeys(kinds))}")
    if len(listed) > most:
        screen.say(f"    and at {len(listed) - most} more")
    if sites := _worded_sites(result):
        screen.say(f"  sites   {_verdict(screen.out, result.sites.verdict)}: {sites}")
    if result.outputs:
        _show_outputs(screen, result)
    if result.ok:  # else `explain` has them
        for note in result.notes:
            screen.say(f"  note: {escape(note)}")


def _worded_sites(result: Verification) -> str:
    sites = result.sites
    if not sites.count:
        return "both graphs compute the same, nothing is left to run" if sites.verdict in ("equal", "changed") else ""
    kinds = f", on {count(len(sites.families), 'kind')} of values" if sites.families else ""
    return f"{sites.verified} of {count(sites.structures, 'structure')}, {count(sites.count, 'claim')}{kinds}"


def _show_outputs(screen: Screen, result: Verification) -> None:
    rows: list[list[Cell]] = [
        [
            f"  {name(o.name)}",
            o.moved,
            f"{o.max_rel:.3g}",
            f"{o.cosine:.6f}",
            f"{o.outside:.2%}",
            (o.verdict, STYLES[o.verdict]),
            name(o.note),
        ]
        for o in result.outputs
    ]
    headers = ["  output", "max |d|", "max rel", "cosine", "outside", "verdict", ""]
    screen.say(table(screen.out, headers, rows, right=headers[1:5]))


def _verdict(stream: Stream, verdict: str) -> str:
    return stream.paint(verdict, STYLES[verdict])
