"""Scores of the vision stage on val, from which choices come: classes, boxes, masks, matching."""

import numpy as np
import torch
from torch.nn import functional

from training.vision.batches import Crop
from training.vision.made import THINGS
from training.vision.plan import BOX_KINDS, KINDS, PLAN
from training.vision.targets import labelled_kinds

PEAK = 0.3


@torch.no_grad()
def proposals(heat, shape, most=100):
    """Peaks of heat maps (N, K, h, w) logits -> scores (N, most), kinds, boxes x1 y1 x2 y2 in
    pixels of the input."""
    chance = heat.float().sigmoid()
    chance = chance * (functional.max_pool2d(chance, 3, 1, 1) == chance)
    _, kinds, h, w = chance.shape
    scores, place = chance.flatten(1).topk(min(most, kinds * h * w))
    kind, cell = place // (h * w), place % (h * w)
    r, c = cell // w, cell % w
    at = shape.float().flatten(2).gather(2, cell[:, None].expand(-1, 4, -1))
    cx, cy = (c + 0.5 + at[:, 0]) * 4, (r + 0.5 + at[:, 1]) * 4
    bw, bh = at[:, 2].clamp(max=6).exp() * 4, at[:, 3].clamp(max=6).exp() * 4
    boxes = torch.stack([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2], -1)
    return scores, kind, boxes


def overlap(a, b):
    """IoU (n, m) of boxes x1 y1 x2 y2."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    area = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    return both / np.maximum(area[0][:, None] + area[1][None] - both, 1e-9)


def matched(found, true, threshold=0.5):
    """How many found boxes, best first, match a true one of their own."""
    if len(found) == 0 or len(true) == 0:
        return 0
    iou, used, right = overlap(found, true), set(), 0
    for row in iou:
        best = max((j for j in range(len(true)) if j not in used), key=lambda j: row[j],
                   default=None)
        if best is not None and row[best] >= threshold:
            used.add(best)
            right += 1
    return right


def batches_of(source, name, samples, size=16):
    for i in range(0, len(samples), size):
        part = samples[i:i + size]
        yield part, source.make(name, part, np.random.default_rng(0), training=False)


@torch.no_grad()
def validate(network, vocabulary, source, device="cpu", most=300):
    """{set.metric: value}; percentages but for mae."""
    report = {}
    for name in source.names:
        samples = source.library.samples(name, "val")[:most]
        if not samples:
            continue
        plan, hits, total, tp, fp, fn = PLAN[name], 0, 0, 0, 0, 0
        errors, inter, union, wins = [], 0, 0, 0
        for part, batch in batches_of(source, name, samples, 1 if name == "aerial_video" else 10):
            x, band_codes = batch["x"].to(device), batch["codes"].to(device)
            out = network(x, band_codes)
            if plan.group:
                best = network.pooled[f"class_{plan.group}"](network.pool(out["cells"])).argmax(1)
                hits += (best.cpu() == batch["class"]).sum().item()
                total += len(part)
            if "heat" in batch:
                scores, kinds, boxes = (v.cpu().numpy() for v in proposals(
                    out["heat"], out["shape"]))
                h, w = batch["x"].shape[2:]
                for i, s in enumerate(part):
                    height, width = source.library.pixels(s).shape[:2]
                    crop = Crop((0, 0, width, height), (h, w), 0)
                    true = crop.boxes(s.facts["boxes"])
                    for k, kind in enumerate(KINDS):
                        if not labelled_kinds(s)[k]:
                            continue
                        want = np.array([(x0, y0, x0 + bw, y0 + bh) for (x0, y0, bw, bh), label in
                                         zip(true, s.facts["box_labels"], strict=True)
                                         if BOX_KINDS.get(label) == kind]).reshape(-1, 4)
                        keep = (kinds[i] == k) & (scores[i] > PEAK)
                        got = boxes[i][keep]
                        right = matched(got, want)
                        tp, fp, fn = tp + right, fp + len(got) - right, fn + len(want) - right
                        errors.append(abs(len(got) - len(want)))
            if name == "s1s2_pairs":
                second = network(batch["x2"].to(device), batch["codes2"].to(device))
                score = network.signature(out["pixel"]) @ network.signature(second["pixel"]).T
                wins += (score.argmax(1).cpu() == torch.arange(len(part))).sum().item()
                total += len(part)
            elif name in ("flood_s1", "change_pairs"):
                pixel = out["pixel"]
                if name == "change_pairs":
                    second = network(batch["x2"].to(device), batch["codes2"].to(device))
                    pixel = network.compare(pixel, second["pixel"])
                logits = network.mask(pixel, batch["mask_text"].to(device)).cpu()
                seen, true = batch["mask_known"] > 0, batch["mask"] > 0
                inter += ((logits > 0) & true & seen).sum().item()
                union += (((logits > 0) | true) & seen).sum().item()
            elif name == "indian_pines":
                logits = network.mask(out["pixel"], batch["mask_text"].to(device)).cpu()
                seen = batch["mask_known"][:, 0] > 0
                hits += ((logits.argmax(1) == batch["mask"].argmax(1)) & seen).sum().item()
                total += seen.sum().item()
        if wins or name == "s1s2_pairs":
            report[f"{name}.among_ten"] = round(100 * wins / max(total, 1), 1)
        elif total:
            report[f"{name}.accuracy"] = round(100 * hits / total, 1)
        if errors:
            report[f"{name}.f1"] = round(200 * tp / max(2 * tp + fp + fn, 1), 1)
            report[f"{name}.count_mae"] = round(float(np.mean(errors)), 2)
        if union:
            report[f"{name}.iou"] = round(100 * inter / union, 1)
    return report if source.world is None else report | validate_made(
        network, source.world, device)


@torch.no_grad()
def validate_made(network, scenes, device="cpu"):
    """{world_SENSOR.metric: value} on val scenes of `made.MadeScenes`: F1 of boxes, IoU of the
    masks of land cover and of objects, IoU of what changed."""
    report = {}
    for batch in scenes.val_batches():
        out = network(batch["x"].to(device), batch["codes"].to(device))
        pixel, name = out["pixel"], f"world_{batch['sensor']}"
        if "heat" in batch:
            sides = [[v.cpu().numpy() for v in proposals(heat, shape)] for heat, shape in (
                (out["heat"], out["shape"]),
                (torch.where(batch["heat"] >= 0.999, 9.0, -9.0), batch["shape"]))]
            tp = every = 0
            for i, k in torch.nonzero(batch["known"]).tolist():
                got, want = (boxes[i][(kinds[i] == k) & (scores[i] > PEAK)]
                             for scores, kinds, boxes in sides)
                tp, every = tp + matched(got, want), every + len(got) + len(want)
            report[f"{name}.f1"] = round(200 * tp / max(every, 1), 1)
        if "x2" in batch:
            second = network(batch["x2"].to(device), batch["codes2"].to(device))
            pixel = network.compare(pixel, second["pixel"])
        found = network.mask(pixel, batch["mask_text"].to(device)).cpu() > 0
        seen, true = batch["mask_known"] > 0, batch["mask"] > 0
        inter, union = (found & true & seen).sum((0, 2, 3)), ((found | true) & seen).sum((0, 2, 3))
        layers = batch.get("mask_layers", ["change"])
        for group in ("change", "thing", "cover"):
            of = torch.tensor([layer == "change" if group == "change" else
                               layer != "change" and (layer in THINGS) == (group == "thing")
                               for layer in layers])
            if union[of].any():
                report[f"{name}.{group}_iou"] = round(
                    100 * inter[of].sum().item() / union[of].sum().item(), 1)
    return report
