"""ncnn's rules, each by models of a node or two."""

from __future__ import annotations

from typing import Any

from _mnn import CONV, CONVT, GRU, REDUCED, RNN, SIZES, conv, coordinates, numbers, resize, rounding, weights
from _rows import Row, sized

FLAT = "float[1,12] x"
SEQUENCE = "float[1,5,3] x"
TAIL = "t = Transpose<perm=[1,0,2]>(x) {} u = Squeeze(q,one) y = Transpose<perm=[1,0,2]>(u)"
ONE = "int64[1] one={1}"
# Axes as an input: one, which is lost, and two, which are not.
AXES: dict[str, Any] = {"ins": "float[1,5,6,3] x", "consts": "int64[1] k={1}, int64[2] l={1,2}", "opset": 18}
# Attention as torch takes it apart, behind a Conv that tells the batch; scaled behind the product.
ATTENTION = (
    "c = Conv(x,k) f = Reshape(c,s) g = Transpose<perm=[0,2,1]>(f) m = MatMul(g,w) r = Reshape(m,t) "
    "u = Transpose<perm=[2,0,3,1,4]>(r) {} kt = Transpose<perm=[0,1,3,2]>(b) l = MatMul(a,kt) n = Mul(l,half) "
    "p = Softmax<axis=3>(n) o = MatMul(p,d) q = Transpose<perm=[0,2,1,3]>(o) y = Reshape(q,v)"
)
TAKEN = (
    "a = Gather<axis=0>(u,zero) b = Gather<axis=0>(u,one) d = Gather<axis=0>(u,two)",
    "e = Slice(u,i0,i1,i0) a = Squeeze(e,i0) h = Slice(u,i1,i2,i0) b = Squeeze(h,i0) "
    "i = Slice(u,i2,i3,i0) d = Squeeze(i,i0)",
    "e,h,i = Split<axis=0>(u,ones) a = Squeeze(e,i0) b = Squeeze(h,i0) d = Squeeze(i,i0)",
)
# Lengths of an image as torch reads them: b as a tensor of one dim, h and w as scalars.
LENGTHS = "s = Shape(x) a = Gather<axis=0>(s,i) b = Unsqueeze(a,z) h = Gather<axis=0>(s,j) w = Gather<axis=0>(s,k)"


def rnn(
    name: str, bad: str = "", good: str = "", outs: str = "q", tail: str = "", more: str = "", reset: str = GRU
) -> Row:
    """A recurrent operator as torch writes it, batch first: what is wrong with one, and right with the other."""
    consts = f"{ONE}, {weights(RNN[name])}{more}"
    texts = [
        TAIL.format(f"{out} = {name}<hidden_size=4{reset if name == 'GRU' else ''}{text}>(t,W,R{rest})")
        for text, out, rest in ((bad, outs, tail), (good, "q", ""))
    ]
    return Row(*texts, ins=SEQUENCE, consts=consts)


BIAS = {name: f", float[1,{8 * gates}] B={{{numbers((8 * gates,))}}}" for name, gates in RNN.items()}
ROWS: dict[str, list[Row]] = {
    "N2": [
        Row(
            resize("nearest", coordinates("asymmetric"), rounding(mode)),
            resize("nearest", coordinates("asymmetric"), rounding("floor")),
            consts=SIZES,
        )
        for mode in ("ceil", "round_prefer_ceil", "round_prefer_floor")
    ],
    "N2.floor": [Row(resize("nearest", coordinates("half_pixel"), rounding("floor")), consts=SIZES)],
    "N3.modes": [
        Row(resize("linear", coordinates("asymmetric")), resize("linear", coordinates("align_corners")), consts=SIZES),
        Row(
            'y = Resize<mode="linear",coordinate_transformation_mode="half_pixel_symmetric">(x,,s)',
            consts="float[4] s={1,1,1.6,1.7}",
            opset=19,
        ),
        Row(resize("cubic", "exclude_outside=1"), resize("cubic"), consts=SIZES),
    ],
    "N3.antialias": [
        Row(
            'y = Resize<mode="linear",antialias=1>(x,,s)',
            'y = Resize<mode="linear">(x,,s)',
            consts="float[4] s={1,1,0.5,0.5}",
            opset=18,
        )
    ],
    "N3.a": [Row(resize("cubic", "cubic_coeff_a=-0.5"), resize("cubic", "cubic_coeff_a=-0.75"), consts=SIZES)],
    "N3.axes": [
        Row(
            'y = Resize<mode="linear",axes=[2,3]>(x,,,t)',
            resize("linear"),
            consts=SIZES + ", int64[2] t={13,17}",
            opset=18,
        ),
        Row(resize("linear", 'keep_aspect_ratio_policy="not_larger"'), resize("linear"), consts=SIZES, opset=18),
    ],
    "N3.crop": [
        Row(
            'y = Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize">(x,r,,s)',
            consts=SIZES + ", float[8] r={0,0,0.1,0.2,1,1,0.8,0.9}",
        )
    ],
    "N3.5d": [
        Row(
            'r = Resize<mode="linear">(x,,,s) y = ReduceMean<axes=[2],keepdims=0>(r)',
            ins="float[1,2,4,5,6] x",
            consts="int64[5] s={1,2,8,10,12}",
        ),
        Row('y = Upsample<mode="nearest">(x,s)', ins="float[1,2,4,5,6] x", consts="float[5] s={1,1,2,2,2}", opset=9),
    ],
    "N3.gridsample": [
        Row(
            'y = GridSample<mode="cubic">(x,g)',
            'y = GridSample<mode="linear">(x,g)',
            ins="float[1,3,8,10] x, float[1,6,7,2] g",
            opset=20,
        )
    ],
    "N3.old": [
        Row(f'y = Resize<mode="{mode}">(x,s)', consts="float[4] s={1,1,2,2}", opset=10)
        for mode in ("linear", "nearest")
    ],
    "N3.upsample": [
        Row(
            'y = Upsample<mode="linear">(x,s)',
            'y = Upsample<mode="nearest">(x,s)',
            consts="float[4] s={1,1,2,2}",
            opset=9,
        )
    ],
    "N3.wrap": [
        Row(
            'y = Pad<mode="wrap">(x,p)', 'y = Pad<mode="reflect">(x,p)', consts="int64[8] p={0,0,1,2,0,0,2,1}", opset=19
        )
    ],
    "N4": [
        *(Row(f"i = {name}<axis=1>(x) y = Cast<to=1>(i)") for name in ("ArgMax", "ArgMin")),
        Row("y,i = TopK(x,k)", consts="int64[1] k={3}", then="crash"),
        Row("i = NonZero(x) y = Cast<to=1>(i)", ins=FLAT),
        Row(
            "i = NonMaxSuppression(b,s,k) y = Cast<to=1>(i)",
            ins="float[1,6,4] b, float[1,2,6] s",
            consts="int64 k={3}",
        ),
        Row(
            "y = ScatterElements<axis=1>(x,i,u)", ins="float[2,5] x, float[2,3] u", consts="int64[2,3] i={1,0,4,0,2,3}"
        ),
        Row("y = GatherElements<axis=1>(x,i)", ins="float[2,5] x", consts="int64[2,3] i={1,0,4,0,2,3}"),
        Row(
            "y = DeformConv<kernel_shape=[1,1]>(x,w,o)",
            ins="float[1,3,8,10] x, float[1,2,8,10] o",
            consts="float[2,3,1,1] w={1,2,3,4,5,6}",
            opset=19,
        ),
        Row("y = Compress<axis=1>(x,q)", ins=FLAT, consts="bool[12] q={1,0,1,1,0,0,1,0,1,0,0,1}"),
        Row("y = Trilu(x)", ins="float[6,6] x"),
        Row(
            "y = RoiAlign<output_height=2,output_width=2>(x,r,i)",
            ins="float[1,3,8,10] x",
            consts="float[2,4] r={0,0,4,5,1,2,6,7}, int64[2] i={0,0}",
            opset=16,
        ),
        Row(
            "y = MaxRoiPool<pooled_shape=[2,2]>(x,r)",
            ins="float[1,3,8,10] x",
            consts="float[2,5] r={0,0,0,4,5,0,1,2,6,7}",
        ),
        Row("p,i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) y = MaxUnpool<kernel_shape=[2,2],strides=[2,2]>(p,i)"),
        Row("y = Col2Im(x,s,b)", ins="float[1,12,20] x", consts="int64[2] s={5,6}, int64[2] b={2,2}", opset=18),
        Row("y = STFT(x,t,w)", ins="float[1,32,1] x", consts="int64 t={8}, float[8] w={1,2,3,4,4,3,2,1}"),
        Row("y = Det(x)", ins="float[2,3,3] x"),
        Row("y = GlobalLpPool(x)"),
        Row("c = CastLike(x,x) y = Relu(c)"),
        *(Row(f"q = {name}(x) y = Cast<to=1>(q)") for name in ("IsNaN", "IsInf")),
        Row("q,s,z = DynamicQuantizeLinear(x) y = DequantizeLinear(q,s,z)"),
        Row(
            "q,s,z = DynamicQuantizeLinear(x) i = MatMulInteger(q,w) y = Cast<to=1>(i)",
            ins=FLAT,
            consts="uint8[12,1] w={1,2,3,4,5,6,7,8,9,10,11,12}",
            then="crash",
        ),
        Row("s = SplitToSequence<axis=1>(x) y = SequenceAt(s,i)", ins=FLAT, consts="int64 i={1}"),
        Row("s = SequenceConstruct(x,x) y = ConcatFromSequence<axis=1>(s)", ins=FLAT),
    ],
    "N4.gathernd": [Row("y = GatherND(x,i)", ins="float[3,4] x", consts="int64[2,2] i={2,0,1,3}")],
    "N4.cumsum": [Row("y = CumSum(x,a)", ins=FLAT, consts="int64 a={1}")],
    "N4.tile": [Row("y = Tile(x,r)", consts="int64[4] r={1,2,1,2}")],
    "N4.eye": [Row("e = EyeLike(x) y = Add(x,e)", ins="float[5,5] x")],
    "N4.dft": [Row("y = DFT<axis=1>(x)", ins="float[1,16,1] x")],
    "N4.grid": [Row("y = AffineGrid(t,s)", ins="float[1,2,3] t", consts="int64[4] s={1,3,5,6}", opset=20)],
    "N4.hardmax": [Row("y = Hardmax(x)", "y = Softmax(x)", ins=FLAT)],
    "N4.quantize": [
        Row("q = QuantizeLinear(x,s,z) y = DequantizeLinear(q,s,z)", consts="float s={0.05}, uint8 z={128}")
    ],
    "N4.where": [
        *(
            Row(f"q = {name}(x,z) y = Cast<to=1>(q)", consts="float z={0}")
            for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
        ),
        *(
            Row(f"p = Greater(x,z) q = Less(x,o) r = {name}(p,q) y = Cast<to=1>(r)", consts="float z={0}, float o={1}")
            for name in ("And", "Or", "Xor")
        ),
        Row("p = Greater(x,z) r = Not(p) y = Cast<to=1>(r)", consts="float z={0}"),
        Row("p = Greater(x,z) y = Where(p,x,z)", consts="float z={0}"),
    ],
    "N4.mean": [Row("y = Mean(a,b)", "y = Sum(a,b)", ins="float[1,5] a, float[1,5] b")],
    "N4.onehot": [Row("y = OneHot(i,d,v)", ins="int64[4] i", consts="int64[1] d={5}, float[2] v={0.5,2}")],
    "N4.scatter": [
        Row("y = ScatterND(x,i,u)", ins="float[4,5] x, float[2,5] u", consts="int64[2,1] i={2,0}"),
    ],
    "N4.control": [
        Row(
            "m = ReduceMax<keepdims=0>(x) q = Greater(m,z) "
            "y = If(q) <then_branch = a () => (float[1,12] u) { u = Relu(x) }, "
            "else_branch = b () => (float[1,12] v) { v = Neg(x) }>",
            ins=FLAT,
            consts="float z={0}",
        ),
        Row(
            "y = Loop<body = b (int64 i, bool c, float[1,12] a) => (bool d, float[1,12] e) "
            "{ d = Identity(c) e = Add(a,a) }>(n,,x)",
            ins=FLAT,
            consts="int64 n={3}",
        ),
        Row(
            "z, y = Scan<num_scan_inputs=1, body = b (float[4] a, float[4] v) => (float[4] n, float[4] o) "
            "{ n = Add(a,v) o = Identity(n) }>(h,x)",
            ins="float[4] h, float[5,4] x",
        ),
    ],
    "N4.norm": [
        Row("y = LpNormalization<axis=1>(x)"),
        Row("y = MeanVarianceNormalization(x)"),
    ],
    "N4.pool": [
        Row("y = LpPool<kernel_shape=[2,2],strides=[2,2]>(x)", "y = AveragePool<kernel_shape=[2,2],strides=[2,2]>(x)")
    ],
    "N4.shape": [Row("s = Size(x) f = Cast<to=1>(s) y = Mul(x,f)", ins="float[1,n] x", at=sized("n=5", "n=9"))],
    "N4.body": [
        Row("y = Softsign(x)"),
        Row("y = ThresholdedRelu(x)"),
        Row("y = Attention(q,q,q)", ins="float[1,2,5,4] q", opset=23),
        Row("y = RotaryEmbedding(x,c,s)", ins="float[1,2,3,4] x, float[1,3,2] c, float[1,3,2] s", opset=23),
    ],
    "N4.d2s": [
        Row(
            "y = DepthToSpace<blocksize=2>(x)",
            'y = DepthToSpace<blocksize=2,mode="CRD">(x)',
            ins="float[1,8,3,4] x",
        )
    ],
    "N4.dilation": [
        Row(
            f"y = {name}<kernel_shape=[2,2],strides=[1,1],dilations=[2,2]>(x)",
            f"y = {name}<kernel_shape=[2,2],strides=[1,1]>(x)",
            opset=19,
        )
        for name in ("MaxPool", "AveragePool")
    ],
    "N5": [
        Row("y = Gather<axis=1>(x,i)", "y = Gather<axis=1>(x,j)", consts="int64[2] i={2,0}, int64 j={1}"),
        Row("y = Gather<axis=2>(x,i)", ins="float[1,3,8] x", consts="int64[3] i={2,0,7}"),
    ],
    "N5.axis": [
        Row(
            "r = Relu(x) y = Gather(r,k)",
            "r = Relu(x) y = Gather<axis=0>(r,k)",
            ins="float[5,4] x",
            consts="int64 k={1}",
        )
    ],
    "N5.lookup": [
        Row(
            "g = Gather<axis=0>(v,i) y = Relu(g)",
            "g = Gather(v,i) y = Relu(g)",
            ins="int64[1,3] i",
            consts=f"float[12,4] v={{{numbers((12, 4))}}}",
        )
    ],
    "N5.table": [
        Row(
            "g = Gather(w,i) y = Relu(g)",
            "g = Gather(v,i) y = Relu(g)",
            ins="int64[1,3] i",
            consts=f"float[5,4] w={{{numbers((5, 4))}}}, float[12,4] v={{{numbers((12, 4))}}}",
        )
    ],
    "N5.input": [
        Row(
            "g = Gather<axis=0>(x,i) y = Relu(g)",
            ins="float[5,4] x, int64 i",
        ),
        Row("g = Gather<axis=1>(x,i) y = Relu(g)", ins="float[1,5,4] x, int64 i"),
    ],
    "N6": [
        *(
            Row(
                f"t = Transpose<perm=[1,0,2]>(x) q,{out} = {name}<hidden_size=4{reset}>(t,W,R) y = Squeeze({take},one)",
                ins=SEQUENCE,
                consts=f"{ONE}, {weights(RNN[name])}",
            )
            for name, out, take, reset in (
                ("LSTM", "h,c", "h", ""),
                ("LSTM", "h,c", "c", ""),
                ("GRU", "h", "h", GRU),
                ("RNN", "h", "h", ""),
            )
        ),
    ],
    "N6.tail": [
        Row(
            f"t = Transpose<perm=[1,0,2]>(x) y = {name}<hidden_size=4{reset}>(t,W,R)",
            TAIL.format(f"q = {name}<hidden_size=4{reset}>(t,W,R)"),
            ins=SEQUENCE,
            consts=f"{ONE}, {weights(RNN[name])}",
        )
        for name, reset in (("LSTM", ""), ("GRU", GRU), ("RNN", ""))
    ],
    "N6.reverse": [rnn(name, ',direction="reverse"') for name in RNN],
    "N6.lengths": [rnn(name, tail=",,l", more=", int32[1] l={3}") for name in RNN],
    "N6.reset": [
        Row(
            TAIL.format("q = GRU<hidden_size=4>(t,W,R,B)"),
            TAIL.format("q = GRU<hidden_size=4,linear_before_reset=1>(t,W,R,B)"),
            ins=SEQUENCE,
            consts=f"{ONE}, {weights(3)}{BIAS['GRU']}",
        )
    ],
    "N6.relu": [rnn("RNN", ',activations=["Relu"]')],
    "N6.state": [
        Row(
            f"q = {name}<hidden_size=4{reset}>(x,W,R,,,s{more}) y = Squeeze(q,one)",
            f"q = {name}<hidden_size=4{reset}>(x,W,R) y = Squeeze(q,one)",
            ins="float[5,2,3] x",
            consts=f"{ONE}, {weights(RNN[name])}, float[1,2,4] s={{0.5,-1,2,0.25,1,1,2,3}}",
        )
        for name, reset, more in (("LSTM", "", ",s"), ("GRU", GRU, ""), ("RNN", "", ""))
    ],
    "N7": [Row("y = Pad(x,p)", 'y = Pad<mode="constant">(x,p)', consts="int64[8] p={0,0,1,2,0,0,2,1}")],
    "N7.axes": [
        Row('y = Pad<mode="constant">(x,p,,a)', consts="int64[4] p={1,2,2,1}, int64[2] a={2,3}", opset=18),
    ],
    "N7.negative": [Row('y = Pad<mode="constant">(x,p)', consts="int64[8] p={0,0,-1,2,0,0,2,-1}")],
    "N7.batch": [Row('y = Pad<mode="constant">(x,p)', consts="int64[8] p={1,0,0,0,0,0,0,0}")],
    "N7.inf": [Row('y = Pad<mode="constant">(x,p,v)', consts="int64[8] p={0,0,1,2,0,0,2,1}, float v={-inf}")],
    "N7.computed": [
        Row(
            "s = Shape(x) h = Gather(s,i) r = Mod(h,two) p = Concat<axis=0>(o,o,o,o,o,o,r,o) "
            'y = Pad<mode="constant">(x,p)',
            ins="float[1,3,h,10] x",
            consts="int64[1] i={2}, int64[1] two={2}, int64[1] o={0}",
            at=sized("h=8", "h=9"),
        )
    ],
    "N8": [
        Row(
            "y = LayerNormalization<axis=1>(x,w,b)",
            "y = LayerNormalization<axis=2>(x,v,v)",
            ins="float[1,3,2] x",
            consts="float[3,2] w={1,2,3,4,5,6}, float[3,2] b={6,5,4,3,2,1}, float[2] v={1,2}",
        )
    ],
    "N8.bias": [
        Row(
            "y = LayerNormalization(x,w)",
            "y = LayerNormalization(x,w,w)",
            ins="float[1,3,4] x",
            consts="float[4] w={1,2,3,4}",
        )
    ],
    "N8.group": [
        Row(
            "y = GroupNormalization<num_groups=2>(x,w,w)",
            ins="float[1,4,5,6] x",
            consts="float[2] w={1,2}",
            outs="float[1,4,5,6] y",
            opset=18,
        )
    ],
    "N8.instance": [
        Row("y = InstanceNormalization(x,w,w)", ins="float[1,3,8] x", consts="float[3] w={1,2,3}"),
    ],
    "N9": [Row(f"y = {name}<axis=1>(x)", f"y = {name}<axis=3>(x)", opset=11) for name in ("Softmax", "LogSoftmax")],
    "N10": [
        Row(
            "y = PRelu(x,w)",
            "y = PRelu(x,v)",
            ins="float[1,3,2,2] x",
            consts=f"float[1,3,2,2] w={{{numbers((12,))}}}, float[3,1,1] v={{0.1,0.2,0.3}}",
        ),
        Row("y = PRelu(x,w)", ins="float[1,3,2,2] x", consts="float[2] w={0.1,0.5}"),
    ],
    "N10.shrink": [Row("y = Shrink<lambd=0.3,bias=0.2>(x)")],
    "N11": [
        Row("m = ReduceMax<keepdims=0>(x) y = Clip(x,,m)", "y = Clip(x,,z)", ins=FLAT, consts="float z={0.5}"),
        Row("m = ReduceMin<keepdims=0>(x) y = Clip(x,m)", ins=FLAT),
    ],
    "N12": [
        Row(f"a = Abs(x) y = {name}(a,k)", f"a = Abs(x) y = {name}(a,l)", **AXES)
        for name in ("ReduceMean", "ReduceL1", "ReduceL2", "ReduceLogSumExp")
    ],
    "N12.sum": [Row("y = ReduceSum(x,k)", "y = ReduceSum(x,l)", **{**AXES, "opset": 13})],
    "N12.input": [
        Row(f"a = Abs(x) y = {name}(a,l)", f"a = Abs(x) y = {name}(a)", **AXES)
        for name in ("ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceLogSum")
    ],
    "N12.computed": [
        Row(f"y = {name}(x,a)", ins="float[1,5,6,3] x, int64[1] a", given={"a": [1]}, opset=18)
        for name in ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd")
    ],
    "N12.noop": [
        Row(f"a = Abs(x) y = {name}<noop_with_empty_axes=1>(a)", ins="float[1,5,6] x", opset=18) for name in REDUCED
    ],
    "N13": [
        Row(f"y = {name}(a,b,c)", f"d = {name}(a,b) y = {name}(d,c)", ins="float[2,5] a, float[2,5] b, float[1,5] c")
        for name in ("Max", "Min")
    ],
    "N14": [Row("y = Pow(x,e)", "y = Pow(x,f)", consts="int64 e={3}, float f={2}")],
    "N14.power": [
        Row("y = Pow(x,f)", "y = Pow(x,two)", consts=f"float f={{{power}}}, float two={{2}}") for power in (3, 4, -1)
    ],
    "N15.free": [
        Row(
            "r = Relu(x) y = Slice(r,s,e,a)",
            "r = Relu(x) y = Slice(r,o,f,a)",
            ins="float[1,3,h,w] x",
            consts=f"int64[1] s={{{s}}}, int64[1] e={{{e}}}, int64[1] a={{3}}, int64[1] o={{0}}, int64[1] f={{4}}",
            at=({"h": 9, "w": 11}, {"h": 13, "w": 7}),
        )
        for s, e in ((0, -2), (1, 2**31))
    ],
    "N15": [
        Row(
            "y = Slice(x,b,e,a,s)",
            "y = Slice(x,b,e,a)",
            consts="int64[1] b={1}, int64[1] e={9}, int64[1] a={3}, int64[1] s={2}",
        )
    ],
    "N15.axes": [
        Row(
            "r = Relu(x) y = Slice(r,b,e)",
            "r = Relu(x) y = Slice(r,b,e,a)",
            ins="float[1,6] x",
            consts="int64[2] b={0,1}, int64[2] e={1,4}, int64[2] a={0,1}",
        )
    ],
    "N15.computed": [
        Row(
            "s = Shape(x) w = Gather(s,i) h = Div(w,two) y = Slice(x,o,h,i)",
            ins="float[1,3,8,w] x",
            consts="int64[1] i={3}, int64[1] two={2}, int64[1] o={0}",
            at=sized("w=10", "w=14"),
        )
    ],
    "N16": [Row("y = SpaceToDepth<blocksize=2>(x)")],
    "N17": [
        Row("a,y = Split<axis=1,num_outputs=2>(x)", "a,y = Split<axis=2,num_outputs=2>(x)", outs="a,y", opset=18),
    ],
    "N18.perm": [Row("t = Transpose(x) y = Relu(t)", "t = Transpose<perm=[1,0]>(x) y = Relu(t)", ins="float[5,4] x")],
    "N18": [
        Row(
            "r = Reshape(x,s) t = Transpose<perm=[0,4,2,3,1]>(r) y = Reshape(t,u)",
            "r = Reshape(x,s) t = Transpose<perm=[0,2,1,3,4]>(r) y = Reshape(t,v)",
            ins="float[1,12,4,5] x",
            consts="int64[5] s={1,3,4,4,5}, int64[4] u={1,20,4,3}, int64[4] v={1,12,4,5}",
        )
    ],
    "N18.reshape": [
        Row(
            "y = Reshape(x,s)",
            "y = Reshape(x,t)",
            ins="float[1,12,4,5] x",
            consts="int64[5] s={1,3,4,4,5}, int64[4] t={1,3,4,20}",
        )
    ],
    "N18.matmul": [
        Row(
            "r = Reshape(x,s) m = MatMul(r,w) y = Reshape(m,u)",
            ins="float[1,12,4,5] x",
            consts="int64[5] s={1,3,4,4,5}, float[5,2] w={1,2,3,4,5,6,7,8,9,1}, int64[4] u={1,12,4,2}",
        ),
    ],
    "N18.einsum": [
        Row(
            'r = Reshape(x,s) m = Einsum<equation="abcde,ef->abcdf">(r,w) y = Reshape(m,u)',
            ins="float[1,12,4,5] x",
            consts="int64[5] s={1,3,4,4,5}, float[5,2] w={1,2,3,4,5,6,7,8,9,1}, int64[4] u={1,12,4,2}",
        ),
    ],
    "N19": [
        Row(
            'y = Einsum<equation="...ij,...jk->...ik">(x,z)',
            'y = Einsum<equation="bij,bjk->bik">(x,z)',
            ins="float[2,3,4] x, float[2,4,5] z",
            tries=3,
        )
    ],
    "N20": [
        Row(conv("Conv", 'auto_pad="SAME_LOWER"'), conv("Conv", 'auto_pad="SAME_UPPER"'), consts=CONV),
        Row(conv("ConvTranspose", 'auto_pad="SAME_LOWER"'), conv("ConvTranspose", "pads=[1,1,1,1]"), consts=CONVT),
    ],
    "N20.pool": [
        Row(
            'y = MaxPool<kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_UPPER">(x)',
            "y = MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)",
        ),
        *(
            Row(
                f'y = AveragePool<kernel_shape=[3,3],strides=[1,1],auto_pad="{auto}">(x)',
                "y = AveragePool<kernel_shape=[3,3],strides=[1,1],pads=[1,1,1,1]>(x)",
            )
            for auto in ("SAME_UPPER", "SAME_LOWER")
        ),
    ],
    "N20.transpose": [
        Row(conv("ConvTranspose", 'auto_pad="SAME_UPPER"'), consts=CONVT),
        Row(conv("ConvTranspose", 'auto_pad="VALID"'), conv("ConvTranspose", 'auto_pad="NOTSET"'), consts=CONVT),
    ],
    "N20.shape": [
        Row(conv("ConvTranspose", "output_shape=[16,20]"), conv("ConvTranspose", "pads=[0,0,0,0]"), consts=CONVT)
    ],
    "N20.asymmetric": [Row(conv("ConvTranspose", "pads=[0,1,1,0]"), consts=CONVT)],
    "N21": [
        Row(
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x)",
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=0,count_include_pad=1>(x)",
            opset=19,
        ),
        Row(
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1,count_include_pad=1>(x)",
            "y = AveragePool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1,count_include_pad=1>(x)",
        ),
        Row(
            "y = AveragePool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1,count_include_pad=1>(x)",
            "y = AveragePool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1,count_include_pad=0>(x)",
            ins="float[1,3,h,w] x",
            at=({"h": 9, "w": 11}, {"h": 13, "w": 7}),
        ),
    ],
    "N21.asymmetric": [
        Row(
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[0,0,1,1]>(x)",
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)",
        )
    ],
    "N21.max": [
        Row(
            "y = MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,0,0]>(x)",
            "y = MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)",
        )
    ],
    "N21.window": [
        Row(
            "y = MaxPool<kernel_shape=[2,2],strides=[3,3],pads=[1,1,1,1],ceil_mode=1>(x)",
            "y = MaxPool<kernel_shape=[2,2],strides=[3,3],pads=[1,1,1,1],ceil_mode=0>(x)",
            ins="float[1,3,7,7] x",
            opset=22,
        )
    ],
    "N21.indices": [
        Row("p,i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) f = Cast<to=1>(i) y = Add(p,f)"),
    ],
    "N22": [Row(f"i = Cast<to={to}>(x) y = Cast<to=1>(i)", ins=FLAT) for to in (2, 3, 4, 5, 6, 7, 11, 12, 13)],
    "N22.bool": [Row("i = Cast<to=9>(x) y = Cast<to=1>(i)", ins=FLAT)],
    "N23": [
        Row(
            "s = Shape(x) b = Gather(s,i) c = Gather(s,j) t = Concat<axis=0>(b,c,m) y = Reshape(x,t)",
            ins="float[n,8,w] x",
            consts="int64[1] i={0}, int64[1] j={2}, int64[1] m={-1}",
            at=sized("n=1 w=6", "n=3 w=5"),
        ),
        Row("s = Shape(x) y = Expand(z,s)", ins="float[1,n] x, float[1,1] z", at=sized("n=5", "n=9")),
        Row("s = Shape(x) c = ConstantOfShape(s) y = Add(x,c)", ins="float[1,n] x", at=sized("n=5", "n=9")),
        *(
            Row(
                f"{LENGTHS} p = Mul(h,w) q = Unsqueeze(p,z) t = Concat<axis=0>(b,four,q) y = Reshape(x,t)",
                f"{LENGTHS} q = Unsqueeze(h,z) t = Concat<axis=0>(b,m,q) y = Reshape(x,t)",
                ins=f"float[{n},4,h,w] x",
                consts="int64 i={0}, int64 j={2}, int64 k={3}, int64[1] z={0}, int64[1] four={4}, int64[1] m={-1}",
                at=sized("n=1 h=4 w=5", f"n={3 if n == 'n' else 1} h=6 w=7"),
            )
            for n in ("n", "1")
        ),
    ],
    "N23.packed": [
        Row(
            "s = Shape(x) w = Gather(s,last) t = Concat<axis=0>(both,w) y = Reshape(x,t)",
            "s = Shape(x) w = Gather(s,last) t = Concat<axis=0>(one,rest,w) y = Reshape(x,t)",
            ins="float[1,4,6,w] x",
            consts="int64[2] both={1,-1}, int64[1] one={1}, int64[1] last={3}, int64[1] rest={-1}",
            at=sized("w=6", "w=10"),
        ),
        Row(
            "s = Shape(x) w = Gather(s,last) t = Concat<axis=0>(one,w,both) y = Reshape(x,t)",
            ins="float[1,4,6,w] x",
            consts="int64[1] one={1}, int64[2] both={4,-1}, int64[1] last={3}",
            at=sized("w=6", "w=10"),
            then="crash",
        ),
        Row(
            "s = Shape(x) w = Slice(s,one,last) t = Concat<axis=0>(one,w,rest) y = Reshape(x,t)",
            ins="float[1,4,h,w] x",
            consts="int64[1] one={1}, int64[1] last={3}, int64[1] rest={-1}",
            at=sized("h=6 w=6", "h=8 w=10"),
        ),
    ],
    "N23.resize": [
        Row(
            "u = Shape(x) p = Slice(u,o,two) v = Shape(z) q = Slice(v,two,four) t = Concat<axis=0>(p,q) "
            'y = Resize<mode="linear">(x,,,t)',
            ins="float[1,3,8,w] x, float[1,3,16,v] z",
            consts="int64[1] o={0}, int64[1] two={2}, int64[1] four={4}",
            at=sized("w=10 v=20", "w=12 v=24"),
        )
    ],
    "N23.range": [
        Row(
            "s = Shape(x) n = Gather(s,i) r = Range(o,n,i) f = Cast<to=1>(r) y = Add(x,f)",
            ins="float[1,n] x",
            consts="int64 i={1}, int64 o={0}",
            at=sized("n=5", "n=9"),
        )
    ],
    "N23.shape": [
        Row(
            "s = Shape(x) n = Gather(s,i) f = Cast<to=1>(n) y = Mul(x,f)",
            ins="float[1,n] x",
            consts="int64 i={1}",
            at=sized("n=5", "n=9"),
        )
    ],
    "N24.gemm": [
        Row(
            "q = Conv(x,k) p = GlobalAveragePool(q) f = Flatten(p) y = Gemm(f,w)",
            "q = Conv(x,k) p = GlobalAveragePool(q) f = Flatten(p) y = Gemm(f,w,c)",
            consts=f"float[4,2] w={{1,2,3,4,5,6,7,8}}, float[2] c={{1,2}}, float[4,3,1,1] k={{{numbers((12,))}}}",
        )
    ],
    "N26": [Row("y = Cast<to=1>(x)", ins=f"{kind}[1,12] x") for kind in ("uint8", "bool")],
    "N26.empty": [Row("y = Relu(x)", ins="float[1,0] x")],
    "N26.scalar": [Row("y = Mul(x,s)", ins="float[1,4] x, float s")],
    "N26.output": [Row("y = Add(x,x)", ins="int64[1,12] x")],
    "N26.constant": [Row("z = Relu(x) y = Identity(c)", outs="z,y", consts="float[3] c={1,2,3}")],
    "N26.input": [
        Row("z = Relu(x) y = Identity(x)", outs="z,y", ins=FLAT),
        Row("y = Dropout(x)", "d = Dropout(x) y = Relu(d)", ins=FLAT),
    ],
    "N27": [
        Row(f"y = {body}", ins="int64[1,12] x", consts="int64 c={2}", given={"x": [list(range(12))]}, then=then)
        for body, then in (
            *((f"{name}(x,c)", "") for name in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
            ("Mod(x,c)", "crash"),
            *((f"{name}(x)", "") for name in ("Abs", "Neg")),
        )
    ],
    "N28": [Row("y = Add(x,e)", "y = Add(x,f)", consts="float e={1e-40}, float f={1e-30}")],
    "N3.channels": [
        Row(
            'y = Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,,s)',
            'y = Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,,t)',
            consts="float[4] s={1,2,2,1}, float[4] t={1,1,2,2}",
        ),
        Row(
            'y = Resize<mode="linear">(x,,s)',
            'y = Resize<mode="linear">(x,,t)',
            consts="float[4] s={1,2,1,1}, float[4] t={1,1,2,1}",
        ),
    ],
    "N5.indices": [
        Row("g = Gather(v,i) y = Relu(g)", ins="int64[1,2,3] i", consts=f"float[12,4] v={{{numbers((12, 4))}}}"),
        Row(
            "g = Gather(v,i) y = Relu(g)",
            "g = Gather(w,i) y = Relu(g)",
            ins="int64[2,3] i",
            tries=3,
            consts=f"float[12] v={{{numbers((12,))}}}, float[12,4] w={{{numbers((12, 4))}}}",
        ),
    ],
    "N6.activations": [
        rnn("LSTM", ',activations=["Sigmoid","Tanh","Relu"]', ',activations=["Sigmoid","Tanh","Tanh"]'),
        rnn("GRU", ',activations=["HardSigmoid","Tanh"]', ',activations=["Sigmoid","Tanh"]'),
    ],
    "N6.clip": [
        *(rnn(name, ",clip=0.1", ',direction="forward"') for name in RNN),
        rnn("LSTM", ",input_forget=1", ",input_forget=0"),
    ],
    "N6.layout": [
        *(
            Row(
                f"q = {name}<hidden_size=4,layout=1{reset}>(x,W,R) y = Squeeze(q,two)",
                ins=SEQUENCE,
                consts=f"int64[1] two={{2}}, {weights(RNN[name])}",
            )
            for name, reset in (("LSTM", ""), ("GRU", GRU), ("RNN", ""))
        ),
        rnn("LSTM", tail=",B,,,,P", more=f"{BIAS['LSTM']}, float[1,12] P={{{numbers((12,))}}}"),
    ],
    "N6.weights": [
        Row(
            f"q = {name}<hidden_size=4{reset}>(x,W,R) y = Squeeze(q,one)",
            ins=f"float[5,2,3] x, float[1,{RNN[name] * 4},3] W",
            consts=f"{ONE}, {weights(RNN[name]).partition(', float[1')[2].join(('float[1', ''))}",
        )
        for name, reset in (("LSTM", ""), ("GRU", GRU), ("RNN", ""))
    ],
    "N8.lrn": [
        Row("y = LRN<size=4>(x)", "y = LRN<size=3>(x)", ins="float[1,6,5,4] x"),
    ],
    "N10.slope": [
        Row("y = PRelu(x,s)", ins="float[1,3,8,10] x, float[1] s"),
    ],
    "N10.selu": [
        Row("y = Selu<alpha=1.2,gamma=0.9>(x)", "y = Selu(x)"),
    ],
    "N10.swish": [
        Row("y = Swish<alpha=1.7>(x)", "y = Swish(x)", opset=24),
    ],
    "N12.several": [
        Row(
            f"a = Abs(x) y = {name}<axes=[2,3],keepdims={keep}>(a)",
            f"a = Abs(x) y = {name}<axes=[2],keepdims={keep}>(a)",
        )
        for name, keep in (("ReduceMax", 1), ("ReduceMin", 0))
    ],
    "N17.sizes": [
        Row(
            "a,b = Split<axis=1>(x) y = Sub(a,b)",
            "a,b = Split<axis=1>(x,p) y = Sub(a,b)",
            ins="float[1,6,4,5] x",
            consts="int64[2] p={3,3}",
        ),
        Row(
            "a,b = Split<axis=1>(x) y = Sub(a,b)",
            "a,b = Split<axis=1,split=[3,3]>(x) y = Sub(a,b)",
            ins="float[1,6,4,5] x",
            opset=11,
        ),
    ],
    "N18.taken": [
        Row(
            ATTENTION.format(taken),
            ATTENTION.format(TAKEN[2]),
            ins="float[1,3,2,5] x",
            consts=f"float[8,3,1,1] k={{{numbers((24,))}}}, float[8,24] w={{{numbers((8, 24))}}}, "
            "int64[3] s={1,8,10}, int64[5] t={1,10,3,2,4}, int64[3] v={1,10,8}, float half={0.5}, "
            "int64 zero={0}, int64 one={1}, int64 two={2}, "
            "int64[1] i0={0}, int64[1] i1={1}, int64[1] i2={2}, int64[1] i3={3}, int64[3] ones={1,1,1}",
        )
        for taken in TAKEN[:2]
    ],
    "N18.input": [
        Row("y = Relu(x)", "y = MaxPool<kernel_shape=[2,2,2],strides=[1,1,1]>(x)", ins="float[1,2,3,4,6] x"),
    ],
    "N18.joined": [
        Row(
            "a = Sin(x) b = Cos(x) u = Unsqueeze(a,k) v = Unsqueeze(b,k) y = Concat<axis=2>(u,v)",
            "a = GlobalAveragePool(x) b = Sub(x,a) u = Unsqueeze(x,k) v = Unsqueeze(b,k) y = Concat<axis=2>(u,v)",
            ins="float[1,3,4,5] x",
            consts="int64[1] k={2}",
        ),
        Row("a = Sin(x) y = Unsqueeze(a,k)", ins="float[1,3,4,5] x", consts="int64[1] k={4}", then="refused"),
    ],
    "N18.expand": [
        Row(
            "u = Unsqueeze(x,k) e = Expand(u,s) y = Reshape(e,t)",
            "c = MaxPool<kernel_shape=[1,1],strides=[1,1]>(x) u = Unsqueeze(c,k) e = Expand(u,s) y = Reshape(e,t)",
            ins="float[1,3,5,6] x",
            consts="int64[1] k={2}, int64[5] s={1,3,2,5,6}, int64[4] t={1,6,5,6}",
        ),
    ],
    "N22.from": [
        Row("f = Cast<to=1>(x) y = Sin(f)", ins="int64[1,12] x"),
    ],
    "N24.transposed": [
        Row(
            "y = Gemm<transB=1>(x,w,c)",
            "y = Gemm<transB=1>(x,w)",
            ins="float[4,6] x, float[5,6] w",
            consts="float[5] c={1,2,3,4,5}",
        ),
    ],
    "N24.weight": [
        Row(
            "r = ReduceMean<axes=[2,3]>(x) v = Mul(w,r) y = Conv<kernel_shape=[3,3]>(x,v)",
            "y = Conv<kernel_shape=[3,3]>(x,w)",
            consts=CONV,
        ),
    ],
    "N26.twin": [
        Row("z = Sin(x) y = Identity(z)", "z = Sin(x) y = Neg(z)", outs="z,y"),
    ],
    "N3.one": [
        Row(
            'y = Resize<mode="linear",coordinate_transformation_mode="pytorch_half_pixel">(x,,,s)',
            'y = Resize<mode="linear",coordinate_transformation_mode="pytorch_half_pixel">(x,,,t)',
            consts="int64[4] s={1,3,1,5}, int64[4] t={1,3,2,5}",
        ),
    ],
    "N3.flat": [
        Row('y = Resize<mode="linear">(x,,s)', ins="float[5,6] x", consts="float[2] s={2,2}"),
    ],
    "N15.end": [
        Row(
            "r = Relu(x) y = Slice(r,s,e,a)",
            "r = Relu(x) y = Slice(r,s,f,a)",
            consts=f"int64[1] s={{1}}, int64[1] e={{{2**33 + 2}}}, int64[1] f={{{2**63 - 1}}}, int64[1] a={{3}}",
        ),
    ],
    "N24.row": [
        Row(
            "y = Gemm(x,w,c)",
            "y = Gemm(x,w,d)",
            ins="float[4,6] x",
            consts=f"float[6,5] w={{{numbers((6, 5))}}}, float[{dims}] c={{{values}}}, float[5] d={{1,2,3,4,5}}",
        )
        for dims, values in (("1,5", "1,2,3,4,5"), ("1", "3"), ("4,1", "1,2,3,4"))
    ],
    "N24.alpha": [
        Row(
            "y = Gemm<alpha=0.5>(x,w)",
            "y = Gemm(x,w)",
            ins="float[4,6] x",
            consts=f"float[6,5] w={{{numbers((6, 5))}}}",
        ),
    ],
}
