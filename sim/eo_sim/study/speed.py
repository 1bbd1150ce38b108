"""How fast a replay is: requests against processor seconds and memory, on the trace at hand.

    python -m eo_sim.study.speed [--trace FILE] [--most 1000000] [--load light] [--policy NAME]...

One satellite over its own contacts, those of a day again and again, at the requests a day that the
study replays: more requests are more days. Each row is a process of its own, so that its peak
memory is its own. What waits is held; a load that no contact carries lets every queue grow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
from .tables import Tables
from .trace import Trace
from .tune import replay
from .workload import captures
from .world import Link, World

_DAY_S = 86_400.0


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
    trace: Trace, config: StudyConfig, name: str, count: int, load: str
) -> tuple[int, float, float, float]:
    """(requests, satellite-days, processor seconds, peak MB above what was there before)."""
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
    setting = Setting({k: v[len(v) // 2] for k, v in policy.space.items()})
    asked = captures(
        trace, "test", 0, config.workload, scenes_a_day=flown.scenes_a_day, hours=24 * days,
        thinning=flown.thinning,
    )
    before, begun = _peak_mb(), time.process_time()
    tally = replay(policy, setting, replayer, [(satellite, asked)], world, context,
                   config.figures.deadlines_min)  # fmt: skip
    found = tally.summary()
    total = found["n"] + found.get("onboard", {"n": 0})["n"]
    return total, days, time.process_time() - begun, _peak_mb() - before


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(a: argparse.Namespace) -> int:
    """Replay more and more requests; the exit status."""
    config = load_config(project_file("config/study.yaml"))
    if a.load not in config.workload.loads:
        raise StudyError(f"no load {a.load!r}; there are {', '.join(config.workload.loads)}")
    trace = open_trace(config, a.trace)
    print(f"load {a.load}\npolicy                   requests  satellite-days   cpu s  us each"
          "  days a s  added MB")
    for name in a.policy or ["satellite_only", "full_local_then_offload", "ours"]:
        count = 10_000
        while count <= a.most:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                n, days, spent_s, added_mb = pool.apply(
                    measure, (trace, config, name, count, a.load))
            print(f"{name:24s} {n:8d} {days:15.1f} {spent_s:7.2f} {1e6 * spent_s / n:8.1f} "
                  f"{days / spent_s:9.1f} {added_mb:9.1f}", flush=True)
            count *= 10
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(prog="python -m eo_sim.study.speed", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--trace", type=Path)
    p.add_argument("--most", type=int, default=1_000_000)
    p.add_argument("--load", default="light", help="of config/study.yaml")
    p.add_argument("--policy", action="append", default=[], help="several allowed")
    try:
        return run(p.parse_args(argv))
    except EoError as error:
        print(f"study: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
