"""One short training of the decoder over a frozen vision network, and its answers on val.

Answers are decoded greedily, inside the grammar of the spatial language or free of it.
"""

import random
from collections import defaultdict

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.slis import SlisError
from eo_nodes.lvlm.spatial_metrics import box_iou
from training import schedule
from training.decoder.examples import Examples
from training.decoder.model import Decoder, DecoderConfig
from training.decoder.perception import Memory, Perception, store_key
from training.decoder.train import SIZES, Trainer, new_decoder, optimizer_of
from training.instruct.builder import load_images, stream

ASKED = 60                 # questions on val a set
LONGEST = 48               # tokens of an answer
NEAR = 26                  # bins, 5 % of the side, within which a point is right
_PACKS = 8


def exact(segments):
    """Canonical words of free text."""
    return " ".join(" ".join(s for s in segments if isinstance(s, str)).lower().split())


def score(said, truth):
    """Share in [0, 1] of an answer that is right; both are lists of segments, said may be None.

    Without a place in the truth: equal words. With places: 2 hits / (said + true), where a box
    hits at IoU 0.5, a point within 5 % of the side, and any other value if it is equal.
    """
    if said is None:
        return 0.0
    want = [v for v in truth if not isinstance(v, str | slis.Seg)]
    if not any(not isinstance(v, str) for v in truth):
        return float(exact(said) == exact(truth))
    if not want:                                    # a mask, which the pixel module draws
        return float(any(isinstance(v, slis.Seg) for v in said))
    have = [v for v in said if not isinstance(v, str | slis.Seg)]
    hits, left = 0, list(want)
    for value in have:
        found = next((t for t in left if _hits(value, t)), None)
        if found is not None:
            left.remove(found)
            hits += 1
    return 2 * hits / (len(have) + len(want))


def _hits(a, b):
    if a.kind != b.kind or a.image != b.image:
        return False
    if a.kind == "box":
        first, second = ([(v.x1, v.y1, v.x2 + 1, v.y2 + 1)] for v in (a, b))
        return bool(box_iou(first, second)[0, 0] >= 0.5)
    if a.kind == "point":
        return abs(a.x - b.x) <= NEAR and abs(a.y - b.y) <= NEAR
    return a == b


def _run(decoder, x, past, visual):
    """Layers over rows x (1, n, width) behind cached ones -> (last row, cache); visual: how many
    rows everything sees, the first of all."""
    n, before = x.shape[1], past[0][0].shape[2] if past else 0
    keys = torch.arange(before + n)[None]
    allow = (keys <= torch.arange(n)[:, None] + before) | (keys < visual)
    cache = []
    for i, layer in enumerate(decoder.layers):
        q, k, w = layer.project(x)
        if past:
            k, w = (torch.cat(pair, 2) for pair in zip(past[i], (k, w), strict=True))
        cache.append((k, w))
        mixed = functional.scaled_dot_product_attention(q, k, w, attn_mask=allow)
        x = layer.finish(x, mixed, 0.0)
    return x[0, -1], cache


@torch.no_grad()
def decode(decoder, words, visual, prompt, images, is_constrained, longest=LONGEST):
    """Ids of a greedy answer to prompt ids over visual tokens (1, V, width)."""
    automaton = slis.Automaton(words.slis, images=images, frames=max(2, images))
    state, said = automaton.start(), []
    table_in, table_out = decoder.table(decoder.place_in), decoder.table(decoder.place_out)

    def embed(ids, start):
        places = torch.arange(start, start + len(ids))
        return decoder.text_norm(table_in[ids] + decoder.positions(places))[None]

    longest, seen = min(longest, decoder.config.positions - len(prompt)), visual.shape[1]
    last, cache = _run(decoder, torch.cat([visual, embed(prompt, 0)], 1), None, seen)
    while len(said) < longest:
        logits = functional.linear(last, table_out, decoder.bias).numpy()
        if is_constrained:
            allowed = automaton.allowed(state, longest - len(said))
            logits = np.where(allowed, logits, -np.inf)
        token = int(logits.argmax())
        if is_constrained:
            state = automaton.advance(state, token)
        said.append(token)
        if token == words.end:
            break
        last, cache = _run(decoder, embed([token], len(prompt) + len(said) - 1), cache, seen)
    return said


class Bench:
    """Decoder, perception and data of one run.

    world: `ablate_vision.World`; checkpoint: of the vision network; words:
    `decoder.vocabulary.Words`; is_top_only: cells tell the deepest map alone; seen: file of what
    the vision network sees, shared by runs over one network; device: of the vision network, the
    decoder trains on the CPU.
    """

    def __init__(self, world, checkpoint, words, seed, is_top_only=False, seen=None,
                 device="cpu"):
        self.world, self.words, self.seed = world, words, seed
        self.perception = Perception(checkpoint, SIZES["compact"].longest,
                                     SIZES["compact"].upscale, device)
        self.memory = Memory(self.perception, seen)
        torch.manual_seed(seed)
        if world.backbone == "tiny":
            network = self.perception.network
            self.decoder = Decoder(DecoderConfig(
                1, len(words.tokens), network.cell_dim, self.perception.heads,
                len(network.config.kinds), network.config.depth, width=32, heads=2,
                relevance_dim=16))
        else:
            self.decoder = new_decoder("compact", self.perception, words)
        if is_top_only:
            self.decoder.projector.cell_channels = self.perception.network.top_dim

    def examples(self, split, seed=0):
        made = stream(self.world.data, split, seed, 0, sets=self.world.sets, augment=False)
        return Examples(made, self.memory, self.words, self.world.data, seed)

    def fill(self):
        """See every training picture now, so that a time budget is spent on the decoder."""
        items = {}
        for i in stream(self.world.data, "train", 0, 0, sets=self.world.sets, augment=False):
            for n, ref in enumerate(i.images):
                items.setdefault(store_key(ref), lambda i=i, n=n: load_images(
                    i, self.world.data)[n][:2])
        self.memory.fill(items.items(), say=lambda *_, **__: None)

    def train(self, budget):
        """Returns the number of steps."""
        if not budget.steps:
            self.fill()
        decoder, clock = self.decoder.train(), budget.clock()
        examples = self.examples("train", self.seed)
        trainer = self._trainer(examples)
        optimizer, step = optimizer_of(decoder), 0
        while (share := clock(step)) < 1:
            schedule.set_rate(optimizer, schedule.rate_at(share))
            optimizer.zero_grad(set_to_none=True)
            sum(trainer.loss(examples.draw(_PACKS)).values()).backward()
            clip_grad_norm_(decoder.parameters(), 1.0)
            optimizer.step()
            step += 1
        decoder.eval()
        self.memory.save()
        return step

    def _trainer(self, examples):
        return Trainer(self.decoder, self.perception, examples, self.words, self.world.data,
                       self.seed)

    @torch.no_grad()
    def scores(self, is_constrained=True, asked=ASKED):
        """{set.right: %, set.malformed: % of the answers that should hold a place}."""
        examples = self.examples("val")
        trainer = self._trainer(examples)
        decoder, words, report = self.decoder.eval(), self.words, {}
        decoder.drop = 0.0
        for name in examples.names:
            rights, broken = [], []
            for q in _chosen(examples, name, asked):
                visual = trainer.visual([q], 0.0)[0][None]
                said = decode(decoder, words, visual, q.prompt, len(q.instruction.images),
                              is_constrained)
                truth = slis.parse(q.instruction.answer)
                try:
                    segments = words.slis.segments(said)
                except SlisError:
                    segments = None
                rights.append(score(segments, truth))
                if any(not isinstance(v, str) for v in truth):
                    broken.append(segments is None)
            if rights:
                report[f"{name}.right"] = round(100 * float(np.mean(rights)), 2)
            if broken:
                report[f"{name}.malformed"] = round(100 * float(np.mean(broken)), 2)
        return report

    @torch.no_grad()
    def losses(self):
        """{set.answer_loss: nats, the mean over val}; the same questions for every run."""
        examples = self.examples("val")
        trainer, report = self._trainer(examples), {}
        decoder = self.decoder.eval()
        drop, decoder.drop = decoder.drop, 0.0
        for name in examples.names:
            packs = [[q] for q in _chosen(examples, name, ASKED)]
            each = [trainer.loss(packs[i:i + _PACKS], hide=0.0, zoom=0.0)["answer"].item()
                    for i in range(0, len(packs), _PACKS)]
            if each:
                report[f"{name}.answer_loss"] = round(float(np.mean(each)), 4)
        decoder.drop = drop
        return report


def _chosen(examples, name, most):
    """Questions of one set, tasks and kinds in turn; the same whatever the run."""
    by_kind = defaultdict(list)
    for key in examples.keys[name]:
        for q in examples.by_set[name][key]:
            by_kind[q.instruction.task, q.instruction.kind].append(q)
    rng = random.Random(0)
    pools = [sorted(by_kind[k], key=lambda q: q.instruction.id) for k in sorted(by_kind)]
    for pool in pools:
        rng.shuffle(pool)
    out = []
    while len(out) < most and any(pools):
        out += [pool.pop() for pool in pools if pool]
    return out[:most]


def store(path, bench, steps):
    """Decoder of a run, for another run to decode with."""
    schedule.save(path, {"decoder": bench.decoder.state_dict(), "steps": steps})


def restore(path, bench):
    """Put a stored decoder into a bench."""
    bench.decoder.load_state_dict(schedule.restore(path)["decoder"])
    bench.decoder.eval()
