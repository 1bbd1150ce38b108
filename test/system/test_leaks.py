"""Nothing crosses between the DDS domains of satellite and ground but the emulator's frames (M36).

test/graph/test_graph_leaks.py shows that each of these looks would find a leak.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("circus")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from leaks import endpoints, foreign, stray, udp_ports

from eo_nodes.console.participant import Participant
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_sim import demo

pytestmark = pytest.mark.system

OFFSET = 24
SEGMENTS = load_graph(project_file("config/graph.yaml")).segments
SAT, GROUND, SIM = (SEGMENTS[name].domain_id + OFFSET for name in ("sat1", "ground", "sim"))
# The bring-up manages both ends; what it says in each domain is seen there.
DOMAINS = {"sat1": {SAT}, "ground": {GROUND}, "sim": {SAT, GROUND, SIM}, "bringup": {SAT, GROUND}}


def link_ports() -> dict[str, set[int]]:
    """Return the ports of the link that each segment may listen on."""

    def value(segment: str, name: str) -> int:
        document = yaml.safe_load(project_file(f"config/params/{segment}.yaml").read_text())
        found = [
            node["ros__parameters"][name]
            for node in document.values()
            if name in node["ros__parameters"]
        ]
        assert len(found) == 1, f"{name} of {segment}: {found}"
        return found[0] + 10 * OFFSET

    return {
        "sat1": {value("space", "listen_port")},
        "ground": {value("ground", "listen_port")},
        "sim": {value("sim", "space_port"), value("sim", "ground_port")},
    }


def own_names(segment: str) -> set[str]:
    """Return some of the topics that must be seen in the domain of a segment."""
    return {f"rt/{segment}/task", f"rt/{segment}/final", "rt/clock"}


def test_m36_only_the_clock_and_the_emulators_frames_cross(tmp_path: Path) -> None:
    seen: dict[str, set[str]] = {}
    strays: dict[str, dict[str, set[int]]] = {}
    listening: dict[str, set[int]] = {}

    def look(child: demo.GraphProcess) -> None:
        for domain, segment in ((SAT, "sat1"), (GROUND, "ground")):
            participant = Participant(domain, f"/{segment}")
            end_s = time.monotonic() + 60
            while not own_names(segment) <= endpoints(participant) and time.monotonic() < end_s:
                time.sleep(0.05)
            time.sleep(1.0)  # for the rest, whoever it is
            seen[segment] = endpoints(participant)
        link = link_ports()
        for process, pid in child.pids.items():
            segment = process.partition("/")[0]
            own = link.get(segment, set())
            strays[process] = stray(pid, DOMAINS[segment], own)
            listening[segment] = listening.get(segment, set()) | udp_ports(pid) & own

    looking: list[threading.Thread] = []

    def on_graph(child: demo.GraphProcess) -> None:
        # Beside the run: the driver must see its clock from the start.
        looking.append(threading.Thread(target=look, args=(child,)))
        looking[0].start()

    status = demo.main(
        out_dir=tmp_path / "run",
        scenario=project_file("config/scenarios/minute.yaml"),
        domain_offset=OFFSET,
        rate=3.0,  # 20 s: time enough to look
        on_graph=on_graph,
    )
    assert status == 0
    looking[0].join()

    for segment in ("sat1", "ground"):
        assert own_names(segment) <= seen[segment], "nothing was discovered"
        assert foreign(seen[segment], segment) == set()

    listening.pop("bringup")
    assert listening == link_ports(), "each end listens to the emulator, the emulator to both"
    assert len(strays) >= 10
    assert strays == {process: {"UDP": set(), "shared memory": set()} for process in strays}
