"""Visual questions: presence, comparison, area, day and night, published questions, matching."""

import re
from collections.abc import Iterator
from itertools import permutations

import numpy as np

from training.instruct import phrases
from training.instruct.drafting import Candidate, Context, yes
from training.instruct.nouns import (
    NOUNS,
    PINES,
    UCM_COVERS,
    UCM_THINGS,
    belongs,
    fill,
    groups_of,
)
from training.instruct.records import Instruction
from training.instruct.regions import random_region
from training.instruct.tasks.caption import POSITION, unturned
from training.instruct.tasks.classification import shown
from training.instruct.views import View, random_window

TASK = "vqa"
SHARES = ((0.0, "none"), (0.1, "under 10 percent"), (0.3, "10 to 30 percent"),
          (0.6, "30 to 60 percent"), (1.01, "over 60 percent"))
RANGES = ((0, "0"), (10, "between 0 and 10"), (100, "between 10 and 100"),
          (1000, "between 100 and 1000"), (1 << 60, "more than 1000"))


def count_range(n: int) -> str:
    """Range of a count as RSVQA's publishers score the low resolution questions."""
    return next(name for top, name in RANGES if n <= top)


def area_range(m2: int) -> str:
    """Range of an area as RSVQA's publishers score it; `m2` is square metres."""
    words = count_range(m2).replace("between 0 and 10", "between 0m2 and 10m2")
    return re.sub(r"\b(\d+)\b(?!m)", r"\1m2", words) if "m2" not in words else words


def share_name(share: float) -> str:
    return next(name for top, name in SHARES if share <= top)


def published_answer(name: str, qa: dict) -> str:
    """Answer to a published question, numbers in the publishers' ranges."""
    if qa["type"] == "area":
        return area_range(int(qa["a"].removesuffix("m2")))
    if qa["type"] == "count" and name == "rsvqa_lr":
        return count_range(int(qa["a"]))
    return qa["a"]


def question_key(question: str) -> str:
    """What a published question asks, whatever its wording."""
    q = question.lower().rstrip("?").replace("in the image", "").replace("present", "")
    q = re.sub(r"^(is there|is|are there|are|what is)\s+(a|an|the|any)?\s*", "", q)
    return " ".join(q.split())


def _published(context: Context) -> Iterator[Instruction]:
    groups: dict[str, list[Candidate]] = {}
    free: dict[str, list[Candidate]] = {}
    for view in context.views:
        for i, qa in enumerate(view.facts["qa"]):
            v = view if not POSITION.search(qa["q"]) else unturned(view, qa["q"])
            answer = published_answer(context.name, qa)
            kind = f"rsvqa_{qa['type']}"
            made = context.write(v, TASK, kind, qa["q"], answer, tag=str(i))
            key = f"{context.name}/{question_key(qa['q'])}"
            if qa["type"] in ("presence", "comp"):
                groups.setdefault(key, []).append(Candidate(qa["a"] == "yes",
                                                            lambda w, m=made: m))
            else:
                free.setdefault(f"{context.name}/{kind}", []).append(
                    Candidate(answer, lambda w, m=made: m))
    for key, candidates in free.items():
        yield from context.capped(key, candidates, ("as published",))
    for key, candidates in groups.items():
        yield from context.yes_no(key, candidates, ("as published",))


def _labels(context: Context) -> Iterator[Instruction]:
    """Seventeen yes/no questions a picture of the multi-label set."""
    for label in (*UCM_COVERS, *UCM_THINGS):
        nouns = (UCM_COVERS[label],) if label in UCM_COVERS else UCM_THINGS[label]
        words = phrases.COVER_PRESENT if label in UCM_COVERS else phrases.PRESENT
        candidates = [
            Candidate(label in v.facts["objects"], lambda w, v=v, n=nouns, o=label: context.write(
                v, TASK, "presence", fill(w, *n), yes(o in v.facts["objects"]), tag=o))
            for v in context.views]
        yield from context.yes_no(f"{context.name}/presence {label}", candidates, words)


def _has(view: View, group: str) -> bool:
    return any(belongs(t.kind, group) for t in view.things())


def _presence_views(context: Context, view: View, group: str) -> list[View]:
    """The view; when augmenting also a window with and one of the same size without the object,
    so that neither an emptied picture nor a small one tells the answer."""
    if not context.augment:
        return [view]
    rng = context.rng("presence", group, view.sample.id)
    window = random_window(view, rng)
    width, height = view.size()
    found: dict[bool, View] = {}
    for _ in range(8):
        x, y = rng.randint(0, width - window[2]), rng.randint(0, height - window[3])
        v = view.with_window((x, y, window[2], window[3]))
        found.setdefault(_has(v, group), v)
        if len(found) == 2:
            return [view, *found.values()]
    return [view]


def _ask_presence(context: Context, v: View, group: str, noun, tag: str) -> Candidate:
    truth = _has(v, group)
    return Candidate(truth, lambda w: context.write(
        v, TASK, "presence", fill(w, *noun), yes(truth), tag=f"{group}{tag}", focus=group))


def _presence(context: Context) -> Iterator[Instruction]:
    groups: dict[str, list[Candidate]] = {}
    inside: dict[str, list[Candidate]] = {}
    for view in context.views:
        for group in groups_of(context.name, view.facts):
            rng = context.rng("nouns", group, view.sample.id)
            noun = rng.choice(NOUNS[group])
            key = f"{context.name}/presence {group}"
            for n, v in enumerate(_presence_views(context, view, group)):
                groups.setdefault(key, []).append(
                    _ask_presence(context, v, group, noun, str(n or "")))
            things = [t for t in view.things() if belongs(t.kind, group)]
            region = random_region(rng)
            if not things or not region.is_clear(things):
                continue
            truth = any(region.contains(*t.centre) for t in things)
            inside.setdefault(f"{key} in region", []).append(Candidate(
                truth, lambda w, v=view, g=group, n=noun, r=region, t=truth: context.write(
                    v, TASK, "presence_in", fill(w, *n, r=r.text), yes(t), tag=g, focus="mask")))
    for key, candidates in groups.items():
        yield from context.yes_no(key, candidates, phrases.PRESENT)
    for key, candidates in inside.items():
        yield from context.yes_no(key, candidates, phrases.PRESENT_IN)


def _comparisons(context: Context) -> Iterator[Instruction]:
    groups: dict[str, list[Candidate]] = {}
    halves: dict[str, list[Candidate]] = {}
    for view in context.views:
        rng = context.rng("compare", view.sample.id)
        v = context.windowed(view, rng)
        kinds = [g for g in groups_of(context.name, view.facts) if g != "vehicle"]
        things = v.things()
        counts = {g: sum(t.kind == g for t in things) for g in kinds}
        for a, b in permutations(kinds, 2):
            if counts[a] != counts[b]:
                truth = counts[a] > counts[b]
                (x, xs), (y, ys) = NOUNS[a][0], NOUNS[b][0]
                groups.setdefault(f"{context.name}/more {a} than {b}", []).append(Candidate(
                    truth, lambda w, v=v, t=truth, k=(x, xs, y, ys): context.write(
                        v, TASK, "comp", fill(w, k[0], k[1], y=k[2], ys=k[3]), yes(t),
                        tag=f"{k[0]}_{k[2]}")))
        for g in kinds:
            left = sum(t.kind == g and t.centre[0] < 0.5 for t in things)
            if 2 * left != counts[g]:
                truth = 2 * left > counts[g]
                halves.setdefault(f"{context.name}/left {g}", []).append(Candidate(
                    truth, lambda w, v=v, t=truth, g=g: context.write(
                        v, TASK, "comp_half", fill(w, *NOUNS[g][0]), yes(t), tag=g, focus=g)))
    for key, candidates in groups.items():
        yield from context.yes_no(key, candidates, phrases.MORE)
    for key, candidates in halves.items():
        yield from context.yes_no(key, candidates, phrases.MORE_HALF)


def _flood(context: Context) -> Iterator[Instruction]:
    wet, shares = [], []
    for view in context.views:
        m = view.mask()
        share = float((m == 1).sum() / max(1, (m != 255).sum()))
        truth = view.facts["label"] == "water"
        wet.append(Candidate(truth, lambda w, v=view, t=truth: context.write(
            v, TASK, "presence", w, yes(t), tag="water", focus="mask")))
        shares.append(Candidate(share_name(share), lambda w, v=view, s=share: context.write(
            v, TASK, "area", fill(w, "water"), share_name(s), tag="water", focus="mask")))
    yield from context.yes_no(f"{context.name}/water", wet, phrases.WATER)
    yield from context.flat(f"{context.name}/area water", shares, phrases.COVER_SHARE)


def _pines(context: Context) -> Iterator[Instruction]:
    names = [PINES.get(c, c) for c in context.library.meta(context.name)["classes"]]
    present: dict[str, list[Candidate]] = {}
    more: dict[str, list[Candidate]] = {}
    for view in context.views:
        counts = np.bincount(view.mask().ravel(), minlength=len(names))[1:]
        for c, n in zip(names[1:], counts, strict=True):
            present.setdefault(c, []).append(Candidate(
                bool(n), lambda w, v=view, c=c, n=n: context.write(
                    v, TASK, "presence", fill(w, c), yes(bool(n)), tag=c)))
        seen = [(c, n) for c, n in zip(names[1:], counts, strict=True) if n]
        for (a, m), (b, n) in permutations(seen, 2):
            if max(m, n) > 1.3 * min(m, n):
                more.setdefault(" ".join(sorted((a, b))), []).append(Candidate(
                    bool(m > n), lambda w, v=view, a=a, b=b, t=bool(m > n): context.write(
                        v, TASK, "comp", fill(w, a, y=b), yes(t), tag=f"{a}_{b}")))
    for c, candidates in present.items():
        yield from context.yes_no(f"{context.name}/presence {c}", candidates,
                                  phrases.COVER_PRESENT)
    for pair, candidates in more.items():
        yield from context.yes_no(f"{context.name}/more {pair}", candidates, phrases.MORE_COVER)


def _pairs(context: Context) -> Iterator[Instruction]:
    """Optical and radar of one place, or not: yes/no and choice among four. Wrong partners come
    from the same region, so that the region does not tell."""
    candidates = []
    for view in context.views:
        rng = context.rng("pair", view.sample.id)
        region = view.facts["region"]
        others = [v for v in context.views if v.facts["region"] == region and v is not view]
        if not others:
            continue
        optical = view.ref()
        for v, truth in ((view, True), (rng.choice(others), False)):
            radar = View(view.library, v.sample, None, view.turn).ref(
                "image2", sensor=1, modality="sar")
            candidates.append(Candidate(truth, lambda w, v=view, i=(optical, radar), t=truth:
                                        context.write(v, TASK, "match", w, yes(t), images=i,
                                                      tag=yes(t))))
        some = [view, *rng.sample(others, min(3, len(others)))]
        rng.shuffle(some)
        refs = tuple(View(view.library, v.sample, None, view.turn).ref(
            "image2", sensor=1, modality="sar") for v in some)
        yield context.write(view, TASK, "choose_radar", rng.choice(phrases.CHOOSE),
                            f"image {some.index(view) + 1}", images=(optical, *refs))
    yield from context.yes_no(f"{context.name}/match", candidates, phrases.MATCH)
    if not context.balanced:
        yield from _ten_way(context)


def _ten_way(context: Context) -> Iterator[Instruction]:
    """The published ten candidates of each exam tile, one yes/no question each, by one wording;
    ``pair`` holds a tile's ten together: the surest yes is the choice."""
    for view in context.views:
        for other in view.facts.get("candidates", ()):
            radar = View(view.library, view.library.sample(context.name, other)).ref(
                "image2", sensor=1, modality="sar")
            yield context.write(view, TASK, "ten_way", phrases.MATCH[0],
                                yes(other == view.sample.id), images=(view.ref(), radar),
                                tag=other, pair=view.key)


def _single(context: Context, kind: str, answers, words) -> Iterator[Instruction]:
    """A question with one answer a sample, thinned where one answer is too frequent."""
    candidates = [
        Candidate(a, lambda w, v=v, a=a: context.write(
            shown(context, v), TASK, kind, w, a, focus="all"))
        for v in context.views if (a := answers(v)) is not None]
    yield from context.flat(f"{context.name}/{kind}", candidates, words, slack=1.0)


def _length(view: View) -> str | None:
    metres = view.facts.get("length_m")
    return None if not metres else str(int(round(metres, -1)))


def make(context: Context) -> Iterator[Instruction]:
    if context.name in ("rsvqa_lr", "rsvqa_hr"):
        yield from _published(context)
    elif context.name == "ucm_multilabel":
        yield from _labels(context)
    elif context.name == "flood_s1":
        yield from _flood(context)
    elif context.name == "indian_pines":
        yield from _pines(context)
    elif context.name == "s1s2_pairs":
        yield from _pairs(context)
    elif context.name == "opensarship":
        yield from _single(context, "length", _length, phrases.LENGTH)
    else:
        yield from _presence(context)
        yield from _comparisons(context)
    if context.name == "hit_uav":
        yield from _single(context, "day", lambda v: v.facts["day_night"], phrases.DAY)
