"""MNN's rules, each by models of a node or two."""

from __future__ import annotations

from _openvino import BOXES, REGION, REGIONS, WIDE
from _rows import Row, sized

SIZES = "int64[4] s={1,3,13,17}"
GRID = "float[1,3,8,10] x, float[1,6,7,2] g"
POOL = "y = %s<kernel_shape=[2,2],%s>(x)"
FLIP = {"i": [[0, -1], [1, -2]]}
SCORES = "float[2,5,6] x"
SEQUENCE = "float[5,1,3] x"
MATRICES = "float[3,4] a, float[4,2] b"
FLOOR = 'y = Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,,s)'
NHWC = "float[4] s={1,2,2,1}, float[4] t={1,1,2,2}"
FIVE = "float[5] t={1,2,3,4,5}, float[5] c={5,4,3,2,1}"
PADLESS = ",pads=[0,0,0,0,0,0]"
COUNTS = {"x": [0, 2, 1]}
BELOW = {"a": [[-1, -2, -3, -4, -5, -6], [1, -2, 3, -4, 5, -6]], "b": [[-6, -5, -4, -3, -2, -1], [-1, 2, -3, -5, 4, 6]]}
TURNS = "float[2,3] x, float[2,3] z"
LOOP = (
    "y,s = Loop(t,q,z) <body = b (int64 i, bool c, float[2,3] a) => (bool d, float[2,3] n, float[2,3] o) "
    "{ d = Identity(c) n = Add(a,x) o = %s(n) }>"
)
REDUCED = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")
REDUCED = (*REDUCED, "ReduceLogSum", "ReduceLogSumExp")


def weights(gates: int, *, directions: int = 1, inside: int = 3, hidden: int = 4) -> str:
    """The weights W and R of a recurrent operator."""
    w, r = (directions, gates * hidden, inside), (directions, gates * hidden, hidden)
    return ", ".join(
        f"float[{','.join(map(str, dims))}] {name}={{{numbers(dims)}}}" for name, dims in (("W", w), ("R", r))
    )


def numbers(dims: tuple[int, ...]) -> str:
    """As many as a tensor has, of either sign."""
    import math

    return ",".join(f"{((7 * k) % 11 - 5) / 10:g}" for k in range(math.prod(dims)))


def resize(mode: str, *attributes: str) -> str:
    """To an odd size."""
    return f"y = Resize<{','.join((f'mode={chr(34)}{mode}{chr(34)}', *attributes))}>(x,,,s)"


def coordinates(mode: str) -> str:
    """An attribute of Resize."""
    return f'coordinate_transformation_mode="{mode}"'


def rounding(mode: str) -> str:
    """An attribute of Resize."""
    return f'nearest_mode="{mode}"'


def conv(name: str, how: str) -> str:
    """A convolution of 3x3 to 2 channels; that of ConvTranspose from 3."""
    return f"y = {name}<kernel_shape=[3,3],strides=[2,2],{how}>(x,w)"


CONV = f"float[2,3,3,3] w={{{numbers((2, 3, 3, 3))}}}"
CONVT = f"float[3,2,3,3] w={{{numbers((3, 2, 3, 3))}}}"
CONV3 = f"float[2,3,2,2,2] w={{{numbers((2, 3, 2, 2, 2))}}}"
CONVT3 = f"float[3,2,2,2,2] w={{{numbers((3, 2, 2, 2, 2))}}}"
RNN = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEEP = "y = %s<kernel_shape=[2,2,2],strides=[2,2,2]%s>(x)"
POOLS = ("MaxPool", "AveragePool")
VOLUME = "float[1,3,4,6,8] x"
GRU = ",linear_before_reset=1"


def rnn(name: str, bad: str, good: str = "", *, more: str = "", tail: str = "", **how: object) -> Row:
    """A recurrent operator: what is written in it, and what is in the one beside it."""
    reset = GRU if name == "GRU" else ""
    outs = {"LSTM": "y,h,c"}.get(name, "y,h")
    texts = [
        f"{outs} = {name}<hidden_size=4{reset}{text}>(x,W,R{tail})" if text is not None else "" for text in (bad, good)
    ]
    return Row(texts[0], texts[1] if good is not None else "", ins=SEQUENCE, consts=weights(RNN[name]) + more, **how)  # type: ignore[arg-type]


ROWS: dict[str, list[Row]] = {
    "K1": [
        Row('y = GridSample<padding_mode="reflection">(x,g)', 'y = GridSample<padding_mode="border">(x,g)', ins=GRID),
        Row('y = GridSample<mode="bicubic">(x,g)', 'y = GridSample<mode="bilinear">(x,g)', ins=GRID),
    ],
    "K2.cubic": [
        Row(resize("cubic"), resize("cubic", coordinates("asymmetric")), consts=SIZES),
        Row(
            resize("cubic", coordinates("asymmetric"), "cubic_coeff_a=-0.5"),
            resize("cubic", coordinates("asymmetric"), "cubic_coeff_a=-0.75"),
            consts=SIZES,
        ),
    ],
    "K2.nearest": [
        Row(
            resize("nearest", coordinates("asymmetric"), rounding("ceil")),
            resize("nearest", coordinates("asymmetric"), rounding("floor")),
            consts=SIZES,
        ),
        Row(
            resize("nearest", coordinates("half_pixel"), rounding("round_prefer_ceil")),
            resize("nearest", coordinates("half_pixel"), rounding("round_prefer_floor")),
            consts=SIZES,
        ),
        Row(
            resize("nearest", coordinates("asymmetric"), rounding("round_prefer_ceil")),
            resize("nearest", coordinates("asymmetric"), rounding("round_prefer_floor")),
            consts="int64[4] s={1,3,16,20}",
        ),
    ],
    "K2.floor": [
        Row(
            resize("nearest", coordinates(mode), rounding("floor")),
            resize("nearest", coordinates("asymmetric"), rounding("round_prefer_floor")),
            ins=f"float[1,1,2,{size}] x",
            consts=f"int64[4] s={{1,1,2,{after}}}",
        )
        for mode, size, after in (("asymmetric", 21, 12), ("half_pixel", 25, 29))
    ],
    "K2.old": [
        Row(
            f'y = {name}<mode="{mode}">(x,t)',
            'y = Resize<mode="nearest">(x,t)',
            consts="float[4] t={1,1,2,2}",
            opset=10,
        )
        for name, mode in (("Resize", "linear"),)
    ],
    "K2.upsample": [
        Row("y = Upsample(x,t)", 'y = Upsample<mode="nearest">(x,t)', consts="float[4] t={1,1,2,2}", opset=9)
    ],
    "K2.axes": [
        Row(
            'y = Resize<mode="linear",axes=[2,3]>(x,,t)',
            'y = Resize<mode="linear",axes=[2,3]>(x,,,s)',
            consts="float[2] t={2,2}, int64[2] s={16,20}",
            opset=18,
        ),
        Row('y = Resize<mode="linear",axes=[3,2]>(x,,,s)', consts="int64[2] s={16,20}", opset=18),
    ],
    "K2.dims": [
        Row(FLOOR, FLOOR.replace(",s)", ",t)"), consts="float[4] s={2,1,1,1}, float[4] t={1,2,1,1}"),
        Row('y = Resize<mode="linear">(x,,s)', 'y = Resize<mode="linear">(x,,t)', consts=NHWC),
    ],
    "K2.mode": [
        Row("y = Resize(x,,s)", 'y = Resize<mode="nearest">(x,,s)', consts="float[4] s={1,1,2,2}"),
    ],
    "K2.antialias": [
        Row(
            'y = Resize<mode="linear",antialias=1>(x,,s)',
            'y = Resize<mode="linear">(x,,s)',
            consts="float[4] s={1,1,0.5,0.5}",
            opset=18,
        )
    ],
    "K2.modes": [
        Row(
            'y = Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize">(x,r,,s)',
            resize("linear", coordinates("align_corners")),
            consts=SIZES + ", float[8] r={0,0,0.1,0.2,1,1,0.8,0.9}",
        ),
        Row(resize("linear", coordinates("half_pixel_symmetric")), resize("linear"), consts=SIZES, opset=19),
        Row(resize("cubic", coordinates("asymmetric"), "exclude_outside=1"), consts=SIZES),
        Row(resize("linear", 'keep_aspect_ratio_policy="not_larger"'), resize("linear"), consts=SIZES, opset=18),
    ],
    "K2.3d": [
        Row(
            'y = Resize<mode="linear">(x,,s)',
            'y = Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,,s)',
            ins="float[1,30,100] x",
            consts="float[3] s={1,1,2}",
            tries=40,
        )
    ],
    "K2.5d": [
        Row(resize("linear"), resize("nearest"), ins="float[1,2,4,5,6] x", consts="int64[5] s={1,2,8,10,12}"),
    ],
    "K3.gathernd": [
        Row(
            "y = GatherND(x,i)",
            "y = GatherND(x,j)",
            ins="float[3,4] x",
            consts="int64[2,1] i={-1,0}, int64[2,1] j={2,0}",
        ),
        Row(
            "y = GatherElements(x,i)",
            "y = GatherElements(x,j)",
            ins="float[3,2] x",
            consts="int64[2,2] i={-1,0,1,-2}, int64[2,2] j={2,0,1,1}",
        ),
    ],
    "K3.mod": [Row("y = Mod<fmod=1>(x,b)", ins="float[8] x", consts="float b={0.7}")],
    "K3.scatter": [
        Row(
            'y = ScatterElements<axis=1,reduction="add">(x,j,u)',
            "y = ScatterElements<axis=1>(x,j,u)",
            ins="float[2,5] x, float[2,3] u",
            consts="int64[2,3] j={1,0,4,0,2,3}",
            opset=18,
        ),
    ],
    "K3.negative": [
        Row(
            "y = ScatterElements(x,i,u)",
            ins="float[3,2] x, float[2,2] u",
            consts="int64[2,2] i={-1,0,1,-2}",
            opset=18,
        ),
    ],
    "K4.dilation": [
        Row(POOL % (name, "strides=[1,1],dilations=[2,2]"), POOL % (name, "strides=[1,1]"), opset=19)
        for name in ("MaxPool", "AveragePool", "LpPool")
    ],
    "K4.strides": [
        Row(POOL % (name, "pads=[1,1,1,1]"), POOL % (name, "strides=[1,1],pads=[1,1,1,1]"))
        for name in ("MaxPool", "AveragePool", "LpPool")
    ],
    "K4.indices": [
        Row(
            "y,i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x)",
            "y = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) i = Relu(x)",
            outs="y, i",
        )
    ],
    "K4.unpool": [
        Row(
            "p,i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) y = MaxUnpool<kernel_shape=[2,2],strides=[2,2]>(p,i)",
            "y = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x)",
        )
    ],
    "K4.window": [
        Row(
            f"y = {name}<kernel_shape=[2,2],strides=[2,2],pads=[1,1,1,1],ceil_mode=1>(x)",
            f"y = {name}<kernel_shape=[2,2],strides=[2,2],pads=[1,1,1,1],ceil_mode=0>(x)",
            ins="float[1,3,7,9] x",
            opset=22,
        )
        for name in ("MaxPool", "AveragePool")
    ],
    "K4.average": [
        Row(
            POOL % ("AveragePool", "strides=[1,1],pads=[0,0,1,1],count_include_pad=1"),
            POOL % ("AveragePool", "strides=[1,1],pads=[0,0,1,1],count_include_pad=0"),
        )
    ],
    "K4.lp": [
        Row(POOL % ("LpPool", "strides=[1,1],pads=[0,0,1,1]"), POOL % ("LpPool", "strides=[1,1],pads=[1,1,1,1]")),
        Row(POOL % ("LpPool", 'strides=[1,1],auto_pad="SAME_UPPER"'), POOL % ("LpPool", "strides=[1,1]")),
        Row("y = LpPool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1>(x)", opset=18),
    ],
    "K5.deform": [
        Row(
            "y = DeformConv<kernel_shape=[1,1]>(x,w,o)",
            ins="float[1,3,8,10] x, float[1,2,8,10] o",
            consts="float[2,3,1,1] w={1,2,3,4,5,6}",
            opset=19,
        )
    ],
    "K5.wrap": [
        Row(
            'y = Pad<mode="wrap">(x,p)',
            'y = Pad<mode="reflect">(x,p)',
            consts="int64[8] p={0,0,1,2,0,0,2,1}",
            opset=19,
        )
    ],
    "K6": [
        Row(
            "y = Pad(x,p,,a)",
            "y = Pad(x,q)",
            consts="int64[4] p={1,2,2,1}, int64[2] a={2,3}, int64[8] q={0,0,1,2,0,0,2,1}",
            opset=18,
        )
    ],
    "K6.negative": [
        Row("y = Pad(x,p)", "y = Pad(x,q)", ins="float[4,5] x", consts="int64[4] p={0,-1,0,1}, int64[4] q={0,-1,0,2}"),
        Row("y = Pad<pads=[0,-1,0,0]>(x)", "y = Pad<pads=[0,1,0,0]>(x)", ins="float[4,5] x", opset=10, tries=3),
    ],
    "K6.value": [
        Row("y = Pad<pads=[0,1,0,0],value=0.5>(x)", "y = Pad<pads=[0,1,0,0]>(x)", ins="float[4,5] x", opset=10)
    ],
    "K6.parts": [
        Row(
            "y = Pad(x,p,v)",
            "y = Pad(x,q,v)",
            ins="float[2,3,4,5] x",
            consts="int64[8] p={1,0,1,0,1,0,1,0}, int64[8] q={0,1,0,1,0,1,0,1}, float v={-1.5}",
        ),
        Row('y = Pad<mode="edge">(x,p)', ins="float[2,3,4,5] x", consts="int64[8] p={1,0,1,0,1,0,1,0}", tries=5),
        Row(
            "y = Pad(x,p,v)",
            "y = Pad(x,q,v)",
            ins="float[1,2,3,4,5] x",
            consts="int64[10] p={0,1,1,1,0,0,1,1,1,0}, int64[10] q={0,0,1,1,1,0,0,1,1,1}, float v={-1.5}",
        ),
    ],
    "K7": [
        Row("y = ConvInteger<kernel_shape=[1,1]>(x,w)", ins="uint8[1,2,3,4] x", consts="int8[1,2,1,1] w={1,-2}"),
        Row(
            "y = QLinearConv<kernel_shape=[1,1]>(x,s,z,w,s,v,s,z)",
            ins="uint8[1,2,3,4] x",
            consts="int8[1,2,1,1] w={1,-2}, float s={0.5}, uint8 z={128}, int8 v={0}",
        ),
        Row(
            "y = QLinearMatMul(x,s,z,w,s,v,s,z)",
            ins="uint8[3,2] x",
            consts="int8[2,1] w={1,-2}, float s={0.5}, uint8 z={128}, int8 v={0}",
        ),
        Row('y = BitShift<direction="LEFT">(x,b)', ins="uint8[4] x", consts="uint8[1] b={1}"),
        *(Row(f"y = Bitwise{name}(x,x)", ins="int32[4] x", opset=18) for name in ("And", "Or", "Xor")),
        Row("y = BitwiseNot(x)", ins="int32[4] x", opset=18),
        Row("y = IsNaN(x)"),
        Row("y = IsInf(x)"),
        Row(
            "y = Col2Im(x,s,b)",
            ins="float[1,12,20] x",
            consts="int64[2] s={5,6}, int64[2] b={2,2}",
            opset=18,
        ),
        Row("y = MatMulInteger(x,w)", ins="uint8[2,3] x", consts="uint8[3,2] w={1,2,3,4,5,6}"),
    ],
    "K7.constant": [
        *(
            Row(f"w = {name}Window(t) y = Mul(x,w)", ins="float[2,8] x", consts="int64 t={8}")
            for name in ("Hann", "Hamming", "Blackman")
        ),
        Row(
            "w = MelWeightMatrix(a,b,c,d,e) y = MatMul(x,w)",
            ins="float[2,9] x",
            consts="int64 a={4}, int64 b={16}, int64 c={8000}, float d={20}, float e={4000}",
        ),
    ],
    "K7.dft": [Row("y = DFT<axis=1>(x)", ins="float[1,16,1] x")],
    "K7.grid": [
        Row("y = AffineGrid(t,s)", ins="float[1,2,3] t", consts="int64[4] s={1,3,5,6}", opset=20),
    ],
    "K7.hardmax": [Row("y = Hardmax(x)", "y = Softmax(x)", ins=SCORES)],
    "K7.norm": [
        Row(
            "y = GroupNormalization<num_groups=2>(x,w,w)",
            ins="float[1,4,5,6] x",
            consts="float[4] w={1,2,3,4}",
            opset=21,
        ),
        Row("y = RMSNormalization(x,w)", ins="float[2,3,4] x", consts="float[4] w={1,2,3,4}", opset=23),
    ],
    "K7.body": [
        Row("y = Mish(x)", opset=18),
        Row("y = Swish(x)", opset=24),
        Row("y = CenterCropPad<axes=[2,3]>(x,s)", consts="int64[2] s={6,12}", opset=18),
        Row("y = Attention(q,q,q)", ins="float[1,2,5,4] q", opset=23),
        Row(
            "y = RotaryEmbedding(x,c,s)",
            ins="float[1,2,3,4] x, float[1,3,2] c, float[1,3,2] s",
            opset=23,
        ),
    ],
    "K7.scan": [
        Row(
            "z, y = Scan<num_scan_inputs=1, body = b (float[4] a, float[4] v) => (float[4] n, float[4] o) "
            "{ n = Add(a,v) o = Identity(n) }>(h,x)",
            ins="float[4] h, float[5,4] x",
        )
    ],
    "K8": [Row("y = LogSoftmax<axis=1>(x)", "y = LogSoftmax<axis=3>(x)", opset=11)],
    "K8.axis": [Row("y = LogSoftmax(x)", "y = LogSoftmax<axis=-1>(x)", ins="float[1,3,8] x", tries=5)],
    "K8.softmax": [Row("y = Softmax(x)", "y = Softmax<axis=1>(x)", ins="float[2,3,4] x", opset=11)],
    "K9": [Row("y = Shrink<lambd=0.3,bias=0.2>(x)")],
    "K10": [
        Row(f"a = Abs(x) y = {name}(a,k)", f"a = Abs(x) y = {name}(a)", ins=SCORES, consts="int64[1] k={1}", opset=18)
        for name in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
    ],
    "K11": [
        Row(f"a = Abs(x) y = {name}<noop_with_empty_axes=1>(a)", f"a = Abs(x) y = {name}(a)", ins=SCORES, opset=18)
        for name in REDUCED
    ],
    "K12": [
        Row(
            "y = OneHot(i,d,v)",
            ins="int64[4] i",
            consts="int64[1] d={5}, float[2] v={0.5,2}",
            given={"i": [0, -1, 4, -5]},
        )
    ],
    "K13": [
        Row(
            "y = ScatterND(x,i,u)",
            "y = ScatterND(x,j,v)",
            ins="float[4,5,3] x, float[2,3] u, float[2] v",
            consts="int64[2,2] i={2,0,3,4}, int64[2,3] j={2,0,1,1,3,2}",
        ),
        Row(
            'y = ScatterND<reduction="add">(x,j,v)',
            "y = ScatterND(x,j,v)",
            ins="float[4,5] x, float[2] v",
            consts="int64[2,2] j={2,0,1,3}",
            opset=18,
        ),
    ],
    "K14": [
        Row(
            "q = Greater(a,b) y = Where(q,a,b)",
            "q = Greater(a,a) y = Where(q,a,a) z = Relu(b)",
            ins="float[40,30] a, float[1,30] b",
        )
    ],
    "K15": [
        Row("q = Cast<to=9>(x) y = Cast<to=1>(q)", "q = Greater(x,o) y = Cast<to=1>(q)", consts="float o={0}"),
        Row(
            "q = Cast<to=9>(x) y = Not(q)",
            "q = Greater(x,o) y = Not(q)",
            ins="int64[3] x",
            consts="int64 o={0}",
            given=COUNTS,
        ),
    ],
    "K15.uint8": [
        Row(
            "q = Cast<to=2>(x) y = Cast<to=6>(q)",
            "r = Abs(x) q = Cast<to=2>(r) y = Cast<to=6>(q)",
            ins="int64[3] x",
            given=COUNTS,
        )
    ],
    "K16": [Row("y = Round(x)", "y = Floor(x)", ins="float[6] x", given={"x": [0.5, 1.5, 2.5, -0.5, -1.5, 0.2]})],
    "K17": WIDE,
    "K18": [
        Row(
            "v,y = TopK(x,k)",
            ins="int64[1,12] x",
            consts="int64[1] k={6}",
            given={"x": [[3, 1, 3, 2, 3, 1, 2, 2, 3, 1, 0, 3]]},
        )
    ],
    "K19": [
        Row(
            f"y = {name}<axis=1,select_last_index=1>(x)",
            f"y = {name}<axis=1>(x)",
            ins="float[2,5] x",
            given={"x": [[1, 2, 2, 1, 1], [0, 3, 3, 0, 1]]},
        )
        for name in ("ArgMax", "ArgMin")
    ],
    "K20": [
        Row(
            "a,y = Split<axis=1,num_outputs=2>(x)",
            "a,y = Split<axis=2,num_outputs=2>(x)",
            outs="a,y",
            opset=18,
        )
    ],
    "K20.slice": [
        Row(
            f"y = Slice(x,s,e,{axis},s)",
            f"t = Reshape(x,r) y = Slice(t,s,e,{one},s)",
            ins="float[2,3,40,50] x",
            consts="int64[1] s={-1}, int64[1] e={-9999}, int64[1] a={1}, int64[1] b={3}, int64[3] r={2,3,-1}",
            tries=20,
        )
        for axis, one in (("a", "a"), ("b", "a"))
    ],
    "K20.start": [
        Row(
            "y = Slice(x,s,e,a)",
            "y = Slice(x,t,e,a)",
            ins="float[6] x",
            consts="int64[1] s={-100}, int64[1] t={-6}, int64[1] e={100}, int64[1] a={0}",
        )
    ],
    "K20.compress": [
        Row("y = Compress<axis=-2>(x,k)", "y = Compress<axis=0>(x,k)", ins="float[3,4] x", consts="bool[3] k={0,1,1}")
    ],
    "K21.vector": [
        Row(
            "y = MatMul(x,w)",
            "y = MatMul(x,v)",
            ins="float[2,4,3] x",
            consts="float[3] w={1,2,3}, float[3,1] v={1,2,3}",
        )
    ],
    "K21.integers": [
        Row(
            "y = MatMul(x,w)",
            "f = Cast<to=1>(x) g = Cast<to=1>(w) y = MatMul(f,g)",
            ins="int32[4,3] x, int32[3,2] w",
            given={"x": [[3, 1, 2], [0, 5, 1], [2, 2, 2], [1, 0, 7]], "w": [[1, -2], [3, 4], [5, -6]]},
        )
    ],
    "K21": [Row("y = MatMul(a,b)", ins="float[4] a, float[4] b", tries=20)],
    "K22": [
        Row(
            "y = Gemm<transA=1>(x,w)",
            "t = Transpose<perm=[1,0]>(x) y = Gemm(t,w)",
            ins="float[3,2] x",
            consts="float[3,2] w={1,2,3,4,5,6}",
        ),
        Row("y = Gemm<transA=1>(x,w,c)", ins="float[3,2] x", consts="float[3,2] w={1,2,3,4,5,6}, float[2] c={3,4}"),
        Row(
            "y = Gemm(x,w,c)",
            "y = Gemm(x,w,d)",
            ins="float[2,3] x",
            consts="float[3,2] w={1,2,3,4,5,6}, float[2,1] c={3,4}, float[1,2] d={3,4}",
        ),
    ],
    "K23": [Row("y = Pow(x,e)", "y = Pow(x,f)", consts="int64 e={3}, float f={3}")],
    "K24": [Row('y = Einsum<equation="bii->bi">(x)', 'y = Einsum<equation="bij->bji">(x)', ins="float[2,4,4] x")],
    "K24.form": [
        Row('y = Einsum<equation="ij,jk">(a,b)', 'y = Einsum<equation="ij,jk->ik">(a,b)', ins=MATRICES),
        Row('y = Einsum<equation="ij,jk,kl->il">(a,b,c)', ins=MATRICES + ", float[2,5] c"),
        Row('y = Einsum<equation="i,i->">(a,a)', 'y = Einsum<equation="i->">(a)', ins="float[4] a", then="crash"),
    ],
    "K25.batch": [
        *(Row(DEEP % (name, PADLESS), ins="float[2,3,4,6,8] x", tries=5) for name in POOLS),
        *(Row(f"y = Global{name}(x)", ins="float[2,3,4,6,8] x", tries=5) for name in POOLS),
        Row(
            "y = GlobalAveragePool(x)",
            "y = ReduceMean<axes=[2,3,4]>(x)",
            ins="float[n,3,4,6,8] x",
            at=sized("n=1", "n=2"),
            tries=5,
        ),
    ],
    "K25": [Row("y = Conv(x,w)", "y = Conv<kernel_shape=[2,2,2]>(x,w)", ins="float[1,3,4,5,6] x", consts=CONV3)],
    "K25.dilation": [
        Row(
            f"y = Conv<kernel_shape=[2,2,2],{how}>(x,w)",
            "y = Conv<kernel_shape=[2,2,2],strides=[2,2,2],pads=[0,0,0,1,1,1]>(x,w)",
            ins="float[1,3,4,5,6] x",
            consts=CONV3,
        )
        for how in ("dilations=[2,2,2]", 'auto_pad="SAME_UPPER"')
    ],
    "K25.pool": [Row(DEEP % (name, ""), DEEP % (name, ",pads=[0,0,0,0,0,0]"), ins=VOLUME) for name in POOLS],
    "K25.edge": [
        *(Row(DEEP % (name, ",pads=[0,0,0,1,1,1]"), ins="float[1,3,5,7,9] x") for name in POOLS),
        *(Row(DEEP % (name, ",pads=[0,0,0,0,0,0],ceil_mode=1"), ins="float[1,3,5,7,9] x") for name in POOLS),
        Row(
            DEEP % ("AveragePool", ",pads=[1,1,1,1,1,1]"),
            DEEP % ("MaxPool", ",pads=[1,1,1,1,1,1]"),
            ins=VOLUME,
        ),
    ],
    "K26": [
        Row(
            "y = ConvTranspose<kernel_shape=[2,2,2],dilations=[2,2,2]>(x,w)",
            ins="float[1,3,4,5,6] x",
            consts=CONVT3,
        ),
        Row(
            "y = ConvTranspose<kernel_shape=[2,2,2]>(x,w,b)",
            "y = ConvTranspose<kernel_shape=[2,2,2],strides=[2,2,2],pads=[1,0,1,0,1,0],output_padding=[1,1,1]>(x,w)",
            ins="float[2,3,4,5,6] x",
            consts=CONVT3 + ", float[2] b={1,2}",
        ),
        Row("y = ConvTranspose<kernel_shape=[2,2,2],group=3>(x,w)", ins="float[2,3,4,5,6] x", consts=CONVT3, tries=10),
    ],
    "K26.kernel": [
        Row(
            "y = ConvTranspose(x,w)",
            "y = ConvTranspose<kernel_shape=[2,2,2]>(x,w)",
            ins="float[1,3,4,5,6] x",
            consts=CONVT3,
        ),
    ],
    "K27": [
        Row(conv("Conv", 'auto_pad="SAME_LOWER"'), conv("Conv", 'auto_pad="SAME_UPPER"'), consts=CONV),
        Row(
            conv("ConvTranspose", 'auto_pad="SAME_LOWER"'), conv("ConvTranspose", 'auto_pad="SAME_UPPER"'), consts=CONVT
        ),
        Row(
            'y = AveragePool<kernel_shape=[2,2],strides=[1,1],auto_pad="SAME_LOWER">(x)',
            'y = AveragePool<kernel_shape=[2,2],strides=[1,1],auto_pad="SAME_UPPER">(x)',
        ),
        Row(
            'y = MaxPool<kernel_shape=[2,2],strides=[1,1],auto_pad="SAME_LOWER">(x)',
            'y = MaxPool<kernel_shape=[2,2],strides=[1,1],auto_pad="SAME_UPPER">(x)',
        ),
    ],
    "K28": [
        Row(conv("ConvTranspose", "output_shape=[16,20]"), conv("ConvTranspose", "output_padding=[1,1]"), consts=CONVT),
    ],
    "K29": [
        Row(
            "y = LSTM<hidden_size=4>(x,W,R)",
            "y,h,c = LSTM<hidden_size=4>(x,W,R)",
            ins=SEQUENCE,
            consts=weights(4),
        )
    ],
    "K29.first": [
        Row(
            f",h = {name}<hidden_size=4{reset}>(x,W,R)",
            f"z,h = {name}<hidden_size=4{reset}>(x,W,R)",
            ins=SEQUENCE,
            consts=weights(RNN[name]),
            outs="h",
        )
        for name, reset in (("GRU", GRU), ("RNN", ""))
    ],
    "K30": [rnn(name, ',direction="reverse"') for name in RNN],
    "K31": [
        Row(
            f"{outs} = {name}<hidden_size=4{reset}>(x,W,R,,l)",
            f"{outs} = {name}<hidden_size=4{reset}>(x,W,R,,m)",
            ins="float[5,2,3] x",
            consts=f"{weights(RNN[name])}, int32[2] l={{3,5}}, int32[2] m={{5,5}}",
        )
        for name, outs, reset in (("LSTM", "y,h,c", ""), ("GRU", "y,h", GRU), ("RNN", "y,h", ""))
    ],
    "K32": [
        Row(
            "y,h = GRU<hidden_size=4>(x,W,R,B)",
            "y,h = GRU<hidden_size=4,linear_before_reset=1>(x,W,R,B)",
            ins=SEQUENCE,
            consts=f"{weights(3)}, float[1,24] B={{{numbers((24,))}}}",
        )
    ],
    "K33": [rnn("RNN", ',activations=["Relu"]')],
    "K33.gates": [
        rnn("LSTM", ',activations=["HardSigmoid","Tanh","Tanh"]', then="refused"),
        rnn("GRU", ',activations=["HardSigmoid","Tanh"]'),
        rnn("LSTM", ",input_forget=1"),
        rnn("LSTM", "", None, more=f", float[1,12] P={{{numbers((12,))}}}", tail=",,,,,P", then="refused"),
    ],
    "K33.clip": [rnn(name, ",clip=0.1") for name in RNN],
    "K34": [
        Row(
            "y,h,c = LSTM<hidden_size=4>(x,W,R,,,s,s)",
            "y,h,c = LSTM<hidden_size=4>(x,W,R) z = Relu(s)",
            ins="float[t,1,3] x, float[1,1,4] s",
            consts=weights(4),
            at=sized("t=5", "t=7"),
        ),
        Row(
            "y,h,c = LSTM<hidden_size=4>(x,W,R,,,s,s)",
            ins="float[t,n,3] x, float[1,n,4] s",
            consts=weights(4),
            at=sized("t=5 n=2", "t=7 n=3"),
            then="refused",
        ),
    ],
    "K34.gru": [
        Row(
            "y,h = GRU<hidden_size=4,linear_before_reset=1>(x,W,R)",
            "z = Transpose<perm=[0,1,2]>(x) y,h = GRU<hidden_size=4,linear_before_reset=1>(z,W,R)",
            ins="float[t,n,3] x",
            consts=weights(3),
            at=sized("t=5 n=2", "t=7 n=3"),
        )
    ],
    "K35": [
        Row(
            f"s = {count} f = Cast<to=1>(s) y = Div(x,f)",
            f"s = {count} f = Cast<to=1>(s) r = Reciprocal(f) y = Mul(x,r)",
            ins="float[n] x",
            at=sized("n=5", "n=9"),
        )
        for count in ("Shape(x)", "Size(x)")
    ],
    "K39": [
        Row(
            f"y = {name}(a,b,c)",
            f"y = {name}(a,b,b) z = Relu(c)",
            ins="float[20,50] a, float[20,50] b, float[1,50] c",
            tries=5,
        )
        for name in ("Max", "Min", "Sum", "Mean")
    ],
    "K39.one": [
        *(
            Row(f"r = Relu(x) y = {name}(r)", f"r = Relu(x) y = {name}(r,x)", ins="float[3,4] x")
            for name in ("Max", "Min", "Sum")
        ),
        Row("r = Relu(x) y = Mean(r)", "r = Relu(x) y = Mean(r,x,x)", ins="float[3,4] x"),
        Row("r = Relu(x) y = Mean(r,x)", ins="float[3,4] x", then="refused"),
    ],
    "K41": [
        Row("y = Less(a,b)", "y = Greater(b,a)", ins="float[2,6] a, float[2,6] b", given=BELOW),
        Row("y = Less(a,k)", "y = Less(a,l)", ins="float[2,6] a", consts="float k={-2.5}, float l={2.5}", given=BELOW),
    ],
    "K41.both": [
        Row(
            f"y = {name}(a,b)",
            f"y = {name}(a,c)",
            ins="float[3,1] a, float[1,4] b, float[3,4] c",
            given={"a": [[-1], [-5], [-9]], "b": [[-4, -6, -2, -12]]},
        )
        for name in ("Greater", "GreaterOrEqual", "LessOrEqual")
    ],
    "K42": [
        Row(
            "y = LayerNormalization<axis=0>(x,s,b)",
            "y = LayerNormalization<axis=1>(x,t,c)",
            ins="float[4,5] x",
            consts=f"float[4,5] s={{{numbers((20,))}}}, float[4,5] b={{{numbers((20,))}}}, {FIVE}",
        ),
        Row(
            "y = LayerNormalization(x,s)",
            "y = LayerNormalization(x,t)",
            ins="float[4,5] x",
            consts=f"float[1] s={{0.5}}, {FIVE}",
        ),
    ],
    "K43": [
        Row(
            "y = PRelu(x,s)",
            "y = PRelu(x,t)",
            ins="float[2,4,5] x",
            consts=f"{FIVE.replace(' t', ' s')}, float[4,1] t={{1,2,3,4}}",
        )
    ],
    "K44": [
        Row(
            f"y = {name}<kernel_shape=[1,1]>(x,w,b)",
            "c = Conv<kernel_shape=[1,1]>(x,w) d = Reshape(b,r) y = Add(c,d)",
            ins="float[1,2,4,5] x, float[2] b",
            consts="float[2,2,1,1] w={1,2,3,4}, int64[4] r={1,2,1,1}",
        )
        for name in ("Conv", "ConvTranspose")
    ],
    "K44.weight": [
        Row(
            f"y = {name}<kernel_shape=[1,1]>(x,w)",
            f"y = {name}<kernel_shape=[1,1]>(x,v)",
            ins=f"float[1,3,8,10] x, float[{dims},1,1] w, float[3,3,1,1] v",
            at=sized("n=3", "n=4"),
            tries=3,
        )
        for name, dims in (("Conv", "n,3"), ("ConvTranspose", "3,n"))
    ],
    "K44.batch": [
        Row(
            "q = Abs(s) y = BatchNormalization(x,q,k,k,k)",
            "y = BatchNormalization(x,k,k,k,k) q = Abs(s)",
            ins="float[1,2,4,5] x, float[2] s",
            consts="float[2] k={1,2}",
        )
    ],
    "K45": [
        Row(
            "s = Shape(x) c = ConstantOfShape(s) y = Add(x,c) z = ConstantOfShape(s)",
            "s = Shape(x) c = ConstantOfShape<value=float[1]{0}>(s) y = Add(x,c) z = Relu(c)",
            ins="float[50,60] x",
            outs="y,z",
            tries=20,
        )
    ],
    "K46": [Row("y = Unique(x)", ins="float[8] x")],
    "K47": [Row("y = Dropout(x)", "r = Relu(x) y = Dropout(r)")],
    "K48": [
        Row(
            f"p = {product} y = Add(p,c)",
            f"p = {product} y = Add(p,d)",
            ins=ins,
            consts=f"{consts}, float[4,1] c={{1,2,3,4}}, float[1,4] d={{1,2,3,4}}"
            if "Mat" in product or "Gemm" in product
            else consts + ", float[4] c={1,2,3,4}, float[4,1,1] d={1,2,3,4}",
        )
        for product, ins, consts in (
            ("MatMul(x,w)", "float[4,2] x", "float[2,4] w={1,2,3,4,5,6,7,8}"),
            ("Gemm(x,w)", "float[4,2] x", "float[2,4] w={1,2,3,4,5,6,7,8}"),
            ("Conv<kernel_shape=[1,1]>(x,w)", "float[1,2,4,4] x", "float[4,2,1,1] w={1,2,3,4,5,6,7,8}"),
        )
    ],
    "K49": [
        *(
            Row(
                f"n = {name}(a,b) y = Relu(n)",
                f"n = {name}(a,b) y = Tanh(n)",
                ins="float[2,3] a, float[2,3] b",
                outs="n,y",
            )
            for name in ("Add", "Sub", "Mul", "Div", "Max")
        ),
        Row(LOOP % "Relu", LOOP % "Tanh", ins=TURNS, consts="int64 t={3}, bool q={1}", outs="y,s", then="crash"),
    ],
    "K50": [Row(REGION % ',mode="max"', REGION % "", ins=REGIONS, consts="int64[2] b={0,1}", given=BOXES)],
    "K40.output": [Row("y = Slice(x,s,s,a)", ins="float[3,4] x", consts="int64[1] s={1}, int64[1] a={0}")],
    "K36": [
        Row(
            "q = QuantizeLinear(x,s,z) y = DequantizeLinear(q,s,z)",
            consts="float s={0.05}, uint8 z={128}",
        )
    ],
    "K37": [
        Row(
            "w = DequantizeLinear<axis=0,block_size=2>(q,s) y = MatMul(x,w)",
            "y = MatMul(x,v)",
            ins="float[2,4] x",
            consts="int8[4,2] q={1,2,3,4,5,6,7,-8}, float[2,2] s={0.5,0.25,1,2}, float[4,2] v={1,2,3,4,5,6,7,8}",
            opset=21,
            tries=5,
        ),
        Row(
            "w = DequantizeLinear(q,s) y = MatMul(x,w)",
            ins="float[2,4] x",
            consts="int4[4,2] q={1,2,3,4,5,6,7,-8}, float s={0.5}",
            opset=21,
            tries=5,
        ),
    ],
    "K37.form": [
        Row(
            "w = DequantizeLinear<axis=0>(q,s) y = MatMul(x,w)",
            "w = DequantizeLinear<axis=1>(q,t) y = MatMul(x,w)",
            ins="float[2,4] x",
            consts="int8[4,2] q={1,2,3,4,5,6,7,-8}, float[4] s={0.5,0.25,1,2}, float[2] t={0.5,0.25}",
        ),
        Row(
            "y = DequantizeLinear(x,s)",
            ins="int8[2,4] x",
            consts="float s={0.5}",
            given={"x": [[1, 2, -3, 4], [5, 6, 7, -8]]},
        ),
        Row(
            "w = DequantizeLinear(q,s) b = DequantizeLinear(c,t) y = Conv<kernel_shape=[1,1]>(x,w,b)",
            "w = DequantizeLinear<axis=0>(q,u) y = Conv<kernel_shape=[1,1]>(x,w)",
            ins="float[1,3,4,4] x",
            consts="int8[2,3,1,1] q={1,2,3,4,5,6}, float s={0.5}, float[2] u={1,2}, int32[2] c={1,-2}, float t={1}",
        ),
    ],
    "K37.dynamic": [Row("q,s,z = DynamicQuantizeLinear(x) f = Cast<to=1>(q) y = Mul(f,s)", tries=3)],
    "K38": [
        Row(
            "y = my.Twice(x)",
            "y = Add(x,x)",
            after='<domain: "my", opset_import: ["" : 17]> Twice (a) => (b) { b = Add(a,a) }',
        )
    ],
    "K40": [Row("y = Relu(x)", ins="float[1,0] x")],
}
