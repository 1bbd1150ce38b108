"""What a study is defined by besides its configuration: stated in code, digested with the table.

Search spaces, levels, classes and limits stand beside the functions that they belong to. Their
digest goes into the table with that of config/study.yaml, so that it can be seen which of them were
changed after a run; that of the rules is of the files that search, choose and form the figures.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from eo_nodes.decision.levels import LEVELS
from eo_nodes.lvlm.chances import LEAST_AUROC, MOST_ECE

from .early_stop import LEAST_STEPS_SAVED
from .goals import MOST_MINUTES, PUBLISHED
from .kept import LEAST_HELD, MOST_LOST
from .levels import MOST_POINTS_LOST
from .ours import ablations, ours
from .policies import baselines
from .standing import GAIN_SHARE
from .trace import DEADLINES_MIN, SIZES, Trace

# Objective and front of the search; what the headline compares; how figures are formed.
_RULES = ("tune", "selection", "figures", "standing", "goals")


def definitions(trace: Trace) -> dict[str, Any]:
    """Plain values, for JSON."""
    found = {
        "spaces": {policy.name: dict(policy.space)
                   for policy in (*baselines(trace), ours(), *ablations())},
        "levels": [[level.name, level.kind, level.share] for level in LEVELS],
        "deadlines_min": DEADLINES_MIN, "sizes": SIZES,
        "limits": {
            "published": PUBLISHED, "gain_share": GAIN_SHARE, "ece": MOST_ECE,
            "auroc": LEAST_AUROC, "held": LEAST_HELD, "points_lost_kept": MOST_LOST,
            "points_lost": MOST_POINTS_LOST, "steps_saved": LEAST_STEPS_SAVED,
            "minutes": MOST_MINUTES,
        },
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def digests(trace: Trace) -> dict[str, str]:
    """SHA-256 of ``definitions`` as JSON with sorted keys, and of the files of the rules."""
    text = json.dumps(definitions(trace), sort_keys=True)
    rules = hashlib.sha256()
    for name in _RULES:
        rules.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return {"definitions": hashlib.sha256(text.encode()).hexdigest(), "rules": rules.hexdigest()}
