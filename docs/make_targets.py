"""Write the page of every target, docs/targets/NAME.md, from its rules.

python docs/make_targets.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from surgery import targets
from surgery.targets.rule import HAPPENS, Rule, Target

FOLDER = Path(__file__).parent / "targets"


def page(target: Target) -> str:
    """The page of one target."""
    parts = [
        f"<!-- Written by docs/make_targets.py from surgery/targets/{target.name}.py: change that. -->",
        f"# {target.name}",
        f"{targets.SUMMARIES[target.name]}. How models are checked and prepared is in [targets](../targets.md).",
        f"Versions: {', '.join(target.versions)}. Without `version=` it is the last.",
    ]
    if target.differs:
        parts.append(_list(target.differs))
    if target.opsets:
        parts.append(
            "Opsets: "
            + "; ".join(
                f"{o.low} to {o.high}{f' (version {o.versions})' if o.versions else ''}, {o.source}"
                for o in target.opsets
            )
            + "."
        )
    parts += ["## Command", f"```\n{target.command}\n```"]
    if target.notes:
        parts.append(_list(target.notes))
    if target.packages:
        parts.append(f"`surgery compile` compiles and runs it here: `{target.install}`.")
    if target.options:
        rows = [(f"`{o.name}`", o.meaning, f"`{o.default}`", ", ".join(o.values)) for o in target.options]
        parts += ["## Options", _table(("Option", "Meaning", "Default", "Values"), rows)]
    happens = [word for word in HAPPENS if word in {rule.happens for rule in target.rules}]
    parts += ["## Rules", _list(f"**{word}**: {HAPPENS[word]}." for word in happens)]
    headers = ("Rule", "Operator", "When", "What happens", "Cure", "Source")
    parts.append(_table(headers, [_row(rule) for rule in target.rules]))
    return "\n\n".join(parts) + "\n"


def _row(rule: Rule) -> tuple[str, ...]:
    where = {
        "*": "any",
        "sizes": "(sizes)",
        "use": "(use)",
        "model": "(model)",
        "input": "(input)",
        "output": "(output)",
    }
    versions = f", version {rule.versions}" if rule.versions else ""
    return (
        rule.id,
        where.get(rule.on, ", ".join(rule.on.split())) + versions,
        f"`{rule.when}`" if rule.when else "always",
        f"{rule.happens}: {rule.why}",
        " or ".join(f"`{cure}`" for cure in rule.cures),
        rule.source,
    )


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["-"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in targets.SUMMARIES:
        (FOLDER / f"{name}.md").write_text(page(targets.get(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
