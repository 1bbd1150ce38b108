"""What an instruction asks for, as `eo_nodes.lvlm.tally` has it."""

from eo_nodes.lvlm.tally import size_of
from training.vision.plan import KINDS, LABELLED

COUNTS = ("count", "count_in", "count_whole")
PRESENCES = ("presence", "presence_in")
ALL = len(KINDS)                       # place of all kinds together
NONE = size_of(len(KINDS)) - 1         # something else
# What a question may be about (a key of `instruct.nouns.NOUNS`) and the vision network's kind. Cars
# and lorries are vehicles, but a count of vehicles is none of cars.
SUBJECTS = {kind: i for i, kind in enumerate(KINDS)} | {"boat": KINDS.index("ship"), "object": ALL}


def subject(instruction):
    """What it is about, of the tag in its id."""
    name = instruction.id.rpartition(":")[2].partition("@")[0]
    return name.split(".")[2] if name.count(".") >= 2 else ""


def asked_for(instruction):
    """Place among the scores: a count, whether there is any, or something else; that too where the
    vision network did not learn from the set what such objects look like."""
    place = SUBJECTS.get(subject(instruction))
    if place is None or len(instruction.images) != 1 or instruction.set not in LABELLED:
        return NONE
    if instruction.kind in COUNTS:
        return place
    return len(KINDS) + 1 + place if instruction.kind in PRESENCES else NONE
