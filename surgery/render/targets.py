"""Views of targets and of findings."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from surgery.render.screen import Screen
from surgery.render.text import columns, count, escape, name, shapes
from surgery.targets import SUMMARIES
from surgery.targets.drivers import THREADS
from surgery.targets.rule import HAPPENS, Chosen, Rule, Target

if TYPE_CHECKING:
    from surgery.targets.compile import Compiled
    from surgery.targets.finding import Finding
    from surgery.targets.prepare import Prepared

_FEW = 5  # nodes of one rule that are named, unless all are asked for


def show_findings(screen: Screen, target: Chosen, found: Sequence[Finding]) -> None:
    """Findings, those of one rule together."""
    if not found:
        screen.say(f"{target}: nothing found")
        return
    paint = screen.out.paint
    by_rule: dict[tuple[str, str], list[Finding]] = {}
    for finding in found:
        by_rule.setdefault((finding.rule, finding.operator), []).append(finding)
    if not screen.quiet:
        for (rule, operator), some in by_rule.items():
            first = some[0]
            style = "red" if first.blocking else "yellow"
            head = f"{escape(operator)}  {paint(first.happens, style)}  {escape(first.why)}"
            screen.say(paint(escape(rule), "bold") + "  " + head)
            shown = some if screen.verbose else some[:_FEW]
            nodes = ", ".join(name(one.node) for one in shown)
            more = f" and {len(some) - len(shown):,} more" if len(some) > len(shown) else ""
            screen.say(f"    at      {nodes}{more}")
            screen.say(f"    cure    {' or '.join(first.cures) or 'none by a pass'}")
            screen.say(f"    source  {escape(first.source)}")
    kinds = Counter(finding.happens for finding in found)
    parts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    screen.say(f"{target}: {count(len(found), 'finding')}: {parts}")


def show_prepared(screen: Screen, result: Prepared) -> None:
    """What `prepare` did, or why it wrote nothing."""
    plan, report = result.plan, result.report
    if plan.found and not screen.quiet:
        left = {(finding.rule, finding.node) for finding in plan.left}
        cured = sum((finding.rule, finding.node) not in left for finding in plan.found)
        screen.say(f"found    {count(len(plan.found), 'finding')}, {cured} cured")
    if plan.passes and not screen.quiet:
        screen.say(f"passes   {', '.join(map(name, plan.passes))}")
    for text, why in plan.failed.items():
        screen.talk(f"failed   {name(text)}: {escape(why)}")
    if plan.left:
        show_findings(screen, result.target, plan.left)
    if plan.absent:
        screen.talk(f"not installed: {', '.join(plan.absent)}")
    if report is not None and not screen.quiet:
        if report.verdict == "untouched":
            screen.say("verify   no pass changed the model: there is nothing to compare")
        else:
            compared = f"before and after, on {count(len(report.verify.probes), 'probe')}"
            screen.say(f"verify   {report.verdict}, {compared}")
    for note in result.notes:
        screen.talk(f"note     {escape(note)}")
    if result.folder is not None:
        for step in result.steps if not screen.quiet else ():
            screen.say(escape(shlex.join(step.command)))
        from surgery.targets.prepare import EXPECTED

        proof = f", {EXPECTED} has {count(result.probes, 'probe')} to prove the result by" if result.probes else ""
        screen.say(f"wrote {escape(result.folder)}: build.sh compiles{proof}")
    elif report is None:
        screen.insist("nothing written: the target would refuse the model, or compute it wrongly; --allow-findings")
    else:
        from surgery.render.reports import explain

        cure = "" if report.verdict == "different" else "--allow-unverified writes it all the same"
        explain(screen, report.verify, "nothing written", cure)


def show_compiled(screen: Screen, result: Compiled) -> None:
    """What came of `compile`: a row for every output of every probe, and the times."""
    from surgery.render.table import Cell, table

    if result.prepared is not None:
        show_prepared(screen, result.prepared)
        return
    by_probe = [{port["name"]: port["shape"] for port in case["inputs"]} for case in result.cases]
    if result.outputs and not screen.quiet:
        rows: list[tuple[Cell, ...]] = []
        for probe, one in result.outputs:
            numbers = ["" if value is None else f"{value:.1e}" for value in (one.max_abs, one.share)]
            verdict: Cell = ("equal", "green") if one.equal else ("wrong", "red")
            rows.append((str(probe), shapes(by_probe[probe]), name(one.output), *numbers, verdict, one.note))
        headers = ["probe", "inputs", "output", "max |d|", "of range", "verdict", ""]
        screen.say(table(screen.out, headers, rows, right=headers[3:5]))
    if result.times and not screen.quiet:
        columns_ = ("min", "max", "mean", "median", "p99")
        times = [
            (
                str(row["batch"]),
                shapes(row["shapes"]),
                str(row["runs"]),
                *(f"{row[column]:.2f}" for column in columns_),
                f"{row['throughput']:.1f}",
            )
            for row in sorted(result.times, key=lambda row: row["batch"])
        ]
        headers = ["batch", "inputs", "runs", *columns_, "samples/s"]
        screen.say(f"milliseconds, on {count(THREADS, 'thread')}")
        screen.say(table(screen.out, headers, times, right=[h for h in headers if h != "inputs"]))
    for package, version in result.versions.items():
        known = result.target.version
        other = f"; the rules were measured at {known}" if known not in version else ""
        screen.talk(f"{package} {escape(version)}{other}")
    if not result.ok:
        for text in result.last_lines:
            screen.talk(f"    {escape(text)}")
    if result.folder is not None and not screen.quiet:
        made = f"{', '.join(map(name, result.made))}; " if result.made else ""
        screen.say(f"in {escape(result.folder)}: {made}compile.log")
    reason = f": {escape(result.why)}" if result.why else ""
    elsewhere = "; not run: build.sh runs the probes where the chip is" if result.verdict == "compiled" else ""
    screen.say(f"{result.target}: {result.verdict}{reason}{elsewhere}")


def findings_document(target: Chosen, found: Iterable[Finding]) -> dict[str, Any]:
    """Findings for ``--json``."""
    return {
        "target": target.name,
        "version": target.version,
        "options": target.options,
        "findings": [finding.to_json() for finding in found],
    }


def show_target(screen: Screen, target: Target) -> None:
    """All that is known of a target."""
    paint = screen.out.paint
    screen.say(f"{paint(target.name, 'bold')}  target: {escape(SUMMARIES[target.name])}")
    screen.say()
    screen.say(f"Versions: {', '.join(target.versions)}; without one it is the last")
    for line in target.differs:
        screen.say(f"  {escape(line)}")
    for opsets in target.opsets:
        of = f" ({opsets.versions})" if opsets.versions else ""
        screen.say(f"Opsets: {opsets.low} to {opsets.high}{of}; source: {escape(opsets.source)}")
    screen.say(f"Command: {escape(target.command)}")
    for line in target.notes:
        screen.say(f"  {escape(line)}")
    if target.packages:
        screen.say(f"Compiles and runs here: {escape(target.install)}")
    if target.options:
        screen.say()
        screen.say(paint("Options", "bold"))
        rows = [
            (o.name, f"default {o.default}" if o.default else "", o.meaning, " ".join(o.values)) for o in target.options
        ]
        screen.say(columns(rows, indent=2))
    screen.say()
    screen.say(paint("Rules", "bold"))
    for rule in target.rules:
        show_rule(screen, rule)
    screen.say()
    happening = {rule.happens for rule in target.rules}
    screen.say(columns([(word, meaning) for word, meaning in HAPPENS.items() if word in happening], indent=2))


def show_rule(screen: Screen, rule: Rule) -> None:
    """One rule."""
    versions = f", version {rule.versions}" if rule.versions else ""
    screen.say(f"  {screen.out.paint(rule.id, 'bold')}  {rule.on}{versions}: {rule.happens}: {escape(rule.why)}")
    if rule.when:
        screen.say(f"      when    {escape(rule.when)}")
    if rule.cure:
        screen.say(f"      cure    {' or '.join(rule.cures)}")
    screen.say(f"      source  {escape(rule.source)}")


def target_document(target: Target) -> dict[str, Any]:
    """A target for ``--json``."""
    return {
        "name": target.name,
        "kind": "target",
        "summary": SUMMARIES[target.name],
        "versions": list(target.versions),
        "differs": list(target.differs),
        "opsets": [opsets._asdict() for opsets in target.opsets],
        "options": [option._asdict() for option in target.options],
        "rules": [{**rule._asdict(), "cure": list(rule.cures)} for rule in target.rules],
        "command": target.command,
        "install": target.install,
        "notes": list(target.notes),
    }
