"""One DDS participant in one segment: readers and writers of the topic table.

Quality of service comes from the table alone, so that it matches what the nodes use (M34). The
domain is set up for loopback unless the caller of the process gives its own Cyclone configuration
(``CYCLONEDDS_URI``, which Cyclone reads itself).
"""

from __future__ import annotations

import os
import time
from typing import Any

from cyclonedds._clayer import ddspy_take
from cyclonedds.core import InstanceState, Policy, Qos, SampleState, ViewState
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from eo_nodes.contracts.errors import EoError
from eo_nodes.contracts.topics import TOPICS

from .dds_types import to_dds, topic_struct
from .share import shared
from .wire import from_wire

_ANY = SampleState.Any | ViewState.Any | InstanceState.Any
_domains: dict[int, Any] = {}  # Cyclone takes one configuration per domain and process


class DdsError(EoError):
    """The DDS side cannot be set up or does not answer."""


def qos_of(topic: str, *, keep_all: bool = False) -> Any:
    """Return the DDS quality of service of a topic of the table.

    Args:
        keep_all: a reader that must lose nothing keeps every sample until it is taken; history
            depth is no matter of agreement between the ends.
    """
    row = TOPICS[topic].qos
    policies: list[Any] = [
        Policy.Reliability.Reliable(duration(seconds=10))
        if row.reliable
        else Policy.Reliability.BestEffort,
        Policy.History.KeepAll if keep_all else Policy.History.KeepLast(row.depth),
        Policy.Durability.TransientLocal if row.latched else Policy.Durability.Volatile,
        Policy.DataRepresentation(use_cdrv0_representation=True),
    ]
    if row.latched:
        policies.append(
            Policy.DurabilityService(
                cleanup_delay=0,
                history=Policy.History.KeepLast(row.depth),
                max_samples=-1,
                max_instances=-1,
                max_samples_per_instance=-1,
            )
        )
    return Qos(*policies)


def wire_topic(namespace: str, topic: str) -> str:
    """Return the DDS topic name: ``rt``, namespace, topic; a leading slash means no namespace."""
    if topic.startswith("/"):
        return f"rt{topic}"
    return "rt/" + "/".join(part for part in (namespace.strip("/"), topic) if part)


class Reader:
    """A reader of one topic."""

    def __init__(self, dds_reader: Any, topic: str) -> None:
        self.topic = topic
        self._reader = dds_reader
        self._type = TOPICS[topic].type

    def take(self, most: int = 1000) -> list[Any]:
        """Return what came since the last call: contracts values, or samples of foreign types."""
        return [
            from_wire(self._type, sample)
            for sample in self._reader.take(N=most)
            # a writer that leaves ends its instance with a sample without data
            if getattr(sample.sample_info, "valid_data", False)
        ]

    def take_raw(self, most: int = 1000) -> list[tuple[bytes, int]]:
        """Return (CDR bytes with encapsulation header, source time ns) without decoding.

        Relies on an internal of cyclonedds 11.0.1, the pinned version: the public call decodes
        every sample in Python, which a recorder has no use for.
        """
        taken = ddspy_take(self._reader._ref, _ANY, most)
        if isinstance(taken, int):
            raise DdsError(f"take from {self.topic} failed with code {taken}")
        return [(data, info.source_timestamp) for data, info in taken if info.valid_data]

    @property
    def peers(self) -> int:
        """Writers matched now."""
        return int(self._reader.get_subscription_matched_status().current_count)


class Writer:
    """A writer of one topic."""

    def __init__(self, dds_writer: Any, topic: str) -> None:
        self.topic = topic
        self._writer = dds_writer

    def write(self, value: Any) -> None:
        """Send a contracts value."""
        self._writer.write(to_dds(value))

    @property
    def peers(self) -> int:
        """Readers matched now."""
        return int(self._writer.get_publication_matched_status().current_count)

    def wait_for_reader(self, timeout_s: float) -> bool:
        """Wait until some reader is there; False when none came."""
        end = time.monotonic() + timeout_s
        while not self.peers:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True


class Participant:
    """A participant in one domain, speaking in one namespace.

    Args:
        domain: DDS domain id, 0 .. 232.
        namespace: of the segment, e.g. ``/ground``.
    Raises:
        DdsError: the domain cannot be joined.
    """

    def __init__(self, domain: int, namespace: str) -> None:
        self.domain, self.namespace = domain, namespace
        try:
            if "CYCLONEDDS_URI" not in os.environ and domain not in _domains:
                text = shared("config/dds/cyclonedds.xml").read_text(encoding="utf-8")
                _domains[domain] = Domain(domain, text)
            self._participant = DomainParticipant(domain)
        except Exception as error:  # cyclonedds raises its own kinds and plain ones
            raise DdsError(f"cannot join DDS domain {domain}: {error}") from error

    def _topic(self, topic: str) -> Any:
        return Topic(self._participant, wire_topic(self.namespace, topic), topic_struct(topic))

    def reader(self, topic: str, *, keep_all: bool = False) -> Reader:
        """Subscribe to a topic of the table."""
        quality = qos_of(topic, keep_all=keep_all)
        return Reader(DataReader(self._participant, self._topic(topic), quality), topic)

    def writer(self, topic: str) -> Writer:
        """Publish on a topic of the table."""
        return Writer(DataWriter(self._participant, self._topic(topic), qos_of(topic)), topic)
