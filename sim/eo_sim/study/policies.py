"""The policies of the table; each function makes one from a setting of its search space.

All get the same levels, codec, bytes, batch and models. Thresholds are quantiles of val, so that a
cut-off published for another model's scores is mapped by its quantile. None but the oracle looks
at an outcome; ``ours`` is in a file of its own. A name ending in ``_style`` marks our
reconstruction of a published idea, with what is ours in its note.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .fits import Fits, quantile
from .policy import (
    END,
    ORDERS,
    Choice,
    Decide,
    LinkView,
    Policy,
    Setting,
    View,
    answer,
    both,
    offload,
    proceed,
)
from .tables import Tables
from .trace import Trace
from .world import Link


@dataclass(frozen=True, eq=False)
class Context:
    """What a policy is made from.

    Attributes:
        trace: all rows. fits: made on val. tables: costs. links: of the satellites, by name.
        offload_rate: of ours under the same load, for the random policy.
    """

    trace: Trace
    fits: Fits
    tables: Tables
    links: Mapping[str, Link]
    offload_rate: float = 0.5


def full_levels(trace: Trace) -> tuple[str, ...]:
    """Levels that do not depend on the question, raw bytes aside."""
    return tuple(x.name for x in trace.levels if x.kind in ("lossless", "lossy", "uniform"))


def level_of(trace: Trace, kind: str) -> str:
    """First level of a kind."""
    return next(level.name for level in trace.levels if level.kind == kind)


def satellite_only(_: Setting, __: Context) -> Decide:
    """Everything is answered on board."""
    return lambda _view, _link: answer()


def ground_only_raw(_: Setting, context: Context) -> Decide:
    """The asked area as the sensor stores it."""
    raw = context.trace.level(level_of(context.trace, "raw"))
    return lambda view, _link: offload(view, raw)


def ground_only_compressed(setting: Setting, __: Context) -> Decide:
    """The asked area, compressed."""
    return lambda view, _link: offload(view, setting["level"])


def _stop_or_both(view: View, setting: Setting) -> Choice:
    """At the end of an answer: pixels, with the answer as a provisional one where set so."""
    if setting["provisional"]:
        return both(view, setting["level"])
    return offload(view, setting["level"])


def tabi_style(setting: Setting, context: Context) -> Decide:
    """Cascade on token probability at the end."""
    bar = quantile(context.fits.quantiles["token3"], setting["offload"])

    def decide(view: View, _: LinkView) -> Choice:
        return _stop_or_both(view, setting) if view.mean_logprob < bar else answer()

    return decide


def grace_style(setting: Setting, context: Context) -> Decide:
    """Before answering by novelty, after it by token probability."""
    new = quantile(context.fits.quantiles["novelty1"], 1 - setting["unlike"])
    bar = quantile(context.fits.quantiles["token3"], setting["offload"])
    return _grace(setting, new, bar)


# Of Grace: images alike from this cosine on, an answer is kept from this confidence on.
_GRACE_ALIKE, _GRACE_SURE = 0.80, 0.75


def grace_style_published(setting: Setting, context: Context) -> Decide:
    """As published: the cut-off on confidence as it is, that on likeness by its quantile."""
    new = quantile(context.fits.quantiles["novelty1"], _GRACE_ALIKE)
    return _grace(setting, new, math.log(_GRACE_SURE))


def _grace(setting: Setting, new: float, bar: float) -> Decide:
    def decide(view: View, _: LinkView) -> Choice:
        if view.stage == 1:
            return offload(view, setting["level"]) if view.novelty > new else proceed()
        if view.stage < END:
            return proceed()
        return _stop_or_both(view, setting) if view.mean_logprob < bar else answer()

    return decide


def full_local_then_offload(setting: Setting, context: Context) -> Decide:
    """Always to the end; then by the correctness head."""
    bar = quantile(context.fits.quantiles["correct3"], setting["offload"])

    def decide(view: View, _: LinkView) -> Choice:
        return _stop_or_both(view, setting) if view.correct < bar else answer()

    return decide


def kodan_style(setting: Setting, context: Context) -> Decide:
    """By context alone: the contexts whose pixels are worth most a byte go down."""
    found = context.fits.contexts
    ranked = sorted(found, key=lambda key: -found[key][0] / found[key][1])
    kept = set(ranked[: round(len(ranked) * setting["share"])])

    def decide(view: View, _: LinkView) -> Choice:
        chosen = (view.modality, view.question) in kept
        return offload(view, setting["level"]) if chosen else answer()

    return decide


def random_offload(setting: Setting, context: Context) -> Decide:
    """A coin, at the rate of ours."""
    rate = context.offload_rate
    coin = random.Random(1)

    def decide(view: View, _: LinkView) -> Choice:
        return offload(view, setting["level"]) if coin.random() < rate else answer()

    return decide


def spaceverse_style(setting: Setting, context: Context) -> Decide:
    """Similarity to the regular model's answer, two stages, fixed cut-offs on regions."""
    table = context.fits.quantiles
    low1 = quantile(table["similar1"], setting["early"])
    # An answer that is complete at the second stage is scored as complete.
    bars = {k: quantile(table[f"similar{k}"], setting["offload"]) for k in (2, END)}
    high1 = quantile(table["similar1"], setting["sure"])
    cut = context.trace.level(level_of(context.trace, "cutoffs"))

    def decide(view: View, _: LinkView) -> Choice:
        if view.stage == 1:
            if view.similar >= high1:
                return answer()
            return offload(view, cut) if view.similar < low1 else proceed()
        return offload(view, cut) if view.similar < bars[view.stage] else answer()

    return decide


def oracle(setting: Setting, context: Context) -> Decide:
    """Told both answers: pixels go down only where they repair one, smallest level that does."""
    trace = context.trace
    order = [
        [level for _, level in sorted(zip(sizes, range(len(sizes)), strict=True))]
        for sizes in context.tables.wire.tolist()
    ]
    here, there = trace["compact_quality"].tolist(), trace["regular_quality"].tolist()
    least = setting["least"]

    def decide(view: View, link: LinkView) -> Choice:
        row = view.row
        best = max(there[row])
        if best - here[row] <= least:
            return answer()
        for level in order[row]:
            if there[row][level] >= best - 1e-6:
                # Ahead of its answer when that is wrong anyway: nothing provisional.
                return offload(view, level, value=there[row][level] - here[row])
        return answer()

    return decide


_QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def baselines(trace: Trace) -> list[Policy]:
    """Every policy of the table but ours and its ablations."""
    full = full_levels(trace)
    gate: dict[str, Sequence[Any]] = {
        "level": full, "provisional": (True, False), "order": ORDERS,
    }  # fmt: skip
    return [
        Policy(name="satellite_only", make=satellite_only, space={"order": ORDERS}),
        Policy(name="ground_only_raw", make=ground_only_raw, space={"order": ORDERS},
               first_stage=0),
        Policy(name="ground_only_compressed", make=ground_only_compressed, first_stage=0,
               space={"level": full, "order": ORDERS}),
        Policy(name="grace_style", make=grace_style,
               space={"unlike": (0.0, 0.02, 0.05, 0.1, 0.2), "offload": _QUANTILES, **gate},
               note="novelty of the features stands for retrieval; cut-offs by quantile; "
                    "order lifo is its newest-first queue"),
        Policy(name="grace_style_published", make=grace_style_published,
               space={**gate, "order": ("lifo",)},
               note="its published cut-offs: 0.75 is of the same quantity, exp of the mean "
                    "log-probability, and stands as it is; 0.80 of image likeness stands as the "
                    "0.80 quantile of novelty on val; 0.94 of text likeness has nothing to stand "
                    "for it; newest first; level and provisional answers are searched"),
        Policy(name="tabi_style", make=tabi_style, first_stage=END,
               space={"offload": _QUANTILES, **gate},
               note="built for discriminative models: the confidence here is the mean "
                    "log-probability of the answer's tokens; no word pruning"),
        Policy(name="full_local_then_offload", make=full_local_then_offload, first_stage=END,
               space={"offload": _QUANTILES, **gate}),
        Policy(name="kodan_style", make=kodan_style, first_stage=0,
               space={"share": _QUANTILES, "level": full, "order": ORDERS},
               note="contexts are sensor and kind of question, known without a model; one "
                    "compact model for all of them"),
        Policy(name="random_offload", make=random_offload, first_stage=0,
               space={"level": full, "order": ORDERS}, note="at the offload rate of ours"),
        Policy(name="spaceverse_style", make=spaceverse_style,
               space={"early": (0.05, 0.1, 0.2, 0.3, 0.4), "sure": (0.5, 0.7, 0.9, 1.0),
                      "offload": _QUANTILES, "order": ORDERS},
               note="our reconstruction: similarity target, two stages, two fixed cut-offs on "
                    "regions; head, thresholds and grid are not published"),
        Policy(name="oracle", make=oracle, role="bound", sees_truth=True, first_stage=0,
               space={"least": (0.0, 0.25, 0.5), "order": ORDERS},
               note="told both answers of every request; not the best possible schedule"),
    ]
