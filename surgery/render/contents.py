"""The view of what is in a model."""

from __future__ import annotations

from typing import Any

from surgery.contents import Contents, Node
from surgery.render.screen import Screen
from surgery.render.table import table
from surgery.render.text import attributes, count, escape, name, options, size, some


def show_contents(screen: Screen, contents: Contents) -> None:
    """The result of ``inspect``."""
    opsets = ", ".join(f"{name(domain)} {version}" for domain, version in contents.opsets.items())
    title = f"{screen.out.paint(escape(contents.model), 'bold')}  {size(contents.file_bytes)}"
    if screen.quiet:
        screen.say(f"{title}, {opsets or 'no opsets'}, {count(contents.nodes, 'node')}")
        return
    screen.say(f"{title}, IR version {contents.ir_version}, {opsets or 'no opsets'}")
    facts: list[tuple[str, str, str]] = []
    for port in contents.inputs:
        facts.append(("input", name(port.name), name(port.signature)))
    for port in contents.outputs:
        facts.append(("output", name(port.name), name(port.signature)))
    weights = contents.weights
    amount = f"{count(weights.elements, 'element')}, {size(weights.bytes)}"
    facts.append(("weights", count(weights.tensors, "tensor"), amount))
    if contents.producer:
        facts.append(("producer", name(contents.producer), ""))
    for function, nodes in contents.functions.items():
        facts.append(("function", name(function), count(nodes, "node")))
    for key, value in contents.metadata.items():
        facts.append(("metadata", name(key), name(value) if screen.verbose else ""))
    for done in contents.history:
        facts.append(("history", name(done["pass"]), _deed(done)))
    screen.say(table(screen.out, ("", "", ""), facts).lstrip("\n"))
    screen.say()
    rows = [(name(operator), f"{number:,}") for operator, number in contents.operators.items()]
    screen.say(table(screen.out, ("operator", "nodes"), [*rows, ("all", f"{contents.nodes:,}")], right=["nodes"]))


def show_nodes(screen: Screen, found: list[Node]) -> None:
    """The result of ``inspect --node``."""
    if not found:
        screen.talk("no node has such a name, output or operator")
    if screen.quiet:
        screen.say(count(len(found), "node"))
        return
    for node in found:
        inside = f"  inside {some(node.inside, 5)}" if node.inside else ""
        screen.say(f"{screen.out.paint(name(node.operator), 'bold')}  {name(node.name)}{inside}")
        most = len(node.inputs + node.outputs) if screen.verbose else 8
        screen.say(f"  in   {some([i or '(none)' for i in node.inputs], most)}")
        screen.say(f"  out  {some([o or '(none)' for o in node.outputs], most)}")
        if node.attributes:
            screen.say(f"  with {attributes(node.attributes)}")


def _deed(done: dict[str, Any]) -> str:
    """What a pass did, from an entry of the history; whoever wrote the model wrote that, too."""
    given = done.get("options")
    parts = [words] if isinstance(given, dict) and (words := options(given)) else []
    parts += [f"{key} {name(done[key])}" for key in ("sites", "contract", "verdict", "version") if key in done]
    return ", ".join([*parts, f"from sha256 {name(done.get('sha256'))[:12]}"])
