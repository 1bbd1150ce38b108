"""How the peaks of the vision graph count, sensor by sensor and kind by kind.

    python -m training.decoder.counting --data DIR --model compact [--most 150] [--sets NAME...]

Chooses slope, offset and spread of `eo_nodes.lvlm.counting` by the likelihood of the true numbers,
and of whether there is one at all, in pictures that no network learns from: val, and the share of
the training split that is held for routing. Of compact, whose graph has no shifts, those of
`training.decoder.shifts` stay what kinds compete with.

Prints what it is worth by exchange of halves, whole scenes in one: each is counted with what the
other gave, beside a threshold (the peaks of a score above `COUNTED_SCORE`; how far its numbers are
spread, and how often it is right where it finds one and where none, come from the other half too).
Shifts are not exchanged: they were chosen on these pictures.

Writes `counting.json` beside the checkpoint of the vision network; the folder's configuration holds
it.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from eo_nodes.lvlm.counting import (
    Counting,
    count,
    logits,
    of_independent,
    peaks,
    plain,
    widened,
)
from eo_nodes.lvlm.proposals import COUNTED_SCORE, Proposals, keep
from training.decoder.perception import candidates
from training.decoder.shifts import arguments, sensor, table_by_sensor
from training.decoder.train import SIZES, perception_of
from training.evaluation.sets import draw
from training.instruct.sources import Library
from training.recipe import CHECKPOINTS
from training.vision.dual import MIRRORS, read_shifts
from training.vision.plan import BOX_KINDS, DENSE, KINDS
from training.vision.targets import labelled_kinds

FILE = "counting.json"
SLOPES = (0.7, 1.0, 1.4, 2.0, 3.0, 4.0, 6.0)
OFFSETS = tuple(np.arange(-3.0, 6.01, 0.5).tolist())
SPREADS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
PRESENCE = 0.5                  # weight of whether there is one beside how many there are
NEVER = 1e-3                    # of a chance: one picture is not the end of a choice
PLAINLY = 0.02                  # nats by which a choice beats one that is closer to plain
LEAST = 12                      # pictures, of fewer nothing is chosen
_CENTRE = float(logits(np.array(COUNTED_SCORE)))


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture. sensor; found: `Proposals` as kept; true (K,) objects; known (K,) labelled ones;
    is_even: in which half its scene is."""

    sensor: str
    found: Proposals
    true: np.ndarray
    known: np.ndarray
    is_even: bool


@torch.no_grad()
def seen_of(perception, library, name, most):
    """[`Seen`] of pictures of a set that no network learns from."""
    out = []
    for split in (library.samples(name, "val"), library.samples(name, "train", held=True)):
        for sample in sorted(split, key=lambda s: draw(s.id))[:most]:
            found = perception.find([(library.pixels(sample), sample.bands)])
            offered = [v[0].numpy() for v in candidates(
                found["heat"], found["shape"], found["heat"])]
            kinds = [KINDS.index(BOX_KINDS[n]) for n in sample.facts["box_labels"]
                     if n in BOX_KINDS]
            is_even = hashlib.sha256(str(sample.scene).encode()).digest()[0] % 2 == 0
            out.append(Seen(sensor(sample), keep(Proposals(*offered)),
                            np.bincount(kinds, minlength=len(KINDS)),
                            labelled_kinds(sample) > 0, is_even))
    return out


def heights(picture, kind, rule):
    """(n,) logits over that of `COUNTED_SCORE` of a kind's peaks."""
    some = peaks(picture.found, rule)
    best = some.kinds.argmax(1) if len(some.score) else np.zeros(0, int)
    return logits(some.score[best == kind]) - _CENTRE


def cost(numbers, presence, true):
    """Nats. numbers: (n,) chances; presence: chance that there is one; true: how many there are."""
    right = numbers[true] if true < len(numbers) else 0.0
    there = presence if true else 1 - presence
    return -np.log(max(right, NEVER)) - PRESENCE * np.log(max(there, NEVER))


def chosen(pictures, kind, rule):
    """(slope, offset, spread) of a kind; rule: `Counting`, whose shifts the kinds compete with."""
    best = (np.inf,)
    seen = [(heights(p, kind, rule), int(p.true[kind])) for p in pictures]
    for slope in SLOPES:
        for offset in OFFSETS:
            each = [of_independent(1 / (1 + np.exp(-(slope * x + offset)))) for x, _ in seen]
            far = PLAINLY * (abs(offset) + abs(np.log(slope / plain(1).slopes[0])))
            for spread in SPREADS:
                mean = np.mean([cost(widened(n, spread), 1 - n[0], true)
                                for n, (_, true) in zip(each, seen, strict=True)])
                best = min(best, (mean + far, slope, offset, spread))
    return best[1:]


def with_kind(rule, kind, values):
    """A `Counting` with slope, offset and spread of a kind."""
    def put(name, value):
        row = list(getattr(rule, name))
        row[kind] = float(value)
        return tuple(row)
    return replace(rule, **{name: put(name, value) for name, value in zip(
        ("slopes", "offsets", "spreads"), values, strict=True)})


def threshold(pictures, kind, rule, fit):
    """[(chances of numbers, presence)] of what is above the threshold; spread and how far presence
    is believed are those of the pictures ``fit``."""
    def counts(some):
        return [int((heights(p, kind, rule) > 0).sum()) for p in some]

    def alone(n):
        return np.eye(1, n + 1, n)[0]

    own, trues = counts(fit), [int(p.true[kind]) for p in fit]
    there = {}
    for is_found in (False, True):
        same = [true > 0 for n, true in zip(own, trues, strict=True) if (n > 0) == is_found]
        there[is_found] = (sum(same) + is_found) / (len(same) + 1)
    spread = min(SPREADS, key=lambda s: np.mean([
        cost(widened(alone(n), s), there[n > 0], true)
        for n, true in zip(own, trues, strict=True)]))
    return [(widened(alone(n), spread), there[n > 0]) for n in counts(pictures)]


def judged(pairs, trues):
    """(exact, present, nats, error): of [(numbers, presence)]."""
    rows = []
    for (numbers, presence), true in zip(pairs, trues, strict=True):
        said = int(numbers.argmax())
        rows.append((100 * (said == true), 100 * ((presence > 0.5) == (true > 0)),
                     cost(numbers, presence, true), abs(said - true)))
    return np.mean(rows, 0)


def exchanged(pictures, kind, rule):
    """{"threshold", "counting"}: `judged` of each half with what the other half gave."""
    rows = defaultdict(list)
    halves = [[p for p in pictures if p.is_even == even] for even in (True, False)]
    for fit, test in (halves, halves[::-1]):
        if not fit or not test:
            return {}
        trues = [int(p.true[kind]) for p in test]
        rows["threshold"].append((len(test), judged(threshold(test, kind, rule, fit), trues)))
        tried = with_kind(rule, kind, chosen(fit, kind, rule))
        found = [count(p.found, tried) for p in test]
        rows["counting"].append((len(test), judged(
            [(c.numbers[kind], c.presence[kind]) for c in found], trues)))
    return {what: np.average([r for _, r in each], 0, [n for n, _ in each])
            for what, each in rows.items()}


def rules(pictures, shifts, say=print):
    """{sensor: `Counting`} of the pictures; shifts {sensor: (K,)}."""
    out = {}
    by_sensor = defaultdict(list)
    for picture in pictures:
        by_sensor[picture.sensor].append(picture)
    for of, some in by_sensor.items():
        rule = plain(len(KINDS))
        if of in shifts:
            rule = replace(rule, shifts=shifts[of])
        found = rule
        for kind in range(len(KINDS)):
            mine = [p for p in some if p.known[kind]]
            if len(mine) < LEAST or not any(p.true[kind] for p in mine):
                continue
            values = chosen(mine, kind, rule)
            found = with_kind(found, kind, values)
            say(f"{of:13} {KINDS[kind]:9} n = {len(mine):3}  slope, offset, spread "
                f"{values[0]:.1f} {values[1]:+.1f} {values[2]:.2f}")
            for what, row in exchanged(mine, kind, rule).items():
                say(f"    {what:10} exact {row[0]:5.1f} %  presence right {row[1]:5.1f} %"
                    f"  nats {row[2]:.2f}  count off by {row[3]:.2f}", flush=True)
        out[of] = found
    return out


def read_counting(model):
    """{sensor: `Counting`} of a size's checkpoints, as far as they were measured.

    Of two networks, the graph has the shifts; of one, the rules have them.
    """
    folder = CHECKPOINTS / "vision" / SIZES[model].sight
    shifts = {} if SIZES[model].is_dual else table_by_sensor(read_shifts(folder), KINDS)
    path = folder / FILE
    known = json.loads(path.read_text()) if path.is_file() else {}
    return {of: replace(plain(len(KINDS)), shifts=row) for of, row in shifts.items()} | {
        of: Counting(**{k: tuple(v) for k, v in rule.items()}) for of, rule in known.items()}


def main():
    a = arguments(__doc__, most=150)
    torch.set_num_threads(a.threads)
    size = SIZES[a.model]
    folder, library = CHECKPOINTS / "vision" / size.sight, Library(a.data)
    perception = perception_of(a.model, a.compact, mirrors=MIRRORS)
    pictures = []
    for name in a.sets or DENSE:
        pictures += seen_of(perception, library, name, a.most)
        print(f"{name}: {len(pictures)} pictures seen", flush=True)
    shifts = {} if size.is_dual else table_by_sensor(read_shifts(folder), KINDS)
    found = read_counting(a.model) | rules(pictures, shifts)
    (folder / FILE).write_text(json.dumps({of: asdict(r) for of, r in found.items()}) + "\n")


if __name__ == "__main__":
    main()
