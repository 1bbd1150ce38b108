"""The decoder of the regular size: the compact decoder beside a frozen language model.

Two streams read the same pictures and words. The wide one (`llama.LlamaDecoder`: SmolLM2's layers
with the adapters that stage 2 taught them) only runs forward. The narrow one is the compact model's
decoder, frozen in the int8 that its folder stores, with low-rank adapters; before each of its
layers, and behind the last, it reads the wide stream's states over a rung that starts at nothing.
So the regular model begins as the compact one with better summaries, and gains by what it learns to
read; no gradient runs through the wide stream, a step costs a third.

Origin: ladder side-tuning (Sung 2022), with a trained side network where theirs is pruned from the
backbone. Adapters: LoRA (Hu 2021). The map to words: tuned lens (Belrose 2023).

The pictures come from two networks side by side (`training.vision.dual`): the narrow stream reads
the compact model's own, to which is added what the fine one sees; the wide stream the fine one's.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional

from training.decoder.asked_layer import Asked
from training.decoder.llama import LlamaDecoderConfig, rms
from training.decoder.model import BINS, MARKS, packed_mask
from training.decoder.projector import DualProjector, Projector, halves

SIDE = ("products.{}", "model.layers.{}.out", "model.layers.{}.up", "model.layers.{}.down")
READ = ("ask", "offer", "query", "aim", "held")


@dataclass(frozen=True, slots=True)
class LadderConfig:
    """wide: of the frozen language model, its cells and maps the fine network's; the rest of the
    narrow stream, as `model.DecoderConfig` has it, its the coarse network's. rank: of its adapters.
    """

    wide: LlamaDecoderConfig
    side_layers: int
    words: int
    cell_dim: int
    heads_vision: tuple
    kinds: int
    depth: int = 64
    positions: int = 256
    relevance_dim: int = 64
    pointer_dim: int = 64
    side_width: int = 384
    side_heads: int = 12
    rank: int = 16

    @classmethod
    def of(cls, wide, narrow, rank=16):
        """From the configurations of both decoders."""
        same = ("words", "cell_dim", "heads_vision", "kinds", "depth", "positions",
                "relevance_dim", "pointer_dim")
        return cls(wide, narrow.layers, side_width=narrow.width, side_heads=narrow.heads,
                   rank=rank, **{k: getattr(narrow, k) for k in same})

    @classmethod
    def read(cls, raw):
        """Inverse of `to_dict`."""
        wide = {k: tuple(map(tuple, v)) if k == "heads_vision" else v
                for k, v in raw["wide"].items()}
        wide["taken"] = tuple(wide["taken"])
        return cls(**{**raw, "wide": LlamaDecoderConfig(**wide),
                      "heads_vision": tuple(map(tuple, raw["heads_vision"]))})

    @property
    def vocabulary(self):
        return self.words + MARKS + BINS

    @property
    def side_head_dim(self):
        return self.side_width // self.side_heads

    @property
    def width(self):
        """Of a visual token: both streams' side by side."""
        return self.wide.width + self.side_width

    @property
    def taps(self):
        """Behind how many wide layers each rung begins: one a narrow layer, and the last."""
        n = self.side_layers + 1
        return tuple(round((i + 1) * self.wide.layers / n) for i in range(n))

    @property
    def streams(self):
        """As `model.DecoderConfig.streams`; the narrow stream's rungs count with its layers."""
        w, d, n = self.wide, self.side_width, self.side_layers
        side = 12 * d * d + self.rank * 16 * d + round((n + 1) / n * w.width * d)
        return [(w.layers, w.heads, w.kv_heads, w.head_dim, w.layer_macs),
                (n, self.side_heads, self.side_heads, self.side_head_dim, side)]

    def to_dict(self):
        return asdict(self)


class BothProjector(nn.Module):
    """Visual tokens of both streams side by side; methods as `Projector` has them.

    wide: `Projector` of what the fine network sees, narrow: `DualProjector`."""

    def __init__(self, wide, narrow):
        super().__init__()
        self.wide, self.narrow = wide, narrow

    heads = property(lambda self: self.narrow.heads)
    place = property(lambda self: self.narrow.place)
    summary_tokens = property(lambda self: self.narrow.summary_tokens)

    def cells(self, cells, *others):
        fine = cells[..., :self.narrow.sizes[0]]
        return torch.cat([self.wide.cells(fine, *others), self.narrow.cells(cells, *others)], -1)

    def summary(self, *given):
        return torch.cat([self.wide.summary(*given), self.narrow.summary(*given)], -1)

    def regions(self, boxes, look, *others):
        fine = look[..., :self.narrow.sizes[1]]
        return torch.cat([self.wide.regions(boxes, fine, *others),
                          self.narrow.regions(boxes, look, *others)], -1)

    def change(self, pooled):
        fine, _ = halves(pooled, self.narrow.sizes[1])
        return torch.cat([self.wide.change(fine), self.narrow.change(pooled)], -1)


class Rung(nn.Module):
    """From the wide stream's states to the narrow one's; adds nothing at first.

    gain: makes each channel's usual size one (`start`): some channels of a language model are
    hundreds of times larger than others.
    """

    def __init__(self, wide, narrow):
        super().__init__()
        self.register_buffer("gain", torch.ones(wide))
        self.out = nn.Linear(wide, narrow)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, states, eps):
        return self.out(rms(states, eps) * self.gain)

    @torch.no_grad()
    def start(self, states, eps):
        """states (..., wide) of some batch."""
        seen = rms(states, eps).flatten(0, -2)
        self.gain.copy_(1 / seen.pow(2).mean(0).sqrt().clamp_min(1e-3))


class Side(nn.Module):
    """A low-rank change of one product; none at first."""

    def __init__(self, inputs, outputs, rank):
        super().__init__()
        self.enter = nn.Parameter(torch.randn(inputs, rank) * inputs**-0.5)
        self.leave = nn.Parameter(torch.zeros(rank, outputs))

    def forward(self, x):
        return x @ self.enter @ self.leave


def is_own(name, value):
    """Whether the ladder trains a copy of this tensor of the compact decoder: vectors, and the
    small maps by which it points and looks."""
    return value.ndim == 1 or name.removeprefix("model.").split(".")[0] in READ


class LadderDecoder(nn.Module):
    """wide: `LlamaDecoder` with the same words; narrow: {name: tensor} of the compact decoder's
    graph (`training.stored.weights_of`)."""

    FRESH = ("rungs", "sides", "lens", "fine_query", "projector.narrow.cell",
             "projector.narrow.look", "projector.narrow.pair")
    RATES = (1e-3, 2e-4)

    def __init__(self, config, wide, narrow):
        super().__init__()
        self.config = config
        self.wide = wide.hush().requires_grad_(False)
        c = config
        self.projector = BothProjector(wide.projector, DualProjector(
            Projector(c.cell_dim, c.depth, c.side_width, c.heads_vision, c.kinds),
            c.wide.cell_dim, c.wide.depth))
        narrow = {n: v for n, v in narrow.items() if not n.startswith("model.asked.")}
        self.frozen_names = [n for n, v in narrow.items() if not is_own(n, v)]
        for name in self.frozen_names:
            self.register_buffer(_flat(name), narrow[name], persistent=False)
        self.own = nn.ParameterDict({_flat(n): nn.Parameter(v.clone())
                                     for n, v in narrow.items() if is_own(n, v)})
        self.sides = nn.ModuleDict({
            _flat(n): Side(v.shape[1], v.shape[0], c.rank) for n, v in narrow.items()
            if n.startswith(("products", "model.layers")) and not is_own(n, v)})
        self.rungs = nn.ModuleList(Rung(c.wide.width, c.side_width) for _ in c.taps)
        self.register_buffer("voice", torch.ones(()))      # of the rungs; chosen on val (`voice`)
        self.lens = nn.Linear(c.side_width, c.side_width, bias=False)
        nn.init.zeros_(self.lens.weight)
        self.fine_query = nn.Linear(c.side_width, c.wide.depth)
        nn.init.zeros_(self.fine_query.weight)
        nn.init.zeros_(self.fine_query.bias)
        self.query_bias = nn.Parameter(torch.tensor(-2.0))
        self.asked = Asked(c.side_width, c.kinds, c.heads_vision)
        self.drop = 0.1
        self.is_alone = False      # the narrow stream does not listen: a first, cheap lesson

    @property
    def frozen_numbers(self):
        """How many numbers no training here touched."""
        frozen = [*self.wide.frozen.values(), *map(self.value, self.frozen_names)]
        return sum(v.numel() for v in frozen)

    def value(self, name):
        """A tensor of the compact decoder: trained here, or as it was."""
        flat = _flat(name)
        return self.own[flat] if flat in self.own else getattr(self, flat)

    @property
    def bias(self):
        return self.value("model.bias")

    def train(self, mode=True):
        super().train(mode)
        self.wide.eval()
        return self

    def start(self, batches):
        """Measure the wide stream on batches (arguments of `forward`), before training."""
        heard = [self.listen(*batch) for batch in batches]
        for rung, states in zip(self.rungs, zip(*heard, strict=True), strict=True):
            rung.start(torch.cat([s.flatten(0, 1) for s in states]), self.config.wide.eps)

    @torch.no_grad()
    def listen(self, visual, visual_mask, ids, places, segments):
        """States of the wide stream at the taps, (B, V + S, wide width) each."""
        heard = []
        self.wide(visual[..., :self.config.wide.width], visual_mask, ids, places, segments,
                  lambda n, x: heard.extend([x] * self.config.taps.count(n + 1)))
        return heard

    def times(self, x, name):
        """Product with a matrix of the compact decoder and its adapter."""
        return (functional.linear(x, self.value(f"{name}.weight"), self.value(f"{name}.bias"))
                + self.sides[_flat(f"{name}.weight")](x))

    def norm(self, x, name):
        return functional.layer_norm(x, (self.config.side_width,), self.value(f"{name}.weight"),
                                     self.value(f"{name}.bias"), 1e-12)

    def embed(self, ids, places):
        return self.norm(functional.embedding(ids, self.value("table_in"))
                         + functional.embedding(places, self.value("model.positions.weight")),
                         "model.text_norm")

    def project(self, n, x):
        """Queries, already scaled, keys and values of narrow layer n, (B, heads, T, d) each."""
        c = self.config
        split = self.times(x, SIDE[0].format(n)).unflatten(-1, (3 * c.side_heads, -1))
        return split.transpose(1, 2).split(c.side_heads, 1)

    def finish(self, n, x, mixed):
        """Narrow layer n behind its attention; mixed (B, heads, T, d)."""
        out, up, down = (name.format(n) for name in SIDE[1:])
        mixed = self.times(mixed.transpose(1, 2).flatten(2), out)
        at = f"model.layers.{n}"
        x = self.norm(x + functional.dropout(mixed, self.drop, self.training), f"{at}.norm1")
        y = self.times(functional.gelu(self.times(x, up)), down)
        return self.norm(x + functional.dropout(y, self.drop, self.training), f"{at}.norm2")

    def map(self, name, x):
        """Small maps of the compact decoder: ask, offer, query, aim, held."""
        return functional.linear(x, self.value(f"model.{name}.weight"),
                                 self.value(f"model.{name}.bias"))

    def query(self, x):
        """(..., width) -> (..., depth) over the maps of both networks."""
        return torch.cat([self.fine_query(x), self.map("query", x)], -1)

    def aim(self, x):
        return self.map("aim", x)

    def held(self, x):
        return self.map("held", x)

    def asks(self, state, prompt):
        """As `model.Decoder.asks`."""
        ids = torch.as_tensor(prompt, device=state.device)
        words = functional.embedding(ids, self.value("table_in"))
        return self.asked.read(state[None], words[None])[0]

    def relevance(self, query, visual):
        """Hidden of the prompt's end (B, K, width), of visual tokens (B, V, width) -> (B, K, V)."""
        return self.map("ask", query) @ self.map("offer", visual).transpose(1, 2) / 8 - 1.0

    def logits(self, hidden):
        """Against the compact decoder's vectors of words and places."""
        return functional.linear(hidden + self.lens(hidden), self.value("table_out"), self.bias)

    def forward(self, visual, visual_mask, ids, places, segments):
        """Packed training pass; as `model.Decoder.forward`, hidden states of the narrow stream."""
        heard = () if self.is_alone else self.listen(
            visual, visual_mask, ids, places, segments)
        return self.read(heard, visual, visual_mask, ids, places, segments)

    def read(self, heard, visual, visual_mask, ids, places, segments):
        """`forward` behind `listen`; heard: nothing where the narrow stream is alone."""
        eps, v = self.config.wide.eps, visual.shape[1]
        x = torch.cat([visual[..., self.config.wide.width:], self.embed(ids, places)], 1)
        allow = packed_mask(visual_mask, segments)
        for n in range(self.config.side_layers):
            x = x + self.voice * self.rungs[n](heard[n], eps) if heard else x
            q, k, w = self.project(n, x)
            mixed = functional.scaled_dot_product_attention(
                q, k, w, attn_mask=allow[:, None], scale=1.0)
            x = self.finish(n, x, mixed)
        x = x + self.voice * self.rungs[-1](heard[-1], eps) if heard else x
        return x[:, :v], x[:, v:]


def _flat(name):
    return name.replace(".", "_")
