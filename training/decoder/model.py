"""The autoregressive decoder: causal layers started from MiniLM, words and spatial tokens.

Layout of a sequence: visual tokens first (they attend to each other), then text segments, each
causal and attending to all visual tokens. In training several questions on one picture are packed
as segments that do not see each other; at run time there is one.

Origin of the layers: BERT block (Devlin 2018) with the first layers of all-MiniLM-L6-v2
(Apache-2.0). Location tokens have no vectors of their own: a linear layer makes them from the code
of the place, so near places have near vectors, and few examples teach all 512.
"""

from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from training.decoder.asked_layer import Asked
from training.decoder.places import CODE, bin_codes
from training.decoder.projector import Projector
from training.minilm import Layer
from training.packages import minilm_folder

BINS, MARKS = 512, 16           # location tokens; markers, end and image tokens before them


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """words: size of the cut word vocabulary; positions: longest prompt and answer in tokens;
    depth: of the pixel map; heads_vision: (name, outputs) of the vision network's heads."""

    layers: int
    words: int
    cell_dim: int
    heads_vision: tuple
    kinds: int
    depth: int = 64
    positions: int = 256
    relevance_dim: int = 64
    pointer_dim: int = 64
    width: int = 384
    heads: int = 12

    @property
    def vocabulary(self):
        return self.words + MARKS + BINS

    @property
    def head_dim(self):
        return self.width // self.heads

    @property
    def streams(self):
        """(layers, heads, heads of the cache, size of a head, multiply-accumulates of a layer's
        matrices for one token)."""
        return [(self.layers, self.heads, self.heads, self.head_dim, 12 * self.width**2)]

    def to_dict(self):
        return asdict(self)


def packed_mask(visual_mask, segments):
    """(B, V + S, V + S) bool, who may attend to whom in a packed pass.

    All see the visual tokens that ``visual_mask`` (B, V) shows; text sees what stands before it in
    its own of ``segments`` (B, S), of which 0 is padding.
    """
    v, s = visual_mask.shape[1], segments.shape[1]
    at = segments.device
    same = (segments[:, :, None] == segments[:, None, :]) & (segments[:, :, None] > 0)
    allow = torch.zeros(len(segments), v + s, v + s, dtype=torch.bool, device=at)
    allow[:, :, :v] = visual_mask[:, None, :]
    allow[:, v:, v:] = same & torch.ones(s, s, dtype=torch.bool, device=at).tril()
    allow[:, range(v + s), range(v + s)] = True           # padding sees itself: no empty softmax
    return allow


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, width = config, config.width
        self.projector = Projector(config.cell_dim, config.depth, width, config.heads_vision,
                                   config.kinds)
        self.words = nn.Embedding(config.words, width)
        self.marks = nn.Embedding(MARKS, width)
        nn.init.normal_(self.marks.weight, std=0.06)
        self.place_in, self.place_out = nn.Linear(CODE, width), nn.Linear(CODE, width)
        for layer in (self.place_in, self.place_out):
            nn.init.normal_(layer.weight, std=0.06 / CODE**0.5)
        self.register_buffer("bins", bin_codes(BINS), persistent=False)
        self.positions = nn.Embedding(config.positions, width)
        self.text_norm = nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList(Layer(width, config.heads) for _ in range(config.layers))
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.ask, self.offer = (nn.Linear(width, config.relevance_dim) for _ in range(2))
        self.query = nn.Linear(width, config.depth)
        self.query_bias = nn.Parameter(torch.tensor(-2.0))
        self.aim, self.held = (nn.Linear(width, config.pointer_dim + n) for n in (2, 0))
        self.asked = Asked(width, config.kinds, config.heads_vision)
        self.drop = 0.1

    def start_from_minilm(self, tokens):
        """Copy embeddings of ``tokens`` (list of str, by new id) and the first layers."""
        source = load_file(minilm_folder() / "model.safetensors")
        words = (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
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

    def table(self, place):
        """(vocabulary, width) vectors of all tokens."""
        return torch.cat([self.words.weight, self.marks.weight, place(self.bins)])

    def embed(self, ids, places):
        return self.text_norm(functional.embedding(ids, self.table(self.place_in))
                              + self.positions(places))

    def logits(self, hidden):
        """Against the vectors of the words as they came in, and places of their own."""
        return functional.linear(hidden, self.table(self.place_out), self.bias)

    def asks(self, state, prompt):
        """Logits (size,) of `asked_layer.Asked`; state (width,) at the end of the prompt (ids)."""
        ids = torch.as_tensor(prompt, device=state.device)
        words = functional.embedding(ids, self.table(self.place_in))
        return self.asked.read(state[None], words[None])[0]

    def relevance(self, query, visual):
        """Hidden of the prompt's end (B, K, width), of visual tokens (B, V, width) -> (B, K, V)."""
        return self.ask(query) @ self.offer(visual).transpose(1, 2) / 8 - 1.0

    def forward(self, visual, visual_mask, ids, places, segments):
        """Packed training pass.

        visual (B, V, width), visual_mask (B, V) bool, ids, places, segments (B, S); segment 0 is
        padding. Returns hidden states of visual (B, V, width) and text (B, S, width).
        """
        x = torch.cat([visual, self.embed(ids, places)], 1)
        v = visual.shape[1]
        allow = packed_mask(visual_mask, segments)
        for layer in self.layers:
            q, k, w = layer.project(x)
            mixed = functional.scaled_dot_product_attention(q, k, w, attn_mask=allow[:, None])
            x = layer.finish(x, mixed, self.drop)
        return x[:, :v], x[:, v:]
