"""Counters of one endpoint: silence is visible only beside numbers (M11, M21)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class LinkCounters:
    """Counts since the endpoint was made; all >= 0 and only growing.

    Attributes:
        rejects: (layer, reason) -> count, for every refused input.
        frame_gaps: frames missing by virtual channel sequence counts.
        packet_gaps: packets missing by 14-bit counts, over all APIDs.
        *_duplicates: repeated or late by those counts.
        *_resyncs: jumps back beyond any reordering: the peer restarted.
        file_bytes_sent: file data octets put into PDUs, repeats included.
        file_bytes_repeated: of these, what had been sent before.
        file_bytes_new: file data octets received that were not held yet.
        file_bytes_duplicate: received again.
        hidden_pdus: PDUs that came in while the peer was not visible (M5).
        packets_dropped: best-effort packets that a full queue pushed out.
        transactions_refused: incoming transactions beyond the limit (M7).
    """

    frames_sent: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    frame_gaps: int = 0
    frame_duplicates: int = 0
    frame_resyncs: int = 0
    packets_sent: int = 0
    packets_received: int = 0
    packet_gaps: int = 0
    packet_duplicates: int = 0
    packet_resyncs: int = 0
    packets_dropped: int = 0
    pdus_sent: int = 0
    pdus_received: int = 0
    hidden_pdus: int = 0
    naks_sent: int = 0
    nak_bytes_sent: int = 0
    file_bytes_sent: int = 0
    file_bytes_repeated: int = 0
    file_bytes_new: int = 0
    file_bytes_duplicate: int = 0
    puts: int = 0
    puts_refused: int = 0
    files_delivered: int = 0
    transfers_completed: int = 0
    transfers_failed: int = 0
    transactions_refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
