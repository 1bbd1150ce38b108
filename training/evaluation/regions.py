"""What kept regions hold of the objects that a prompt names, at a share of a scene's bytes.

    python -m training.evaluation.regions --data DIR --model FOLDER [--regular FOLDER]
        --split val|test --share 0.05 [--grid 2] [--scenes 12] [--sets 'hit_uav,trees'] [--answers]
        [--keep]

Scenes are mosaics of real chips (``mosaics``); policies share bytes, codec, cells (``policies``).

The budget is ``share`` of two sizes: ``raw``, the samples as the sensor stores them; and
``exact``, the whole scene coded without loss, which is what would go down without any choice.
Good lossy coding gets a whole scene of 8-bit samples into 1/20 of its raw bytes, and then there is
nothing left to choose: any prompt holds nearly everything. The second budget is three to five
times stricter (more for 16-bit samples), and there the prompt decides.

An instance is **held** when its centre lies in a region that was sent (an overview better than the
smallest is a region of the whole window), and what came down shows it: over its box and a quarter
of its side around, the samples that came correlate with the scene's by at least 0.9 (bands
together, each without its mean). That covers downsampling and quantisation by one rule that does
not know the policy. ``inside`` leaves the second condition out: then a policy can win by sending
everything badly.

With ``--answers`` the regular model is asked whether there is any of the kind, and how many, on
what came down and on the whole scene; lost points are of the second minus the first. Half of these
scenes are bare: the same kind of chips, none with the kind, so that yes is right as often as no. A
count is right within 20 % or one, of none only if it is none. Bare scenes count for nothing else.

``--weights`` are found on val; with the test split they are refused.

``--keep`` also writes the figures, without the rows, to the study's assets, with digests of what
the answers of both models hang on: ``make study`` shows them as long as the models are these. Only
all sets and policies on test at 1/20 are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from eo_nodes.contracts.errors import ConfigError, EoError
from eo_nodes.contracts.values import Region
from eo_nodes.decision.relevance import RelevanceConfig
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.manifest import answers_digest
from training.evaluation.intervals import draws
from training.evaluation.mosaics import ASKED, GRID, NAMES, Mosaic, mosaics
from training.evaluation.policies import (
    BASELINES,
    CUES,
    ORACLE,
    OURS,
    WRONG,
    ask_cues,
    coder_of,
    relevance_map,
    send,
    sentences,
    views,
)
from training.evaluation.readers import number, yes_no
from training.evaluation.sets import open_library
from training.instruct import phrases
from training.instruct.nouns import NOUNS, fill
from training.instruct.sources import Library

PROJECT = Path(__file__).resolve().parents[2]
POLICIES = (OURS, *CUES, *BASELINES, WRONG, ORACLE)
ANSWERED = (OURS, "even", "uniform", WRONG)
SHOWN_FROM = 0.9
SIZES = ((0, 12), (12, 24), (24, 48), (48, 10_000))
_AROUND = 0.25
TARGET, MOST_LOST = 80.0, 2.0
SHARE = 0.05
KEPT = PROJECT / "sim" / "assets" / "study" / "regions.json"
SCENES = 12
COMMAND = "python -m training.evaluation.regions --data DIR"
_KEPT_KEYS = ("held_percent", "ci95", "inside_percent", "by_size", "by_size_ci95", "n_by_size",
              "over_budget", "share_of_budget", "points_lost")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """One policy on one scene. held, inside, n: counts by size; right: of (presence, count)."""

    scene: str
    cell: str
    policy: str
    of: str
    bytes: int
    budget: float
    held: tuple[int, ...]
    inside: tuple[int, ...]
    n: tuple[int, ...]
    right: tuple[bool, ...] = field(default=())


def patch(pixels: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Samples of a box and a quarter of its side around it, at least 2 px."""
    x1, y1, x2, y2 = box
    height, width = pixels.shape[1:3]
    dx, dy = (max(2.0, _AROUND * side) for side in (x2 - x1, y2 - y1))
    left, top = max(0, int(np.floor(x1 - dx))), max(0, int(np.floor(y1 - dy)))
    right, bottom = min(width, int(np.ceil(x2 + dx))), min(height, int(np.ceil(y2 + dy)))
    return pixels[:, top:bottom, left:right].astype(np.float64)


def likeness(came: np.ndarray, scene: np.ndarray) -> float:
    """Correlation of two patches (F, h, w, C), bands together, each without its mean."""
    a, b = (p - p.mean(axis=(1, 2), keepdims=True) for p in (came, scene))
    power = float((a**2).sum() * (b**2).sum())
    if power <= 0:  # a flat patch is shown as it is, or not at all
        return 1.0 if np.array_equal(came, scene) else 0.0
    return float((a * b).sum() / np.sqrt(power))


def is_inside(box: Sequence[float], regions: Sequence[Region]) -> bool:
    """Whether the box's centre lies in a region that was sent."""
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(r.action != "drop" and r.window[0] <= cx < r.window[0] + r.window[2]
               and r.window[1] <= cy < r.window[1] + r.window[3] for r in regions)


def count_held(
    scene: Mosaic, came: np.ndarray, regions: Sequence[Region]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Instances held, inside and in all, by size of the box (root of its area, px)."""
    counts = np.zeros((3, len(SIZES)), int)
    for box in scene.boxes:
        side = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
        size = next(i for i, (low, high) in enumerate(SIZES) if low <= side < high)
        inside = is_inside(box, regions)
        shown = inside and likeness(patch(came, box), patch(scene.pixels, box)) >= SHOWN_FROM
        counts[:, size] += (shown, inside, 1)
    held, all_inside, n = (tuple(row.tolist()) for row in counts)
    return held, all_inside, n


def prompts(scene: Mosaic) -> tuple[str, str]:
    """The question, and the same about a kind that is elsewhere in the scene or not at all."""
    known = [k for k in scene.others if k in ASKED]
    other = known[0] if known else next(
        k for k in ("aircraft", "ship", "tree") if k != scene.kind)
    asked, wrong = (fill(phrases.COUNT[0], *NOUNS[k][0]) for k in (scene.kind, other))
    return asked, wrong


def is_right(scene: Mosaic, question: str, text: str) -> bool:
    """presence: yes or no; count: within 20 % or one, of none exactly."""
    true = len(scene.boxes)
    if question == "presence":
        return yes_no(text) == ("yes" if true else "no")
    return bool(abs(number(text) - true) <= (max(1, 0.2 * true) if true else 0))  # NaN is wrong


def answered(model: Any, scene: Mosaic, pixels: np.ndarray) -> tuple[bool, ...]:
    """Whether the regular model is right on these pixels of a scene, question by question."""
    noun = NOUNS[scene.kind][0]
    right = []
    for question, prompt in (("presence", phrases.PRESENT[0]), ("count", phrases.COUNT[0])):
        session = model.start(views(pixels, scene.bands, scene.modality, model.input_size),
                              fill(prompt, *noun), max_tokens=24)
        session.decode(24)
        right.append(is_right(scene, question, session.text))
    return tuple(right)


@dataclass(slots=True)
class Run:
    """One measurement. regular: answers, or None."""

    model: Any
    regular: Any
    share: float
    relevance: RelevanceConfig = field(default_factory=RelevanceConfig)
    sending: SendingConfig = field(default_factory=SendingConfig)
    policies: tuple[str, ...] = POLICIES

    def scene(self, scene: Mosaic, vectors: dict[str, np.ndarray]) -> list[Held]:
        """Every policy at both budgets."""
        asked, other = prompts(scene)
        told = ask_cues(self.model, scene, asked, vectors.get(asked))
        wrong = ask_cues(self.model, scene, other, vectors.get(other))
        coder = coder_of(scene)
        everything = Region(window=(0, 0, *scene.pixels.shape[2:0:-1]), action="keep", scale=1.0)
        sizes = {"raw": scene.pixels.nbytes, "exact": len(coder.code(everything).data)}
        cell = scene.name.rsplit(".", 1)[0]
        rows: list[Held] = []
        if self.regular is not None:
            right = answered(self.regular, scene, scene.pixels)
            rows.append(Held(scene.name, cell, "everything", "raw", sizes["exact"], 0.0,
                             (), (), (), right))
        # Nothing can be held where there is nothing: such a scene is asked about alone.
        policies = self.policies if len(scene.boxes) else [
            p for p in self.policies if p in ANSWERED]
        for of, size in sizes.items():
            for policy in policies:
                known = OURS if policy == "fixed" else policy
                map_ = None if policy == "uniform" else relevance_map(
                    known, scene, told, wrong, self.relevance)
                came, regions, sent = send(policy, scene, coder, map_, self.share * size,
                                           self.sending)
                held, inside, n = count_held(scene, came, regions)
                right = answered(self.regular, scene, came) if (
                    self.regular is not None and policy in ANSWERED) else ()
                rows.append(Held(scene.name, cell, policy, of, sent, self.share * size, held,
                                 inside, n, right))
        return rows


def recall(rows: Sequence[Held], which: str = "held", sizes: Sequence[int] = ()) -> float:
    """Mean over cells (set and kind) of the share of instances, per cent; NaN without any.

    sizes: indexes of ``SIZES``; () for all.
    """
    use = list(sizes) or list(range(len(SIZES)))
    shares = []
    for cell in dict.fromkeys(r.cell for r in rows):
        own = [r for r in rows if r.cell == cell and any(r.n)]
        n = sum(r.n[i] for r in own for i in use)
        if n:
            shares.append(sum(getattr(r, which)[i] for r in own for i in use) / n)
    return 100 * float(np.mean(shares)) if shares else float("nan")


def interval(
    rows: Sequence[Held], *, resamples: int = 1000, seed: int = 0, sizes: Sequence[int] = ()
) -> tuple[float, float]:
    """95 % of ``recall`` by drawing scenes within each cell, per cent; NaN without any."""
    use = list(sizes) or list(range(len(SIZES)))
    cells = []
    for cell in dict.fromkeys(r.cell for r in rows if any(r.n)):
        own = [r for r in rows if r.cell == cell and any(r.n)]
        sums = np.array([[sum(values[i] for i in use) for values in (r.held, r.n)] for r in own],
                        float)
        if not sums[:, 1].any():
            continue
        drawn = draws(len(sums), resamples, seed) @ sums
        with np.errstate(invalid="ignore"):
            cells.append(drawn[:, 0] / drawn[:, 1])
    if not cells:
        return float("nan"), float("nan")
    with warnings.catch_warnings():  # a draw may hold no scene with such an instance
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(cells, axis=0)
    low, high = np.nanquantile(100 * means, (0.025, 0.975))
    return float(low), float(high)


def summary(rows: Sequence[Held]) -> dict[str, Any]:
    """Everything that is printed, as JSON."""
    out: dict[str, Any] = {}
    whole = [r for r in rows if r.policy == "everything"]
    for of in ("raw", "exact"):
        table = {}
        for policy in dict.fromkeys(r.policy for r in rows if r.policy != "everything"):
            own = [r for r in rows if (r.policy, r.of) == (policy, of)]
            entry: dict[str, Any] = {
                "held_percent": recall(own), "ci95": interval(own),
                "inside_percent": recall(own, "inside"),
                "by_size": {f"{a}-{b if b < 10_000 else ''} px": recall(own, sizes=[i])
                            for i, (a, b) in enumerate(SIZES)},
                "by_size_ci95": {f"{a}-{b if b < 10_000 else ''} px": interval(own, sizes=[i])
                                 for i, (a, b) in enumerate(SIZES)},
                "n_by_size": [sum(r.n[i] for r in own) for i in range(len(SIZES))],
                "by_cell": {c: recall([r for r in own if r.cell == c])
                            for c in dict.fromkeys(r.cell for r in own)},
                "over_budget": sum(r.bytes > r.budget for r in own),
                "share_of_budget": float(np.mean([r.bytes / r.budget for r in own])),
            }
            if own and own[0].right:
                entry["points_lost"] = points_lost(own, whole)
            table[policy] = entry
        out[of] = table
    return out


def points_lost(rows: Sequence[Held], whole: Sequence[Held]) -> dict[str, float]:
    """Accuracy on the whole scenes less that on what came down, points, with its interval."""
    before = {r.scene: np.mean(r.right) for r in whole}
    lost = 100 * np.array([before[r.scene] - np.mean(r.right) for r in rows])
    drawn = draws(len(lost), 1000, 0) @ lost / len(lost)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"points": float(lost.mean()), "low": float(low), "high": float(high),
            "whole_percent": 100 * float(np.mean(list(before.values())))}


def show(found: dict[str, Any], console: Console) -> None:
    """One table a budget."""
    for of, table in found.items():
        view = Table(title=f"share of {of} bytes", title_justify="left", box=None)
        sizes = list(next(iter(table.values()))["by_size"])
        for name in ("policy", "held %", "95 %", "inside %", *sizes, "used", "lost"):
            view.add_column(name, justify="left" if name == "policy" else "right")
        for policy, e in table.items():
            lost = e.get("points_lost")
            view.add_row(
                policy, f"{e['held_percent']:.1f}", f"{e['ci95'][0]:.0f} to {e['ci95'][1]:.0f}",
                f"{e['inside_percent']:.1f}", *(f"{v:.0f}" for v in e["by_size"].values()),
                f"{100 * e['share_of_budget']:.0f} %",
                f"{lost['points']:.1f} ({lost['low']:.0f} to {lost['high']:.0f})" if lost else "-")
        console.print(view)


def limits(found: dict[str, Any]) -> list[str]:
    """Whether our policy holds enough of what the prompt names, clearly more than with a wrong one
    (intervals apart), and loses few answers; a line for each limit and budget that was measured."""
    lines = []
    for of, table in found.items():
        ours = table.get(OURS, {})
        if "held_percent" in ours:
            holds = ours["held_percent"] >= TARGET
            lines.append(f"{of}: {ours['held_percent']:.1f} % held, at least {TARGET:g}: "
                         f"{'yes' if holds else 'NO'}")
        wrong = table.get(WRONG, {})
        if "ci95" in ours and "ci95" in wrong:
            lines.append(f"{of}: {wrong['held_percent']:.1f} % held with a wrong prompt, clearly "
                         f"fewer: {'yes' if wrong['ci95'][1] < ours['ci95'][0] else 'NO'}")
        if "points_lost" in ours:
            lost = ours["points_lost"]["points"]
            lines.append(f"{of}: {lost:.1f} points of answers lost, at most {MOST_LOST:g}: "
                         f"{'yes' if lost <= MOST_LOST else 'NO'}")
    return lines


def measure(
    run: Run, library: Library, split: str, name: str, most: int, grid: int = GRID
) -> list[Held]:
    """Rows of all scenes of a set; none where the data folder lacks it."""
    scenes = mosaics(library, name, split, most=most, grid=grid) if name in library.names else []
    if scenes and run.regular is not None:
        scenes += mosaics(library, name, split, most=most, grid=grid, is_bare=True)
    texts = sorted({p for scene in scenes for p in prompts(scene)})
    vectors = sentences(texts) if texts and "language" in run.policies else {}
    return [row for scene in scenes for row in run.scene(scene, vectors)]


def write(path: Path, rows: Sequence[Held], facts: dict[str, Any]) -> dict[str, Any]:
    """Write JSON and return its tables."""
    found = summary(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [{name: getattr(r, name) for name in Held.__slots__} for r in rows]
    scenes = len({r.scene for r in rows})
    path.write_text(json.dumps({**facts, "scenes": scenes, "tables": found, "rows": plain},
                               indent=1), encoding="utf-8")
    return found


def keep(path: Path, found: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write what the study shows: no rows, figures to four places, null for what is not there."""
    tables = {of: {policy: {k: entry[k] for k in _KEPT_KEYS if k in entry}
                   for policy, entry in table.items()} for of, table in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain({**facts, "tables": tables}), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def command(has_answers: bool, scenes: int) -> str:
    """The command line that kept figures came from."""
    more = f" --scenes {scenes}" if scenes != SCENES else ""
    return COMMAND + (" --answers" if has_answers else "") + more + " --keep"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def _why_not_kept(a: argparse.Namespace) -> str:
    """What of the arguments is not what the study shows; "" where all is."""
    wanted = {"split": "test", "share": SHARE, "sets": ",".join(NAMES), "grid": GRID,
              "policies": ",".join(POLICIES)}
    return ", ".join(f"--{k} {getattr(a, k)}" for k, v in wanted.items() if getattr(a, k) != v)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(
        prog="python -m training.evaluation.regions", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, default=PROJECT / "models" / "compact")
    p.add_argument("--regular", type=Path, default=PROJECT / "models" / "regular",
                   help="the model that answers, with --answers")
    p.add_argument("--split", choices=("val", "test"), default="test")
    p.add_argument("--share", type=float, default=SHARE)
    p.add_argument("--scenes", type=int, default=SCENES, help="of a set and kind at most")
    p.add_argument("--grid", type=int, default=GRID, help="chips a side of a scene")
    p.add_argument("--sets", default=",".join(NAMES))
    p.add_argument("--policies", default=",".join(POLICIES))
    p.add_argument("--weights", default="",
                   help="attention,marks,language,floor,sharpness; val only")
    p.add_argument("--answers", action="store_true", help="ask the regular model too")
    p.add_argument("--out", type=Path, default=PROJECT / "build" / "eval" / "regions.json")
    p.add_argument("--keep", action="store_true", help=f"write the figures to {KEPT.name} too")
    a = p.parse_args(argv)
    if a.keep and _why_not_kept(a):
        p.error(f"--keep is for all of it on test at {SHARE:g}, not for {_why_not_kept(a)}")
    if a.weights and a.split != "val":
        p.error("--weights are found on val: say --split val")
    console = Console(width=None if sys.stdout.isatty() else 160)
    start = time.monotonic()
    try:
        library = open_library(a.data)
        missing = [name for name in NAMES if name not in library.names]
        if a.keep and missing:
            raise ConfigError(f"--keep is for all sets; {a.data} lacks {', '.join(missing)}")
        model = load_model(a.model, threads=1)
        regular = load_model(a.regular, threads=1) if a.answers else None
        run = Run(model, regular, a.share, policies=tuple(a.policies.split(",")))
        if a.weights:
            attention, marks, language, floor, sharpness = map(float, a.weights.split(","))
            run.relevance = RelevanceConfig(
                attention=attention, marks=marks, language=language, sharpness=sharpness)
            run.sending = SendingConfig(floor=floor)
        models = {"compact": answers_digest(a.model)} if a.keep else {}
        if a.keep and a.answers:
            models["regular"] = answers_digest(a.regular)
        facts = {"split": a.split, "share": a.share, "grid": a.grid, "model": model.digest,
                 "regular": regular.digest if regular else "", "target": TARGET,
                 "most_lost": MOST_LOST}
        rows: list[Held] = []
        found: dict[str, Any] = {}
        for name in a.sets.split(","):
            rows += measure(run, library, a.split, name, a.scenes, a.grid)
            if rows:  # what a stopped run has measured is not lost
                found = write(a.out, rows, {**facts, "seconds": round(time.monotonic() - start)})
    except EoError as fault:
        print(f"regions: {fault}", file=sys.stderr)
        return 1
    if not rows:
        print("regions: no scene of these sets", file=sys.stderr)
        return 1
    scenes = len({r.scene for r in rows})
    if a.keep:
        keep(KEPT, found, {
            "command": command(a.answers, a.scenes),
            "models": models, "split": a.split, "share": a.share, "scenes": scenes,
            "cells": list(dict.fromkeys(r.cell for r in rows)),
            "seconds": round(time.monotonic() - start),
        })  # fmt: skip
    show(found, console)
    for line in limits(found):
        console.print(line)
    console.print(f"{scenes} scenes, {a.split}, share {a.share:g}, in {a.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
