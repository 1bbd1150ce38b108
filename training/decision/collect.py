"""Ask both models what neither has learnt, and keep what every tap knew.

    python -m training.decision.collect --data DIR --compact FOLDER --regular FOLDER \
        [--split held] [--per-kind 400] [--limit N] [--minutes M] [--part I/N] \
        [--out build/decision]

Each model has a journal of its own, named by what its answers hang on (`answers_digest`): a stopped
run goes on, changed weights begin anew, a new calibration or new heads change nothing. `--which`
asks one model only, on another machine, say; ``--part 1/2`` and ``--part 2/2`` share the questions
of a journal between two processes. Answers come through the runtime that flies. Needs no
torch.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.infer import ImageInput, overview_of, sizes_of
from eo_nodes.lvlm.journal import Journal, Part
from eo_nodes.lvlm.lengths import COMPACT_TOKENS, REGULAR_TOKENS, TAP2_TOKENS
from eo_nodes.lvlm.manifest import answers_digest
from eo_nodes.lvlm.tap_features import FACTS, PROMPT_SIZE, ShowsEvidence, features_of
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_pictures import pictures_of_images
from eo_nodes.lvlm.visual_prompts import compose
from training.decision.questions import HELD, Question, open_split, quality, questions

SIZES = ("compact", "regular")
_HEAD = len(FACTS)


def start(model: Any, images: Sequence[ImageInput], prompt: str, most: int) -> Any:
    """A session at tap 1, of either family. Raises EoError."""
    if isinstance(model, UnifiedModel):
        sizes = [(w, h) for h, w in sizes_of(images)]
        words, places = compose(prompt, (), sizes)
        return model.begin(pictures_of_images(images), words, places, most, None)
    views = [overview_of(np.concatenate([i.values for i in images]) if len(images) > 1
                         else images[0].values, images[0].bands, images[0].modality)]
    return model.start(views, prompt, max_tokens=most)


def taps_of(session: Any, prompt: str) -> dict:
    """Decode to the end; features, tokens and multiply-accumulates at each of the three taps."""
    evidence = session.evidence if isinstance(session, ShowsEvidence) else np.zeros(0, np.float32)
    found, tokens, macs, seconds = [], [], [], []
    begun = time.perf_counter()
    is_finished = []
    for steps in (0, TAP2_TOKENS, None):
        if steps is None:
            while not session.is_finished:
                session.decode(16)
        else:
            session.decode(steps)
        state = session.tap()
        found.append(features_of(state, prompt, session.text, evidence))
        tokens.append(int(state.tokens))
        macs.append(int(session.macs))
        seconds.append(round(time.perf_counter() - begun, 4))
        is_finished.append(bool(session.is_finished))
    behind = _HEAD + PROMPT_SIZE + len(evidence)
    return {
        "tokens": tokens, "macs": macs, "seconds": seconds, "has_tap2": not is_finished[1],
        "seen": packed(found[0][_HEAD:behind]), "evidence": len(evidence),
        "taps": [packed(np.concatenate([f[:_HEAD], f[behind:]])) for f in found],
    }


def packed(values: np.ndarray) -> str:
    """Base64 of float16."""
    return base64.b64encode(np.clip(values, -6e4, 6e4).astype("<f2").tobytes()).decode("ascii")


def unpacked(text: str) -> np.ndarray:
    """Inverse of `packed`, as float32."""
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)


def ask(model: Any, question: Question, with_taps: bool) -> dict:
    """Record of one question; a refusal is a wrong answer and says why."""
    # As long as in flight, whatever is asked: longer lists of boxes are cut there too.
    prompt, most = question.ask.prompt, COMPACT_TOKENS if with_taps else REGULAR_TOKENS
    row = {"key": question.key, "kind": question.kind, "task": question.cell.task,
           "set": question.sample.set_name, "modality": question.cell.modality,
           "scene": question.scene, "prompt": prompt}
    begun = time.perf_counter()
    try:
        session = start(model, question.sample.images, prompt, most)
        prefill = time.perf_counter() - begun
        if with_taps:
            row |= taps_of(session, prompt)
        else:
            session.decode(most)
            row |= {"tokens": [int(session.tap().tokens)], "macs": [int(session.macs)]}
        row |= {"text": session.text, "quality": quality(question, session.text), "error": ""}
    except EoError as fault:
        return row | {"text": "", "quality": 0.0, "error": str(fault)}
    return row | {"prefill_s": round(prefill, 4), "all_s": round(time.perf_counter() - begun, 4)}


def journal_of(out: Path, split: str, which: str, digest: str) -> Path:
    """Where the rows of a model lie."""
    return out / split / f"{which}-{digest[:16]}.jsonl"


def collect(
    folder: Path, which: str, asked: Sequence[Question], out: Path, split: str, *,
    until: float = float("inf"), say: Callable[[str], None] = print,
) -> Path:
    """Ask one model all questions that its journal lacks; returns the journal's path."""
    model = load_model(folder, threads=1)
    path = journal_of(out, split, which, answers_digest(folder))
    with Journal(path) as journal:
        known = {row["key"]: row["prompt"] for row in journal}
        for number, question in enumerate(asked, 1):
            if known.get(question.key) != question.ask.prompt:
                if time.monotonic() > until:
                    say(f"{which}: time is up at {number - 1} of {len(asked)}")
                    break
                journal.append(ask(model, question, which == "compact"))
            if number % 100 == 0:
                say(f"{which}: {number} of {len(asked)}")
    return path


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--compact", type=Path, required=True)
    p.add_argument("--regular", type=Path, required=True)
    p.add_argument("--which", choices=(*SIZES, "both"), default="both")
    p.add_argument("--split", default=HELD, help="held, val or test")
    p.add_argument("--per-kind", type=int, default=400, help="questions of each row of the table")
    p.add_argument("--limit", type=int, default=0, help="questions in all; 0: no limit")
    p.add_argument("--minutes", type=float, default=0.0, help="for each model; 0: no limit")
    p.add_argument("--part", type=Part.read, default=Part(), metavar="I/N",
                   help="ask every N-th question from the I-th on")
    p.add_argument("--out", type=Path, default=Path("build/decision"))
    a = p.parse_args()
    library, split = open_split(a.data, a.split)
    per_kind = min(a.per_kind, a.limit) if a.limit else a.per_kind
    asked = a.part.of(questions(library, split, per_kind)[: a.limit or None])
    print(f"{len(asked)} questions of {len({q.kind for q in asked})} kinds", flush=True)
    for which in SIZES if a.which == "both" else (a.which,):
        until = time.monotonic() + 60 * a.minutes if a.minutes else float("inf")
        path = collect(getattr(a, which), which, asked, a.out, a.split, until=until,
                       say=lambda text: print(text, flush=True))
        print(path)


if __name__ == "__main__":
    main()
