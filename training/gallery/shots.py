"""One picture of the gallery: images, what is asked, what is true, and how an answer is judged."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm.infer import ImageInput, answer
from training.evaluation.exams import Exam
from training.evaluation.sets import draw
from training.gallery.judge import is_right
from training.instruct.builder import instructions_of
from training.instruct.world.stream import stream as world_stream

WORLD, SCENES = "world", 80
MAX_TOKENS = 256
NOT_JUDGED = (("caption", "caption"), ("caption", "inventory"), ("caption", "labels"),
              ("change", "caption"), ("temporal", "caption"))


@dataclass(frozen=True, slots=True)
class Shot:
    """One question.

    Attributes:
        images, prompt: as asked; prompt holds its visual prompts in spatial form.
        truth: as the label says it.
        judge: answer -> right, wrong or None (has no single truth).
        mask: (H, W) of what ``<seg>`` in the truth stands for. zooms: as of ``infer.answer``.
        say: asks in its own way instead: model -> (text, right or not).
        extra: more to look at: model -> pictures (h, w, 3).
        remark: what is special about it.
    """

    images: tuple[ImageInput, ...]
    prompt: str
    truth: str
    judge: Callable[[str], bool | None]
    mask: np.ndarray | None = None
    zooms: int = 0
    say: Callable[[object], tuple[str, bool | None]] | None = None
    extra: Callable[[object], list[np.ndarray]] | None = None
    remark: str = ""


class Pool:
    """Questions of the builder on the chips of a folder and on the procedural world.

    They are drawn by a hash of their name, whatever a model says to them.
    """

    def __init__(self, library):
        self.library, self._made, self._used = library, {}, set()

    def _of(self, name):
        if name not in self._made:
            made = world_stream("test", 0, 0, SCENES, shuffled=False) if name == WORLD else (
                instructions_of(self.library, name, "test", 0, 0, augment=False))
            self._made[name] = sorted(made, key=lambda i: draw(f"gallery:{i.id}"))
        return self._made[name]

    def find(self, name, task, kind, many=1, where=lambda i: True):
        """The first instructions of a set that fit and were not shown yet."""
        found = []
        for i in self._of(name):
            if (i.task, i.kind) == (task, kind) and i.id not in self._used and where(i):
                self._used.add(i.id)
                found.append(i)
                if len(found) == many:
                    break
        return found

    def pair(self, name, first, second, task="count"):
        """Two instructions that differ in nothing but a region."""
        for i in self._of(name):
            if (i.task, i.kind) == (task, first) and i.targets.pair:
                other = next((j for j in self._of(name) if j.kind == second
                              and j.targets.pair == i.targets.pair), None)
                if other is not None:
                    return [i, other]
        return []

    def shots(self, name, task, kind, many=1, where=lambda i: True, **changes):
        """`find` as shots."""
        return [replace(self.shot(i), **changes) for i in self.find(name, task, kind, many, where)]

    def shot(self, instruction):
        """An instruction as a shot."""
        exam = Exam(instruction, self.library)
        images = exam.images
        size = images[0].values.shape[1:3]
        mask = exam.mask if "<seg" in instruction.answer else None
        judged = (instruction.task, instruction.kind) not in NOT_JUDGED
        return Shot(images, instruction.prompt, instruction.answer,
                    lambda said: is_right(said, instruction.answer, size, mask, judged), mask)


def answer_of(model, shot, clock_ns):
    """(text, right or None, reason of a refusal) of one model to a shot."""
    try:
        if shot.say is not None:
            return *shot.say(model), ""
        said = answer(model, shot.images, shot.prompt, clock_ns=clock_ns, max_tokens=MAX_TOKENS,
                      zooms=shot.zooms)
    except EoError as fault:
        return "", None, str(fault)
    return said.answer, shot.judge(said.answer), ""
