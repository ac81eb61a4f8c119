"""OpenVINO's rules, each by models of a node or two."""

from __future__ import annotations

from _rows import Row, sized

OFFSETS = "float[1,3,8,10] x, float[1,2,8,10] o"
FREE = "float[n,m,3] x"
RESIZE = 'y = Resize<mode="linear"%s>(x,,%s)'
LAST = "y = %s<kernel_shape=[2,2], strides=[3,3], pads=[0,0,1,1], ceil_mode=%d>(x)"
RANKS = (
    "o = Constant<value_ints=[1]>() i = Constant<value_int=1>() s = Shape(x) d = Gather(s, i) q = Equal(d, i) "
    "y = If(q) <then_branch = a () => (float[n,3] u) { u = Squeeze(x, o) }, "
    "else_branch = b () => (float[n,m,3] v) { v = Relu(x) }>"
)
SIX = "0.5,-0.25,1,0.75,-1,0.5"
GATES = ", ".join(
    f"float[1,{rest}] {name}={{{','.join(([*SIX.split(',')] * 3)[:count])}}}"
    for name, rest, count in (("W", "8,1", 8), ("R", "8,2", 16), ("P", "6", 6))
)
SLOPES = "float[4] s={0.1,0.2,0.3,0.4}"
REGION = "y = RoiAlign<output_height=2,output_width=3,sampling_ratio=2,spatial_scale=0.5%s>(x,r,b)"
REGIONS = "float[2,3,8,10] x, float[2,4] r"
BOXES = {"r": [[0, 0, 5, 6], [2, 1, 9, 7]]}
NEAREST = 'y = Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,,s)'
BATCHES = "float[4] s={2,1,1,1}, float[4] t={1,1,2,2}"
# Integers of more than 32 bits: whatever is done with them.
LARGE = "int64 b={2147483657}, int64[4] e={1,2,0,1}, bool[4] c={1,0,1,0}"
WIDE = [
    Row(f"y = {body}", ins="int64[4] x", consts=LARGE, given={"x": [2**31 + 5, 2**31 + 9, 2**31 + 20, -3]})
    for body in (
        *("Add(x,b)", "Sub(b,x)", "Mul(x,b)", "Div(x,b)", "Mod(x,b)", "Pow(b,e)", "Max(x,b)", "Min(x,b)"),
        *("Where(c,x,b)", "Equal(x,b)", "Greater(x,b)", "Less(x,b)", "GreaterOrEqual(x,b)", "LessOrEqual(x,b)"),
    )
]

ROWS = {
    "V1": [Row("y = Softmax<axis=1>(x)", "y = Softmax<axis=3>(x)", opset=11)],
    "V2": [
        Row(RESIZE % (",antialias=1", "s"), RESIZE % ("", "s"), consts="float[4] s={1,1,0.5,0.5}", opset=18),
    ],
    "V3": [*WIDE, Row("y = Add(x,e)", ins="int64[4] x", consts="int64[4] e={1,2,0,2147483657}", good="y = Add(x,x)")],
    "V4.gridsample": [Row("y = GridSample(x,g)", ins="float[1,2,4,5,6] x, float[1,2,3,4,3] g", opset=20)],
    "V4.resize": [
        Row(
            'y = Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize">(x,r,,s)',
            'y = Resize<mode="linear",coordinate_transformation_mode="align_corners">(x,,,s)',
            consts="int64[4] s={1,3,13,17}, float[8] r={0,0,0.1,0.2,1,1,0.8,0.9}",
        ),
        Row(
            'y = Resize<mode="linear",coordinate_transformation_mode="half_pixel_symmetric">(x,,,s)',
            RESIZE % ("", ",s"),
            consts="int64[4] s={1,3,13,17}",
            opset=19,
        ),
    ],
    "V4.pad": [
        Row(
            'y = Pad<mode="wrap">(x,p)',
            'y = Pad<mode="reflect">(x,p)',
            consts="int64[8] p={0,0,1,2,0,0,2,1}",
            opset=19,
        )
    ],
    "V4.deform": [
        Row("y = DeformConv<kernel_shape=[1,1]>(x,w,o)", ins=OFFSETS, consts="float[2,3,1,1] w={1,2,3,4,5,6}", opset=19)
    ],
    "V6": [
        Row(
            RESIZE % (',keep_aspect_ratio_policy="not_larger"', ",s"),
            RESIZE % ("", ",s"),
            consts="int64[4] s={1,3,13,17}",
            opset=18,
        ),
        Row(
            'y = Resize<mode="cubic",exclude_outside=1>(x,,,s)',
            'y = Resize<mode="cubic">(x,,,s)',
            consts="int64[4] s={1,3,13,17}",
        ),
    ],
    "V7": [
        Row(f"a = Abs(x) y = {name}<axes=[1]>(a)", f"a = Abs(x) y = {name}(a)", ins="float[2,5,6] x")
        for name in ("ReduceL1", "ReduceLogSum", "ReduceLogSumExp")
    ],
    "V8": [
        Row("y = GatherElements<axis=1>(x,i)", ins="float[3,4] x, int64[2,2] i"),
        Row("y = GatherElements<axis=1>(x,i)", ins="float[3,4] x, int64[2,4] i"),
    ],
    "V9": [
        Row(
            "y = AveragePool<kernel_shape=[2,2],strides=[2,2],pads=[1,1,0,0],ceil_mode=1,count_include_pad=1>(x)",
            "y = AveragePool<kernel_shape=[2,2],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x)",
            ins="float[1,3,8,10] x",
            opset=19,
        ),
        Row(
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x)",
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=0,count_include_pad=1>(x)",
            opset=19,
        ),
    ],
    "V10": [
        Row(LAST % ("MaxPool", 1), LAST % ("MaxPool", 0), ins="float[1,3,9,9] x", opset=22),
        Row(
            LAST % ("MaxPool", 1),
            "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1>(x)",
            ins="float[1,3,h,9] x",
            opset=22,
            at=sized("h=9", "h=10"),
        ),
    ],
    "V11": [
        Row(
            "p,i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) y = MaxUnpool<kernel_shape=[2,2],strides=[2,2]>(p,i)",
            "y,i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x)",
        ),
        Row("y = Det(x)", ins="float[2,3,3] x"),
    ],
    "V11.constant": [
        Row(
            "w = MelWeightMatrix(a,b,c,d,e) y = MatMul(x,w)",
            ins="float[2,9] x",
            consts="int64 a={4}, int64 b={16}, int64 c={8000}, float d={20}, float e={4000}",
        )
    ],
    "V12": [
        Row(
            "y = my.Twice(x)",
            "y = Add(x,x)",
            after='<domain: "my", opset_import: ["" : 17]> Twice (a) => (b) { b = Add(a,a) }',
        )
    ],
    "V13": [Row(RANKS, ins=FREE, at=sized("n=2 m=1", "n=2 m=4"))],
    "V14": [
        Row(
            "w = DequantizeLinear<axis=0>(q,s) y = MatMul(x,w)",
            "w = DequantizeLinear<axis=1>(q,t) y = MatMul(x,w)",
            ins="float[2,4] x",
            consts="int8[4,2] q={1,2,3,4,5,6,7,-8}, float[4] s={0.5,0.25,1,2}, float[2] t={0.5,0.25}",
        )
    ],
    "V15": [
        Row(
            f"y = ConvTranspose<kernel_shape=[3,3],strides=[2,2],{how}>(x,w)",
            "y = ConvTranspose<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],output_padding=[1,1]>(x,w)",
            ins="float[n,2,5,6] x",
            consts=f"float[2,1,3,3] w={{{','.join(map(str, range(18)))}}}",
            at=sized("n=1", "n=2"),
        )
        for how in ('auto_pad="SAME_UPPER"', "output_shape=[9,12]")
    ],
    "V16": [
        Row(
            f"y,h,c = LSTM<hidden_size=2{how}>(x,W,R,,,,{last})",
            "y,h,c = LSTM<hidden_size=2>(x,W,R)",
            ins="float[5,1,1] x",
            consts=GATES,
        )
        for how, last in (("", ",P"), (",input_forget=1", ""))
    ],
    "V16.gates": [
        Row(
            'y,h,c = LSTM<hidden_size=2,activations=["HardSigmoid","Tanh","Tanh"]>(x,W,R)',
            "y,h,c = LSTM<hidden_size=2>(x,W,R)",
            ins="float[5,1,1] x",
            consts=GATES,
        ),
        Row(
            'y,h = GRU<hidden_size=2,activations=["HardSigmoid","Tanh"]>(x,V,S)',
            "y,h = GRU<hidden_size=2>(x,V,S)",
            ins="float[5,1,1] x",
            consts=f"float[1,6,1] V={{{SIX}}}, float[1,6,2] S={{{SIX},{SIX}}}",
        ),
    ],
    "V17": [Row("y = GlobalLpPool(x)", "y = GlobalMaxPool(x)", ins="float[n,3,8,10] x", at=sized("n=1", "n=2"))],
    "V18": [
        Row(
            "y = MatMul(x,w)",
            "y = MatMul(x,v)",
            ins="float[1,n,2] x",
            consts="float[2,2,1] w={1,2,3,4}, float[1,2,1] v={1,2}",
            at=sized("n=3", "n=4"),
        ),
        Row(
            "y = MatMul(x,w)",
            ins="float[n,2] x",
            consts="float[2,2,1] w={1,2,3,4}",
            at=sized("n=3", "n=4"),
            then="refused",
        ),
    ],
    "V19": [
        Row(
            f"y = {name}<kernel_shape=[1,1]>(x,w)",
            f"y = {name}<kernel_shape=[1,1]>(x,v)",
            ins="float[1,3,8,10] x, float[n,3,1,1] w, float[3,3,1,1] v",
            at=sized("n=3"),
        )
        for name in ("Conv", "ConvTranspose")
    ],
    "V20": [
        Row("y = LRN<size=5>(x)", "y = Relu(x)", ins="float[n,c,h,w] x", at=sized("n=2 c=3 h=8 w=10")),
        Row("y = PRelu(x,s)", "y = Mul(x,s)", ins="float[n,c,h,4] x", consts=SLOPES, at=sized("n=2 c=3 h=8")),
    ],
    "V26": [
        Row(
            f"m = MatMul(x,w) y = {name}(m,c)",
            f"m = MatMul(x,w) y = {name}(m,d)",
            ins="float[n,4,2,2] x",
            consts="float[2,4] w={1,2,3,4,-5,6,-7,8}, float[4,1,1] c={1,2,3,4}, float[4] d={1,2,3,4}",
            at=sized("n=1", "n=2"),
        )
        for name in ("Add", "Sub", "PRelu")
    ],
    "V21": [
        Row("y = Unique<sorted=0>(x)", "y = Unique(x)", ins="float[5] x", given={"x": [2, 3, 1, 3, 0]}),
    ],
    "V22": [
        Row(
            "y = Compress(x,k)",
            "y = Compress<axis=1>(x,k)",
            ins="float[n,4] x",
            consts="bool[4] k={0,1,1,0}",
            at=sized("n=2", "n=3"),
        )
    ],
    "V23": [Row(REGION % ',mode="max"', REGION % "", ins=REGIONS, consts="int64[2] b={0,1}", given=BOXES)],
    "V24": [
        Row(
            "s = SplitToSequence<axis=0>(x) a = SequenceAt(s,k) y = Relu(a)",
            ins="float[n,4] x",
            consts="int64 k={1}",
            at=sized("n=2", "n=3"),
        )
    ],
    "V25": [Row(NEAREST, NEAREST.replace("s)", "t)"), ins="float[2,3,4,5] x", consts=BATCHES)],
}
