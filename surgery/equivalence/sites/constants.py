"""Tell constants apart by dtype, shape and bytes, reading as little of them as possible.

Two weights that lie in one place of one file are the same without a look at either. Others of
one dtype and shape are compared by a few bytes first, and in full only where those agree: a
weight that has no counterpart is never read, one that has is read once, in pieces.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from surgery.draft import Copied

_SPOTS, _SPOT = 8, 64  # a first look: places spread over the tensor, bytes at each
_CHUNK = 1 << 20  # bytes compared at a time


@dataclass(frozen=True)
class _Region:
    """Bytes of a tensor in a file. A path may come to name another file; device and inode do not."""

    device: int
    inode: int
    offset: int
    length: int


class Constants:
    """Gives each constant a number, equal for equal ones. Constants of several models may take part.

    Args:
        copied: what is known to have been copied from one file to another, and is not compared: with
            gigabytes that takes longer than all the rest.
    """

    def __init__(self, copied: Iterable[Copied] = ()) -> None:
        self._copies = {(c.path, c.offset, c.length): c for c in copied}
        self._origins = {(c.source, c.source_offset) for c in self._copies.values()}
        self._unread: dict[Hashable, list[tuple[_Region, int]]] = {}  # by dtype, shape and length
        self._count = 0
        self._inline: dict[Hashable, int] = {}
        self._regions: dict[tuple[Hashable, _Region], int] = {}
        self._alike: dict[Hashable, list[tuple[_Region, int]]] = {}  # by dtype, shape and a first look
        self._files: dict[Path, tuple[int, int, int]] = {}  # descriptor, device, inode

    def number(self, tensor: TensorProto, folder: Path) -> int:
        """The number of a constant.

        Args:
            tensor: the constant; its name does not count.
            folder: where external data lies.

        Raises:
            OSError: its external data can't be read.
        """
        kind = (tensor.data_type, tuple(tensor.dims))
        if tensor.data_location != TensorProto.EXTERNAL:
            key = (*kind, _inline(tensor))
            if key not in self._inline:
                self._inline[key] = self._next()
            return self._inline[key]
        file, region = self._locate(tensor, folder)
        if (kind, region) not in self._regions:
            path, offset, _ = _place(tensor, folder)
            found = self._by_origin(kind, (str(path), offset), region)
            self._regions[kind, region] = found or self._by_content(kind, file, region)
        return self._regions[kind, region]

    def close(self) -> None:
        """Close the files that were opened."""
        for file, _, _ in self._files.values():
            os.close(file)
        self._files.clear()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _locate(self, tensor: TensorProto, folder: Path) -> tuple[int, _Region]:
        path, offset, length = _place(tensor, folder)
        return self._open(path, offset, length)

    def _open(self, path: Path, offset: int, length: int) -> tuple[int, _Region]:
        if path not in self._files:
            file = os.open(path, os.O_RDONLY)
            stat = os.fstat(file)
            self._files[path] = file, stat.st_dev, stat.st_ino
        file, device, inode = self._files[path]
        return file, _Region(device, inode, offset, length or os.fstat(file).st_size - offset)

    def _by_origin(self, kind: Hashable, place: tuple[str, int], region: _Region) -> int | None:
        """The number of a constant that was copied, or was copied from; None for others."""
        if place in self._origins:  # it has a number of its own, and is read only if something has to be compared
            number = self._next()
            self._unread.setdefault((kind, region.length), []).append((region, number))
            return number
        known = self._copies.get((*place, region.length))
        if known is None:
            return None
        _, source = self._open(Path(known.source), known.source_offset, known.length)
        if (kind, source) not in self._regions:
            self._regions[kind, source] = self._next()
            self._unread.setdefault((kind, source.length), []).append((source, self._regions[kind, source]))
        return self._regions[kind, source]

    def _by_content(self, kind: Hashable, file: int, region: _Region) -> int:
        for other, number in self._unread.pop((kind, region.length), []):
            look = _look(self._descriptor(other), other)
            self._alike.setdefault((kind, region.length, look), []).append((other, number))
        alike = self._alike.setdefault((kind, region.length, _look(file, region)), [])
        for other, number in alike:
            if self._same(file, region, other):
                return number
        alike.append((region, self._next()))
        return alike[-1][1]

    def _descriptor(self, region: _Region) -> int:
        return next(f for f, device, inode in self._files.values() if (device, inode) == (region.device, region.inode))

    def _same(self, file: int, region: _Region, other: _Region) -> bool:
        mine = _chunks(file, region)
        theirs = _chunks(self._descriptor(other), other)
        return all(a == b for a, b in zip(mine, theirs, strict=True))


def _place(tensor: TensorProto, folder: Path) -> tuple[Path, int, int]:
    """File, offset and length (0: to its end) of a tensor's data."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    return (folder / where["location"]).resolve(), int(where.get("offset", 0)), int(where.get("length", 0))


def _look(file: int, region: _Region) -> bytes:
    last = max(region.length - _SPOT, 0)
    return b"".join(os.pread(file, _SPOT, region.offset + last * i // (_SPOTS - 1)) for i in range(_SPOTS))


def _chunks(file: int, region: _Region) -> Iterator[bytes]:
    # Read, not mapped: pages of a mapping count as our memory.
    for at in range(0, region.length, _CHUNK):
        yield os.pread(file, min(_CHUNK, region.length - at), region.offset + at)


def _inline(tensor: TensorProto) -> Hashable:
    if tensor.data_type == TensorProto.STRING:
        return tuple(tensor.string_data)
    if tensor.HasField("raw_data"):
        return tensor.raw_data
    return bytes(numpy_helper.to_array(tensor).tobytes())


def of_attribute(node: onnx.NodeProto) -> TensorProto | None:
    """The tensor that a Constant node gives, if it has one."""
    return next((a.t for a in node.attribute if a.name == "value" and a.type == onnx.AttributeProto.TENSOR), None)
