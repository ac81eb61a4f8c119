"""Load and save models: lossless, mapped, atomic.

`load` gives an ``onnx_ir.Model`` whose large weights stay in the file: each is a view
of one read-only mapping, so that a model costs the memory of its graph. `save` copies
them from file to file. It writes beside the target, and renames last: whenever it is
ended, the target holds the old model or the new one.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
import logging
import operator
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError

from surgery import losses, wire
from surgery.draft import Copied, Draft, writable
from surgery.errors import BadInput
from surgery.nested import subgraphs
from surgery.protos import proto_tensors
from surgery.reading import Origin, data_file, open_model, open_proto
from surgery.weights import Bulk, Put, inline, is_bulk, reference, tensors

_LIMIT = 2**31 - 1  # protobuf's bound on one message
_HEADERS = 9  # bytes around the data of a large weight: a tag, and the lengths of what it lies in
_ALIGN = 64  # bytes; a cache line, so that a runtime can use a mapped weight in place
_META = "surgery.origin"

# What it would warn of is refused or mended here.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())


def load(path: str | os.PathLike[str]) -> ir.Model:
    """Read a model for editing; large weights are views of the mapped file.

    Args:
        path: the model file.

    Returns:
        The model. Its ``meta`` remembers where it came from.

    Raises:
        BadInput: the file can't be read or is no sound model.
        Refused: the model holds something that would be lost.
    """
    return _load(*open_model(Path(path)))


def from_proto(proto: onnx.ModelProto) -> ir.Model:
    """An ``onnx.ModelProto`` for editing; `proto` itself is left alone.

    Raises:
        BadInput: the model is not sound, or its weights lie in other files.
        Refused: the model holds something that would be lost.
    """
    return _load(*open_proto(proto))


def _load(proto: onnx.ModelProto, origin: Origin) -> ir.Model:
    where = str(origin.path)
    losses.refuse(proto, where)
    with without_gc():
        try:
            model: ir.Model = ir.from_proto(proto)
            losses.remember(model, proto)
            _sort(model)
        except (ir.serde.SerdeError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInput(f"the graph is not sound: {_root(error)}", where=where) from error
        for put, tensor in tensors(model):
            if isinstance(tensor, ir.ExternalTensor):
                put(_view(tensor, origin))
    for opsets in (model.opset_imports, *(f.opset_imports for f in model.functions.values())):
        if "ai.onnx" in opsets:  # two names of one domain: nodes have been given the other
            renamed = {"" if domain == "ai.onnx" else domain: v for domain, v in opsets.items()}
            opsets.clear()
            opsets.update(renamed)
    model.meta[_META] = origin
    return model


def adopt(model: ir.Model, other: ir.Model) -> None:
    """Let `model` become what `other` is, which is not to be used any more; weights stay where they are."""
    model.graph = other.graph
    model.ir_version = other.ir_version
    model.functions.clear()
    model.functions.update(other.functions)
    ours, theirs = model.meta.get(_META), other.meta.get(_META)
    if theirs is not None:
        # Whether weights lay in files of their own is the model's to say.
        model.meta[_META] = Origin(theirs.path, theirs.model, theirs.data if ours is None else ours.data | theirs.data)


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """The model without its large weights: they have references that lead nowhere.

    For looking at a graph (shape inference, checks) at the cost of its nodes alone.
    """
    proto, _ = _serialize(model, "elsewhere", typed=True)
    return proto


class Imprint:
    """What tells whether a model was edited since: all of its graph, and which large weights it has."""

    def __init__(self, model: ir.Model) -> None:
        self._digest, self._weights = self._of(model)

    def fits(self, model: ir.Model) -> bool:
        """Whether `model` is as it was; a large weight that was written to in place goes unnoticed."""
        digest, weights = self._of(model)
        return digest == self._digest and all(map(operator.is_, weights, self._weights))

    @staticmethod
    def _of(model: ir.Model) -> tuple[bytes, list[ir.TensorProtocol]]:
        proto, weights = _serialize(model, "elsewhere", typed=True)
        return hashlib.sha256(proto.SerializeToString(deterministic=True)).digest(), weights


def size(model: ir.Model) -> int:
    """The bytes that `save` would write, to within some for each large weight."""
    proto, weights = _serialize(model, "")
    losses.mend(model, proto)
    for tensor, _ in proto_tensors(proto):
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return int(proto.ByteSize()) + sum(_HEADERS + weight.nbytes for weight in weights)


def save(model: ir.Model, path: str | os.PathLike[str]) -> Path:
    """Write `model` to `path`, whole or not at all.

    A model of more than 2 GB, or that came with external data, is written with external
    data: the large weights go to one file beside the model, named after its content
    (``NAME.onnx.0123456789abcdef.data``), so that the data of another model is never
    overwritten.

    Args:
        model: the model; it is not changed.
        path: the file to write or to replace.

    Returns:
        The path written.

    Raises:
        BadInput: `path` can't be written.
    """
    with draft(model, Path(path)) as made:
        return made.commit()


def draft(model: ir.Model, target: Path) -> Draft:
    """Write `model` beside `target`; see `Draft` and `save`."""
    origin: Origin | None = model.meta.get(_META)
    token = secrets.token_hex(16)
    try:
        proto, large = _serialize(model, token)
    except BadInput as error:
        error.where = str(target)
        raise
    losses.mend(model, proto)
    weights = [Bulk(tensor, origin) for tensor in large]
    # A reference takes more room than the header of the weight that comes in its place.
    size = proto.ByteSize() + sum(map(len, weights))
    made = Draft(target)
    try:
        with writable(target):
            if weights and (size > _LIMIT or (origin is not None and origin.data)):
                _refer(proto, token, *_write_data(weights, made))
                weights = []
            pieces = wire.lower(_bytes(proto, target), token.encode(), weights.__getitem__)
            del proto
            with open(made.path, "wb", buffering=1 << 20) as file:
                for piece in pieces:
                    file.write(piece) if isinstance(piece, bytes) else piece.copy(file)
    except BaseException:
        made.discard()
        raise
    return made


def copy_draft(model: ir.Model, target: Path) -> Draft:
    """The file that `model` was loaded from beside `target`, byte for byte, its data files with it.

    Raises:
        BadInput: a data file of that name is there already and differs.
    """
    origin: Origin = model.meta[_META]
    made = Draft(target)
    try:
        with writable(target):
            for location, file in origin.data.items():
                name = os.path.normpath(location)
                there = target.parent / name
                if there.is_file() and _holds(there, file.chunks()):
                    continue
                if name == target.name or os.path.lexists(there):
                    raise BadInput(
                        "a data file of that name is there already, with other content"
                        if name != target.name
                        else "the model's data file has this name",
                        where=str(there),
                        cure="write into another folder, or under another name",
                    )
                _write(made.data(name), file.chunks())
            _write(made.path, origin.model.chunks())
    except BaseException:
        made.discard()
        raise
    return made


# ---------------------------------------------------------------------------- reading


def _sort(model: ir.Model) -> None:
    """Put nodes behind those that they need, where a model does not have them so.

    Raises:
        ValueError: there is no such order.
    """
    for root in (model.graph, *(f.graph for f in model.functions.values())):
        if not _in_order(root, set()):
            root.sort()
            if not _in_order(root, set()):
                raise ValueError("the graph contains a cycle")


def _in_order(graph: ir.Graph, seen: set[ir.Node]) -> bool:
    for node in graph:
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and producer not in seen:
                return False
        if node.attributes and not all(_in_order(inner, seen) for inner in subgraphs(node)):
            return False
        seen.add(node)
    return all(v.producer() is None or v.producer() in seen for v in graph.outputs)


def _root(error: BaseException) -> str:
    """The first line of what an error comes from; onnx-ir wraps one for every level of the graph."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in lines[0][:300])


def _view(tensor: ir.ExternalTensor, origin: Origin) -> ir.TensorProtocol:
    first = tensor.offset or 0
    data = data_file(origin, str(tensor.location), tensor.name or "").data[first : first + tensor.nbytes]
    named: dict[str, Any] = dict(
        shape=tensor.shape,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )
    if tensor.dtype.bitwidth < 8:
        return ir.PackedTensor(data, tensor.dtype, **named)
    return ir.Tensor(data.view(tensor.dtype.numpy()).reshape(tensor.shape.numpy()), tensor.dtype, **named)


# ---------------------------------------------------------------------------- writing


def _serialize(model: ir.Model, location: str, typed: bool = False) -> tuple[onnx.ModelProto, list[ir.TensorProtocol]]:
    """The model as onnx-ir writes it, and its large weights.

    In the proto they are references to `location`, whose offsets are numbers in the list.
    Those that are stored value by value, not as bytes, stay as they are unless `typed`.
    """
    weights: list[ir.TensorProtocol] = []
    replaced: list[tuple[Put, ir.TensorProtocol]] = []
    with without_gc():
        try:
            for put, tensor in list(tensors(model)):
                raw = tensor.raw if isinstance(tensor, ir.TensorProtoTensor) else None
                if is_bulk(tensor) and (typed or raw is None or raw.HasField("raw_data")):
                    replaced.append((put, tensor))
                    put(reference(tensor, location, len(weights)))
                    weights.append(tensor)
                elif (raw is not None and raw.metadata_props) or isinstance(tensor, ir.ExternalTensor):
                    replaced.append((put, tensor))
                    put(inline(tensor))
            return ir.to_proto(model), weights
        except (ir.serde.SerdeError, EncodeError, ValueError, TypeError) as error:
            raise BadInput(f"the model can't be written: {_root(error)}") from error
        finally:
            for put, tensor in replaced:
                put(tensor)


def _write_data(weights: list[Bulk], made: Draft) -> tuple[str, list[int]]:
    """Write the data file; its name, and the offset of every weight."""
    digest, offsets, at = hashlib.sha256(), [], 0
    path = made.path.with_name("data")
    with open(path, "wb", buffering=1 << 20) as file:
        for weight in weights:
            gap = bytes(-at % _ALIGN)
            for chunk in itertools.chain([gap], weight.chunks()):
                file.write(chunk)
                digest.update(chunk)
            offsets.append(at + len(gap))
            at += len(gap) + len(weight)
    name = f"{made.target.name}.{digest.hexdigest()[:16]}.data"
    place = path.rename(made.data(name)).resolve()
    for weight, offset in zip(weights, offsets, strict=True):
        if found := weight.place():
            mapped, source = found
            made.copied.append(Copied(str(place), offset, len(weight), str(mapped.path.resolve()), source))
    return name, offsets


def _refer(proto: onnx.ModelProto, token: str, name: str, offsets: list[int]) -> None:
    """Lead the references to `token` to the data file `name`."""
    for tensor, _ in proto_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {e.key: e for e in tensor.external_data}
            if entries["location"].value == token:
                entries["location"].value = name
                entries["offset"].value = str(offsets[int(entries["offset"].value)])


def _bytes(proto: onnx.ModelProto, target: Path) -> bytes:
    try:
        return bytes(proto.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise BadInput("the graph alone is larger than 2 GB, which no ONNX file holds", where=str(target)) from error


def _write(path: Path, chunks: Iterator[bytes | memoryview]) -> None:
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _holds(path: Path, chunks: Iterator[bytes | memoryview]) -> bool:
    """Whether the file at `path` has these bytes and no more."""
    with open(path, "rb") as file:
        return all(file.read(len(chunk)) == chunk for chunk in chunks) and not file.read(1)


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Without the cyclic collector: a large graph is made in half the time (measured, 100,000 nodes).

    What was made meanwhile counts as old afterwards. Else the collector, enabled again, would at
    once walk through all of it, a graph that is in use: another eighth of the time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            if not gc.get_freeze_count():  # those that a caller has frozen are to stay so
                gc.freeze()
                gc.unfreeze()
            gc.enable()
