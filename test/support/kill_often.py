"""Kill processes under a supervisor at random moments.

    python kill_often.py FOLDER SEED KILLS

Prints one JSON list: for each process that died, the signal that it got and the exit code that
the supervisor told. It runs on its own, because circus collects every child of the process it
lives in.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
from circus.watcher import Watcher

from eo_nodes.graph import supervise
from eo_nodes.graph.description import Restart
from eo_nodes.graph.plan import BRINGUP, Plan, ProcessSpec

WORKERS = 4
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)


def spec(name: str) -> ProcessSpec:
    """Return a process that does nothing."""
    return ProcessSpec(
        name=name,
        segment="",
        module="sleeper",
        executable="",
        arguments=(),
        ros_arguments=(),
        environment={},
        nodes=(),
        silence_s=1.0,
    )


def main(folder: Path, seed: int, kills: int) -> list[tuple[int, int | None]]:
    """Return (signal number, exit code told) of each death."""
    rng = random.Random(seed)
    living: dict[str, int] = {}
    sent: dict[str, int] = {}
    deaths: list[tuple[int, int | None]] = []

    def say(stage: str, **fields: Any) -> None:
        if stage == "started" and fields["process"] != BRINGUP:
            living[fields["process"]] = fields["pid"]
        elif stage == "died":
            deaths.append((sent.pop(fields["process"]), fields["exit_code"]))
            if len(deaths) >= kills:
                supervisor.stop()

    def strike() -> None:
        if living and len(deaths) + len(sent) < kills and rng.random() < 0.2:
            name = rng.choice(sorted(living))
            process, sent[name] = psutil.Process(living.pop(name)), rng.choice(SIGNALS)
            process.send_signal(sent[name])
            while process.status() != psutil.STATUS_ZOMBIE:  # its first thread is gone
                pass

    manage = Watcher.manage_processes

    def strike_and_manage(watcher: Watcher) -> Any:
        strike()
        return manage(watcher)

    # All over a round: before circus collects its children, and after that, before it looks at
    # each of them.
    Watcher.manage_processes = strike_and_manage
    supervise._CHECK_S = 0.001
    plan = Plan(
        profile="",
        processes=tuple(spec(f"worker{number}") for number in range(WORKERS)),
        bringup=spec(BRINGUP),
        restart=Restart(attempts=kills, window_s=1.0, delays_s=(0.0,)),
        grace_s=10.0,
        timeout_s=10.0,
    )

    async def run() -> None:
        nonlocal supervisor
        supervisor = supervise.Supervisor(
            plan, log_dir=folder, grant=lambda *_: 0.0, say=say, environment=os.environ
        )
        await supervisor.run()

    supervisor: supervise.Supervisor
    asyncio.run(run())
    return deaths


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
