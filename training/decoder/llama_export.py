"""The language model inside a graph, on weights that are put together at set-up.

Adapters and what is new lie in the graph; the frozen weights are external data, in the file that
`assembly.json` describes.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.assemble import GgufFile, Recipe
from eo_nodes.lvlm.assemble import folder as assembly
from eo_nodes.lvlm.unified_config import WEIGHTS
from training.decoder.graphs import blocked
from training.decoder.llama import STORAGE
from training.decoder.model import BINS
from training.decoder.places import bin_codes
from training.llama_graph import FILE, PACKAGE, TYPES, VERSION


@dataclass(frozen=True, slots=True)
class Source:
    """The file of frozen weights: where it lies here, and what it is in its package."""

    path: Path
    package: str = PACKAGE
    version: str = VERSION
    file: str = FILE

    @classmethod
    def find(cls, path=None):
        """path: the file; None: inside the installed package, or ModelError says what to do."""
        recipe = Recipe(PACKAGE, VERSION, FILE, "", (), None, STORAGE, WEIGHTS, "")
        return cls(Path(path) if path else assembly.source_file(recipe))

    def open(self):
        return GgufFile(self.path)


READERS = ("qkv", "o", ("gate", "up"), ("down",))


class WideStream(nn.Module):
    """The layers of a `LlamaDecoder` as a graph runs them, with a cache.

    Matrices that read the same share one product with their adapters. The frozen ones stay apart
    and as they are: each joining or adding of theirs would be worked out when the runtime loads
    the graph, and held a second time meanwhile.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        c = model.config
        half = c.head_dim // 2
        self.register_buffer("turned", torch.arange(c.head_dim).roll(half), persistent=False)
        self.register_buffer("sign", torch.ones(c.head_dim), persistent=False)
        self.sign[:half] = -1

        self.enter, self.leave = nn.ParameterDict(), nn.ParameterDict()
        for i, adapters in enumerate(model.adapters):
            for names in READERS:
                key = f"{i}_{names[0]}"
                self.enter[key] = nn.Parameter(
                    torch.cat([adapters.enter[k].detach() for k in names], 1))
                self.leave[key] = nn.Parameter(
                    torch.block_diag(*(adapters.leave[k].detach() for k in names)))

    def times(self, x, n, names, frozen):
        """(1, T, sum of outs): products with matrices of a layer and their adapters."""
        key = f"{n}_{names[0]}"
        apart = [x @ frozen[f"{n}.{k}"] for k in names]
        whole = torch.cat(apart, -1) if len(apart) > 1 else apart[0]
        return whole + x @ self.enter[key] @ self.leave[key]

    def norm(self, x, gain):
        """Root-mean-square norm, in the form that the runtime knows as one operator."""
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.model.config.eps) * gain

    def forward(self, tokens, places, visual, past, frozen, taps):
        """tokens, places (1, T); visual (1, V, width); past: keys and values, layer by layer;
        frozen: {name: matrix} of the plan -> states (1, V + T, width) behind as many layers as
        ``taps`` say each, present."""
        m, c = self.model, self.model.config
        # Vectors of places are made from their codes when the graph is loaded: 19 numbers each.
        table = torch.cat([frozen["embedding"], self.model.marks.weight,
                           self.model.place_in(bin_codes(BINS))])
        x = torch.cat([visual, functional.embedding(tokens, table)], 1)
        v, n = visual.shape[1], x.shape[1]
        unseen = blocked(n, past[0].shape[2], v)
        cos, sin = m.turns(torch.cat([torch.zeros_like(visual[:, :, 0]).long(), places + 1], 1))
        sin = sin * self.sign
        heard, present, turning = {}, [], c.heads + c.kv_heads
        for i in range(c.layers):
            y = self.times(self.norm(x, frozen[f"{i}.attn_norm"]), i, "qkv", frozen)
            y = y.reshape(1, -1, turning + c.kv_heads, c.head_dim).transpose(1, 2)
            both, w = y.split([turning, c.kv_heads], 1)
            both = both * cos + both[..., self.turned] * sin
            q, k = both.split([c.heads, c.kv_heads], 1)
            k, w = torch.cat([past[2 * i], k], 2), torch.cat([past[2 * i + 1], w], 2)
            present += [k, w]
            # Queries of a group share a key head: they stand below each other, no key is copied.
            q = (q * c.head_dim**-0.5).reshape(1, c.kv_heads, -1, c.head_dim)
            scores = (q @ k.transpose(2, 3)).reshape(1, c.heads, n, -1) + unseen
            mixed = scores.softmax(-1).reshape(1, c.kv_heads, -1, k.shape[2]) @ w
            mixed = mixed.reshape(1, c.heads, n, c.head_dim).transpose(1, 2)
            x = x + self.times(mixed.reshape(1, -1, c.width), i, "o", frozen)
            y = self.norm(x, frozen[f"{i}.ffn_norm"])
            y = self.times(y, i, ("gate", "up"), frozen)
            gate, up = y.split(c.inner, -1)
            x = x + self.times(functional.silu(gate) * up, i, ("down",), frozen)
            heard[i + 1] = x
        return [heard[n] for n in taps], present


def attach(path, slots):
    """Turn the inputs of the graph that `slots` names into external data of the file WEIGHTS."""
    model = onnx.load(str(path))
    graph, names = model.graph, {s.name for s in slots}
    kept, body, nodes = [i for i in graph.input if i.name not in names], list(graph.node), []
    for slot in slots:
        is_packed = f"{slot.name}.scale" in names
        name = f"{slot.name}.int8" if is_packed else slot.name
        tensor = TensorProto(name=name, data_type=TYPES[slot.dtype], dims=slot.shape,
                             data_location=TensorProto.EXTERNAL)
        for key, value in (("location", WEIGHTS), ("offset", slot.offset),
                           ("length", slot.size_bytes)):
            tensor.external_data.add(key=key, value=str(value))
        graph.initializer.append(tensor)
        if is_packed:
            cast = f"{slot.name}.cast"
            nodes += [helper.make_node("Cast", [name], [cast], to=TensorProto.FLOAT),
                      helper.make_node("Mul", [cast, f"{slot.name}.scale"], [slot.name])]
    del graph.input[:], graph.node[:]
    graph.input.extend(kept)
    graph.node.extend(nodes + body)
    path.write_bytes(model.SerializeToString())
