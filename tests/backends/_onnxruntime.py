"""ONNX Runtime's rules, each by models of a node or two."""

from __future__ import annotations

from _mnn import RNN, weights
from _rows import Row

SCALES = "float[4] s={1,1,2,2}"

WIDE = "int64[1,4,2,3] x"
TWICE = 'y = Resize<mode="nearest">(x,,s)'

ROWS = {
    "O1": [Row("y = my.Whirl(x)", "y = Relu(x)", outs="float[1,3,8,10] y")],
    "O2": [
        Row(
            f"y = {name}<hidden_size=4,layout=1>(x,W,R)",
            f"y = {name}<hidden_size=4>(x,W,R)",
            ins="float[2,5,3] x",
            consts=weights(gates),
        )
        for name, gates in RNN.items()
    ],
    "O3": [
        Row("y = Relu(x)", "y = Abs(x)", ins=WIDE),
        Row(TWICE, TWICE.replace("x,", "f,").replace("y =", "f = Cast<to=1>(x) y ="), ins=WIDE, consts=SCALES),
        Row("y = DepthToSpace<blocksize=2>(x)", "f = Cast<to=1>(x) y = DepthToSpace<blocksize=2>(f)", ins=WIDE),
    ],
    "O4": [
        Row(
            f"y = {name}<kernel_shape=[1,1]>(x,w)",
            f"f = Cast<to=1>(x) v = Cast<to=1>(w) y = {name}<kernel_shape=[1,1]>(f,v)",
            ins="double[1,2,3,4] x",
            consts="double[2,2,1,1] w={1,2,3,4}",
        )
        for name in ("Conv", "ConvTranspose")
    ],
}
