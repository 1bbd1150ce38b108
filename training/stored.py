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


def put(module, held, may_lack=()):
    """Put tensors into a module by name.

    Raises:
        ValueError: others are lacking than those whose names begin so, or some are unknown.
    """
    missing, unknown = module.load_state_dict(held, strict=False)
    lost = [name for name in missing if not name.startswith(tuple(may_lack))]
    if unknown or lost:
        raise ValueError(f"the weights lack {len(lost)} tensors: {', '.join(lost[:4])} ...; "
                         f"{len(unknown)} are unknown: {', '.join(unknown[:4])} ...")
