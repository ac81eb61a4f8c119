"""Edit a graph by hand: what whole-graph passes, and the engine itself, work with.

    edit = Edit(model)
    y = edit.replace(node, [new])            the node goes, its outputs become `new`
    edit.insert_after(value, node)           between a value and all that reads it
    edit.insert_before(node, 0, other)       between a node and one of its inputs
    k = edit.constant(np.float32(2))         equal constants are made once
    edit.rename("x", "image")                a tensor, wherever it occurs
    edit.drop([value])                       what makes it goes, if nothing reads it any more

A replaced output keeps its name: that is how a cut is found again when it is verified.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from surgery import fold
from surgery.errors import BadInput
from surgery.nested import functions, graphs, inner
from surgery.order import read
from surgery.pending import Pending
from surgery.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_CHAIN = 64  # nodes of the graph that are run to see what they make of constants


class Edit:
    """Changes to one model; its names stay unique, its constants shared.

    Args:
        model: the model, edited in place.
        tag: what new nodes are marked with (``node.meta["surgery"]``), usually the pass.
        same_values: whether a replaced output has the value it had; if not, it gets a new
            name, since a name stands for a value wherever models are compared.
    """

    def __init__(self, model: ir.Model, tag: str = "", *, same_values: bool = True) -> None:
        self.model = model
        self.tag = tag
        self.same_values = same_values
        self.shapes = Shapes(model, self.tensor)
        self._names: set[str] | None = None
        self._counts: Counter[str] = Counter()  # how many names were made from a base
        self._constants: dict[Any, ir.Value] = {}
        self._functions: dict[ir.Graph, ir.Function] | None = None  # see `_function`
        self.pending = Pending(model)
        self._computed: dict[ir.Value, ir.TensorProtocol | None] = {}  # see `computed`
        self._made: set[ir.Node] = set()
        self._unnamed: set[ir.Value] = set()  # made here, and free to take the name of what they replace

    def unique(self, base: str) -> str:
        """A name that no value and no node of the model has: `base`, or with a number after it."""
        if self._names is None:
            self._names = _names(self.model)
        name = base
        while name in self._names:
            self._counts[base] += 1
            name = f"{base}_{self._counts[base]}"
        self._names.add(name)
        return name

    def constant(self, array: Any, name: str = "", graph: ir.Graph | None = None) -> ir.Value:
        """A value that is always `array`; the same one for equal arrays.

        Args:
            array: a tensor, or anything that numpy makes an array of; its dtype is kept.
            name: a wish for the name.
            graph: where it is to be seen. In the main graph and what lies within it, it is
                an initializer; in a function, which has none, a ``Constant`` node.
        """
        tensor = array if isinstance(array, ir.TensorProtocol) else ir.tensor(np.asarray(array))
        home = self._home(graph)
        # The sign of zero and the payload of NaN count, so the bytes are compared.
        text = tensor.dtype == ir.DataType.STRING
        content = tuple(tensor.numpy().ravel()) if text else hashlib.sha256(tensor.tobytes()).digest()
        key = (id(home), tensor.dtype, tuple(tensor.shape.numpy()), content)
        known = self._constants.get(key)
        if known is None or not _in_graph(known):
            known = self._constants[key] = self._store(home, tensor, self.unique(name or "constant"))
        return known

    def replace(self, node: ir.Node, values: Sequence[ir.Value | None]) -> None:
        """Remove `node`; whatever read its outputs reads `values`, under the old names.

        Args:
            node: a node of the model.
            values: one for each output; None for an output that nothing reads.

        Raises:
            ValueError: an output that is read has no value.
        """
        self.substitute(node.outputs, values, node)
        self.remove([node])

    def substitute(self, outputs: Sequence[ir.Value], values: Sequence[ir.Value | None], at: ir.Node) -> None:
        """Let whatever read `outputs` read `values`, which get the old names where they are new.

        Args:
            outputs: outputs of nodes of one graph.
            values: one for each; None for one that nothing reads.
            at: where an Identity can be put that a graph output may need.
        """
        if len(values) > len(outputs):
            raise ValueError(f"{len(values)} values for {len(outputs)} outputs")
        for old, new in zip(outputs, [*values, *[None] * (len(outputs) - len(values))], strict=True):
            if new is None or new is old:
                if old.uses() or old.is_graph_output():
                    raise ValueError(f"output {old.name!r} is read and has no replacement")
                continue
            if old.is_graph_output() and new not in self._unnamed:
                new = self.node("Identity", [new], base=old.name or "", after=at).outputs[0]
            fresh = new in self._unnamed and bool(old.name)
            keeps_name = fresh and (self.same_values or old.is_graph_output())
            if keeps_name:
                new.type, new.shape = old.type or new.type, old.shape or new.shape
                new.doc_string = old.doc_string
                new.metadata_props.update(old.metadata_props)
            if fresh:
                self._unnamed.discard(new)
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            if keeps_name:
                old.name, new.name = None, old.name

    def remove(self, nodes: Sequence[ir.Node]) -> None:
        """Remove nodes that nothing reads, and what only they read: constants, chains of shapes."""
        going = list(nodes)
        while going:
            inputs = dict.fromkeys(v for node in going for v in read(node))
            places: dict[ir.Graph, list[ir.Node]] = {}
            for node in going:
                assert node.graph is not None
                places.setdefault(node.graph, []).append(node)
            for graph, there in places.items():
                graph.remove(there, safe=True)
            for reader in (n for node in going if node.attributes for graph in inner(node) for n in graph):
                for i in range(len(reader.inputs)):
                    reader.replace_input_with(i, None)
            going = self._unread(inputs)

    def drop(self, values: Iterable[ir.Value]) -> None:
        """Remove what makes `values` where nothing reads them: constants, and nodes with what only they read."""
        self.remove(self._unread(values))

    def _unread(self, values: Iterable[ir.Value]) -> list[ir.Node]:
        """The nodes of which nothing is read that make any of `values`; those that are constants are removed."""
        nodes: dict[ir.Node, None] = {}
        for value in values:
            if value.uses() or value.is_graph_output() or value.is_graph_input():
                continue
            producer = value.producer()
            if producer is None and value.is_initializer() and value.graph is not None:
                del value.graph.initializers[value.name or ""]
            elif (
                producer is not None
                and producer.graph is not None
                and not any(v.uses() or v.is_graph_output() for v in producer.outputs)
            ):
                nodes[producer] = None
        return list(nodes)

    def opset(self, node: ir.Node) -> int:
        """The version of the node's domain where it stands: in a function, or in the rest of the model."""
        function = self._function(node.graph)
        imports = self.model.opset_imports if function is None else function.opset_imports
        return int(imports.get(node.domain, 1))

    def made(self, node: ir.Node) -> bool:
        """Whether this edit made `node`."""
        return node in self._made

    def is_constant(self, value: ir.Value) -> bool:
        """Whether `value` is a constant, or a node's output that will be folded into one."""
        return value in self.pending or fold.constant(value, self.model.ir_version) is not None

    def tensor(self, value: ir.Value) -> ir.TensorProtocol | None:
        """The tensor that `value` always is, or None."""
        if value in self.pending:
            return self.pending.tensor(value)
        return fold.constant(value, self.model.ir_version)

    def computed(self, value: ir.Value) -> ir.TensorProtocol | None:
        """What nodes of the graph always make of constants alone, if they are few; else None."""
        if value in self._computed:
            return self._computed[value]
        cone = fold.cone([value], self.tensor, _foldable, _LONGEST_CHAIN)
        if cone is None:
            return None
        nodes, given = cone
        if not nodes:
            return given.get(value)
        arrays = fold.evaluate(nodes, given, [value], self.opset(nodes[0]), self.model.ir_version)
        self._computed[value] = None if arrays is None else ir.tensor(arrays[0])
        return self._computed[value]

    def settle(self, nodes: Sequence[ir.Node], wanted: Sequence[ir.Value | None], at: ir.Node) -> list[ir.Value | None]:
        """Put those of `nodes` that `wanted` needs before `at`, what is constant folded.

        Args:
            nodes: new nodes, in topological order, not yet in the graph.
            wanted: the values that are to be used.
            at: a node of the graph.

        Returns:
            `wanted`, where constants have taken the place of what was folded.
        """
        graph = at.graph
        assert graph is not None
        kept = self.pending.needed(nodes, wanted)
        staying = set(kept)
        if self._names is not None:  # what does not stay leaves its name to the constant that it becomes
            self._names.difference_update(n for node in nodes if node not in staying for n in _names_of(node))
        result = [self._landed(v, graph) for v in wanted]
        for node in kept:
            for i, value in enumerate(node.inputs):
                landed = self._landed(value, graph)
                if landed is not value:
                    node.replace_input_with(i, landed)
        for node in reversed(nodes):
            if node not in staying:
                for i in range(len(node.inputs)):
                    node.replace_input_with(i, None)
        self.pending.forget(nodes)
        graph.insert_before(at, kept)
        return result

    def _landed(self, value: ir.Value | None, graph: ir.Graph) -> ir.Value | None:
        """`value`, or the constant in the graph that it is."""
        tensor = None if value is None else self.pending.becomes(value)
        if value is None or tensor is None:
            return value
        return self.constant(tensor, tensor.name or value.name or "", graph)

    def insert_after(self, value: ir.Value, node: ir.Node, index: int = 0) -> ir.Value:
        """Put `node` between `value` and all that reads it; `value` becomes its input `index`.

        A graph output stays the output under its name; the tensor before it gets a new one.

        Returns:
            The first output of `node`.

        Raises:
            BadInput: `value` is an input or a constant, and an output too.
        """
        was_output = value.is_graph_output()
        if was_output and (value.is_graph_input() or value.is_initializer()):
            raise BadInput(
                f"{value.name!r} is an output of the graph that no node makes: both ends keep the name",
                cure="put an Identity between, as `OutputFixPass` of onnx_ir does",
            )
        out = node.outputs[0]
        self._adopt(node, value.name or node.op_type)
        producer, graph = value.producer(), value.graph
        assert graph is not None
        out.type, out.shape = out.type or value.type, out.shape or value.shape
        own = [i for i, v in enumerate(node.inputs) if v is value]
        value.replace_all_uses_with(out, replace_graph_outputs=was_output)
        for i in {index, *own}:
            node.replace_input_with(i, value)
        if was_output:
            name, value.name = value.name, self.unique(f"{value.name}/before_{node.op_type}")
            out.name = name
        if producer is not None:
            graph.insert_after(producer, node)
        elif len(graph):
            graph.insert_before(graph[0], node)
        else:
            graph.append(node)
        return out

    def insert_before(self, reader: ir.Node, index: int, node: ir.Node) -> ir.Value:
        """Put `node` between `reader` and its input `index`, which becomes the first input of `node`.

        Returns:
            The first output of `node`.

        Raises:
            ValueError: `reader` has no such input.
        """
        value = reader.inputs[index]
        if value is None:
            raise ValueError(f"input {index} of {reader.name!r} is absent")
        assert reader.graph is not None
        self._adopt(node, value.name or node.op_type)
        out = node.outputs[0]
        out.type, out.shape = out.type or value.type, out.shape or value.shape
        node.replace_input_with(0, value)
        reader.replace_input_with(index, out)
        reader.graph.insert_before(reader, node)
        return out

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, Any] | None = None,
        *,
        base: str = "",
        outputs: int = 1,
        after: ir.Node | None = None,
        domain: str = "",
    ) -> ir.Node:
        """A new node with names of its own, put behind `after` if that is given."""
        node = ir.node(op_type, inputs, attributes=attributes, domain=domain, num_outputs=outputs)
        self._adopt(node, base or op_type)
        if after is not None:
            assert after.graph is not None
            after.graph.insert_after(after, node)
        return node

    def rename(self, old: str, new: str) -> None:
        """Give the tensor `old` the name `new` wherever it occurs.

        Raises:
            BadInput: there is no tensor `old`, or `new` is taken.
        """
        value = None
        for one in _values(self.model):
            if one.name == new != old:
                raise BadInput(f"the name {new!r} is taken", cure="take another, as `unique` gives one")
            if one.name == old and value is None:
                value = one
        if value is None:
            raise BadInput(f"there is no tensor {old!r}", cure="'surgery inspect MODEL --node' finds names")
        ir.convenience.rename_values([value], [new])
        if self._names is not None:
            self._names.add(new)

    def _adopt(self, node: ir.Node, base: str) -> None:
        name = self.unique(f"{base}/{node.op_type}")
        node.name = name
        node.meta["surgery"] = self.tag
        for i, value in enumerate(node.outputs):
            value.name = name if i == 0 else self.unique(f"{name}.{i}")
        self._unnamed.update(node.outputs)
        self._made.add(node)

    def _home(self, graph: ir.Graph | None) -> ir.Graph:
        """The graph that holds constants for `graph`: its function's body, or the main graph."""
        function = self._function(graph)
        return self.model.graph if function is None else function.graph

    def _function(self, graph: ir.Graph | ir.Function | None) -> ir.Function | None:
        """The function that `graph` is in; None in the rest of the model."""
        if graph is None or graph is self.model.graph or not self.model.functions:
            return None
        if self._functions is None:
            self._functions = functions(self.model)
        return self._functions.get(graph)  # type: ignore[arg-type]

    def _store(self, home: ir.Graph, tensor: ir.TensorProtocol, name: str) -> ir.Value:
        # Before IR version 4 an initializer has to be an input of the graph too.
        if home is self.model.graph and (self.model.ir_version or 4) >= 4:
            kind, shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
            value = ir.Value(name=name, type=kind, shape=shape, const_value=tensor)
            home.register_initializer(value)
            return value
        node = ir.node("Constant", [], attributes={"value": tensor}, name=name)
        node.meta["surgery"] = self.tag
        value = node.outputs[0]
        value.name = name
        if len(home):
            home.insert_before(home[0], node)
        else:
            home.append(node)
        return value


def _foldable(value: ir.Value) -> ir.Node | None:
    """The node that makes `value`, if it is constant where its inputs are."""
    node = value.producer()
    return node if node is not None and fold.foldable(node) else None


def _in_graph(value: ir.Value) -> bool:
    producer = value.producer()
    return value.is_initializer() if producer is None else producer.graph is not None


def _values(model: ir.Model) -> Iterable[ir.Value]:
    for graph in graphs(model):
        yield from graph.inputs
        yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs


def _names(model: ir.Model) -> set[str]:
    names: set[str] = set()
    for graph in graphs(model):
        names.update(v.name or "" for v in graph.inputs)
        names.update(graph.initializers)
        for node in graph:
            names.add(node.name or "")
            for value in node.outputs:
                names.add(value.name or "")
    names.discard("")
    return names


def _names_of(node: ir.Node) -> list[str]:
    return [node.name or "", *(value.name or "" for value in node.outputs)]
