"""Stream instructions of the world: scenes by number, questions balanced over all of them."""

import random
import zlib
from collections.abc import Iterable, Iterator

from training.instruct import phrases
from training.instruct.records import TASKS, Instruction
from training.instruct.world import dates, motion, still
from training.instruct.world.asking import SET, Writer

MAKERS = {"still": still.ask, "change": dates.ask_change, "series": dates.ask_series,
          "video": motion.ask}
SHARES = {"still": 0.5, "change": 0.2, "series": 0.12, "video": 0.18}
NUMBERS = 1_000_000
YES_NO = {"presence": phrases.PRESENT, "cover": phrases.COVER_PRESENT, "is": phrases.IS_CLASS,
          "more": phrases.MORE_COVER, "changed": phrases.CHANGED,
          "changed in": phrases.CHANGED_IN, "is moving": phrases.IS_MOVING, "day": phrases.DAY}
OPEN = {"count": phrases.COUNT, "fused count": phrases.COUNT, "share": phrases.COVER_SHARE,
        "at": phrases.REFER_LAND, "what": phrases.REFER, "greenest": phrases.GREENEST,
        "season": phrases.SEASON, "crop": phrases.CROP, "moving": phrases.MOVING,
        "count frame": phrases.COUNT_FRAME, "video caption": phrases.VIDEO_CAPTION,
        "direction": phrases.DIRECTION}
FIRST = {"new buildings": "the new buildings", "flood": "the flood", "fire": "the burnt ground",
         "felling": "the cleared forest"}


def keys(split: str, seed: int, epoch: int, scenes: int) -> list[str]:
    """Scene keys: in training others each epoch, in val and test always the first ones."""
    episodes = [e for e, s in SHARES.items() for _ in range(round(s * scenes))]
    if split != "train":
        return [f"{split}-{e}-{n}" for n, e in enumerate(episodes)]
    return [f"train-{e}-{zlib.crc32(f'{seed}:{epoch}:{n}'.encode()) % NUMBERS}"
            for n, e in enumerate(episodes)]


def _wordings(name: str, what: str) -> tuple[tuple[str, ...], bool]:
    """(wordings, whether yes/no) of a group of candidates."""
    if name == "first image":
        return tuple(f"{w} {FIRST[what]}?" for w in (
            "Which image first shows", "In which image do you first see",
            "Which is the first date with", "From which image on is there")), False
    return (YES_NO[name], True) if name in YES_NO else (OPEN[name], False)


def stream(split: str, seed: int, epoch: int, scenes: int, tasks: Iterable[str] | None = None, *,
           balanced: bool = True, shuffled: bool = True) -> Iterator[Instruction]:
    """Instructions on `scenes` scenes of the world, about seven a scene.

    split "train" draws other scenes each epoch; "val" and "test" always the same ones, whose
    numbers and nuisance ranges training never sees (see `world.scene`).
    """
    writer = Writer(SET, split, seed, epoch, balanced)
    wanted, groups, made = set(tasks or TASKS), {}, []
    for key in keys(split, seed, epoch, scenes):
        made += MAKERS[key.split("-")[1]](writer, key, groups)
    for (name, what), candidates in groups.items():
        wordings, is_yes_no = _wordings(name, what)
        balance = writer.yes_no if is_yes_no else writer.flat
        made += balance(f"{SET}/{name} {what}".rstrip(), candidates, wordings)
    made = [i for i in made if i.task in wanted]
    if shuffled:
        random.Random(f"{seed}:{epoch}:world").shuffle(made)
    yield from made

