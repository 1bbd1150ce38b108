"""Write models/NAME/card.md from the evaluation's JSON, the calibration and the training record.

    python -m training.card --model models/compact --scores training/checkpoints/compact/test.json
"""

import argparse
import json
from pathlib import Path

from training import schedule
from training.recipe import RECIPES

TRUNKS = {"lite0": "EfficientNet-Lite0", "lite2": "EfficientNet-Lite2"}

TEXT = """# {id}: card

A captioner and question answerer for satellite and aerial pictures, trained here from pretrained
parts. Pictures of up to {input_size} px a side (small ones enlarged at most {upscale} times);
{trunk} trunk, {layers} causal layers started from MiniLM-L6, {vocabulary} word pieces.
Weights are stored as int8 with a scale per channel; computing is in float32. {size:.1f} MB on disk.

## What ran

| stage | minutes | optimiser steps |
|---|---:|---:|
| trunk: classes, labels, caption words, objects per cell | {trunk_minutes:.1f} | {trunk_steps} |
| projector, language layers, relevance head | {language_minutes:.1f} | {language_steps} |

A trunk step sees 48 pictures, a language step the cached grids of up to 32, four questions each.
On a shared machine with two CPU cores, no accelerator, seed 0. The budget is wall-clock time, so
another machine will not reproduce these exact weights.{remark}

## Data and licences

Training: train splits of eurosat_rgb (and its extra pictures), eurosat_ms, aid_rsicd,
ucm_multilabel, objects_rgb, rsvqa_lr, rsvqa_hr, mstar, flood_s1, hit_uav, change_pairs. 30 % of
every set, chosen by a hash of its id, was left out for routing heads to come. Choices and
calibration on val; the test split was scored once for this table.

Licences of the data: EuroSAT MIT (Copernicus Sentinel-2), HIT-UAV CC BY 4.0; AID/RSICD, UC Merced
multi-label, RSVQA samples, Sen1Floods11 sample, change pairs, HRPlanes/SIMD/Minsk: no or mixed
statements, research samples; MSTAR: US public release. Research use only therefore.
Pretrained parts: EfficientNet-Lite and all-MiniLM-L6-v2, both Apache-2.0.

## Scores on the test split

Exact answers in per cent, 95 % Wilson interval (optimistic where pictures hang together: flood_s1
is 3 chips, change_pairs 15 scenes, rsvqa 15 pictures a set, hit_uav frames of few flights).
*Blind*: the same model and questions, every picture replaced by a grey one (up to {blind_n}
questions a task). Yes/no, day/night and change questions are balanced (half yes, half no), so
always giving one answer scores 50; rsvqa is balanced per wording, which leaves few questions.
*Probe*: logistic or ridge regression on hand-made features, from the data page.

| set and task | n | model % | 95 % | blind % | probe % |
|---|---:|---:|---|---:|---:|
{rows}

Mean over the {tasks} tasks ({n} answers): **{percent} %**, blind {blind} %.

| counts: mean absolute error | n | model | blind | probe |
|---|---:|---:|---:|---:|
{counts}

Captions, aid_rsicd, {cap_n} pictures, five references: CIDEr {cider}, BLEU-4 {bleu4}, {different}
different sentences; blind CIDEr {blind_cider}. For comparison: one constant caption 0.55 and 15.8,
nearest training picture 0.99 and 18.1, commonest caption of the probe's class 1.54 and 27.4.

## Calibration (val, {cal_n} answers; ECE cross-fitted)

| tap | ECE | answer above | offload below |
|---|---:|---:|---:|
{stages}

Answers above the first threshold were at least 85 % right on val, those below the second at most
50 %. Temperature of `confidence`: {temperature}.

## Limits

English prompts near those of `training/questions.py`; other wordings work less well. Counts above
about ten are guesses. Multispectral pictures are seen as two composites, not as 13 bands.
Relevance is trained on boxes (aircraft, vehicles, people), water and change masks only; for scene
questions it is taught to be high everywhere.{limits}
"""


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--scores", type=Path, required=True)
    p.add_argument("--remark", default="")
    p.add_argument("--limits", default="")
    a = p.parse_args()
    config = json.loads((a.model / "config.json").read_text())
    stages = json.loads((a.model / "calibration.json").read_text())["stages"]
    scores = json.loads(a.scores.read_text())
    recipe = RECIPES[config["id"]]
    trunk, language = (schedule.restore(recipe.folder / f"{n}.pt") for n in ("trunk", "language"))
    table = [r for r in scores["rows"] if "percent" in r]
    lines = [f"| {r['task']} | {r['n']} | {r['percent']} | {r['low']} to {r['high']} | "
             f"{r['blind']} | {r['probe'] or '-'} |" for r in table]
    counts = [f"| {r['task']} | {r['n']} | {r['error']} | {r['blind_error']} | "
              f"{r['probe_error'] or '-'} |" for r in table if "error" in r]
    taps = [f"| {k} | {v['ece']} | {v['answer_above']} | {v['offload_below']} |"
            for k, v in stages.items()]
    nothing = dict.fromkeys(("n", "cider", "bleu4", "different", "blind_cider"), "not scored")
    caption = next((r for r in scores["rows"] if "cider" in r), nothing)
    size = sum(f.stat().st_size for f in a.model.iterdir() if f.suffix != ".md") / 1e6
    text = TEXT.format(
        **config, trunk=TRUNKS[recipe.trunk], size=size, rows="\n".join(lines),
        counts="\n".join(counts), stages="\n".join(taps), cal_n=stages["3"]["n"],
        blind_n=max(r["n_blind"] for r in table), tasks=scores["summary"]["tasks"],
        n=scores["summary"]["n"], percent=scores["summary"]["percent"],
        blind=scores["summary"]["blind"], cap_n=caption["n"], cider=caption["cider"],
        bleu4=caption["bleu4"], different=caption["different"],
        blind_cider=caption["blind_cider"], trunk_minutes=trunk["spent_s"] / 60,
        trunk_steps=trunk["steps"], language_minutes=language["spent_s"] / 60,
        language_steps=language["steps"], remark=a.remark, limits=a.limits)
    (a.model / "card.md").write_text(text)


if __name__ == "__main__":
    main()
