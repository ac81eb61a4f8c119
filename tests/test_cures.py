"""The cures: passes that spell an operator as a compiler has it, each on models of a node or two.

A row is a pass, the opset, and a model. It is applied with everything verified, sites too; a second run finds
nothing more to do, and the operator that a pass takes away is gone. The same text is then taken at other opsets and
in other element types, as far as ONNX has it there; and what comes of a pass is spoilt, which must be seen.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from _cures import rewritten, side_by_side, spoilt, verified

from surgery.testing import parse

GONE = {  # operators that a pass takes away wherever it is done
    "onehot-gather": {"OneHot"},
    "resize-matmul": {"Resize"},
    "reduce-forms": {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"},
    "einsum-matmul": {"Einsum"},
    "scatter-matmul": {"ScatterND"},
    "where-arithmetic:form=arithmetic": {"Where"},
    "norm-forms": {"GroupNormalization", "LpNormalization", "MeanVarianceNormalization", "RMSNormalization"},
    "function-bodies": {"Mish", "Swish", "Gelu", "RotaryEmbedding", "Attention"},
    "unroll": {"If", "Loop", "Scan"},
}

CURED = [
    ("comparison-forms", 13, "g (float[n,1] a, float[1,5] b) => (bool[n,5] y) { y=Less(a,b) }"),
    ("comparison-forms", 13, "g (float[n,1] a, float[1,5] b) => (bool[n,5] y) { y=Greater(a,b) }"),
    ("comparison-forms", 13, "g (float[n,5] a) => (bool[n,5] y) <float[5] b={-1,0,1,-2,2}> { y=LessOrEqual(a,b) }"),
    ("comparison-forms", 13, "g (float[n,5] a, float[n,5] b) => (bool[n,5] y) { y=GreaterOrEqual(a,b) }"),
    ("cast-bool", 13, "g (int64[n,5] x) => (bool[n,5] y) { y=Cast<to=9>(x) }"),
    ("matmul-forms", 13, "g (float[n,4,3] a) => (float[n,4] y) <float[3] w={1,2,3}> { y=MatMul(a,w) }"),
    (
        "norm-forms",
        17,
        "g (float[2,3] x) => (float[2,3] y) <float[2,3] s={1,2,3,4,5,6}> { y=LayerNormalization<axis=0>(x,s) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,3] x) => (float[n,3] y) <float[1] s={2}, float[3] b={1,2,3}> { y=LayerNormalization(x,s,b) }",
    ),
    (
        "slice-matmul:form=gather",
        13,
        "g (float[n,3,4,5] x) => (float[n,3,4,5] y) "
        "<int64[1] s={-1}, int64[1] e={-9}, int64[1] a={1}> { y=Slice(x,s,e,a,s) }",
    ),
    ("explicit-attributes", 13, "g (float[n,5] x) => (float[n,5] y) { s=Shape(x) c=ConstantOfShape(s) y=Add(x,c) }"),
    (
        "onehot-gather",
        17,
        "g (int64[n,3] i) => (float[n,3,5] y) <int64[1] d={5}, float[2] v={0.5,2}> { y=OneHot(i,d,v) }",
    ),
    (
        "onehot-gather",
        11,
        "g (int64[n,3] i) => (float[n,5,3] y) <int64[1] d={5}, float[2] v={0.5,2}> { y=OneHot<axis=1>(i,d,v) }",
    ),
    (
        "onehot-gather",
        17,
        "g (float[n,5] x) => (float[n,5] y) <int64[1] d={5}, float[2] v={0,1}> { "
        "i=ArgMax<axis=1,keepdims=0>(x) y=OneHot(i,d,v) }",
    ),
    (
        "softmax-flatten",
        11,
        "g (float[n,3,4] x) => (float[n,3,4] y) { y=Softmax(x) }",
    ),
    (
        "nonnegative-indices",
        13,
        "g (float[n,3,4] x) => (float[n,2,4] y) <int64[2] i={-1,1}>{ y=Gather<axis=1>(x,i) }",
    ),
    (
        "nonnegative-indices",
        13,
        "g (float[n,m] x, int64[n,2] i) => (float[n,2] y) { y=GatherElements<axis=-1>(x,i) }",
    ),
    (
        "nonnegative-indices",
        13,
        "g (float[n,m,4] x, int64[5,2] i) => (float[5,4] y) { y=GatherND(x,i) }",
    ),
    (
        "nonnegative-indices",
        16,
        "g (float[3,m,4] x, int64[2,2] i, float[2,4] u) => (float[3,m,4] y) { y=ScatterND(x,i,u) }",
    ),
    (
        "inline-functions",
        17,
        '<ir_version:8, opset_import:["":17,"my":1]> g (float[n,4] x) => (float[n,4] y) { '
        'y=my.F<k:float=2.0>(x) } <domain:"my",opset_import:["":17]> F<k>(a)=>(b){ '
        "c=Constant<value_float:float=@k>() d=Mul(a,c) b=Relu(d)}",
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        'c={1,1,1.8,1.5}>{ y=Resize<mode="cubic">(x,e,c) }',
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        "c={1,1,1.8,1.5}>{ "
        'y=Resize<mode="cubic",coordinate_transformation_mode="align_corners",exclude_outside=0>(x,e,c) }',
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        "c={1,1,1.8,1.5}>{ "
        'y=Resize<mode="cubic",coordinate_transformation_mode="half_pixel",exclude_outside=1>(x,e,c) }',
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        "c={1,1,1.8,1.5}>{ "
        'y=Resize<mode="nearest",nearest_mode="ceil",coordinate_transformation_mode="half_pixel">(x,e,c) }',
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        'c={1,1,1.8,1.5}>{ y=Resize<mode="linear",coordinate_transformation_mode="asymmetric">(x,e,c) }',
    ),
    (
        "resize-matmul",
        18,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        'c={1,1,1.8,1.5}>{ y=Resize<mode="linear",antialias=1>(x,e,c) }',
    ),
    (
        "resize-matmul",
        19,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        "c={1,1,1.8,1.5}>{ "
        'y=Resize<mode="linear",coordinate_transformation_mode="half_pixel_symmetric">(x,e,c) }',
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,3,5,7] x) => (float[n,2,6,9,10] y) <float[0] e={}, float[5] c={1,1,2,1.8,1.5}>{ "
        'y=Resize<mode="linear">(x,e,c) }',
    ),
    (
        "resize-repeat",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,10,21] y) <float[0] e={}, float[4] c={1,1,2,3}>{ "
        'y=Resize<mode="nearest">(x,e,c) }',
    ),
    (
        "resize-repeat:form=ceil",
        13,
        "g (float[n,2,h,w] x) => (float[n,2,a,b] y) <float[0] e={}, float[4] c={1,1,2,3}>{ "
        'y=Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,e,c) }',
    ),
    (
        "resize-repeat:form=expand",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,10,21] y) <float[0] e={}, float[4] c={1,1,2,3}>{ "
        'y=Resize<mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor">(x,e,c) }',
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,4] y) { y=ReduceL1<axes=[1],keepdims=0>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,1,4] y) { y=ReduceL1<axes=[1],keepdims=1>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,4] y) { y=ReduceL2<axes=[1],keepdims=0>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,1,4] y) { y=ReduceL2<axes=[1],keepdims=1>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,4] y) { y=ReduceLogSumExp<axes=[1],keepdims=0>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,1,4] y) { y=ReduceLogSumExp<axes=[1],keepdims=1>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,4] y) { y=ReduceSumSquare<axes=[1],keepdims=0>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,1,4] y) { y=ReduceSumSquare<axes=[1],keepdims=1>(x) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,4] y) { z=Abs(x) y=ReduceLogSum<axes=[1],keepdims=0>(z) }",
    ),
    (
        "reduce-forms",
        13,
        "g (float[n,3,4] x) => (float[n,3,4] y) <int64[0] e={}>{ y=ReduceSum<noop_with_empty_axes=1>(x,e) }",
    ),
    (
        "einsum-matmul",
        13,
        "g (float[n,2,3,4] x0, float[n,2,5,4] x1) => (float[n,2,3,5] y) { "
        'y=Einsum<equation="bhid,bhjd->bhij">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[n,3,4] x0, float[n,4,5] x1) => (float[n,3,5] y) { y=Einsum<equation="bij,bjk->bik">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        "g (float[2,3,4,5,6] x0, float[2,7,3,4] x1) => (float[2,3,5,6,7] y) { "
        'y=Einsum<equation="bgchw,bngc->bghwn">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[4,4] x0) => (float[4] y) { y=Einsum<equation="ii->i">(x0) }',
    ),
    (
        "einsum-matmul",
        13,
        "g (float[n,2,3,4] x0, float[n,2,4,5] x1) => (float[n,2,3,5] y) { "
        'y=Einsum<equation="...ij,...jk->...ik">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[3,4] x0) => (float[4,3] y) { y=Einsum<equation="ij->ji">(x0) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[3] x0, float[4] x1) => (float[3,4] y) { y=Einsum<equation="i,j->ij">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[n,3,4] x0) => (float[n] y) { y=Einsum<equation="bij->b">(x0) }',
    ),
    (
        "einsum-matmul",
        13,
        "g (float[3,4] x0, float[4,5] x1, float[5,2] x2) => (float[3,2] y) { "
        'y=Einsum<equation="ij,jk,kl->il">(x0, x1, x2) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[3,4] x0, float[3,4] x1) => (float[] y) { y=Einsum<equation="ij,ij->">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[n,3,4] x0, float[3,4] x1) => (float[n] y) { y=Einsum<equation="bcl,cl->b">(x0, x1) }',
    ),
    (
        "einsum-matmul",
        13,
        'g (float[2,3,4] x0, float[5,6,4] x1) => (float[2,5] y) { y=Einsum<equation="aij,bkj->ab">(x0, x1) }',
    ),
    (
        "pad-lower",
        18,
        "g (float[n,2,5,7] x) => (float[n,2,7,7] y) <int64[2] p={1,1}, int64[1] a={2}, float v={0}> { y=Pad(x,p,v,a) }",
    ),
    (
        "pad-lower",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,4,9] y) <int64[8] p={0,0,-1,1,0,0,0,1}> { y=Pad(x,p) }",
    ),
    (
        "pad-lower",
        19,
        'g (float[n,2,5,7] x) => (float[n,2,7,10] y) <int64[8] p={0,0,1,1,0,0,1,2}> { y=Pad<mode="wrap">(x,p) }',
    ),
    (
        "pad-lower",
        13,
        "g (float[n,2,5,7] x) => (float[m,2,5,8] y) <int64[8] p={1,0,0,1,2,0,0,0}, float v={3}> { y=Pad(x,p,v) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ y=MaxPool<kernel_shape=[3,3],pads=[1,0,0,1]>(x) }",
    ),
    (
        "pool-lower",
        17,
        "g (float[n,2,h,w] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[2,3],strides=[2,2],ceil_mode=1,count_include_pad=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        'y=MaxPool<kernel_shape=[3,2],auto_pad="SAME_LOWER",strides=[2,2]>(x) }',
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        'y=MaxPool<kernel_shape=[3,3],auto_pad="SAME_UPPER",strides=[2,2]>(x) }',
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=MaxPool<kernel_shape=[2,2],strides=[3,3],pads=[1,1,1,1],ceil_mode=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ y=MaxPool<kernel_shape=[3,3],dilations=[2,2],strides=[2,1]>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=MaxPool<kernel_shape=[3,3],dilations=[2,2],pads=[1,1,1,1]>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ y=AveragePool<kernel_shape=[3,3],pads=[1,0,0,1]>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        'y=AveragePool<kernel_shape=[3,2],auto_pad="SAME_LOWER",strides=[2,2]>(x) }',
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        'y=AveragePool<kernel_shape=[3,3],auto_pad="SAME_UPPER",strides=[2,2]>(x) }',
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[2,2],strides=[3,3],pads=[1,1,1,1],ceil_mode=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[3,3],dilations=[2,2],strides=[2,1]>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[3,3],dilations=[2,2],pads=[1,1,1,1]>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[3,3],pads=[1,1,1,1],count_include_pad=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x) }",
    ),
    (
        "pool-lower",
        22,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=AveragePool<kernel_shape=[3,3],dilations=[2,2],pads=[1,1,1,1],count_include_pad=1>(x) }",
    ),
    (
        "pool-lower",
        18,
        "g (float[n,2,9,11] x) => (float[n,2,a,b] y){ "
        "y=LpPool<kernel_shape=[2,3],p=2,strides=[1,2],pads=[1,1,1,1]>(x) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,3,4,5] x) => (float[n,3,4,5] y) <float[4,5] s={1,2,3,4,5,6,7,8,9,10,1,2,3,4,5,6,7,8,9,0}>"
        " { y=LayerNormalization<axis=2>(x,s) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,3,5] x) => (float[n,3,5] y) <float[5] s={1,2,3,4,5}> { y=LayerNormalization(x,s) }",
    ),
    (
        "norm-forms",
        18,
        "g (float[n,4,3,5] x) => (float[n,4,3,5] y) <float[2] s={1,2},float[2] b={3,4}> { "
        "y=GroupNormalization<num_groups=2>(x,s,b) }",
    ),
    (
        "norm-forms",
        21,
        "g (float[n,4,3,5] x) => (float[n,4,3,5] y) <float[4] s={1,2,3,4},float[4] b={3,4,5,6}> { "
        "y=GroupNormalization<num_groups=2>(x,s,b) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,2,5] x) => (float[n,2,5] y) <float[2] s={1,2},float[2] b={3,4}> { y=InstanceNormalization(x,s,b) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,2,5] x) => (float[n,2,5] y) { y=LpNormalization<p=2,axis=1>(x) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,2,5] x) => (float[n,2,5] y) { y=LpNormalization<p=1>(x) }",
    ),
    (
        "norm-forms",
        23,
        "g (float[n,2,5] x) => (float[n,2,5] y) <float[5] s={1,2,3,4,5}> { y=RMSNormalization(x,s) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,2,5] x) => (float[n,2,5] y) { y=LpNormalization<p=2,axis=1>(x) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,2,5] x) => (float[n,2,5] y) { y=LpNormalization<p=1>(x) }",
    ),
    (
        "space-depth-conv",
        13,
        "g (float[n,3,4,6] x) => (float[n,12,2,3] y) { y=SpaceToDepth<blocksize=2>(x) }",
    ),
    (
        "space-depth-conv",
        13,
        "g (float[n,8,4,6] x) => (float[n,2,8,12] y) { y=DepthToSpace<blocksize=2>(x) }",
    ),
    (
        "scatter-matmul",
        16,
        "g (float[5,3] x, float[2,3] u) => (float[5,3] y) <int64[2,1] i={1,-1}> { y=ScatterND(x,i,u) }",
    ),
    (
        "scatter-matmul",
        16,
        "g (float[5,3] x, float[2] u) => (float[5,3] y) <int64[2,2] i={1,2,1,2}> { "
        'y=ScatterND<reduction="add">(x,i,u) }',
    ),
    (
        "where-arithmetic",
        16,
        "g (bool[n,1] c, float[n,4] a, float[4] b) => (float[n,4] y) { y=Where(c,a,b) }",
    ),
    (
        "where-arithmetic:form=arithmetic",
        16,
        "g (bool[n,1] c, float[n,4] a, float[4] b) => (float[n,4] y) { y=Where(c,a,b) }",
    ),
    (
        "where-arithmetic:form=arithmetic",
        16,
        "g (float[n,4] p, float[4] q, float[n,4] a, float[4] b) => (float[n,4] y) { c=Greater(p,q) y=Where(c,a,b) }",
    ),
    (
        "where-arithmetic:form=arithmetic",
        16,
        "g (float[n,4] p, float[4] q, float[n,4] a, float[4] b) => (float[n,4] y) { c=Less(p,q) y=Where(c,a,b) }",
    ),
    (
        "where-arithmetic:form=arithmetic",
        16,
        "g (float[n,4] p, float[4] q, float[n,4] a, float[4] b) => (float[n,4] y) { c=GreaterOrEqual(p,q) "
        "y=Where(c,a,b) }",
    ),
    (
        "where-arithmetic:form=arithmetic",
        16,
        "g (float[n,4] p, float[4] q, float[n,4] a, float[4] b) => (float[n,4] y) { c=LessOrEqual(p,q) "
        "y=Where(c,a,b) }",
    ),
    (
        "rnn-forms",
        14,
        "g (float[5,1,3] x) => (float[5,1,1,2] y) <float[1,8,3] w = "
        "{-1.0,-0.9,-0.8,-0.7,-0.6,-0.5,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999998,0.0,0.10000000000000009,0.20000000000000018,0.30000000000000004,0.40000000000000013,0.5,0.6000000000000001,0.7000000000000002,0.8,0.9000000000000001,1.0,1.1,1.2000000000000002,1.3000000000000003},"
        " float[1,8,2] "
        "r={-0.7,-0.6,-0.49999999999999994,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999987,1.1102230246251565e-16,0.10000000000000009,0.20000000000000007,0.30000000000000004,0.40000000000000013,0.5000000000000002,0.6000000000000001,0.7000000000000002,0.8},"
        " float[1,1,2] h={0,0}>{ y=LSTM<hidden_size=2>(x,w,r,,,h,h) }",
    ),
    (
        "rnn-forms",
        14,
        "g (float[t,n,3] x) => (float[1,n,2] y) <float[1,8,3] w = "
        "{-1.0,-0.9,-0.8,-0.7,-0.6,-0.5,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999998,0.0,0.10000000000000009,0.20000000000000018,0.30000000000000004,0.40000000000000013,0.5,0.6000000000000001,0.7000000000000002,0.8,0.9000000000000001,1.0,1.1,1.2000000000000002,1.3000000000000003},"
        " float[1,8,2] "
        "r={-0.7,-0.6,-0.49999999999999994,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999987,1.1102230246251565e-16,0.10000000000000009,0.20000000000000007,0.30000000000000004,0.40000000000000013,0.5000000000000002,0.6000000000000001,0.7000000000000002,0.8},"
        " float[1,1,2] h={0,0}>{ q,y=LSTM<hidden_size=2>(x,w,r) }",
    ),
    (
        "rnn-forms",
        14,
        "g (float[5,n,3] x) => (float[5,1,n,2] y) <float[1,8,3] w = "
        "{-1.0,-0.9,-0.8,-0.7,-0.6,-0.5,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999998,0.0,0.10000000000000009,0.20000000000000018,0.30000000000000004,0.40000000000000013,0.5,0.6000000000000001,0.7000000000000002,0.8,0.9000000000000001,1.0,1.1,1.2000000000000002,1.3000000000000003},"
        " float[1,8,2] "
        "r={-0.7,-0.6,-0.49999999999999994,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999987,1.1102230246251565e-16,0.10000000000000009,0.20000000000000007,0.30000000000000004,0.40000000000000013,0.5000000000000002,0.6000000000000001,0.7000000000000002,0.8},"
        ' float[1,1,2] h={0,0}>{ y,q,s=LSTM<hidden_size=2,direction="reverse">(x,w,r) }',
    ),
    (
        "rnn-forms",
        14,
        "g (float[5,n,3] x) => (float[1,n,2] y) <float[1,8,3] w = "
        "{-1.0,-0.9,-0.8,-0.7,-0.6,-0.5,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999998,0.0,0.10000000000000009,0.20000000000000018,0.30000000000000004,0.40000000000000013,0.5,0.6000000000000001,0.7000000000000002,0.8,0.9000000000000001,1.0,1.1,1.2000000000000002,1.3000000000000003},"
        " float[1,8,2] "
        "r={-0.7,-0.6,-0.49999999999999994,-0.3999999999999999,-0.29999999999999993,-0.19999999999999996,-0.09999999999999987,1.1102230246251565e-16,0.10000000000000009,0.20000000000000007,0.30000000000000004,0.40000000000000013,0.5000000000000002,0.6000000000000001,0.7000000000000002,0.8},"
        ' float[1,1,2] h={0,0}>{ q,y=LSTM<hidden_size=2,direction="reverse">(x,w,r) }',
    ),
    (
        "int32-indices",
        13,
        "g (float[n,3,4] x) => (float[n,2,4] y) <int64[2] i={-1,1}>{ y=Gather<axis=1>(x,i) }",
    ),
    (
        "int32-indices",
        13,
        "g (float[n,3,h,w] x) => (float[n,3,a,b] y) <int64[1] s={1}, int64[1] e={9223372036854775807}, "
        "int64[1] a={2}, int64[1] t={2}> { y=Slice(x,s,e,a,t) }",
    ),
    (
        "explicit-attributes",
        13,
        "g (float[n,3,8,9] x) => (float[n,3,a,b] y) { y=MaxPool<kernel_shape=[2,2]>(x) }",
    ),
    (
        "explicit-attributes",
        9,
        "g (float[n,3,8,9] x) => (float[n,3,a,b] y) { y=MaxPool<kernel_shape=[2,2]>(x) }",
    ),
    (
        "explicit-attributes",
        13,
        "g (float[n,3,8,9] x) => (float[n,3,a,b] y) { "
        'y=AveragePool<kernel_shape=[2,3],auto_pad="SAME_LOWER",strides=[2,2]>(x) }',
    ),
    (
        "explicit-attributes",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,6,9] y) <int64[8] p={0,0,1,1,0,0,0,1}> { y=Pad(x,p) }",
    ),
    (
        "unroll",
        17,
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,3] x) => (float[n,3] y, float[t,n,3] z) <int64 m '
        "= {4}, bool c = {1}> { y, z = Loop <body = b (int64 i, bool k, float[n,3] s) => (bool k2, float[n,3]"
        " s2, float[n,3] o) { k2 = Identity(k) f = Cast<to=1>(i) a = Add(s, f) s2 = Tanh(a) o = Mul(s2, x) }>"
        " (m, c, x) }",
    ),
    (
        "unroll",
        17,
        '<ir_version: 8, opset_import: ["": 12]> g (float[5,3] x, float[3] h) => (float[3] y, float[5,3] z) {'
        " y, z = Scan <num_scan_inputs=1, body = b (float[3] s, float[3] e) => (float[3] s2, float[3] o) { a "
        "= Add(s, e) s2 = Tanh(a) o = Identity(s2) }> (h, x) }",
    ),
    (
        "unroll",
        17,
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,3] x) => (float[n,3] y) <bool c = {0}> { y = If '
        "<then_branch = t () => (float[n,3] p) { p = Relu(x) }, else_branch = e () => (float[n,3] q) { q = "
        "Neg(x) }> (c) }",
    ),
    (
        "function-bodies",
        18,
        "g (float[n,3] x) => (float[n,3] y) { y=Mish(x) }",
    ),
    (
        "function-bodies",
        24,
        "g (float[n,3] x) => (float[n,3] y) { y=Swish(x) }",
    ),
    (
        "function-bodies",
        20,
        "g (float[n,3] x) => (float[n,3] y) { y=Gelu(x) }",
    ),
    (
        "function-bodies:operators=Softsign;ThresholdedRelu;Hardmax",
        17,
        "g (float[n,3] x) => (float[n,3] y) { a=Softsign(x) b=ThresholdedRelu<alpha=0.3>(a) y=Hardmax(b) }",
    ),
    (
        "function-bodies",
        23,
        "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v) => (float[2,3,4,8] y) { y=Attention(q,k,v) }",
    ),
    (
        "function-bodies",
        23,
        "g (float[2,3,4,8] x, float[2,4,4] c, float[2,4,4] s) => (float[2,3,4,8] y) { y=RotaryEmbedding(x,c,s) }",
    ),
    (
        "norm-forms",
        17,
        "g (float[n,2,5,4] x) => (float[n,2,5,4] y) { y=MeanVarianceNormalization(x) }",
    ),
    ("dft-matmul", 17, "g (float[n,16,1] x) => (float[n,9,2] y) { y=DFT<axis=1,onesided=1>(x) }"),
    ("dft-matmul", 17, "g (float[n,6,2] x) => (float[n,6,2] y) { y=DFT<axis=1,inverse=1>(x) }"),
    ("dft-matmul", 20, "g (float[n,5,7,2] x) => (float[n,5,7,2] y) <int64 a={1}> { y=DFT(x,,a) }"),
    (
        "conv-transpose-pads",
        13,
        "g (float[n,2,5,6] x, float[2,3,3,3] w) => (float[n,3,9,11] y) { "
        "y=ConvTranspose<pads=[0,1,2,1],strides=[2,2]>(x,w) }",
    ),
    (
        "conv-transpose-pads",
        13,
        "g (float[n,2,5,6] x, float[2,3,3,3] w) => (float[n,3,10,12] y) { "
        'y=ConvTranspose<auto_pad="SAME_LOWER",strides=[2,2]>(x,w) }',
    ),
    (
        "conv-transpose-pads",
        13,
        "g (float[n,2,5,6] x, float[2,3,4,3] w) => (float[n,3,10,12] y) { "
        'y=ConvTranspose<auto_pad="SAME_UPPER",strides=[2,2]>(x,w) }',
    ),
    (
        "conv-transpose-pads",
        13,
        "g (float[n,2,5,6] x, float[2,3,3,3] w) => (float[n,3,10,12] y) { "
        "y=ConvTranspose<output_shape=[10,12],strides=[2,2]>(x,w) }",
    ),
    ("rounding-forms", 17, "g (float[n,6] x) => (float[n,6] y) { y=Round(x) }"),
    ("rounding-forms", 17, "g (float[n,6] x) => (float[n,6] y) <float[1] m={2.5}> { y=Mod<fmod=1>(x,m) }"),
    (
        "qdq-arithmetic",
        17,
        "g (float[n,3,5] x) => (float[n,3,5] y) <float s={0.02}, uint8 z={128}> { q=QuantizeLinear(x,s,z) "
        "y=DequantizeLinear(q,s,z) }",
    ),
    (
        "qdq-arithmetic",
        13,
        "g (float[n,2] x) => (float[n,2] y) <int8[2,2] w={1,-7,100,3}, float[2] s={0.02,0.1}, int8[2] z={0,0}> { "
        "d=DequantizeLinear<axis=1>(w,s,z) y=MatMul(x,d) }",
    ),
    ("cumsum-matmul", 14, "g (float[n,5,6] x) => (float[n,5,6] y) <int64 a={1}> { y=CumSum(x,a) }"),
    (
        "cumsum-matmul",
        14,
        "g (float[n,5,6] x) => (float[n,5,6] y) <int64 a={-1}> { y=CumSum<exclusive=1,reverse=1>(x,a) }",
    ),
    ("tile-concat", 13, "g (float[n,3,1] x) => (float[m,3,4] y) <int64[3] r={2,1,4}> { y=Tile(x,r) }"),
    (
        "matmul-forms",
        13,
        "g (float[4,n] a, float[4,5] w) => (float[n,5] y) <float[1,5] c={1,2,3,4,5}> { "
        "y=Gemm<alpha=0.5,beta=2.0,transA=1>(a,w,c) }",
    ),
    (
        "matmul-forms",
        13,
        "g (float[4,n] a) => (float[n,3] y) <float[4,3] w={1,2,3,4,5,6,7,8,9,1,2,3}> { y=Gemm<transA=1>(a,w) }",
    ),
    ("reduce-forms:mean=true", 13, "g (float[n,3,4] x) => (float[n,1,4] y) <int64[1] a={1}> { y=ReduceSum(x,a) }"),
    ("reduce-forms:mean=true", 13, "g (float[n,3,4] x) => (float[n] y) { y=ReduceL2<axes=[1,2],keepdims=0>(x) }"),
    (
        "reduce-forms:mean=true",
        13,
        "g (float[n,3,4] x) => (float[n,3] y) { y=ReduceLogSumExp<axes=[2],keepdims=0>(x) }",
    ),
    ("reduce-forms", 18, "g (float[n,3] x) => (float[n,3] y) { y=ReduceMax<noop_with_empty_axes=1>(x) }"),
    ("explicit-attributes", 13, "g (float[n,5] x) => (float[5,n] y) { y=Transpose(x) }"),
    ("explicit-attributes", 13, "g (float[n,5] x) => (float[n,5] y) { y=LogSoftmax(x) }"),
    ("explicit-attributes", 13, "g (float[6,5] x) => (float[5] y) <int64 i={2}> { y=Gather(x,i) }"),
    (
        "explicit-attributes",
        13,
        "g (float[n,5] x) => (float[n,3] y) <int64[2] s={0,1}, int64[2] e={99,4}> { y=Slice(x,s,e) }",
    ),
    (
        "explicit-attributes",
        13,
        "g (float[1,2,4,5] x) => (float[1,2,8,10] y) <float[4] s={1,1,2,2}> { y=Resize(x,,s) }",
    ),
    ("pow-mul", 13, "g (float[n,5] x) => (float[n,5] y) <float p={-2}> { y=Pow(x,p) }"),
    ("max-pairwise", 13, "g (float[n,5] a, float[n,5] b) => (float[n,5] y) { y=Mean(a,b) }"),
    ("max-pairwise", 13, "g (float[n,5] a) => (float[n,5] y) { y=Max(a) }"),
    ("function-bodies:operators=Shrink", 13, "g (float[n,5] x) => (float[n,5] y) { y=Shrink<lambd=0.3,bias=0.2>(x) }"),
    ("matmul-forms", 13, "g (float[6] a, float[6] b) => (float[] y) { y=MatMul(a,b) }"),
    ("matmul-forms:bare=true", 13, "g (float[n,4] a, float[5,4] w) => (float[n,5] y) { y=Gemm<transB=1>(a,w) }"),
    ("pow-mul", 13, "g (float[n,5] x) => (float[n,5] y) <int64 p={5}> { y=Pow(x,p) }"),
    ("max-pairwise", 13, "g (float[n,5] a, float[n,5] b, float[1,5] c) => (float[n,5] y) { y=Max(a,b,c) }"),
    ("max-pairwise", 13, "g (float[n,5] a, float[n,5] b, float[1,5] c) => (float[n,5] y) { y=Mean(a,b,c) }"),
    (
        "split-sizes",
        18,
        "g (float[n,8] x) => (float[n,8] y) { a,b,c=Split<axis=1,num_outputs=3>(x) y=Concat<axis=1>(c,a,b) }",
    ),
    (
        "unbind-split",
        13,
        "g (float[3,n,2,4,5] x) => (float[n,2,4,5] y) <int64 i={0}, int64 k={-1}> { "
        "a=Gather<axis=0>(x,i) b=Gather<axis=0>(x,k) y=Sub(a,b) }",
    ),
    (
        "unbind-split",
        11,
        "g (float[3,n,2,4,5] x) => (float[1,n,2,4,5] y) <int64[1] s={1}, int64[1] e={2}, int64[1] a={0}> { "
        "y=Slice(x,s,e,a) }",
    ),
    (
        "reduce-forms:single=true",
        13,
        "g (float[n,3,4,5] x) => (float[n,3] y) { y=ReduceMax<axes=[-1,2],keepdims=0>(x) }",
    ),
    ("reduce-forms:single=true", 13, "g (float[n,3,4,5] x) => (float[n,1,4,1] y) { y=ReduceMin<axes=[1,3]>(x) }"),
    (
        "matmul-forms:every=true",
        13,
        "g (float[n,6] x, float[5,6] w) => (float[n,5] y) <float[1,5] c={1,2,3,4,5}> { y=Gemm<transB=1>(x,w,c) }",
    ),
    ("activation-forms:computed=true", 13, "g (float[n,3,4] x, float[1] s) => (float[n,3,4] y) { y=PRelu(x,s) }"),
    ("identity-neg", 13, "g (float[n,3] x) => (float[n,3] z, float[n,3] y) { z=Relu(x) y=Identity(z) }"),
    ("gather-slices", 13, "g (float[n,5,6] x) => (float[n,4,6] y) <int64[4] i={-1,0,2,3}> { y=Gather<axis=1>(x,i) }"),
    (
        "gather-slices",
        13,
        "g (float[3,4,n] x) => (float[3,n] y) <int64[3,2] i={0,1,2,3,1,-1}> { y=GatherND(x,i) }",
    ),
    (
        "slice-matmul",
        13,
        "g (float[n,5,6] x) => (float[n,5,6] y) <int64[1] s={-1}, int64[1] e={-9}, int64[1] a={2}, int64[1] t={-1}> "
        "{ y=Slice(x,s,e,a,t) }",
    ),
    (
        "slice-matmul",
        13,
        "g (float[n,7,6] x) => (float[n,3,6] y) <int64[1] s={1}, int64[1] e={7}, int64[1] a={1}, int64[1] t={2}> "
        "{ y=Slice(x,s,e,a,t) }",
    ),
    ("activation-forms", 13, "g (float[n,3,4,5] x, float[3,4,5] s) => (float[n,3,4,5] y) { y=PRelu(x,s) }"),
    ("activation-forms", 13, "g (float[n,3,4] x) => (float[n,3,4] y) { y=Hardmax<axis=1>(x) }"),
    (
        "clip-minmax",
        13,
        "g (float[n,5] x) => (float[n,5] y) { m=ReduceMean<keepdims=0>(x) y=Clip(x,m) }",
    ),
    (
        "cast-bool",
        13,
        "g (float[n,5] x) => (float[n,5] y) { b=Cast<to=9>(x) y=Cast<to=1>(b) }",
    ),
    (
        "cast-bool:form=arithmetic",
        13,
        "g (float[n,5] x) => (float[n,5] y) { b=Cast<to=9>(x) y=Cast<to=1>(b) }",
    ),
    (
        "affine-grid-matmul",
        20,
        "g (float[2,2,3] t) => (float[2,6,7,2] y) <int64[4] s={2,3,6,7}> { y=AffineGrid<align_corners=0>(t,s) }",
    ),
    (
        "affine-grid-matmul",
        20,
        "g (float[2,3,4] t) => (float[2,4,5,6,3] y) <int64[5] s={2,3,4,5,6}> { y=AffineGrid<align_corners=1>(t,s) }",
    ),
    ("dropout-identity", 13, "g (float[n,5] x) => (float[n,5] y) { d=Dropout(x) y=Relu(d) }"),
    (
        "attention-forms",
        23,
        "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v) => (float[2,3,4,8] y) { y=Attention(q,k,v) }",
    ),
    (
        "attention-forms",
        23,
        "g (float[2,3,4,8] x, float[2,4,4] c, float[2,4,4] s) => (float[2,3,4,8] y) { y=RotaryEmbedding(x,c,s) }",
    ),
    ("constant-tables", 17, "g (float[n,16] x) => (float[n,16] y) <int64 n={16}> { w=HannWindow(n) y=Mul(x,w) }"),
    ("constant-tables", 17, "g (float[4,5] x) => (float[4,5] y) { e=EyeLike<dtype=1,k=1>(x) y=Add(x,e) }"),
    ("identity-neg", 17, "g (float[n,5] x) => (float[n,5] y) { a=Identity(x) y=Identity(a) }"),
    (
        "scatter-matmul",
        18,
        'g (float[4,5] x, float[3,5] u) => (float[4,5] y) <int64[3,1] i={0,2,0}> {y=ScatterND<reduction="mul">(x,i,u)}',
    ),
    (
        "scatter-matmul",
        18,
        "g (float[4,5] x, float[3,5] u) => (float[4,5] y) <int64[3,1] i={0,2,0}> { "
        'y=ScatterND<reduction="max">(x,i,u) }',
    ),
    (
        "resize-matmul",
        13,
        "g (float[1,3,8,10] x) => (float[1,3,8,8] y) <int64[4] s={1,3,8,8}, float[0] e={}, float[8] r={0,0,0.1,0.2,1,1,"
        '0.8,1.3}> { y=Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize",'
        "extrapolation_value=0.5>(x,r,e,s) }",
    ),
    (
        "resize-matmul",
        18,
        "g (float[n,3,8,10] x) => (float[n,3,13,16] y) <int64[2] s={16,16}> { "
        'y=Resize<axes=[2,3],keep_aspect_ratio_policy="not_larger",mode="linear">(x,,,s) }',
    ),
    (
        "rnn-forms:form=sequence",
        17,
        "g (float[5,n,4] x, float[2,24,4] w, float[2,24,6] r) => (float[5,2,n,6] y, float[2,n,6] h) { "
        'y,h=LSTM<direction="bidirectional",hidden_size=6>(x,w,r) }',
    ),
    (
        "rnn-forms:form=sequence",
        17,
        "g (float[5,n,4] x, float[1,18,4] w, float[1,18,6] r) => (float[5,1,n,6] y, float[1,n,6] h) { "
        'y,h=GRU<direction="reverse",hidden_size=6>(x,w,r) }',
    ),
]

LEFT = [
    ("explicit-attributes", 11, "g (float[n,3,5] x) => (float[n,3,5] y) { y=LogSoftmax(x) }", "over all dims"),
    ("comparison-forms", 13, "g (float[n,5] a) => (bool[n,5] y) <float b={2}> { y=Less(a,b) }", "not negative"),
    ("comparison-forms", 13, "g (int64[n,5] a) => (bool[n,5] y) <int64 b={2}> { y=Less(a,b) }", "is of type"),
    ("dft-matmul", 17, "g (float[n,m,1] x) => (float[n,m,2] y) { y=DFT<axis=1>(x) }", "its length is"),
    ("rounding-forms", 13, "g (int64[n] x) => (int64[n] y) <int64 m={3}> { y=Mod(x,m) }", "of type int64"),
    ("rounding-forms:only=Mod", 13, "g (float[n] x) => (float[n] y) { y=Round(x) }", "not asked for"),
    ("tile-concat", 13, "g (float[n] x, int64[1] r) => (float[m] y) { y=Tile(x,r) }", "not constant"),
    ("matmul-forms", 13, "g (float[n,4] a, float[4,5] w) => (float[n,5] y) { y=Gemm(a,w) }", "its form is plain"),
    ("matmul-forms", 13, "g (float[n,4] a, float[4,5] w) => (float[n,5] y) { y=MatMul(a,w) }", "product by a vector"),
    ("pow-mul", 13, "g (float[n] x) => (float[n] y) <float p={0.5}> { y=Pow(x,p) }", "its exponent is 0.5"),
    ("reduce-forms:mean=true", 13, "g (float[n,4] x) => (float[1,4] y) <int64[1] a={0}> { y=ReduceSum(x,a) }", "free"),
    ("reduce-forms", 13, "g (float[n,4] x) => (float[1,4] y) <int64[1] a={0}> { y=ReduceSum(x,a) }", "common one"),
    ("explicit-attributes", 13, "g (float[n,5] x) => (float[5,n] y) { y=Transpose<perm=[1,0]>(x) }", "all is written"),
    ("max-pairwise", 13, "g (float[n] a, float[n] b) => (float[n] y) { y=Max(a,b) }", "two operands"),
    ("split-sizes", 18, "g (float[n] x) => (float[a] a, float[b] b) { a,b=Split<num_outputs=2>(x) }", "is free"),
    (
        "gather-slices",
        13,
        "g (float[n,m] x) => (float[n,2] y) <int64[2] i={0,-1}> { y=Gather<axis=1>(x,i) }",
        "negative",
    ),
    ("gather-slices", 13, "g (int64[2] i) => (float[2] y) <float[3] w={1,2,3}> { y=Gather(w,i) }", "not constant"),
    (
        "slice-matmul",
        13,
        "g (float[n,6] x) => (float[n,3] y) <int64[1] s={0}, int64[1] e={3}, int64[1] a={1}, int64[1] t={1}> { "
        "y=Slice(x,s,e,a,t) }",
        "its steps are plain",
    ),
    ("activation-forms", 13, "g (float[n,3,4] x, float[3,1] s) => (float[n,3,4] y) { y=PRelu(x,s) }", "by channel"),
    (
        "clip-minmax",
        13,
        "g (float[n,5] x) => (float[n,5] y) <float m={0}> { y=Clip(x,m) }",
        "its bounds are constant",
    ),
    ("cast-bool", 13, "g (bool[n] x) => (bool[n] y) { y=Cast<to=9>(x) }", "no Cast of numbers to booleans"),
    (
        "conv-transpose-pads",
        13,
        "g (float[n,2,5,6] x, float[2,3,3,3] w) => (float[n,3,9,11] y) { y=ConvTranspose<pads=[1,1,1,1],"
        "strides=[2,2]>(x,w) }",
        "its pads are even",
    ),
    ("cumsum-matmul", 14, "g (int64[n,5] x) => (int64[n,5] y) <int64 a={1}> { y=CumSum(x,a) }", "no floats"),
    ("identity-neg", 13, "g (float[n] x) => (float[n] y) { r=Relu(x) y=Identity(r) }", "does not join"),
    ("constant-tables", 17, "g (int64 s) => (float[n] y) { y=HannWindow(s) }", "its size is not known"),
    (
        "dropout-identity",
        13,
        "g (float[n] x) => (float[n] y, bool[n] m) { y,m=Dropout(x) }",
        "its mask is read",
    ),
    (
        "attention-forms",
        23,
        "g (float[2,3,4,8] q, float[2,3,4,8] k, float[2,3,4,8] v) => (float[2,3,4,8] y) { "
        "y=Attention<is_causal=1>(q,k,v) }",
        "it is causal",
    ),
    (
        "softmax-flatten",
        11,
        "g (float[n,3,4] x) => (float[n,3,4] y) { y=LogSoftmax<axis=-1>(x) }",
        "it works over the last axis alone",
    ),
    (
        "resize-matmul",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,9,10] y) <float[0] e={}, int64[4] s={1,2,9,10}, float[4] "
        'c={1,1,1.8,1.5}>{ y=Resize<mode="linear">(x,e,c) }',
        "every compiler has this mode",
    ),
    (
        "resize-repeat",
        13,
        "g (float[n,2,5,7] x) => (float[n,2,10,21] y) <float[0] e={}, float[4] c={1,1,2,3}>{ "
        'y=Resize<mode="nearest",nearest_mode="ceil">(x,e,c) }',
        "this mode shifts elements",
    ),
    (
        "space-depth-conv",
        13,
        "g (float[n,3,h,w] x) => (float[n,3,a,b] y) <int64[1] s={1}, int64[1] e={9223372036854775807}, "
        "int64[1] a={2}, int64[1] t={2}> { y=Slice(x,s,e,a,t) }",
        "rows and columns may be empty, which a convolution refuses",
    ),
    (
        "scatter-matmul",
        16,
        "g (float[5,3] x, float[2] u) => (float[5,3] y) <int64[2,2] i={1,2,1,2}> { y=ScatterND(x,i,u) }",
        "it writes one row twice",
    ),
    (
        "function-bodies",
        20,
        "g (float[2,2,3] t) => (float[2,4,5,2] y) <int64[4] s={2,3,4,5}> { y=AffineGrid(t,s) }",
        "ONNX defines it by no others here",
    ),
]


def sound(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """Assert that onnx's checker has nothing against a model, unless it had before (scalars of ONNX text)."""
    try:
        onnx.checker.check_model(before, full_check=True)
    except Exception:  # of several kinds
        return
    onnx.checker.check_model(after, full_check=True)


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(("name", "opset", "text"), CURED)
def test_is_cured(name: str, opset: int, text: str, tmp_path: Path):
    before = parse(text, opset)
    after, report = rewritten(before, name)
    assert report.places, report.skipped
    sound(before, after)
    result = verified(before, after, name, tmp_path)
    assert result.verdict == "equal", str(result)
    assert result.sites is not None and result.sites.verdict == "equal", str(result)
    assert not operators(after) & GONE.get(name, set()) & operators(before)
    _, again = rewritten(after, name)
    assert not again.places


def others(text: str, opset: int) -> list[onnx.ModelProto]:
    """The same model at other opsets and in other types, where ONNX has it."""
    found = []
    for version in (11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22):
        for kind in ("float", "float16", "double"):
            if "<ir_version" in text or (version == opset) == (kind == "float"):
                continue  # other opsets, or other types
            try:
                model = parse(text.replace("float[", f"{kind}["), version)
                onnx.checker.check_model(model, full_check=True)
            except Exception:  # of the parser and the checker: ONNX does not have it
                continue
            found.append(model)
    return found


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CURED}))
def test_other_opsets_and_types(name: str):
    """Whatever else it is done to is right, at two sizes."""
    for model in (m for row, opset, text in CURED if row == name for m in others(text, opset)):
        after, report = rewritten(model, name)
        if report.places:
            sound(model, after)
            for free in (2, 3):
                side_by_side(model, after, free=free)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CURED}))
def test_a_fault_is_seen(name: str, tmp_path: Path):
    """Of what the pass would give if it were wrong, something is found different."""
    for opset, text in ((opset, text) for row, opset, text in CURED if row == name):
        before = parse(text, opset)
        after, _ = rewritten(before, name)
        for wrong in spoilt(before, after):
            try:
                if verified(before, wrong, name, tmp_path).verdict != "equal":
                    return
            except Exception:  # a model that can't even be loaded
                continue
    pytest.fail("no fault was seen")


@pytest.mark.parametrize(("name", "opset", "text", "why"), LEFT)
def test_is_left(name: str, opset: int, text: str, why: str):
    before = parse(text, opset)
    after, report = rewritten(before, name)
    assert not report.places
    assert any(why in skip.why for skip in report.skipped), report.skipped
    assert operators(after) == operators(before)
