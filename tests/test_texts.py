"""What pages, messages and docs name exists: verbs, passes, options of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from surgery import registry, targets
from surgery.cli.parser import VERBS, parse

ROOT = Path(__file__).parent.parent
PLACES = ("surgery", "rewrites", "docs", "fixtures", "benchmarks")


def texts() -> Iterator[tuple[Path, str]]:
    for path in [*ROOT.glob("*.md"), *(p for place in PLACES for p in (ROOT / place).rglob("*"))]:
        if path.suffix in (".py", ".md") and path.name != "CHANGELOG.md":
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_verbs_exist() -> None:
    named = {(path, m[1]) for path, text in texts() for m in re.finditer(r"(?:[`'\"]|\n    )surgery ([a-z]+)", text)}
    assert {verb for _, verb in named} >= {"apply", "export"}
    assert not [(path, verb) for path, verb in named if verb not in VERBS]


def test_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """In every command that is written out, to the end of its line."""
    helps: dict[str, str] = {}
    for verb in VERBS:
        with pytest.raises(SystemExit):
            parse([verb, "--help"])
        helps[verb] = capsys.readouterr().out
    commands = [
        (path, m[1], option)
        for path, text in texts()
        for m in re.finditer(r"surgery (" + "|".join(VERBS) + r")\b([^`'\n]*)", text)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", m[2])
    ]
    assert len(commands) > 20
    assert not [(path, verb, option) for path, verb, option in commands if option not in helps[verb]]


def test_passes_exist() -> None:
    """Those that texts call a pass, those in commands, and those that rules name as cures."""
    known = {*registry.entries("pass"), *registry.entries("rewriter")}
    named = {
        (str(path), m[1])
        for path, text in texts()
        for m in re.finditer(r"(?:\bpass(?:es)? ``?|surgery apply [^`\n]*--pass )([a-z0-9]+(?:-[a-z0-9]+)*)", text)
    }
    for name in targets.SUMMARIES:
        named |= {(name, cure.partition(":")[0]) for rule in targets.get(name).rules for cure in rule.cures}
    assert len(named) > 40
    assert not [(where, name) for where, name in sorted(named) if name not in known]
