"""How fast a replay is: requests against processor seconds and memory, on the trace at hand.

    python -m eo_sim.study.speed [--trace FILE] [--most 1000000]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eo_nodes.contracts.errors import EoError
from eo_nodes.graph.paths import project_file

from .__main__ import open_trace
from .config import load_config
from .fits import fit
from .ours import ours
from .policies import Context, baselines, level_of
from .policy import Setting
from .simulator import Replayer
from .tables import Tables
from .workload import make_requests
from .world import make_world

_POLICIES = ("full_local_then_offload", "ours")


def run(a: argparse.Namespace) -> int:
    """Replay one satellite-day of more and more requests; the exit status."""
    config = load_config(project_file("config/study.yaml"))
    trace = open_trace(config, a.trace)
    satellite = config.world.satellites[0]
    world = make_world(
        config.world, project_file("config/mission"), rate_mbps=config.workload.reference_mbps,
        satellites=(satellite,), hours=24.0,
    )
    replayer = Replayer(Tables(trace, config))
    context = Context(
        trace, fit(trace, trace.level(level_of(trace, "lossless"))), replayer.tables, world.links
    )
    known = {policy.name: policy for policy in (*baselines(trace), ours())}
    (some,) = make_requests(
        trace, "test", (satellite,), config.workload, scenes_a_day=200, hours=24.0
    )
    each = len(some) / 200
    print("policy                   requests   cpu s  us each  peak MB")
    count = 10_000
    while count <= a.most:
        asked = make_requests(
            trace, "test", (satellite,), replace(config.workload, onboard_share=0.1),
            scenes_a_day=count / each, hours=24.0,
        )
        for name in _POLICIES:
            policy = known[name]
            setting = Setting({k: v[len(v) // 2] for k, v in policy.space.items()})
            begun = time.process_time()
            done = replayer.run(
                asked, world, policy.make(setting, context), first_stage=policy.first_stage
            )
            spent = time.process_time() - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"{name:24s} {len(done):8d} {spent:7.2f} {1e6 * spent / len(done):8.1f} "
                  f"{peak:8d}", flush=True)
        count *= 10
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    p = argparse.ArgumentParser(prog="python -m eo_sim.study.speed", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--trace", type=Path)
    p.add_argument("--most", type=int, default=1_000_000)
    try:
        return run(p.parse_args(argv))
    except EoError as error:
        print(f"study: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
