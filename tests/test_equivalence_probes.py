"""Probes: sizes found by trying, values by role, and what the user gives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from surgery.equivalence.ports import Port
from surgery.equivalence.probes import Case, Prober
from surgery.equivalence.roles import Role, trace
from surgery.equivalence.session import Failed, Session
from surgery.equivalence.sizes import Symbols
from surgery.equivalence.subject import Subject
from surgery.equivalence.userdata import check_probe, parse_probe, read_cases
from surgery.equivalence.values import KINDS, bars, fill, smooth
from surgery.errors import BadInput

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'


def subject(text: str, **weights: np.ndarray) -> Subject:
    """A model in ONNX's text form, with weights that are too large to write down."""
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Subject.of(model, Path("model.onnx"))


def probe(made: Subject, given: list[dict[str, list[int]]] | None = None) -> tuple[Prober, list[Case]]:
    """Find probes for a model as the child does."""
    session = Session(made)
    prober = Prober(made, 0, given or [])
    cases = prober.guesses()
    if cases:
        try:
            for case in cases:
                session.run(case.feeds)
            return prober, cases
        except Failed:
            pass
    return prober, prober.search(lambda feeds, limit: session.run(feeds, seconds=limit))


def shapes(cases: list[Case], name: str = "x") -> list[list[int]]:
    return [case.probe().shapes[name] for case in cases]


# ---- sizes ------------------------------------------------------------------------------------


def test_only_the_batch_is_free():
    prober, cases = probe(subject("g (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }"))
    assert shapes(cases) == [[1, 3, 8, 8], [2, 3, 8, 8], [3, 3, 8, 8]]
    assert prober.tries == 0


def test_nothing_is_free():
    _, cases = probe(subject("g (float[2,5] x) => (float[2,5] y) { y = Relu(x) }"))
    assert shapes(cases) == [[2, 5]] * 3
    assert not np.array_equal(cases[0].feeds["x"], cases[1].feeds["x"])


def test_every_free_dim_varies_and_widths_are_odd_too():
    _, cases = probe(subject("g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }"))
    found = shapes(cases)
    assert len({tuple(shape) for shape in found}) == 3
    assert {shape[0] for shape in found} == {1, 2, 3}
    assert any(shape[2] != shape[3] for shape in found)
    assert any(shape[3] % 2 for shape in found) and any(shape[3] % 2 == 0 for shape in found)


@pytest.mark.parametrize("name", ["?", "unk__7"])
def test_names_that_are_no_names(name: str):
    made = subject("g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }")
    for dim in made.proto.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = name
    _, cases = probe(Subject.of(made.proto, Path("model.onnx")))
    assert any(shape[2] != shape[3] for shape in shapes(cases))


def test_minus_one_is_free_and_zero_is_zero():
    ports = [Port("x", "tensor", TensorProto.FLOAT, (-1, 0, None, "n"), "x")]
    symbols = Symbols.of(ports, {}, {}, 1)
    assert symbols.shapes["x"] == ["x[0]", 0, "x[2]", "n"]


def test_steps_of_32():
    made = subject(
        """g (float[N,3,H,W] x) => (float[N,3,H,W] y) {
            a = MaxPool<kernel_shape = [32,32], strides = [32,32]>(x)
            y0 = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">
                (a, , scales)
            y = Add(x, y0) }""",
        scales=np.asarray([1, 1, 32, 32], np.float32),
    )
    _, cases = probe(made)
    found = shapes(cases)
    assert len(found) == 3 and all(h % 32 == w % 32 == 0 for _, _, h, w in found)
    assert len({tuple(shape) for shape in found}) == 3


def test_a_batch_that_is_baked_in():
    made = subject(
        "g (float[N,4] x) => (float[1,2,2] y) { y = Reshape(x, shape) }", shape=np.asarray([1, 2, 2], np.int64)
    )
    _, cases = probe(made)
    assert shapes(cases) == [[1, 4]] * 3


def test_a_free_channel_is_what_the_convolution_takes():
    made = subject(
        "g (float[N,C,H,W] x) => (float[N,4,H,W] y) { y = Conv<pads = [1,1,1,1], group = 2>(x, w) }",
        w=np.ones((4, 3, 3, 3), np.float32),
    )
    _, cases = probe(made)
    assert {shape[1] for shape in shapes(cases)} == {6}


def test_several_inputs_that_share_symbols():
    made = subject("g (float[N,T] a, float[N,T] b) => (float[N,T] y) { y = Add(a, b) }")
    _, cases = probe(made)
    assert shapes(cases, "a") == shapes(cases, "b")
    assert len({tuple(shape) for shape in shapes(cases, "a")}) == 3


def test_batches_of_several_names():
    made = subject("g (float[A,4] a, float[B,4] b) => (float[A,8] y) { y = Concat<axis = 1>(a, b) }")
    _, cases = probe(made)
    assert shapes(cases, "a") == shapes(cases, "b") == [[1, 4], [2, 4], [3, 4]]


def test_past_and_sequence_make_total():
    made = subject(
        """g (float[N,P,4] past, float[N,S,4] new, float[N,T,4] mask) => (float[N,T,4] y) {
            all = Concat<axis = 1>(past, new)
            flat = Reshape(all, shape)  other = Reshape(mask, shape)
            summed = Concat<axis = 1>(flat, other)
            m = Add(flat, other)
            y = Reshape(m, like)  }""",
        shape=np.asarray([0, -1], np.int64),
        like=np.asarray([0, -1, 4], np.int64),
    )
    prober, cases = probe(made)
    assert prober.tries <= 60
    for case in cases:
        found = case.probe().shapes
        assert found["past"][1] + found["new"][1] == found["mask"][1]
    assert cases


def test_the_batch_of_a_state_stands_in_the_middle():
    made = subject(
        """g (float[B,4] x, float[2,?,4] state) => (float[2,B,4] y) {
            shape = Shape(x)  goal = Concat<axis = 0>(two, shape)
            big = Expand(x, goal)  y0 = Concat<axis = 0>(big, state)  y = Slice(y0, zero, two) }""",
        two=np.asarray([2], np.int64),
        zero=np.asarray([0], np.int64),
    )
    _, cases = probe(made)
    assert cases and all(c.probe().shapes["x"][0] == c.probe().shapes["state"][1] for c in cases)


def test_an_unknown_rank_is_tried():
    made = subject("g (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = GlobalAveragePool(x) }")
    made.proto.graph.input[0].type.tensor_type.ClearField("shape")
    _, cases = probe(Subject.of(made.proto, Path("model.onnx")))
    assert cases and len(shapes(cases)[0]) >= 3


def test_no_size_runs_is_said_with_the_node():
    made = subject("g (float[N,4] x) => (float[N,3] y) { y = Reshape(x, shape) }", shape=np.asarray([7, 11], np.int64))
    prober, cases = probe(made)
    assert cases == [] and "Reshape" in prober.error
    assert prober.tries <= 60


def test_shapes_that_the_user_gives():
    made = subject("g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }")
    _, cases = probe(made, [{"x": [2, 3, 48, 320]}])
    assert {tuple(shape) for shape in shapes(cases)} == {(2, 3, 48, 320)}


def test_probes_follow_from_the_seed():
    made = subject("g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }")
    first, again = probe(made)[1], probe(made)[1]
    assert all(np.array_equal(a.feeds["x"], b.feeds["x"]) for a, b in zip(first, again, strict=True))


# ---- roles ------------------------------------------------------------------------------------


def first_role(made: Subject, name: str = "i") -> tuple[str, int]:
    role = trace(made).plans[name][0]
    return role.kind, role.bound


def test_an_index_stays_within_the_table():
    made = subject(
        "g (int64[N,T] i) => (float[N,T,5] y) { a = Cast<to = 7>(i)  b = Unsqueeze(a, ax)  c = Squeeze(b, ax) "
        "y = Gather(table, c) }",
        table=np.ones((7, 5), np.float32),
        ax=np.asarray([0], np.int64),
    )
    assert first_role(made) == ("index", 7)
    _, cases = probe(made)
    assert cases and all(case.feeds["i"].max() < 7 for case in cases)


def test_one_hot_has_a_depth():
    made = subject(
        "g (int64[N] i) => (float[N,6] y) { y = OneHot(i, depth, values) }",
        depth=np.asarray(6, np.int64),
        values=np.asarray([0, 1], np.float32),
    )
    assert first_role(made) == ("index", 6)


def test_lengths_are_those_compared_with_a_range():
    made = subject(
        """g (float[N,T] x, int64[N] i) => (bool[N,T] y) {
            s = Shape(x)  t = Gather(s, one)  r = Range(zero, t, one)  c = Unsqueeze(i, ax)  y = Less(r, c) }""",
        zero=np.asarray(0, np.int64),
        one=np.asarray(1, np.int64),
        ax=np.asarray([1], np.int64),
    )
    assert first_role(made)[0] == "lengths"
    _, cases = probe(made)
    assert all(case.feeds["i"].min() >= 1 for case in cases)
    assert all(case.feeds["i"].max() == case.feeds["x"].shape[1] for case in cases)


def test_a_rate_is_the_one_compared_with():
    made = subject("g (int64 i) => (bool y) { y = Equal(i, rate) }", rate=np.asarray(16000, np.int64))
    role = trace(made).plans["i"][0]
    assert role.kind == "choice" and role.values == (16000, 16001)


def test_a_plan_that_fails_gives_way_to_the_next():
    made = subject(
        """g (float[N,4] x, int64[2] i) => (float y0) { y0 = Reshape(x, i) }""",
    )
    prober, cases = probe(made)
    assert cases, prober.error


def test_a_logarithm_gets_positive_values():
    made = subject("g (float[N,T] x) => (float[N,T] y) { y = Log(x) }")
    _, cases = probe(made)
    assert all(case.feeds["x"].min() > 0 for case in cases)


# ---- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 3, 32, 100), (1, 1, 1, 1), (2, 64, 48, 3), (1, 3, 3, 2)])
def test_images_are_finite_and_unlike_each_other(kind: str, shape: tuple[int, ...]):
    made = subject("g (float[N,C,H,W] x) => (float[N,C,H,W] y) { y = Relu(x) }")
    image = fill(made.inputs[0], shape, trace(made).plans["x"][0], kind, np.random.default_rng(0), shape)
    assert image.shape == shape and image.dtype == np.float32 and np.isfinite(image).all()
    if shape[0] == 2:
        assert not np.array_equal(image[0], image[1])


def test_bars_are_dark_on_light():
    picture = bars((1, 3, 32, 100), np.random.default_rng(0))
    assert picture.min() < -0.5 and np.median(picture) > 0.5 and abs(picture).max() <= 1


def test_smooth_is_within_one():
    assert abs(smooth((2, 3, 32, 32), np.random.default_rng(0))).max() <= 1


@pytest.mark.parametrize(
    ("elem", "dtype"),
    [("uint8", np.uint8), ("bool", np.bool_), ("float16", np.float16), ("double", np.float64), ("string", object)],
)
def test_every_dtype_gets_values(elem: str, dtype: type):
    made = subject(f"g ({elem}[N,4] x) => ({elem}[N,4] y) {{ y = Identity(x) }}")
    _, cases = probe(made)
    assert cases and all(case.feeds["x"].dtype == dtype for case in cases)


def test_types_that_numpy_lacks_go_in_and_out_as_float():
    made = subject("g (bfloat16[N,4] x) => (bfloat16[N,4] y) { y = Identity(x) }")
    assert made.inputs[0].dtype == "bfloat16" and made.inputs[0].numpy == np.float32
    _, cases = probe(made)
    result = Session(made).run(cases[0].feeds)[made.outputs[0].via]
    np.testing.assert_allclose(result, cases[0].feeds["x"], rtol=1e-2)


def test_sequences_are_fed():
    made = subject("g (seq(float[N,4]) x) => (float[M,4] y) { y = ConcatFromSequence<axis = 0>(x) }")
    _, cases = probe(made)
    assert cases and len(cases[0].feeds["x"]) == 2


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_of_every_width(dtype: type):
    port = Port("i", "tensor", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ("N",), "i")
    for kind in ("signed", "wide"):
        drawn = fill(port, (400,), Role(kind), KINDS[0], np.random.default_rng(0), ())
        assert drawn.dtype == dtype and len(np.unique(drawn)) > 20
        assert drawn.min() == 0 if np.iinfo(dtype).min == 0 else drawn.min() < -50
        assert (kind == "signed") == (drawn.max() <= 100)


# ---- what the user gives ----------------------------------------------------------------------


def test_a_shape_is_read():
    assert parse_probe("x:2,3,48,320") == {"x": [2, 3, 48, 320]}
    assert parse_probe("input:0: 1, 3 ; n:") == {"input:0": [1, 3], "n": []}


@pytest.mark.parametrize("text", ["", "x", "x:a,b", ":1,2", "x:1,,2", "x:-1,3"])
def test_a_shape_that_is_none(text: str):
    with pytest.raises(BadInput):
        parse_probe(text)


def ports(*dims: int | str) -> list[Port]:
    return [Port("x", "tensor", TensorProto.FLOAT, dims, "x")]


def test_a_shape_must_fit():
    with pytest.raises(BadInput, match="no input 'z'"):
        check_probe({"z": [1]}, ports("n"))
    with pytest.raises(BadInput, match="does not fit"):
        check_probe({"x": [1, 3]}, ports("n", 4))
    check_probe({"x": [1, 4]}, ports("n", 4))


OUT = [Port("y", "tensor", TensorProto.FLOAT, ("n", 2), "y")]


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_cases_are_read_in_order(tmp_path: Path):
    x, y = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    path = saved(tmp_path, **{"x.0": x, "y.0": y, "x.1": x + 1, "y.1": y + 1})
    cases = read_cases(path, ports("n", 2), OUT, need_outputs=True)
    assert [float(feeds["x"][0, 0]) for feeds, _ in cases] == [1, 2]
    assert [float(stored["y"][0, 0]) for _, stored in cases] == [0, 1]


def test_a_file_without_suffixes_is_one_case(tmp_path: Path):
    path = saved(tmp_path, x=np.ones((1, 2), np.float32))
    assert len(read_cases(path, ports("n", 2), OUT, need_outputs=False)) == 1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.ones((1, 2), np.float32)}, "input 'x' is missing"),
        ({"x": np.ones((1, 2))}, "is float64, and the model takes float"),
        ({"x": np.ones((1, 2, 3), np.float32)}, "does not fit"),
        ({"x": np.ones((1, 5), np.float32)}, "does not fit"),
        ({"x": np.ones((1, 2), np.float32), "z": np.ones(1)}, "no input or output 'z'"),
        ({"x": np.asarray([[{}, 1]], object)}, "Python objects"),
        ({}, "no arrays"),
    ],
    ids=["missing", "dtype", "rank", "dim", "unknown", "objects", "empty"],
)
def test_files_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], words: str):
    with pytest.raises(BadInput, match=words):
        read_cases(saved(tmp_path, **arrays), ports("n", 2), OUT, need_outputs=False)


def test_a_reference_needs_outputs(tmp_path: Path):
    path = saved(tmp_path, x=np.ones((1, 2), np.float32))
    with pytest.raises(BadInput, match="no outputs"):
        read_cases(path, ports("n", 2), OUT, need_outputs=True)


def test_files_that_are_no_npz(tmp_path: Path):
    path = tmp_path / "data.npz"
    for content in (b"", b"not a zip file", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="no npz file"):
            read_cases(path, ports("n", 2), OUT, need_outputs=False)
    with pytest.raises(BadInput, match="can't be read"):
        read_cases(tmp_path / "absent.npz", ports("n", 2), OUT, need_outputs=False)


def test_a_header_that_promises_too_much(tmp_path: Path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 2)})
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(8))
    with pytest.raises(BadInput, match="shorter than its header says"):
        read_cases(path, ports("n", 2), OUT, need_outputs=False)


def test_a_zip_bomb(tmp_path: Path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"")
    raw = bytearray(path.read_bytes())
    # In the central directory, the size before compression is at offset 24.
    at = raw.rindex(b"PK\x01\x02") + 24
    raw[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    with pytest.raises(BadInput):
        read_cases(path, ports("n", 2), OUT, need_outputs=False)


# ---- the copy that is run ---------------------------------------------------------------------


def test_weights_are_planted_where_they_matter():
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.standard_normal((4, 4)).astype(np.float32) for i in range(20)}
    lines = [f"h{i + 1} = MatMul(h{i}, w{i})" for i in range(19)] + ["dead = MatMul(h0, w19)"]
    made = subject("g (float[N,4] h0) => (float[N,4] h19) { " + "\n".join(lines) + " }", **weights)
    assert len(made.plants) == 12 and {"w0", "w18"} <= set(made.plants) and "w19" not in made.plants


def test_logits_are_found_through_layout():
    made = subject(
        "g (float[N,4] x) => (float[4,N] y) { l = Relu(x)  s = Softmax(l)  t = Transpose<perm = [1,0]>(s) "
        "y = Identity(t) }"
    )
    assert [(tap.output, tap.tensor, tap.op) for tap in made.taps] == [("y", "l", "Softmax")]


def test_random_operators_agree_from_run_to_run():
    made = subject("g (float[N,4] x) => (float[N,4] y) { r = RandomNormalLike(x)  y = Add(x, r) }")
    assert made.random
    session, feeds = Session(made), {"x": np.zeros((2, 4), np.float32)}
    first, second = session.run(feeds)["y"], session.run(feeds)["y"]
    assert first.any() and np.array_equal(first, second)


def test_constants_of_every_spelling_are_lifted():
    made = subject(
        "g (float[N] x) => (float[N] y) { a = Constant<value_float = 2.0>()  b = Constant<value_ints = [0]>() "
        "c = Unsqueeze(a, b)  y = Mul(x, c) }"
    )
    assert all(node.op_type != "Constant" for node in made.proto.graph.node)
    assert Session(made).run({"x": np.ones(3, np.float32)})["y"].tolist() == [2, 2, 2]


def test_errors_name_the_models_own_nodes():
    model = parser.parse_model(HEAD + "g (float[N,4] x) => (float[N,3] y) { y = Reshape(x, s) }")
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([7, 11], np.int64), "s"))
    model.graph.node[0].name = "my/reshape"
    with pytest.raises(Failed, match="my/reshape") as failed:
        Session(Subject.of(model, Path("m.onnx"))).run({"x": np.ones((2, 4), np.float32)})
    assert failed.value.node == "n0"


def test_a_run_is_ended_in_time():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["more"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "go", "x"], ["y"], body=body)],
        "g",
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = Session(Subject.of(model, Path("m.onnx")))
    with pytest.raises(Failed, match="did not end") as failed:
        session.run({"go": np.asarray(True), "x": np.ones(1, np.float32)}, seconds=0.3)
    assert failed.value.timed_out
