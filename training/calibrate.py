"""Stage 5: fit temperature and the per-tap logistic regressions on the val split.

    python -m training.calibrate --data DIR --model models/compact
"""

import argparse
import json
from pathlib import Path

import numpy as np

from eo_nodes.lvlm.model import LvlmModel
from training.confidence import TEMPERATURES, best_temperature, features, fit_stage
from training.export import write_manifest
from training.questions import exam
from training.samples import SETS, load
from training.scoring import Sighted, sit, thin

STAGES = {1: 0, 2: 2, 3: 24}          # stage -> tokens decoded when the tap is taken


def collect(model, data, per_task):
    """Rows of tap features per stage, mean log-probability per temperature, right or not."""
    rows, tempered, right, sighted = {s: [] for s in STAGES}, [], [], Sighted(model)
    for name in SETS:
        for task, pairs in exam(load(data, name, "val")).items():
            if task == "caption":
                continue
            pairs = thin(pairs, per_task)
            for i, session in sit(sighted, pairs):
                sums = np.zeros(len(TEMPERATURES))
                steps = 0
                rows[1].append(features(session.tap()))
                while not session.is_finished:
                    ranked = [session._log_softmax(t).max() for t in TEMPERATURES]
                    session.decode(1)
                    sums += ranked
                    steps += 1
                    if steps == STAGES[2]:
                        rows[2].append(features(session.tap()))
                if steps < STAGES[2]:
                    rows[2].append(features(session.tap()))
                rows[3].append(features(session.tap()))
                tempered.append(sums / steps)
                right.append(session.text == pairs[i][1].answer)
    return ({s: np.array(v) for s, v in rows.items()}, np.array(tempered),
            np.array(right, dtype=float))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--per-task", type=int, default=150, help="answers a task, drawn with a seed")
    a = p.parse_args()
    model = LvlmModel(a.model, "", threads=1, providers=["CPUExecutionProvider"])
    rows, tempered, right = collect(model, a.data, a.per_task)
    temperature = best_temperature(tempered, right)
    mix = np.random.default_rng(0).permutation(len(right))
    fold = np.arange(len(right)) % 5
    stages = {str(k): fit_stage(x[mix], right[mix], fold) for k, x in rows.items()}
    (a.model / "calibration.json").write_text(json.dumps({"stages": stages}, indent=1) + "\n")
    config = json.loads((a.model / "config.json").read_text())
    config["temperature"] = round(temperature, 3)
    (a.model / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    write_manifest(a.model, config["id"])
    print("right", right.mean(), "temperature", config["temperature"],
          json.dumps(stages))


if __name__ == "__main__":
    main()
