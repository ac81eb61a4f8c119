"""What lies on disk: mapped, copied, and put in place whole or not at all."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import surgery
from surgery import BadInput
from surgery.model import draft, from_proto

WEIGHTS = 4
SIZE = 200_000  # of a weight, in bytes: large enough to be mapped
SYSTEM = {"open", "write", "close", "__exit__", "replace", "rename", "mkdir", "chmod", "unlink", "rmdir", "pread"}


def model(seed: int = 0) -> onnx.ModelProto:
    """A chain of Adds; every weight is full of `seed`."""
    names = [f"w{i}" for i in range(WEIGHTS)]
    nodes = [helper.make_node("Add", [f"x{i}", name], [f"x{i + 1}"], name=f"add{i}") for i, name in enumerate(names)]
    weights = [numpy_helper.from_array(np.full(SIZE // 4, seed, np.float32), name) for name in names]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [SIZE // 4]) for n in ("x0", f"x{WEIGHTS}"))
    graph = helper.make_graph(nodes, f"seed {seed}", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(path: Path, seed: int = 0, external: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if external:
        (path.parent / "weights").mkdir(exist_ok=True)
        location = f"weights/{path.stem}.bin"
        (path.parent / location).unlink(missing_ok=True)  # onnx appends
        onnx.save(model(seed), path, save_as_external_data=True, location=location)
    else:
        onnx.save(model(seed), path)
    return path


def seed_of(path: Path) -> int:
    """The seed of a model file, read by onnx, which must have all of its weights."""
    proto = onnx.load(path)
    seed = int(proto.graph.name.split()[1])
    assert len(proto.graph.initializer) == WEIGHTS
    for weight in proto.graph.initializer:
        assert weight.raw_data == np.full(SIZE // 4, seed, np.float32).tobytes()
    return seed


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def reseeded(path: Path, seed: int) -> ir.Model:
    """The model at `path`, changed into that of another seed."""
    loaded = surgery.load(path)
    loaded.graph.name = f"seed {seed}"
    for value in loaded.graph.initializers.values():
        value.const_value = ir.tensor(np.full(SIZE // 4, seed, np.float32))
    return loaded


# ----------------------------------------------------------------------- byte for byte


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
@pytest.mark.parametrize("place", ["same folder", "other folder", "itself"])
def test_where_nothing_matched_bytes_stay(external: bool, place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external)
    output = {"itself": source, "same folder": tmp_path / "a" / "n.onnx"}.get(place, tmp_path / "b" / "n.onnx")
    output.parent.mkdir(exist_ok=True)
    before = {name: (source.parent / name).read_bytes() for name in files(source.parent)}
    result = surgery.apply(source, ["hardswish"], output, verify="none", force=True)
    assert result.report.verdict == "untouched"
    assert output.read_bytes() == before["m.onnx"]
    assert seed_of(output) == 1
    expected = {output.name, *(name for name in before if name != "m.onnx" or place == "same folder")}
    assert set(files(output.parent)) == expected
    assert all((source.parent / name).read_bytes() == data for name, data in before.items())


def test_data_of_another_model_is_never_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external=True)
    other = write(tmp_path / "b" / "m.onnx", 2, external=True)
    with pytest.raises(BadInput, match="there already, with other content"):
        surgery.apply(source, ["hardswish"], tmp_path / "b" / "n.onnx", verify="none")
    assert seed_of(other) == 2
    assert files(tmp_path / "b") == ["m.onnx", "weights/m.bin"]


def test_the_model_does_not_take_the_name_of_its_data(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    onnx.save(model(1), source, save_as_external_data=True, location="m.bin")
    (tmp_path / "b").mkdir()
    with pytest.raises(BadInput, match="data file has this name"):
        surgery.apply(source, ["hardswish"], tmp_path / "b" / "m.bin", verify="none")
    assert files(tmp_path / "b") == []


def test_links_inside_the_folder_are_followed_and_copied_as_files(tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external=True)
    data = source.parent / "weights" / "m.bin"
    data.rename(source.parent / "real.bin")
    data.symlink_to("../real.bin")
    (tmp_path / "b").mkdir()
    surgery.apply(source, ["hardswish"], tmp_path / "b" / "m.onnx", verify="none")
    shutil.rmtree(source.parent)
    assert seed_of(tmp_path / "b" / "m.onnx") == 1


def test_an_edited_model_is_not_the_file_it_came_from(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1)
    surgery.apply(reseeded(source, 2), ["hardswish"], tmp_path / "n.onnx", verify="none")
    assert seed_of(tmp_path / "n.onnx") == 2


# ------------------------------------------------------------------------ the source


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
@pytest.mark.parametrize("fate", ["deleted", "replaced"])
def test_a_loaded_model_keeps_its_content(external: bool, fate: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external)
    loaded = surgery.load(source)
    shutil.rmtree(source.parent)
    if fate == "replaced":
        write(source, 2, external)
    assert seed_of(surgery.save(loaded, tmp_path / "o.onnx")) == 1


@pytest.mark.parametrize("change", ["grown", "cut", "written"])
def test_a_file_written_to_while_in_use_is_noticed(change: str, tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1)
    loaded = surgery.load(source)
    os.utime(source, ns=(0, source.stat().st_mtime_ns - 10**9))  # clocks of file systems are coarse
    loaded = surgery.load(source)
    with open(source, "r+b") as file:
        if change == "written":
            file.write(b"!")
        else:
            file.truncate(10**6 if change == "grown" else 100)
    with pytest.raises(BadInput, match="written to while it was in use"):
        surgery.save(loaded, tmp_path / "o.onnx")
    assert files(tmp_path) == ["m.onnx"]


def test_in_place(tmp_path: Path) -> None:
    for external in (False, True):
        source = write(tmp_path / str(external) / "m.onnx", 1, external)
        surgery.save(reseeded(source, 2), source)
        assert seed_of(source) == 2
        loaded = surgery.load(source)
        surgery.save(loaded, source)
        surgery.save(loaded, source)
        assert seed_of(source) == 2


def test_data_files_are_let_go(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1, external=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        surgery.load(source)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_many_small_data_files(tmp_path: Path) -> None:
    """Older torch exporters write a file for every weight."""
    weights = [numpy_helper.from_array(np.full(300, i, np.float32), f"w{i}") for i in range(200)]
    nodes = [helper.make_node("Sum", [w.name for w in weights], ["y"])]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", 1, [300])], weights)
    (tmp_path / "a").mkdir()
    onnx.save(
        helper.make_model(graph), tmp_path / "a" / "m.onnx", save_as_external_data=True, all_tensors_to_one_file=False
    )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limit[1]))
    try:
        surgery.save(surgery.load(tmp_path / "a" / "m.onnx"), tmp_path / "m.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    saved = onnx.load(tmp_path / "m.onnx")
    assert [w.raw_data for w in saved.graph.initializer] == [w.raw_data for w in weights]


# ----------------------------------------------------------------------- large weights


def test_large_weights_are_mapped_and_copied_in_pieces(tmp_path: Path) -> None:
    check_memory(tmp_path, 400 << 20)


@pytest.mark.large
def test_three_gigabytes(tmp_path: Path) -> None:
    check_memory(tmp_path, 3 << 30)


def check_memory(folder: Path, size: int) -> None:
    """Load and save a model of one sparse data file; what it peaks at does not grow with the file."""
    tensor = TensorProto(name="w", data_type=1, dims=[size // 4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    node = helper.make_node("Relu", ["w"], ["y"])
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, [size // 4])], [tensor])
    (folder / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with open(folder / "w.bin", "wb") as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(np.float32(7).tobytes())
    code = """
        import re, sys, surgery
        surgery.save(surgery.load(sys.argv[1]), sys.argv[2])
        # Not ru_maxrss: a process that was just started has that of the one that started it.
        print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
    """
    run = [sys.executable, "-c", textwrap.dedent(code), str(folder / "m.onnx"), str(folder / "o.onnx")]
    peak = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert peak < 300
    saved = surgery.load(folder / "o.onnx").graph.initializers["w"].const_value
    assert saved is not None and saved.numpy()[-1] == 7 and saved.nbytes == size
    shutil.rmtree(folder)


class Huge(ir.Tensor):
    """A tensor that says it is huge; how it is saved can be seen without 2 GB of anything."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(np.broadcast_to(np.uint8(0), (size,)), name=name)

    def tobytes(self) -> bytes:
        raise Asked


class Asked(Exception):
    pass


def with_weights(*tensors: ir.TensorProtocol) -> ir.Model:
    loaded = from_proto(model())
    for tensor in tensors:
        loaded.graph.register_initializer(ir.Value(name=tensor.name, const_value=tensor))
    return loaded


@pytest.mark.parametrize(("size", "external"), [(2**31 - 2**20, False), (2**31 - 10, True)])
def test_two_gigabytes_are_where_external_data_begins(
    size: int, external: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Path] = []
    original = open

    def opened(path: Any, *rest: Any, **named: Any) -> Any:
        began.append(Path(path))
        return original(path, *rest, **named)

    monkeypatch.setattr("surgery.model.open", opened, raising=False)
    with pytest.raises(Asked):
        surgery.save(with_weights(Huge("w", size)), tmp_path / "m.onnx")
    assert [p.name for p in began] == ["data" if external else "m.onnx"]
    assert files(tmp_path) == []


@pytest.mark.large
def test_more_than_two_gigabytes_of_lazy_tensors(tmp_path: Path) -> None:
    lazy = [
        ir.LazyTensor(
            lambda i=i: ir.tensor(np.full(2**28, i, np.float32)),
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape([2**28]),
            name=f"l{i}",
            cache=False,
        )
        for i in range(3)
    ]
    surgery.save(with_weights(*lazy), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").stat().st_size < 10_000
    for i in range(3):
        saved = surgery.load(tmp_path / "m.onnx").graph.initializers[f"l{i}"].const_value
        assert saved is not None and saved.numpy()[[0, -1]].tolist() == [i, i]
    shutil.rmtree(tmp_path)


def test_a_model_that_came_with_external_data_keeps_it_external(tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external=True)
    saved = surgery.save(surgery.load(source), tmp_path / "m.onnx")
    data = next(tmp_path.glob("*.data"))
    assert data.name == f"m.onnx.{hashlib.sha256(data.read_bytes()).hexdigest()[:16]}.data"
    assert saved.stat().st_size < 5000
    offsets = [
        int(e.value)
        for t in onnx.load(saved, load_external_data=False).graph.initializer
        for e in t.external_data
        if e.key == "offset"
    ]
    assert all(offset % 64 == 0 for offset in offsets)
    assert seed_of(saved) == 1


# ------------------------------------------------------------------------- the target


def test_a_link_is_followed(tmp_path: Path) -> None:
    real = write(tmp_path / "real" / "m.onnx", 1)
    link = tmp_path / "link.onnx"
    link.symlink_to(real)
    assert surgery.save(reseeded(link, 2), link) == link
    assert link.is_symlink() and seed_of(real) == 2
    link.unlink()
    link.symlink_to("new.onnx")  # leads nowhere yet
    surgery.save(surgery.load(real), link)
    assert link.is_symlink() and seed_of(tmp_path / "new.onnx") == 2


def test_external_data_through_a_link_into_another_folder_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external=True)
    real = write(tmp_path / "real" / "m.onnx", 2)
    (tmp_path / "link.onnx").symlink_to(real)
    with pytest.raises(BadInput, match="link into another folder"):
        surgery.save(surgery.load(source), tmp_path / "link.onnx")
    assert seed_of(real) == 2 and files(tmp_path / "real") == ["m.onnx"]


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
def test_permissions_are_those_of_the_replaced_file(external: bool, tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1, external)
    mask = os.umask(0o022)
    try:
        surgery.save(surgery.load(source), tmp_path / "new.onnx")
        source.chmod(0o600)
        surgery.save(surgery.load(source), source)
    finally:
        os.umask(mask)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir() if p.is_file()}
    assert set(modes.values()) == {0o600, 0o644}
    assert {mode for name, mode in modes.items() if name.startswith("m.onnx")} == {0o600}


def folder(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/null")


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("kind", [folder, fifo, device, loop])
def test_a_target_that_is_no_file_stays(kind: Callable[[Path], None], tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx")
    kind(tmp_path / "target")
    before = os.lstat(tmp_path / "target")
    with pytest.raises(BadInput, match="target: can't be written: "):
        surgery.save(surgery.load(source), tmp_path / "target")
    assert os.lstat(tmp_path / "target").st_mode == before.st_mode
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert files(tmp_path) == ["a/m.onnx"]


@pytest.mark.parametrize("name", ["none/m.onnx", "a/m.onnx/m.onnx", "x" * 300, "a\0b"])
def test_a_target_that_can_not_be(name: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx")
    with pytest.raises(BadInput, match=r"can't be written|no file can have"):
        surgery.save(surgery.load(source), tmp_path / name)
    assert files(tmp_path) == ["a/m.onnx"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_target_that_is_read_only(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1)
    source.chmod(0o444)
    with pytest.raises(BadInput, match="read-only"):
        surgery.save(surgery.load(source), source)


# ------------------------------------------------------------------------- interrupted


def in_child(work: Callable[[], None], limit: int | None = None) -> int:
    """Do `work` in a fork of this process; the status that it ends with."""
    child = os.fork()
    if not child:
        status = 70
        try:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work()
            status = 0
        except BadInput as error:
            status = 2 if "can't be written: File too large" in str(error) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(step: int, work: Callable[[], None]) -> Callable[[], None]:
    """`work`, killed before or after its call number `step` of the system."""
    count = 0

    def watch(frame: FrameType, event: str, called: Any) -> None:
        nonlocal count
        if event in ("c_call", "c_return") and called.__name__ in SYSTEM:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> None:
        sys.setprofile(watch)
        work()

    return watched


def leftovers(folder: Path, known: set[str]) -> Iterator[str]:
    """What lies there beside `known` and hidden folders; a data file must be whole, for its name says what is in it."""
    for name in files(folder):
        if name in known or (name.startswith(".surgery-") and ".partial/" in name):
            continue
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if name != f"m.onnx.{digest[:16]}.data":
            yield name


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
def test_killed_at_every_step(external: bool, tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1, external)
    known = set(files(tmp_path))
    for step in range(1, 1000):
        found = seed_of(source)
        other = reseeded(source, 3 - found)
        status = in_child(killed_at(step, lambda other=other: surgery.save(other, source)))
        assert status in (0, -signal.SIGKILL)
        assert seed_of(source) in ((3 - found,) if status == 0 else (1, 2))
        assert list(leftovers(tmp_path, known)) == []
        for partial in tmp_path.glob(".surgery-*"):
            shutil.rmtree(partial)
        if status == 0:
            break
    assert step > 20
    assert files(tmp_path).count("m.onnx") == 1


def test_killed_at_any_time(tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1, external=True)
    known = set(files(tmp_path))
    draw = random.Random(3)
    for _ in range(15):
        child = os.fork()
        if not child:
            seed = 0
            while True:
                seed += 1
                surgery.save(reseeded(source, seed), source)
        time.sleep(draw.uniform(0.01, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert seed_of(source) >= 1
        assert list(leftovers(tmp_path, known)) == []


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
@pytest.mark.parametrize("limit", [0, 100, SIZE, WEIGHTS * SIZE - 1000])
def test_a_full_disk_leaves_the_old_model(external: bool, limit: int, tmp_path: Path) -> None:
    source = write(tmp_path / "m.onnx", 1, external)
    before = files(tmp_path)
    other = reseeded(source, 2)
    assert in_child(lambda: surgery.save(other, source), limit) == 2  # type: ignore[arg-type,return-value]
    assert seed_of(source) == 1
    assert files(tmp_path) == before and not list(tmp_path.glob(".surgery-*"))


def test_a_draft_that_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external=True)
    with draft(reseeded(source, 2), tmp_path / "m.onnx") as made:
        assert seed_of(made.path) == 2
        assert [p for p in tmp_path.iterdir() if not p.name.startswith(".")] == [source.parent]
    assert os.listdir(tmp_path) == ["a"]


def test_a_commit_that_fails_takes_its_data_back(tmp_path: Path) -> None:
    source = write(tmp_path / "a" / "m.onnx", 1, external=True)
    with draft(reseeded(source, 2), tmp_path / "m.onnx") as made:
        (tmp_path / "m.onnx").mkdir()  # meanwhile
        with pytest.raises(BadInput, match="can't be written"):
            made.commit()
    assert files(tmp_path) == ["a/m.onnx", "a/weights/m.bin"]


def test_what_a_killed_process_left_is_removed_later(tmp_path: Path) -> None:
    """Once it is old and nobody's; what a living process has, and what is a user's, stays."""
    path = write(tmp_path / "m.onnx")
    left, recent, mine = (tmp_path / f".surgery-{name}" for name in ("a.partial", "b.partial", "notes"))
    for folder in (left, recent, mine):
        folder.mkdir()
        (folder / "m.onnx").write_bytes(b"half")
    hour = time.time() - 4000
    for folder in (left, mine):
        os.utime(folder, (hour, hour))
    with draft(surgery.load(path), tmp_path / "n.onnx") as living:
        os.utime(living.path.parent, (hour, hour))
        surgery.save(surgery.load(path), tmp_path / "o.onnx")
        assert living.path.exists()
    assert (left.exists(), recent.exists(), mine.exists()) == (False, True, True)
