"""Small models by which the rules of backends are measured again: what a row holds, and how it becomes a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort

from surgery.targets.cases import Case

IMAGE = "float[1,3,8,10] x"
Given = dict[str, Any]


class Row(NamedTuple):
    """A model that a rule holds for, and one beside it that it does not hold for.

    Args:
        body: the nodes, in ONNX's text.
        good: the same, of the model that works; "" where there is none near.
        ins: the inputs. Dims may be letters.
        consts: the stored tensors.
        outs: the outputs.
        opset: of the standard domain.
        given: values of inputs; others are seeded normal, integers 0 and 1.
        at: what the letters are, size by size.
        after: what stands behind the graph: functions.
        tries: how often it is run at most: where memory that is not its own is read or written, it may fail in any
            way, or not, and then the test says so. ``MALLOC_CHECK_=3 LD_PRELOAD=libc_malloc_debug.so.0`` shows what
            writes there.
        then: what happens to this one, where it is another word than the rule's.
    """

    body: str
    good: str = ""
    ins: str = IMAGE
    consts: str = ""
    outs: str = "y"
    opset: int = 17
    given: Given = {}
    at: tuple[dict[str, int], ...] = ({},)
    after: str = ""
    tries: int = 1
    then: str = ""

    def model(self, body: str) -> onnx.ModelProto:
        """The model with these nodes."""
        imports = f'["" : {self.opset}, "my" : 1]' if "my" in self.after + body else f'["" : {self.opset}]'
        consts = f"<{self.consts}>" if self.consts else ""
        text = f"<ir_version: 10, opset_import: {imports}> g ({self.ins}) => ({self.outs}) {consts} {{ {body} }}"
        model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text + self.after))
        for tensor in model.graph.initializer:  # in bytes, as exporters write them
            if tensor.data_type != onnx.TensorProto.STRING:
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
        return model

    def cases(self, model: onnx.ModelProto) -> list[Case]:
        """Inputs at every size, and what is right for them by ONNX Runtime."""
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception:  # there is no such operator: nothing is right
            session = None
        found = []
        for index, sizes in enumerate(self.at):
            feeds = {v.name: self._value(v, sizes, index) for v in model.graph.input}
            names = [v.name for v in model.graph.output]
            values = session.run(names, feeds) if session else [np.zeros(1, "float32")] * len(names)
            found.append(Case(feeds, dict(zip(names, values, strict=True)), index))
        return found

    def _value(self, value: onnx.ValueInfoProto, sizes: dict[str, int], seed: int) -> np.ndarray:
        kind = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if value.name in self.given:
            return np.asarray(self.given[value.name], dtype)
        shape = [d.dim_value if d.HasField("dim_value") else sizes[d.dim_param] for d in kind.shape.dim]
        random = np.random.default_rng([seed, len(shape)])
        numbers: Any = random.normal(size=shape) if dtype.kind == "f" else random.integers(0, 2, shape)
        return np.asarray(numbers).astype(dtype)


def sized(*sizes: str) -> tuple[dict[str, int], ...]:
    """Of ``n=1 w=8`` the letters' sizes."""
    return tuple({k: int(v) for k, v in (word.split("=") for word in text.split())} for text in sizes)
