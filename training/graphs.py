"""The two graphs as they are exported, and 8-bit storage of their weights."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SMALLEST_QUANTISED = 2048


class VisionGraph(nn.Module):
    """pixels (1, 3, H, W), geometry (1, T, 4), tags (1, 4) -> visual tokens (1, T + S, width)."""

    def __init__(self, trunk, projector):
        super().__init__()
        self.trunk, self.projector = trunk, projector

    def forward(self, pixels, geometry, tags):
        return self.projector(self.trunk(pixels).flatten(1, 2), geometry, tags)


class DecoderGraph(nn.Module):
    """One step with a cache: prompt with visual tokens, or one decoded token without any.

    tokens (1, T), places (1, T), visual (1, V, width), past (L, 2, 1, heads, P, head_dim) ->
    logits (1, K) and hidden (1, width) of the last token, relevance (1, V), present cache.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens, places, visual, past):
        m = self.model
        x = torch.cat([visual, m.embed(tokens, places)], 1)
        v, p, n = visual.shape[1], past.shape[4], x.shape[1]
        keys = torch.arange(p + n)[None]
        # Causal for text; in the first run everything sees the visual tokens.
        allow = (keys <= torch.arange(n)[:, None] + p) | (keys < v)
        blocked = torch.where(allow, 0.0, -1e9)
        present = []
        for i, layer in enumerate(m.layers):
            q, k, w = layer.project(x)
            k = torch.cat([past[i, 0], k], 2)
            w = torch.cat([past[i, 1], w], 2)
            present.append(torch.stack([k, w]))
            scores = q @ k.transpose(2, 3) / m.config.head_dim**0.5 + blocked
            x = layer.finish(x, scores.softmax(-1) @ w, 0.0)
        last = x[:, -1]
        seen = torch.sigmoid(m.relevance(last[:, None], x[:, :v])[:, 0])
        return m.logits(last), last, seen, torch.stack(present)


def export_vision(trunk, projector, path, cells=(4, 4)):
    """Write the vision graph with free height, width and cell count."""
    rows, cols = cells
    feed = (torch.zeros(1, 3, rows * 32, cols * 32), torch.full((1, rows * cols, 4), 0.5),
            torch.zeros(1, 4, dtype=torch.long))
    torch.onnx.export(
        VisionGraph(trunk, projector).eval(), feed, str(path), dynamo=False, opset_version=17,
        do_constant_folding=False,
        input_names=["pixels", "geometry", "tags"], output_names=["tokens"],
        dynamic_axes={"pixels": {2: "height", 3: "width"}, "geometry": {1: "cells"},
                      "tokens": {1: "visual"}})


def export_trunk(trunk, path):
    """Write the trunk alone, with free batch, height and width."""
    torch.onnx.export(
        trunk.eval(), (torch.zeros(2, 3, 128, 128),), str(path), dynamo=False, opset_version=17,
        do_constant_folding=False, input_names=["pixels"], output_names=["grid"],
        dynamic_axes={"pixels": {0: "batch", 2: "height", 3: "width"},
                      "grid": {0: "batch", 1: "rows", 2: "cols"}})


def export_decoder(model, path):
    """Write the decoder graph with free text, visual and cache lengths."""
    c = model.config
    feed = (torch.zeros(1, 5, dtype=torch.long), torch.arange(5)[None],
            torch.zeros(1, 7, c.width), torch.zeros(c.layers, 2, 1, c.heads, 3, c.head_dim))
    torch.onnx.export(
        DecoderGraph(model).eval(), feed, str(path), dynamo=False, opset_version=17,
        do_constant_folding=False,
        input_names=["tokens", "places", "visual", "past"],
        output_names=["logits", "hidden", "relevance", "present"],
        dynamic_axes={"tokens": {1: "text"}, "places": {1: "text"}, "visual": {1: "visual"},
                      "past": {4: "past"}, "relevance": {1: "visual"}, "present": {4: "total"}})


def store_weights_as_int8(path, smallest=SMALLEST_QUANTISED):
    """Replace large float weights by int8 and a scale per channel; computing stays in float.

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
        if value.dtype != np.float32 or value.size < smallest or value.ndim < 2:
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
