"""What an instruction asks for, in the order of `eo_nodes.lvlm.told`."""

from dataclasses import dataclass

from eo_nodes.lvlm.choosing import ORDERS
from eo_nodes.lvlm.told import Classes, size_of
from training.instruct.nouns import CLASS_NAMES, VEHICLES
from training.instruct.tasks import grounding
from training.vision.plan import KINDS, LABELLED, PLAN

COUNTS = ("count", "count_in", "count_whole")
PRESENCES, LISTS = ("presence", "presence_in"), ("detect",)
CLASS, LABELS = "class_", "label_objects"        # how heads of groups begin; the head of labels
LABELLED_BY = "ucm_multilabel"         # the set whose labels those are
ALL = len(KINDS)                       # place of all kinds together
ONE_OF = "box_"                        # how instructions begin that ask for one object's box
# What a question may be about (a key of `instruct.nouns.NOUNS`) and the vision network's kind.
# Nearly all labelled vehicles are cars, few are lorries: of those a count of vehicles says nothing.
SUBJECTS = {kind: i for i, kind in enumerate(KINDS)} | {
    "boat": KINDS.index("ship"), "car": KINDS.index("vehicle"), "object": ALL}
# Of which one is meant among lorries, the vehicles are a guess all the same.
NEAR = {kind: KINDS.index("vehicle") for kind in VEHICLES}
# Words of `instruct.tasks.grounding` and which of `choosing.ORDERS` they mean.
WORDS = {word: order for words, *_ in grounding.ORDERS for word in words
         for order in ORDERS if order in words}


@dataclass(frozen=True, slots=True)
class Things:
    """What may be asked for beside the vision network's kinds. groups: names of groups of classes;
    labels: of one head, in its order."""

    groups: tuple = ()
    labels: tuple = ()

    @classmethod
    def of(cls, heads, names):
        """heads: (name, outputs); names {head: [label of each output]}."""
        return cls(tuple(n.removeprefix(CLASS) for n, _ in heads if n.startswith(CLASS)),
                   tuple(names[LABELS]) if LABELS in dict(heads) else ())

    @property
    def first_choice(self):
        """Place of the first order and kind of one that is meant."""
        return self.size - 1 - len(ORDERS) * len(KINDS)

    @property
    def size(self):
        """Of the scores."""
        return size_of(len(KINDS), len(self.groups), len(self.labels))


def sizes_of(heads):
    """(groups, labels) among (name, outputs) of the heads."""
    return sum(n.startswith(CLASS) for n, _ in heads), dict(heads).get(LABELS, 0)


def classes_of(heads, names):
    """([`told.Classes`] of the groups, that of the labels or None); names as in `Things.of`."""
    spelled = {PLAN[of].group: words for of, words in CLASS_NAMES.items() if of in PLAN}
    groups, labels, at = [], None, 0
    for head, size in heads:
        if head.startswith(CLASS):
            words = spelled.get(head.removeprefix(CLASS), {})
            groups.append(Classes(at, tuple(
                words.get(n, str(n).lower().replace("_", " ")) for n in names[head])))
        if head == LABELS:
            labels = Classes(at, tuple(names[head]))
        at += size
    return groups, labels


def subject(instruction):
    """What it is about, of the tag in its id."""
    name = instruction.id.rpartition(":")[2].partition("@")[0]
    return name.split(".")[2] if name.count(".") >= 2 else ""


def order_of(instruction):
    """Which of `choosing.ORDERS` an instruction about one object means, or None."""
    how = instruction.kind.removeprefix(ONE_OF)
    if how != "superlative":
        return how if how in ORDERS else None
    found = {order for word, order in WORDS.items() if f" {word} " in f" {instruction.prompt} "}
    return found.pop() if len(found) == 1 else None


def asked_for(instruction, things):
    """Place among the scores: a count, whether there is any, all boxes of a kind, the class of a
    group, whether something labelled is there, the one of a kind that is meant, or something else;
    that too where the vision network did not learn from the set what such objects look like.
    things: `Things`."""
    none, kinds = things.size - 1, len(KINDS)
    first = things.first_choice - len(things.groups) - len(things.labels)
    name = subject(instruction)
    if len(instruction.images) != 1:
        return none
    if instruction.kind == "class" and instruction.set in PLAN:
        group = PLAN[instruction.set].group
        return first + things.groups.index(group) if group in things.groups else none
    if instruction.set == LABELLED_BY and instruction.kind == "presence" and name in things.labels:
        return first + len(things.groups) + things.labels.index(name)
    place = SUBJECTS.get(name)
    if instruction.kind.startswith(ONE_OF) and instruction.set in LABELLED:
        kind, order = NEAR.get(name, place), order_of(instruction)
        if kind is None or kind == ALL or order is None:
            return none
        return things.first_choice + ORDERS.index(order) * kinds + kind
    if place is None or instruction.set not in LABELLED:
        return none
    if instruction.kind in COUNTS:
        return place
    if instruction.kind in LISTS and place < ALL:
        return 2 * (kinds + 1) + place
    return kinds + 1 + place if instruction.kind in PRESENCES else none
