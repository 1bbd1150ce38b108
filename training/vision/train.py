"""Stage 1 of a model: the vision network on every labelled set.

    python -m training.vision.train --model compact --data DIR --minutes 60 [--device cuda]

Seeded and resumable: called again with a larger --minutes it goes on where it ended. Losses go to
`losses.jsonl` beside the checkpoint, scores on val to `val.jsonl`.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from training import schedule
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.vision.batches import BatchSource, all_texts
from training.vision.curriculum import TwoStages
from training.vision.distil import Distillation
from training.vision.losses import total
from training.vision.made import MadeScenes, made_texts
from training.vision.network import VisionConfig, VisionNetwork
from training.vision.plan import KINDS, PLAN, WORLD
from training.vision.sentences import TextTable
from training.vision.targets import Vocabulary
from training.vision.teachers import TEACHERS
from training.vision.validate import validate

# Backbone and how much larger pictures are fed. Regular goes on from the compact network's weights:
# on CPUs a larger backbone of its own could not be trained as far in the same time.
MODELS = {"compact": ("lite0", 1.0), "regular": ("lite0", 1.5)}
RATES = {"backbone.": 4e-4, "": 1.5e-3}


class Steps(Dataset):
    """Batches by step for a loader with several workers."""

    def __init__(self, source, start, end):
        self.source, self.start, self.end = source, start, end

    def __len__(self):
        return self.end - self.start

    def __getitem__(self, index):
        cv2.setNumThreads(1)
        batch = self.source.batch(self.start + index)
        group = PLAN.get(batch["name"], WORLD).group
        return batch | ({"class_head": f"class_{group}"} if group else {})


def optimizer_of(network, distil=None):
    """distil: a `Distillation` whose projectors train along, in a group of their own."""
    groups = {k: [] for k in RATES}
    for name, parameter in network.named_parameters():
        groups["backbone." if name.startswith("backbone.") else ""].append(parameter)
    made = [{"params": p, "base_lr": RATES[k], "lr": RATES[k],
             "weight_decay": 1e-4 if k else 1e-3} for k, p in groups.items()]
    if distil is not None:
        made.append(made[-1] | {"params": list(distil.parameters())})
    return torch.optim.AdamW(made, betas=(0.9, 0.98))


def to_device(batch, device):
    out = {k: v.to(device, non_blocking=True) if torch.is_tensor(v) else v
           for k, v in batch.items()}
    return out | {k: out[k].contiguous(memory_format=torch.channels_last)
                  for k in ("x", "x2") if k in out}


def build(model, library):
    """(network with pretrained backbone, vocabulary)."""
    vocabulary = Vocabulary(library)
    config = VisionConfig(MODELS[model][0], KINDS, vocabulary.heads)
    return VisionNetwork(config), vocabulary


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", choices=MODELS, required=True)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    p.add_argument("--device", default="cpu")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--folder", type=Path, help="of the checkpoint")
    p.add_argument("--sets", nargs="*", help="only these")
    p.add_argument("--small-until", type=int, default=0, metavar="STEP",
                   help="feed class sets at three quarters of their size before this step")
    p.add_argument("--start-from", type=Path, metavar="FILE",
                   help="checkpoint whose weights a new training begins with")
    p.add_argument("--rate", type=float, default=1.0,
                   help="factor on the learning rates; less for a network that knows much")
    p.add_argument("--freeze-lower", action="store_true",
                   help="train no block up to stride 4: a step takes a quarter less time")
    p.add_argument("--only", nargs="*", metavar="PART",
                   help="train these parts of a finished network, which nothing else reads: what "
                        "the decoder was trained on stays valid")
    p.add_argument("--teachers", nargs="*", choices=TEACHERS, default=[],
                   help="frozen teachers to distil from")
    p.add_argument("--pcma", type=int, metavar="STEPS",
                   help="two stages over so many steps: optical sets first, other physics second")
    p.add_argument("--world-share", type=float, default=0.0, metavar="SHARE",
                   help="of batches of the procedural world beside the shares of the sets in "
                        f"`plan.PLAN`; {WORLD.share} is usual, 0 makes none")
    a = p.parse_args()
    if a.pcma and a.world_share:
        p.error("the world's batches are of no stage of --pcma")
    return a


def main():
    schedule.keep_pages()
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    folder = a.folder or CHECKPOINTS / "vision" / a.model
    folder.mkdir(parents=True, exist_ok=True)
    library = Library(a.data)
    network, vocabulary = build(a.model, library)
    texts = TextTable(all_texts(library), CHECKPOINTS / "texts.npz")
    larger, world = MODELS[a.model][1], None
    if a.world_share > 0:
        said = TextTable(made_texts(), CHECKPOINTS / "texts_world.npz")
        world = MadeScenes(said, a.seed, larger, a.world_share)
    source = BatchSource(library, vocabulary, texts, a.seed, larger, a.sets, a.small_until, world)
    path = folder / "vision.pt"
    state = schedule.restore(path) or {"spent_s": 0.0, "steps": 0}
    if "network" in state:
        network.load_state_dict(state["network"])
        vocabulary.follow(state["names"])
    elif a.start_from:
        before_it = schedule.restore(a.start_from)
        network.load_state_dict(before_it["network"])
        vocabulary.follow(before_it["names"])
        state["world_share"] = before_it.get("world_share", 0.0)
    world_share = max(state.get("world_share", 0.0), a.world_share)     # for the model's card
    if a.pcma:
        source.odds_at = TwoStages(source.names, source.odds, a.pcma)
    distil = Distillation.of(a.teachers, a.data, network) if a.teachers else None
    if distil is not None and "distil" in state:
        distil.load_state_dict(state["distil"])
    if a.freeze_lower:
        network.backbone.freeze_lower()
    if a.only:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in a.only)
    network.to(a.device, memory_format=torch.channels_last)
    if distil is not None:
        distil.to(a.device)
    optimizer = optimizer_of(network, distil)
    # With other teachers than before, its moments belong to other parameters.
    if "optimizer" in state and ("distil" in state) == (distil is not None):
        optimizer.load_state_dict(state["optimizer"])
    before = state["spent_s"] if a.only else 0.0
    budget, steps = schedule.Budget(a.minutes, state["spent_s"] - before), state["steps"]

    def store():
        schedule.save(path, {"network": network.state_dict(),
                             "steps": state["steps"] if a.only else steps,
                             "optimizer": optimizer.state_dict(),
                             "spent_s": before + budget.spent_s,
                             "config": network.config.to_dict(), "names": vocabulary.names(),
                             "world_share": world_share}
                      | ({"distil": distil.state_dict()} if distil is not None else {}))

    loader = DataLoader(Steps(source, steps, steps + 10**7), batch_size=None, shuffle=False,
                        num_workers=a.workers, prefetch_factor=4 if a.workers else None)
    is_cuda = a.device.startswith("cuda")
    running, last, stored = {}, time.monotonic(), time.monotonic()
    network.train()
    for batch in loader:
        if budget.share >= 1:
            break
        schedule.set_rate(optimizer, a.rate * budget.rate())
        batch = to_device(batch, a.device)
        with torch.autocast("cuda", torch.bfloat16, enabled=is_cuda):
            losses = total(network, batch, distil)
        loss = sum(losses.values())
        if not loss.requires_grad:         # of this set the parts that train learn nothing
            steps += 1
            continue
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        steps += 1
        for key, value in losses.items():
            key = f"{batch['name']}.{key}"
            running[key] = 0.9 * running.get(key, value.item()) + 0.1 * value.item()
        if steps % 50 == 0:
            now = time.monotonic()
            line = {"step": steps, "share": round(budget.share, 3),
                    "s_per_step": round((now - last) / 50, 2),
                    "losses": {k: round(v, 3) for k, v in sorted(running.items())}}
            last = now
            schedule.tell(folder / "losses.jsonl", line)
        if time.monotonic() - stored > 240:
            store()
            stored = time.monotonic()
    store()
    scores = validate(network.eval(), vocabulary, source, a.device)
    with (folder / "val.jsonl").open("a") as file:
        file.write(json.dumps({"step": steps, "scores": scores}) + "\n")
    print(json.dumps(scores, indent=1), flush=True)


if __name__ == "__main__":
    main()
