"""Fit what a model folder takes from val: lists that are told, temperature, confidence.

    python -m training.decoder.calibrate --data DIR --model FOLDER [--per-score 12]

First which boxes the vision graph tells (`listing`, `choosing`). Then temperature and the
confidence of the three stages: real sets only, the same number of questions of each row of the
evaluation's table that has a right and a wrong: answers in words, numbers (right within a tenth),
areas (IoU at least one half). Folds are whole scenes. Needs no torch; the folder is sealed anew.
"""

import argparse
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from eo_nodes.lvlm.golden import golden_entry
from eo_nodes.lvlm.infer import sizes_of
from eo_nodes.lvlm.lengths import TAP2_TOKENS
from eo_nodes.lvlm.manifest import read_manifest, seal
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_config import read_unified
from eo_nodes.lvlm.unified_pictures import pictures_of_images
from eo_nodes.lvlm.visual_prompts import compose
from training.confidence import TEMPERATURES, best_temperature, features, fit_stage
from training.decoder import choosing, listing
from training.evaluation import cells, exams, metrics
from training.evaluation.sets import draw, open_library

STAGES = (1, 2, 3)
LONGEST = 40               # tokens, as the nodes allow
NEAR = 0.1                 # of a number, relative
FOLDS = 5
FEWEST = 60                # rows of a stage; with fewer its fit takes complete answers as well
JUDGED = (metrics.ACCURACY, metrics.MAE, metrics.IOU)


def is_right(score, ask, text):
    """Whether one answer is right in the sense of the module's head."""
    vector = score.vectors([ask], [text])[0]
    if score.metric is metrics.MAE:
        return bool(vector[0] <= NEAR * abs(float(ask.truth)))
    return bool(score.metric.value(vector) >= 50)


def questions(library, per_score):
    """Yield (sample, ask, score, longest answer) of val, drawn with a seed."""
    pines = library.meta("indian_pines")["classes"] if "indian_pines" in library.names else []
    for cell in [*cells.table(pines), *exams.table()]:
        judged = [s for s in cell.scores if s.metric in JUDGED]
        if not judged or cell.set_name not in library.names:
            continue
        found = {s.tag: [] for s in judged}
        for sample in sorted(cell.samples(library, "val", per_score), key=lambda s: draw(s.id)):
            if all(len(rows) >= 4 * per_score for rows in found.values()):
                break
            for ask in cell.ask(sample):
                for score in judged:
                    if score.tag in ("", ask.tag):
                        found[score.tag].append((sample, ask, score))
                        break
        for tag in found:
            rows = sorted(found[tag], key=lambda r: draw(f"{cell.name}:{r[1].key}"))[:per_score]
            yield from ((*row, min(cell.max_tokens, LONGEST)) for row in rows)


def watch(session):
    """Decode to the end; returns ({stage: features}, mean log-probability per temperature).

    Stage 2 is missing where the answer was complete before.
    """
    rows, sums, steps = {1: features(session.tap())}, np.zeros(len(TEMPERATURES)), 0
    while not session.is_finished:
        sums += [session._log_softmax(t).max() for t in TEMPERATURES]
        session.decode(1)
        steps += 1
        if steps == TAP2_TOKENS and not session.is_finished:
            rows[2] = features(session.tap())
    rows[3] = features(session.tap())
    return rows, sums / max(1, steps)


def collect(model, library, per_score, say=print):
    """{stage: (features (N, 5), right (N,), fold (N,))}, tempered (N, T), right (N,)."""
    rows, tempered, right = {s: [] for s in STAGES}, [], []
    for sample, ask, score, longest in questions(library, per_score):
        images = sample.images
        sizes = [(w, h) for h, w in sizes_of(images)]
        prompt, places = compose(ask.prompt, (), sizes)
        session = model.begin(pictures_of_images(images), prompt, places, longest, None)
        seen, mean = watch(session)
        is_good = is_right(score, ask, session.text)
        fold = zlib.crc32(f"{sample.set_name}/{sample.cluster}".encode()) % FOLDS
        for stage in STAGES:
            # Too few answers outlast the second tap to leave the others out (see `by_stage`).
            row = seen.get(stage, seen[3])
            rows[stage].append((row, is_good, fold, stage in seen))
        tempered.append(mean)
        right.append(float(is_good))
        if len(right) % 50 == 0:
            say(f"{len(right)} questions, {np.mean(right):.3f} right", flush=True)
    return {s: by_stage(r) for s, r in rows.items()}, np.array(tempered), np.array(right)


def by_stage(rows):
    """Arrays of a stage: of what stood there, or of all where that is too little to fit."""
    own = [r for r in rows if r[3]]
    chosen = own if len(own) >= FEWEST else rows
    return (np.array([r[0] for r in chosen]), np.array([float(r[1]) for r in chosen]),
            np.array([r[2] for r in chosen]))


def write(folder, stages, temperature, config=None):
    """Put the fit into a folder and seal it anew; config: its `UnifiedConfig`, None as it is."""
    old = read_manifest(folder)
    path = folder / "calibration.json"
    held = json.loads(path.read_text()) | {"stages": stages}
    path.write_text(json.dumps(held, indent=1) + "\n")
    config = replace(config or read_unified(folder), temperature=round(temperature, 3))
    (folder / "config.json").write_text(json.dumps(config.as_json(), indent=1) + "\n")
    model = UnifiedModel(folder, "", RuntimeOptions())
    golden = golden_entry(model, old.golden["prompt"], old.golden["max_tokens"])
    return seal(folder, old.family, old.id, list(old.files), golden, old.bands)


def calibrate(folder, data, per_score, threads=1, say=print, per_list=listing.MOST,
              per_choice=choosing.MOST):
    """Fit and write; returns the stages."""
    model = UnifiedModel(folder, "", RuntimeOptions(threads=threads))
    model.config = replace(model.config, listing=(), choosing=())
    told = {"listing": listing.fit(model, data, per_list, say),
            "choosing": choosing.fit(model, data, per_choice, say)}
    model.config = replace(model.config, **told)
    rows, tempered, right = collect(model, open_library(data), per_score, say)
    stages = {str(s): fit_stage(*rows[s]) for s in STAGES}
    temperature = best_temperature(tempered, right)
    write(folder, stages, temperature, model.config)
    say(f"{len(right)} val questions, {right.mean():.3f} right, temperature {temperature:.2f}")
    for stage, fit in stages.items():
        say(f"stage {stage}: n {fit['n']}, ECE {fit['ece']}, AUROC {fit['auroc']}, answer above "
            f"{fit['answer_above']}, offload below {fit['offload_below']}", flush=True)
    return stages


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--per-score", type=int, default=12, help="questions of each row of the table")
    p.add_argument("--per-list", type=int, default=listing.MOST,
                   help="questions of each set and kind where all boxes are asked for")
    p.add_argument("--per-choice", type=int, default=choosing.MOST,
                   help="questions of each set and order in which one object is meant")
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    calibrate(a.model, a.data, a.per_score, a.threads, per_list=a.per_list,
              per_choice=a.per_choice)


if __name__ == "__main__":
    main()
