"""Count what the builder makes: python -m training.instruct.counts --data DIR

One line a set and task: samples, questions, and how far answers can be guessed without looking:
the share of "yes" among yes/no answers (50 is balanced) and how often a guesser is right that
answers each wording with its commonest answer.
"""

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from training.instruct.builder import library, stream
from training.instruct.records import Instruction

_NUMBER = re.compile(r"<[^>]*>|\b\d+\b")
# answers of these kinds are places or sentences: guessing has no meaning
FREE = {"caption", "inventory", "labels", "detect", "detect_count", "detect_all",
        "detect_oriented", "expression", "larger", "polygon", "point", "box", "track",
        "oriented", "new_boxes"}


@dataclass(slots=True)
class Tally:
    """Counts of one set and task. by_wording: answers of each wording, numbers taken out."""

    samples: set[str] = field(default_factory=set)
    questions: int = 0
    kinds: Counter = field(default_factory=Counter)
    yes: int = 0
    no: int = 0
    by_wording: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, i: Instruction) -> None:
        self.samples.add(f"{i.images[0].set}/{i.images[0].id}")
        self.questions += 1
        self.kinds[i.kind] += 1
        self.yes += i.answer == "yes"
        self.no += i.answer == "no"
        if not (i.kind.startswith("box_") or i.kind in FREE or "<seg>" in i.answer):
            self.by_wording[_NUMBER.sub("#", i.prompt)][i.answer] += 1

    @property
    def yes_share(self) -> float | None:
        """Percent of yes among yes/no answers."""
        return 100 * self.yes / (self.yes + self.no) if self.yes + self.no else None

    @property
    def blind(self) -> float | None:
        """Percent right by answering each wording with its commonest answer. Optimistic for the
        guesser where wordings are rarer than answers: wordings asked once count as half."""
        often = [c for c in self.by_wording.values() if c.total() >= 8]
        if not often:
            return None
        return 100 * sum(max(c.values()) for c in often) / sum(c.total() for c in often)


def tally(instructions: Iterable[Instruction]) -> dict[tuple[str, str], Tally]:
    """Counts by (set, task)."""
    out: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for i in instructions:
        out[i.set, i.task].add(i)
    return dict(sorted(out.items()))


def _percent(v: float | None) -> str:
    return "-" if v is None else f"{v:.0f}"


def table(counts: dict[tuple[str, str], Tally]) -> str:
    """Markdown table."""
    lines = ["| set | task | samples | questions | yes % | blind % | kinds |",
             "|---|---|---:|---:|---:|---:|---|"]
    for (name, task), t in counts.items():
        kinds = ", ".join(f"{k} {n}" for k, n in t.kinds.most_common())
        lines.append(f"| {name} | {task} | {len(t.samples)} | {t.questions} | "
                     f"{_percent(t.yes_share)} | {_percent(t.blind)} | {kinds} |")
    total = sum(t.questions for t in counts.values())
    return "\n".join([*lines, f"| all | | | {total} | | | |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of packed sets")
    parser.add_argument("--split", default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", type=int, default=500, help="scenes of the procedural world")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    a = parser.parse_args()
    lib = library(a.data)
    text = table(tally(stream(a.data, a.split, a.seed, 0, world=a.world)))
    text = f"Split {a.split}, seed {a.seed}, epoch 0, {len(lib.names)} sets.\n\n{text}"
    print(text)
    if a.out:
        a.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
