"""A seeded, made-up trace for tests of the study. Nothing in it is a measurement or a result."""

import numpy as np

from eo_sim.study.limits import graph_limits
from eo_sim.study.trace import COLUMNS, Level, Trace, check

LEVELS = (
    Level("raw", "raw"), Level("lossless", "lossless"), Level("lossy", "lossy"),
    Level("regions_1_5", "regions", 0.2), Level("regions_1_20", "regions", 0.05),
    Level("two_cutoffs", "cutoffs"), Level("uniform_1_2", "uniform", 0.5),
    Level("uniform_1_4", "uniform", 0.25),
)  # fmt: skip
_SHARE = np.array([1.0, 0.55, 0.15, 0.12, 0.035, 0.2, 0.14, 0.04])
_KEEPS = np.array([1.0, 1.0, 0.97, 0.93, 0.75, 0.85, 0.6, 0.3])
SETS = (("alpha", "optical", 256), ("beta", "sar", 128), ("gamma", "multispectral", 200))


def made_trace(*, chips=60, questions=3, seed=0):
    """Trace of ``3 * chips`` pictures with some questions each; a third of the scenes is val."""
    random = np.random.default_rng(seed)
    n = len(SETS) * chips * questions
    set_code = np.repeat(np.arange(len(SETS)), chips * questions).astype(np.int32)
    chip = np.repeat(np.arange(len(SETS) * chips), questions).astype(np.int32)
    scene = (chip // 2).astype(np.int32)
    easy = random.normal(size=n)
    here = (easy + random.normal(scale=0.8, size=n) > 0.2).astype(np.float32)
    lift = random.uniform(size=n) < 0.75
    there = np.maximum(here * (random.uniform(size=n) < 0.97), lift).astype(np.float32)
    keeps = random.uniform(size=(n, 1)) < _KEEPS
    regular = np.where(keeps, there[:, None], here[:, None] * there[:, None]).astype(np.float32)
    scores = np.zeros((n, 3, 3), np.float32)
    stats = np.zeros((n, 3, 4), np.float32)
    for tap, noise in enumerate((1.5, 1.0, 0.6)):
        seen = 1 / (1 + np.exp(-(easy + random.normal(scale=noise, size=n))))
        scores[:, tap, 0] = 0.6 * seen + 0.2
        scores[:, tap, 1] = seen
        scores[:, tap, 2] = 0.8 * (1 - seen)
        stats[:, tap, 0] = np.log(0.3 + 0.7 * seen)
        stats[:, tap, 1] = stats[:, tap, 0] - 0.5
        stats[:, tap, 2] = 1 - seen
        stats[:, tap, 3] = seen
    side = np.array([s[2] for s in SETS])[set_code]
    raw = (side * side * np.array([3, 2, 8])[set_code]).astype(np.int64)
    tokens = random.integers(2, 30, n)
    tap1 = np.full(n, 2e9)
    flops = np.stack([tap1, tap1 + 2e8, tap1 + 1e8 * tokens + 3e8], axis=1)
    columns = {
        "set": set_code, "modality": set_code,
        "scene": scene, "chip": chip,
        "question": (np.arange(n) % questions).astype(np.int32),
        "split": (scene % 3 > 0).astype(np.int8),
        "size": (np.arange(n) % 3).astype(np.int8),
        "deadline": random.integers(0, 3, n).astype(np.int8),
        "priority": random.integers(0, 3, n).astype(np.int8),
        "asked_px": (side * side).astype(np.int64), "raw_bytes": raw,
        "compact_quality": here, "compact_tokens": tokens.astype(np.int16),
        "compact_flops": flops,
        "scores": scores, "stats": stats,
        "novelty": random.uniform(size=(n, 3)).astype(np.float32),
        "regular_quality": regular,
        "regular_flops": np.full((n, len(LEVELS)), 2e10),
        "level_bytes": np.maximum(raw[:, None] * _SHARE, 300).astype(np.int64),
        "code_s": np.tile(np.array([0, 0.004, 0.003] + [0.01] * 3 + [0.003] * 2, np.float32),
                          (n, 1)),
        "answer_bytes": random.integers(60, 400, n).astype(np.int32),
    }  # fmt: skip
    assert set(columns) == set(COLUMNS)
    trace = Trace(
        digests={"compact": "c" * 64, "regular": "e" * 64},
        names={
            "sets": tuple(s[0] for s in SETS), "modalities": tuple(s[1] for s in SETS),
            "scenes": tuple(f"s{i}" for i in range(int(scene.max()) + 1)),
            "chips": tuple(f"c{i}" for i in range(len(SETS) * chips)),
            "questions": tuple(f"q{i}" for i in range(questions)),
        },
        levels=LEVELS, keys=tuple(f"made.cell|{i}" for i in range(n)),
        meta={"made_up": True, "limits": graph_limits().as_plain(), "there": 0.85,
              "alike_gain": 0.6}, columns=columns,
    )  # fmt: skip
    check(trace)
    return trace
