"""Ask some requests of the trace again, from chips in the tree, and fail on any difference.

What is compared: both answers' quality, tokens and operations, and the bytes of every level, which
must be the same; scores and statistics of the taps, whose last digits depend on the processor, to
one in a hundred. Times are not compared. Another processor, runtime or number of threads may round
otherwise and so change an answer: a difference then says which of them is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.graph.paths import project_file

from .collect import CHIPS, ask, library_of
from .errors import StudyError
from .limits import graph_limits
from .outcomes import Cores
from .trace import Trace

EXACT = ("compact_quality", "compact_tokens", "compact_flops", "regular_quality", "regular_flops",
         "level_bytes", "raw_bytes", "asked_px", "answer_bytes")  # fmt: skip
NEAR = ("scores", "stats", "novelty")
_TOLERANCE = 0.01
# Of ``runtime.RunRecord``, in the order of telling.
_RUNS_ON = {"machine": "architecture", "cpu_features": "processor", "runtime": "runtime",
            "providers": "provider", "threads": "number of threads"}  # fmt: skip


def recompute(
    trace: Trace, count: int, *, compact: Path | None = None, regular: Path | None = None,
    seed: int = 0,
) -> int:
    """Ask ``count`` random requests of the chips again.

    Returns:
        How many were asked: all of the chips where there are fewer.
    Raises:
        StudyError: models or limits are not those of the trace, it holds no chip of the tree, or an
            outcome differs; the text names request and column.
    """
    rows = np.array(trace.meta.get("chip_rows", []), np.int64)
    if not len(rows):
        raise StudyError("the trace holds no request on a chip of the tree: nothing to compare")
    cores = Cores(
        compact or project_file("models/compact"), regular or project_file("models/regular"),
        graph_limits(),
    )
    for name, model in (("compact", cores.compact), ("regular", cores.regular)):
        if model.digest != trace.digests[name]:
            raise StudyError(
                f"the trace was made with {name} {trace.digests[name][:12]}, the model here is "
                f"{model.digest[:12]}: record it again with `make trace DATA=DIR`"
            )
    if trace.meta.get("limits") != cores.limits.as_plain():
        raise StudyError(
            f"the trace was made with {trace.meta.get('limits')}, the nodes are told "
            f"{cores.limits.as_plain()}: record it again with `make trace DATA=DIR`"
        )
    module, library, split = library_of(project_file(CHIPS), "test")
    questions = {q.key: q for q in module.questions(library, split, 3)}
    chosen = np.random.default_rng(seed).permutation(rows)[:count]
    for row in chosen.tolist():
        key = trace.keys[row]
        if key not in questions:
            raise StudyError(f"{key}: the chips in the tree no longer hold this question")
        again = ask(cores, "test", True, questions[key])
        if again["error"]:
            raise StudyError(f"{key}: {again['error']}")
        _compare(trace, row, again, cores.runs_on)
    return len(chosen)


def _compare(
    trace: Trace, row: int, again: dict[str, Any], runs_on: Mapping[str, Any]
) -> None:
    for name in (*EXACT, *NEAR):
        kept = trace[name][row]
        now = np.asarray(again[name], kept.dtype)
        same = np.array_equal(kept, now) if name in EXACT else np.allclose(
            kept, now, atol=_TOLERANCE, rtol=_TOLERANCE)  # fmt: skip
        if not same:
            raise StudyError(
                f"{trace.keys[row]}: {name} is {now}, the trace says {kept}; "
                f"{_why(trace.meta.get('runs_on'), runs_on)}"
            )


def _why(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """What may explain a difference, and what to do about it."""
    on = "go on without asking again by `make study ARGS='--recompute 0'`"
    if then is None:
        return f"the trace does not say what it was recorded on; on another processor {on}"
    other = [
        f"another {what} ({_short(then.get(key))} then, {_short(now.get(key))} here)"
        for key, what in _RUNS_ON.items() if _plain(then.get(key)) != _plain(now.get(key))
    ]  # fmt: skip
    if not other:
        return ("processor, runtime and threads are those of the trace: models, chips or code are "
                "not; record it again with `make trace DATA=DIR`")
    return f"{', '.join(other)} rounds otherwise: {on}, or where it was recorded"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
