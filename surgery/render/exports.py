"""View of an export."""

from __future__ import annotations

from surgery.exporter.export import Exported
from surgery.render.reports import explain, show_findings
from surgery.render.screen import Screen
from surgery.render.text import count, escape, name, options


def show_export(screen: Screen, source: str, result: Exported) -> None:
    """The result of ``export``."""
    if not screen.quiet:
        screen.say(f"{escape(source)}  {result.exporter}, opset {result.opset}, {count(result.nodes, 'node')}")
        for tensor, dims in result.dims.items():
            screen.say(f"  {name(tensor)} [{','.join(map(name, dims))}]")
        for one in result.rewriters:
            made = one.rewriter
            title = f"{name(made.name)}:{words}" if (words := options(made.options)) else name(made.name)
            done = [count(n, "call") + f" of {path}" for path, n in one.calls.items() if n]
            done += [f"{count(one.altered, 'attribute')} of the module changed"] if one.altered else []
            if done or screen.verbose:
                screen.say(f"  {screen.out.paint(title, 'bold')}  {', '.join(done) or 'never called'}")
        for tensor, moved in result.moved.items():
            screen.say(f"  {name(tensor)} moved by up to {moved:.3g}, as it is to be")
        if result.verify.mode != "none":
            show_findings(screen, result.verify)
    if result.path is not None:
        screen.say(f"{screen.out.paint('wrote', 'bold')} {escape(result.path)}  {result.seconds:.1f} s")
    else:
        explain(screen, result.verify, "nothing written", "")
