"""Stage 3: train projector and language model on cached features.

    python -m training.train_language --model compact --data DIR --minutes 10
"""

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from training import schedule
from training.language import LanguageConfig, LanguageModel
from training.questions import AID, COVERS, EUROSAT, THINGS, UCM, QuestionMaker, exam
from training.recipe import CHECKPOINTS, RECIPES
from training.samples import load, training_samples
from training.tune_trunk import DENSE, Targets

MIX = {"eurosat_rgb": 0.19, "aid_rsicd": 0.27, "mstar": 0.12, "ucm_multilabel": 0.12,
       "objects_rgb": 0.07, "hit_uav": 0.08, "eurosat_ms": 0.04, "flood_s1": 0.03,
       "change_pairs": 0.04, "rsvqa_lr": 0.02, "rsvqa_hr": 0.02}
BATCH, PACKED = 16, 4
CELL_SHARE = 0.5
PAD, CLS, SEP = 0, 2, 3
WORDS_KEPT = 120       # of the trunk's caption words; the rest would cost more bytes than it gives


class Examples:
    """Samples with their cached features; picks questions and packs them."""

    def __init__(self, samples, variants, tokenizer, seed):
        self.makers = {}
        for s in samples:
            self.makers.setdefault(s.set_name, []).append(s)
        self.makers = {k: QuestionMaker(v) for k, v in self.makers.items()}
        self.by_set = defaultdict(list)
        for i, s in enumerate(samples):
            self.by_set[s.set_name].append(i)
        self.samples, self.variants, self.tokenizer = samples, variants, tokenizer
        self.rng = random.Random(seed)

    def draw(self, name):
        """One batch of a set: list of (record, [Question])."""
        pool = self.by_set[name]
        variant = self.rng.choice(self.variants)
        chosen = self.rng.sample(pool, min(BATCH, len(pool)))
        # Zooms multiply the tokens of a row, and padding those of its neighbours.
        if max(len(variant[i]["grids"]) for i in chosen) > 2:
            chosen = chosen[:BATCH // 2]
        batch = []
        for i in chosen:
            asked = self.makers[name].ask(self.samples[i], self.rng)
            if name == "aid_rsicd":       # class, yes/no and two of the captions
                captions = [q for q in asked if q.kind == "caption"]
                asked = [q for q in asked if q.kind != "caption"] + self.rng.sample(captions, 2)
            self.rng.shuffle(asked)
            if asked:
                batch.append((turned(variant[i], name, self.rng), asked[:PACKED]))
        return batch


def turned(record, name, rng):
    """Mirror or turn the cached grids of single-grid pictures; targets turn along."""
    shapes = {g.shape for g in record["grids"]}
    if len(shapes) > 1 or len(set(record["tags"][:, 0].tolist())) > 1 or name == "mstar":
        return record
    turns = rng.choice((0, 2)) if record["grids"][0].shape[0] != record["grids"][0].shape[1] \
        else rng.randrange(4)
    mirrored = rng.random() < 0.5

    def move(t):
        t = torch.rot90(t, turns, (0, 1))
        return torch.flip(t, (1,)) if mirrored else t

    out = dict(record, grids=[move(g) for g in record["grids"]])
    for key in ("dense", "mask"):
        if key in record:
            out[key] = move(record[key])
    return out


def project(model, records, has_cells=True):
    """Records -> padded visual tokens (B, V, W), mask (B, V); the overview's cells come first.

    Without cells only the summary tokens are kept.
    """
    groups = defaultdict(list)
    for b, record in enumerate(records):
        for g, grid in enumerate(record["grids"]):
            groups[grid.shape].append((b, g))
    parts = [[None] * len(r["grids"]) for r in records]
    for places in groups.values():
        features = torch.stack([records[b]["grids"][g].flatten(0, 1) for b, g in places]).float()
        geometry = torch.stack([records[b]["geometry"][g] for b, g in places])
        tags = torch.stack([records[b]["tags"][g] for b, g in places])
        for (b, g), tokens in zip(places, model.projector(features, geometry, tags), strict=True):
            parts[b][g] = tokens if has_cells else tokens[-model.projector.summary_tokens:]
    rows = [torch.cat(p) for p in parts]
    visual = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(r) for r in rows])
    return visual, torch.arange(visual.shape[1])[None] < lengths[:, None]


def pack(tokenizer, questions, limit):
    """Questions on one picture -> ids, places, segments, targets, weights, ends of prompts."""
    ids, places, segments, targets, weights, ends = [], [], [], [], [], []
    for k, q in enumerate(questions, 1):
        prompt = [CLS, *tokenizer.encode(q.prompt, add_special_tokens=False).ids, SEP]
        answer = [*tokenizer.encode(q.answer, add_special_tokens=False).ids, SEP]
        line = (prompt + answer)[:limit]
        ends.append(len(ids) + len(prompt) - 1)
        # Each token predicts the next; the prompt's end predicts the answer's first token.
        want = [-1] * (len(prompt) - 1) + answer
        ids += line[:-1]
        targets += want[:len(line) - 1]
        places += range(len(line) - 1)
        segments += [k] * (len(line) - 1)
        weights += [len(answer) ** -0.5] * (len(line) - 1)
    return ids, places, segments, targets, weights, ends


def collate(tokenizer, batch, limit):
    packed = [pack(tokenizer, qs, limit) for _, qs in batch]
    longest = max(len(p[0]) for p in packed)

    def fill(k, pad, kind):
        return torch.tensor([p[k] + [pad] * (longest - len(p[k])) for p in packed], dtype=kind)

    return (fill(0, PAD, torch.long), fill(1, 0, torch.long), fill(2, 0, torch.long),
            fill(3, -1, torch.long), fill(4, 0.0, torch.float), [p[5] for p in packed])


def relevance_target(record, focus):
    """(cells of the overview,) in {0, 1}, or None where the label does not say."""
    cells = record["grids"][0].shape[:2]
    if focus == "all":
        return torch.ones(cells).flatten()
    if focus == "mask":
        return record["mask"].flatten()
    if focus in DENSE:
        if "dense" not in record:
            return torch.zeros(cells).flatten()
        return (record["dense"][..., DENSE.index(focus)] > 0).float().flatten()
    return None


def loss_of(model, tokenizer, batch, has_cells=True):
    records = [r for r, _ in batch]
    visual, mask = project(model, records, has_cells)
    ids, places, segments, targets, weights, ends = collate(
        tokenizer, batch, model.config.positions)
    seen, text = model(visual, mask, ids, places, segments)
    here = targets >= 0
    losses = functional.cross_entropy(model.logits(text[here]), targets[here], reduction="none")
    loss = (losses * weights[here]).sum() / weights[here].sum()
    pointing = []
    for b, (record, questions) in enumerate(batch if has_cells else ()):
        wanted = [relevance_target(record, q.focus) for q in questions]
        rows = [k for k, w in enumerate(wanted) if w is not None]
        if rows:
            query = text[b, [ends[b][k] for k in rows]][None]
            cells = len(wanted[rows[0]])
            scores = model.relevance(query, seen[b:b + 1, :cells])[0]
            pointing.append(functional.binary_cross_entropy_with_logits(
                scores, torch.stack([wanted[k] for k in rows])))
    if pointing:
        loss = loss + 0.3 * torch.stack(pointing).mean()
    return loss


@torch.no_grad()
def validate(model, tokenizer, records, data, sets):
    """Share of answers that greedy decoding gets exactly right, by teacher forcing (%)."""
    model.eval()
    by_key, report = {r["key"]: r for r in records}, {}
    for name in sets:
        for task, pairs in exam(load(data, name, "val")).items():
            if task == "caption" or not pairs:
                continue
            right = 0
            for start in range(0, len(pairs), 48):
                batch = [(by_key[s.key], [q]) for s, q in pairs[start:start + 48]]
                visual, mask = project(model, [r for r, _ in batch])
                ids, places, segments, targets, _, _ = collate(
                    tokenizer, batch, model.config.positions)
                _, text = model(visual, mask, ids, places, segments)
                best = model.logits(text).argmax(-1)
                right += int(((best == targets) | (targets < 0)).all(1).sum())
            report[f"{name}.{task}"] = round(100 * right / len(pairs), 1)
    model.train()
    return report


def names_of_heads(samples):
    """{head: [readable name of each output]} in the order the trunk was tuned with."""
    targets = Targets(samples)
    spoken = {"eurosat": EUROSAT, "aid": AID, "ucm": UCM, "mstar": {}}
    names = {f"class_{g}": [spoken[g].get(c, c.lower()) for c in classes]
             for g, classes in targets.classes.items()}
    objects = [COVERS.get(o) or THINGS[o][1] for o in targets.objects]
    return names | {"label_words": targets.words[:WORDS_KEPT], "label_objects": objects,
                    "label_day": ["day"], "label_flood": ["water"]}


def new_model(recipe, tokenizer, tokens, samples, feature_dim):
    """A model with MiniLM's layers and the trunk's heads."""
    names = names_of_heads(samples)
    summary = tuple((k, len(v)) for k, v in names.items())
    model = LanguageModel(LanguageConfig(recipe.layers, feature_dim, len(tokens),
                                         summary=summary, kinds=len(DENSE)))
    model.start_from_minilm(tokens)

    def word_vector(name):
        ids = tokenizer.encode(name, add_special_tokens=False).ids
        return model.words.weight.data[ids].mean(0)

    heads = schedule.restore(recipe.folder / "trunk.pt")["heads"]
    model.projector.start_from_heads(heads, names, word_vector)
    return model


OWN = ("projector.norm", "projector.cell.", "projector.pool", "projector.cell_norm",
       "projector.dense")


def grow_from(model, state):
    """Start a deeper model from a trained one with another trunk.

    Everything that does not hang on the trunk's features is copied. Layers that the smaller model
    lacks keep MiniLM's inner weights but start as the identity: no output, and norms that restore
    the mean and deviation of their input.
    """
    target = model.state_dict()
    taken = {k: v for k, v in state.items() if k in target and not k.startswith(OWN)}
    model.load_state_dict(target | taken)
    depth = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("layers."))
    last = model.layers[depth - 1].norm2
    mean = last.bias.data.mean()
    deviation = (last.weight.data.square().mean() + last.bias.data.var()).sqrt()
    for layer in model.layers[depth:]:
        for linear in (layer.out, layer.down):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        for norm in (layer.norm1, layer.norm2):
            nn.init.constant_(norm.weight, float(deviation))
            nn.init.constant_(norm.bias, float(mean))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=RECIPES, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--grow-from", choices=RECIPES, help="start from this trained model")
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    recipe = RECIPES[a.model]
    tokenizer = Tokenizer.from_file(str(CHECKPOINTS / "tokenizer.json"))
    vocabulary = json.loads((CHECKPOINTS / "tokenizer.json").read_text())["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    cached = sorted(recipe.folder.glob("features_[0-9].pt"))
    variants = [schedule.restore(f)["records"] for f in cached]
    variants = [[r or first for r, first in zip(v, variants[0], strict=True)] for v in variants]
    val = schedule.restore(recipe.folder / "features_val.pt")
    samples = training_samples(a.data)
    for s in samples:
        s.values = s.values[:, :1, :1]          # pixels are in the cache; free them
    model = new_model(recipe, tokenizer, tokens, samples,
                      variants[0][0]["grids"][0].shape[-1])
    if a.grow_from:
        grow_from(model, schedule.restore(RECIPES[a.grow_from].folder / "language.pt")["model"])
    path = recipe.folder / "language.pt"
    state = schedule.restore(path) or {"spent_s": 0.0, "steps": 0}
    if "model" in state:
        model.load_state_dict(state["model"])
    examples = Examples(samples, variants, tokenizer, a.seed + state["steps"])
    fresh = [p for n, p in model.named_parameters()
             if n.startswith(("projector", "ask", "offer", "bias"))
             and not n.startswith(("projector.pool", "projector.dense", "projector.words"))]
    known = {id(p) for p in fresh}
    optimizer = torch.optim.AdamW([
        {"params": fresh, "base_lr": 1e-3, "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if id(p) not in known], "base_lr": 4e-4,
         "weight_decay": 0.01}], betas=(0.9, 0.98))
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    budget, steps = schedule.Budget(a.minutes, state["spent_s"]), state["steps"]
    names, odds, running = list(MIX), list(MIX.values()), {}

    def store():
        schedule.save(path, {"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                             "steps": steps, "spent_s": budget.spent_s,
                             "config": model.config.to_dict()})

    while budget.share < 1:
        schedule.set_rate(optimizer, budget.rate())
        optimizer.zero_grad()
        for name in examples.rng.choices(names, odds, k=2):
            batch = examples.draw(name)
            if not batch:
                continue
            # Half of the batches go without cells: half the work, and no leaning on one source.
            loss = loss_of(model, tokenizer, batch, examples.rng.random() < CELL_SHARE)
            (loss / 2).backward()
            value = loss.item()
            running[name] = 0.9 * running.get(name, value) + 0.1 * value
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 25 == 0:
            print(steps, f"{budget.share:.2f}", {k: round(v, 2) for k, v in running.items()},
                  flush=True)
        if steps % 50 == 0:
            store()
    store()
    if val:
        print("val", validate(model, tokenizer, val["records"], a.data, names), flush=True)


if __name__ == "__main__":
    main()
