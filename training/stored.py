"""Weights of a graph as its runtime computes with them."""

import onnx
import torch
from onnx import numpy_helper


def weights_of(path):
    """{name: tensor} of a graph file whose weights lie in it, int8 times its scale, float16 as
    float32; under the names of the modules from which it was exported."""
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    held = {n.removesuffix(".half"): v.astype("float32") if n.endswith(".half") else v
            for n, v in held.items()}
    found = {n.removesuffix(".int8"): torch.from_numpy(
        v * held[n.removesuffix("int8") + "scale"] if n.endswith(".int8") else v.copy())
        for n, v in held.items() if not n.endswith(".scale")}
    # The exporter's stem wraps the module's (`training.decoder.graphs.exported_stem`).
    return {n.replace("stem.stem.", "stem."): v for n, v in found.items()}
