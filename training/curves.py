"""Loss curves of a training's stages, thinned for a model's folder.

A stage writes lines {"step", "share", "losses": {"SET.TERM": smoothed}} to `losses.jsonl`. What is
kept of a term is its mean over the sets.
"""

import json

POINTS = 50
TERMS = ("answer", "aim", "class", "text", "heat", "mask")
SHOWN = 6
_DIGITS = 3


def _lines(path, steps):
    """Lines up to a step, in order; of steps made twice after a restart the later ones."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        while kept and kept[-1]["step"] >= one["step"]:
            kept.pop()
        kept.append(one)
    return [one for one in kept if one["step"] <= steps]


def _spread(many, most):
    """At most so many places of a list, evenly spread, with the first and the last."""
    if many <= most:
        return list(range(many))
    return sorted({round(i * (many - 1) / (most - 1)) for i in range(most)})


def thin(path, steps):
    """{"step": [...], term: [mean over the sets or None, ...]}; {} without a log.

    steps: of the checkpoint that is released; what the log holds beyond is of another.
    """
    lines = _lines(path, steps) if path.is_file() else []
    found = {"step": [lines[i]["step"] for i in _spread(len(lines), POINTS)]}
    by_step = {one["step"]: one["losses"] for one in lines}
    for term in TERMS:
        values = []
        for step in found["step"]:
            own = [v for key, v in by_step[step].items() if key.split(".")[-1] == term]
            values.append(float(f"{sum(own) / len(own):.{_DIGITS}g}") if own else None)
        if any(v is not None for v in values):
            found[term] = values
    return found if lines else {}


def table(curves):
    """Markdown of some points of each stage, by its name; empty without any."""
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return ""
    terms = [t for t in TERMS if any(t in c for c in curves.values())]
    lines = [f"| stage | step | {' | '.join(terms)} |", "|---|---:|" + "---:|" * len(terms)]
    for name, curve in curves.items():
        for i in _spread(len(curve["step"]), SHOWN):
            cells = [curve[t][i] if t in curve else None for t in terms]
            shown = " | ".join("-" if v is None else f"{v:g}" for v in cells)
            lines.append(f"| {name} | {curve['step'][i]} | {shown} |")
    return "\n".join(lines)
