"""Stage 1: fine-tune a trunk on classes, labels, caption words and counts per cell.

    python -m training.tune_trunk --model compact --data DIR --minutes 8

Heads are thrown away; the trunk then feeds the projector of the language model.
"""

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.bands import to_composites
from eo_nodes.lvlm.views import input_shape, resize
from training import schedule
from training.recipe import RECIPES
from training.samples import load, training_samples
from training.trunks import pretrained_trunk

# share of batches a set gets
MIX = {"eurosat_rgb": 0.25, "aid_rsicd": 0.26, "mstar": 0.20, "ucm_multilabel": 0.08,
       "objects_rgb": 0.08, "hit_uav": 0.07, "eurosat_ms": 0.05, "flood_s1": 0.03}
CLASS_GROUPS = {"eurosat_rgb": "eurosat", "eurosat_ms": "eurosat", "aid_rsicd": "aid",
                "ucm_multilabel": "ucm", "mstar": "mstar"}
DENSE = ("aircraft", "vehicle", "person", "boat", "bicycle", "water")
BOX_KINDS = {"aircraft": "aircraft", "airliner": "aircraft", "propeller": "aircraft",
             "trainer": "aircraft", "chartered": "aircraft", "fighter": "aircraft",
             "car": "vehicle", "bus": "vehicle", "truck": "vehicle", "van": "vehicle",
             "minibus": "vehicle", "long-vehicle": "vehicle", "boat": "boat", "Car": "vehicle",
             "OtherVehicle": "vehicle", "Person": "person", "Bicycle": "bicycle"}
BATCH = 24
WORDS = 300


def dense_target(sample, rows, cols):
    """(rows, cols, len(DENSE)) log(1 + objects in the cell); water: share of the cell."""
    target = np.zeros((rows, cols, len(DENSE)), np.float32)
    height, width = sample.values.shape[1:3]
    for label, (x, y, w, h) in sample.boxes:
        if label in BOX_KINDS:
            r = min(rows - 1, max(0, int((y + h / 2) / height * rows)))
            c = min(cols - 1, max(0, int((x + w / 2) / width * cols)))
            target[r, c, DENSE.index(BOX_KINDS[label])] += 1
    target = np.log1p(target)
    if sample.set_name == "flood_s1":
        water = (sample.mask == 1).astype(np.float32)
        target[..., -1] = cv2.resize(water, (cols, rows), interpolation=cv2.INTER_AREA)
    return target


def words_of(caption):
    return set(caption.strip(".").replace(",", " ").split())


class Targets:
    """Numbers for each task from a sample's facts."""

    def __init__(self, samples):
        groups = {}
        words = Counter()
        for s in samples:
            if s.set_name in CLASS_GROUPS:
                groups.setdefault(CLASS_GROUPS[s.set_name], set()).add(s.facts["label"])
            for caption in s.facts.get("captions", []):
                words.update(words_of(caption))
        self.classes = {g: sorted(v) for g, v in sorted(groups.items())}
        self.words = [w for w, _ in words.most_common(WORDS)]
        self.objects = sorted({o for s in samples for o in s.facts.get("objects", [])})

    def labels(self, sample):
        """(name of a multi-label head, 0/1 vector) or None."""
        if sample.set_name == "aid_rsicd":
            have = set().union(*map(words_of, sample.facts["captions"]))
            return "words", [float(w in have) for w in self.words]
        if sample.set_name == "ucm_multilabel":
            return "objects", [float(o in sample.facts["objects"]) for o in self.objects]
        if sample.set_name == "hit_uav":
            return "day", [float(sample.facts["day_night"] == "day")]
        if sample.set_name == "flood_s1":
            return "flood", [float(sample.facts["label"] == "water")]
        return None


class Heads(nn.Module):
    def __init__(self, dim, targets):
        super().__init__()
        self.pool_norm, self.cell_norm = nn.LayerNorm(2 * dim), nn.LayerNorm(dim)
        sizes = {f"class_{g}": len(v) for g, v in targets.classes.items()}
        sizes |= {"label_words": len(targets.words), "label_objects": len(targets.objects),
                  "label_day": 1, "label_flood": 1}
        self.pooled = nn.ModuleDict({k: nn.Linear(2 * dim, n) for k, n in sizes.items()})
        self.dense = nn.Linear(dim, len(DENSE))

    def forward(self, tokens, name):
        flat = tokens.flatten(1, 2)
        pooled = self.pool_norm(torch.cat([flat.mean(1), flat.amax(1)], 1))
        return self.pooled[name](functional.dropout(pooled, 0.2, self.training))


def augment(image, rng, crop):
    """Mirror, brightness and contrast; where ``crop``, also turn and cut out a part."""
    if crop:
        share = rng.uniform(0.75, 1.0)
        h, w = (int(n * share) for n in image.shape[:2])
        y, x = rng.integers(image.shape[0] - h + 1), rng.integers(image.shape[1] - w + 1)
        image = np.rot90(image[y:y + h, x:x + w], rng.integers(4))
    return np.ascontiguousarray(image) * rng.uniform(0.85, 1.15) + rng.uniform(-0.06, 0.06)


def make_batch(samples, rng, size, upscale, training=True):
    """One set's samples -> pixels (N, 3, H, W) and, for dense sets, targets (N, h, w, K)."""
    has_dense = samples[0].set_name in ("objects_rgb", "hit_uav", "flood_s1")
    shape = input_shape(*samples[0].values.shape[1:3], size, upscale)
    pixels, dense = [], []
    for s in samples:
        stack = to_composites(s.values[0], s.bands, s.modality)
        image = stack[rng.integers(len(stack))]
        target = dense_target(s, shape[0] // 32, shape[1] // 32) if has_dense else None
        if training:
            upright = s.set_name == "mstar"      # the shadow's direction is part of the target
            image = augment(image, rng, not has_dense and not upright)
            if upright:
                y, x = rng.integers(0, 9, 2)
                image = image[y:y + 88, x:x + 88]
            for axis in (0, 1):
                if rng.random() < 0.5 and not upright:
                    image = np.flip(image, axis)
                    target = None if target is None else np.flip(target, axis)
        pixels.append(resize(np.ascontiguousarray(np.clip(image, 0, 1), np.float32), shape))
        if has_dense:
            dense.append(target.copy())
    x = torch.from_numpy((np.stack(pixels).transpose(0, 3, 1, 2) - 0.498) / 0.502).float()
    x = x.contiguous(memory_format=torch.channels_last)
    return x, torch.from_numpy(np.stack(dense)) if has_dense else None


def loss_of(trunk, heads, targets, samples, x, dense):
    tokens = trunk(x)
    name = samples[0].set_name
    loss = 0.0
    if name in CLASS_GROUPS:
        group = CLASS_GROUPS[name]
        want = torch.tensor([targets.classes[group].index(s.facts["label"]) for s in samples])
        loss = functional.cross_entropy(heads(tokens, f"class_{group}"), want, label_smoothing=0.05)
    labels = [targets.labels(s) for s in samples]
    if labels[0] is not None:
        want = torch.tensor([v for _, v in labels])
        factor = 4.0 if labels[0][0] == "words" else 1.0
        loss = loss + factor * functional.binary_cross_entropy_with_logits(
            heads(tokens, f"label_{labels[0][0]}"), want)
    if dense is not None:
        found = heads.dense(heads.cell_norm(tokens))
        loss = loss + 4 * functional.smooth_l1_loss(found, dense, beta=0.3)
    return loss


@torch.no_grad()
def validate(trunk, heads, targets, data, size, upscale):
    trunk.eval(), heads.eval()
    report = {}
    for name, group in CLASS_GROUPS.items():
        samples = load(data, name, "val")[:200]
        right = 0
        for i in range(0, len(samples), BATCH):
            part = samples[i:i + BATCH]
            x, _ = make_batch(part, np.random.default_rng(0), size, upscale, training=False)
            best = heads(trunk(x), f"class_{group}").argmax(1).tolist()
            right += sum(targets.classes[group][b] == s.facts["label"]
                         for b, s in zip(best, part, strict=True))
        report[name] = round(100 * right / len(samples), 1)
    trunk.train(), heads.train()
    return report


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=RECIPES, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--freeze-lower", action="store_true", help="train only past stride 8")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    cv2.setNumThreads(1)
    recipe, rng = RECIPES[a.model], np.random.default_rng(a.seed)
    samples = training_samples(a.data)
    targets = Targets(samples)
    by_set = {n: [s for s in samples if s.set_name == n] for n in MIX}
    trunk = pretrained_trunk(recipe.trunk)
    heads = Heads(trunk.dim, targets)
    path = recipe.folder / "trunk.pt"
    state = schedule.restore(path) or {"spent_s": 0.0, "steps": 0}
    if "trunk" in state:
        trunk.load_state_dict(state["trunk"])
        heads.load_state_dict(state["heads"])
        rng = np.random.default_rng([a.seed, state["steps"]])
    trunk.to(memory_format=torch.channels_last)
    trunk.is_lower_frozen = a.freeze_lower
    optimizer = torch.optim.AdamW([
        {"params": list(trunk.parameters()), "base_lr": 4e-4, "weight_decay": 1e-4},
        {"params": list(heads.parameters()), "base_lr": 2e-3, "weight_decay": 1e-3}])
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    budget, steps = schedule.Budget(a.minutes, state["spent_s"]), state["steps"]
    names, odds = list(MIX), np.array(list(MIX.values())) / sum(MIX.values())
    running = {}

    def store():
        schedule.save(path, {"trunk": trunk.state_dict(), "heads": heads.state_dict(),
                             "optimizer": optimizer.state_dict(), "steps": steps,
                             "spent_s": budget.spent_s})

    while budget.share < 1:
        schedule.set_rate(optimizer, budget.rate())
        optimizer.zero_grad()
        for name in rng.choice(names, 2, replace=False, p=odds):
            pool = by_set[name]
            part = [pool[i] for i in rng.choice(len(pool), BATCH, replace=False)]
            x, dense = make_batch(part, rng, recipe.tune_size, recipe.upscale)
            loss = loss_of(trunk, heads, targets, part, x, dense)
            (loss / 2).backward()
            value = loss.item()
            running[str(name)] = 0.9 * running.get(str(name), value) + 0.1 * value
        nn.utils.clip_grad_norm_([*trunk.parameters(), *heads.parameters()], 2.0)
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            print(steps, f"{budget.share:.2f}", {k: round(v, 2) for k, v in running.items()},
                  flush=True)
        if steps % 150 == 0:
            store()
    store()
    print("val", validate(trunk, heads, targets, a.data, recipe.tune_size, recipe.upscale))

if __name__ == "__main__":
    main()
