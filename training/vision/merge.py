"""Specialists of the modalities, merged step by step into one network.

    python -m training.vision.merge --start vision.pt --data DIR --steps 300 --out merged.pt

After the progressive weight merging of GeoLangBind (arXiv 2503.06312), which is linear in practice.
All specialists start from one network and train on the sets of one modality; the merged network
begins as the start and takes up one specialist after the other, each with the share that scores
best on val (a share of 0 leaves it out). The result is a checkpoint as stage 1 writes it.
"""

import argparse
import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from training import schedule
from training.instruct.sources import SETS, Library
from training.recipe import CHECKPOINTS
from training.vision.batches import BatchSource, all_texts
from training.vision.fit import fit
from training.vision.network import VisionConfig, VisionNetwork
from training.vision.sentences import TextTable
from training.vision.targets import Vocabulary
from training.vision.validate import validate

GROUPS = {"optical": "optical", "video": "optical", "temporal": "optical", "sar": "sar",
          "fusion": "sar", "thermal": "thermal", "multispectral": "multispectral"}
SHARES = (0.0, 0.25, 0.5)
_FINE_RATE = 0.3           # of the rates of stage 1
_JUDGED = 100              # val samples a set that decide on a share


@dataclass(frozen=True, slots=True)
class MergeStep:
    """share of a specialist that was taken, and the score on val behind it."""

    name: str
    share: float
    score: float


def groups_of(names):
    """{modality: its sets}, in a fixed order."""
    out = {}
    for name in sorted(names):
        out.setdefault(GROUPS[SETS[name].modality], []).append(name)
    return dict(sorted(out.items()))


def linear(a, b, share):
    """(1 - share) a + share b of two state dicts; entries that are no floats come from a."""
    if a.keys() != b.keys():
        raise ValueError("state dicts of different networks")
    return {k: v + share * (b[k] - v) if v.is_floating_point() else v for k, v in a.items()}


def mean_score(scores):
    """Mean of the percentages of `validate`; errors of counts are no percentages."""
    values = [v for k, v in scores.items() if not k.endswith("mae")]
    return sum(values) / len(values) if values else 0.0


def progressive(start, specialists, score, shares=SHARES):
    """Merge specialists {name: state} one by one into start.

    score: state -> number, higher is better, called once for every new state.
    Returns: (merged state, [MergeStep]).
    """
    merged, best, steps = start, score(start), []
    for name, state in specialists.items():
        taken, kept = 0.0, merged
        for share in shares:
            if share == 0:
                continue
            tried = linear(merged, state, share)
            reached = score(tried)
            if reached > best:
                best, taken, kept = reached, share, tried
        merged = kept
        steps.append(MergeStep(name, taken, best))
    return merged, steps


def specialise(network, source, steps, device="cpu", workers=0):
    """Train a copy of a network on a source for so many steps; returns its state."""
    own = copy.deepcopy(network)
    fit(own, source, lambda step: step / steps, device, rate=_FINE_RATE,
        workers=workers)
    return {k: v.detach().cpu() for k, v in own.state_dict().items()}


def merge(network, source_of, names, vocabulary, source, steps, device="cpu",
          workers=0):
    """Specialists of all modalities among names, merged into the network in place.

    source_of: sets -> `BatchSource` of them; source: of all, for val; steps: of each specialist.
    Returns: [MergeStep].
    """
    start = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
    specialists = {m: specialise(network, source_of(sets), steps, device, workers)
                   for m, sets in groups_of(names).items()}

    def score(state):
        network.load_state_dict(state)
        return mean_score(validate(network.eval(), vocabulary, source, device,
                                   _JUDGED))

    merged, taken = progressive(start, specialists, score)
    network.load_state_dict(merged)
    return taken


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--start", type=Path, required=True, help="checkpoint of training.vision.train")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--steps", type=int, default=300, help="of each specialist")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--larger", type=float, default=1.0, help="as the model's inputs")
    p.add_argument("--sets", nargs="*", help="only these")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    state = schedule.restore(a.start)
    network = VisionNetwork(VisionConfig(**state["config"]), pretrained=False)
    network.load_state_dict(state["network"])
    network.to(a.device)
    library = Library(a.data)
    vocabulary = Vocabulary(library)
    texts = TextTable(all_texts(library), CHECKPOINTS / "texts.npz")

    def source_of(sets):
        return BatchSource(library, vocabulary, texts, a.seed, a.larger, sets)

    source = source_of(a.sets)
    taken = merge(network, source_of, source.names, vocabulary, source, a.steps, a.device,
                  a.workers)
    state.pop("optimizer", None)               # its moments are of no merged network
    schedule.save(a.out, state | {"network": network.cpu().state_dict()})
    print(json.dumps([asdict(t) for t in taken], indent=1))


if __name__ == "__main__":
    main()
