"""The captioner: projector, causal layers started from MiniLM, relevance head.

Layout of a sequence: visual tokens first (they attend to each other), then text segments, each
causal and attending to all visual tokens. In training several questions on one picture are packed
as segments that do not see each other; at run time there is one.

Origin of the layers: BERT block (Devlin 2018) with the first layers of all-MiniLM-L6-v2
(Apache-2.0); projector, tags and relevance head are our own.
"""

from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from training.projector import Projector
from training.vocabulary import _source


@dataclass(frozen=True, slots=True)
class LanguageConfig:
    """feature_dim: width of the trunk's tokens; positions: longest prompt and answer in tokens.

    width and heads are MiniLM's; tests use smaller ones. summary: the projector's heads.
    """

    layers: int
    feature_dim: int
    vocabulary: int
    positions: int = 128
    relevance_dim: int = 64
    width: int = 384
    heads: int = 12
    summary: tuple = ()
    kinds: int = 6

    @property
    def head_dim(self):
        return self.width // self.heads

    def to_dict(self):
        return asdict(self)


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
        self.projector = Projector(config.feature_dim, width, config.summary, config.kinds)
        self.words = nn.Embedding(config.vocabulary, width)
        self.positions = nn.Embedding(config.positions, width)
        self.text_norm = nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList(Layer(width, config.heads) for _ in range(config.layers))
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
        """Against the word vectors themselves, as they came in."""
        return functional.linear(hidden, self.words.weight) + self.bias

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
