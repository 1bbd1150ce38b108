"""Stage 6: score a model folder on the held-out test split, beside the same model blind.

    python -m training.evaluate --data DIR --model models/compact [--json FILE] [--most N]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from eo_nodes.lvlm.model import load_model
from training.questions import exam
from training.samples import SETS, load
from training.scoring import Blind, Sighted, bleu4, cider, score, sit, thin, wilson

# From the data page: probe on hand-made features, per cent; counts: mean absolute error.
PROBES = {"eurosat_rgb.class": 84.3, "eurosat_ms.class": 60.2, "aid_rsicd.class": 63.4,
          "mstar.class": 66.3, "ucm_multilabel.class": 56.4}
ERROR_PROBES = {"hit_uav.count_vehicle": 3.26, "hit_uav.count_person": 5.41,
                "objects_rgb.count_aircraft": 4.60}
MOST = {"is_class": 300, "presence": 900}


def answers(model, pairs):
    out = [""] * len(pairs)
    for i, session in sit(model, pairs):
        session.decode(24)
        out[i] = session.text
    return out


def captions(model, pairs):
    """CIDEr and BLEU-4 of the captions of one list."""
    said, told = answers(model, pairs), [s.facts["captions"] for s, _ in pairs]
    return {"n": len(pairs), "cider": round(cider(said, told), 3),
            "bleu4": round(bleu4(said, told), 1), "different": len(set(said))}


def rows(model, data, split, most, most_blind):
    """One dictionary a task, yielded as it is scored."""
    for name in SETS:
        for task, pairs in exam(load(data, name, split)).items():
            if task == "caption":
                pairs = thin(pairs, most)
                yield {"task": f"{name}.caption", **captions(Sighted(model), pairs),
                       "blind_cider": captions(Blind(model), thin(pairs, most_blind))["cider"]}
                continue
            pairs = thin(pairs, min(most, MOST.get(task, most)))
            seen = score(pairs, answers(Sighted(model), pairs))
            few = thin(pairs, most_blind)
            blind = score(few, answers(Blind(model), few))
            low, high = wilson(seen.right, seen.n)
            key = f"{name}.{task}"
            row = {"task": key, "n": seen.n, "percent": round(seen.percent, 1),
                   "low": round(low, 1), "high": round(high, 1),
                   "blind": round(blind.percent, 1), "n_blind": blind.n,
                   "probe": PROBES.get(key)}
            if seen.error is not None:
                row |= {"error": round(seen.error, 2), "blind_error": round(blind.error, 2),
                        "probe_error": ERROR_PROBES.get(key)}
            yield row


def summary(table):
    """Mean over tasks that have a percentage, sighted and blind."""
    scored = [r for r in table if "percent" in r]
    return {"tasks": len(scored), "n": sum(r["n"] for r in scored),
            "percent": round(float(np.mean([r["percent"] for r in scored])), 1),
            "blind": round(float(np.mean([r["blind"] for r in scored])), 1)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--split", default="test")
    p.add_argument("--json", type=Path)
    p.add_argument("--most", type=int, default=1500, help="answers a task, drawn with a seed")
    p.add_argument("--most-blind", type=int, default=300)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    start, table = time.monotonic(), []
    model = load_model(a.model, threads=a.threads)
    for row in rows(model, a.data, a.split, a.most, a.most_blind):
        table.append(row)
        print(row, flush=True)
    result = {"model": a.model.name, "split": a.split, "rows": table, "summary": summary(table),
              "seconds": round(time.monotonic() - start)}
    print(result["summary"], result["seconds"], "s")
    if a.json:
        a.json.parent.mkdir(parents=True, exist_ok=True)
        a.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
