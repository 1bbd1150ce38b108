"""Modes of a segment: nominal and safe, durable, as a table (M19).

Safe mode needs neither model nor archive. It takes commands and ends by command only, not by a
reboot. A boot that never reports itself done is a failed one; three in a row start in safe mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eo_nodes.contracts.values import Mode

from .ports import Store

NOMINAL = "nominal"
SAFE = "safe"

# Triggers.
NODE_DISABLED = "node_disabled"
BOOTS_FAILED = "boots_failed"
LIMIT_FIRED = "limit_fired"
COMMAND_SAFE = "command_safe"
COMMAND_NOMINAL = "command_nominal"

TRANSITIONS: dict[tuple[str, str], str] = {
    (NOMINAL, NODE_DISABLED): SAFE,
    (NOMINAL, BOOTS_FAILED): SAFE,
    (NOMINAL, LIMIT_FIRED): SAFE,
    (NOMINAL, COMMAND_SAFE): SAFE,
    (SAFE, COMMAND_NOMINAL): NOMINAL,
}

# Who works in safe mode: commands, link, time and health go on; inference does not.
WORKS_IN_SAFE = frozenset({"tasking", "downlink_scheduler", "contact_planner", "health_monitor"})


@dataclass(frozen=True, slots=True)
class ModeRow:
    """Durable state: the mode, why, and boots begun since the last that succeeded."""

    mode: str = NOMINAL
    reason: str = ""
    unfinished_boots: int = 0


class ModeKeeper:
    """The mode across boots.

    Args:
        store: durable table.
        failed_boots: in a row, after which a boot starts in safe mode.
    """

    def __init__(self, store: Store, failed_boots: int = 3) -> None:
        self._table = store.table("mode", ModeRow)
        self._row = self._table.get("mode") or ModeRow()
        self._failed_boots = failed_boots

    def on_boot(self, now_ns: int) -> Mode:
        """Count a boot before anything else happens; return the mode to start in."""
        failed = self._row.unfinished_boots
        self._save(replace(self._row, unfinished_boots=failed + 1))
        if failed >= self._failed_boots:
            self.on_trigger(BOOTS_FAILED, f"{failed} boots failed in a row", now_ns)
        return self.mode(now_ns)

    def on_boot_done(self) -> None:
        """All nodes are active: this boot succeeded."""
        if self._row.unfinished_boots:
            self._save(replace(self._row, unfinished_boots=0))

    def on_trigger(self, trigger: str, reason: str, now_ns: int) -> Mode | None:
        """Follow the table.

        Returns:
            The new mode, or None when the trigger changes nothing.
        """
        target = TRANSITIONS.get((self._row.mode, trigger))
        if target is None:
            return None
        self._save(replace(self._row, mode=target, reason=reason))
        return self.mode(now_ns)

    def mode(self, now_ns: int) -> Mode:
        """Return the mode."""
        return Mode(mode=self._row.mode, reason=self._row.reason, stamp_ns=now_ns)

    def _save(self, row: ModeRow) -> None:
        self._table.put("mode", row)
        self._row = row
