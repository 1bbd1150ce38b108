"""Losses of the vision stage; each takes the network's maps and a batch of `batches`."""

import torch
from torch.nn import functional

_DICE_SMOOTH = 1.0
_MASKS_A_CELL = 8          # masks lie at stride 4, cells at 32


def heat_loss(logits, batch):
    """Focal loss of CornerNet on the kinds that are labelled, per object; L1 of the shapes."""
    heat, known = batch["heat"], batch["known"][:, :, None, None]
    chance = logits.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = heat >= 0.999
    at_centre = -((1 - chance) ** 2) * chance.log() * centre
    elsewhere = -((1 - heat) ** 4) * chance**2 * (1 - chance).log() * ~centre
    objects = (centre * known).sum().clamp_min(1.0)
    return ((at_centre + elsewhere) * known).sum() / objects.clamp_min(len(heat))


def shape_loss(shape, batch):
    """Smooth L1 on offsets and logarithmic sizes where a centre lies."""
    at = batch["at"][:, None]
    wrong = functional.smooth_l1_loss(shape.float(), batch["shape"], beta=0.1, reduction="none")
    return (wrong * at).sum() / at.sum().clamp_min(1.0)


def mask_loss(logits, mask, known):
    """Cross-entropy and Dice over the places with a label."""
    logits = logits.float()
    total = known.sum().clamp_min(1.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    chance = logits.sigmoid() * known
    both = (chance * mask).sum((0, 2, 3))
    dice = 1 - (2 * both + _DICE_SMOOTH) / (
        chance.sum((0, 2, 3)) + (mask * known).sum((0, 2, 3)) + _DICE_SMOOTH)
    return (entropy * known).sum() / total + 0.5 * dice.mean()


def text_loss(images, texts, text_of, same_class, scale, bias):
    """Sigmoid loss between unit vectors (N, 384) of pictures and (M, 384) of texts.

    text_of (N,): row of each picture's text; pairs whose classes agree but whose texts differ are
    left out: they are no clear negatives.
    """
    logits = images.float() @ texts.T * scale.exp() + bias
    match = functional.one_hot(text_of, len(texts)).bool()
    # A text belongs to the class of the first picture that says it.
    owner = match.float().argmax(0)
    related = same_class[:, owner]
    sign = torch.where(match, 1.0, -1.0)
    weight = (match | ~related).float()
    return -(functional.logsigmoid(sign * logits) * weight).sum() / len(images)


def cell_loss(network, cells, batch):
    """Sigmoid loss between vectors of the cells (N, h, w) and the texts of the masks.

    A cell is about a text if the mask reaches into it. Places that are and places that are not
    count the same, however few there are.
    """
    target = functional.max_pool2d(batch["mask"], _MASKS_A_CELL)
    known = functional.max_pool2d(batch["mask_known"], _MASKS_A_CELL)
    found = torch.einsum("nhwd,qd->nqhw", network.embed_cells(cells), batch["mask_text"])
    logits = found.float() * network.text_scale.exp() + network.text_bias
    wrong = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    parts = [(wrong * w).sum() / w.sum().clamp_min(1.0)
             for w in (known * target, known * (1 - target))]
    return sum(parts) / 2


def region_loss(network, pixel, batch):
    """Sigmoid loss between vectors of the masked regions and the texts: each is one of them."""
    mask, text = batch["mask"] * batch["mask_known"], batch["mask_text"]
    area = mask.sum((2, 3))
    mean = torch.einsum("nqhw,ndhw->nqd", mask, pixel) / area.clamp_min(1.0)[..., None]
    found = torch.einsum("nqd,kd->nqk", network.embed_regions(mean), text)
    logits = found.float() * network.text_scale.exp() + network.text_bias
    target = torch.eye(len(text), device=text.device).expand_as(logits)
    wrong = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    there = (area > 0).float()[..., None]
    return (wrong * there).sum() / there.sum().clamp_min(1.0)


def pair_loss(first, second):
    """InfoNCE both ways between signatures (N, S) of the two sensors of N places."""
    logits = first.float() @ second.float().T * 16
    aim = torch.arange(len(first), device=first.device)
    return (functional.cross_entropy(logits, aim) + functional.cross_entropy(logits.T, aim)) / 2


def total(network, batch, distil=None):
    """All losses that the batch has targets for: {name: scalar}; distil: a `distil.Distillation`
    whose losses join them."""
    found = network(batch["x"], batch["codes"])
    losses = {}
    if "x2" in batch:
        second = network(batch["x2"], batch["codes2"])
    if batch["name"] == "s1s2_pairs":
        losses["pair"] = 0.5 * pair_loss(network.signature(found["pixel"]),
                                         network.signature(second["pixel"]))
    pixel = found["pixel"]
    if batch["name"] == "change_pairs" or batch.get("is_change"):
        pixel = network.compare(found["pixel"], second["pixel"])
    pooled = network.pool(found["cells"])
    if "class" in batch:
        head = next(h for h in network.pooled if h == batch["class_head"])
        drop = functional.dropout(pooled, 0.2, network.training)
        losses["class"] = functional.cross_entropy(
            network.pooled[head](drop), batch["class"], label_smoothing=0.05)
    if "labels" in batch and batch["name"] != "change_pairs":
        factor = 4.0 if batch["label_head"] == "label_words" else 1.0
        losses["labels"] = factor * functional.binary_cross_entropy_with_logits(
            network.pooled[batch["label_head"]](pooled), batch["labels"])
    if "text" in batch:
        vectors = functional.normalize(network.image_text(pooled), dim=-1)
        losses["text"] = 0.3 * text_loss(vectors, batch["text"], batch["text_of"],
                                         batch["same_class"], network.text_scale,
                                         network.text_bias)
    if "heat" in batch:
        losses["heat"] = heat_loss(found["heat"], batch)
        losses["shape"] = 2 * shape_loss(found["shape"], batch)
        known = batch["known"][:, None, None]
        counts = network.counts(network.cell_norm(found["cells"]))
        wrong = functional.smooth_l1_loss(counts.float(), batch["counts"], beta=0.3,
                                          reduction="none")
        losses["counts"] = 4 * (wrong * known).mean()
    if "mask" in batch:
        logits = network.mask(pixel, batch["mask_text"])
        losses["mask"] = mask_loss(logits, batch["mask"], batch["mask_known"])
        losses["region"] = 0.3 * region_loss(network, pixel, batch)
        if "x2" not in batch:              # what one picture's cells hold is no change
            losses["cell"] = 0.3 * cell_loss(network, found["cells"], batch)
    if distil is not None:
        losses |= distil(found, pooled, batch)
    return losses
