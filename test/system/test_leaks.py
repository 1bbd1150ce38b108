"""Nothing crosses between the DDS domains of satellite and ground but the emulator's frames (M36).

Three views of the running graph: the endpoints that discovery shows in each domain, the UDP
sockets of each process, and the shared memory through which DDS moves data on one host.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("circus")

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)

from eo_nodes.console.participant import Participant
from eo_nodes.graph.description import load_graph
from eo_nodes.graph.paths import project_file
from eo_sim import demo

pytestmark = pytest.mark.system

OFFSET = 24
SEGMENTS = load_graph(project_file("config/graph.yaml")).segments
SAT, GROUND, SIM = (SEGMENTS[name].domain_id + OFFSET for name in ("sat1", "ground", "sim"))
# What every ROS node and every client of the bring-up has, besides the names of its segment.
COMMON = {"rosout", "parameter_events", "ros_discovery_info", "bringup"}
SIMULATED = {"clock", "idle", "sim"}


def endpoints(participant: Participant) -> set[str]:
    """Return the names of all topics that somebody writes or reads in a domain."""
    names: set[str] = set()
    for kind in (BuiltinTopicDcpsPublication, BuiltinTopicDcpsSubscription):
        reader = BuiltinDataReader(participant._participant, kind)
        names |= {sample.topic_name for sample in reader.read(N=5000)}
    return {name for name in names if not name.startswith("DCPS")}  # our own builtin readers


def roots(names: set[str]) -> set[str]:
    """Return the first part of each ROS name: its segment, mostly."""
    return {re.sub(r"^r[tqrsa]/|(?<=bringup)_\w+", "", name).split("/")[0] for name in names}


def domains_of(ports: set[int]) -> set[int]:
    """Return the domains whose well-known DDS ports are among some ports.

    Those that the kernel hands to senders lie above; below, those that Fast DDS takes one by one
    for single participants, whatever their domain.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return {(port - 7400) // 250 for port in ports if 7400 <= port < lowest}


def udp_ports(pid: int) -> set[int]:
    connections = psutil.Process(pid).net_connections("udp")
    return {connection.laddr.port for connection in connections if connection.laddr}


def shared_ports(pid: int) -> set[int]:
    """Return the DDS ports whose shared memory a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return set(map(int, re.findall(r"/dev/shm/fast\w+_port(\d+)", maps)))


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


def test_m36_only_the_clock_and_the_emulators_frames_cross(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    listening: dict[str, set[int]] = {}

    def look(child: demo.GraphProcess) -> None:
        for domain, namespace in ((SAT, "/sat1"), (GROUND, "/ground")):
            participant = Participant(domain, namespace)
            reader = participant.reader("heartbeat")
            end_s = time.monotonic() + 30
            while not reader.take() and time.monotonic() < end_s:  # discovery comes round
                time.sleep(0.05)
            time.sleep(1.0)
            seen[namespace] = endpoints(participant)
        link = link_ports()
        for process, pid in child.pids.items():
            segment = process.partition("/")[0]
            own, ports = link.get(segment, set()), udp_ports(pid)
            seen[process] = domains_of(ports - own), domains_of(shared_ports(pid))
            listening[segment] = listening.get(segment, set()) | ports & own

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

    sat1, ground = seen.pop("/sat1"), seen.pop("/ground")
    assert {"rt/sat1/task", "rt/sat1/final", "rt/clock"} <= sat1, "nothing was discovered"
    assert {"rt/ground/task", "rt/ground/final", "rt/clock"} <= ground, "nothing was discovered"
    assert roots(sat1) <= COMMON | SIMULATED | {"sat1"}
    assert roots(ground) <= COMMON | SIMULATED | {"ground"}

    listening.pop("bringup")
    assert listening == link_ports(), "each end listens to the emulator, the emulator to both"
    own = {"sat1": {SAT}, "ground": {GROUND}, "sim": {SAT, GROUND, SIM}}
    assert len(seen) >= 10
    for process, (sockets, mapped) in seen.items():
        segment = process.partition("/")[0]
        # The bring-up manages both ends; what it says in each domain is seen above.
        allowed = own.get(segment, {SAT, GROUND})
        assert sockets and sockets <= allowed, f"{process}: UDP in domains {sockets}"
        assert mapped and mapped <= allowed, f"{process}: shared memory of domains {mapped}"


def test_m36_a_leak_would_be_seen() -> None:
    participant = Participant(SAT, "/ground")
    writer = participant.writer("answer")
    assert "ground" in roots(endpoints(participant)), "a foreign writer goes unseen"
    assert writer.peers == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
        stray.bind(("127.0.0.1", 7400 + 250 * GROUND + 200))
        assert GROUND in domains_of(udp_ports(os.getpid()))
