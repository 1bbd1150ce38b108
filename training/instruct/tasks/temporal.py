"""Video: counts per frame, moving and parked vehicles, tracks across frames, time spans.

The clips carry boxes without identities; tracks are made here by overlap from frame to frame.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from training.instruct import phrases, spatial
from training.instruct.drafting import Candidate, Context, yes
from training.instruct.nouns import NOUNS, VEHICLES, fill
from training.instruct.records import MOST_IMAGES, ImageRef, Instruction
from training.instruct.views import Thing, View, random_window

TASK = "temporal"
LEAST_FRAMES = 3
CLIP_DRAWS = 16        # different cuts of each clip in a training epoch
LEAST_IOU = 0.25       # of a vehicle with itself in the next frame of the source
MOVED = 0.6            # of its own size: farther than its boxes jitter


def iou(a, b) -> float:
    """Intersection over union of two boxes."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (both - w * h)


@dataclass(slots=True)
class Track:
    """One vehicle: source frame -> object."""

    seen: dict[int, Thing] = field(default_factory=dict)

    def moved(self, first: int, last: int) -> bool | None:
        """Whether it moved between two frames; None where it is not seen in both or unsure."""
        if first not in self.seen or last not in self.seen:
            return None
        a, b = self.seen[first], self.seen[last]
        size = max(a.box[2] - a.box[0], a.box[3] - a.box[1])
        way = math.dist(a.centre, b.centre) / size
        return True if way > MOVED else False if way < MOVED / 2 else None


def tracks(frames: dict[int, list[Thing]]) -> list[Track]:
    """Greedy association of each frame's vehicles with those of the frame before."""
    open_tracks: list[Track] = []
    done: list[Track] = []
    for n in sorted(frames):
        pairs = sorted(((iou(t.seen[n - 1].box, v.box), i, j) for i, t in enumerate(open_tracks)
                        for j, v in enumerate(frames[n])), reverse=True)
        taken_t, taken_v = set(), set()
        for overlap, i, j in pairs:
            if overlap >= LEAST_IOU and i not in taken_t and j not in taken_v:
                open_tracks[i].seen[n] = frames[n][j]
                taken_t.add(i)
                taken_v.add(j)
        done += [t for i, t in enumerate(open_tracks) if i not in taken_t]
        open_tracks = [t for i, t in enumerate(open_tracks) if i in taken_t] + [
            Track({n: v}) for j, v in enumerate(frames[n]) if j not in taken_v]
    return done + open_tracks


@dataclass(slots=True)
class Clip:
    """Frames shown of a clip under one window and turn. shown: source frame numbers."""

    views: dict[int, View]
    shown: list[int]
    things: dict[int, list[Thing]]
    tracks: list[Track]

    @property
    def images(self) -> tuple[ImageRef, ...]:
        return tuple(self.views[n].ref(frame=k) for k, n in enumerate(self.shown))


def _clips(context: Context) -> Iterator[tuple[str, Clip]]:
    by_clip: dict[str, dict[int, View]] = {}
    for view in context.views:
        by_clip.setdefault(view.facts["clip"], {})[view.facts["frame"]] = view
    for name, views in by_clip.items():
        if len(views) < LEAST_FRAMES:
            continue
        for draw in range(CLIP_DRAWS if context.augment else 1):
            rng = context.rng("clip", name, draw)
            any_view = next(iter(views.values()))
            window = random_window(any_view, rng, 0.5) if context.augment and draw % 2 else None
            turn = rng.randrange(8) if context.augment else 0
            cut = {n: View(v.library, v.sample, window, turn) for n, v in views.items()}
            many = min(len(cut), rng.randint(3, MOST_IMAGES) if context.augment else MOST_IMAGES)
            step = rng.randint(1, max(1, (len(cut) - 1) // (many - 1))) if context.augment else (
                max(1, (len(cut) - 1) // (many - 1)))
            start = rng.randint(0, len(cut) - 1 - step * (many - 1)) if context.augment else 0
            numbers = sorted(cut)
            shown = [numbers[start + step * k] for k in range(many)]
            things = {n: [t for t in v.things() if t.kind in VEHICLES] for n, v in cut.items()}
            yield f"{name}.{draw}", Clip(cut, shown, things, tracks(things))


def _of_frame(context: Context, tag: str, clip: Clip, rng) -> Iterator[Instruction]:
    counts = [len(clip.things[n]) for n in clip.shown]
    view, images = clip.views[clip.shown[0]], clip.images
    k = rng.randrange(len(counts))
    noun = rng.choice(NOUNS["vehicle"])
    yield context.write(view, TASK, "count_frame",
                        fill(rng.choice(phrases.COUNT_FRAME), *noun, k=str(k)), str(counts[k]),
                        images=images, tag=tag, focus="vehicle")
    if counts.count(max(counts)) == 1:
        yield context.write(view, TASK, "most_frame",
                            fill(rng.choice(phrases.MOST_FRAME), *noun),
                            f"frame {counts.index(max(counts))}", images=images, tag=tag,
                            focus="vehicle")


def _motion(context: Context, tag: str, clip: Clip, moving: list[Candidate], rng
            ) -> Iterator[Instruction]:
    view, images = clip.views[clip.shown[0]], clip.images
    first, last = clip.shown[0], clip.shown[-1]
    verdicts = [(t, t.moved(first, last)) for t in clip.tracks]
    n_moving = sum(v is True for _, v in verdicts)
    n_parked = sum(v is False for _, v in verdicts)
    noun = rng.choice(NOUNS["vehicle"])
    yield context.write(view, TASK, "moving", fill(rng.choice(phrases.MOVING), *noun),
                        str(n_moving), images=images, tag=tag, focus="vehicle")
    text = (f"{n_moving} vehicle{'s' * (n_moving != 1)} moving and "
            f"{n_parked} parked over {len(images)} frames")
    yield context.write(view, TASK, "caption", rng.choice(phrases.VIDEO_CAPTION), text,
                        images=images, tag=tag, focus="all")
    for n, (t, verdict) in enumerate(verdicts):
        if verdict is not None:
            region = spatial.box(t.seen[first].box)
            moving.append(Candidate(verdict, lambda w, r=region, n=n, t=verdict, i=noun:
                                    context.write(view, TASK, "is_moving",
                                                  fill(w, i[0], r=r), yes(t), images=images,
                                                  tag=f"{tag}.{n}", focus="mask")))


def _tracks(context: Context, tag: str, clip: Clip, rng) -> Iterator[Instruction]:
    view, images = clip.views[clip.shown[0]], clip.images
    first = clip.shown[0]
    seen = [t for t in clip.tracks if first in t.seen]
    # those that move teach more than those that stand
    seen.sort(key=lambda t: t.moved(first, max(t.seen)) is not True)
    for n, t in enumerate(seen[:3]):
        noun = NOUNS[t.seen[first].kind][0]
        shown = [k for k, f in enumerate(clip.shown) if f in t.seen]
        region = spatial.box(t.seen[first].box)
        if len(shown) > 1:
            k = rng.choice(shown[1:])
            yield context.write(
                view, TASK, "track", fill(rng.choice(phrases.TRACK), *noun, r=region, k=str(k)),
                spatial.box(t.seen[clip.shown[k]].box, k), images=images, tag=f"{tag}.{n}",
                focus="mask")
        if shown == list(range(len(shown))):
            yield context.write(
                view, TASK, "span", fill(rng.choice(phrases.VISIBLE_SPAN), *noun, r=region),
                spatial.span(0, shown[-1]), images=images, tag=f"{tag}.{n}", focus="mask")


def make(context: Context) -> Iterator[Instruction]:
    if context.name != "aerial_video":
        return
    moving: list[Candidate] = []
    for tag, clip in _clips(context):
        rng = context.rng("temporal", tag)
        yield from _of_frame(context, tag, clip, rng)
        yield from _motion(context, tag, clip, moving, rng)
        yield from _tracks(context, tag, clip, rng)
    yield from context.yes_no("aerial_video/moving", moving, phrases.IS_MOVING)
