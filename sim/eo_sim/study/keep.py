"""The committed part of the table: what README states, and digests of all that it came from.

``table.json`` in build/study has every row of every setting; the tree keeps what is claimed, small
enough to be read in a change. README's section is written from it (``python -m docs``), and
parameters of flight are held to its ``routing``. Why a limit is missed stands in a file beside it,
written by hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.graph.paths import project_file

from . import definitions
from .errors import StudyError
from .trace import Trace

FILE = "sim/assets/study/table.json"
REASONS = "sim/assets/study/reasons.json"
COMMAND = "make study ARGS=--keep"
MOST_BYTES = 60_000
_DIGITS = 5
_WHOLE = ("headline", "headline_load", "paper_style", "limits", "levels", "compute", "sources",
          "machine", "recomputed")  # fmt: skip
_SCORE = ("name", "group", "stage", "n", "ece", "auroc", "brier", "brier_base", "aurc", "ci95",
          "abstains", "right_where_abstaining")  # fmt: skip
_ROLES = ("ours", "baseline", "bound")
Row = Mapping[str, Any]


def sources(config: Path, trace_file: Path, trace: Trace) -> dict[str, str]:
    """SHA-256 of what a table is made from.

    Returns:
        ``config`` and ``trace``: files; ``compact`` and ``regular``: manifests; ``definitions`` and
        ``rules``: see there.
    """
    return {"config": _sha256(config), "trace": _sha256(trace_file), **trace.digests,
            **definitions.digests(trace)}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reasons(path: Path | None = None) -> dict[str, str]:
    """Why limits are missed, by the name of the figure; none where nobody wrote them.

    Raises:
        StudyError: the file holds something else.
    """
    if path is None:
        try:
            path = project_file(REASONS)
        except ConfigError:
            return {}
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise StudyError(f"{path}: not an object of figure and reason")
    return found


def kept(table: Row) -> dict[str, Any]:
    """What of a whole table is kept: of replays those at the headline's load and fixed rates.

    Numbers have five digits; what flies stands as it is.
    """
    load = table["headline_load"]
    rows = [row for row in table["rows"] if row["load"] == load and row["rate_mbps"]
            and row["is_tuned"] and row["role"] in _ROLES]
    early, trace = table["early_stop"], table["trace"]
    meta = {k: v for k, v in trace["meta"].items() if k != "chip_rows"}
    found = {
        **{name: table[name] for name in _WHOLE}, "trace": {**trace, "meta": meta},
        "standing": [one for one in table["standing"]
                     if one["load"] == load and one["rate_mbps"]],
        "policies": [_policy(row) for row in rows],
        "ablations": [_policy(row) for row in table["rows"] if row["role"] == "ablation"],
        "tuned": {name: one["setting"] for name, one in table["tuned"].items()
                  if one["role"] in _ROLES},
        "scores": [{key: one[key] for key in _SCORE if key in one}
                   for one in table["scores"] if one["group"] == "all"],
        "early_stop": {key: early[key] for key in (
            "accuracy", "offloaded", "ci95", "points_lost", "classes", "is_reached")},
    }  # fmt: skip
    rounded: dict[str, Any] = _rounded(found)
    return rounded | {"routing": table["routing"]}


def _policy(row: Row) -> dict[str, Any]:
    """Figures of a row, each with its interval: value, low, high."""
    f, ci95 = row["figures"], row["ci95"]
    latency = f["latency_s"]
    found = {
        "policy": row["policy"], "role": row["role"], "rate_mbps": row["rate_mbps"],
        "accuracy": {key: [value, *ci95["accuracy"]["all"][key]]
                     for key, value in f["accuracy"]["all"].items()},
        "latency_mean_s": [latency["mean"], *ci95["latency_mean_s"]],
        "latency_p95_s": latency["p95"],
        **{key: [f[key], *ci95[key]]
           for key in ("deadline_misses", "offloaded", "down_bytes_each")},
        "wh_per_answer": sum(f["wh_per_answer"].values()),
    }  # fmt: skip
    if less := row.get("ours_minus_this"):
        found["ours_minus_this"] = {k: [v["value"], *v["ci95"]] for k, v in less.items()}
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def write_kept(table: Row, path: Path) -> int:
    """Write the kept part, a line for each row of a list.

    Returns:
        Size of the file, bytes.
    Raises:
        StudyError: it is too large to be kept with the sources.
    """
    lines = [f'"{name}": {_lines(value)}' for name, value in sorted(kept(table).items())]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    size = len(text.encode())
    if size > MOST_BYTES:
        raise StudyError(f"the kept table has {size} bytes, at most {MOST_BYTES}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return size


def _lines(value: Any) -> str:
    def one(part: Any) -> str:
        return json.dumps(part, ensure_ascii=False, allow_nan=False, sort_keys=True,
                          separators=(",", ":"))

    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return f"[\n {_joined(map(one, value))}\n]"
    return one(value)


def _joined(parts: Iterable[str]) -> str:
    return ",\n ".join(parts)
