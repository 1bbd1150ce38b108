"""A model folder that computes in float16, for providers that have it (CUDA, TensorRT); no torch.

    python -m training.decoder.half --model models/compact --out models/compact-half

The weights stay as they are stored (int8 with a scale) and are unfolded to float16 when a graph is
loaded; the KV cache is float16, every other input and output float32. Sums of many terms, powers,
exponentials and coordinates stay float32: float16 ends at 65,504 and has eleven bits. Frozen
weights from a package stay in their own file; nodes that read floats of it compute in float32.
The processor has hardly a kernel for float16: onnxruntime puts casts around each operator there,
which is right and slower.
"""

import argparse
import shutil
from pathlib import Path

import onnx
from onnx import TensorProto
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.golden import golden_entry
from eo_nodes.lvlm.manifest import MANIFEST, V2, read_manifest, seal
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.unified import UnifiedModel

PRECISE = ("DequantizeLinear", "LayerNormalization", "ReduceMean", "ReduceSum", "ReduceL2", "Pow",
           "Sqrt", "Exp", "Log", "Softplus", "Softmax", "LogSoftmax", "Sin", "Cos", "Div")


def compute_in_half(path):
    """Turn a graph; its cache, if it has one, becomes float16 as well."""
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    away = {t.name for t in graph.initializer if t.data_location == TensorProto.EXTERNAL
            and t.data_type == TensorProto.FLOAT}
    for i, node in enumerate(graph.node):
        node.name = f"n{i}"
    kept = [v.name for v in (*graph.input, *graph.output)
            if not v.name.startswith(("past", "present"))]
    reading = [n.name for n in graph.node if away & set(n.input)]
    model = convert_float_to_float16(
        model, keep_io_types=kept, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *PRECISE],
        node_block_list=reading)
    # A value that two float32 nodes read was cast for each, under one name.
    first = {node.output[0]: i for i, node in reversed([*enumerate(model.graph.node)])}
    nodes = [n for i, n in enumerate(model.graph.node) if first[n.output[0]] == i]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


def halve(folder, out):
    """Write the folder `out`, sealed with the answer that float16 gives; returns the model."""
    before = read_manifest(folder)
    if before.family != V2:
        raise ModelError(f"{folder}: family {before.family}, only {V2} is turned into float16")
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns(MANIFEST))
    for path in sorted(out.glob("*.onnx")):
        compute_in_half(path)
    model = UnifiedModel(out, "", RuntimeOptions())
    golden = golden_entry(model, before.golden["prompt"], before.golden["max_tokens"])
    seal(out, V2, before.id, list(before.files), golden, before.bands)
    return model


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, required=True, help="folder of the family spaceverse-2")
    p.add_argument("--out", type=Path, required=True, help="folder that is not there yet")
    a = p.parse_args()
    halve(a.model, a.out)


if __name__ == "__main__":
    main()
