"""The decoder of the regular size: frozen SmolLM2 layers with low-rank adapters.

Same layout of a sequence and same interface as `model.Decoder`. The frozen weights are those that
`spaceverse models assemble` writes (`eo_nodes.lvlm.assemble.llama`): int8 with a scale a channel,
read from the pinned package and never stored in a checkpoint. What trains: adapters, projector,
vectors of spatial tokens, relevance, query, a bias a token, a gain on the last norm, and a map to
words: hidden states of an inner layer are not at home where the last one's words are read off.

Origin of the layers: Llama (Touvron 2023) as SmolLM2-135M-Instruct has it (Apache-2.0): root-mean-
square norms, rotary places, grouped queries, gated feed-forward. Adapters: LoRA (Hu 2021). Map to
words: tuned lens (Belrose 2023).
Visual tokens all stand at rotary place 0 (their projector says where they lie), text from 1 on.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from eo_nodes.lvlm.assemble import llama
from training.decoder.model import BINS, MARKS, packed_mask
from training.decoder.places import CODE, bin_codes
from training.decoder.projector import Projector

STORAGE = "int8"
SPEECH = ("bias", "gain", "lens", "place_out", "ask", "offer", "query", "query_bias", "aim", "held")


@dataclass(frozen=True, slots=True)
class LlamaDecoderConfig:
    """taken: layers of the source in order; words: kept of its vocabulary; rank: of the adapters.

    heads, kv_heads, width, inner, base, eps: as in `llama.LlamaSizes`; the rest as in
    `model.DecoderConfig`.
    """

    taken: tuple
    words: int
    cell_dim: int
    heads_vision: tuple
    kinds: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    base: float
    eps: float
    rank: int = 12
    depth: int = 64
    positions: int = 256
    relevance_dim: int = 64
    pointer_dim: int = 64

    @classmethod
    def of(cls, sizes, **more):
        """From `llama.LlamaSizes`."""
        return cls(heads=sizes.heads, kv_heads=sizes.kv_heads, width=sizes.width,
                   inner=sizes.inner, base=sizes.base, eps=sizes.eps, **more)

    @property
    def layers(self):
        return len(self.taken)

    @property
    def vocabulary(self):
        return self.words + MARKS + BINS

    @property
    def head_dim(self):
        return self.width // self.heads

    @property
    def sizes(self):
        """`llama.LlamaSizes` of what is taken."""
        return llama.LlamaSizes(self.layers, self.heads, self.kv_heads, self.width, self.inner,
                                self.words, self.base, self.eps)

    @property
    def matrices(self):
        """(in, out) of each matrix of a layer."""
        d, kv, inner = self.width, self.kv_heads * self.head_dim, self.inner
        return {"q": (d, d), "k": (d, kv), "v": (d, kv), "o": (d, d), "gate": (d, inner),
                "up": (d, inner), "down": (inner, d)}

    @property
    def layer_macs(self):
        """Of one layer's matrices and their adapters, for one token."""
        return sum(a * b + self.rank * (a + b) for a, b in self.matrices.values())

    def slots(self, storage=STORAGE):
        """What the file of frozen weights holds."""
        return llama.plan(self.sizes, self.taken, self.words, storage)

    def to_dict(self):
        return asdict(self)


class Adapters(nn.Module):
    """Low-rank changes of the matrices of one layer; they start at none."""

    def __init__(self, matrices, rank):
        super().__init__()
        self.enter = nn.ParameterDict({
            k: nn.Parameter(torch.randn(a, rank) * a**-0.5) for k, (a, _) in matrices.items()})
        self.leave = nn.ParameterDict({
            k: nn.Parameter(torch.zeros(rank, b)) for k, (_, b) in matrices.items()})

    def forward(self, name, x):
        return x @ self.enter[name] @ self.leave[name]


def rms(x, eps):
    """Root-mean-square norm without a gain, in float32 whatever comes in."""
    x = x.float()
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)


def rotate(x, cos, sin):
    """Halves of (B, heads, T, head_dim) turned; cos, sin (B, 1, T, head_dim)."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class LlamaDecoder(nn.Module):
    """frozen: name of `llama.plan` -> float32 tensor; None: zeros until `freeze`."""

    def __init__(self, config, frozen=None):
        super().__init__()
        self.config, width = config, config.width
        self.projector = Projector(config.cell_dim, config.depth, width, config.heads_vision,
                                   config.kinds)
        self.marks = nn.Embedding(MARKS, width)
        self.place_in, self.place_out = nn.Linear(CODE, width), nn.Linear(CODE, width)
        self.register_buffer("bins", bin_codes(BINS), persistent=False)
        self.adapters = nn.ModuleList(Adapters(config.matrices, config.rank)
                                      for _ in config.taken)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.gain = nn.Parameter(torch.ones(width))
        self.lens = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.lens.weight)
        self.ask, self.offer = (nn.Linear(width, config.relevance_dim) for _ in range(2))
        self.query = nn.Linear(width, config.depth)
        self.query_bias = nn.Parameter(torch.tensor(-2.0))
        self.aim, self.held = (nn.Linear(width, config.pointer_dim + n) for n in (2, 0))
        steps = config.base ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
        self.register_buffer("steps", torch.from_numpy(np.concatenate([steps, steps])).float(),
                             persistent=False)
        self.saves_memory = False      # computes each layer again in the backward pass
        self.names = [s.name for s in config.slots("float32")]
        for slot in config.slots("float32"):
            self.register_buffer(self._buffer(slot.name), torch.zeros(slot.shape),
                                 persistent=False)
        if frozen is not None:
            self.freeze(frozen)

    @staticmethod
    def _buffer(name):
        return "frozen_" + name.replace(".", "_")

    @property
    def frozen(self):
        """Name of `llama.plan` -> weight."""
        return {n: getattr(self, self._buffer(n)) for n in self.names}

    def freeze(self, weights):
        """Put the frozen weights in; returns self."""
        for name in self.names:
            held, new = getattr(self, self._buffer(name)), weights[name]
            if held.shape != new.shape:
                raise ValueError(f"{name} has shape {tuple(new.shape)}, not {tuple(held.shape)}")
            held.copy_(new)
        return self

    @torch.no_grad()
    def start_new(self, is_whole=True):
        """Bring what is new to the size of the frozen word vectors; once, before training.

        is_whole: all layers of the source are taken. Their logits start at half: what they are
        sure of is how their own dialogues go on, not ours. Behind fewer layers the last norm is
        not at home, logits that repeat the word just read would be 50 and more: near 1 then.
        """
        size = self.frozen_embedding.std().item()
        nn.init.normal_(self.marks.weight, std=size)
        for layer in (self.place_in, self.place_out):
            nn.init.normal_(layer.weight, std=size / CODE**0.5)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.projector.out.weight, size)
        usual = size * self.frozen_norm.mean().item() * self.config.width**0.5
        nn.init.constant_(self.gain, 0.5 if is_whole else 1 / usual)

    def hush(self):
        """Drop what only answering needs; what is left reads. Returns self."""
        for name in SPEECH:
            delattr(self, name)
        return self

    def table(self, place):
        """(vocabulary, width) vectors of all tokens."""
        return torch.cat([self.frozen_embedding, self.marks.weight, place(self.bins)])

    def embed(self, ids, places):
        """places: of no use here, where they are turned in; the interface has them."""
        return functional.embedding(ids, self.table(self.place_in))

    def logits(self, hidden):
        """Against the vectors of the words as they came in, and places of their own."""
        return functional.linear(self.spoken(hidden) * self.frozen_norm * self.gain,
                                 self.table(self.place_out), self.bias)

    def spoken(self, hidden):
        """Hidden states (..., width) as the frozen vectors of words expect them."""
        return hidden + self.lens(hidden)

    def relevance(self, query, visual):
        """Hidden of the prompt's end (B, K, width), of visual tokens (B, V, width) -> (B, K, V)."""
        return self.ask(query) @ self.offer(visual).transpose(1, 2) / 8 - 1.0

    def turns(self, places):
        """Rotary places (B, T) -> cosine and sine (B, 1, T, head_dim)."""
        angle = places[:, None, :, None].float() * self.steps
        return angle.cos(), angle.sin()

    def times(self, x, n, name, frozen):
        """Product with a matrix of layer n and its adapter."""
        return x @ frozen[f"{n}.{name}"] + self.adapters[n](name, x)

    def project(self, n, x, cos, sin, frozen):
        """Layer n: queries (B, heads, T, d), keys and values (B, kv_heads, T, d)."""
        y = rms(x, self.config.eps) * frozen[f"{n}.attn_norm"]
        q, k, v = (self.times(y, n, name, frozen).unflatten(-1, (-1, self.config.head_dim))
                   .transpose(1, 2) for name in "qkv")
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def finish(self, n, x, mixed, frozen):
        """Layer n behind its attention; mixed (B, heads, T, d)."""
        x = x + self.times(mixed.transpose(1, 2).flatten(2), n, "o", frozen)
        y = rms(x, self.config.eps) * frozen[f"{n}.ffn_norm"]
        gate = functional.silu(self.times(y, n, "gate", frozen))
        return x + self.times(gate * self.times(y, n, "up", frozen), n, "down", frozen)

    def last(self, x):
        """Output of the layers -> hidden states of unit root mean square."""
        return rms(x, self.config.eps)

    def _layer(self, n, x, cos, sin, allow, frozen):
        q, k, v = self.project(n, x, cos, sin, frozen)
        group = self.config.heads // self.config.kv_heads
        k, v = (t.repeat_interleave(group, 1) for t in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v.to(q.dtype), attn_mask=allow)
        return self.finish(n, x, mixed, frozen)

    def forward(self, visual, visual_mask, ids, places, segments, hear=None):
        """Packed training pass; as `model.Decoder.forward`.

        hear: called with the number of each layer and the states (B, V + S, width) behind it.
        """
        x = torch.cat([visual, self.embed(ids, places)], 1)
        v = visual.shape[1]
        allow = packed_mask(visual_mask, segments)
        turned = torch.cat([places.new_zeros(len(x), v), places + 1], 1)
        given = (*self.turns(turned), allow[:, None], self.frozen)
        for n in range(self.config.layers):
            if self.saves_memory and self.training:
                x = checkpoint(self._layer, n, x, *given, use_reentrant=False)
            else:
                x = self._layer(n, x, *given)
            if hear is not None:
                hear(n, x)
        x = self.last(x)
        return x[:, :v], x[:, v:]


def frozen_of(source, taken, kept, storage=STORAGE):
    """The weights of a `GgufFile` as the runtime computes with them: {name: float32 tensor}.

    kept: of each word the source ids whose vectors' mean it gets.
    """
    found = {n: torch.from_numpy(np.array(v, np.float32))
             for n, v in llama.tensors(source, taken, kept, storage)}
    scales = {n: found.pop(n) for n in list(found) if n.endswith(".scale")}
    return {n: v * scales[f"{n}.scale"] if f"{n}.scale" in scales else v
            for n, v in found.items()}
