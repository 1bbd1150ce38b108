"""How fast a replay is: requests against processor seconds and memory, on the trace at hand.

    python -m eo_sim.study.speed [--trace FILE] [--most 1000000] [--load light] [--policy NAME]...

One satellite over its own contacts, those of a day again and again, at the requests a day that the
study replays: more requests are more days. Each row is a process of its own, so that its peak
memory is its own. What waits is held; a load that no contact carries lets every queue grow.

The study measures ours and the cheapest policy with ``growth``, the million where it fits.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import EoError
from eo_nodes.graph.paths import project_file

from .__main__ import open_trace
from .config import StudyConfig, load_config
from .errors import StudyError
from .fits import fit
from .ours import ours
from .policies import Context, baselines, level_of
from .policy import Setting
from .run import Study
from .simulator import Replayer
from .speed_table import COUNTS, growth_of
from .tables import Tables
from .trace import Trace
from .tune import replay
from .workload import captures
from .world import Link, World

_DAY_S = 86_400.0
# What the last count may take, expected from the one before it; else it is left out.
_MOST_S = 150.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """One replay: processor seconds, and the peak of the whole process, MB."""

    requests: int
    days: float
    cpu_s: float
    peak_mb: float


def tiled(link: Link, days: float) -> Link:
    """The contacts of the first day, day after day."""
    first = [contact for contact in link.contacts if contact.end_s <= _DAY_S]
    end_s = days * _DAY_S
    contacts = [
        replace(contact, start_s=contact.start_s + shift, end_s=contact.end_s + shift,
                times_s=contact.times_s + shift)
        for shift in (day * _DAY_S for day in range(int(days) + 1)) for contact in first
        if contact.end_s + shift <= end_s
    ]  # fmt: skip
    return Link(contacts, end_s)


def measure(
    trace: Trace, config: StudyConfig, name: str, count: int, load: str,
    setting: Mapping[str, Any] | None = None,
) -> Replayed:
    """Replay so many requests in this process.

    Args:
        count: requests, about. load: of config/study.yaml.
        setting: of the policy; default: the middle of what the search may set.
    Raises:
        StudyError: no such policy.
    """
    study = Study(trace, config, project_file("config/mission"))
    flown = study.load("test", load)
    a_day = flown.requests_a_day / flown.thinning
    days = count / a_day
    satellite = config.world.satellites[0]
    one_day = study.world(config.workload.reference_mbps, flown.thinning).links[satellite]
    link = tiled(one_day, days)
    world = World({satellite: link}, link.end_s, link.end_s, {})
    replayer = Replayer(Tables(trace, config, flown.thinning))
    fits = fit(trace, trace.level(level_of(trace, "lossless")))
    context = Context(trace, fits, replayer.tables, world.links)
    known = {policy.name: policy for policy in (*baselines(trace), ours())}
    if name not in known:
        raise StudyError(f"no policy {name!r}; there are {', '.join(known)}")
    policy = known[name]
    chosen = Setting(setting or {k: v[len(v) // 2] for k, v in policy.space.items()})
    asked = captures(
        trace, "test", 0, config.workload, scenes_a_day=flown.scenes_a_day, hours=24 * days,
        thinning=flown.thinning,
    )
    begun = time.process_time()
    tally = replay(policy, chosen, replayer, [(satellite, asked)], world, context,
                   config.figures.deadlines_min)  # fmt: skip
    found = tally.summary()
    total = found["n"] + found.get("onboard", {"n": 0})["n"]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Replayed(total, days, time.process_time() - begun, peak_mb)


def apart(*given: Any) -> Replayed:
    """`measure` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, given)


def carried_load(config: StudyConfig) -> str:
    """The heaviest load that contacts carry: above it every queue grows with the days."""
    loads = config.workload.loads
    return max(loads, key=lambda name: loads[name] if loads[name] <= 1.0 else -loads[name])


def growth(
    trace: Trace, config: StudyConfig, settings: Mapping[str, Mapping[str, Any]],
    counts: Sequence[int] = COUNTS, most_s: float = _MOST_S,
) -> dict[str, Any]:
    """For table.json: cost and memory of more and more requests.

    Args:
        settings: of each policy that is replayed. counts: the last is left out where it is expected
            to take more than ``most_s`` processor seconds.
    """
    found, load = {}, carried_load(config)
    for name, setting in settings.items():
        rows: list[Replayed] = []
        skipped = ""
        for count in counts:
            expected_s = rows[-1].cpu_s * count / rows[-1].requests if rows else 0.0
            if count == counts[-1] and expected_s > most_s:
                skipped = (f"{count} requests left out: {expected_s:.0f} s expected; "
                           f"python -m eo_sim.study.speed --policy {name}")
                break
            rows.append(apart(trace, config, name, count, load, dict(setting)))
        found[name] = (rows, skipped)
    return growth_of(load, found)


def run(a: argparse.Namespace) -> int:
    """Replay more and more requests; the exit status."""
    config = load_config(project_file("config/study.yaml"))
    load = a.load or carried_load(config)
    if load not in config.workload.loads:
        raise StudyError(f"no load {load!r}; there are {', '.join(config.workload.loads)}")
    trace = open_trace(config, a.trace)
    print(f"load {load}\npolicy                   requests  satellite-days   cpu s  us each"
          "  days a s   peak MB")
    for name in a.policy or ["satellite_only", "full_local_then_offload", "ours"]:
        count = COUNTS[0]
        while count <= a.most:
            one = apart(trace, config, name, count, load)
            print(f"{name:24s} {one.requests:8d} {one.days:15.1f} {one.cpu_s:7.2f} "
                  f"{1e6 * one.cpu_s / one.requests:8.1f} {one.days / one.cpu_s:9.1f} "
                  f"{one.peak_mb:9.1f}", flush=True)
            count *= 10
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(prog="python -m eo_sim.study.speed", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--trace", type=Path)
    p.add_argument("--most", type=int, default=1_000_000)
    p.add_argument("--load", default="",
                   help="of config/study.yaml; default: the heaviest that contacts carry")
    p.add_argument("--policy", action="append", default=[], help="several allowed")
    try:
        return run(p.parse_args(argv))
    except EoError as error:
        print(f"study: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
