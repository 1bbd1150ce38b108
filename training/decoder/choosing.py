"""Whether the vision graph says which object is meant, order by order, chosen on val.

For questions that mean one object of a kind (the only one, the leftmost, the one nearest to a
point; `eo_nodes.lvlm.choosing`), the proposal of highest chance and the box that the decoder gives
by itself are held against the labels. The graph's is told where it is right more often, sets
counting alike. Part of `training.decoder.calibrate`.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from eo_nodes.lvlm.choosing import ORDERS, meant
from eo_nodes.lvlm.counting import rule_of, shifted
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.proposals import iou, keep
from eo_nodes.lvlm.unified_pictures import pictures_of_images
from eo_nodes.lvlm.visual_prompts import parse_prompt
from training.decoder.asked import Things, asked_for
from training.decoder.listing import looked
from training.evaluation import readers
from training.instruct.builder import load_images, stream

MOST = 20                       # questions of a set and order
SAME = 0.5                      # IoU of a right box; as the exams have it
LONGEST = 8                     # tokens of a box
_SIDE = 512                     # px, in which boxes are compared


@dataclass(frozen=True, slots=True)
class Chosen:
    """A question of val. set; order: of `ORDERS`; own, told: whether the decoder is right by
    itself, whether the vision graph is."""

    set: str
    order: int
    own: bool
    told: bool


def questions(data, kinds, most):
    """(instruction, order, kind) of val, at most so many of a set and order."""
    things, found = Things(), defaultdict(list)
    for i in stream(data, "val", 0, 0, balanced=False, augment=False):
        place = asked_for(i, things) - things.first_choice
        if 0 <= place < len(ORDERS) * kinds:
            order, kind = divmod(place, kinds)
            if len(found[i.set, order]) < most:
                found[i.set, order].append((i, order, kind))
    return [one for some in found.values() for one in some]


def is_right(boxes, true):
    """Whether the only one of boxes (n, 4) is the true one (4,), in any unit."""
    return len(boxes) == 1 and iou(np.asarray(true, np.float32),
                                   np.asarray(boxes, np.float32))[0] >= SAME


def look(model, instruction, order, kind, data):
    """`Chosen` of a question; the model tells no choice yet."""
    values, bands = load_images(instruction, data)[0][:2]
    image = ImageInput(values[None], tuple(bands), instruction.modality)
    words, places = parse_prompt(instruction.prompt)
    session = model.begin(pictures_of_images([image]), words, places, LONGEST, None)
    session.decode(LONGEST)
    size = (_SIDE, _SIDE)
    (true,) = readers.boxes_of(instruction.answer, size)
    scene, c = session.scene, model.config
    rule = rule_of(c.counting, scene.seen[0][0].codes, len(c.kinds))
    kept = keep(shifted(scene.regions[0], rule))
    mine, chances = meant(kept, rule, kind, ORDERS[order], places)
    best = kept.boxes[mine[[chances.argmax()]]] * _SIDE if len(mine) else []
    return Chosen(instruction.set, order, is_right(readers.boxes_of(session.text, size), true),
                  is_right(best, true))


def chosen(looks, say=print):
    """(ORDERS,) whether each is told."""
    out = [False] * len(ORDERS)
    for order in sorted({one.order for one in looks}):
        sets = defaultdict(list)
        for one in looks:
            if one.order == order:
                sets[one.set].append((one.own, one.told))
        own, told = 100 * np.mean([np.mean(rows, 0) for rows in sets.values()], axis=0)
        out[order] = bool(told > own)
        say(f"the one that is meant, {ORDERS[order]}: decoder {own:.1f} % right, vision graph "
            f"{told:.1f}, {'told' if out[order] else 'not told'} "
            f"(n = {sum(map(len, sets.values()))}; {', '.join(sets)})", flush=True)
    return tuple(out)


def fit(model, data, most=MOST, say=print):
    """What ``choosing`` of a folder's configuration is best; empty of one that tells nothing.

    model: `UnifiedModel` without such."""
    if not model.tells:
        return ()
    some = questions(data, len(model.config.kinds), most)
    return chosen(looked(some, lambda one: look(model, *one, data), "choices", say), say)
