"""Storage of ONNX graphs: weights in 8 bits, short names."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST_QUANTISED = 2048


def store_weights_as_int8(path, smallest=SMALLEST_QUANTISED, but=None, halved=None):
    """Replace large float weights by int8 and a scale per channel; computing stays in float.

    but: names that end so stay as they are; halved: of names that begin so, small tensors are
    stored as float16 (two numbers for each channel of a deep network are not little).

    The dequantising Cast and Mul work on constants, so the runtime folds them when it loads the
    graph: the file shrinks to a quarter, the arithmetic does not change. The scale runs along
    output channels (convolution: axis 0; matrix product: axis 1; embedding: axis 0).
    """
    model = onnx.load(str(path))
    graph = model.graph
    axis_of = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if node.op_type in ("Conv", "Gather") or (node.op_type == "Gemm" and place == 1):
                axis_of.setdefault(name, 0)
            elif node.op_type == "MatMul" and place == 1:
                axis_of.setdefault(name, 1)
    kept, added, nodes = [], [], []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        axis = axis_of.get(tensor.name)
        if value.dtype != np.float32 or value.size < smallest or value.ndim < 2 or (
                but and tensor.name.endswith(but)):
            name = tensor.name
            if halved and name.startswith(halved) and not name.endswith(but or ()) and (
                    value.dtype == np.float32):
                added.append(numpy_helper.from_array(value.astype(np.float16), f"{name}.half"))
                nodes.append(helper.make_node("Cast", [f"{name}.half"], [name],
                                              to=TensorProto.FLOAT))
            else:
                kept.append(tensor)
            continue
        others = tuple(i for i in range(value.ndim) if i != (axis or 0))
        scale = np.maximum(np.abs(value).max(others, keepdims=True), 1e-8) / 127
        packed = np.clip(np.rint(value / scale), -127, 127).astype(np.int8)
        name = tensor.name
        added += [numpy_helper.from_array(packed, f"{name}.int8"),
                  numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale")]
        nodes += [helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"],
                                   to=TensorProto.FLOAT),
                  helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name])]
    body = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept + added)
    graph.node.extend(nodes + body)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def shorten(path, with_weights=False):
    """Replace the exporter's names inside a graph: of thousands of nodes they take more than half a
    megabyte. Names of inputs, outputs and, but for ``with_weights``, of stored weights stay."""
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    kept = {v.name for v in (*graph.input, *graph.output)} | {""}
    if not with_weights:
        kept |= {t.name for t in graph.initializer}
    short = {}

    def name(old):
        return old if old in kept else short.setdefault(old, f"v{len(short)}")

    for node in graph.node:
        node.name = ""
        node.input[:], node.output[:] = map(name, node.input), map(name, node.output)
    for tensor in graph.initializer:
        tensor.name = name(tensor.name)
    del graph.value_info[:]
    onnx.save(model, str(path))
    onnx.checker.check_model(str(path))
