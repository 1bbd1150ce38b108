"""From which score on boxes are told as a list, kind by kind, chosen on val (`eo_nodes.lvlm.told`).

For questions where all objects of a kind are, the boxes that the vision graph has of it and those
that the decoder lists by itself are held against the labels. A kind's list is told where that is
better by more than `CLEARLY`; sets count alike. Part of `training.decoder.calibrate`.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from eo_nodes.lvlm.counting import rule_of, shifted
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.proposals import keep
from eo_nodes.lvlm.unified_pictures import pictures_of_images
from training.decoder.asked import Things, asked_for, subject
from training.evaluation import metrics, readers
from training.instruct.builder import load_images, stream
from training.instruct.nouns import belongs
from training.vision.plan import KINDS

LIMITS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
MOST = 40                       # questions of a set and kind
CLEARLY = 1.0                   # F1 points
LONGEST = 256                   # tokens of a list
SAME, SAME_IOU = 0.5, {"trees": 0.4}     # IoU of a right box; as the exams have it
_SIDE = 512                     # px, in which boxes are compared


@dataclass(frozen=True, slots=True)
class Listed:
    """A question of val. set, kind: of what; rows (1 + LIMITS, 3): boxes that are right, wrong and
    missed, of the decoder and of the vision graph from each limit on."""

    set: str
    kind: int
    rows: np.ndarray


def questions(data, kinds, most):
    """(instruction, kind) pairs of val, at most so many of a set and kind."""
    first, found = 2 * (kinds + 1), defaultdict(list)
    for i in stream(data, "val", 0, 0, balanced=False, augment=False):
        kind = asked_for(i, Things()) - first
        if 0 <= kind < kinds and len(found[i.set, kind]) < most:
            found[i.set, kind].append((i, kind))
    return [pair for pairs in found.values() for pair in pairs]


def look(model, instruction, kind, data):
    """`Listed` of a question; the model tells no lists yet."""
    values, bands = load_images(instruction, data)[0][:2]
    image = ImageInput(values[None], tuple(bands), instruction.modality)
    session = model.begin(pictures_of_images([image]), instruction.prompt, (), LONGEST, None)
    session.decode(LONGEST)
    size = (_SIDE, _SIDE)
    true = [[v * _SIDE for v in box] for (_, *box), label in zip(
        instruction.targets.boxes, instruction.targets.labels, strict=True)
        if belongs(label, subject(instruction))]
    scene = session.scene
    rule = rule_of(model.config.counting, scene.seen[0][0].codes, len(model.config.kinds))
    found = keep(shifted(scene.regions[0], rule))
    mine = found.kinds.argmax(1) == kind if len(found.score) else np.zeros(0, bool)
    lists = [readers.boxes_of(session.text, size)]
    lists += [(found.boxes[mine & (found.score > limit)] * _SIDE).tolist() for limit in LIMITS]
    same = SAME_IOU.get(instruction.set, SAME)
    return Listed(instruction.set, kind, np.array(
        [metrics.match_boxes(some, true, same) for some in lists]))


def _f1(sums):
    """Percent; of nothing to find and nothing found 100."""
    return metrics.F1.value(sums) if sums.any() else 100.0


def chosen(looks, kinds, say=print):
    """(kinds,) least scores, 0 where no list is told."""
    out = [0.0] * kinds
    for kind in sorted({one.kind for one in looks}):
        sets = defaultdict(list)
        for one in looks:
            if one.kind == kind:
                sets[one.set].append(one.rows)
        each = {name: [_f1(column) for column in np.sum(rows, axis=0)]
                for name, rows in sets.items()}
        own, *told = np.mean(list(each.values()), axis=0)
        best = int(np.argmax(told))
        if told[best] > own + CLEARLY:
            out[kind] = LIMITS[best]
        say(f"lists of {KINDS[kind] if kinds == len(KINDS) else kind}: decoder {own:.1f}, vision "
            f"graph {told[best]:.1f} from a score of {LIMITS[best]:.2f} on, "
            f"{'told' if out[kind] else 'not told'} (F1; {', '.join(each)})", flush=True)
    return tuple(out)


def looked(some, look, what, say):
    """What ``look`` makes of each of some questions; ``what`` they are is said on the way."""
    out = []
    for one in some:
        out.append(look(one))
        if len(out) % 50 == 0:
            say(f"{len(out)} {what}", flush=True)
    return out


def fit(model, data, most=MOST, say=print):
    """What ``listing`` of a folder's configuration is best; empty of a folder that tells nothing.

    model: `UnifiedModel` without such."""
    if not model.tells:
        return ()
    kinds = len(model.config.kinds)
    some = questions(data, kinds, most)
    return chosen(looked(some, lambda one: look(model, *one, data), "lists", say), kinds, say)
