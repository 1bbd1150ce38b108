"""Captions as published, and inventories written from labels and boxes."""

import math
import random
import re
from collections import Counter
from collections.abc import Iterator

from training.instruct import phrases
from training.instruct.drafting import Context
from training.instruct.nouns import UCM_COVERS, UCM_THINGS, groups_of, number_of
from training.instruct.records import Instruction
from training.instruct.views import View

TASK = "caption"
POSITION = re.compile(r"\b(left|right|top|bottom|north|south|east|west|upper|lower|above|below)\w*",
                      re.IGNORECASE)
CAPTIONS_AN_EPOCH = 2


def unturned(view: View, text: str) -> View:
    """The view without its turn where the text names a position."""
    return View(view.library, view.sample, view.window, 0) if POSITION.search(text) else view


def _inventory(view: View, groups: tuple[str, ...]) -> str:
    counts = Counter(t.kind for t in view.things() if t.kind)
    words = [number_of(n, kind) for kind, n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))]
    return ", ".join(words) if words else f"no {' or '.join(groups)}"


def _class_counts(context: Context) -> Counter[tuple[str, str]]:
    """How often each sentence was written about pictures of a class."""
    return Counter((s.facts.get("label", ""), c) for s in context.samples
                   for c in s.facts.get("captions", ()))


def _order(captions: list[str], label: str, counts: Counter[tuple[str, str]],
           rng: random.Random) -> list[str]:
    """Distinct captions in random order, those that people agree on sooner.

    A decoder that says its likeliest sentence should have learnt which one people would repeat,
    not any of five. Weight: times written for this picture, times the root of times written for
    its class. Order: exponential clocks (Efraimidis and Spirakis 2006).
    """
    weight = {c: n * math.sqrt(counts[label, c]) for c, n in sorted(Counter(captions).items())}
    return sorted(weight, key=lambda c: rng.expovariate(1.0) / weight[c])


def make(context: Context) -> Iterator[Instruction]:
    counts = _class_counts(context)
    for view in context.views:
        rng = context.rng("caption", view.sample.id)
        captions = view.facts.get("captions", [])
        distinct = _order(captions, view.facts.get("label", ""), counts, rng)
        # exams score one answer against all references
        for i, text in enumerate(distinct[:CAPTIONS_AN_EPOCH if context.augment else 1]):
            shown = unturned(view, text) if context.augment else view
            yield context.write(shown, TASK, "caption", rng.choice(phrases.CAPTION), text,
                                references=captions, tag=str(i), focus="all")
        if context.name == "ucm_multilabel":
            named = {**UCM_COVERS, **{k: v[1] for k, v in UCM_THINGS.items()}}
            listed = ", ".join(sorted(named[o] for o in view.facts["objects"]))
            yield context.write(view, TASK, "labels", rng.choice(phrases.LABELS), listed,
                                focus="all")
        groups = groups_of(context.name, view.facts)
        if groups and context.name != "aerial_video":
            shown = context.windowed(view, rng)
            text = _inventory(shown, groups)
            yield context.write(shown, TASK, "inventory", rng.choice(phrases.INVENTORY), text,
                                focus="all")
