"""The decoder graph of the regular size, on weights that are put together at set-up.

The graph has the inputs and outputs of `graphs.DecoderGraph`. Adapters and what is new lie in it;
the frozen weights are external data, in the file that `assembly.json` describes.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.assemble import GgufFile, Recipe
from eo_nodes.lvlm.assemble import folder as assembly
from eo_nodes.lvlm.manifest import sha256_of
from eo_nodes.lvlm.unified_config import WEIGHTS
from training.decoder.llama import STORAGE
from training.llama_graph import FILE, PACKAGE, TYPES, VERSION

INPUTS = ("tokens", "places", "visual", "past")
OUTPUTS = ("logits", "hidden", "query", "relevance", "present")


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


class LlamaDecoderGraph(nn.Module):
    """As `graphs.DecoderGraph`; the frozen weights follow as inputs, in the order of the plan."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        rows = model.config.words
        self.new_in = nn.Parameter(model.table(model.place_in)[rows:].detach().clone())
        self.new_out = nn.Parameter(model.table(model.place_out)[rows:].detach().clone())

    def forward(self, tokens, places, visual, past, *weights):
        m, c = self.model, self.model.config
        frozen = dict(zip(m.names, weights, strict=True))
        table = torch.cat([frozen["embedding"], self.new_in])
        x = torch.cat([visual, functional.embedding(tokens, table)], 1)
        v, p, n = visual.shape[1], past.shape[4], x.shape[1]
        keys = torch.arange(p + n)[None]
        # Causal for text; in the first run everything sees the visual tokens.
        allow = (keys <= torch.arange(n)[:, None] + p) | (keys < v)
        blocked = torch.where(allow, 0.0, -1e9)
        cos, sin = m.turns(torch.cat([torch.zeros_like(visual[:, :, 0]).long(), places + 1], 1))
        present, group = [], c.heads // c.kv_heads
        for i in range(c.layers):
            q, k, w = m.project(i, x, cos, sin, frozen)
            k = torch.cat([past[i, 0], k], 2)
            w = torch.cat([past[i, 1], w], 2)
            present.append(torch.stack([k, w]))
            # Queries of a group share a key head: fold the group instead of copying keys.
            q = q.reshape(1, c.kv_heads, group, -1, c.head_dim)
            scores = q @ k[:, :, None].transpose(3, 4) / c.head_dim**0.5 + blocked
            mixed = (scores.softmax(-1) @ w[:, :, None]).reshape(1, c.heads, -1, c.head_dim)
            x = m.finish(i, x, mixed, frozen)
        x = m.last(x)
        last = x[:, -1]
        seen = torch.sigmoid(m.relevance(last[:, None], x[:, :v])[:, 0])
        logits = functional.linear(last * frozen["norm"] * m.gain,
                                   torch.cat([frozen["embedding"], self.new_out]), m.bias)
        return logits, last, m.query(last), seen, torch.stack(present)


def export_llama(model, path):
    """Free text, visual and cache lengths; the frozen weights are inputs until `attach`."""
    c = model.config
    feed = (torch.zeros(1, 5, dtype=torch.long), torch.arange(5)[None], torch.zeros(1, 7, c.width),
            torch.zeros(c.layers, 2, 1, c.kv_heads, 3, c.head_dim))
    torch.onnx.export(
        LlamaDecoderGraph(model).eval(), (*feed, *model.frozen.values()), str(path), dynamo=False,
        opset_version=17, do_constant_folding=False, input_names=[*INPUTS, *model.names],
        output_names=list(OUTPUTS),
        dynamic_axes={"tokens": {1: "text"}, "places": {1: "text"}, "visual": {1: "visual"},
                      "past": {4: "past"}, "relevance": {1: "visual"}, "present": {4: "total"}})


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


def write_weights(folder, source, taken, kept):
    """Frozen weights and the recipe that makes them again from the package."""
    draft = Recipe(source.package, source.version, source.file, sha256_of(source.path),
                   tuple(taken), tuple(kept), STORAGE, WEIGHTS, "")
    digest = assembly.write_weights(source.open(), draft, folder / WEIGHTS)
    recipe = replace(draft, target_sha256=digest)
    (folder / assembly.RECIPE).write_text(json.dumps(asdict(recipe)) + "\n")
    onnx.checker.check_model(str(folder / "decoder.onnx"))
