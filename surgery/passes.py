"""Run one pass over the whole of a model: every place of its operator or pattern, or its own work."""

from __future__ import annotations

import contextlib
import operator
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from surgery.contract import Changes
from surgery.errors import SurgeryError
from surgery.report import PassReport, Skip

if TYPE_CHECKING:
    import onnx_ir as ir

    from surgery.authoring import Pass
    from surgery.edit import Edit
    from surgery.match import Match
    from surgery.op import Op
    from surgery.order import Order
    from surgery.views import Skip as Left
    from surgery.views import Value


def run_pass(model: ir.Model, one: Pass) -> tuple[ir.Model, PassReport]:
    """Run one pass over the whole model, sub-graphs and functions too.

    Returns:
        The model, another object only where the pass works on a graph of another library,
        and what was done. The report's verdict is left to the verification.

    Raises:
        Refused: the pass refused; the model may be half edited and is to be dropped.
        SurgeryError: the pass failed; the same holds.
    """
    from surgery.model import without_gc

    started = time.perf_counter()
    report = PassReport(one.name, options=one.options, given=one.given, contract=str(one.contract))
    one.told()
    with without_gc():
        if hasattr(one, "apply"):
            model, report.places = _whole(model, one)
        elif one.operator:
            _operators(model, one, report)
        else:
            _patterns(model, one, report)
    report.notes = one.told()
    report.seconds = time.perf_counter() - started
    return model, report


def _operators(model: ir.Model, one: Pass, report: PassReport) -> None:
    from surgery.edit import Edit
    from surgery.op import Op
    from surgery.views import Node
    from surgery.views import Skip as Left

    wanted = {_domain_and_type(text) for text in ([one.operator] if isinstance(one.operator, str) else one.operator)}
    edit = Edit(model, one.name, same_values=not isinstance(one.contract, Changes))
    for graph, opsets in _roots(model):
        for node in [n for n in graph if (n.domain, n.op_type) in wanted]:
            if node.graph is None:
                continue  # went with an earlier place
            view = Node(node, edit, opsets.get(node.domain, 1))
            name = view.name
            if not any(v.name for v in node.outputs):
                report.skipped.append(Skip(name, "it has no output, so nothing would read what came in its place"))
                continue
            with _blame(one, name):
                op = Op(edit, node, opsets)
                values = _rewrite(one, op, view)
                if isinstance(values, Left):
                    if str(values):
                        report.skipped.append(Skip(name, str(values)))
                    continue
                if isinstance(values, dict):
                    _further_on(edit, op, values, node)
                else:
                    edit.replace(node, op.finish(values, [node]))
            report.places += 1
            report.at.append(name)
    edit.shapes.forget()
    if report.places and hasattr(one, "after"):
        with _blame(one):
            one.after(model)


def _further_on(edit: Edit, op: Op, values: dict[Value, Value], node: ir.Node) -> None:
    """Put values in the place of others than the node's own, and remove what nothing reads any more."""
    outputs = [old.ir for old in values]
    going = [end for end in dict.fromkeys(v.producer() for v in outputs) if end is not None]
    edit.substitute(outputs, op.finish(list(values.values()), going), node)
    edit.remove([end for end in going if not any(v.uses() or v.is_graph_output() for v in end.outputs)])


def _patterns(model: ir.Model, one: Pass, report: PassReport) -> None:
    from surgery.edit import Edit
    from surgery.match import Finder, Pattern
    from surgery.order import Order

    with _blame(one):
        pattern = Pattern(one.pattern)  # type: ignore[attr-defined]
    edit = Edit(model, one.name, same_values=not isinstance(one.contract, Changes))
    for graph, opsets in _roots(model):
        skipped: list[Skip] = []
        while True:  # what was put there may complete the pattern with what was there before
            anchor = pattern.anchor(Counter((n.domain, n.op_type) for n in graph))
            if anchor is None:
                break
            order = Order(graph) if len(pattern.outputs) > 1 else None
            finder = Finder(pattern, edit, opsets, order)
            before, skipped = report.places, []
            for node in [n for n in graph if (n.domain, n.op_type) == (anchor.domain, anchor.op_type)]:
                if node.graph is not None:
                    _place(one, edit, finder.at(anchor, node), node, opsets, order, report, skipped)
            if report.places == before:
                break
        report.skipped += skipped
    edit.shapes.forget()


def _place(
    one: Pass,
    edit: Edit,
    match: Match | Left | None,
    node: ir.Node,
    opsets: dict[str, int],
    order: Order | None,
    report: PassReport,
    skipped: list[Skip],
) -> None:
    """Rewrite one match, or note why not."""
    from surgery.match import Match
    from surgery.op import Op
    from surgery.views import Skip as Left
    from surgery.views import label

    if match is None:
        return
    if not isinstance(match, Match):
        skipped.append(Skip(label(node), str(match)))
        return
    if order is not None and not order.knows(match.ir):
        return  # some of it came just now: it has its turn in the next round
    # One output: its node comes last, for all others lead to it.
    last = match.end if order is None else order.last(match.ir)
    name = match.name
    op = Op(edit, last, opsets)
    with _blame(one, name):
        values = _rewrite(one, op, match)
        if isinstance(values, dict):
            raise TypeError("the rewrite of a pattern returns its outputs in their order, not a dict")
        if isinstance(values, Left):
            if str(values):
                skipped.append(Skip(name, str(values)))
            return
        if all(map(edit.made, match.ir)) and op.count(values) >= len(match.ir):
            op.finish([])  # the pass's own work, made no smaller: it would never end
            return
        if order is not None:
            order.make_room(match.ir)
        edit.substitute([v.ir for v in match.outputs], op.finish(values, match.ir), last)
        edit.remove(match.ir)
    report.places += 1
    report.at.append(name)


def _rewrite(one: Pass, op: Op, place: Any) -> list[Value | None] | dict[Value, Value] | Left:
    """The values that the pass puts there, by those they replace if they are others; or why it leaves the place."""
    from surgery.views import Skip as Left
    from surgery.views import Value

    try:
        values = one.rewrite(op, place)
    except Left as left:
        values = left
    if isinstance(values, Left):
        op.finish([])
        return values
    if isinstance(values, dict) and values and all(isinstance(v, Value) for pair in values.items() for v in pair):
        return values
    found = list(values) if isinstance(values, (list, tuple)) else [values]
    if not all(v is None or isinstance(v, Value) for v in found) or not any(found):
        raise TypeError(f"rewrite returned {values!r}, not values")
    return found


def _whole(model: ir.Model, one: Pass) -> tuple[ir.Model, int]:
    from surgery.model import Imprint

    with _blame(one):
        if one.graphsurgeon:
            from surgery import graphsurgeon

            return graphsurgeon.run(model, lambda graph: _places(one.apply(graph)))
        before = Imprint(model)
        places = _places(one.apply(model))
        if not places and not before.fits(model):
            raise SurgeryError(
                "it changed the model and returned 0 places, so that nobody would verify it",
                cure="this is a fault of the pass: `apply` returns how many places it changed",
            )
        return model, places


def _places(count: Any) -> int:
    """What `apply` returned, if it is a number of places."""
    try:
        if isinstance(count, bool) or (number := operator.index(count)) < 0:
            raise TypeError
    except TypeError:
        raise SurgeryError(
            f"`apply` returned {count!r}, which is no number of places",
            cure="this is a fault of the pass: it returns how many places it changed, 0 for none",
        ) from None
    return number


@contextlib.contextmanager
def _blame(one: Pass, where: str = "") -> Iterator[None]:
    """Let what goes wrong name the pass and the place."""
    try:
        yield
    except SurgeryError as error:
        raise type(error)(f"pass {one.name!r}: {error.what}", where=error.where or where, cure=error.cure) from error
    except Exception as error:
        raise SurgeryError(
            f"pass {one.name!r} failed: {type(error).__name__}: {error}",
            where=where,
            cure="this is a fault of the pass; --debug shows where",
        ) from error


def _roots(model: ir.Model) -> list[tuple[ir.Graph, dict[str, int]]]:
    """Every graph with the opsets that hold in it."""
    from surgery.nested import functions, graphs

    inside = functions(model)
    return [(graph, inside.get(graph, model).opset_imports) for graph in graphs(model)]


def _domain_and_type(text: str) -> tuple[str, str]:
    domain, _, op_type = text.rpartition("::")
    return domain, op_type
