"""The true geometry of the link: which contact, which rates, how far. For the channel only.

Flight software plans with element sets of its own; the channel uses these. By default both are
the same file, and a scenario may give the truth other elements.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from eo_nodes.contracts.values import Contact
from eo_nodes.orbit import (
    LookTable,
    Mission,
    Orbit,
    downlink_budget,
    load_catalogue,
    make_plan,
    others_of,
    uplink_budget,
)

S_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LinkTruth:
    """The link at one time; rates 0 outside a contact."""

    contact: Contact | None
    downlink_bps: int
    uplink_bps: int
    delay_ns: int


_SILENT = LinkTruth(None, 0, 0, 0)


class Truth:
    """Contacts of one satellite over a scenario, with rate and range at any time.

    Args:
        mission: satellites and stations.
        elements_folder: element sets of the truth.
        satellite: name in the mission.
        stations: names of the stations that take part; the planner's must be the same.
        start_ns, end_ns: window of the scenario, orbital time.
        min_contact_s: as the planner's.
        fleet: as the planner's: an antenna points at one of them at a time.
    """

    def __init__(
        self,
        mission: Mission,
        elements_folder: Path,
        satellite: str,
        stations: tuple[str, ...],
        start_ns: int,
        end_ns: int,
        *,
        min_contact_s: float = 30.0,
        fleet: tuple[str, ...] = (),
    ) -> None:
        self.satellite = mission.satellite(satellite)
        catalogue, _ = load_catalogue(elements_folder)
        selection = catalogue.select(self.satellite.norad_id, start_ns)
        self.orbit = Orbit(selection.elements, satellite)
        sites = [mission.station(name) for name in stations]
        self.contacts = make_plan(
            self.satellite,
            selection,
            sites,
            start_ns,
            end_ns - start_ns,
            min_contact_s=min_contact_s,
            others=[
                (other, catalogue.select(other.norad_id, start_ns))
                for other in others_of(mission, satellite, fleet)
            ],
        ).contacts
        self._sites = {site.name: site for site in sites}
        self._budgets = {
            site.name: (downlink_budget(self.satellite, site), uplink_budget(self.satellite, site))
            for site in sites
        }
        self._aos = [contact.aos_ns for contact in self.contacts]
        self._tables: dict[str, LookTable] = {}

    def at(self, t_ns: int) -> LinkTruth:
        """Return the link at a time."""
        contact = self.contact_at(t_ns)
        if contact is None:
            return _SILENT
        table = self._tables.get(contact.id)
        site = self._sites[contact.station]
        if table is None:
            table = LookTable(self.orbit, site, contact.aos_ns, contact.los_ns)
            self._tables[contact.id] = table
        point = table.at(t_ns)
        down, up = self._budgets[contact.station]
        return LinkTruth(
            contact,
            int(down.rate_at(point.range_m, point.elevation_deg)) if down else 0,
            int(up.rate_at(point.range_m, point.elevation_deg)) if up else 0,
            round(point.light_time_s * S_NS),
        )

    def contact_at(self, t_ns: int) -> Contact | None:
        """Return the contact that a time lies in."""
        index = bisect_right(self._aos, t_ns) - 1
        if index < 0 or t_ns >= self.contacts[index].los_ns:
            return None
        return self.contacts[index]

    def next_change_ns(self, t_ns: int) -> int | None:
        """Return the next AOS or LOS after a time."""
        contact = self.contact_at(t_ns)
        if contact is not None:
            return contact.los_ns
        index = bisect_right(self._aos, t_ns)
        return self._aos[index] if index < len(self._aos) else None
