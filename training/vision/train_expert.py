"""The scene expert of the regular model (`expert`), on the sets with classes or labels.

    python -m training.vision.train_expert --data DIR --minutes 60

Seeded and resumable as stage 1. At the end it is chosen on val how far each head trusts the expert
(`dual.DualNetwork`): the share of its logits, the rest being the coarse network's, at which the
loss is least; a head that val does not label stays the coarse network's. Printed are the scores of
both and of the mixture.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training import schedule
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.vision.batches import BatchSource, all_texts
from training.vision.dual import put_weights
from training.vision.expert import EXPERT, Expert, ExpertConfig
from training.vision.network import VisionConfig, VisionNetwork
from training.vision.plan import KINDS, PLAN
from training.vision.sentences import TextTable
from training.vision.targets import Vocabulary

# Pictures from above in colour. Norms know one kind of picture: with radar and satellite sets in
# the same training, each in batches of its own, their running statistics fitted none of them.
SHARES = {"aid_rsicd": 3, "ucm_multilabel": 1}
# Crops that keep less of a picture than stage 1 keeps: the expert sees few sets, and often.
ZOOMS = {"aid_rsicd": (0.8, 1.5), "ucm_multilabel": (0.9, 1.4)}
TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)
RATES = {"changes": 2e-3, "norms": 1e-3, "kernels": 3e-4, "heads": 2e-3}


def expert_plan():
    """{set: `SetPlan`} of the sets that have classes or labels."""
    return {n: replace(PLAN[n], share=s, zoom=ZOOMS.get(n, PLAN[n].zoom))
            for n, s in SHARES.items()}


def optimizer_of(expert):
    groups = {k: [] for k in RATES}
    for name, p in expert.named_parameters():
        if p.requires_grad:
            kind = ("heads" if name.startswith(("heads", "norm")) else
                    "norms" if ".norm." in name else
                    "kernels" if name.endswith("conv.weight") or p.dim() == 4 else "changes")
            groups[kind].append(p)
    return torch.optim.AdamW(
        [{"params": p, "base_lr": RATES[k], "lr": RATES[k],
          "weight_decay": 0.0 if k == "norms" else 1e-2} for k, p in groups.items()])


def losses_of(logits, batch, group):
    out = {}
    if "class" in batch:
        out["class"] = functional.cross_entropy(logits[f"class_{group}"], batch["class"],
                                                label_smoothing=0.1)
    if "labels" in batch:
        factor = 4.0 if batch["label_head"] == "label_words" else 1.0
        out["labels"] = factor * functional.binary_cross_entropy_with_logits(
            logits[batch["label_head"]], batch["labels"])
    return out


@torch.no_grad()
def logits_on(call, source, name, samples, size=25):
    """(logits of each head {head: (n, k)}, class (n,) or None, labels or None)."""
    found, classes, labels = {}, [], []
    for at in range(0, len(samples), size):
        batch = source.make(name, samples[at:at + size], np.random.default_rng(0),
                            training=False)
        for head, value in call(batch["x"], batch["codes"]).items():
            found.setdefault(head, []).append(value)
        classes.append(batch.get("class"))
        labels.append((batch.get("label_head"), batch.get("labels")))
    joined = {k: torch.cat(v) for k, v in found.items()}
    truth = None if classes[0] is None else torch.cat(classes)
    marks = None if labels[0][0] is None else (labels[0][0], torch.cat([v for _, v in labels]))
    return joined, truth, marks


def score(logits, truth, marks, group):
    """{metric: percent}: accuracy of the class, F1 (macro) of labels at a chance of one half."""
    out = {}
    if truth is not None:
        right = logits[f"class_{group}"].argmax(1) == truth
        out["accuracy"] = round(100 * right.float().mean().item(), 1)
    if marks is not None:
        said, true = logits[marks[0]] > 0, marks[1] > 0
        tp, every = (said & true).sum(0), said.sum(0) + true.sum(0)
        seen = true.any(0)
        out["f1"] = round(100 * (2 * tp / every.clamp_min(1))[seen].mean().item(), 1)
    return out


def trusted(own, theirs, truth):
    """The share of ``TRUST`` at which the mixed logits (n, k) lose least; truth: classes (n,) or
    marks (n, k)."""
    def loss(share):
        mixed = share * own + (1 - share) * theirs
        if truth.dim() == 1:
            return functional.cross_entropy(mixed, truth).item()
        return functional.binary_cross_entropy_with_logits(mixed, truth).item()

    return min(TRUST, key=loss)


def main():
    schedule.keep_pages()
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--device", default="cpu")
    p.add_argument("--compact", type=Path, default=Path("models/compact"),
                   help="released folder whose stem the expert sees through")
    p.add_argument("--again", action="store_true",
                   help="begin a new schedule of --minutes with the weights of the last one")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    library = Library(a.data)
    vocabulary = Vocabulary(library)
    coarse = put_weights(VisionNetwork(VisionConfig("lite0", KINDS, vocabulary.heads),
                                       pretrained=False), a.compact)
    expert = Expert(ExpertConfig(vocabulary.heads))
    stem = coarse.backbone.stem.to(a.device)
    path = CHECKPOINTS / "vision" / "expert" / EXPERT
    path.parent.mkdir(parents=True, exist_ok=True)
    state = schedule.restore(path) or {"spent_s": 0.0, "steps": 0}
    if "expert" in state:
        expert.load_state_dict(state["expert"])
        vocabulary.follow(state["names"])
    expert.to(a.device, memory_format=torch.channels_last)
    optimizer = optimizer_of(expert)
    if "optimizer" in state and not a.again:
        optimizer.load_state_dict(state["optimizer"])
    before_s = state.get("before_s", 0.0)
    if a.again:
        before_s, state["spent_s"] = before_s + state["spent_s"], 0.0
    plan = expert_plan()
    texts = TextTable(all_texts(library), CHECKPOINTS / "texts.npz")
    source = BatchSource(library, vocabulary, texts, a.seed, sets=plan, plan=plan)
    budget, steps = schedule.Budget(a.minutes, state["spent_s"]), state["steps"]

    def store():
        schedule.save(path, {"expert": expert.state_dict(), "optimizer": optimizer.state_dict(),
                             "steps": steps, "spent_s": budget.spent_s, "before_s": before_s,
                             "config": expert.config.to_dict(), "names": vocabulary.names()})

    running, stored, began = {}, time.monotonic(), time.monotonic()
    expert.train()
    while budget.share < 1:
        schedule.set_rate(optimizer, budget.rate())
        batch = source.batch(steps)
        x = batch["x"].to(a.device).contiguous(memory_format=torch.channels_last)
        losses = losses_of(expert(x, batch["codes"].to(a.device), stem),
                           {k: v.to(a.device) if torch.is_tensor(v) else v
                            for k, v in batch.items()}, plan[batch["name"]].group)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(expert.parameters(), 2.0)
        optimizer.step()
        steps += 1
        for key, value in losses.items():
            key = f"{batch['name']}.{key}"
            running[key] = 0.95 * running.get(key, value.item()) + 0.05 * value.item()
        if steps % 50 == 0:
            line = {"step": steps, "share": round(budget.share, 3),
                    "s_per_step": round((time.monotonic() - began) / 50, 2),
                    "losses": {k: round(v, 3) for k, v in sorted(running.items())}}
            began = time.monotonic()
            schedule.tell(path.with_name("losses.jsonl"), line)
        if time.monotonic() - stored > 120:
            store()
            stored = time.monotonic()
    store()
    expert.eval()

    def mine(x, codes):
        return expert(x.to(a.device), codes.to(a.device), stem)

    def other(x, codes):
        return dict(zip((n for n, _ in vocabulary.heads), coarse.logits(
            coarse(x, codes), vocabulary.heads), strict=True))

    state, trust = schedule.restore(path), {name: 0.0 for name, _ in vocabulary.heads}
    for name, of in plan.items():
        samples = library.samples(name, "val")
        own, truth, marks = logits_on(mine, source, name, samples)
        theirs, *_ = logits_on(other, source, name, samples)
        asked = ([f"class_{of.group}"] if truth is not None else []) + (
            [marks[0]] if marks is not None else [])
        for head in asked:
            trust[head] = trusted(own[head], theirs[head], truth if head.startswith("class")
                                  else marks[1])
        both = {k: trust[k] * own[k] + (1 - trust[k]) * theirs[k] for k in own}
        print(name, {k: trust[k] for k in asked}, {k: score(v, truth, marks, of.group) for k, v in (
            ("expert", own), ("coarse", theirs), ("both", both))}, flush=True)
    schedule.save(path, state | {"trust": trust})


if __name__ == "__main__":
    main()
