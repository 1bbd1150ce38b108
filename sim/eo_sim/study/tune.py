"""The one search that tunes every policy: the same number of settings, the same val requests.

Every policy is tried at ``trials`` settings drawn from its space with one seed (all of them where
it has fewer), on one world, on the val split alone. Kept are the best one, and settings along the
fronts of accuracy against bytes and against latency: the points of its curve.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .flight import Asking
from .metrics import Tally
from .policies import Context
from .policy import Policy, Setting
from .simulator import Replayer
from .workload import Requests
from .world import World

_LISTED = 4096


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting on val, by requests from the ground.

    Attributes:
        objective: mean of ``within``. accuracy: of final answers. within: each deadline's.
        bytes_each: down a request. latency_s: mean from capture to final answer. offloaded: share.
    """

    setting: Setting
    accuracy: float
    within: tuple[float, ...]
    bytes_each: float
    latency_s: float
    offloaded: float

    @property
    def objective(self) -> float:
        """What the search maximises."""
        return sum(self.within) / len(self.within)


def draw_settings(policy: Policy, trials: int, seed: int) -> list[Setting]:
    """Distinct settings of a policy's space, at most ``trials``, the same with the same seed."""
    names = sorted(policy.space)
    sizes = [len(policy.space[name]) for name in names]
    total = 1
    for size in sizes:
        total *= size
    coin = random.Random(f"{seed}:{policy.name}")
    if total <= _LISTED:
        every = list(itertools.product(*(policy.space[name] for name in names)))
        chosen = every if len(every) <= trials else coin.sample(every, trials)
        return [Setting(dict(zip(names, values, strict=True))) for values in chosen]
    seen: dict[tuple[int, ...], Setting] = {}
    while len(seen) < min(trials, total):
        key = tuple(coin.randrange(size) for size in sizes)
        seen[key] = Setting({n: policy.space[n][k] for n, k in zip(names, key, strict=True)})
    return list(seen.values())


def replay(
    policy: Policy, setting: Setting, replayer: Replayer,
    requests: Sequence[tuple[str, Iterable[Requests]]], world: World, context: Context,
    deadlines_min: Sequence[float],
) -> Tally:
    """Replay one setting of one policy."""
    tally = Tally(replayer.tables, world, deadlines_min)
    asking = Asking(
        policy.make(setting, context), policy.first_stage,
        is_lifo=setting.values.get("order") == "lifo",
    )
    replayer.run(requests, world, asking, tally.add)
    return tally


def search(
    policy: Policy, replayer: Replayer, requests: Sequence[tuple[str, Iterable[Requests]]],
    world: World, context: Context, *, trials: int, seed: int, deadlines_min: Sequence[float],
) -> list[Trial]:
    """Try every drawn setting; best objective first."""
    found = []
    for setting in draw_settings(policy, trials, seed):
        tally = replay(policy, setting, replayer, requests, world, context, deadlines_min)
        found.append(Trial(
            setting, tally.mean("final"), tuple(tally.mean(f"{m:g}") for m in deadlines_min),
            tally.bytes_each, tally.mean("latency_s"), tally.offloaded,
        ))  # fmt: skip
    return sorted(found, key=lambda trial: -trial.objective)


def curve(trials: Sequence[Trial], points: int) -> list[Setting]:
    """Settings to keep: the best one first, then along both fronts, at most ``points``."""
    chosen = [trials[0].setting]
    fronts = [_front(trials, key) for key in ("bytes_each", "latency_s")]
    for pair in itertools.zip_longest(*(_spread(front, points) for front in fronts)):
        for trial in pair:
            if trial is not None and trial.setting not in chosen and len(chosen) < points:
                chosen.append(trial.setting)
    return chosen


def _front(trials: Sequence[Trial], cost: str) -> list[Trial]:
    """Settings that no other one beats in both accuracy and cost, cheapest first."""
    best, front = float("-inf"), []
    for trial in sorted(trials, key=lambda t: (getattr(t, cost), -t.accuracy)):
        if trial.accuracy > best:
            best = trial.accuracy
            front.append(trial)
    return front


def _spread(front: Sequence[Trial], points: int) -> list[Trial]:
    if len(front) <= points:
        return list(front)
    step = (len(front) - 1) / max(points - 1, 1)
    return [front[round(i * step)] for i in range(points)]
