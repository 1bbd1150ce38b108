"""How far the heat maps of a size are shifted, sensor by sensor and kind by kind.

    python -m training.decoder.shifts --data DIR [--model compact] [--most 60]

A place counts as an object from the chance `proposals.COUNTED_SCORE` on, as the kind of highest
chance there, and a picture has room for `proposals.MOST`: so the shifts of all kinds are chosen
together, on whole pictures, by what is kept of them. For each sensor they are changed one after
another until none helps. What helps is the mean over its sets and the kinds that these label of F1
or, where a set shows none, of the share of pictures in which none is found. (Shifts that were
chosen for each kind on its own sets alone filled thermal pictures with trees.)

Of two networks, the share of the fine one in a sensor's heat maps is chosen with them: one half
unless another is better by more than `CLEARLY`.

A kind that no training set labels in a sensor's pictures was not taught there; what its heat map
says of them is noise and gets `UNTAUGHT`. Writes `shifts.json`, and of two networks `shares.json`,
beside the checkpoint of the vision network. Of the regular size they become part of its graph.
Compact's decoder learned on heat maps without: its folder's configuration holds them, and kinds
compete with them where objects are counted and listed (`training.decoder.counting`).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from eo_nodes.lvlm.proposals import COUNTED_SCORE, Proposals, keep
from eo_nodes.lvlm.spectrum import codes, parse_bands
from training.decoder.perception import candidates
from training.decoder.train import SIZES, perception_of
from training.evaluation.sets import draw
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.vision.dual import (
    HALF,
    SENSORS,
    SHARES,
    SHIFTS,
    read_shares,
    read_shifts,
    sensor_of,
    table_of,
)
from training.vision.plan import BOX_KINDS, DENSE, KINDS
from training.vision.targets import labelled_kinds, training_samples
from training.vision.validate import matched

SAME = {"trees": 0.4}                        # IoU of a right box, else 0.5: as the exams have it
UNTAUGHT = -4.0
TRIED = (HALF, 0.25, 0.75)                   # shares of the fine network
CLEARLY = 2.0                                # points, for another share than one half
STEPS = tuple(0.2 * i for i in range(-8, 9))
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture. heat (1, K, h, w) logits without shifts and shape (1, 4, h, w), tensors;
    boxes (n, 4) in [0, 1] and kinds (n,) of what is labelled; known (K,) whether a kind is."""

    name: str
    heat: torch.Tensor
    shape: torch.Tensor
    boxes: np.ndarray
    kinds: np.ndarray
    known: np.ndarray

    def counts(self, shifts):
        """(K, 3) right, found and true boxes with shifts (K,)."""
        heat = self.heat.float() + torch.as_tensor(shifts).float()[:, None, None]
        pixel = torch.zeros(1, 1, *heat.shape[2:])
        most = min(48, heat.shape[2] * heat.shape[3])
        score, boxes, chances, look = (v[0].numpy() for v in candidates(
            heat, self.shape.float(), pixel, most))
        kept = keep(Proposals(score, boxes, chances, look))
        sure, best = kept.score > COUNTED_SCORE, kept.kinds.argmax(1)
        out = np.zeros((len(KINDS), 3))
        for k in np.flatnonzero(self.known):
            order = np.flatnonzero(sure & (best == k))
            got = kept.boxes[order[np.argsort(-kept.score[order], kind="stable")]]
            want = self.boxes[self.kinds == k]
            out[k] = matched(got, want, SAME.get(self.name, 0.5)), len(got), len(want)
        return out


def table_by_sensor(shifts, kinds):
    """{sensor: a shift of each kind} of what `read_shifts` gives."""
    rows = table_of(shifts, kinds).tolist() if shifts else []
    return {of: tuple(round(v, 3) for v in row)
            for of, row in zip(SENSORS, rows, strict=False)}


def sensor(sample):
    """Which of `SENSORS` took a sample."""
    shares = sensor_of(torch.from_numpy(codes(parse_bands(sample.bands))))
    return SENSORS[int(shares.argmax())]


def taught_by(library, names):
    """{sensor: (K,) bool} which kinds training samples of these sets label."""
    out = {}
    for name in names:
        for sample in training_samples(library, name):
            known = out.setdefault(sensor(sample), np.zeros(len(KINDS), bool))
            known |= labelled_kinds(sample) > 0
    return out


def labelled(perception, library, name, most):
    """{sensor: [`Labelled`]} of pictures of a set that no network learns from: val, and the share
    of the training split that is held for routing (val shows no boats from above)."""
    out = {}
    held = sorted(library.samples(name, "train", held=True), key=lambda s: draw(s.id))
    for sample in [*library.samples(name, "val")[:most], *held[:most]]:
        values = library.pixels(sample)
        height, width = values.shape[:2]
        found = perception.find([(values, sample.bands)])
        true = np.array(sample.facts["boxes"], float).reshape(-1, 4)
        true[:, 2:] += true[:, :2]
        kinds = np.array([KINDS.index(BOX_KINDS[n]) if n in BOX_KINDS else -1
                          for n in sample.facts["box_labels"]], int)
        out.setdefault(sensor(sample), []).append(Labelled(
            name, found["heat"].half(), found["shape"].half(),
            true / [width, height, width, height], kinds, labelled_kinds(sample)))
    return out


def worth(pictures, shifts):
    """(mean in percent, {(set, kind): percent}); see the module's head."""
    sums, clean = {}, {}
    for picture in pictures:
        counts = picture.counts(shifts)
        for k in np.flatnonzero(picture.known):
            key = (picture.name, KINDS[k])
            sums[key] = sums.get(key, 0) + counts[k]
            clean.setdefault(key, []).append(counts[k][1] == 0)
    each = {key: 200 * s[0] / (s[1] + s[2]) if s[2] else 100 * np.mean(clean[key])
            for key, s in sums.items()}
    return float(np.mean(list(each.values()))), each


def count_errors(pictures, shifts):
    """{(set, kind): mean error of how many count}, by which what is told of them is wrong."""
    wrong = {}
    for picture in pictures:
        counts = picture.counts(shifts)
        for k in np.flatnonzero(picture.known):
            wrong.setdefault((picture.name, KINDS[k]), []).append(abs(counts[k][1] - counts[k][2]))
    return {key: float(np.mean(values)) for key, values in wrong.items()}


def chosen(pictures, taught, say=print):
    """(K,) shifts for the pictures of one sensor; taught (K,) bool."""
    shown = [k for k in np.flatnonzero(taught) if any((p.kinds == k).any() for p in pictures)]
    shifts = np.where(taught, 0.0, UNTAUGHT)
    best, _ = worth(pictures, shifts)
    for _ in range(ROUNDS):
        before = best
        for k in shown:
            for step in STEPS:
                tried = shifts.copy()
                tried[k] = step
                value, _ = worth(pictures, tried)
                # A small shift unless a larger one is clearly better: val is small.
                if value > best + 0.2:
                    best, shifts = value, tried
        say(dict(zip(KINDS, shifts.round(2).tolist(), strict=True)), round(best, 2), flush=True)
        if best <= before:
            break
    return shifts


def arguments(text, most):
    """Of a command that measures heat maps by sensor; text: its help."""
    p = argparse.ArgumentParser(description=text,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", choices=("compact", "regular"), default="regular")
    p.add_argument("--most", type=int, default=most, help="pictures of a set, of each of both")
    p.add_argument("--sets", nargs="+", choices=DENSE,
                   help="only these; what is known of other sensors stays")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--compact", type=Path, default=Path("models/compact"),
                   help="released folder whose network looks as well")
    return p.parse_args()


@torch.no_grad()
def main():
    a = arguments(__doc__, most=60)
    torch.set_num_threads(a.threads)
    folder = CHECKPOINTS / "vision" / SIZES[a.model].sight
    perception, library = perception_of(a.model, a.compact), Library(a.data)
    network, is_dual = perception.network, SIZES[a.model].is_dual
    shifts, shares, taught = read_shifts(folder), {}, taught_by(library, DENSE)
    best = {}
    for share in TRIED if is_dual else (HALF,):
        if is_dual:
            network.shifts.zero_(), network.shares.fill_(share)
        by_sensor = {}
        for name in a.sets or DENSE:
            for of, pictures in labelled(perception, library, name, a.most).items():
                by_sensor.setdefault(of, []).extend(pictures)
        for of, pictures in by_sensor.items():
            print(of, len(pictures), "pictures, share of the fine network", share, flush=True)
            found = chosen(pictures, taught[of])
            for what, values in (("without", np.zeros(len(KINDS))), ("with", found)):
                (mean, each), wrong = worth(pictures, values), count_errors(pictures, values)
                print(f"{what} shifts {mean:.1f}:", ", ".join(
                    f"{n} {k} {v:.0f} (count off by {wrong[n, k]:.2f})"
                    for (n, k), v in each.items()), flush=True)
            if of not in best or mean > best[of] + CLEARLY:
                best[of], shares[of] = mean, share
                shifts[of] = dict(zip(KINDS, found.round(3).tolist(), strict=True))
    (folder / SHIFTS).write_text(json.dumps(shifts) + "\n")
    print("shifts", shifts)
    if is_dual:
        held = dict(zip(SENSORS, read_shares(folder).tolist(), strict=True)) | shares
        (folder / SHARES).write_text(json.dumps(held) + "\n")
        print("shares", held)


if __name__ == "__main__":
    main()
