"""Stage 2 of a model: the decoder on instructions, over the frozen vision network of stage 1.

    python -m training.decoder.train --model compact --data DIR --minutes 60
    python -m training.decoder.train --model language --data DIR --minutes 60
    python -m training.decoder.train --model regular --data DIR --minutes 60

language: SmolLM2's layers learn to read pictures, by adapters, on the sight of the regular size.
regular: the decoder of `--compact`, a released folder, goes on from there beside them (`ladder`).

Seeded and, without --again, resumable as stage 1. What the vision network sees is kept in `seen.pt`
beside the checkpoint; `--fill` computes it for all pictures first and ends.
"""

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from eo_nodes.lvlm.assemble import llama
from eo_nodes.lvlm.unified_scene import MOST_PROMPTS
from training import schedule
from training.decoder import pointing
from training.decoder.asked import Things, asked_for
from training.decoder.examples import (
    Examples,
    Visual,
    focus_target,
    prompts_of,
    seg_places,
    seg_target,
)
from training.decoder.ladder import LadderConfig, LadderDecoder
from training.decoder.llama import SPEECH, LlamaDecoder, LlamaDecoderConfig, frozen_of
from training.decoder.llama_export import Source
from training.decoder.model import BINS, Decoder, DecoderConfig
from training.decoder.perception import CoarseSight, Memory, Perception, store_key
from training.decoder.vocabulary import Words
from training.instruct.builder import load_images, stream
from training.recipe import CHECKPOINTS
from training.stored import put, weights_of
from training.vision.dual import PLAIN, read_shares, read_shifts
from training.vision.expert import EXPERT
from training.vision.losses import mask_loss
from training.vision.plan import DENSE


@dataclass(frozen=True, slots=True)
class Size:
    """layers of the decoder that are new or, where frozen, taken; longest side of a view in
    pixels, and how far small pictures are enlarged; packs in a step; sight: whose vision network;
    is_dual: the compact folder's network looks as well; is_frozen: weights of a package stand in
    it."""

    layers: int
    longest: int
    upscale: float
    packs: int
    sight: str
    is_dual: bool = False
    is_frozen: bool = False


# Losses fall with the number of steps, hardly with what one step sees: 16 packs a step took four
# times as long for the same loss as 4.
# Of SmolLM2 the first 17 layers of 30 make five times the parameters of compact; a step takes
# little more than half the time of all 30.
SIZES = {"compact": Size(4, 256, 1.75, 4, "compact"),
         "language": Size(17, 448, 2.75, 2, "regular", is_frozen=True),
         "regular": Size(4, 448, 2.75, 4, "regular", True, is_frozen=True)}
FRESH = ("projector", "ask", "offer", "bias", "marks", "place", "query", "gain", "adapters", "aim",
         "held", "asked")
RATES = (1e-3, 4e-4)       # of what is fresh, of what was trained elsewhere
COPIED = 0.1               # weight of fields that the pointer copies from a proposal
NATURAL = ("rsvqa_lr", "rsvqa_hr")     # their exams keep the publishers' shares of answers
WORD_DEVIATION = 0.07      # of MiniLM's vectors, for which the projector's scale was chosen
MEASURED = 24              # packs on which the ladder measures the wide stream
EPOCH = 4000               # packs drawn from one set of phrasings: building them takes 15 s
HIDE = 0.35                # share of packs without cells: half the work, no leaning on one source
ZOOMED = (*DENSE, "world")  # sets whose objects are small: zooms are practised on them
ZOOM_SHARE = 0.25           # of their packs
SPREAD = torch.tensor([0.02, 0.06, 0.17, 0.5, 0.17, 0.06, 0.02])     # of a location's truth


def answer_loss(decoder, hidden, targets):
    """Mean cross-entropy of answer tokens; a location's truth is spread over its neighbours.

    hidden (T, width) at answer tokens; targets (T,) ids.
    """
    logprobs = decoder.logits(hidden).float().log_softmax(-1)
    first = decoder.config.vocabulary - BINS
    is_place = targets >= first
    plain = -logprobs.gather(1, targets[:, None])[:, 0]
    if not is_place.any():
        return plain
    near = targets[is_place][:, None] + torch.arange(-3, 4, device=targets.device)
    inside = (near >= first) & (near < first + BINS)
    share = SPREAD.to(near.device).expand_as(near) * inside
    share = share / share.sum(1, keepdim=True)
    soft = -(logprobs[is_place].gather(1, near.clamp(first, first + BINS - 1)) * share).sum(1)
    out = plain.clone()
    out[is_place] = soft
    return out


class Trainer:
    """One decoder with its data; `loss(packs)` is what an optimiser step needs."""

    def __init__(self, decoder, perception, examples, words, data, seed):
        self.decoder, self.examples, self.words, self.data = decoder, examples, words, data
        self.split, self.device = [n for _, n in perception.heads], decoder.bias.device
        self.rng, self.longest = random.Random(seed), perception.longest
        self.things = Things.of(perception.heads, perception.names)

    def visual(self, pack, hide, zoom=0.0):
        """zoom: chance that zooms are looked at as well."""
        found, pair = self.examples.seen(pack[0])
        prompts = [v for q in pack for v in prompts_of(q)][:MOST_PROMPTS]
        view = Visual(self.decoder.projector, self.split, hide, self.rng)
        i = pack[0].instruction
        closer = ()
        if len(found) == 1 and i.set in ZOOMED and self.rng.random() < zoom:
            closer = self.examples.closer(pack[0], prompts, self.longest)
        tokens, grid, offered = view.tokens(found, pair, prompts, i.images, i.modality, closer)
        pixel = pair["pixel"].float() if pair is not None else found[0].all_pixels
        return tokens[0], grid, pixel.to(self.device), offered

    def loss(self, packs, hide=HIDE, zoom=ZOOM_SHARE):
        """{name: scalar} of packed questions."""
        seen = [self.visual(p, hide, zoom) for p in packs]
        batch, wanted = self.packed(packs, seen)
        seen_hidden, text = self.decoder(*batch)
        return self.losses_of(packs, seen, wanted, seen_hidden, text)

    def batch(self, packs):
        """Arguments of the decoder's forward pass."""
        return self.packed(packs, [self.visual(p, HIDE) for p in packs])[0]

    def packed(self, packs, seen):
        """Arguments of the decoder's forward pass, and [(pack, first token, question, number)]."""
        visual = pad_sequence([t for t, *_ in seen], batch_first=True)
        lengths = torch.tensor([len(t) for t, *_ in seen])
        visual_mask = (torch.arange(visual.shape[1])[None] < lengths[:, None]).to(self.device)
        ids, places, segments, wanted = [], [], [], []
        for b, pack in enumerate(packs):
            row, place, segment = [], [], []
            for n, q in enumerate(pack):
                start, whole = len(row), [*q.prompt, *q.answer]
                wanted.append((b, start, q, n))
                row += whole[:-1]
                place += range(len(whole) - 1)
                segment += [n + 1] * (len(whole) - 1)
            ids.append(torch.tensor(row))
            places.append(torch.tensor(place))
            segments.append(torch.tensor(segment))
        ids, places, segments = (pad_sequence(v, batch_first=True).to(self.device) for v in
                                 (ids, places, segments))
        return (visual, visual_mask, ids, places, segments), wanted

    def losses_of(self, packs, seen, wanted, seen_hidden, text):
        """{name: scalar} of what `packed` gave and the decoder found."""
        hidden, targets, weights = [], [], []
        relevance, masks, aims, asked = [], [], [], []
        for b, start, q, _ in wanted:
            first = start + len(q.prompt) - 1
            hidden.append(text[b, first:first + len(q.answer)])
            targets.append(torch.tensor(q.answer))
            n = len(q.answer)
            if getattr(self.decoder, "asked", None) is not None:
                asked.append((self.decoder.asks(text[b, first], q.prompt),
                              asked_for(q.instruction, self.things)))
            weight = torch.ones(n)
            for place, missed, wrong in self._aims(q, seen[b][3], seen_hidden[b],
                                                   text[b, first + 1:]):
                aims.append(wrong)
                if not missed:
                    weight[place] = COPIED
            weights.append(weight * weight.sum()**-0.5)
            grid, pixel = seen[b][1], seen[b][2]
            if grid is not None:
                focus = focus_target(q, self.data, grid)
                if focus is not None:
                    cells = seen_hidden[b:b + 1, :grid[0] * grid[1]]
                    logits = self.decoder.relevance(text[b, first][None, None], cells)[0, 0]
                    relevance.append(functional.binary_cross_entropy_with_logits(
                        logits, focus.to(self.device)))
            for place in seg_places(q.answer, self.words):
                target = seg_target(q, self.data, pixel.shape[1:])
                if target is not None and place + 1 < n:
                    query = self.decoder.query(text[b, first + place + 1])
                    logits = torch.einsum("d,dhw->hw", query, pixel) + self.decoder.query_bias
                    masks.append(mask_loss(logits[None, None], *(
                        t[None, None].to(self.device) for t in target)))
        weights = torch.cat(weights).to(self.device)
        each = answer_loss(self.decoder, torch.cat(hidden), torch.cat(targets).to(self.device))
        losses = {"answer": (each * weights).sum() / weights.sum()}
        if relevance:
            losses["relevance"] = 0.3 * torch.stack(relevance).mean()
        if masks:
            losses["mask"] = 0.5 * torch.stack(masks).mean()
        if asked:
            losses["asked"] = 0.3 * self.decoder.asked.loss(
                torch.stack([logits for logits, _ in asked]),
                torch.tensor([t for _, t in asked], device=self.device))
        if aims:
            losses["aim"] = torch.stack(aims).mean()
        return losses

    def _aims(self, question, offered, seen_hidden, text):
        """[(slice of the fields in the answer, whether no proposal is the place, loss)]; text:
        hidden states behind each token of the answer."""
        out, taken = [], [[] for _ in offered]
        for n, kind, image, fields in pointing.places(question.answer, self.words.slis.ids):
            if n >= len(text):
                break
            row, boxes = offered[image]
            right = pointing.target(kind, fields, boxes, taken[image])
            scores = pointing.scores(self.decoder.aim(text[n]),
                                     self.decoder.held(seen_hidden[row:row + len(boxes)]),
                                     taken[image])
            if right < len(boxes):
                taken[image].append(right)
            out.append((slice(n + 1, n + 1 + len(fields)), right == len(boxes),
                        functional.cross_entropy(scores[None], scores.new_tensor([right]).long())))
        return out


def new_decoder(model, perception, words, source=None, layers=None):
    """source: `llama_export.Source` of a frozen decoder; layers: how many, None as of the size."""
    layers = layers or SIZES[model].layers
    network = perception.network
    sizes = {"words": len(words.tokens), "cell_dim": network.cell_dim,
             "heads_vision": perception.heads, "kinds": len(network.config.kinds),
             "depth": network.config.depth}
    if SIZES[model].is_frozen:
        gguf = source.open()
        whole = llama.sizes_of(gguf)
        config = LlamaDecoderConfig.of(whole, taken=tuple(range(layers)), **sizes)
        decoder = LlamaDecoder(config, frozen_of(gguf, config.taken, words.pieces(gguf)))
        decoder.start_new(layers == whole.layers)
        vectors = decoder.frozen_embedding
        vectors = vectors * (WORD_DEVIATION / vectors.std())
    else:
        decoder = Decoder(DecoderConfig(layers, **sizes))
        decoder.start_from_minilm(words.tokens)
        vectors = decoder.words.weight

    def vector(name):
        ids = words.slis.codec.encode(str(name).lower().replace("_", " "))
        return vectors[ids].mean(0)

    with torch.no_grad():
        decoder.projector.start_words(perception.names, vector)
    return decoder


def perception_of(model, compact, device="cpu", mirrors=PLAIN):
    """Of the checkpoints, and of the released folder ``compact`` where that looks as well.

    mirrors: of two networks. Decoders learn on plain looks, which take half the time; what mirrored
    ones find is alike, and better.
    """
    size, folder = SIZES[model], CHECKPOINTS / "vision" / SIZES[model].sight
    expert = CHECKPOINTS / "vision" / "expert" / EXPERT
    coarse = CoarseSight(compact, read_shifts(folder), expert if expert.exists() else None,
                         mirrors, read_shares(folder)) if size.is_dual else None
    return Perception(folder / "vision.pt", size.longest, size.upscale, device, coarse)


def check_sight(state, perception, path):
    """Raise ValueError where a checkpoint's decoder learned on another sight than this one."""
    if state.get("sight", perception.key) != perception.key:
        raise ValueError(f"{path}: this decoder learned on another vision network or with other "
                         "shifts than those of the checkpoints; --again trains it on")


def new_ladder(words, source, compact):
    """The regular decoder before its first step.

    compact: a released folder, whose decoder goes on; the projector to it and the wide stream come
    from the checkpoints that stage 2 left of both.
    """
    wide, narrow = (
        restored_decoder(schedule.restore(CHECKPOINTS / "decoder" / name / "decoder.pt"), words,
                         source) for name in ("language", "compact"))
    decoder = LadderDecoder(LadderConfig.of(wide.config, narrow.config), wide,
                            weights_of(compact / "decoder.onnx"))
    decoder.projector.narrow.coarse.load_state_dict(narrow.projector.state_dict())
    decoder.asked.load_state_dict(narrow.asked.state_dict())
    decoder.query_bias.data = narrow.query_bias.data.clone()
    return decoder


def restored_decoder(state, words, source=None, compact=None):
    """The decoder of a checkpoint; frozen weights, if it has such, come from the source and, of
    the ladder, from the folder ``compact``."""
    config = dict(state["config"])
    if "wide" in config:
        config = LadderConfig.read(config)
        decoder = LadderDecoder(config, _llama(config.wide, words, source),
                                weights_of(compact / "decoder.onnx"))
        speech = tuple(f"wide.{name}" for name in SPEECH)
        put(decoder, {k: v for k, v in state["decoder"].items() if not k.startswith(speech)},
             (*speech, "asked."))
        return decoder
    config["heads_vision"] = tuple(map(tuple, config["heads_vision"]))
    if "taken" in config:
        config["taken"] = tuple(config["taken"])
        config["words"] = len(words.tokens)
        decoder = _llama(LlamaDecoderConfig(**config), words, source)
    else:
        decoder = Decoder(DecoderConfig(**config))
    held = state["decoder"]
    if held["bias"].shape != decoder.bias.shape:          # of another vocabulary
        held = {k: v for k, v in held.items() if k != "bias"}
    put(decoder, held, ("aim.", "held.", "asked.", "lens.", "bias"))
    return decoder


def _llama(config, words, source):
    gguf = source.open()
    return LlamaDecoder(config, frozen_of(gguf, config.taken, words.pieces(gguf)))


def fill(data, memory, split, say=print):
    """Let the vision network see every whole picture that an instruction of the split shows."""
    items, known = [], set()
    for i in stream(data, split, 0, 0, augment=False):
        for n, ref in enumerate(i.images):
            key = store_key(ref)
            if key not in known:
                known.add(key)
                items.append((key, lambda i=i, n=n: load_images(i, data)[n][:2]))
    memory.fill(items, say=say)
    return len(items)


def optimizer_of(decoder):
    names, rates = getattr(decoder, "FRESH", FRESH), getattr(decoder, "RATES", RATES)
    trained = [(n, p) for n, p in decoder.named_parameters() if p.requires_grad]
    fresh = [p for n, p in trained if n.startswith(names)
             and not n.startswith("projector.words")]
    known = {id(p) for p in fresh}
    rest = [p for _, p in trained if id(p) not in known]
    return torch.optim.AdamW([
        {"params": group, "base_lr": rate, "lr": rate, "weight_decay": 0.01}
        for group, rate in zip((fresh, rest), rates, strict=True)], betas=(0.9, 0.98))


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=SIZES, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--world", type=int, default=0, help="procedural scenes an epoch")
    p.add_argument("--fill", action="store_true", help="only let the vision network see all")
    p.add_argument("--device", default="cpu", help="cuda computes in bfloat16")
    p.add_argument("--source", type=Path, help="file of the frozen weights, if there are such")
    p.add_argument("--compact", type=Path, default=Path("models/compact"),
                   help="released folder that the regular decoder begins with")
    p.add_argument("--alone", type=float, default=0.45, help="first share of the schedule in "
                   "which the regular decoder learns its finer sight without the language model")
    p.add_argument("--layers", type=int, help="only the first so many")
    p.add_argument("--packs", type=int, help="in a batch; default: of the size")
    p.add_argument("--again", action="store_true",
                   help="begin a new schedule of --minutes with the weights of the last one")
    p.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    p.add_argument("--save-memory", action="store_true",
                   help="keep no activations of frozen layers, compute them twice")
    return p.parse_args()


def main():
    schedule.keep_pages()
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    size, folder = SIZES[a.model], CHECKPOINTS / "decoder" / a.model
    folder.mkdir(parents=True, exist_ok=True)
    perception = perception_of(a.model, a.compact, a.device)
    memory = Memory(perception, folder / "seen.pt")
    if a.fill or not len(memory):
        print("pictures", fill(a.data, memory, "train"), fill(a.data, memory, "val"), flush=True)
        if a.fill:
            return
    words = Words()
    source = Source.find(a.source) if size.is_frozen else None
    path = folder / "decoder.pt"
    state = schedule.restore(path) or {"spent_s": 0.0, "steps": 0}
    if not a.again:
        check_sight(state, perception, path)
    if "decoder" in state:
        decoder = restored_decoder(state, words, source, a.compact)
    elif a.model == "regular":
        decoder = new_ladder(words, source, a.compact)
    else:
        decoder = new_decoder(a.model, perception, words, source, a.layers)
    if a.model == "language":
        decoder.saves_memory = a.save_memory
    decoder.to(a.device)
    optimizer = optimizer_of(decoder)
    if "optimizer" in state and not a.again:
        optimizer.load_state_dict(state["optimizer"])
    before_s = state.get("before_s", 0.0)                 # spent under earlier schedules
    if a.again:
        before_s, state["spent_s"] = before_s + state["spent_s"], 0.0
    budget, steps = schedule.Budget(a.minutes, state["spent_s"]), state["steps"]

    def store():
        schedule.save(path, {"decoder": decoder.state_dict(), "optimizer": optimizer.state_dict(),
                             "steps": steps, "spent_s": budget.spent_s, "before_s": before_s,
                             "config": decoder.config.to_dict(), "sight": perception.key})

    epoch, stored, running = -1, time.monotonic(), {}
    trainer, is_cuda = None, a.device.startswith("cuda")
    packs_a_step = a.packs or size.packs
    halves = min(2, packs_a_step)                         # of different sets
    decoder.train()
    started = "decoder" in state or not isinstance(decoder, LadderDecoder)
    while budget.share < 1:
        if trainer is None or steps * packs_a_step // EPOCH != epoch:
            epoch = steps * packs_a_step // EPOCH
            made = stream(a.data, "train", a.seed, epoch, natural=NATURAL, world=a.world,
                          augment=False)
            examples = Examples(made, memory, words, a.data, a.seed + steps)
            trainer = Trainer(decoder, perception, examples, words, a.data, a.seed + steps)
        if not started:
            decoder.start([trainer.batch(examples.draw(1)) for _ in range(MEASURED)])
            started = True
        if isinstance(decoder, LadderDecoder):
            decoder.is_alone = budget.share < a.alone
        schedule.set_rate(optimizer, a.rate * budget.rate())
        optimizer.zero_grad(set_to_none=True)
        for _ in range(halves):
            packs = examples.draw(packs_a_step // halves)
            with torch.autocast("cuda", torch.bfloat16, enabled=is_cuda):
                losses = trainer.loss(packs)
            (sum(losses.values()) / halves).backward()
            name = packs[0][0].instruction.set
            for key, value in losses.items():
                key = f"{name}.{key}"
                running[key] = 0.9 * running.get(key, value.item()) + 0.1 * value.item()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 25 == 0:
            line = {"step": steps, "share": round(budget.share, 3),
                    "losses": {k: round(v, 3) for k, v in sorted(running.items())}}
            schedule.tell(folder / "losses.jsonl", line)
        if time.monotonic() - stored > 240:
            store()
            stored = time.monotonic()
    store()
    print("done", steps, flush=True)


if __name__ == "__main__":
    main()
