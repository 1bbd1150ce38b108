"""How well classes are named that no training picture showed.

    python -m training.zero_shot --data DIR --minutes 20 [--seed 0] [--out build/zero_shot]
    python -m training.zero_shot --keep [--out build/zero_shot]

Two classes of EuroSAT and three of RSICD, drawn with the seed, are held out of one small run of the
vision network with its language space: no picture of them, no caption of these pictures, and no
picture of a class of the same name in any other set. Then test pictures are named among all 10 or
30 names by the nearest sentence; the run is scored on held-out and on seen classes, with chance,
with what the names are said anyway, and with the harmonic mean. Resumable: called again with more
minutes it goes on. Minutes are of CPU time. ``--keep`` puts all results of OUT into the file that
the evaluation prints.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.sight import prepare_pixels
from training import schedule
from training.evaluation import summary
from training.evaluation.intervals import wilson
from training.instruct.nouns import CLASS_NAMES
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.vision.batches import BatchSource, all_texts, input_size
from training.vision.losses import total
from training.vision.network import VisionConfig, VisionNetwork
from training.vision.plan import KINDS, PLAN
from training.vision.sentences import SentenceEncoder
from training.vision.targets import Vocabulary
from training.vision.train import Steps, optimizer_of, to_device

HELD = {"eurosat_rgb": 2, "aid_rsicd": 3}
SETS = ("eurosat_rgb", "eurosat_ms", "aid_rsicd", "ucm_multilabel")
TEMPLATE = "a satellite image of {}"
TEXT_WEIGHT = 3.0          # on the language loss, whose space is all that is asked here
LEAST_FACTOR = 4           # times chance: what is asked for
# Training pulls every picture towards the seen names. For the second figure a constant is taken
# off their scores, as large as costs the seen classes on val so many points, and no more than this
# share of what they had: no held-out picture is looked at for it.
GIVEN_UP, GIVEN_UP_SHARE = 5.0, 0.1
_STORE_S = 60
_BATCH = 25


def held_classes(seed):
    """{set: labels held out}, drawn with the seed."""
    rng = np.random.default_rng(seed)
    return {name: sorted(rng.choice(sorted(CLASS_NAMES[name]), many, replace=False).tolist())
            for name, many in HELD.items()}


def held_names(held):
    """The words that name the held-out classes."""
    return {CLASS_NAMES[name][label] for name, labels in held.items() for label in labels}


class SeenOnly(Library):
    """A data folder without the training pictures of held-out classes, of whatever set."""

    def __init__(self, data, names, cache_bytes=1 << 30):
        super().__init__(data, cache_bytes)
        self.unseen = names

    def is_unseen(self, sample):
        label = sample.facts.get("label")
        return CLASS_NAMES.get(sample.set_name, {}).get(label) in self.unseen

    def samples(self, name, split, held=None):
        found = super().samples(name, split, held)
        return found if split == "test" else [s for s in found if not self.is_unseen(s)]


class Texts:
    """text -> unit vector; those of an earlier table are not made anew."""

    def __init__(self, texts, path):
        known = {}
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                known = dict(zip(stored["texts"].tolist(), stored["vectors"], strict=True))
        lacking = sorted(set(texts) - known.keys())
        made = SentenceEncoder()(lacking) if lacking else []
        known |= dict(zip(lacking, made, strict=True))
        self._vectors = {t: known[t].astype(np.float32) for t in set(texts)}

    def __call__(self, texts):
        """List of n texts -> (n, 384) float32."""
        return np.stack([self._vectors[t] for t in texts])


def names_of(name):
    """All class names of a set, in the order of the columns of scores."""
    return sorted(set(CLASS_NAMES[name].values()))


def build(data, held, seed, backbone="lite0", sets=SETS, texts=CHECKPOINTS / "texts.npz"):
    """(library, network, source) before training."""
    library = SeenOnly(data, held_names(held))
    torch.manual_seed(seed)
    vocabulary = Vocabulary(library)
    network = VisionNetwork(VisionConfig(backbone, KINDS, vocabulary.heads), backbone != "tiny")
    network.backbone.freeze_lower()
    asked = [TEMPLATE.format(n) for s in HELD if s in library.names for n in names_of(s)]
    table = Texts([*all_texts(library), *asked], texts)
    source = BatchSource(library, vocabulary, table, seed, sets=sets)
    return library, network, source


def fit(network, source, minutes, path, device="cpu", say=print):
    """Train until the CPU minutes are spent; go on from the checkpoint where there is one."""
    network.to(device).train()
    optimizer = optimizer_of(network)
    state = schedule.restore(path) or {"spent_s": 0.0, "steps": 0}
    if "network" in state:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    steps, clock = state["steps"], time.process_time
    start = stored = clock()

    def spent():
        return state["spent_s"] + clock() - start

    def store():
        schedule.save(path, {"network": network.state_dict(), "optimizer": optimizer.state_dict(),
                             "steps": steps, "spent_s": spent()})

    batches = Steps(source, 0, 10**7)
    while (share := spent() / (minutes * 60)) < 1:
        schedule.set_rate(optimizer, schedule.rate_at(share))
        losses = total(network, to_device(batches[steps], device))
        loss = sum(v * (TEXT_WEIGHT if k == "text" else 1.0) for k, v in losses.items())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            text = losses.get("text", loss).item()
            say(f"step {steps}, {share:.0%} of the time, loss of the text {text:.2f}", flush=True)
        if clock() - stored > _STORE_S:
            store()
            stored = clock()
    store()
    return steps, spent()


@torch.no_grad()
def scores_of(network, source, name, samples, device="cpu"):
    """(N, names) closeness of each picture to the sentence of each class."""
    network.to(device).eval()
    texts = torch.from_numpy(source.texts([TEMPLATE.format(n) for n in names_of(name)])).to(device)
    out = []
    for i in range(0, len(samples), _BATCH):
        some, pixels = samples[i:i + _BATCH], []
        for s in some:
            values = source.library.pixels(s)
            shape = input_size(*values.shape[:2], PLAN[name].px)
            (x,), codes = prepare_pixels(values, s.bands, shape)
            pixels.append(torch.from_numpy(x))
        found = network(torch.stack(pixels).to(device), torch.from_numpy(codes).to(device))
        vectors = functional.normalize(network.image_text(network.pool(found["cells"])), dim=-1)
        out.append((vectors @ texts.T).cpu().numpy())
    return np.concatenate(out)


def accuracy(scores, true, allowance=0.0, seen=None):
    """Per cent of pictures whose best name is theirs; allowance: taken off the seen columns."""
    shifted = scores - allowance * (0 if seen is None else seen.astype(np.float32))
    return 100 * float((shifted.argmax(1) == true).mean())


def allowance_of(scores, true, seen, given_up=GIVEN_UP):
    """The largest constant off the seen names that costs pictures of seen classes at most
    ``given_up`` points, or the share ``GIVEN_UP_SHARE`` of their accuracy if that is less."""
    best = accuracy(scores, true)
    least = best - min(given_up, GIVEN_UP_SHARE * best)
    fits = [a for a in np.linspace(0, 1, 201) if accuracy(scores, true, a, seen) >= least]
    return float(max(fits))


def harmonic(a, b):
    """Harmonic mean of two shares; 0 where one of them is."""
    return 2 * a * b / (a + b) if a > 0 and b > 0 else 0.0


def said_anyway(scores, true, is_new, seen, allowance):
    """Per cent right on held-out pictures if the names that seen pictures get were drawn for them:
    a model that says one held-out name of everything is right on that class."""
    said = (scores - allowance * seen.astype(np.float32))[~is_new].argmax(1)
    share = np.bincount(said, minlength=scores.shape[1]) / max(1, len(said))
    return 100 * float(share[true[is_new]].mean())


def judge(name, scores, true, is_new, seen, allowance):
    """Figures of one set, in per cent; is_new (N,): pictures of held-out classes; seen (names,)."""
    chance = 100 / scores.shape[1]
    parts = {}
    for kind, a in (("plain", 0.0), ("with_allowance", allowance)):
        new, old = (accuracy(scores[m], true[m], a, seen) for m in (is_new, ~is_new))
        n = int(is_new.sum())
        interval = wilson(new / 100 * n, n)
        anyway = said_anyway(scores, true, is_new, seen, a)
        parts[kind] = {
            "held_out": round(new, 2), "ci95": [round(v, 2) for v in interval],
            "said_anyway": round(anyway, 2), "seen": round(old, 2),
            "harmonic_mean": round(harmonic(new, old), 2), "times_chance": round(new / chance, 2),
            "reached": new >= LEAST_FACTOR * chance and interval[0] > anyway}
    columns = np.flatnonzero(~seen)
    own = np.searchsorted(columns, true[is_new])
    among = 100 * float((scores[is_new][:, columns].argmax(1) == own).mean())
    return {"set": name, "names": scores.shape[1], "chance": round(chance, 2),
            "n_held_out": int(is_new.sum()), "n_seen": int((~is_new).sum()), **parts,
            "allowance": round(allowance, 3),
            "among_held_out_names": round(among, 2),
            "chance_among_held_out_names": round(100 / len(columns), 2)}


def score(network, source, held, device="cpu"):
    """Rows of all sets that hold classes back, on their test split."""
    library, rows = source.library, []
    for name in HELD:
        if name not in library.names:
            continue
        columns = names_of(name)
        seen = np.array([c not in held_names({name: held[name]}) for c in columns])
        both = {}
        for split in ("val", "test"):
            samples = library.samples(name, split)
            true = np.array([columns.index(CLASS_NAMES[name][s.facts["label"]]) for s in samples])
            both[split] = scores_of(network, source, name, samples, device), true
        allowance = allowance_of(*both["val"], seen)
        scores, true = both["test"]
        rows.append(judge(name, scores, true, ~seen[true], seen, allowance))
    return rows


def related(library, held):
    """How often the names were still said: captions of seen classes with a held-out name."""
    said = dict.fromkeys(sorted(held_names(held)), 0)
    for s in (s for name in SETS if name in library.names for s in library.samples(name, "train")):
        for caption in s.facts.get("captions", []):
            for n in said:
                said[n] += n in caption.lower()
    return said


def main():
    schedule.keep_pages()
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path)
    p.add_argument("--keep", action="store_true", help="only keep what OUT holds")
    p.add_argument("--minutes", type=float, default=20, help="of CPU time")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--out", type=Path, default=Path("build/zero_shot"))
    p.add_argument("--texts", type=Path, default=CHECKPOINTS / "texts.npz",
                   help="sentence vectors made before; read only")
    a = p.parse_args()
    if a.keep:
        print(f"{summary.keep_zero_shot(a.out)} runs in {summary.ZERO_SHOT}")
        return
    if a.data is None:
        p.error("--data, or --keep")
    torch.set_num_threads(a.threads)
    held = held_classes(a.seed)
    print(f"held out: {held}", flush=True)
    library, network, source = build(a.data, held, a.seed, texts=a.texts)
    steps, spent_s = fit(network, source, a.minutes, a.out / f"seed{a.seed}.pt", a.device)
    content = {"seed": a.seed, "held_out": held, "steps": steps, "cpu_seconds": round(spent_s),
               "captions_that_still_say_it": related(library, held),
               "rows": score(network, source, held, a.device)}
    text = json.dumps(content, indent=1) + "\n"
    (a.out / f"seed{a.seed}.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
