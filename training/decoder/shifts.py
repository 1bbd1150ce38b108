"""How far the heat maps of two networks together are shifted, kind by kind; measured on val.

    python -m training.decoder.shifts --data DIR [--most 100]

A place counts as an object from the chance `proposals.COUNTED_SCORE` on, whatever its kind. With
few or small examples of a kind the chances of its objects stay lower. For each kind the threshold
is looked for at which F1, as a mean over the sets that label the kind, is best; the shift brings
that chance to the common one. Writes `shifts.json` beside the checkpoint of the fine network.
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from eo_nodes.lvlm.proposals import COUNTED_SCORE
from training.decoder.train import SIZES, perception_of
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.vision.dual import SHIFTS
from training.vision.plan import BOX_KINDS, DENSE, KINDS
from training.vision.targets import labelled_kinds
from training.vision.validate import matched, proposals

THRESHOLDS = tuple(round(0.1 + 0.025 * i, 3) for i in range(21))     # of the chance, up to 0.6
SAME = {"trees": 0.4}                        # IoU of a right box, else 0.5: as the exams have it


def counted(perception, library, name, most):
    """{kind: (thresholds, 3) right, found and true boxes} of the val pictures of a set."""
    sums = defaultdict(lambda: np.zeros((len(THRESHOLDS), 3)))
    for sample in library.samples(name, "val")[:most]:
        values = library.pixels(sample)
        height, width = values.shape[:2]
        found = perception.find([(values, sample.bands)])
        scores, kinds, boxes = (v[0].numpy() for v in proposals(found["heat"], found["shape"]))
        rows, cols = found["heat"].shape[2:]
        boxes = boxes / np.array([cols, rows, cols, rows]) / 4
        true = np.array(sample.facts["boxes"], float).reshape(-1, 4)
        true[:, 2:] += true[:, :2]
        true /= [width, height, width, height]
        labels = [BOX_KINDS.get(label) for label in sample.facts["box_labels"]]
        for k in np.flatnonzero(labelled_kinds(sample)):
            want = true[[label == KINDS[k] for label in labels]]
            for n, least in enumerate(THRESHOLDS):
                got = boxes[(kinds == k) & (scores > least)]
                sums[KINDS[k]][n] += (matched(got, want, SAME.get(name, 0.5)), len(got), len(want))
    return sums


def f1(sums):
    """(thresholds, 3) -> (thresholds,) in percent."""
    return 200 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)


def logit(chance):
    return math.log(chance / (1 - chance))


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--most", type=int, default=100, help="pictures of a set")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--compact", type=Path, default=Path("models/compact"),
                   help="released folder whose network looks as well")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    path = CHECKPOINTS / "vision" / SIZES["regular"].sight / SHIFTS
    perception, library = perception_of("regular", a.compact), Library(a.data)
    perception.network.shifts.zero_()
    curves = defaultdict(list)
    for name in DENSE:
        for kind, sums in counted(perception, library, name, a.most).items():
            curve = f1(sums)
            if sums[0, 2]:                                    # else there is nothing to find
                curves[kind].append(curve)
            print(f"{name:13} {kind:9}", " ".join(f"{v:4.0f}" for v in curve), flush=True)
    print(f"{'chance':23}", " ".join(f"{v:4.2f}" for v in THRESHOLDS))
    best = {kind: THRESHOLDS[int(np.mean(found, 0).argmax())] for kind, found in curves.items()}
    shifts = {kind: round(logit(COUNTED_SCORE) - logit(v), 3) for kind, v in best.items()}
    path.write_text(json.dumps(shifts) + "\n")
    print("best", best, "shifts", shifts)


if __name__ == "__main__":
    main()
