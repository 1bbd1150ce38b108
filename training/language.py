"""The captioner: projector, causal layers started from MiniLM, relevance head.

Layout of a sequence: visual tokens first (they attend to each other), then text segments, each
causal and attending to all visual tokens. In training several questions on one picture are packed
as segments that do not see each other; at run time there is one.

Origin of the layers: BERT block (Devlin 2018) with the first layers of all-MiniLM-L6-v2
(Apache-2.0); projector, tags and relevance head are our own.
"""

import math
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from training.vocabulary import _source

FREQUENCIES = (1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class LanguageConfig:
    """feature_dim: width of the trunk's tokens; positions: longest prompt and answer in tokens.

    width and heads are MiniLM's; tests use smaller ones.
    """

    layers: int
    feature_dim: int
    vocabulary: int
    positions: int = 128
    relevance_dim: int = 64
    width: int = 384
    heads: int = 12

    @property
    def head_dim(self):
        return self.width // self.heads

    def to_dict(self):
        return asdict(self)


class Projector(nn.Module):
    """Trunk tokens (N, T, D), geometry (N, T, 4), tags (N, 4) -> visual tokens (N, T + 1, width).

    The last token summarises the picture: mean and maximum over the grid.
    """

    def __init__(self, dim, width):
        super().__init__()
        self.norm, self.pool_norm = nn.LayerNorm(dim), nn.LayerNorm(2 * dim)
        self.cell, self.pool = nn.Linear(dim, width), nn.Linear(2 * dim, width)
        self.place = nn.Linear(4 * len(FREQUENCIES) + 2, width)
        self.tags = nn.ModuleList(nn.Embedding(n, width) for n in (2, 2, 4, 6))
        for table in self.tags:
            nn.init.normal_(table.weight, std=0.05)
        self.out = nn.LayerNorm(width)

    def forward(self, features, geometry, tags):
        centre, size = geometry[..., :2], geometry[..., 2:]
        waves = [f(math.pi * k * centre) for k in FREQUENCIES for f in (torch.sin, torch.cos)]
        place = self.place(torch.cat([*waves, size.clamp_min(1e-3).log() / 4], -1))
        cells = self.cell(self.norm(features)) + place
        pooled = torch.cat([features.mean(1), features.amax(1)], -1)
        summary = self.pool(self.pool_norm(pooled))[:, None]
        x = torch.cat([cells, summary], 1)
        kind, composite, frame, modality = (t(tags[:, i]) for i, t in enumerate(self.tags))
        return self.out(x + (kind + composite + frame + modality)[:, None])


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)

    def project(self, x):
        """(B, T, width) -> query, key, value, each (B, heads, T, head_dim)."""
        return tuple(f(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
                     for f in (self.query, self.key, self.value))

    def finish(self, x, mixed, drop):
        mixed = mixed.transpose(1, 2).flatten(2)
        x = self.norm1(x + functional.dropout(self.out(mixed), drop, self.training))
        y = self.down(functional.gelu(self.up(x)))
        return self.norm2(x + functional.dropout(y, drop, self.training))


class LanguageModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, width = config, config.width
        self.projector = Projector(config.feature_dim, width)
        self.words = nn.Embedding(config.vocabulary, width)
        self.positions = nn.Embedding(config.positions, width)
        self.text_norm = nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList(Layer(width, config.heads) for _ in range(config.layers))
        self.head = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.ask, self.offer = (nn.Linear(width, config.relevance_dim) for _ in range(2))
        self.drop = 0.1

    def start_from_minilm(self, tokens):
        """Copy embeddings of ``tokens`` (list of str, by new id) and the first layers."""
        source = load_file(_source() / "model.safetensors")
        words = (_source() / "vocab.txt").read_text(encoding="utf-8").split("\n")
        old = {w: i for i, w in enumerate(words)}
        get = source.__getitem__
        kind = get("embeddings.token_type_embeddings.weight")[0]
        self.words.weight.data = get("embeddings.word_embeddings.weight")[[old[t] for t in tokens]]
        n = self.config.positions
        self.positions.weight.data = get("embeddings.position_embeddings.weight")[:n] + kind
        nn.init.eye_(self.head.weight)
        names = {"attention.self.query": "query", "attention.self.key": "key",
                 "attention.self.value": "value", "attention.output.dense": "out",
                 "intermediate.dense": "up", "output.dense": "down",
                 "attention.output.LayerNorm": "norm1", "output.LayerNorm": "norm2"}
        for leaf in ("weight", "bias"):
            getattr(self.text_norm, leaf).data = get(f"embeddings.LayerNorm.{leaf}").clone()
            for i, layer in enumerate(self.layers):
                for theirs, ours in names.items():
                    value = get(f"encoder.layer.{i}.{theirs}.{leaf}").clone()
                    getattr(getattr(layer, ours), leaf).data = value

    def embed(self, ids, places):
        return self.text_norm(self.words(ids) + self.positions(places))

    def logits(self, hidden):
        """The transform starts as the identity; the scale keeps first logits small."""
        scores = functional.linear(self.head(hidden), self.words.weight)
        return scores / math.sqrt(self.config.width / 8) + self.bias

    def relevance(self, query, visual):
        """Hidden of the prompt's end (B, K, width), of visual tokens (B, V, width) -> (B, K, V)."""
        return self.ask(query) @ self.offer(visual).transpose(1, 2) / 8 - 1.0

    def forward(self, visual, visual_mask, ids, places, segments):
        """Packed training pass.

        visual (B, V, width), visual_mask (B, V) bool, ids, places, segments (B, S); segment 0 is
        padding. Returns hidden states of visual (B, V, width) and text (B, S, width).
        """
        text = self.embed(ids, places)
        x = torch.cat([visual, text], 1)
        v, s = visual.shape[1], ids.shape[1]
        same = (segments[:, :, None] == segments[:, None, :]) & (segments[:, :, None] > 0)
        causal = torch.ones(s, s, dtype=torch.bool).tril()
        allow = torch.zeros(len(x), v + s, v + s, dtype=torch.bool)
        allow[:, :, :v] = visual_mask[:, None, :]
        allow[:, v:, v:] = same & causal
        for layer in self.layers:
            q, k, w = layer.project(x)
            mixed = functional.scaled_dot_product_attention(q, k, w, attn_mask=allow[:, None])
            x = layer.finish(x, mixed, self.drop)
        return x[:, :v], x[:, v:]
