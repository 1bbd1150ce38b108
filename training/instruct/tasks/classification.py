"""Scene, land cover, target and ship classes: open, from a list, and as yes/no."""

from collections.abc import Iterator

from training.instruct import phrases
from training.instruct.drafting import Candidate, Context, yes
from training.instruct.nouns import CLASS_NAMES, MSTAR_TYPE, RURAL, STYLE, URBAN, fill
from training.instruct.records import Instruction
from training.instruct.views import View

TASK = "classification"
SHIP_WINDOW_PX = 32


def shown(context: Context, view: View) -> View:
    """What a class question shows. Ship chips were cut in proportion to the ship, so the width
    of their padding tells the length: only a centre of fixed size is shown."""
    if context.name != "opensarship":
        return view
    width, height = view.size()
    x, y = (width - SHIP_WINDOW_PX) // 2, (height - SHIP_WINDOW_PX) // 2
    return view.with_window((x, y, SHIP_WINDOW_PX, SHIP_WINDOW_PX))


def _is_class(context: Context, name: str, view: View, other: str, truth: bool) -> Candidate:
    asked = name if truth else other
    return Candidate(truth, lambda w: context.write(
        view, TASK, "is_class", fill(w, asked), yes(truth), tag=asked.replace(" ", "_"),
        focus="all"))


def _yes_no(context: Context) -> Iterator[Instruction]:
    """For each class as many images of it as of others."""
    names = CLASS_NAMES[context.name]
    classes = sorted(set(names.values()))
    by_class: dict[str, list[Candidate]] = {c: [] for c in classes}
    for view in context.views:
        rng = context.rng("is", view.sample.id)
        truth_name = names[view.facts["label"]]
        view = shown(context, view)
        if rng.random() < 0.5:
            by_class[truth_name].append(_is_class(context, truth_name, view, "", True))
        else:
            other = rng.choice([c for c in classes if c != truth_name])
            by_class[other].append(_is_class(context, truth_name, view, other, False))
    for c, candidates in by_class.items():
        yield from context.yes_no(f"{context.name}/is {c}", candidates, phrases.IS_CLASS)


def make(context: Context) -> Iterator[Instruction]:
    """Instructions of a set with classes."""
    if context.name not in CLASS_NAMES:
        return
    names = CLASS_NAMES[context.name]
    classes = sorted(set(names.values()))
    for view in context.views:
        rng = context.rng("class", view.sample.id)
        name = names[view.facts["label"]]
        view = shown(context, view)
        yield context.write(view, TASK, "class", rng.choice(phrases.CLASS[STYLE[context.name]]),
                            name, focus="all")
        some = [*rng.sample([c for c in classes if c != name], min(3, len(classes) - 1)), name]
        rng.shuffle(some)
        listed = ", ".join(some[:-1]) + f" or {some[-1]}"
        yield context.write(view, TASK, "choose_class",
                            rng.choice(phrases.CLASS_LIST).format(list=listed), name, focus="all")
        if context.name == "mstar":
            yield context.write(view, TASK, "type", rng.choice(phrases.VEHICLE_TYPE),
                                MSTAR_TYPE[view.facts["label"]], focus="all")
    yield from _yes_no(context)
    if context.name in URBAN:
        urban, rural = URBAN[context.name], RURAL[context.name]
        candidates = [
            Candidate(v.facts["label"] in urban, lambda w, v=v: context.write(
                v, "vqa", "rural_urban", w, "urban" if v.facts["label"] in urban else "rural",
                focus="all"))
            for v in context.views if v.facts["label"] in urban | rural]
        yield from context.yes_no(f"{context.name}/rural_urban", candidates, phrases.RURAL_URBAN)
