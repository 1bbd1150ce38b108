"""Look for what crosses between the DDS domains of satellite and ground (M36).

Three views: the endpoints that discovery shows in a domain, the UDP sockets of a process, and the
shared memory through which DDS moves data on one host.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import psutil
from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)

from eo_nodes.console.participant import Participant

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


def foreign(names: Collection[str], segment: str) -> set[str]:
    """Return the first parts, mostly segments, of names that a segment's domain must not hold."""
    first = {re.sub(r"^r[tqrsa]/|(?<=bringup)_\w+", "", name).split("/")[0] for name in names}
    return first - COMMON - SIMULATED - {segment}


def stray(pid: int, allowed: Collection[int], link: Collection[int] = ()) -> dict[str, set[int]]:
    """Return the domains that a process takes part in and must not, by the way that shows it.

    Args:
        allowed: domains it may be in.
        link: UDP ports that are no business of DDS.
    Raises:
        AssertionError: it is in no domain at all, so nothing was seen.
    """
    found = {
        "UDP": domains_of(udp_ports(pid) - set(link)),
        "shared memory": domains_of(shared_ports(pid)),
    }
    for way, domains in found.items():
        assert domains, f"process {pid} has no {way} of any domain"
    return {way: domains - set(allowed) for way, domains in found.items()}


def domains_of(ports: Collection[int]) -> set[int]:
    """Return the domains whose well-known DDS ports are among some ports.

    Those that the kernel hands to senders lie above; below, those that Fast DDS takes one by one
    for single participants, whatever their domain.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return {(port - 7400) // 250 for port in ports if 7400 <= port < lowest}


def udp_ports(pid: int) -> set[int]:
    """Return the local UDP ports of a process."""
    connections = psutil.Process(pid).net_connections("udp")
    return {connection.laddr.port for connection in connections if connection.laddr}


def shared_ports(pid: int) -> set[int]:
    """Return the DDS ports whose shared memory a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return set(map(int, re.findall(r"/dev/shm/fast\w+_port(\d+)", maps)))
