"""What the vision graph tells by itself: who asks for it, and how far it is believed.

    python -m training.decoder.told --model compact --data DIR [--packs 400] [--most 150]

First the layer `asked` of a decoder that is otherwise left alone learns from training questions
what is asked for: a count, whether there is any, the class of a group, or something else. Then val
says, for each of these, what the graph's answer is worth: the share of trust with which the mixture
of it and the decoder's own words gives the right answers the highest likelihood. (On pictures that
a decoder learned from it knows the answers better than on others; val tells what is so on those.)
What val does not ask often enough is left to the decoder. ``--packs 0`` leaves the layer as it is.
How numbers come about, `training.decoder.counting` measures before.

Questions of val come at their natural frequencies. Prints, for each thing asked for, how often the
graph's answer and the decoder's are right; keeps both parts in the decoder's checkpoint.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from eo_nodes.lvlm import spectrum
from eo_nodes.lvlm.counting import count, rule_of
from eo_nodes.lvlm.proposals import Proposals, keep
from eo_nodes.lvlm.told import Speller, candidates
from eo_nodes.lvlm.visual_prompts import parse_prompt
from training import schedule
from training.decoder.asked import asked_for, classes_of
from training.decoder.asked_layer import Asked
from training.decoder.counting import read_counting
from training.decoder.examples import Examples, Question, prompts_of
from training.decoder.llama_export import Source
from training.decoder.perception import Memory
from training.decoder.perception import candidates as peaks_of
from training.decoder.train import (
    NATURAL,
    SIZES,
    Trainer,
    check_sight,
    perception_of,
    restored_decoder,
)
from training.decoder.vocabulary import Words
from training.instruct.builder import load_images, stream
from training.recipe import CHECKPOINTS
from training.vision.dual import MIRRORS
from training.vision.plan import KINDS

EPOCHS, TOGETHER = 3, 24        # of wordings; most questions on a picture
LEAST = 8                       # questions of val, with fewer nothing is believed
SHARES = np.linspace(0, 0.99, 100)
NEVER = 1e-4                    # of a chance: one wrong answer is not the end of trust
ROUNDS, RATE, DECAY = 600, 0.01, 1e-3


@dataclass(frozen=True, slots=True)
class Case:
    """A question of val. place: among the scores; asked: chance that the decoder knows so; own:
    that it gives the right answer; told: that the graph does; is_right: whether the graph's
    likeliest answer is it."""

    place: int
    asked: float
    own: float
    told: float
    is_right: bool


def drawn(examples):
    """A pack of one set with many of the questions on a picture: to know them is all it is for."""
    name = examples.rng.choice(examples.names)
    some = examples.by_set[name][examples.rng.choice(examples.keys[name])]
    return examples.rng.sample(some, min(len(some), TOGETHER))


@torch.no_grad()
def learned(trainer, packs, say=print):
    """What `Asked` reads of (N,) questions of drawn packs, (N, 2 width), and what they ask for."""
    states, places, asked = [], [], trainer.decoder.asked
    inputs = asked.scores.register_forward_hook(lambda _, given, out: states.append(given[0][0]))
    for n in range(packs):
        pack = [drawn(trainer.examples)]
        batch, wanted = trainer.packed(pack, [trainer.visual(p, 0.0) for p in pack])
        _, text = trainer.decoder(*batch)
        for b, start, q, _ in wanted:
            trainer.decoder.asks(text[b, start + len(q.prompt) - 1], q.prompt)
            places.append(asked_for(q.instruction, trainer.things))
        if n % 100 == 99:
            say(f"{n + 1} of {packs} packs", flush=True)
    inputs.remove()
    return torch.stack(states).float(), torch.tensor(places)


def fit(asked, states, places):
    """Train the layer; returns the share of questions that it knows."""
    optimizer = torch.optim.AdamW(asked.parameters(), RATE, weight_decay=DECAY)
    for _ in range(ROUNDS):
        optimizer.zero_grad()
        asked.loss(asked.scores(states), places).backward()
        optimizer.step()
    return float((asked.scores(states).argmax(-1) == places).float().mean())


class Teller:
    """What the runtime will be told of a question's picture.

    table: of `counting.rule_of`."""

    def __init__(self, perception, words, table):
        self.perception, self.table = perception, table
        self.spell = Speller(words.slis.encode, words.end)
        self.classes, self.labels = classes_of(perception.heads, perception.names)

    @torch.no_grad()
    def answers(self, question, chances, data):
        """`told.candidates`; chances (n,) of the picture."""
        values, bands = load_images(question.instruction, data)[0][:2]
        found = self.perception.find([(values, bands)])
        offered = [v[0].numpy() for v in peaks_of(
            found["heat"], found["shape"], found["pixel"] if "pixel" in found else found["heat"])]
        codes = spectrum.codes(spectrum.parse_bands(bands))
        counts = count(keep(Proposals(*offered)), rule_of(self.table, codes, len(KINDS)),
                       prompts_of(question))
        return candidates(counts, self.classes, self.labels, chances, self.spell)


@torch.no_grad()
def measure(trainer, questions, teller, data):
    """[`Case`] of (question, place) pairs."""
    out = []
    for n, (q, place) in enumerate(questions):
        pack = [q]
        batch, _ = trainer.packed([pack], [trainer.visual(pack, 0.0)])
        _, text = trainer.decoder(*batch)
        first = len(q.prompt) - 1
        logits = trainer.decoder.logits(text[0, first:first + len(q.answer)]).float()
        asked = float(trainer.decoder.asks(text[0, first], q.prompt).softmax(-1)[place])
        own = -functional.cross_entropy(logits, torch.tensor(q.answer), reduction="sum")
        seen = trainer.examples.seen(q)[0][0]
        mine = [c for c in teller.answers(q, seen.chances.float().numpy(), data)
                if c.asked == place]
        told = sum(c.chance for c in mine if c.ids == tuple(q.answer))
        best = max(mine, key=lambda c: c.chance)
        out.append(Case(place, asked, float(own.exp()), told, best.ids == tuple(q.answer)))
        if n % 200 == 199:
            print(f"{n + 1} of {len(questions)} questions of val", flush=True)
    return out


def trusted(cases):
    """Share of trust that gives the right answers of cases the highest likelihood."""
    if len(cases) < LEAST:
        return 0.0
    own, asked, told = (np.array([getattr(c, n) for c in cases])[:, None]
                        for n in ("own", "asked", "told"))
    share = SHARES * asked
    likely = np.log(np.maximum(share * told + (1 - share) * own, NEVER)).sum(0)
    return float(SHARES[likely.argmax()])


def weighed_of(things):
    """[(what is asked for, in words, [its places])] of what answers have a likelihood for; of boxes
    `decoder.listing` says whether they are told. Labels are weighed together."""
    kinds, last = (*KINDS, "any"), things.first_choice
    first = last - len(things.labels)
    return [*((f"how many: {k}", [i]) for i, k in enumerate(kinds)),
            *((f"is there: {k}", [i]) for i, k in enumerate(kinds, len(kinds))),
            *((f"class of {g}", [i]) for i, g in enumerate(things.groups,
                                                           first - len(things.groups))),
            *([("labels", [*range(first, last)])] if things.labels else [])]


def of_val(data, words, things, most):
    """(question, place) pairs of val, at most so many of a set and of what `weighed_of` weighs."""
    found = defaultdict(list)
    weighed = {place: what for what, places in weighed_of(things) for place in places}
    for i in stream(data, "val", 0, 0, balanced=False, augment=False):
        place = asked_for(i, things)
        if place in weighed and len(found[i.set, weighed[place]]) < most:
            found[i.set, weighed[place]].append((Question(
                words.prompt(parse_prompt(i.prompt)[0]), words.answer(i.answer), i), place))
    return [pair for pairs in found.values() for pair in pairs]


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=("compact", "regular"), required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--packs", type=int, default=400,
                   help="drawn from the training questions; 0: only measure trust")
    p.add_argument("--most", type=int, default=150, help="questions of val of a set and kind")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--source", type=Path, help="file of the frozen weights")
    p.add_argument("--compact", type=Path, default=Path("models/compact"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    size, folder = SIZES[a.model], CHECKPOINTS / "decoder" / a.model
    path, words = folder / "decoder.pt", Words()
    state, perception = schedule.restore(path), perception_of(a.model, a.compact, mirrors=MIRRORS)
    check_sight(state, perception, path)
    source = Source.find(a.source) if size.is_frozen else None
    decoder = restored_decoder(state, words, source, a.compact).eval()
    memory = Memory(perception, folder / "seen.pt")
    examples = Examples(chain.from_iterable(
        stream(a.data, "train", 0, epoch, natural=NATURAL, augment=False)
        for epoch in range(EPOCHS)), memory, words, a.data, 0)
    trainer = Trainer(decoder, perception, examples, words, a.data, 0)
    if a.packs:
        decoder.asked = Asked(decoder.asked.scores.in_features // 2, len(KINDS), perception.heads)
        known = fit(decoder.asked, *learned(trainer, a.packs))
        print(f"what is asked for: {100 * known:.1f} % of training questions known", flush=True)
    table = read_counting(a.model)
    cases = measure(trainer, of_val(a.data, words, trainer.things, a.most),
                    Teller(perception, words, table), a.data)
    for what, places in weighed_of(trainer.things):
        mine = [c for c in cases if c.place in places]
        trust = trusted(mine)
        decoder.asked.trust[places] = trust
        if mine:
            known, told, own = (100 * np.mean([getattr(c, n) for c in mine])
                                for n in ("asked", "is_right", "own"))
            print(f"{what:24} n = {len(mine):4}  known {known:5.1f} %  told right {told:5.1f} %"
                  f"  chance of the decoder's right answer {own:5.1f} %  trust {trust:.2f}",
                  flush=True)
    state["decoder"] |= {f"asked.{k}": v for k, v in decoder.asked.state_dict().items()}
    schedule.save(path, state)


if __name__ == "__main__":
    main()
