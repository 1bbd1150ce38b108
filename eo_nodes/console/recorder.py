"""Record segments into a bag: every topic of the table, as the bytes that were on the wire.

Loses nothing at the rates of the graph: readers keep all, the receiving thread of DDS takes
samples in while Python writes, and nothing is decoded. /clock travels in every domain and is
recorded from the first segment only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eo_nodes.contracts.topics import TOPICS

from .bag import BagWriter
from .participant import Participant, Reader


@dataclass(frozen=True, slots=True)
class Segment:
    """Where to record: a namespace in a DDS domain."""

    namespace: str
    domain: int


class Recorder:
    """Readers on all topics of some segments, and the bag they go into.

    Args:
        segments: those to record.
        out: bag file.
        topics: names of the table; all when None.
        split_bytes: as for `BagWriter`.
    Raises:
        DdsError: a domain cannot be joined.  BagError: the file cannot be made.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        out: Path,
        *,
        topics: Sequence[str] | None = None,
        split_bytes: int = 0,
    ) -> None:
        self._bag = BagWriter(
            out,
            split_bytes=split_bytes,
            metadata={s.namespace: f"domain {s.domain}" for s in segments},
        )
        self._readers: list[tuple[str, Reader]] = []
        for index, segment in enumerate(segments):
            participant = Participant(segment.domain, segment.namespace)
            for topic in topics or TOPICS:
                if topic == "/clock" and index:
                    continue
                name = (
                    topic if topic.startswith("/") else f"/{segment.namespace.strip('/')}/{topic}"
                )
                self._readers.append((name, participant.reader(topic, keep_all=True)))
        self.counts: dict[str, int] = dict.fromkeys((name for name, _ in self._readers), 0)

    @property
    def paths(self) -> list[Path]:
        """Files made up to now."""
        return self._bag.paths

    def poll(self) -> int:
        """Write what has come; return how many messages that were."""
        taken = 0
        for name, reader in self._readers:
            while samples := reader.take_raw():
                for data, stamp_ns in samples:
                    self._bag.write(name, TOPICS[reader.topic].type, data, stamp_ns)
                self.counts[name] += len(samples)
                taken += len(samples)
        return taken

    def run(self, should_stop: Callable[[], bool], *, poll_s: float = 0.01) -> dict[str, int]:
        """Record until told to stop, take in what is still there, close the bag.

        Returns:
            Messages by topic.
        """
        try:
            while not should_stop():
                if not self.poll():
                    time.sleep(poll_s)
            self.poll()
        finally:
            self._bag.close()
        return self.counts
