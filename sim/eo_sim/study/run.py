"""The study from trace to table: tune on val, replay on test, form the figures."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.decision.setting import routing_as_plain

from .bootstrap import draw_scenes
from .calibration import ranking, scores_table
from .config import StudyConfig
from .early_stop import early_stop
from .figures import Point, Sums, add_sums, figures
from .fits import fit
from .levels import levels_table
from .ours import ablations, ours, tuned_routing
from .policies import Context, baselines, level_of
from .policy import Policy, Setting
from .selection import Selection, select
from .simulator import Replayer
from .speed_table import speed_table
from .standing import CAPPED, against, intervals, standings, without_groups
from .tables import Tables
from .trace import Trace
from .tune import Trial, curve, replay, search
from .workload import Load, Requests, make_load, make_requests
from .world import World, make_world

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """A policy after its search: every trial, best first, and settings to replay on test.

    Attributes:
        settings: the tuned one first, then those of its curve, then what the headline compares.
    """

    policy: Policy
    trials: tuple[Trial, ...]
    settings: tuple[Setting, ...]


class Study:
    """One trace under one configuration.

    Args:
        mission: folder of satellites, stations and elements.
        tell: takes a line of progress.
    """

    def __init__(
        self, trace: Trace, config: StudyConfig, mission: Path, tell: Tell = lambda _: None
    ) -> None:
        self.trace, self.config, self._mission, self._tell = trace, config, mission, tell
        self._reference = trace.level(level_of(trace, "lossless"))
        self._fits = fit(trace, self._reference)
        self._replayers: dict[float, Replayer] = {}
        self._worlds: dict[tuple[float, float], World] = {}
        self._loads: dict[tuple[str, str], Load] = {}
        self._requests: dict[str, list[tuple[str, list[Requests]]]] = {}
        self._tuned: dict[tuple[float, str], dict[str, Sums]] = {}
        self._capped: Setting | None = None
        seen = np.bincount(
            trace["scene"][trace.rows("test")], minlength=len(trace.names["scenes"]))
        self._draws = draw_scenes(seen > 0, config.figures.bootstrap, config.figures.seed)

    def table(self, extra: Sequence[Policy] = (), *, with_ablations: bool = True) -> dict[str, Any]:
        """Everything, as plain values for table.json.

        Args:
            extra: policies of the user, tuned and replayed like all others.
        """
        begun = time.monotonic()
        kept = self._tune([*baselines(self.trace), *extra, ours()])
        chosen = select(
            "ours", {k.policy.name: k.trials for k in kept},
            [k.policy.name for k in kept if k.policy.role in ("baseline", "user")],
            self.config.figures.offload_cap,
        )
        self._capped = chosen.capped.setting if chosen.capped else None
        kept = [_with_chosen(one, chosen) for one in kept]
        rows, points = self._sweep(kept)
        figures_ = figures(points, chosen, self.config.figures)
        if with_ablations:
            rows += self._ablate()
        test = self.trace.rows("test")
        return {
            **figures_,
            "rows": rows,
            "headline_load": self.config.figures.headline_load,
            "has_heads": bool(self.trace.meta.get("heads")),
            "standing": standings(
                self._tuned, self._draws, self.config.figures.offload_cap),
            "speed": speed_table(rows, self.config.world),
            "tuned": {k.policy.name: {
                "setting": dict(k.settings[0].values), "objective": k.trials[0].objective,
                "tried": len(k.trials), "role": k.policy.role, "note": k.policy.note,
            } for k in kept},
            "routing": routing_as_plain(tuned_routing(chosen.ours.setting)),
            "idle": self._idle(rows),
            "scores": scores_table(self.trace, self.config.figures.ece_bins, self._draws),
            "ranking": ranking(
                self.trace, self._reference, self.config.figures.offload_cap, self._draws
            ),
            "levels": self._levels(),
            "early_stop": early_stop(
                self.trace, self._reference, self.config.figures.offload_cap,
                self.config.figures.early_stop_tolerance, self._draws,
            ),
            "trace": {
                "digests": dict(self.trace.digests), "requests": len(self.trace),
                "test": len(test), "scenes": len(self.trace.names["scenes"]),
                "meta": dict(self.trace.meta),
            },
            "worlds": {
                f"{rate:g} Mbit/s, 1 in {thinning:.4g}": dict(w.facts)
                for (rate, thinning), w in self._worlds.items()
            },
            "loads": {f"{split} {name}": asdict(x) for (split, name), x in self._loads.items()},
            "machine": {"seconds": time.monotonic() - begun, "python": platform.python_version()},
        }  # fmt: skip

    # -- steps -----------------------------------------------------------------------------------

    def _tune(self, policies: Sequence[Policy]) -> list[Kept]:
        tune = self.config.tune
        load = self.load("val", tune.load)
        replayer = self._replayer(load.thinning)
        world = make_world(
            self.config.world, self._mission, rate_mbps=tune.rate_mbps,
            satellites=tune.satellites, hours=tune.hours, thinning=load.thinning,
        )
        requests = make_requests(
            self.trace, "val", tune.satellites, self.config.workload,
            scenes_a_day=load.scenes_a_day, hours=tune.hours, thinning=load.thinning,
        )
        context = Context(self.trace, self._fits, replayer.tables, world.links)
        kept = {}
        for policy in _ours_first(policies):
            self._tell(f"tune {policy.name}")
            trials = search(
                policy, replayer, requests, world, context, trials=tune.trials,
                seed=tune.seed, deadlines_min=self.config.figures.deadlines_min,
            )
            if policy.role == "ours":  # the random policy takes its rate
                context = replace(context, offload_rate=trials[0].offloaded)
            settings = tuple(curve(trials, tune.curve_points))
            kept[policy.name] = Kept(policy, tuple(trials), settings)
        return [kept[policy.name] for policy in policies]

    def _sweep(self, kept: Sequence[Kept]) -> tuple[list[dict[str, Any]], list[Point]]:
        """Tuned settings at every rate and load; all that is kept at the headline's load."""
        rows: list[dict[str, Any]] = []
        sums: dict[tuple[str, str], list[Sums]] = {}
        head, rates = self.config.figures.headline_load, self.config.world.rates_mbps
        budget = () if 0.0 in rates else (0.0,)
        by_name = {one.policy.name: one for one in kept}
        ordered = [by_name[policy.name] for policy in _ours_first([k.policy for k in kept])]
        for rate in (*rates, *budget):
            for load in self.config.workload.loads:
                if rate not in rates and load != head:
                    continue
                offloaded = 0.0
                for one in ordered:
                    is_headline = load == head and rate in rates
                    for setting in one.settings if is_headline else one.settings[:1]:
                        is_tuned = setting is one.settings[0]
                        row, added = self._row(
                            one.policy, setting, rate, load, offloaded, is_tuned=is_tuned)
                        if is_headline:
                            sums.setdefault((one.policy.name, row["label"]), []).append(added)
                        if one.policy.role == "ours" and is_tuned:
                            offloaded = row["figures"]["offloaded"]
                        rows.append(row)
        points = [
            Point(name, label, label == by_name[name].settings[0].label(), add_sums(many))
            for (name, label), many in sums.items()
        ]
        return rows, points

    def _ablate(self) -> list[dict[str, Any]]:
        return [
            self._row(
                one.policy, one.settings[0], self.config.tune.rate_mbps,
                self.config.figures.headline_load, 0.0, is_tuned=True,
            )[0]
            for one in self._tune(ablations())
        ]  # fmt: skip

    def _row(
        self, policy: Policy, setting: Setting, rate: float, load: str, offloaded: float, *,
        is_tuned: bool,
    ) -> tuple[dict[str, Any], Sums]:
        """A row of the table, and its sums over scenes; ours as tuned comes first of a load.

        Args:
            offloaded: share that ours offloads under the same load, for the random policy.
        """
        self._tell(f"replay {policy.name}, {rate:g} Mbit/s, {load}")
        flown = self.load("test", load)
        world, requests = self.world(rate, flown.thinning), self._asked(flown)
        replayer = self._replayer(flown.thinning)
        context = Context(
            self.trace, self._fits, replayer.tables, world.links, offload_rate=offloaded)
        begun = time.process_time()
        deadlines = self.config.figures.deadlines_min
        tally = replay(policy, setting, replayer, requests, world, context, deadlines)
        spent_s, sums = time.process_time() - begun, tally.sums()
        alone, tuned = without_groups(sums), self._tuned.setdefault((rate, load), {})
        if is_tuned and policy.role != "ablation":
            tuned[policy.name] = alone
        if policy.role == "ours" and setting == self._capped:
            tuned[CAPPED] = alone
        compared = {}
        if "ours" in tuned and tuned["ours"] is not alone:
            compared = {"ours_minus_this": against(alone, tuned["ours"], self._draws)}
        return {
            "policy": policy.name, "role": policy.role, "rate_mbps": rate, "load": load,
            "setting": dict(setting.values), "label": setting.label(),
            "figures": tally.summary(), "replay_s": spent_s, "is_tuned": is_tuned,
            "ci95": intervals(sums, self._draws), **compared,
        }, alone  # fmt: skip

    def world(self, rate_mbps: float, thinning: float) -> World:
        """World of one rate rule, computed once."""
        key = (rate_mbps, thinning)
        if key not in self._worlds:
            self._worlds[key] = make_world(
                self.config.world, self._mission, rate_mbps=rate_mbps, thinning=thinning
            )
        return self._worlds[key]

    def load(self, split: str, name: str) -> Load:
        """How much a load is in one split, by what the contacts carry at the reference rate."""
        if (split, name) not in self._loads:
            world = self.world(self.config.workload.reference_mbps, 1.0)
            window_h = world.end_s / 3600
            carried = sum(link.sent_bytes[-1] for link in world.links.values())
            a_day = carried / len(world.links) / window_h * 24
            self._loads[split, name] = make_load(
                self.trace, split, name, self.config.workload, a_day
            )
        return self._loads[split, name]

    def _replayer(self, thinning: float) -> Replayer:
        if thinning not in self._replayers:
            self._replayers[thinning] = Replayer(Tables(self.trace, self.config, thinning))
        return self._replayers[thinning]

    def _asked(self, load: Load) -> list[tuple[str, list[Requests]]]:
        if load.name not in self._requests:
            self._requests[load.name] = make_requests(
                self.trace, "test", self.config.world.satellites, self.config.workload,
                scenes_a_day=load.scenes_a_day, hours=self.config.world.hours,
                thinning=load.thinning,
            )
        return self._requests[load.name]

    # -- what else the table says ----------------------------------------------------------------

    def _idle(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """On the emptiest link, whether sending everything wins, as it ought to."""
        load = min(self.config.workload.loads, key=lambda k: self.config.workload.loads[k])
        rate = max(self.config.world.rates_mbps)
        mine = [r for r in rows if r["load"] == load and r["rate_mbps"] == rate
                and r["role"] != "bound" and r["is_tuned"]]  # fmt: skip
        score = {r["policy"]: r["figures"]["accuracy"]["all"]["final"] for r in mine}
        use = {r["policy"]: r["figures"]["contact_use"] for r in mine}
        everything = max(
            (score[name] for name in ("ground_only_raw", "ground_only_compressed")
             if name in score), default=0.0,
        )  # fmt: skip
        return {
            "load": load, "rate_mbps": rate, "final_accuracy": score, "contact_use": use,
            "best": max(score, key=lambda k: score[k]) if score else None,
            "sending_everything_wins": bool(score) and everything >= max(score.values()) - 0.005,
        }  # fmt: skip

    def _levels(self) -> list[dict[str, Any]]:
        """What each level costs and keeps, over the test split."""
        return levels_table(self.trace, self._reference, self._draws)


def _ours_first(policies: Sequence[Policy]) -> list[Policy]:
    return sorted(policies, key=lambda policy: policy.role != "ours")


def _with_chosen(one: Kept, chosen: Selection) -> Kept:
    """With what the headline compares among the settings that are replayed."""
    settings = list(one.settings)
    for name, setting in chosen.settings():
        if name == one.policy.name and setting not in settings:
            settings.append(setting)
    return replace(one, settings=tuple(settings))
