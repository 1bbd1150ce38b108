"""Levels of compression: how pixels can be sent, what each keeps and costs, which is worth most.

Purpose: the one choice of a level, for node and study, before anything is coded. Non-purpose:
coding one (``eo_nodes.decision.sending``, ``imaging.coder``), deciding whether to send
(``routing``).

Facts about a level are means of the study's validation split; they stand in ``decision.json`` of
the compact model's folder, by modality, and come with its heads.

Source: own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

KINDS = ("raw", "lossless", "lossy", "regions", "cutoffs", "uniform")
# Kinds that routing chooses among; raw and two cut-offs are what it is compared with.
CHOSEN = ("lossless", "lossy", "regions", "uniform")
ANY = ""
"""Modality of facts for what has none of its own."""


@dataclass(frozen=True, slots=True)
class Level:
    """One way to send the asked area.

    Attributes:
        name: as in verdicts and tables. kind: one of ``KINDS``.
        share: of the asked area's raw bytes (regions), of its side length (uniform), else 0.
    """

    name: str
    kind: str
    share: float = 0.0


LEVELS = (
    Level("raw", "raw"), Level("lossless", "lossless"), Level("lossy", "lossy"),
    Level("regions_1_5", "regions", 0.2), Level("regions_1_10", "regions", 0.1),
    Level("regions_1_20", "regions", 0.05), Level("two_cutoffs", "cutoffs"),
    Level("uniform_1_2", "uniform", 0.5), Level("uniform_1_4", "uniform", 0.25),
)  # fmt: skip
_BY_NAME = {level.name: level for level in LEVELS}


def level_named(name: str) -> Level | None:
    """The level of a name; None where there is none, as "" of a verdict by thresholds."""
    return _BY_NAME.get(name)


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """What a level is expected to do.

    Attributes:
        keeps: share of the gain of lossless pixels that is left, [0, 1].
        bytes_share: of the window's raw bytes, > 0. code_s: processor seconds for 10^6 raw bytes.
    """

    level: Level
    keeps: float
    bytes_share: float
    code_s: float = 0.0


ByModality = Mapping[str, tuple[LevelFacts, ...]]
# Without facts: a fifth of the bytes keeps what is asked about; stated, not measured.
STATED: ByModality = {ANY: (LevelFacts(_BY_NAME["regions_1_5"], 1.0, 0.2, 0.3),)}


def facts_for(table: ByModality, modality: str, kinds: Sequence[str]) -> tuple[LevelFacts, ...]:
    """Facts of a modality, or of any, about levels of these kinds; all where none is of them."""
    found = table.get(modality) or table[ANY]
    return tuple([f for f in found if f.level.kind in kinds]) or found


def best_level(
    gain: float, raw_bytes: float, facts: Iterable[LevelFacts], price_per_byte: float
) -> tuple[LevelFacts, float]:
    """The level that is worth most after the price of its bytes, and its expected bytes.

    Args:
        gain: what asking the ground with lossless pixels adds, any sign. raw_bytes: > 0.
        facts: at least one. price_per_byte: >= 0, in the unit of the gain.
    """
    best, worth = None, -inf
    for one in facts:
        value = gain * one.keeps - price_per_byte * (one.bytes_share * raw_bytes)
        if value > worth:
            best, worth = one, value
    if best is None:
        raise ValueError("no level to choose from")
    return best, best.bytes_share * raw_bytes


def as_plain(table: ByModality) -> dict[str, list[dict[str, Any]]]:
    """For ``decision.json``."""
    return {
        modality: [{"name": f.level.name, "kind": f.level.kind, "share": f.level.share,
                    "keeps": f.keeps, "bytes_share": f.bytes_share, "code_s": f.code_s}
                   for f in facts]
        for modality, facts in table.items()
    }  # fmt: skip


def from_plain(entries: Mapping[str, Iterable[Mapping[str, Any]]]) -> ByModality:
    """Inverse of `as_plain`.

    Raises:
        KeyError, TypeError, ValueError: no such facts, or a number out of range.
    """
    table = {str(modality): tuple(_read(entry) for entry in found)
             for modality, found in entries.items()}
    if not table.get(ANY) or not all(table.values()):
        raise ValueError("levels: none for any modality, or a modality without one")
    return table


def _read(entry: Mapping[str, Any]) -> LevelFacts:
    level = Level(str(entry["name"]), str(entry["kind"]), float(entry["share"]))
    found = LevelFacts(
        level, float(entry["keeps"]), float(entry["bytes_share"]), float(entry["code_s"]))
    numbers = (found.keeps, found.bytes_share, found.code_s)
    if level != _BY_NAME.get(level.name) or not all(map(isfinite, numbers)) or not (
        0 <= found.keeps <= 1 and found.bytes_share > 0 and found.code_s >= 0
    ):
        raise ValueError(f"levels: {dict(entry)!r:.200}")
    return found
