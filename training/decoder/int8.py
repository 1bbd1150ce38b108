"""A decoder graph that computes in int8: weights in blocks, activations quantised as they come.

Beside `storage.store_weights_as_int8`, which only stores so and computes in float32. The
operator is onnxruntime's MatMulNBits (weights of 8 bits, a scale a block, products in integers).
A step reads a quarter of the bytes; a prompt is slower where the processor has no instructions for
integer products, because the float kernels are better there.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

BLOCK = 128
DOMAIN = "com.microsoft"
_IN_INTEGERS = 4          # accuracy_level of the operator


def compute_in_int8(path, block=BLOCK):
    """Replace products with large constant matrices; returns how many."""
    model = onnx.load(str(path))
    graph = model.graph
    values = {t.name: t for t in graph.initializer}
    turned = {n.output[0]: n.input[0] for n in graph.node
              if n.op_type == "Transpose" and n.input[0] in values}
    nodes, added, done = [], {}, 0
    for node in graph.node:
        weight = _weight(node, values, turned, block)
        if weight is None:
            nodes.append(node)
            continue
        done += 1
        name, (rows, columns) = f"{node.output[0]}.nbits", weight.shape
        packed, scale = quantised(weight, block)
        added |= {f"{name}.int8": packed, f"{name}.scale": scale}
        inputs = [node.input[0], f"{name}.int8", f"{name}.scale"]
        if node.op_type == "Gemm" and len(node.input) > 2:
            inputs += ["", "", node.input[2]]
        nodes.append(helper.make_node(
            "MatMulNBits", inputs, list(node.output), domain=DOMAIN, K=columns, N=rows, bits=8,
            block_size=block, accuracy_level=_IN_INTEGERS))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in added.items())
    _drop_unused(graph)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.save(model, str(path))
    return done


def quantised(weight, block):
    """(rows, columns) -> uint8 (rows, columns / block, block) around 128, scales flat float32."""
    blocks = weight.reshape(len(weight), -1, block)
    scale = np.maximum(np.abs(blocks).max(2, keepdims=True), 1e-8) / 127
    packed = np.clip(np.rint(blocks / scale), -127, 127) + 128
    return packed.astype(np.uint8), scale.astype(np.float32).reshape(-1)


def _weight(node, values, turned, block):
    """(out, in) matrix of a product that is replaced, else None."""
    if node.op_type not in ("MatMul", "Gemm") or len(node.input) < 2:
        return None
    name = turned.get(node.input[1], node.input[1])
    if name not in values:
        return None
    weight = numpy_helper.to_array(values[name])
    by_rows = node.input[1] in turned or any(
        a.name == "transB" and a.i for a in node.attribute)
    weight = weight if by_rows else weight.T
    is_large = weight.ndim == 2 and min(weight.shape) >= block and weight.shape[1] % block == 0
    return weight if is_large else None


def _drop_unused(graph):
    while True:
        used = {i for n in graph.node for i in n.input} | {o.name for o in graph.output}
        kept = [n for n in graph.node if any(o in used for o in n.output)]
        if len(kept) == len(graph.node):
            break
        del graph.node[:]
        graph.node.extend(kept)
    left = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
