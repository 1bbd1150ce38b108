"""From instructions to tensors: questions on the same pictures packed into one sequence."""

import random
from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from eo_nodes.lvlm import visual_prompts
from eo_nodes.lvlm.proposals import Proposals, keep, merge
from eo_nodes.lvlm.sight import geometry_of, pooling, tags_of
from eo_nodes.lvlm.unified_scene import FEW_CELLS, FEW_REGIONS, ZOOM_CELLS
from eo_nodes.lvlm.zoom import MOST_WINDOWS, windows
from training.decoder.perception import store_key
from training.instruct.builder import load_images, load_mask
from training.instruct.nouns import belongs

PACKED = 5                 # questions on one set of pictures in a sequence
LONGEST = 200              # tokens of prompt and answer together

# Share of the batches a set gets; within a set tasks come in equal parts.
SHARES = {"eurosat_rgb": 9, "eurosat_ms": 4, "aid_rsicd": 14, "ucm_multilabel": 11, "mstar": 6,
          "opensarship": 2, "objects_rgb": 11, "hit_uav": 10, "rsvqa_lr": 8, "rsvqa_hr": 10,
          "flood_s1": 5, "s1s2_pairs": 3, "trees": 4, "change_pairs": 5, "sar_ships": 3,
          "s2_ships": 4, "indian_pines": 2, "aerial_video": 3, "world": 12}


@dataclass(slots=True)
class Question:
    """prompt, answer: token ids; segs: places in prompt+answer of `<seg>` tokens."""

    prompt: list
    answer: list
    instruction: object


class Examples:
    """Draws batches of packed sequences from the instructions of an epoch.

    Args:
        memory: `perception.Memory`. words: `vocabulary.Words`. data: folder of the sets.
    """

    def __init__(self, instructions, memory, words, data, seed=0):
        self.memory, self.words, self.data = memory, words, data
        self.rng = random.Random(seed)
        self.by_set = defaultdict(lambda: defaultdict(list))
        for i in instructions:
            prompt = words.prompt(visual_prompts.parse_prompt(i.prompt)[0])
            answer = words.answer(i.answer)
            if len(prompt) + len(answer) <= LONGEST:
                key = tuple((store_key(r), r.sensor, r.frame) for r in i.images)
                self.by_set[i.set][key].append(Question(prompt, answer, i))
        self.keys = {n: sorted(v) for n, v in self.by_set.items()}
        self.names = [n for n in SHARES if n in self.by_set]

    def draw(self, count, name=None):
        """count packs of one set, by default drawn as well: [[Question]]."""
        name = name or self.rng.choices(self.names, [SHARES[n] for n in self.names])[0]
        keys = self.rng.sample(self.keys[name], min(count, len(self.keys[name])))
        packs = []
        for key in keys:
            by_task = defaultdict(list)
            for q in self.by_set[name][key]:
                by_task[q.instruction.task, q.instruction.kind].append(q)
            pools = list(by_task.values())
            self.rng.shuffle(pools)
            pack = [self.rng.choice(pool) for pool in pools[:PACKED]]
            rest = [q for pool in pools for q in pool if q not in pack]
            pack += self.rng.sample(rest, min(PACKED - len(pack), len(rest)))
            packs.append(pack)
        return packs

    def seen(self, question):
        """`Seen` of each image of a question, and of their change where there are two dates."""
        i = question.instruction
        images = None

        def image(n):
            nonlocal images
            images = images or load_images(i, self.data)
            return images[n][:2]

        found = [self.memory.get(store_key(r), lambda n=n: image(n))
                 for n, r in enumerate(i.images)]
        pair = None
        if len(i.images) == 2 and i.images[0].frame != i.images[1].frame:
            keys = [store_key(r) for r in i.images]
            pair = self.memory.pair(keys, lambda: [image(0), image(1)])
        return found, pair


    def closer(self, question, prompts, longest):
        """[(window x0, y0, w, h in [0, 1], `Seen`)] of the zooms into the only image."""
        ref = question.instruction.images[0]
        values, names = load_images(question.instruction, self.data)[0][:2]
        height, width = values.shape[:2]
        out = []
        for x, y, w, h in windows(height, width, longest, prompts, MOST_WINDOWS):
            part = values[y:y + h, x:x + w], names
            # Quarters come again, windows around places that are asked about hardly.
            seen = (self.memory.perception.see([part])[0] if prompts else
                    self.memory.get(f"{store_key(ref)} {x} {y}", lambda part=part: part))
            out.append(((x / width, y / height, w / width, h / height), seen))
        return out


WHOLE = (0.0, 0.0, 1.0, 1.0)


class Visual:
    """Collects the parts of the visual tokens of one pack, then projects a batch at once."""

    def __init__(self, projector, chances_split, hide=0.0, rng=None):
        self.projector, self.split = projector, chances_split
        self.hide, self.rng = hide, rng or random.Random(0)

    def tokens(self, found, pair, question_prompts, refs, modality, closer=()):
        """(1, V, width), the grid of the first image's cells where they are shown, and the
        proposals: [(first row among the tokens, boxes (R, 4))] of each image.

        closer: `Examples.closer` of the only image.
        """
        p, parts, offered = self.projector, [], []
        at = p.place.weight.device
        grid = None
        for n, (seen, ref) in enumerate(zip(found, refs, strict=True)):
            tags = torch.from_numpy(
                tags_of("overview", ref.sensor, ref.frame, ref.modality)).to(at)
            cells = seen.all_cells
            most = FEW_CELLS if len(found) > 2 else None
            pool, grid_of = pooling(*cells.shape[:2], most)
            shown = n > 0 or self.rng.random() >= self.hide
            if n == 0:
                grid = grid_of if shown else None
            if shown:
                geometry = torch.from_numpy(geometry_of(*grid_of, (0.0, 0.0, 1.0, 1.0)))[None]
                pooled = torch.from_numpy(pool) @ cells.flatten(0, 1)
                parts.append(p.cells(pooled[None].to(at), geometry.to(at), tags))
                parts += [self._zoomed(window, near, ref, at) for window, near in closer]
            chances = {k: v[None].to(at) for (k, _), v in zip(
                p.heads, seen.chances.float().split(self.split), strict=True)}
            shown, peaks = _proposals(seen), seen.peaks
            if closer:
                shown = keep(merge([(shown, WHOLE), *((_proposals(s), w) for w, s in closer)]))
                peaks = torch.from_numpy(shown.counts())
            parts.append(p.summary(chances, *(v.float()[None].to(at) for v in (
                seen.meaning, seen.totals, peaks)), tags))
            prompts = [v for v in question_prompts if v.image == n]
            shown = shown.best(FEW_REGIONS) if len(found) > 2 else shown
            offered.append((sum(t.shape[1] for t in parts), torch.from_numpy(shown.boxes)))
            if len(shown.score) or prompts:
                parts.append(self._regions(seen, shown, prompts, tags))
        if pair is not None:
            parts.append(p.change(pair["pooled"].float()[None].to(at)))
        return torch.cat(parts, 1), grid, offered

    def _zoomed(self, window, seen, ref, at):
        tags = torch.from_numpy(tags_of("zoom", ref.sensor, ref.frame, ref.modality)).to(at)
        cells = seen.all_cells
        pool, grid = pooling(*cells.shape[:2], ZOOM_CELLS)
        geometry = torch.from_numpy(geometry_of(*grid, window))[None]
        pooled = torch.from_numpy(pool) @ cells.flatten(0, 1)
        return self.projector.cells(pooled[None].to(at), geometry.to(at), tags)

    def _regions(self, seen, shown, prompts, tags):
        score, boxes, kinds, look = map(torch.from_numpy, (
            shown.score, shown.boxes, shown.kinds, shown.look))
        rank = torch.arange(len(score))
        is_prompt = torch.zeros(len(score))
        pixel = seen.all_pixels if prompts else None
        for prompt in prompts:
            _, h, w = pixel.shape
            mask = torch.from_numpy(
                visual_prompts.rasterise(prompt, (0.0, 0.0, 1.0, 1.0), h, w)).float()
            mean = (pixel * mask).sum((1, 2)) / mask.sum().clamp_min(1e-6)
            boxes = torch.cat([boxes, torch.tensor([visual_prompts.extent(prompt)]).float()])
            look, kinds = torch.cat([look, mean[None]]), torch.cat(
                [kinds, torch.zeros(1, kinds.shape[1])])
            score, rank = torch.cat([score, torch.ones(1)]), torch.cat(
                [rank, torch.zeros(1, dtype=torch.long)])
            is_prompt = torch.cat([is_prompt, torch.ones(1)])
        parts = (v[None].to(tags.device) for v in (boxes, look, kinds, score, is_prompt, rank))
        return self.projector.regions(*parts, tags)


def _proposals(seen):
    return Proposals(*(v.float().numpy() for v in (
        seen.score, seen.boxes, seen.kinds, seen.look)))


def prompts_of(question):
    """Visual prompts in the text of a question."""
    return visual_prompts.parse_prompt(question.instruction.prompt)[1]


def seg_target(question, data, shape):
    """(h, w) float target in [0, 1] and known mask of a question with `<seg>`, or None."""
    target = question.instruction.targets.mask
    if target is None:
        return None
    mask = load_mask(target, data)
    h, w = shape
    known = cv2.resize((mask != 255).astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    yes = cv2.resize((mask == 1).astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(yes / np.maximum(known, 1e-6)), torch.from_numpy(
        (known > 0.5).astype(np.float32))


def focus_target(question, data, grid):
    """(rows * cols,) in {0, 1}: cells that the prompt is about; None where that is not known."""
    i = question.instruction
    rows, cols = grid
    if i.focus == "all":
        return torch.ones(rows * cols)
    if i.focus == "mask" and i.targets.mask is not None:
        mask = load_mask(i.targets.mask, data) == 1
        share = cv2.resize(mask.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        return torch.from_numpy((share > 0.05).astype(np.float32)).flatten()
    if not i.focus or i.focus == "mask":
        return None
    out = np.zeros((rows, cols), np.float32)
    for (image, x1, y1, x2, y2), label in zip(i.targets.boxes, i.targets.labels, strict=True):
        if image == 0 and belongs(label, i.focus):
            out[int(y1 * rows):int(np.ceil(y2 * rows)), int(x1 * cols):int(np.ceil(x2 * cols))] = 1
    return torch.from_numpy(out.flatten())


def seg_places(ids, words):
    """Indexes of `<seg>` tokens."""
    marker = words.slis.ids.markers["seg"]
    return [n for n, t in enumerate(ids) if t == marker]
