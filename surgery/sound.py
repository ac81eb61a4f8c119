"""Hold a model against what everything here relies on, before anything is made of it.

A proto may say whatever its bytes say: two tensors of one name, a shape of 2**62 elements
over four bytes, a function that calls itself. `check` refuses that in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import onnx

from surgery.errors import BadInput
from surgery.protos import proto_tensors, subgraphs

Body = onnx.GraphProto | onnx.FunctionProto

_ATTRIBUTE = onnx.AttributeProto
_STANDARD = ("", "ai.onnx")
_MOST_ELEMENTS = 2**47  # of an input or output: as many bytes as a process can address
_MOST_NODES = 2_000_000  # that one function may stand for
_SHOWN = 60  # characters of a name that an error repeats
_BITS = {
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("FLOAT6E2M3", "FLOAT6E3M2"), 6),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("INT2", "UINT2"), 2),
    "COMPLEX128": 128,
}
_WIDTH = {code: _BITS[name] for name, code in onnx.TensorProto.DataType.items() if name in _BITS}
_COMPLEX = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
# The type of an attribute that does not say it (IR version 1), by the field that is set.
_KINDS = {
    "f": _ATTRIBUTE.FLOAT,
    "i": _ATTRIBUTE.INT,
    "s": _ATTRIBUTE.STRING,
    "t": _ATTRIBUTE.TENSOR,
    "g": _ATTRIBUTE.GRAPH,
    "floats": _ATTRIBUTE.FLOATS,
    "ints": _ATTRIBUTE.INTS,
    "strings": _ATTRIBUTE.STRINGS,
    "tensors": _ATTRIBUTE.TENSORS,
    "graphs": _ATTRIBUTE.GRAPHS,
}


def check(proto: onnx.ModelProto, where: str) -> None:
    """Refuse a model that no reader could make sense of; give attributes the types they lack.

    Raises:
        BadInput: it is not sound; `where` is the file that the error names.
    """
    try:
        _opsets(proto.opset_import)
        if not any(o.domain in _STANDARD for o in proto.opset_import) and _uses_standard(proto.graph.node):
            raise BadInput(
                "the model has operators of the standard and does not say of which opset",
                cure="add the opset that it was exported with to opset_import",
            )
        _distinct(((f.domain, f.name, f.overload) for f in proto.functions), "functions have the name")
        _body(proto.graph)
        for port in (*proto.graph.input, *proto.graph.output):
            _dims(port)
        for function in proto.functions:
            _opsets(function.opset_import)
            _body(function)
            if any(a.type in (_ATTRIBUTE.GRAPH, _ATTRIBUTE.GRAPHS) for a in function.attribute_proto):
                raise BadInput(f"function {quoted(function.name)} has a graph as the default of an attribute")
        _recursion(proto.functions)
        for tensor, name in proto_tensors(proto):
            _tensor(tensor, name)
    except BadInput as error:
        error.where = where
        error.cure = error.cure or "the file contradicts itself: export the model again"
        raise


def _opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> None:
    """Versions are those of operators that there are.

    A domain that is used and not imported is no fault: exporters leave placeholders so, which passes replace.
    """
    found = {(o.domain or "ai.onnx", o.version) for o in imports}  # two names of one domain
    _distinct((domain for domain, _ in found), "opset imports are for the domain")
    for domain, version in found:
        newest = onnx.defs.onnx_opset_version() if domain in _STANDARD else 2**31 - 1
        if not (domain in _STANDARD) <= version <= newest:
            known = f"onnx {onnx.__version__} knows 1 to {newest}" if domain in _STANDARD else "no version is so"
            raise BadInput(
                f"the model asks for opset {version} of {quoted(domain)}; {known}",
                cure="convert the model, or install an onnx that knows the opset",
            )


def _uses_standard(nodes: Iterable[onnx.NodeProto]) -> bool:
    return any(n.domain in _STANDARD or any(_uses_standard(g.node) for g in subgraphs(n)) for n in nodes)


def _dims(port: onnx.ValueInfoProto) -> None:
    """A tensor whose elements no machine can number is a slip of the exporter."""
    count = 1
    for dim in port.type.tensor_type.shape.dim:
        count *= max(dim.dim_value, 1)
    if count > _MOST_ELEMENTS:
        shown = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in port.type.tensor_type.shape.dim]
        raise BadInput(
            f"tensor {quoted(port.name)} has dims {shown}, more than {_MOST_ELEMENTS} elements",
            cure="export the model again with dims that a machine can hold",
        )


def nbytes(tensor: onnx.TensorProto) -> int | None:
    """The size in bytes that dims and type ask for; None for strings and unknown types."""
    bits = _WIDTH.get(tensor.data_type)
    return None if bits is None else (_count(tensor) * bits + 7) // 8


def quoted(name: str) -> str:
    """A name for an error: what can't be printed is escaped, and most of a long one left out."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")


def _body(body: Body) -> None:
    """Names are given once, nodes have operators, attributes have types; sub-graphs too."""
    made: set[str] = set()
    if isinstance(body, onnx.GraphProto):
        inputs = [v.name for v in body.input]
        weights = [t.name for t in body.initializer]
        _distinct(weights, "initializers have the name")
        made.update(weights)
    else:
        inputs = list(body.input)
    _distinct(inputs, "inputs have the name")
    made.update(inputs)
    _text(made)
    for node in body.node:
        _text([node.op_type, node.domain, node.name, *node.input, *node.output])
        if not node.op_type:
            raise BadInput(f"node {quoted(node.name)} has no operator")
        for name in node.output:
            if name in made and name:
                raise BadInput(f"two tensors have the name {quoted(name)}", cure="names are given once in a graph")
            made.add(name)
        if attributes := node.attribute:
            _text([a.name for a in attributes])
            if len(attributes) > 1:
                _distinct((a.name for a in attributes), f"attributes of node {quoted(node.name)} have the name")
            for attribute in attributes:
                if not attribute.type and not attribute.ref_attr_name:
                    _give_type(attribute)
            for graph in subgraphs(node):
                _body(graph)
    if isinstance(body, onnx.GraphProto):
        made.update(sparse.values.name for sparse in body.sparse_initializer)
    for output in body.output:
        name = output if isinstance(output, str) else output.name
        if name not in made:
            raise BadInput(
                f"nothing in {quoted(body.name)} makes its output {quoted(name)}",
                cure="a value from around a sub-graph becomes its output by an Identity",
            )


def _give_type(attribute: onnx.AttributeProto) -> None:
    kinds = [_KINDS[field.name] for field, _ in attribute.ListFields() if field.name in _KINDS]
    if len(kinds) != 1:
        raise BadInput(f"attribute {quoted(attribute.name)} has no type")
    attribute.type = kinds[0]


def _recursion(functions: Iterable[onnx.FunctionProto]) -> None:
    """Refuse a function that comes back to itself, or that stands for more nodes than anything can run.

    Twenty functions that call the next one twice stand for a million nodes, and shape inference and
    every runtime write them out.
    """
    by_name = {(f.domain, f.name): f for f in functions}
    done: dict[tuple[str, str], int] = {}  # the nodes that a function stands for
    for start in by_name:
        # Depth first, by hand: as many functions may call each other as the file has room for.
        path = [(start, iter(_calls(by_name[start].node)))]
        active = {start}
        while path:
            key = next((k for k in path[-1][1] if k in by_name and k not in done), None)
            if key is None:
                finished = path.pop()[0]
                active.discard(finished)
                done[finished] = sum(done.get(k, 1) for k in _calls(by_name[finished].node))
                if done[finished] > _MOST_NODES:
                    raise BadInput(
                        f"function {quoted(finished[1])} stands for {done[finished]} nodes, its calls written out",
                        cure=f"more than {_MOST_NODES} are not taken",
                    )
            elif key in active:
                raise BadInput(f"function {quoted(key[1])} calls itself", cure="ONNX has no recursion")
            else:
                active.add(key)
                path.append((key, iter(_calls(by_name[key].node))))


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        yield node.domain, node.op_type
        for graph in subgraphs(node):
            yield from _calls(graph.node)


def _tensor(tensor: onnx.TensorProto, name: str) -> None:
    """The data of a tensor are as many as its dims say."""
    if any(d < 0 for d in tensor.dims):
        raise BadInput(f"tensor {quoted(name)} has dims {list(tensor.dims)}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL or not tensor.data_type:
        return  # measured against its file by whoever opens it; or no tensor at all
    size = nbytes(tensor)
    if tensor.HasField("raw_data"):
        has, needs, unit = len(tensor.raw_data), size, "bytes"
        ok = size is None or has == size
    else:
        has, needs, unit = sum(len(getattr(tensor, field)) for field in _TYPED), _count(tensor), "values"
        needs *= 1 + (tensor.data_type in _COMPLEX)
        ok = has == needs or (has == size and _WIDTH[tensor.data_type] < 8)  # several in one value
    if not ok:
        raise BadInput(f"tensor {quoted(name)} of dims {list(tensor.dims)} needs {needs} {unit} and has {has}")


def _count(tensor: onnx.TensorProto) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def _text(names: Iterable[str]) -> None:
    """Names are text: where bytes are not UTF-8, protobuf gives the bytes."""
    try:
        "".join(names)
    except TypeError:
        bad = next(name for name in names if not isinstance(name, str))
        raise BadInput(f"the name {bad[:_SHOWN]!r} is not UTF-8") from None


def _distinct(names: Iterable[Any], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen and name:
            shown = quoted(name) if isinstance(name, str) else "::".join(map(quoted, name))
            raise BadInput(f"two {what} {shown}")
        seen.add(name)
