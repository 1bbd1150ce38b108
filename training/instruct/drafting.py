"""How task modules write instructions: context of one set, balance of answers, wordings.

Yes/no questions are balanced by construction: for each group (set and object) as many of the
rarer answer as there are are kept of the other, and both lists run through the wordings in step,
so no wording and no object tells the answer. Counts are thinned where one number is too frequent.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from training.instruct.records import ImageRef, Instruction, MaskRef, Targets
from training.instruct.sources import SETS, Library, Sample
from training.instruct.views import Thing, View, random_window

MOST_BOXES = 12        # a longer list of boxes is not asked for in words


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question that could be asked: its true answer and how to write it with a wording."""

    answer: Any
    write: Callable[[str], Instruction]


@dataclass(slots=True)
class Balance:
    """Random choices of one set in one epoch; thinning of what is asked.

    balanced: thin yes/no and counts; False asks of every sample (exams by natural frequency).
    """

    name: str
    split: str
    seed: int
    epoch: int
    balanced: bool = True

    def rng(self, *parts: object) -> random.Random:
        """A generator of its own for each part, the same in every run."""
        return random.Random(":".join(map(str, (self.seed, self.epoch, self.name, *parts))))

    def yes_no(self, group: str, candidates: Sequence[Candidate],
               wordings: Sequence[str]) -> Iterator[Instruction]:
        """Write yes/no candidates (answer True or False), balanced as the module says."""
        rng = self.rng("yes_no", group)
        if not self.balanced:
            for c in candidates:
                yield replace(c.write(rng.choice(wordings)), group=group)
            return
        yes = [c for c in candidates if c.answer]
        no = [c for c in candidates if not c.answer]
        rng.shuffle(yes)
        rng.shuffle(no)
        first = rng.randrange(len(wordings))
        for i, pair in enumerate(zip(yes, no, strict=False)):
            for c in pair:
                yield replace(c.write(wordings[(first + i) % len(wordings)]), group=group)

    def capped(self, group: str, candidates: Sequence[Candidate], wordings: Sequence[str],
               share: float = 0.4) -> Iterator[Instruction]:
        """Write candidates; the commonest answer makes up at most `share` of them."""
        rng = self.rng("capped", group)
        counts = Counter(c.answer for c in candidates)
        if not counts:
            return
        common, many = counts.most_common(1)[0]
        most = math.ceil((len(candidates) - many) * share / (1 - share))
        if self.balanced and 0 < most < many:
            chosen = rng.sample([c for c in candidates if c.answer == common], most)
            candidates = [c for c in candidates if c.answer != common or c in chosen]
        for c in candidates:
            yield replace(c.write(rng.choice(wordings)), group=group)

    def flat(self, group: str, candidates: Sequence[Candidate], wordings: Sequence[str],
             slack: float = 1.5) -> Iterator[Instruction]:
        """Write candidates so that no answer is asked for more than `slack` times the mean."""
        rng = self.rng("flat", group)
        by_answer = defaultdict(list)
        for c in candidates:
            by_answer[c.answer].append(c)
        most = math.ceil(slack * len(candidates) / max(1, len(by_answer)))
        for answer in sorted(by_answer):
            chosen = by_answer[answer]
            if self.balanced and len(chosen) > most:
                chosen = rng.sample(chosen, most)
            for c in chosen:
                yield replace(c.write(rng.choice(wordings)), group=group)


@dataclass(slots=True)
class Context(Balance):
    """One set and split in one epoch, as task modules see it.

    augment: turn and cut samples (training); False shows them whole.
    """

    library: Library = field(kw_only=True)
    samples: Sequence[Sample] = field(kw_only=True)
    augment: bool = field(kw_only=True, default=True)
    _views: list[View] = field(default_factory=list, init=False)

    @property
    def views(self) -> list[View]:
        """Each sample once, whole; turned at random when augmenting."""
        if not self._views:
            self._views = [View(self.library, s, None, self.turn(s)) for s in self.samples]
        return self._views

    def turn(self, sample: Sample) -> int:
        if not self.augment:
            return 0
        return self.rng("turn", sample.id).choice(SETS[self.name].turns)

    def windowed(self, view: View, rng: random.Random, share: float = 0.5) -> View:
        """The view, or when augmenting with chance `share` a random window of it."""
        if self.augment and rng.random() < share:
            return view.with_window(random_window(view, rng))
        return view

    def write(self, view: View, task: str, kind: str, prompt: str, answer: str, *,
              images: tuple[ImageRef, ...] = (), modality: str = "",
              things: Iterable[Thing] | None = None, mask: MaskRef | None = None,
              references: Iterable[str] = (), tag: str = "", pair: str = "", focus: str = "",
              group: str = "") -> Instruction:
        """An instruction on a view; image and bands are the view's unless `images` are given."""
        images = images or (view.ref(),)
        found = view.things() if things is None else things
        found = [t for t in found if t.kind]
        targets = Targets(
            boxes=tuple((0, *t.box) for t in found),
            labels=tuple(t.kind for t in found), mask=mask, references=tuple(references),
            scene=f"{self.name}/{view.sample.scene}", pair=pair)
        name = f"{view.key}:{task}.{kind}" + (f".{tag}" if tag else "")
        if self.split in ("train", "extra"):
            name += f"@{self.epoch}"
        return Instruction(
            id=name, set=self.name, split=self.split, task=task, kind=kind, images=images,
            modality=modality or SETS[self.name].modality,
            bands=tuple(self.bands_of(i) for i in images), prompt=prompt, answer=answer,
            targets=targets, focus=focus, group=group or f"{self.name}/{kind}")

    def bands_of(self, image: ImageRef) -> tuple[str, ...]:
        s = self.library.sample(image.set, image.id)
        return s.bands2 if image.member == "image2" else s.bands


def yes(truth: bool) -> str:
    return "yes" if truth else "no"
