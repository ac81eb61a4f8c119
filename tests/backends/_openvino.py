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
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x)",
            "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=0,count_include_pad=1>(x)",
            opset=19,
        )
    ],
    "V10": [Row(LAST % ("MaxPool", 1), LAST % ("MaxPool", 0), ins="float[1,3,9,9] x", opset=22)],
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
}
