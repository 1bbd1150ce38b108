"""contact_planner: own passes from elements and time, in each segment, as in flight.

Satellites that share the stations stand in ``fleet``: then every segment assigns the passes of all
of them, and plans those of its own satellite. ``fleet``, ``stations`` and ``min_contact_s`` must be
the same in all segments, and so must the element sets.

A plan that fails is tried again after `retry_s`, then after twice as long each time, at most every
`replan_s`; until one succeeds the last one stands and the node's beat says that it is degraded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eo_nodes.contracts.values import ContactPlan
from eo_nodes.graph.paths import project_file
from eo_nodes.orbit import Satellite, Selection, load_catalogue, load_mission, make_plan, others_of

from .base import EoNode
from .parameters import Parameter
from .runner import main_of


class ContactPlanner(EoNode):
    """Plan at the start, then every `replan_s`."""

    PARAMETERS = (
        Parameter("stations", [""], "stations that may be used; empty: all of the mission"),
        Parameter("fleet", [""], "satellites that share the stations, with this one; empty: alone"),
        Parameter("horizon_h", 24.0, "how far ahead contacts are planned, h", 1.0, 240.0),
        Parameter("replan_s", 21600.0, "period of planning, orbital s", 60.0, 1e6),
        Parameter("retry_s", 60.0, "after a failed plan, then doubled, orbital s", 0.1, 1e6),
        Parameter("min_contact_s", 30.0, "shorter contacts are not planned, s", 0.0, 600.0),
        Parameter("elements_dir", "", "folder of element sets; empty: config/mission/elements"),
    )

    def __init__(self, name: str = "contact_planner", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Load mission and elements."""
        self._mission = load_mission(project_file("config/mission"))
        self._satellite = self._mission.satellite(self.param("satellite"))
        names = [name for name in self.param("stations") if name]
        fleet = [name for name in self.param("fleet") if name]
        self._others = others_of(self._mission, self._satellite.name, fleet)
        self._sites = [self._mission.station(name) for name in names or self._mission.stations]
        self.speak("contact_plan")

    def activate(self) -> None:
        """Plan now."""
        self._failed = 0
        self._replan()

    def _replan(self) -> None:
        try:
            plan = self._planned()
        except Exception as error:  # whatever it is: without a plan nothing is ever sent
            again_s = backoff_s(self._failed, self.param("retry_s"), self.param("replan_s"))
            self._failed += 1
            self.is_degraded = True
            self.emit(
                "PLAN_FAILED",
                f"{str(error) or repr(error)}; again in {again_s:g} s",
                error=type(error).__name__,
                failed=self._failed,
            )
            self.after(again_s, self._replan)
            return
        self._failed, self.is_degraded = 0, False
        self.publish("contact_plan", plan)
        self.emit("PLAN_UPDATED", f"{len(plan.contacts)} contacts", satellite=plan.satellite)
        self.after(self.param("replan_s"), self._replan)

    def _planned(self) -> ContactPlan:
        # Read again each time: newer elements may have been filed or uplinked.
        folder = self.param("elements_dir") or project_file("config/mission/elements")
        catalogue, faults = load_catalogue(Path(folder))
        for fault in faults:
            self.emit("INPUT_FAILED", f"element set: {fault}")
        now_ns = self.now_ns()

        def chosen(satellite: Satellite) -> Selection:
            selection = catalogue.select(satellite.norad_id, now_ns)
            if selection.is_stale:
                self.emit("ELEMENTS_OLD", f"{satellite.name}: {selection.age_days:.1f} days")
            return selection

        return make_plan(
            self._satellite,
            chosen(self._satellite),
            self._sites,
            now_ns,
            round(self.param("horizon_h") * 3600e9),
            min_contact_s=self.param("min_contact_s"),
            others=[(other, chosen(other)) for other in self._others],
        )


def backoff_s(failed: int, first_s: float, most_s: float) -> float:
    """Return how long to wait after another failure: doubled each time, bounded."""
    return float(min(first_s * 2.0 ** min(failed, 60), most_s))


main = main_of(ContactPlanner)

if __name__ == "__main__":
    main()
