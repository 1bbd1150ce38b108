"""Which proposal a place in an answer is, for the pointer of `eo_nodes.lvlm.pointer`."""

import numpy as np
import torch
from torch.nn import functional

from eo_nodes.lvlm import slis
from eo_nodes.lvlm.pointer import KINDS, left_out
from eo_nodes.lvlm.proposals import iou

SAME_IOU = 0.5             # a proposal stands for a box that it overlaps so far
NEAR = 0.35                # and for a point so near to its centre, in units of its size
FIELDS = {"box": 4, "point": 2}


def places(answer, ids):
    """[(index of the token before the first field, kind, image, fields)] in token ids."""
    kinds = {ids.markers[k]: k for k in KINDS}
    out = []
    for n, token in enumerate(answer):
        if token not in kinds:
            continue
        kind, image = kinds[token], 0
        if n + 1 < len(answer) and ids.images < answer[n + 1] < ids.images + slis.MAX_IMAGES:
            image, n = answer[n + 1] - ids.images, n + 1
        fields = [t - ids.locations for t in answer[n + 1:n + 1 + FIELDS[kind]]]
        if len(fields) == FIELDS[kind]:
            out.append((n, kind, image, fields))
    return out


def target(kind, fields, boxes, taken=()):
    """Index of the proposal, or len(boxes) where none is the place. boxes (R, 4) in [0, 1]; taken:
    proposals that stand for other places."""
    if not len(boxes):
        return 0
    boxes = boxes.numpy()
    if kind == "box":
        low = [f / slis.BINS for f in fields[:2]]
        high = [(f + 1) / slis.BINS for f in fields[2:]]
        overlap = iou(np.array([*low, *high], np.float32), boxes)
        overlap[list(taken)] = 0
        best = int(overlap.argmax())
        return best if overlap[best] >= SAME_IOU else len(boxes)
    x, y = (slis.from_bin(f) for f in fields)
    off = abs((boxes[:, 0] + boxes[:, 2]) / 2 - x) / (boxes[:, 2] - boxes[:, 0]).clip(1e-6)
    off = off.clip(abs((boxes[:, 1] + boxes[:, 3]) / 2 - y)
                   / (boxes[:, 3] - boxes[:, 1]).clip(1e-6))
    off[list(taken)] = np.inf
    best = int(off.argmin())
    return best if off[best] <= NEAR else len(boxes)


def scores(aim, held, taken):
    """As `eo_nodes.lvlm.pointer.scores`, before the softmax: aim (P + 2,), held (R, P), taken:
    proposals said so far, in their order."""
    count, size = held.shape
    skipped = torch.from_numpy(left_out(count, taken[-1] if taken else -1)).to(held)
    raw = held @ aim[:size] / size**0.5 - functional.softplus(aim[size + 1]) * skipped
    raw = raw.index_fill(0, torch.tensor(taken, dtype=torch.long, device=held.device), -1e4)
    return torch.cat([raw, aim[size:size + 1]])
