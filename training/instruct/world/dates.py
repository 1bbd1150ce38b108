"""Questions on two dates (change) and on six over a year (series)."""

from collections.abc import Iterator

import cv2
import numpy as np

from training.instruct import phrases, spatial
from training.instruct.drafting import Candidate, yes
from training.instruct.nouns import fill
from training.instruct.records import Instruction
from training.instruct.regions import random_region
from training.instruct.tasks.change import parts
from training.instruct.world.asking import Writer, cover_shares
from training.instruct.world.events import Event
from training.instruct.world.materials import INDEX, MATERIALS, greenness
from training.instruct.world.scene import SIZE, TIMES, dates_of, event_of, scene_at

PAIR = (0, 1)
# what sees an event: burnt and cleared ground is not told by radar alone
SEES = {"flood": ("rgb", "six", "s2", "sar"), "fire": ("rgb", "six", "s2"),
        "felling": ("rgb", "six", "s2"), "new buildings": ("rgb", "rgb", "pan", "s2", "sar"),
        "ships": ("rgb", "pan", "s2", "sar", "sar_hh")}
NO_CHANGE = "Nothing changed."
SEASONS = ("winter", "spring", "summer", "autumn")
EVENT_NAMES = {"new buildings": "new buildings", "flood": "flood", "fire": "fire",
               "felling": "forest clearing", "ships": "ship traffic"}


def season(day_of_year: float) -> str:
    """Meteorological season of the northern mid latitudes."""
    return SEASONS[int(((day_of_year + 31) % 365) // 91.25) % 4]


def mean_greenness(key: str, time: int) -> float:
    """Share of the scene that is green leaves at a date."""
    scene = scene_at(key, time)
    counts = np.bincount(scene.cover.ravel(), minlength=len(MATERIALS)) / SIZE**2
    return float(sum(counts[i] * greenness(m.cycle, scene.day_of_year)
                     for i, m in enumerate(MATERIALS) if m.cycle))


def _regions(writer: Writer, key: str, event: Event, sensor: str, rng, groups) -> None:
    want = rng.random() < 0.5
    for _ in range(10):
        region = random_region(rng, least=0.15, most=0.45)
        inside = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillPoly(inside, [np.round(region.outline * SIZE).astype(np.int32)], 1)
        # of the region or of the event, whichever is smaller, a good part must be in both
        both = float((event.area & (inside > 0)).sum())
        share = both / min(event.area.sum(), inside.sum())
        if (want and share > 0.4) or (not want and both == 0):
            ask = groups.setdefault(("changed in", ""), [])
            ask.append(Candidate(want, lambda w, r=region.text: writer.write(
                key, "change", "changed_in", fill(w, r=r), yes(want), sensors=(sensor,),
                times=PAIR, focus="mask")))
            return


def ask_change(writer: Writer, key: str, groups: dict) -> Iterator[Instruction]:
    """Instructions on a pair of dates."""
    event, rng = event_of(key), writer.rng("change", key)
    sensor = rng.choice(SEES[event.kind] if event else ("rgb", "rgb", "s2", "sar"))
    more = {"sensors": (sensor,), "times": PAIR, "focus": "mask"}
    groups.setdefault(("changed", "radar" if "sar" in sensor else "optical"), []).append(
        Candidate(event is not None, lambda w: writer.write(key, "change", "changed", w,
                                                            yes(event is not None), **more)))
    text = event.caption if event else NO_CHANGE
    if event or rng.random() < 0.5:
        yield writer.write(key, "change", "caption", rng.choice(phrases.CHANGE_CAPTION), text,
                           layer="change", layer_image=1, **more)
    if not event:
        return
    yield writer.write(key, "change", "segment", rng.choice(phrases.CHANGE_SEGMENT), spatial.SEG,
                       layer="change", layer_image=1, **more)
    yield writer.write(key, "change", "event", rng.choice(phrases.EVENT_KIND),
                       EVENT_NAMES[event.kind], **more)
    found = parts(event.area)
    if found:
        x, y, w, h, _ = found[0]
        yield writer.write(key, "change", "box", rng.choice(phrases.CHANGE_BOX),
                           spatial.box([v / SIZE for v in (x, y, x + w, y + h)], 1), **more)
    if event.kind == "new buildings":
        yield writer.write(key, "change", "new_count",
                           fill(rng.choice(phrases.NEW_COUNT), "building", "buildings"),
                           str(len(event.added)), **more)
        boxes = [i.box(SIZE) for i in sorted(event.added, key=lambda i: i.box(SIZE)[1])]
        yield writer.write(key, "change", "new_boxes", "Box the new buildings.",
                           spatial.boxes(boxes, 1), **more)
    _regions(writer, key, event, sensor, rng, groups)


def ask_series(writer: Writer, key: str, groups: dict) -> Iterator[Instruction]:
    """Instructions on six dates over a year."""
    event, rng = event_of(key), writer.rng("series", key)
    times = tuple(range(TIMES["series"]))
    optical = rng.choice(("rgb", "six", "s2", "four"))
    more = {"sensors": (optical,), "times": times, "focus": "all"}
    if event:
        seen = rng.choice([s for s in SEES[event.kind] if s != "pan"])
        yield writer.write(
            key, "temporal", "span", fill(rng.choice(phrases.WHEN), d=event.phrase),
            spatial.span(event.first, event.last), sensors=(seen,), times=times, layer="change",
            layer_image=event.first, focus="mask")
        groups.setdefault(("first image", event.kind), []).append(Candidate(
            event.first, lambda w: writer.write(
                key, "temporal", "first_image", w, f"image {event.first}", sensors=(seen,),
                times=times, focus="mask")))
    greens = [mean_greenness(key, t) for t in times]
    order = np.argsort(greens)
    if greens[order[-1]] - greens[order[-2]] > 0.04:
        groups.setdefault(("greenest", ""), []).append(Candidate(
            int(order[-1]), lambda w: writer.write(key, "temporal", "greenest", w,
                                                   f"image {order[-1]}", **more)))
    k = rng.randrange(len(times))
    if max(greens) > 0.2:
        groups.setdefault(("season", ""), []).append(Candidate(
            season(dates_of(key)[k]), lambda w: writer.write(
                key, "temporal", "season", fill(w, k=str(k)), season(dates_of(key)[k]), **more)))
    _crop(writer, key, rng, more, groups)


def _crop(writer: Writer, key: str, rng, more: dict, groups: dict) -> None:
    """A crop told by when it is green: one date alone does not tell."""
    shares = cover_shares(key)
    crops = [c for c in ("winter crop", "summer crop") if shares[c] > 0.02]
    if not crops:
        return
    crop = rng.choice(crops)
    cover = scene_at(key, 0).cover == INDEX[crop]
    for t in range(1, TIMES["series"]):
        cover &= scene_at(key, t).cover == INDEX[crop]
    core = cv2.erode(cover.astype(np.uint8), np.ones((5, 5), np.uint8))
    ys, xs = np.nonzero(core)
    if len(xs):
        n = rng.randrange(len(xs))
        at = spatial.point((xs[n] + 0.5) / SIZE, (ys[n] + 0.5) / SIZE)
        groups.setdefault(("crop", ""), []).append(Candidate(crop, lambda w: writer.write(
            key, "temporal", "crop", fill(w, r=at), crop, **{**more, "focus": "mask"})))
